//! Certificates, and what a channel asks of TLS and SASL.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Maybe, Table},
        document::Document,
        form::{Kind, Nested},
        kinds::{Choice, Count, Flag, PATIENCE, Path, Text},
        names::DOMAIN,
        notation::Notation,
        reader::{Node, Reader},
        setting::Role::{Delivering, SmtpDelivering, Source},
        source::shorten,
    },
    grammar::{ascii_domain, undotted},
    sections::notary::MAILBOX,
};

section! {
    /// Certificates, and how TLS is spoken. `relais cert` shows what the files hold.
    pub struct Tls {
        /// PEM chain, leaf first. A client is shown this one when it names no host (SNI), or one
        /// that no certificate is for.
        certificate: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/host.crt""#);
        /// PEM private key: RSA of 2048 bits at least, ECDSA P-256 or P-384, or Ed25519.
        key: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/host.key""#);
        /// Certificates for other host names, or of another kind of key for the same.
        more_certificates: Vec<KeyPair> = Vec::new(), Few(List(Nested::new()), 1_000);
        /// The oldest version that is spoken.
        min_version: TlsVersion = TlsVersion::default(), Choice;
        /// TLS 1.3 session tickets that a client is given after a handshake; 0 resumes no session,
        /// of TLS 1.2 neither (senders of 2024 and later have given up on servers that send them).
        session_tickets: usize = 2, Count(0..=8), unit("tickets");
        /// PEM certificates of authorities. Clients are asked for a certificate; one of these
        /// authorities, with a mail address of a user, lets that user in by AUTH EXTERNAL. No client
        /// is refused for its certificate.
        client_ca: Option<PathBuf> = None, Maybe(Path);
        /// How long a handshake may take.
        handshake_time: Duration = Duration::from_secs(30), PATIENCE;
    }
}

