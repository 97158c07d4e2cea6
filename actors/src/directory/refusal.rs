//! Why an entry takes no mail, and what its sender gets to read.

use relais_channels::mail::{Enhanced, Reply};

use super::entry::Kind;

/// Why mail for an entry cannot go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryError {
    /// Neither a mail user nor a mail group: as if it were not there.
    #[error("neither a mail user nor a mail group")]
    NotMail,
    /// Several entries have the address.
    #[error("{0} entries have this address")]
    Ambiguous(usize),
    /// Status.
    #[error("inactive")]
    Inactive(Kind),
    /// Status.
    #[error("disabled")]
    Disabled(Kind),
    /// Status.
    #[error("deleted")]
    Deleted,
    /// Status.
    #[error("over quota")]
    OverQuota,
    /// No uid.
    #[error("the entry has no uid")]
    NoUid,
    /// A uid that cannot name a mailbox.
    #[error("the uid {0:?} cannot name a mailbox")]
    BadUid(String),
    /// No mail host, and the domain has no smart host.
    #[error("the entry has no mailHost")]
    NoMailHost,
    /// Not a host.
    #[error("mailHost {0:?} is not a host name")]
    BadMailHost(String),
    /// No option yields an address.
    #[error("no delivery option yields an address")]
    NoDelivery,
    /// A list that asks for what is not there yet.
    #[error("the list uses {0}, which is not supported yet")]
    Unsupported(&'static str),
    /// A value that makes no sense, where going on without it would send mail to others, or take it
    /// from others, than its writer meant.
    #[error("{attribute}: {why}")]
    BadValue {
        /// The attribute.
        attribute: &'static str,
        /// The mistake in it.
        why: String,
    },
}

impl EntryError {
    /// The reply that the client reads.
    pub fn reply(&self) -> Reply {
        let damaged = "the directory entry of this mailbox cannot be used";
        match self {
            Self::NotMail => Reply::new(550, Enhanced(5, 1, 1), "unknown or illegal alias"),
            // An ambiguous entry is ours to mend; the mail waits for that.
            Self::Ambiguous(_) => Reply::new(451, Enhanced(4, 3, 5), "ambiguous address"),
            Self::Inactive(Kind::User) => {
                Reply::new(450, Enhanced(4, 2, 1), "user inactive; cannot receive new mail")
            }
            Self::Inactive(Kind::Group) => {
                Reply::new(450, Enhanced(4, 2, 1), "group inactive; cannot receive new mail")
            }
            Self::Disabled(Kind::User) => {
                Reply::new(550, Enhanced(5, 2, 1), "user disabled; cannot receive new mail")
            }
            Self::Disabled(Kind::Group) => {
                Reply::new(550, Enhanced(5, 2, 1), "group disabled; cannot receive new mail")
            }
            Self::Deleted => Reply::new(550, Enhanced(5, 1, 6), "recipient no longer on server"),
            Self::OverQuota => Reply::new(452, Enhanced(4, 2, 2), "mailbox over quota"),
            Self::NoMailHost => {
                Reply::new(451, Enhanced(4, 3, 5), "no host is known for this mailbox")
            }
            Self::NoUid | Self::BadUid(_) | Self::BadMailHost(_) | Self::NoDelivery => {
                Reply::new(451, Enhanced(4, 3, 0), damaged)
            }
            // The administrator of the list mends it; the mail waits for that.
            Self::Unsupported(_) | Self::BadValue { .. } => {
                Reply::new(451, Enhanced(4, 3, 5), "this list cannot be served yet")
            }
        }
    }
}
