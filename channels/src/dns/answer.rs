//! Answers of name servers, and why there is none.

use std::net::IpAddr;

/// Records of one kind; at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Records<T> {
    /// In the order of the wire.
    pub records: Vec<T>,
    /// DNSSEC proves all of them.
    pub secure: bool,
}

/// A host that takes mail for a domain (RFC 5321 section 5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MailExchanger {
    /// The lower ones are asked first.
    pub preference: u16,
    /// In lower case, without its final dot; empty where the domain takes no mail (RFC 7505).
    pub host: String,
}

/// The addresses of a host; at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// IPv4 first, each family in the order of the wire.
    pub records: Vec<IpAddr>,
    /// DNSSEC proves all of them.
    pub secure: bool,
    /// The host is an alias of this one.
    pub canonical: Option<String>,
}

/// Why there are no records.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoAnswer {
    /// There is no such name.
    #[error("there is no such name")]
    NoSuchName,
    /// There is the name, without such records.
    #[error("the name has no such records")]
    NoRecords,
    /// No name server can be asked for it.
    #[error("it is no name that name servers can be asked for")]
    NotAName,
    /// Nobody could tell, for this reason; later somebody may.
    #[error("{0}")]
    Passing(String),
}

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub(super) String);

impl NoAnswer {
    /// Whether it would be useless to ask again.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Passing(_))
    }
}

impl Addresses {
    /// Both families together, each asked for by itself.
    pub(super) fn of(
        v4: Result<Records<IpAddr>, NoAnswer>,
        v6: Result<Records<IpAddr>, NoAnswer>,
        canonical: Option<String>,
    ) -> Result<Self, NoAnswer> {
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => {
                let secure = v4.secure && v6.secure;
                Ok(Self { records: [v4.records, v6.records].concat(), secure, canonical })
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => {
                Ok(Self { records: one.records, secure: one.secure, canonical })
            }
            (Err(passing @ NoAnswer::Passing(_)), Err(_))
            | (Err(_), Err(passing @ NoAnswer::Passing(_))) => Err(passing),
            (Err(v4), Err(v6)) if v4 == v6 => Err(v4),
            // Servers are known that deny the name where it has no address of one family.
            (Err(_), Err(_)) => Err(NoAnswer::NoRecords),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_address_only_when_both_families_say_so() {
        let one = |ip: &str| Ok(Records { records: vec![ip.parse().unwrap()], secure: true });
        let none = |name: &str| {
            Err(match name {
                "nx" => NoAnswer::NoSuchName,
                "nodata" => NoAnswer::NoRecords,
                _ => NoAnswer::Passing("servfail".into()),
            })
        };
        let of = |text: &str| if text.contains([':', '.']) { one(text) } else { none(text) };
        // A, AAAA, what is made of them
        let rows = [
            ("10.0.0.1", "::1", "10.0.0.1 ::1"),
            ("10.0.0.1", "nodata", "10.0.0.1"),
            ("10.0.0.1", "servfail", "10.0.0.1"),
            ("servfail", "::1", "::1"),
            ("servfail", "nodata", "servfail"),
            ("nodata", "servfail", "servfail"),
            ("nx", "servfail", "servfail"),
            ("nx", "nx", "there is no such name"),
            ("nodata", "nodata", "the name has no such records"),
            ("nodata", "nx", "the name has no such records"),
        ];
        for (v4, v6, want) in rows {
            let got = match Addresses::of(of(v4), of(v6), None) {
                Ok(found) => {
                    let texts: Vec<_> = found.records.iter().map(ToString::to_string).collect();
                    texts.join(" ")
                }
                Err(none) => none.to_string(),
            };
            assert_eq!(got, want, "{v4} {v6}");
        }
    }
}
