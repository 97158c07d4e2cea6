//! The milter protocol of sendmail, version 6 and those before it, as the mail server speaks it to its
//! filters (`mfdef.h` and `mfapi.h` of libmilter).
//!
//! A [`Talk`] is one connection without its socket: it says which octets tell the filter of an
//! [`FilterEvent`], whether an answer is to be waited for, and what an answer means. A [`FilterLink`] gives it a
//! socket and a clock. Whatever a filter says is bounded and checked before it comes out of here: no
//! header, address or reply of a filter can hold a line of its own, and a filter may change what it
//! announced, when the protocol allows it, and nothing else.
//!
//! | file | what |
//! | --- | --- |
//! | `agreement`, `stage` | what was negotiated |
//! | `answer`, `change`, `breach` | what filters say, checked |
//! | `command` | what filters are told, as octets |
//! | `frames`, `packet_reader` | packets, cut out of a stream, and what they hold |
//! | `macros` | values that go along with commands |
//! | `talk` | the state machine |
//! | `link` | its socket and its clock |
//! | `edit` | changes carried out on a header |
//! | `mend` | the lines of a body that a filter wrote |

mod agreement;
mod answer;
mod breach;
mod change;
mod command;
mod edit;
mod frames;
mod link;
mod macros;
mod mend;
mod packet_reader;
mod stage;
mod talk;

pub use agreement::Agreement;
pub use breach::Breach;
pub use change::{FilterChange, NewRecipient, NewSender};
pub use command::{Client, FilterEvent};
pub use edit::{EditedHeader, HEADER_ROOM};
pub use link::{FilterError, FilterLink, FilterPatience};
pub use macros::Macros;
pub use mend::Mender;
pub use stage::MacroStage;
pub use talk::{Decision, Heard, Talk};

/// Octets of a body that one packet holds at most.
pub const PIECE: usize = 65_535;

#[cfg(test)]
mod tests;
