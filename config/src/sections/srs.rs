//! Senders of mail that is forwarded (Sender Rewriting Scheme).

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::file::{
    collections::{Few, List},
    kinds::{Parsed, Path, Time},
    names::DOMAIN,
};

section! {
    /// Senders of mail that is forwarded to another place, by channels with `srs`: SPF of their own
    /// domain does not let us send, and so they are wrapped into an address of ours
    /// (`SRS0=hash=day=domain=user@`), as postsrsd and libsrs2 do it. What comes back to such an address
    /// goes to the sender within. The envelope in the queue keeps the sender as it came.
    pub struct Srs {
        /// The domain of such addresses. Mail for it must come to us.
        domain: String = String::new(), DOMAIN, example(r#""srs.example.org""#);
        /// The file of secrets, one in each line, which nobody else should be able to read. The first
        /// one makes addresses; those behind it are still believed. It is read again when it changes.
        secrets: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/srs.secret""#);
        /// After this time nothing comes back to an address any more.
        max_age: Duration = Duration::from_secs(21 * DAY), AGE;
        /// More domains whose senders are ours, and are left as they are; so are those of
        /// `domain` and `default_domain`, and of domains below them.
        own_domains: Vec<String> = Vec::new(), Few(List(DOMAIN), 1_000);
        /// The addresses that others see us send from. A sender whose SPF lets them all send needs
        /// no other address (`Needed`). Without them every sender does whose domain has SPF.
        addresses: Vec<IpAddr> = Vec::new(), Few(List(ADDRESS), 16);
    }
}

choice! {
    /// Whether senders of mail that is forwarded become addresses of ours.
    pub enum SrsUse = Never {
        /// All are left as they are.
        Never,
        /// Senders become others whose domain has SPF that does not let us send.
        Needed,
        /// All senders become others that are not ours.
        Always,
    }
}

const ADDRESS: Parsed = Parsed { expected: "an address is expected, such as \"192.0.2.1\"" };
const AGE: Time = Time(Duration::from_secs(DAY)..=Duration::from_secs(1_000 * DAY));
const DAY: u64 = 86_400;
