//! Channels: how mail comes in and leaves.

use std::{num::NonZeroUsize, time::Duration};

use crate::sections::tls::Sides;

/// One channel. Field names are the original's keywords.
#[derive(Clone, Debug)]
// Each flag is a keyword of the original, and independent of the others.
#[allow(clippy::struct_excessive_bools)]
pub struct Channel {
    /// `"tcp_local"`; at most 32 characters.
    pub name: String,
    /// The name that rewrite rules route to; compared without regard to case.
    pub tag: String,
    /// What its jobs do.
    pub program: Program,
    /// Remote port; 25 for SMTP and 24 for LMTP when not given.
    pub port: Option<u16>,
    /// Connect here, whatever the address says: `"host"`, `"[127.0.0.1]"`, `"inet:host:port"`
    /// or `"unix:/path"`.
    pub daemon: Option<String>,
    /// Connect to the host of the recipient's route.
    pub multigate: bool,
    /// Rewrite the address once more when it is dequeued and connect to the resulting host.
    pub connectcanonical: bool,
    /// Strip the source route from RCPT TO after it chose the host.
    pub dequeue_removeroute: bool,
    /// The server is one of ours: XQUOTA and XDFLG may be sent unasked. Default: `multigate`.
    pub private: bool,
    /// Use of MX records.
    pub mx: Mx,
    /// How recipients are divided into queue entries.
    pub copies: Copies,
    /// Recipients of one queue entry at most; 1 to 64, default 64.
    pub addrsperfile: usize,
    /// As a client: recipients of one transaction at most; the others of an entry follow in the
    /// next ones. 1 for servers that answer the data once for all; default 64, which is a whole
    /// entry.
    pub max_rcpt: usize,
    /// Jobs of this channel at once; default 10.
    pub maxjobs: NonZeroUsize,
    /// Waiting messages of one host for each of its jobs; default 10.
    pub threaddepth: NonZeroUsize,
    /// The pool its jobs run in.
    pub pool: String,
    /// Waiting times between attempts; the last repeats. `None` is the built-in series.
    pub backoff: Option<Vec<Duration>>,
    /// The same for urgent messages, above `backoff`.
    pub urgentbackoff: Option<Vec<Duration>>,
    /// The same for normal messages.
    pub normalbackoff: Option<Vec<Duration>>,
    /// The same for non-urgent messages.
    pub nonurgentbackoff: Option<Vec<Duration>>,
    /// Ages of the message at which warnings are sent; at the last it is returned. `None` is 3,
    /// 6, 9 and 12 days.
    pub notices: Option<Vec<Duration>>,
    /// The same for urgent messages, above `notices`.
    pub urgentnotices: Option<Vec<Duration>>,
    /// The same for normal messages.
    pub normalnotices: Option<Vec<Duration>>,
    /// The same for non-urgent messages.
    pub nonurgentnotices: Option<Vec<Duration>>,
    /// Which notices of failure the postmaster gets a copy of; default `Never`.
    pub sendpost: PostmasterCopy,
    /// The same for warnings; as `sendpost` when not given.
    pub warnpost: Option<PostmasterCopy>,
    /// An urgent message of more octets leaves as a normal one.
    pub urgentblocklimit: Option<u64>,
    /// A normal message of more octets leaves as a non-urgent one.
    pub normalblocklimit: Option<u64>,
    /// A non-urgent message of more octets leaves after all others.
    pub nonurgentblocklimit: Option<u64>,
    /// As a source: a message to more recipients, lists expanded, is held.
    pub holdlimit: Option<usize>,
    /// A "mailbox busy" answer is retried after a short random time; default true.
    pub mailbox_busy_fast_retry: bool,
    /// Threads of one job, each a connection to one host; 1 to 1,000, default 10.
    pub max_client_threads: NonZeroUsize,
    /// Waiting entries for each job, where threads alone would not ask for that many; 1 to
    /// 1,000,000. `None`: jobs come with the threads.
    pub filesperjob: Option<NonZeroUsize>,
    /// After this time a job gives way to a successor; 1 second to 30 days, default 4 hours.
    pub max_life_time: Duration,
    /// After its threads asked for work this often, a job gives way to a successor; 1 to
    /// 1,000,000,000, default 20,000.
    pub max_life_conns: NonZeroUsize,
    /// Only addresses that an alias or the directory produced may enter.
    pub viaaliasrequired: bool,
    /// The LMTP server takes delivery flags (folder, quota bypass) from the client.
    pub flagtransfer: bool,
    /// Of an LMTP service: the store puts `Delivered-To` and `Received` in front of a message; when
    /// not given, it does so unless `flagtransfer` says that the client is a relay of ours.
    pub trace: Option<bool>,
    /// `message/partial` is put together first.
    pub defragment: bool,
    /// Address form of a Sieve fileinto.
    pub fileinto: Option<String>,
    /// TLS.
    pub tls: Sides,
    /// SASL.
    pub sasl: Sides,
    /// Message submission semantics.
    pub submit: bool,
    /// Incoming connections may switch to or from this channel by the client's address.
    pub switchchannel: Switch,
    /// Channel to switch to after authentication.
    pub saslswitchchannel: Option<String>,
    /// Complete unqualified addresses with the remote host's name.
    pub remotehost: bool,
    /// Address reversal on mail enqueued here; default true.
    pub reverse: bool,
    /// Postfix: deliver what aliases and .forward leave to this transport.
    pub mailbox_transport: Option<String>,
    /// Postfix: deliver everything to this transport at once.
    pub local_transport: Option<String>,
    /// Postfix: deliver names without a UNIX account to this transport.
    pub fallback_transport: Option<String>,
    /// What separates user and detail in a local part.
    pub recipient_delimiter: String,
    /// As a source: octets of a message at most; default 50 MiB.
    pub sourceblocklimit: u64,
    /// As a source: recipients of a message at most, more get 452; default 1,000.
    pub recipientlimit: usize,
    /// As a server: octets of a command line, CRLF included; default 2,048 (RFC 5321 wants 512).
    pub commandlinelimit: usize,
    /// Envelopes must be written as the RFCs say: no dots where none may be, addresses in brackets,
    /// upper-case hexadecimal in xtext.
    pub strict_envelopes: bool,
    /// A client that sends commands before the reply which they have to wait for (RFC 2920 section
    /// 3.1) is cut off; default true.
    pub forbid_unauth_pipelining: bool,
    /// Octets of a line of content, CRLF included, as a server and as a client; a message with a
    /// longer one is refused. Default 1 MiB (RFC 5321 asks for 1,000).
    pub max_line: usize,
    /// As a server: commands without a message handed over before 421; default 1,000.
    pub disconnectcommandlimit: usize,
    /// As a server: commands in error before 421; default 20.
    pub disconnectbadcommandlimit: usize,
    /// As a server: waiting for a command; default 5 minutes.
    pub command_receive_time: Duration,
    /// As a server: waiting for more content; default 5 minutes.
    pub data_receive_time: Duration,
    /// As a client: connecting; default 30 seconds.
    pub connect_time: Duration,
    /// As a client: waiting for the reply to a command; default 5 minutes.
    pub command_transmit_time: Duration,
    /// As a client: waiting for the replies after the data; default 10 minutes.
    pub status_data_receive_time: Duration,
    /// As a client: how long a connection without work is kept; default 2 seconds.
    pub idle_time: Duration,
}

