//! Certificates, and what a channel asks of TLS and SASL.

use std::{path::PathBuf, time::Duration};

use crate::file::{
    collections::{Few, List, Maybe},
    form::Nested,
    kinds::{Choice, Count, Flag, PATIENCE, Path},
    setting::Role::Source,
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
        /// When we are the client.
        client: Insist = Insist::default(), Choice,
            not_yet("TLS towards other hosts is not there yet: mail leaves in clear");
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
        /// When we are the client.
        client: Insist = Insist::default(), Choice,
            not_yet("authentication at other hosts is not there yet: none is tried");
        /// The file with `host user password` lines, for us as the client.
        credentials: Option<PathBuf> = None, Maybe(Path),
            not_yet("authentication at other hosts is not there yet: the file is not used");
    }
}
