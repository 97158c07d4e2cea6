//! Keys: hashes of all that a message may be asked for by.

use crate::dictionary::hash;

/// A hash. Two texts may have the same one: whoever finds a note by it looks at the note.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(pub(crate) u32);

/// The key of an address, a Message-ID, or a peer's id: without regard to case, to quotes, to angle brackets
/// and to a final dot.
pub fn key_of(text: &str) -> Key {
    let text = text.strip_suffix('.').unwrap_or(text);
    if !text.is_ascii() {
        return key_of_folded(text.to_lowercase().bytes());
    }
    // Most texts are short and have none of these: they are folded whole words at a time.
    let quotes = |sum: u8, octet: u8| {
        let is = |quote: u8| u8::from(octet == quote);
        sum | is(b'"') | is(b'\\') | is(b'<') | is(b'>')
    };
    let inner = text.strip_prefix('<').and_then(|its| its.strip_suffix('>')).unwrap_or(text);
    let mut folded = [0; MAX_SHORT];
    match folded.get_mut(..inner.len()) {
        Some(folded) if inner.bytes().fold(0, quotes) == 0 => {
            folded.copy_from_slice(inner.as_bytes());
            folded.make_ascii_lowercase();
            mixed(hash(folded))
        }
        _ => key_of_folded(text.bytes().map(|octet| octet.to_ascii_lowercase())),
    }
}

fn key_of_folded(octets: impl Iterator<Item = u8>) -> Key {
    let octets = octets.filter(|octet| !matches!(octet, b'"' | b'\\' | b'<' | b'>'));
    mixed(hash(&octets.collect::<Vec<_>>()))
}

/// The key of a queue id.
pub fn key_of_id(id: u64) -> Key {
    mixed(hash(&id.to_le_bytes()))
}

/// The milliseconds since 1970 of a queue id, and its other bits.
pub(crate) fn time_of_id(id: u64) -> (u64, u64) {
    (id >> ID_BITS, id & ((1 << ID_BITS) - 1))
}

/// Spreads hashes over all bits of a key.
fn mixed(hash: u64) -> Key {
    let mut sum = hash as u32;
    sum = (sum ^ sum >> 16).wrapping_mul(0x85eb_ca6b);
    sum = (sum ^ sum >> 13).wrapping_mul(0xc2b2_ae35);
    Key(sum ^ sum >> 16)
}

/// The key of notes that say that others were lost. No text of a message is like it.
pub(crate) const LOST_KEY: &str = "\u{3}lost";
/// Bits of a queue id below the milliseconds.
pub(crate) const ID_BITS: u32 = 20;
/// Milliseconds from a queue id to the first note of its message, in which a block's time is as good as a
/// key.
pub(crate) const ID_SLACK: u64 = 4_000;
/// Octets of a text that is folded at once.
const MAX_SHORT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_key() {
        let key = key_of("ann@example.org");
        for same in
            ["Ann@EXAMPLE.org", "<ann@example.org>", "\"ann\"@example.org", "ann@example.org."]
        {
            assert_eq!(key_of(same), key, "{same}");
        }
        assert_ne!(key_of("anna@example.org"), key);
        assert_eq!(key_of("Änn@x"), key_of("änn@x"));
        assert_eq!(key_of("<Änn@x>"), key_of("änn@x."));
        let long = "x".repeat(200);
        assert_eq!(key_of(&format!("<{long}>")), key_of(&long));
        assert_eq!(key_of(&long), key_of(&long.to_uppercase()));
        assert_ne!(key_of(&long), key_of(&long[1..]));
    }
}
