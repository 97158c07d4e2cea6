//! Channels: how mail comes in and leaves.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use crate::{
    file::{
        collections::{Few, List, Maybe, Series},
        document::Document,
        form::{Fields, Form, Kind, Nested, Section, print_section},
        kinds::{Choice, Count, Flag, Formed, PATIENCE, Path, Size, Text, Time},
        names::{CHANNEL, DOMAIN, NEXT_HOPS, TAG, TRANSPORT},
        notation::Notation,
        reader::{Node, Reader},
        setting::{
            Role::{
                Connecting, Delivering, Destination, DestinationOrLocal, LmtpSource, Local,
                Rewriting, RewritingOrDestination, Served, SmtpDelivering, SmtpSource, Source,
                SourceOrDelivering, Switching,
            },
            Setting,
        },
    },
    language::{delivery_option::FolderAddress, kinds::FileInto},
    sections::{
        destinations::Destinations,
        dispatcher::IP,
        dns::SERVER,
        milters,
        srs::SrsUse,
        tls::{Insist, SaslSides, TlsSides},
        verify::Verify,
    },
};

section! {
    /// A channel: how mail comes in and leaves. The names of its settings are the original's
    /// keywords.
    pub struct Channel {
        /// Its name, which log, queue and orders use.
        name: String = String::new(), CHANNEL, example(r#""tcp_local""#);
        /// The name that rewrite rules route to; compared without regard to case.
        tag: String = String::new(), TAG, example(r#""tcp_local-daemon""#);
        /// The program of its jobs.
        program: Program = Program::Local, Choice, example("Lmtp");

        /// Remote port; without it, 25 for SMTP and 24 for LMTP.
        port: Option<u16> = None, Maybe(Count(1..=65_535)), of(Delivering),
            group("Where its jobs connect to");
        /// Connect here, whatever the address says: `"host"`, `"[127.0.0.1]"`, `"inet:host:port"`
        /// or `"unix:/path"`. Of several, with commas between them, the later are tried for what those
        /// before them do not take: `"store1, store2:2424"`.
        daemon: Option<String> = None, Maybe(NEXT_HOPS), of(Connecting);
        /// Connect to the host of the recipient's route.
        multigate: bool = false, Flag, of(Destination);
        /// Rewrite the address once more when it is dequeued and connect to the resulting host.
        connectcanonical: bool = false, Flag, of(Connecting);
        /// Strip the source route from RCPT TO after it chose the host.
        dequeue_removeroute: bool = false, Flag, of(Destination);
        /// The form of a source route that is left in RCPT TO.
        route_style: RouteStyle = RouteStyle::default(), Choice, of(Destination);
        /// The server is one of ours: XQUOTA and XDFLG may be sent unasked. Without it, as
        /// `multigate` says.
        private: bool = false, Flag, of(Delivering);
        /// Each connection begins with a header of the PROXY protocol (version 2), for servers that
        /// want one; it names both ends of the connection itself.
        proxy_header: bool = false, Flag, of(Delivering);
        /// Use of MX records. `Default` asks for them where the port is 25, and of SMTP alone: what they
        /// say is who takes mail there.
        mx: Mx = Mx::default(), Choice, of(Delivering);
        /// Addresses and ports of name servers for this channel; without them those of the section
        /// `dns`.
        nameservers: Vec<SocketAddr> = Vec::new(), Few(List(SERVER), 8), of(Delivering);
        /// Its connections come from these addresses of this machine, one for each family.
        interface_address: Vec<IpAddr> = Vec::new(), Few(List(IP), 2), of(Delivering);
        /// Mail for a recipient's domain may be sent to loopback, private and other addresses where no
        /// server of the Internet is. Without it, by a channel that rules for domains lead to, and no rule
        /// for all domains (`$*`, `.`): its hosts are inside. Hosts that the configuration names,
        /// addresses in brackets and those of `mx: NoDns` are never refused.
        private_addresses: Option<bool> = None, Maybe(Flag), of(SmtpDelivering);
        /// A host that takes what no other server of the destination takes for now, or that are not
        /// reached: `"host"` or `"[127.0.0.1]:2525"`. Not for domains whose servers are owed TLS.
        lastresort: Option<String> = None, Maybe(NEXT_HOPS), of(Delivering);

        /// How recipients are divided into queue entries.
        copies: Copies = Copies::default(), Choice, of(Destination),
            group("How its entries are made and tried");
        /// Recipients of one queue entry at most.
        addrsperfile: usize = MAX_ADDRSPERFILE, Count(1..=MAX_ADDRSPERFILE as u64), of(Destination),
            unit("recipients");
        /// Directories that the original divides the messages of a channel among. Here there are none:
        /// the messages of all channels lie in segments of the spool.
        subdirs: Option<u16> = None, Maybe(Count(1..=999)), not_yet(SUBDIRS), unit("directories");
        /// As a client: recipients of one transaction at most; the others follow in the next ones. Full
        /// entries of one message for one host leave together, unless `copies` is `Single` or
        /// `addrsperfile` less than 64. 1 for servers that answer the data once for all. Without it, 1,000
        /// over LMTP, and over SMTP 100, which every server has to take (RFC 5321 section 4.5.3.1.8).
        max_rcpt: Option<usize> = None, Maybe(Count(1..=1_000_000)), of(Delivering),
            unit("recipients");
        /// Jobs of this channel at once.
        maxjobs: NonZeroUsize = DEFAULT_MAXJOBS, Count(1..=10_000), of(Served), live, unit("jobs");
        /// Waiting messages of one host for each of its jobs.
        threaddepth: NonZeroUsize = DEFAULT_THREADDEPTH, Count(1..=1_000_000), of(Served), live,
            unit("messages");
        /// The pool its jobs run in.
        pool: String = "DEFAULT".to_owned(), Text, of(Served);
        /// Waiting times between attempts; the last repeats. Without it, those of the original:
        /// 1h, 2h, 2h, 4h, 4h, 4h, 8h; half as long for urgent messages, twice as long for
        /// non-urgent ones.
        backoff: Option<Vec<Duration>> = None, backoff(), of(Served);
        /// The same for urgent messages, above `backoff`.
        urgentbackoff: Option<Vec<Duration>> = None, backoff(), of(Served);
        /// The same for normal messages, above `backoff`.
        normalbackoff: Option<Vec<Duration>> = None, backoff(), of(Served);
        /// The same for non-urgent messages, above `backoff`.
        nonurgentbackoff: Option<Vec<Duration>> = None, backoff(), of(Served);
        /// A "mailbox busy" answer is retried after a short random time.
        mailbox_busy_fast_retry: bool = true, Flag, of(Delivering);
        /// Connections of one job, each to one host.
        max_client_threads: NonZeroUsize = DEFAULT_MAX_CLIENT_THREADS, Count(1..=1_000), of(Served),
            live, unit("connections");
        /// Waiting entries for each job, where hosts alone would not ask for that many jobs. Without
        /// it, jobs come with the hosts.
        filesperjob: Option<NonZeroUsize> = None, Maybe(Count(1..=1_000_000)), of(Served),
            unit("entries");
        /// After this time a job gives way to a successor.
        max_life_time: Duration = minutes(4 * 60), LIFE, of(Served), live_from(1_000);
        /// After its connections asked for work this often, a job gives way to a successor.
        max_life_conns: NonZeroUsize = DEFAULT_MAX_LIFE_CONNS, Count(1..=1_000_000_000), of(Served),
            unit("requests");

        /// Ages of the message at which warnings are sent; at the last it is returned. Without it,
        /// 3, 6, 9 and 12 days.
        notices: Option<Vec<Duration>> = None, ages(), of(Destination),
            group("Who hears of what does not arrive, and when");
        /// The same for urgent messages, above `notices`.
        urgentnotices: Option<Vec<Duration>> = None, ages(), of(Destination);
        /// The same for normal messages, above `notices`.
        normalnotices: Option<Vec<Duration>> = None, ages(), of(Destination);
        /// The same for non-urgent messages, above `notices`.
        nonurgentnotices: Option<Vec<Duration>> = None, ages(), of(Destination);
        /// Which notices of failure the postmaster gets a copy of.
        sendpost: PostmasterCopy = PostmasterCopy::default(), Choice, of(Destination);
        /// Which warnings the postmaster gets a copy of; without it, as `sendpost` says.
        warnpost: Option<PostmasterCopy> = None, Maybe(Choice), of(Destination);

        /// Only addresses that an alias or the directory produced may enter.
        viaaliasrequired: bool = false, Flag, of(DestinationOrLocal),
            group("What it does with addresses and peers");
        /// As a source: `A!user%B` is read as `A!(user%B)`, whose first host is A, and not as
        /// `(A!user)%B`.
        bangoverpercent: bool = false, Flag, of(Rewriting);
        /// As a source: no `!` in a local part names a host; only `%` does.
        percentonly: bool = false, Flag, of(Rewriting);
        /// Hosts of a route (`@A:user@B`, `user%B@A`, `B!user@A`) that lead to this channel are taken
        /// off the address, and rewriting goes on with the rest, as at this machine itself.
        routelocal: bool = false, Flag, of(Destination);
        /// Rewrite rules may depend on this channel: with `false` (`norules`) their `$M` and `$N` hold for
        /// mail that comes in by it, and their `$Q` and `$C` for mail that goes there.
        rules: bool = true, Flag, of(RewritingOrDestination);
        /// The LMTP server takes delivery flags (folder, quota bypass) from the client.
        flagtransfer: bool = false, Flag, of(LmtpSource);
        /// Of an LMTP service: the store puts `Delivered-To` and `Received` in front of a message.
        /// Without it, the store does so unless `flagtransfer` says that the client is a relay of
        /// ours.
        trace: Option<bool> = None, Maybe(Flag), of(LmtpSource);
        /// Pieces of a message (`message/partial`, RFC 2046) wait in the queue until all are there, and leave
        /// as the one message that they make.
        defragment: bool = false, Flag, of(Destination);
        /// How long they wait: what is not complete then passes on as it is.
        defragment_for: Duration = minutes(4 * 60), LIFE, of(Destination);
        /// Address of a folder that a Sieve script files mail into: `@$4O:$U+$S@$D`, with `$U` the user,
        /// `$S` the folder, `$D` the domain of the mailbox, `$O` its source route. Without it such mail
        /// goes to the INBOX.
        fileinto: Option<FolderAddress> = None, Maybe(FileInto), of(Delivering);
        /// The file of a Sieve script that sees all mail that comes in by it.
        sourcefilter: Option<PathBuf> = None, Maybe(Path), of(Source);
        /// The file of a Sieve script that sees all mail that leaves by it.
        destinationfilter: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// How much its destinations get, and what their replies lead to.
        destinations: Destinations = Destinations::default(), Nested::new();
        /// TLS, in each direction of a channel.
        tls: TlsSides = TlsSides::default(), Nested::new();
        /// SASL, in each direction of a channel.
        sasl: SaslSides = SaslSides::default(), Nested::new();
        /// As a client: mail is signed by the keys of `dkim` when it is sent, behind whatever else changes
        /// it.
        dkim_sign: bool = false, Flag, of(Delivering);
        /// As a client: senders of mail that aliases, the directory or a `.forward` send on to another
        /// place become addresses of ours, as the section `srs` says.
        srs: SrsUse = SrsUse::default(), Choice, of(Delivering);
        /// As a source: checks of the origin of mail that strangers bring.
        verify: Verify = Verify::default(), Nested::new();
        /// Message submission (RFC 6409): what comes in lacks `Date` or `Message-ID` no longer, and
        /// users send in their own name only.
        submit: bool = false, Flag, of(SmtpSource);
        /// Of a channel with `submit`: the sender and the addresses of `From:` must be addresses of
        /// the user who has proved who it is.
        sender_must_match: bool = true, Flag, of(SmtpSource);
        /// Whether connections come to and leave this channel by the client's address: the channel
        /// of a service with `Switch` is left for the one that the rewrite rules find for the sender
        /// `postmaster@[address]`. The settings of that one hold for the rest of the session.
        switchchannel: Switch = Switch::default(), Choice, of(Switching);
        /// Recipients while the directory does not answer: `Queue` takes those of
        /// domains that are known to be ours, and all that the client may send to.
        directory_away: DirectoryAway = DirectoryAway::default(), Choice, of(SmtpSource);
        /// Channel to switch to when TLS protects the connection.
        tlsswitchchannel: Option<String> = None, Maybe(Text), of(SmtpSource);
        /// Channel to switch to after authentication: its settings hold for what the user sends.
        saslswitchchannel: Option<String> = None, Maybe(Text), of(SmtpSource);
        /// As a source: filters that mail which comes in by this channel meets, by their names in
        /// `milters`, in place of those of the service: also after a switch to it, by the client's address,
        /// by TLS or by AUTH. `[]`: none.
        milters: Option<Vec<String>> = None, Maybe(milters::names()), of(SmtpSource);
        /// As a source: addresses without a domain, in headers and in MAIL, get the name that the
        /// client calls itself by. Such a sender of a client that we vouch for gets `default_domain`.
        remotehost: bool = false, Flag, of(SmtpSource);
        /// As a source: addresses without a domain in headers get this one. `remotehost` stands above
        /// it.
        defaulthost: Option<String> = None, Maybe(DOMAIN), of(SmtpSource);
        /// As a source: octets above 127 in local parts of MAIL and RCPT, which nobody may send without
        /// SMTPUTF8, are taken as `*`, and those in `Received` lines become `*`. With `false` such
        /// addresses are refused (553), and lines stay as they are.
        asterisk_8bit: bool = true, Flag, of(SmtpSource);
        /// Addresses that mail for this channel is from are reversed, in headers and envelopes, as
        /// the section `reverse` and the mapping `REVERSE` say.
        reverse: bool = true, Flag, of(Destination);
        /// Addresses in the header of mail for this channel (`From`, `Sender`, `Reply-To`, `To`, `Cc`,
        /// `Bcc` and their `Resent-` forms) are rewritten by the rules, as header addresses (`$B`).
        header_rules: bool = false, Flag, of(Destination);
        /// Headers of messages within a message, which other mail forwards, are treated as its own; never
        /// those within signed content, whatever `rewrite_signed` says.
        inner: bool = false, Flag, of(Destination);
        /// Headers of signed mail (DKIM, ARC, S/MIME, PGP/MIME) are treated as those of other mail, which
        /// breaks signatures; without it they stay as they are.
        rewrite_signed: bool = false, Flag, of(Destination);
        /// Postfix: deliver what aliases and .forward leave to this transport.
        mailbox_transport: Option<String> = None, Maybe(TRANSPORT), of(Local);
        /// Postfix: deliver everything to this transport at once; neither aliases nor the directory are
        /// asked.
        local_transport: Option<String> = None, Maybe(TRANSPORT), of(Local);
        /// Postfix: deliver names without a UNIX account to this transport.
        fallback_transport: Option<String> = None, Maybe(TRANSPORT), of(Local);
        /// The characters that separate user and detail in a local part.
        recipient_delimiter: String = "+".to_owned(), DELIMITER, of(Local);
        /// The names by which the directory and aliases are asked for `name+detail`.
        subaddress: Subaddress = Subaddress::default(), Choice, of(Local);
        /// Whether the alias table is asked for `*+*@domain` (of an address with a detail) and `*@domain`,
        /// too, behind an address and before a bare name: everybody of a domain whom nothing else names.
        aliaswild: bool = false, Flag, of(Local);

        /// As a source: size of a message at most.
        sourceblocklimit: u64 = 50 << 20, Size(1 << 10..=1 << 40), of(Source),
            group("What its sessions and jobs may take");
        /// A larger urgent message leaves as a normal one.
        urgentblocklimit: Option<u64> = None, blocks(), of(Destination);
        /// A larger normal message leaves as a non-urgent one.
        normalblocklimit: Option<u64> = None, blocks(), of(Destination);
        /// A larger non-urgent message leaves after all others.
        nonurgentblocklimit: Option<u64> = None, blocks(), of(Destination);
        /// As a source: a message to more recipients, lists expanded, is held.
        holdlimit: Option<usize> = None, Maybe(Count(1..=1_000_000)), of(SmtpSource),
            unit("recipients");
        /// As a source: recipients of a message at most; more get 452.
        recipientlimit: usize = 1_000, Count(1..=1_000_000), of(Source), unit("recipients");
        /// As a source: recipients that may be named for one message, the refused ones among them; when
        /// more were, the message is refused for now (451).
        recipientcutoff: Option<usize> = None, Maybe(COUNT), of(Source), unit("recipients");
        /// As a server: recipients that are refused for good in one session; then every further one
        /// is refused for now (450).
        deferralrejectlimit: Option<usize> = None, Maybe(COUNT), of(Source), unit("recipients");
        /// As a server: transactions of one session; then MAIL is refused for now (450).
        transactionlimit: Option<usize> = None, Maybe(COUNT), of(Source), unit("transactions");
        /// As a server: transactions of one session, after which MAIL and RSET get 421.
        disconnecttransactionlimit: Option<usize> = None, Maybe(COUNT), of(Source),
            unit("transactions");
        /// As a server: recipients named in one session, after which MAIL and RSET get 421.
        disconnectrecipientlimit: Option<usize> = None, Maybe(COUNT), of(Source),
            unit("recipients");
        /// As a server: recipients refused for good in one session, after which MAIL and RSET get
        /// 421.
        disconnectrejectlimit: Option<usize> = None, Maybe(COUNT), of(Source), unit("recipients");
        /// As a source: messages of one client in an hour. A client is an address of IPv4, or a /64 of
        /// IPv6; the limit holds neither for `unlimited_clients` of the service nor for those that
        /// `INTERNAL_IP` vouches for.
        client_messages_per_hour: Option<usize> = None, Maybe(COUNT), of(SmtpSource),
            unit("messages");
        /// As a source: recipients of the messages of one client in an hour.
        client_recipients_per_hour: Option<usize> = None, Maybe(COUNT), of(SmtpSource),
            unit("recipients");
        /// As a source: messages of one user in an hour, who was let in by AUTH, from wherever.
        user_messages_per_hour: Option<usize> = None, Maybe(COUNT), of(SmtpSource),
            unit("messages");
        /// As a source: recipients of the messages of one user in an hour.
        user_recipients_per_hour: Option<usize> = None, Maybe(COUNT), of(SmtpSource),
            unit("recipients");
        /// As a source: the answer to mail beyond these.
        beyond_rates: Excess = Excess::default(), Choice, of(SmtpSource);
        /// Envelopes must be written as the RFCs say: no dots where none may be, addresses in
        /// brackets, upper-case hexadecimal in xtext.
        strict_envelopes: bool = false, Flag, of(Source);
        /// A client that sends commands before the reply which they have to wait for (RFC 2920
        /// section 3.1) is cut off.
        forbid_unauth_pipelining: bool = true, Flag, of(Source);
        /// As a server: length of a command line, CRLF included (RFC 5321 wants 512).
        commandlinelimit: usize = 2_048, Size(512..=1 << 16), of(Source);
        /// Length of a line of content, CRLF included, as a server and as a client; a message with a
        /// longer one is refused, or leaves as `downgrade` says (RFC 5321 asks for 1,000).
        max_line: usize = 1 << 20, Size(1_000..=16 << 20), of(SourceOrDelivering);
        /// As a client: mail with octets above 127 for a server without 8BITMIME, or with lines longer
        /// than `max_line`; and mail that came with SMTPUTF8 and has such octets in its header, for a
        /// server that does not offer it.
        downgrade: Downgrade = Downgrade::default(), Choice, of(Delivering);
        /// As a client: the content in one piece with its commands, by BDAT (RFC 3030).
        chunking: Chunking = Chunking::default(), Choice, of(SmtpDelivering);
        /// As a source: size of a message's header at most; a larger one is refused (552).
        headersizelimit: u64 = 512 << 10, Size(1_000..=16 << 20), of(Source);
        /// As a source: fields of a message's header at most, a folded one counted once; more are
        /// refused (550).
        headerfieldlimit: usize = 1_000, Count(10..=1_000_000), of(Source), unit("fields");
        /// As a source: a message with a NUL is refused (550; RFC 5322 section 4.1 calls NUL
        /// obsolete).
        forbid_nul: bool = true, Flag, of(Source);
        /// As a server: commands without a message handed over before 421.
        disconnectcommandlimit: usize = 1_000, Count(1..=1_000_000_000), of(Source),
            unit("commands");
        /// As a server: commands in error before 421.
        disconnectbadcommandlimit: usize = 20, Count(1..=1_000_000_000), of(Source),
            unit("commands");
        /// As a server: waiting for a command.
        command_receive_time: Duration = minutes(5), PATIENCE, of(Source);
        /// As a server: waiting for more content.
        data_receive_time: Duration = minutes(5), PATIENCE, of(Source);
        /// As a server: octets of content a second, counted over `min_data_rate_time`; a client that
        /// sends more slowly gets 421. 0 is no limit.
        min_data_rate: u64 = 200, Count(0..=1_000_000_000), of(Source), unit("octets");
        /// As a server: the time over which `min_data_rate` is counted.
        min_data_rate_time: Duration = minutes(1), LIFE, of(Source);
        /// As a server: a session that has lasted this long gets 421, wherever its client is.
        session_time: Duration = minutes(60), LIFE, of(Source);
        /// As a server: a session that has brought so many octets gets 421 between two messages.
        session_size: Option<u64> = None, Maybe(Size(1 << 20..=1 << 50)), of(Source);
        /// As a client: connecting.
        connect_time: Duration = Duration::from_secs(30), PATIENCE, of(Delivering);
        /// As a client: all that comes before the first message, from the greeting to the reply to
        /// AUTH, the handshake of TLS included.
        greeting_time: Duration = minutes(5), PATIENCE, of(Delivering);
        /// As a client: waiting for the reply to a command.
        command_transmit_time: Duration = minutes(5), PATIENCE, of(Delivering);
        /// As a client: waiting for the server to take 64 KiB of content.
        data_transmit_time: Duration = minutes(3), PATIENCE, of(Delivering);
        /// As a client: one message, from MAIL to its end of data, and a second more for each KiB: a
        /// server that lets us wait a while at every step is given up then.
        transaction_time: Duration = minutes(60), LIFE, of(Delivering);
        /// As a client: waiting for the replies after the data.
        status_data_receive_time: Duration = minutes(10), PATIENCE, of(Delivering);
        /// As a client: how long a connection without work is kept.
        idle_time: Duration = Duration::from_secs(2), Time(Duration::ZERO..=*PATIENCE.0.end()),
            of(Delivering), live_from(1_000);
        /// As a client: after this time a connection is given up for another one, between two
        /// messages.
        connection_time: Duration = minutes(5), LIFE, of(Delivering);
        /// As a client: messages of one connection. Without it, as many as there are within
        /// `connection_time`.
        connection_messages: Option<usize> = None, Maybe(Count(1..=1_000_000)), of(Delivering),
            unit("messages");
    }
}

choice! {
    /// The program that the jobs of a channel run.
    pub enum Program {
        /// Aliases end here; nothing is delivered by it.
        Local,
        /// SMTP in, SMTP out.
        Smtp,
        /// LMTP in, LMTP out.
        Lmtp,
        /// Puts mail through rewriting again, visible to access checks.
        Process,
        /// Puts mail through rewriting again, invisible to access checks.
        Reprocess,
        /// Looks at parts of mail on its way to another channel, as `conversions` says.
        Conversion,
        /// Keeps mail until an operator releases it.
        Hold,
        /// Hands mail to an approved program.
        Pipe,
        /// Forgets mail.
        Bitbucket,
    }
}

impl Program {
    /// Whether mail that an access table moves may leave by it.
    pub fn takes_diverted(self) -> bool {
        matches!(self, Self::Hold | Self::Smtp | Self::Lmtp | Self::Bitbucket)
    }

    /// Whether parts of mail are looked at before it leaves by it.
    pub fn takes_converted(self) -> bool {
        matches!(self, Self::Smtp | Self::Lmtp | Self::Pipe | Self::Local)
    }
}

choice! {
    /// The form of a source route.
    pub enum RouteStyle = SourceRoute {
        /// `@a,@b:user@c` (`sourceroute`, `822`).
        SourceRoute,
        /// `user%c%b@a` (`percents`, `733`).
        Percents,
        /// `a!b!c!user` (`bangstyle`, `uucp`).
        BangStyle,
    }
}

choice! {
    /// How recipients are divided into queue entries.
    pub enum Copies = SingleSys {
        /// One entry per destination host.
        SingleSys,
        /// One entry per recipient.
        Single,
        /// One entry for the channel, up to `addrsperfile`.
        Multiple,
    }
}

choice! {
    /// The use of BDAT.
    pub enum Chunking = WhenItPays {
        /// For the first message of a connection, of 64 KiB at most, where CHUNKING and PIPELINING are
        /// offered, and neither BDAT nor all recipients of a message were refused of late, or answered oddly
        /// (`chunkingclient`).
        WhenItPays,
        /// All content goes by DATA (`nochunkingclient`).
        Never,
    }
}

choice! {
    /// The fate of mail with octets or lines that a server does not take.
    pub enum Downgrade = Convert {
        /// Parts that hold such are made quoted-printable; signatures over them do not hold any more.
        Convert,
        /// It is returned to its sender.
        Bounce,
    }
}

choice! {
    /// The answer to mail beyond what one may send in an hour.
    pub enum Excess = Refuse {
        /// Refused for now, with 450.
        Refuse,
        /// Taken, and held until an operator releases it.
        Hold,
    }
}

choice! {
    /// Use of MX records.
    pub enum Mx = Default {
        /// MX records of SMTP to port 25, and address records of all else.
        Default,
        /// MX records always.
        Mx,
        /// Address records only.
        NoMx,
        /// No DNS at all: literals and the hosts file.
        NoDns,
    }
}

choice! {
    /// Which notices the postmaster gets a copy of.
    pub enum PostmasterCopy = Never {
        /// None (`nosendpost`).
        Never,
        /// Notices that cannot be sent because the message had no sender (`errsendpost`).
        Error,
        /// All but those (`copysendpost`).
        Copy,
        /// All (`sendpost`).
        Always,
    }
}

choice! {
    /// The fate of a recipient whom the directory cannot be asked about.
    pub enum DirectoryAway = Refuse {
        /// The client reads 451 and comes back.
        Refuse,
        /// The mail is taken, and the reprocess channel asks again until the directory answers.
        Queue,
    }
}

choice! {
    /// Whether connections switch channels by the client's address.
    pub enum Switch = Allow {
        /// Connections come from others, and do not leave it.
        Allow,
        /// Connections come from others, and leave it when it is the channel of a service.
        Switch,
        /// Neither.
        No,
    }
}

choice! {
    /// The names by which `name+detail` is looked for.
    pub enum Subaddress = Relaxed {
        /// `name+detail` alone (`subaddressexact`).
        Exact,
        /// `name+detail`, then `name+*` (`subaddresswild`).
        Wild,
        /// `name+detail`, `name+*`, then `name` (`subaddressrelaxed`).
        Relaxed,
    }
}

impl Channel {
    /// A channel with every default, as if the file gave these three fields alone.
    pub fn new(name: &str, tag: &str, program: Program) -> Self {
        Self { name: name.to_owned(), tag: tag.to_owned(), program, ..Self::blank() }
    }

    /// The port of next hops that name none (RFC 2033 has no number; 24 is IANA's).
    pub fn next_hop_port(&self) -> u16 {
        let usual = if self.program == Program::Smtp { 25 } else { 24 };
        self.port.unwrap_or(usual)
    }

    /// The next hops of all its mail, whatever its domain: `daemon`, unless `multigate` stands above it.
    pub fn fixed_hosts(&self) -> Option<&str> {
        self.daemon.as_deref().filter(|_| !self.multigate)
    }

    /// Recipients of one transaction at most.
    pub fn most_recipients(&self) -> usize {
        let usual = if self.program == Program::Smtp { 100 } else { 1_000 };
        self.max_rcpt.unwrap_or(usual)
    }

    /// Whether the store puts its trace in front of what comes by this channel.
    pub fn traces(&self) -> bool {
        self.trace.unwrap_or(!self.flagtransfer)
    }
}

/// Values that `channel_defaults` gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelDefaults {
    /// A channel that says nothing itself.
    base: Channel,
    /// The fields that need not be repeated.
    given: Vec<&'static str>,
}

/// `channel_defaults`, and the channels they are merged into.
pub(crate) struct Channels(pub(crate) ChannelDefaults);

/// `channel_defaults` itself.
struct Defaults;

/// The section above the channels; it exists in the file only.
impl Section for ChannelDefaults {
    const ABOUT: &'static str = "";

    fn blank() -> Self {
        Self { base: Channel::blank(), given: Vec::new() }
    }

    fn fields(&mut self, form: &mut impl Form) {
        const SETTING: &Setting = &Setting::new(
            "channel_defaults",
            "What channels take that do not say otherwise: any settings of a channel.",
        );
        form.field(SETTING, Defaults, self);
    }
}

impl Kind<ChannelDefaults> for Defaults {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<ChannelDefaults> {
        let mut defaults = ChannelDefaults::blank();
        let mut fields = Fields::open(node, reader)?.without_required();
        defaults.base.fields(&mut fields);
        defaults.given = fields.finish();
        Some(defaults)
    }

    fn print(&self, value: &ChannelDefaults) -> Document {
        print_section(&value.base)
    }

    fn notation(&self) -> Notation {
        Notation::of("section of settings of a channel")
    }
}

impl Kind<Channel> for Channels {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Channel> {
        let ChannelDefaults { base, given } = &self.0;
        let mut channel = base.clone();
        // Kept even when it cannot be read: the index of the others must not change.
        let Some(fields) = Fields::open(node, reader) else { return Some(channel) };
        let mut fields = fields.settled(given);
        channel.fields(&mut fields);
        if !fields.finish().contains(&"private") && !given.contains(&"private") {
            channel.private = channel.multigate;
        }
        // RFC 8461 and RFC 7672 build upon it, and so does everybody's custom.
        if channel.program == Program::Smtp
            && !reader.is_given(&format!("{}.tls.client", node.path))
        {
            channel.tls.client = Insist::May;
        }
        Some(channel)
    }

    fn print(&self, value: &Channel) -> Document {
        print_section(value)
    }

    fn notation(&self) -> Notation {
        Notation::section::<Channel>()
    }
}

fn backoff() -> Maybe<Series> {
    Maybe(Series { most: 8, repeats: true, in_days: false })
}

fn ages() -> Maybe<Series> {
    Maybe(Series { most: 5, repeats: false, in_days: true })
}

fn blocks() -> Maybe<Size> {
    Maybe(Size(0..=1 << 40))
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

const COUNT: Count = Count(1..=1_000_000_000);

const LIFE: Time = Time(Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600));

const DELIMITER: Formed = Formed {
    is: |text| {
        text.len() <= 8 && text.bytes().all(|c| c.is_ascii_punctuation() && !b"@\"<>".contains(&c))
    },
    expected: "punctuation is expected, such as \"+\"; \"\" for none",
};

/// Why nothing comes of `subdirs`.
const SUBDIRS: &str = "the spool keeps messages in segments and finds them by an index, however many \
                       there are: it has no directories to divide them among";

/// The waits between attempts at urgent messages where no `backoff` is given, in minutes, as in the
/// original (sun-mta-engine 3.7).
pub const URGENT_BACKOFF_MINUTES: [u64; 7] = [30, 60, 60, 120, 120, 120, 240];
/// The same for normal messages.
pub const NORMAL_BACKOFF_MINUTES: [u64; 7] = [60, 120, 120, 240, 240, 240, 480];
/// The same for non-urgent messages.
pub const NONURGENT_BACKOFF_MINUTES: [u64; 7] = [120, 240, 240, 480, 480, 480, 960];
/// The ages of notices where no `notices` are given, in days.
pub const NOTICES_DAYS: [u64; 4] = [3, 6, 9, 12];
/// The open recipients of an entry are one machine word in the queue.
pub const MAX_ADDRSPERFILE: usize = 64;
const DEFAULT_MAXJOBS: NonZeroUsize = NonZeroUsize::new(10).unwrap();
const DEFAULT_THREADDEPTH: NonZeroUsize = NonZeroUsize::new(10).unwrap();
const DEFAULT_MAX_CLIENT_THREADS: NonZeroUsize = NonZeroUsize::new(10).unwrap();
const DEFAULT_MAX_LIFE_CONNS: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
