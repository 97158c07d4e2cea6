//! The shipped front end before two of the shipped back ends, and the directory of their users.

use std::path::PathBuf;

use crate::{Authority, Instance, Ldif, Settings, Slapd, free_port, needs, needs_root};

/// Each store has its own loopback address, 127.0.0.2 and 127.0.0.3, under the names that the relay's
/// configuration has for them: its program sees a hosts file that says so.
#[derive(Debug)]
pub struct TwoTiers {
    /// The directory.
    pub slapd: Slapd,
    /// `relay1.siroe.com`.
    pub relay: Instance,
    /// `store1.siroe.com` and `store2.siroe.com`.
    pub stores: [Instance; 2],
}

impl TwoTiers {
    /// Whether this machine has what it takes.
    pub fn are_possible() -> bool {
        needs(&[Slapd::PROGRAM, "unshare", "mount"]) && needs_root()
    }

    /// Nothing but the directory runs yet. `store` may change the settings of the first and the second
    /// store.
    pub fn new(people: &Ldif, relay: &str, store: impl Fn(usize, Settings) -> Settings) -> Self {
        let slapd = Slapd::start(people.text());
        let port = free_port();
        let stores = [0, 1].map(|n| {
            let settings = Settings::store_at(&Self::address(n), port)
                .edit("host: \"store1.siroe.com\"", &format!("host: \"{}\"", Self::HOSTS[n]));
            Instance::new(store(n, settings))
        });
        let mut settings = Settings::relay_of_stores(free_port(), port, &slapd);
        if !relay.is_empty() {
            settings = settings.channel("tcp_lmtpcs", relay);
        }
        let named = |n: usize| format!("{} {}\n", Self::address(n), Self::HOSTS[n]);
        let hosts = format!("127.0.0.1 localhost\n{}{}", named(0), named(1));
        let relay = Instance::new(settings).with_hosts(&hosts);
        Authority::new(relay.data()).sign("relay1", &["relay1.siroe.com"], 2099);
        Self { slapd, relay, stores }
    }

    /// Their names.
    pub const HOSTS: [&str; 2] = ["store1.siroe.com", "store2.siroe.com"];

    /// The loopback address of a store.
    pub fn address(store: usize) -> String {
        format!("127.0.0.{}", store + 2)
    }

    /// The mailbox of a user, or a folder of it (`Maildir/.Work`).
    pub fn maildir(&self, store: usize, (user, domain): (&str, &str), folder: &str) -> PathBuf {
        self.stores[store].store().join(domain).join(user).join("Maildir").join(folder)
    }
}
