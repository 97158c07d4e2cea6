//! Pieces of a message that was sent in several (RFC 2046 section 5.2.2), as the queue knows them.

use serde::{Deserialize, Serialize};

use super::MessageId;

/// One `message/partial`, as its parameters say.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Fragment {
    /// The parameter `id`, which all pieces of a message share; 1 to 255 octets of ASCII.
    pub id: String,
    /// The parameter `number`; 1 is the first.
    pub number: u32,
    /// The parameter `total`, at least `number`. The last piece has it, others may.
    pub total: Option<u32>,
}

/// The part that a message in the queue has in such a message. Kept beside the envelope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Fragments {
    /// It is a piece.
    Piece {
        /// Which.
        piece: Fragment,
        /// Its entries, by number, that wait for the other pieces from the beginning.
        waits: Vec<u16>,
    },
    /// It was put together from these, each by its id and the number of the entry that waited.
    Whole {
        /// In their order.
        pieces: Vec<(MessageId, u16)>,
    },
}

impl Fragments {
    /// Whether this entry waits for other pieces from the beginning.
    pub fn waits(&self, entry: u16) -> bool {
        matches!(self, Self::Piece { waits, .. } if waits.contains(&entry))
    }

    /// The piece that it is.
    pub fn piece(&self) -> Option<&Fragment> {
        match self {
            Self::Piece { piece, .. } => Some(piece),
            Self::Whole { .. } => None,
        }
    }
}
