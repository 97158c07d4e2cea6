//! Servers that stand in for each other.

use std::{fmt, str::FromStr};

use super::next_hop::{NextHop, NextHopError};

/// Places to connect to, in the order in which they are tried; at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NextHops(Vec<NextHop>);

impl NextHops {
    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &NextHop> {
        self.0.iter()
    }

    /// The one that is tried first.
    pub fn first(&self) -> &NextHop {
        &self.0[0]
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// These, and then those.
    #[must_use]
    pub fn and_then(mut self, others: &Self) -> Self {
        self.0.extend_from_slice(&others.0);
        self
    }

    /// The one in this place, from 0.
    pub fn get(&self, place: usize) -> Option<&NextHop> {
        self.0.get(place)
    }
}

impl From<NextHop> for NextHops {
    fn from(one: NextHop) -> Self {
        Self(vec![one])
    }
}

/// `a, b:2424, [c]`. The path of a UNIX socket that comes first may hold commas and blanks: there is
/// nothing behind it, as in Postfix.
impl FromStr for NextHops {
    type Err = NextHopError;

    fn from_str(text: &str) -> Result<Self, NextHopError> {
        if text.starts_with("unix:") {
            return text.parse::<NextHop>().map(Self::from);
        }
        if !text.contains(',') || text.split(',').count() > MOST {
            return text.parse::<NextHop>().map(Self::from);
        }
        text.split(',').map(|piece| piece.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for NextHops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, hop) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            hop.fmt(f)?;
        }
        Ok(())
    }
}

/// Of one destination.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_several() {
        let rows = [
            ("a", "a"),
            ("inet:a, b:2424, [::1]", "a, b:2424, [::1]"),
            ("a,b", "a, b"),
            ("a , b:lmtp", "a, b:24"),
            ("inet:a:lmtp, inet:b:submission", "a:24, b:587"),
            ("a, unix:/run/lmtp", "a, unix:/run/lmtp"),
            ("unix:/a, b", "unix:/a, b"),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse::<NextHops>().expect(text).to_string(), want, "{text}");
        }
        let many = vec!["a"; MOST + 1].join(",");
        for text in ["", ",", "a,", ",a", " a", "a b", "a, -b", "a; b", "a, b:no-such", &many] {
            assert!(text.parse::<NextHops>().is_err(), "{text}");
        }
        assert_eq!(vec!["a"; MOST].join(",").parse::<NextHops>().map(|its| its.len()), Ok(MOST));
    }
}
