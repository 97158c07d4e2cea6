//! Mistakes of filters.

use super::frames::BadFrame;

/// A filter said what it may not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Breach {
    /// Its packets are none.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// A packet ends before what it holds.
    #[error("a packet of the filter is cut short")]
    CutShort,
    /// A packet holds more than its command takes.
    #[error("a packet '{}' of the filter holds too much", .0.escape_ascii())]
    TooMuch(u8),
    /// An answer that nobody knows, or not at this point.
    #[error("the filter answered '{}', which has no meaning here", .0.escape_ascii())]
    Unexpected(u8),
    /// More words of that than any work takes.
    #[error("the filter says without end that it is at work")]
    Endless,
    /// An answer that nobody asked for.
    #[error("the filter said more than it was asked")]
    Unasked,
    /// Not 2 to 6.
    #[error("the filter speaks version {0} of the protocol")]
    Version(u32),
    /// Changes that nobody offered.
    #[error("the filter wants changes that do not exist (0x{0:x})")]
    Actions(u32),
    /// Changes that it did not announce.
    #[error("the filter asks for a change ('{}') that it did not announce", .0.escape_ascii())]
    NotAgreed(u8),
    /// A reply that is none, or is not one of 400 to 599.
    #[error("the filter's reply is not one of 4xx or 5xx")]
    Reply,
    /// The name of a header field.
    #[error("the filter gave a header a name that none may have")]
    HeaderName,
    /// A number below zero.
    #[error("the filter counts headers below zero")]
    Index,
    /// An address.
    #[error("the filter gave an address that is none")]
    Address,
    /// A parameter of an address.
    #[error("the filter gave an address a parameter that is none")]
    Parameter,
    /// It asks for more changes than one message may have.
    #[error("the filter asks for too many changes of one message")]
    TooManyChanges,
    /// The body that it wrote is larger than a message may be.
    #[error("the body that the filter wrote is too large")]
    BodyTooLarge,
}
