//! The content in one piece with its commands: BDAT (RFC 3030), where nothing waits for the reply to DATA.
//!
//! That saves a round trip of the first message of a connection, whatever its size. A later message is
//! announced behind the one before, which saves the same; and there the reply to DATA is what shows that a
//! late reply to something else has put all that follow out of step. A large message gains nothing that is
//! worth sending it to a server that takes none of its recipients. Messages are sent in lines: BINARYMIME
//! is never used.

use std::io::Write;

use relais_config::channel::Chunking;

use super::{
    before::Before,
    offer::Offer,
    rendition::{Octets, Rendition},
};
use crate::mail::{Dialect, Enhanced, Reply};

/// The circumstances in which a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    pub(super) chunking: Chunking,
    pub(super) offer: Offer,
    pub(super) before: Before,
    /// RSET has to come first.
    pub(super) is_reset_due: bool,
}

/// The whole content of a message as one chunk.
#[derive(Debug)]
pub(super) struct OneChunk {
    octets: usize,
    /// The system has taken all of it.
    pub(super) is_out: bool,
    /// The reply of a server that does not take BDAT.
    pub(super) refusal: Option<Reply>,
    /// The server has said 421 to a command before it.
    pub(super) farewell: Option<Reply>,
    /// A success that reads like that of a recipient.
    pub(super) held: Option<Reply>,
    /// As in [`ChunkReplies`].
    pub(super) is_odd: bool,
}

/// The replies to a message whose content went in one chunk with its commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChunkReplies {
    /// One for each command, and BDAT was taken or refused for good.
    InStep,
    /// Replies were missing or too many, or the server said that it closes or that BDAT is to be tried again:
    /// DATA shows more of it.
    Odd,
}

impl Occasion {
    /// The chunk, if it pays.
    pub(super) fn chunk(self, content: &Rendition<'_>) -> Option<OneChunk> {
        let Octets::Whole(octets) = &content.octets else { return None };
        let octets = content.head.len() + octets.len() + end_of(octets).len();
        self.pays(octets).then(|| OneChunk::new(octets))
    }

    fn pays(self, octets: usize) -> bool {
        let Self { chunking, offer, before, is_reset_due } = self;
        chunking == Chunking::WhenItPays
            && offer.dialect == Dialect::Smtp
            && offer.chunking
            && offer.pipelining
            && before == Before::New
            && !is_reset_due
            && (1..=LARGEST).contains(&octets)
    }
}

impl OneChunk {
    /// Of so many octets.
    pub(super) fn new(octets: usize) -> Self {
        Self { octets, is_out: false, refusal: None, farewell: None, held: None, is_odd: false }
    }

    /// Appends the command before it.
    pub(super) fn command(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "BDAT {} LAST\r\n", self.octets);
    }

    /// Whether a reply to it is about BDAT and not about the content: a server, or something before it,
    /// names CHUNKING and does not know the command, or not its place or form. By its code, by its
    /// enhanced one (X.5.Z, RFC 3463 section 3.6), or by its words.
    pub(super) fn is_refused(reply: &Reply) -> bool {
        let says = || {
            let text = reply.text.to_ascii_uppercase();
            text.contains("BDAT") || text.contains("CHUNKING")
        };
        let is_of_protocol = matches!(reply.enhanced, Some(Enhanced(5, 5, _)));
        reply.code >= 500 && (reply.code <= 504 || is_of_protocol || says())
    }

    /// Whether a success is about an address (X.1.Z): no server is known that says so of content.
    pub(super) fn is_of_envelope(reply: &Reply) -> bool {
        reply.is_success() && matches!(reply.enhanced, Some(Enhanced(2, 1, _)))
    }
}

/// The line end that the content lacks.
pub(super) fn end_of(content: &[u8]) -> &'static [u8] {
    if content.is_empty() || content.ends_with(CRLF) { b"" } else { CRLF }
}

const CRLF: &[u8] = b"\r\n";
/// Octets of content.
const LARGEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_pays_where_nothing_else_saves_the_wait() {
        let offer = |dialect, keywords: &str| {
            Offer::of(&Reply::plain(250, format!("peer\n{keywords}")), dialect, false)
        };
        let smtp = offer(Dialect::Smtp, "PIPELINING\nCHUNKING");
        let usual = Occasion {
            chunking: Chunking::WhenItPays,
            offer: smtp,
            before: Before::New,
            is_reset_due: false,
        };
        let without = |keyword| Occasion { offer: offer(Dialect::Smtp, keyword), ..usual };
        let lmtp = offer(Dialect::Lmtp, "PIPELINING\nCHUNKING");
        let rows = [
            ("the first message", usual, 2_000, true),
            ("the largest", usual, LARGEST, true),
            ("a larger one", usual, LARGEST + 1, false),
            ("an empty one", usual, 0, false),
            ("the channel says never", Occasion { chunking: Chunking::Never, ..usual }, 1, false),
            ("not offered", without("PIPELINING"), 1, false),
            ("one command at a time", without("CHUNKING"), 1, false),
            ("a store", Occasion { offer: lmtp, ..usual }, 1, false),
            ("a later message", Occasion { before: Before::Kept, ..usual }, 1, false),
            ("behind RSET", Occasion { is_reset_due: true, ..usual }, 1, false),
        ];
        for (name, occasion, octets, want) in rows {
            assert_eq!(occasion.pays(octets), want, "{name}");
        }
    }

    #[test]
    fn which_refusals_are_about_bdat() {
        let reply = |code, enhanced, text| Reply { enhanced, ..Reply::plain(code, text) };
        let rows = [
            (reply(500, None, "what?"), true),
            (reply(504, Some(Enhanced(5, 7, 0)), "no"), true),
            (reply(554, Some(Enhanced(5, 5, 1)), "not allowed here"), true),
            (reply(521, Some(Enhanced(5, 5, 1)), "bye"), true),
            (reply(550, None, "bdat not supported"), true),
            (reply(554, None, "no chunking today"), true),
            (reply(554, Some(Enhanced(5, 7, 1)), "spam"), false),
            (reply(552, Some(Enhanced(5, 3, 4)), "too big"), false),
            (reply(554, None, "transaction failed"), false),
            // The next attempt goes by DATA.
            (reply(451, Some(Enhanced(4, 5, 1)), "BDAT later"), false),
        ];
        for (reply, want) in rows {
            assert_eq!(OneChunk::is_refused(&reply), want, "{reply}");
        }
    }
}
