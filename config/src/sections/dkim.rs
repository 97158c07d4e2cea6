//! Signatures of mail that leaves (DKIM, RFC 6376).

use std::{path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Maybe},
        form::Nested,
        kinds::{Choice, Flag, Formed, Path, Time},
        names::DOMAIN,
    },
    grammar::is_domain_name,
};

section! {
    /// Signatures of mail that leaves by channels with `dkim_sign` (DKIM, RFC 6376). A message is
    /// signed for the domain of its `From:`, by every key of that domain. Mail that outsiders
    /// brought is signed in the name of nobody but the list or forward that gave it its sender.
    pub struct Dkim {
        /// Keys, of which a domain may have several: one is RSA and one Ed25519, say, each with a
        /// selector of its own.
        keys: Vec<DkimKey> = Vec::new(), Few(List(Nested::new()), 10_000),
            example(r#"[(domain: "example.org", selector: "s2026", key: "/etc/relais/dkim.pem")]"#);
        /// Fields of the header that are signed, as often as a message has them; `From` always is.
        headers: Vec<String> = signed(), Few(List(FIELD), 100);
        /// Fields that nobody may add to a signed message: they are signed once more than the message
        /// has them.
        oversign: Vec<String> = oversigned(), Few(List(FIELD), 100);
        /// The form in which the header is signed.
        header_form: Canonicalization = Canonicalization::default(), Choice;
        /// The form in which the body is signed.
        body_form: Canonicalization = Canonicalization::default(), Choice;
        /// Signatures do not hold any longer than this. Without it they hold as long as the key is
        /// published.
        expire: Option<Duration> = None, Maybe(EXPIRY);
    }
}

section! {
    /// A key, and whose mail it signs.
    pub struct DkimKey {
        /// The domain whose mail it signs; the `d=` of its signatures.
        domain: String = String::new(), DOMAIN, example(r#""example.org""#);
        /// The public key is published as `SELECTOR._domainkey.DOMAIN`.
        selector: String = String::new(), SELECTOR, example(r#""s2026""#);
        /// PEM private key (PKCS#8, or PKCS#1): RSA of 2048 bits at least, or Ed25519. It is read
        /// again when it changes.
        key: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/dkim.pem""#);
        /// Mail from domains below this one is signed by it, too, where no key is nearer.
        subdomains: bool = true, Flag;
    }
}

choice! {
    /// Changes on the way that a signature bears with (RFC 6376 section 3.4).
    pub enum Canonicalization = Relaxed {
        /// Other blanks and folds.
        Relaxed,
        /// Nothing.
        Simple,
    }
}

/// As RFC 6376 section 5.4.1 advises.
fn signed() -> Vec<String> {
    [
        "From",
        "Sender",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
        "To",
        "Cc",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-ID",
        "Content-Description",
        "Resent-Date",
        "Resent-From",
        "Resent-Sender",
        "Resent-To",
        "Resent-Cc",
        "Resent-Message-ID",
        "In-Reply-To",
        "References",
        "List-Id",
        "List-Help",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "List-Subscribe",
        "List-Post",
        "List-Owner",
        "List-Archive",
    ]
    .map(str::to_owned)
    .into()
}

fn oversigned() -> Vec<String> {
    ["From", "Reply-To", "Subject", "Date", "Message-ID", "To", "Cc"].map(str::to_owned).into()
}

/// A name that may stand in `h=`.
const FIELD: Formed = Formed {
    is: |text| {
        let fits = |c: u8| c.is_ascii_graphic() && c != b':' && c != b';';
        (1..=76).contains(&text.len()) && text.bytes().all(fits)
    },
    expected: "the name of a header field is expected, such as \"Subject\"",
};

const SELECTOR: Formed = Formed {
    is: |text| text.len() <= 63 && is_domain_name(text),
    expected: "labels of a domain name are expected, such as \"s2026\" or \"march.mail\"",
};

const EXPIRY: Time = Time(Duration::from_secs(3_600)..=Duration::from_secs(3_650 * 24 * 3_600));
