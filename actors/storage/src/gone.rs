//! Recipients that have gone on.

/// The recipients of an entry that have gone on, as far as that is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gone {
    /// The recipients that have, a bit each.
    pub recipients: u64,
    /// Records that went on from it may have copies of recipients that have not, yet.
    pub in_part: bool,
}