section! {
    /// A certificate, and its key.
    pub struct KeyPair {
        /// PEM chain, leaf first.
        certificate: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/other.crt""#);
        /// PEM private key.
        key: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/other.key""#);
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion = Tls12 {
        /// TLS 1.2 (RFC 5246).
        Tls12,
        /// TLS 1.3 (RFC 8446).
        Tls13,
    }
}

choice! {
    /// Whether TLS or SASL is refused, offered or insisted upon.
    pub enum Insist = No {
        /// Not offered, not tried.
        No,
        /// Offered, or tried when the peer offers it.
        May,
        /// Nothing moves without it.
        Must,
    }
}

section! {
    /// TLS, in each direction of a channel.
    pub struct TlsSides {
        /// When we are the server: STARTTLS. `Must` takes no mail in clear.
        server: Insist = Insist::default(), Choice, of(Source);
        /// When we are the client: STARTTLS. `May` goes on in clear where TLS is not offered or fails,
        /// and is `No` on UNIX sockets; with `Must` the mail waits instead. Without it, `May` of a channel
        /// of program `Smtp`. What destinations publish (`dane`, `mta_sts`) and `policies` say stands
        /// above it.
        client: Insist = Insist::default(), Choice, of(Delivering);
        /// As a client: TLS from the first octet (port 465 and its like), and no STARTTLS.
        implicit: bool = false, Flag, of(Delivering);
        /// As a client that insists (`Must`): the certificate must be signed by an authority that we
        /// know, and be for the host's name. With `false` any certificate will do. With `May` the log
        /// says whether it is good.
        verify: bool = true, Flag, of(Delivering);
        /// As a client: names of which the certificate must have one, in place of the name that is
        /// connected to; for addresses, UNIX sockets and names that come from elsewhere.
        names: Vec<String> = Vec::new(), Few(List(DOMAIN), 100), of(Delivering);
        /// As a client: PEM certificates of the authorities that servers' certificates are judged by.
        /// Without it, those that the system trusts.
        ca: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// As a client: PEM chain, leaf first, that servers are shown when they ask.
        certificate: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// As a client: PEM private key of that certificate.
        key: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// As a client: hosts that publish TLSA records, proved by DNSSEC from `dns.trust_anchor` down,
        /// must match them (RFC 7672); where somebody keeps the records from us, the mail waits. The name
        /// servers must pass on what DNSSEC needs.
        dane: bool = false, Flag, of(Delivering);
        /// As a client: the policies that domains publish by MTA-STS (RFC 8461) are fetched, kept in
        /// `mta-sts` below the data folder, and obeyed; those in mode `testing` are only reported.
        mta_sts: bool = false, Flag, of(SmtpDelivering);
        /// As a client: single destinations, by the domain that mail is for or the host that the channel
        /// connects to: `"example.com"`, or `".example.com"` for all below it. The nearest holds.
        policies: BTreeMap<String, DestinationTls> = BTreeMap::new(), Destinations;
    }
}

section! {
    /// TLS towards one destination. What is not given is as the channel has it.
    pub struct DestinationTls {
        /// How far TLS is needed, whatever the destination publishes. Without it, `dane` and `mta_sts`
        /// have their say.
        level: Option<TlsLevel> = None, Maybe(Choice);
        /// DANE is looked for, where no `level` is given.
        dane: Option<bool> = None, Maybe(Flag);
        /// MTA-STS is looked for, where no `level` is given.
        mta_sts: Option<bool> = None, Maybe(Flag);
        /// With `Verify`: names of which the certificate must have one, in place of the server's.
        names: Vec<String> = Vec::new(), Few(List(DOMAIN), 100);
        /// With `Verify`: PEM certificates of the authorities that the certificate is judged by.
        ca: Option<PathBuf> = None, Maybe(Path);
        /// The oldest version that is spoken.
        min_version: Option<TlsVersion> = None, Maybe(Choice);
    }
}

choice! {
    /// How far TLS with one destination is needed.
    pub enum TlsLevel {
        /// It is not begun.
        No,
        /// It is begun where it is offered; in clear where it fails.
        May,
        /// No mail without it; any certificate will do.
        Encrypt,
        /// No mail without a certificate of an authority that we know, for the host's name or one of
        /// `names`.
        Verify,
        /// No mail without a certificate that matches TLSA records.
        Dane,
    }
}

section! {
    /// Policies of MTA-STS (RFC 8461), which channels with `mta_sts` obey; and places on the web that
    /// `tls_reports` go to.
    pub struct MtaSts {
        /// PEM certificates of the authorities that their servers are judged by. Without it, those that
        /// the system trusts.
        ca: Option<PathBuf> = None, Maybe(Path);
        /// Their servers may have loopback and private addresses; for closed networks.
        private_addresses: bool = false, Flag;
    }
}

impl DestinationTls {
    /// Whether TLSA records are looked for because of it.
    pub fn wants_dane(&self) -> bool {
        match self.level {
            Some(level) => level == TlsLevel::Dane,
            None => self.dane == Some(true),
        }
    }
}

section! {
    /// Reports of TLS (RFC 8460), by mail and HTTPS, to domains that mail was sent to and that want them.
    /// Whatever stands here,
    /// the results of each day of UTC are written to `tlsrpt` below the data folder.
    pub struct TlsReporting {
        /// The address that reports are from. DKIM should sign for its domain.
        sender: String = String::new(), MAILBOX, example(r#""tls-reports@example.org""#), queue;
        /// The name of the reporting organization. Without it, `host`.
        organization: Option<String> = None, Maybe(Text), queue;
        /// The address for questions about reports. Without it, `sender`.
        contact: Option<String> = None, Maybe(MAILBOX), queue;
    }
}

/// `{"example.com": (...), ".example.com": (...)}`.
struct Destinations;

impl Kind<BTreeMap<String, DestinationTls>> for Destinations {
    fn read<'a>(
        &self,
        node: &Node<'a>,
        reader: &mut Reader<'a>,
    ) -> Option<BTreeMap<String, DestinationTls>> {
        let read = Table(Nested::new()).read(node, reader)?;
        let mut destinations = BTreeMap::new();
        for (key, value) in read {
            let (dot, name) = key.strip_prefix('.').map_or(("", key.as_str()), |name| (".", name));
            if let Some(name) = ascii_domain(name) {
                destinations.insert(format!("{dot}{}", undotted(&name)), value);
            } else {
                let path = node.entry(&key, node.text).path;
                let message = format!("{:?} is no domain", shorten(&key));
                let accepted = "\"example.com\" or \".example.com\" is expected";
                reader.mistake_at(&path, &message, accepted);
            }
        }
        Some(destinations)
    }

    fn print(&self, value: &BTreeMap<String, DestinationTls>) -> Document {
        Table(Nested::new()).print(value)
    }

    fn notation(&self) -> Notation {
        Kind::<BTreeMap<String, DestinationTls>>::notation(&Table(Nested::<DestinationTls>::new()))
    }
}

section! {
    /// SASL, in each direction of a channel.
    pub struct SaslSides {
        /// When we are the server: AUTH, against the directory. A client that has proved who it is
        /// may send to domains that are not ours; `Must` takes mail from no other. Over LMTP, clients
        /// that `INTERNAL_IP` knows and those of a UNIX socket need no login even so.
        server: Insist = Insist::default(), Choice, of(Source);
        /// AUTH is offered without TLS, too: passwords may pass in clear.
        without_tls: bool = false, Flag, of(Source);
        /// SCRAM-SHA-256 is offered, too, and bound to the TLS session where the client can. For
        /// users whose `userPassword` is `{SCRAM-SHA-256}` (`doveadm pw -s SCRAM-SHA-256` makes it):
        /// programs prefer SCRAM, and the others cannot log in by it.
        scram: bool = false, Flag, of(Source);
        /// When we are the client: AUTH, with what `credentials` has for the host. `May` goes on without
        /// where it has nothing, or the server offers none; with `Must` the mail waits instead.
        client: Insist = Insist::default(), Choice, of(Delivering);
        /// As a client: the file of passwords, which nobody else should be able to read. Each line is
        /// `HOST[:PORT] USER:PASSWORD`, as Postfix has it; without a password it is for the
        /// certificate that we show (EXTERNAL). It is read again when it changes.
        credentials: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// As a client: a file with an access token of OAuth 2.0, for servers that offer OAUTHBEARER or
        /// XOAUTH2: the token alone, or a JSON object with `access_token`. `credentials` has the user. It
        /// is read again when it changes.
        token_file: Option<PathBuf> = None, Maybe(Path), of(Delivering);
        /// As a client: a command that prints such a token, the program by its absolute path and its
        /// arguments (`["/usr/local/bin/token", "mail"]`); no shell is asked. It runs as the engine's own user, once for all connections, and
        /// again before the token ends, as `expires_in` beside `access_token` says; without that, after a
        /// minute, and when a server refused the token.
        token_command: Vec<String> = Vec::new(), Few(List(Text), 100), of(Delivering);
        /// As a client: a token command that takes longer is killed.
        token_time: Duration = Duration::from_secs(30), PATIENCE, of(Delivering);
        /// As a client: a server may be sent the password or the token itself (PLAIN, LOGIN, OAUTHBEARER,
        /// XOAUTH2) without TLS, too, and by SMTP behind TLS whose certificate is not good. It always may
        /// on this machine.
        clear_passwords: bool = false, Flag, of(Delivering);
    }
}
