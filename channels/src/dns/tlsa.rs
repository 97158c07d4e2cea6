//! TLSA records (RFC 6698): what the certificate of a server must match.

use std::fmt;

/// A TLSA record.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Tlsa {
    /// 0: authority, 1: the certificate by authorities, 2: an authority of the domain's own (DANE-TA),
    /// 3: the certificate itself (DANE-EE).
    pub usage: u8,
    /// 0: the whole certificate, 1: its public key.
    pub selector: u8,
    /// 0: as it is, 1: SHA-256, 2: SHA-512.
    pub matching: u8,
    /// The octets that are compared.
    pub data: Box<[u8]>,
}

impl Tlsa {
    /// Whether a mail server may be judged by it: usages 2 and 3 (RFC 7672 section 3.1.3), known
    /// selectors and matching types, and data as long as the digest.
    pub fn is_usable(&self) -> bool {
        let fits = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, 2 | 3) && self.selector <= 1 && fits
    }
}

/// As in a zone: `3 1 1 0C72AC70...`, with the beginning of long data.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().take(MOST_SHOWN).try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_str(if self.data.len() > MOST_SHOWN { "..." } else { "" })
    }
}

/// Octets of data that are shown: a SHA-256 in whole.
const MOST_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_a_mail_server_may_be_judged_by() {
        let rows = [
            // usage, selector, matching type, octets, usable
            ((3, 1, 1, 32), true),
            ((3, 0, 1, 32), true),
            ((3, 1, 2, 64), true),
            ((2, 0, 1, 32), true),
            ((2, 1, 0, 91), true),
            ((3, 0, 0, 400), true),
            ((0, 0, 1, 32), false),
            ((1, 1, 1, 32), false),
            ((4, 1, 1, 32), false),
            ((255, 1, 1, 32), false),
            ((3, 2, 1, 32), false),
            ((3, 1, 3, 32), false),
            ((3, 1, 1, 31), false),
            ((3, 1, 1, 64), false),
            ((3, 1, 2, 32), false),
            ((3, 1, 0, 0), false),
        ];
        for ((usage, selector, matching, octets), usable) in rows {
            let data = vec![7; octets].into();
            let record = Tlsa { usage, selector, matching, data };
            assert_eq!(record.is_usable(), usable, "{record}");
        }
    }

    #[test]
    fn a_record_is_shown_as_zones_have_it() {
        let record = |data: Vec<u8>| Tlsa { usage: 3, selector: 1, matching: 1, data: data.into() };
        assert_eq!(record(vec![0x0c, 0x72]).to_string(), "3 1 1 0c72");
        assert!(record(vec![1; 40]).to_string().ends_with("0101..."));
    }
}
