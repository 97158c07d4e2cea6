//! Elements of patterns.

#[derive(Clone, Debug)]
pub(super) enum Element {
    /// In lower case, composed.
    Literal(Box<[u8]>),
    /// `%` and its kin.
    One(Class, Option<usize>),
    /// `*` and its kin.
    Many(Star),
    /// `$n*`.
    Again(usize),
    /// `$(net/bits)`.
    V4 { net: u32, mask: u32 },
    /// `${net/bits}`.
    V6 { net: u128, mask: u128 },
}

/// A wildcard for any number of characters.
#[derive(Clone, Debug)]
pub(super) struct Star {
    pub(super) class: Class,
    /// The number of the wildcard, for templates.
    pub(super) save: Option<usize>,
    /// Takes as few as fit, not as many.
    pub(super) minimal: bool,
}

/// Which characters a wildcard takes.
#[derive(Clone, Debug)]
pub(super) enum Class {
    Any,
    /// One bit for each octet.
    Set(Box<[u64; 4]>),
}

impl Class {
    pub(super) fn has(&self, c: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Set(bits) => bits[usize::from(c / 64)] >> (c % 64) & 1 == 1,
        }
    }

    pub(super) fn of(member: impl Fn(u8) -> bool) -> Self {
        let mut bits = Box::new([0; 4]);
        for c in (0..=u8::MAX).filter(|c| member(*c)) {
            bits[usize::from(c / 64)] |= 1 << (c % 64);
        }
        Self::Set(bits)
    }

    pub(super) fn from_letter(letter: char) -> Option<Self> {
        Some(match letter.to_ascii_uppercase() {
            'A' => Self::of(|c| c.is_ascii_alphabetic()),
            'B' => Self::of(|c| matches!(c, b'0' | b'1')),
            'D' => Self::of(|c| c.is_ascii_digit()),
            'H' | 'X' => Self::of(|c| c.is_ascii_hexdigit()),
            'O' => Self::of(|c| (b'0'..=b'7').contains(&c)),
            'S' => Self::of(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$')),
            'T' => Self::of(|c| c.is_ascii_whitespace()),
            _ => return None,
        })
    }
}

/// Whether an address may hold this octet.
pub(super) fn in_v4(c: u8) -> bool {
    c.is_ascii_digit() || c == b'.'
}

/// Whether an address may hold this octet.
pub(super) fn in_v6(c: u8) -> bool {
    c.is_ascii_hexdigit() || matches!(c, b':' | b'.')
}

/// The address that the whole of a text is.
pub(super) fn parsed<A: std::str::FromStr>(text: &[u8]) -> Option<A> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Wildcards that can be named, 0 to 9; later ones match but are not saved.
pub(super) const MAX_WILDCARDS: usize = 10;
