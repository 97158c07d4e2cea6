//! Alarms about mailboxes that cannot be written: each is told once, and not for each message.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use tracing::{info, warn};

/// The alarms that are raised.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// The place, relative to the root, and what the system says.
    now: HashMap<String, String>,
    /// Faults that kept no message from its place and were told.
    told: HashSet<String>,
}

impl Alarms {
    /// A message cannot be written to the mailbox, or the folder, or the place on the way there,
    /// `mailbox`. Tells the operator unless that is known; `culprit` finds what is to blame.
    pub(super) fn raise(
        &mut self,
        mailbox: &str,
        error: &io::Error,
        culprit: impl FnOnce() -> String,
    ) {
        let said = error.to_string();
        if self.now.get(mailbox) == Some(&said) {
            return;
        }
        if self.now.len() >= MAX_ALARMS {
            // Better told twice than not at all.
            self.now.clear();
        }
        let path = culprit();
        warn!(
            mailbox, path, error = %said,
            "a mailbox cannot be written: its mail is refused for now"
        );
        self.now.insert(mailbox.to_owned(), said);
    }

    /// A message was written to it.
    pub(super) fn clear(&mut self, mailbox: &str) {
        if !self.now.is_empty() && self.now.remove(mailbox).is_some() {
            info!(mailbox, "a mailbox can be written again");
        }
    }

    /// Something went wrong that keeps no message from its place.
    pub(super) fn tell(&mut self, path: &str, error: &io::Error, what: &str) {
        if self.told.len() >= MAX_ALARMS {
            self.told.clear();
        }
        if self.told.insert(format!("{path} {what} {error}")) {
            warn!(path, %error, "{what}");
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.now.len()
    }
}

const MAX_ALARMS: usize = 10_000;
