//! The share of one session: what a peer may have of it before it has to come again.

use std::time::Duration;

/// The bounds on all of a session. `usize::MAX` and `u64::MAX` are no bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionLimits {
    /// Transactions; MAIL is refused for now behind the last.
    pub transactions: usize,
    /// Transactions, behind which the session ends.
    pub transactions_to_end: usize,
    /// Recipients that were named, behind which the session ends.
    pub recipients: usize,
    /// Recipients that were refused for good, behind which the session ends.
    pub rejects: usize,
    /// The same, behind which every further recipient is refused for now.
    pub rejects_to_defer: usize,
    /// Octets from the peer, behind which the session ends between two messages.
    pub octets: u64,
    /// From the greeting to the end, wherever the peer is then.
    pub time: Duration,
}

#[cfg(test)]
impl SessionLimits {
    /// None but an hour.
    pub(super) const UNLIMITED: Self = Self {
        transactions: usize::MAX,
        transactions_to_end: usize::MAX,
        recipients: usize::MAX,
        rejects: usize::MAX,
        rejects_to_defer: usize::MAX,
        octets: u64::MAX,
        time: Duration::from_secs(3_600),
    };
}

/// The part of it that is spent.
#[derive(Debug, Default)]
pub(super) struct Budget {
    transactions: usize,
    recipients: usize,
    rejects: usize,
}

impl Budget {
    /// A sender was named, and may send.
    pub(super) fn begin_transaction(&mut self) {
        self.transactions += 1;
    }

    /// A recipient was named.
    pub(super) fn name_recipient(&mut self) {
        self.recipients += 1;
    }

    /// A recipient was refused for good.
    pub(super) fn reject_recipient(&mut self) {
        self.rejects += 1;
    }

    /// Whether there was a transaction.
    pub(super) fn has_begun(&self) -> bool {
        self.transactions > 0
    }

    /// Whether the next MAIL is refused.
    pub(super) fn has_no_transaction(&self, limits: &SessionLimits) -> bool {
        self.transactions >= limits.transactions
    }

    /// Whether the next recipient is refused for now.
    pub(super) fn defers_recipients(&self, limits: &SessionLimits) -> bool {
        self.rejects >= limits.rejects_to_defer
    }

    /// Whether the session ends; to be asked between transactions.
    pub(super) fn is_spent(&self, limits: &SessionLimits) -> bool {
        self.transactions >= limits.transactions_to_end
            || self.recipients >= limits.recipients
            || self.rejects >= limits.rejects
    }
}