/// What the jobs of a channel do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// Keeps mail until an operator releases it.
    Hold,
    /// Hands mail to an approved program.
    Pipe,
    /// Forgets mail.
    Bitbucket,
}

/// How recipients are divided into queue entries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Copies {
    /// One entry per destination host.
    #[default]
    SingleSys,
    /// One entry per recipient.
    Single,
    /// One entry for the channel, up to `addrsperfile`.
    Multiple,
}

/// Use of MX records.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mx {
    /// MX records, for SMTP.
    #[default]
    Default,
    /// MX records always.
    Mx,
    /// Address records only.
    NoMx,
    /// No DNS at all: literals and the hosts file.
    NoDns,
}

/// Which notices the postmaster gets a copy of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PostmasterCopy {
    /// None (`nosendpost`).
    #[default]
    Never,
    /// Those that cannot be sent because the message had no sender (`errsendpost`).
    Error,
    /// All but those (`copysendpost`).
    Copy,
    /// All (`sendpost`).
    Always,
}

/// Whether connections switch channels by the client's address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Switch {
    /// Others may switch to this one, it does not switch away.
    #[default]
    Allow,
    /// Connections switch away from it and to it.
    Switch,
    /// Neither.
    No,
}

impl Channel {
    /// A channel with every default, as if the file gave these three fields alone.
    pub fn new(name: &str, tag: &str, program: Program) -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
            program,
            port: None,
            daemon: None,
            multigate: false,
            connectcanonical: false,
            dequeue_removeroute: false,
            private: false,
            mx: Mx::default(),
            copies: Copies::default(),
            addrsperfile: MAX_ADDRSPERFILE,
            max_rcpt: MAX_ADDRSPERFILE,
            maxjobs: DEFAULT_MAXJOBS,
            threaddepth: DEFAULT_THREADDEPTH,
            pool: "DEFAULT".to_owned(),
            backoff: None,
            urgentbackoff: None,
            normalbackoff: None,
            nonurgentbackoff: None,
            notices: None,
            urgentnotices: None,
            normalnotices: None,
            nonurgentnotices: None,
            sendpost: PostmasterCopy::default(),
            warnpost: None,
            urgentblocklimit: None,
            normalblocklimit: None,
            nonurgentblocklimit: None,
            holdlimit: None,
            mailbox_busy_fast_retry: true,
            max_client_threads: DEFAULT_MAX_CLIENT_THREADS,
            filesperjob: None,
            max_life_time: minutes(4 * 60),
            max_life_conns: DEFAULT_MAX_LIFE_CONNS,
            viaaliasrequired: false,
            flagtransfer: false,
            trace: None,
            defragment: false,
            fileinto: None,
            tls: Sides::default(),
            sasl: Sides::default(),
            submit: false,
            switchchannel: Switch::default(),
            saslswitchchannel: None,
            remotehost: false,
            reverse: true,
            mailbox_transport: None,
            local_transport: None,
            fallback_transport: None,
            recipient_delimiter: "+".to_owned(),
            sourceblocklimit: 50 << 20,
            recipientlimit: 1_000,
            commandlinelimit: 2_048,
            strict_envelopes: false,
            forbid_unauth_pipelining: true,
            max_line: 1 << 20,
            disconnectcommandlimit: 1_000,
            disconnectbadcommandlimit: 20,
            command_receive_time: minutes(5),
            data_receive_time: minutes(5),
            connect_time: Duration::from_secs(30),
            command_transmit_time: minutes(5),
            status_data_receive_time: minutes(10),
            idle_time: Duration::from_secs(2),
        }
    }

    /// Whether the store puts its trace in front of what comes by this channel.
    pub fn traces(&self) -> bool {
        self.trace.unwrap_or(!self.flagtransfer)
    }
}

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
