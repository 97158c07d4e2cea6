//! Keys: hashes of all that a message may be asked for by.

/// A hash. Two texts may have the same one: whoever finds a note by it looks at the note.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(pub(crate) u32);

/// The key of an address, a Message-ID, or a peer's id: without regard to case, to quotes, to angle brackets
/// and to a final dot.
pub fn key_of(text: &str) -> Key {
    let mut folded = [0; 64];
    let (mut length, mut sum) = (0, 0);
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut add = |octet: u8| {
        if !matches!(octet, b'"' | b'\\' | b'<' | b'>') {
            folded[length] = octet;
            length += 1;
        }
        if length == folded.len() {
            sum = crc32c::crc32c_append(sum, &folded);
            length = 0;
        }
    };
    if text.is_ascii() {
        text.bytes().for_each(|octet| add(octet.to_ascii_lowercase()));
    } else {
        text.to_lowercase().bytes().for_each(add);
    }
    mixed(crc32c::crc32c_append(sum, &folded[..length]))
}

/// The key of a queue id.
pub fn key_of_id(id: u64) -> Key {
    mixed(crc32c::crc32c(&id.to_le_bytes()))
}

/// Spreads sums: those of short texts that are alike lie close together.
fn mixed(mut sum: u32) -> Key {
    sum = (sum ^ sum >> 16).wrapping_mul(0x85eb_ca6b);
    sum = (sum ^ sum >> 13).wrapping_mul(0xc2b2_ae35);
    Key(sum ^ sum >> 16)
}

/// The key of notes that say that others were lost. No text of a message is like it.
pub(crate) const LOST_KEY: &str = "\u{3}lost";

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
        let long = "x".repeat(200);
        assert_eq!(key_of(&long), key_of(&long.to_uppercase()));
        assert_ne!(key_of(&long), key_of(&long[1..]));
    }
}
