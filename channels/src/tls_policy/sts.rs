//! MTA-STS (RFC 8461): the TXT record and the policy of a domain, read as hostile input.

use std::{fmt, time::Duration};

/// A policy, as its domain publishes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StsPolicy {
    /// The duty of senders.
    pub mode: StsMode,
    /// How long it holds, from when it was fetched: a year at most.
    pub max_age: Duration,
    /// Names of mail exchangers, in lower case: `mx.example.com`, or `*.example.com` for any name with
    /// one label more.
    pub mx: Vec<String>,
}

/// The duty of senders towards servers that the policy does not allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StsMode {
    /// Hand them no mail.
    Enforce,
    /// Report, and deliver as if there was no policy.
    Testing,
    /// Nothing: there is no policy any more.
    None,
}

/// Why a text is no policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoPolicy {
    /// Octets that no policy has.
    #[error("it is no text in UTF-8")]
    NoText,
    /// No `version: STSv1`.
    #[error("it lacks \"version: STSv1\"")]
    Version,
    /// No mode that is known.
    #[error("its mode is not enforce, testing or none")]
    Mode,
    /// No seconds.
    #[error("its max_age is no number of seconds")]
    MaxAge,
    /// No mail exchanger, in a policy that is about them.
    #[error("it names no mx")]
    NoMx,
    /// A pattern that is no name.
    #[error("one of its mx is no host name")]
    Mx,
}

impl StsMode {
    /// As policies have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

impl fmt::Display for StsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl StsPolicy {
    /// Reads a policy (RFC 8461 section 3.2). Of fields that come twice the first counts, but for `mx`;
    /// unknown ones are passed over.
    pub fn parse(text: &[u8]) -> Result<Self, NoPolicy> {
        let text = std::str::from_utf8(text).map_err(|_| NoPolicy::NoText)?;
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim_matches([' ', '\t']);
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if mx.len() < MOST_MX => mx.push(value.to_ascii_lowercase()),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(NoPolicy::Version);
        }
        let mode = match mode {
            Some("enforce") => StsMode::Enforce,
            Some("testing") => StsMode::Testing,
            Some("none") => StsMode::None,
            _ => return Err(NoPolicy::Mode),
        };
        let digits =
            max_age.filter(|text| text.bytes().all(|c| c.is_ascii_digit()) && text.len() <= 10);
        let seconds: u64 = digits.and_then(|text| text.parse().ok()).ok_or(NoPolicy::MaxAge)?;
        if mx.is_empty() && mode != StsMode::None {
            return Err(NoPolicy::NoMx);
        }
        if !mx.iter().all(|pattern| is_host(pattern.strip_prefix("*.").unwrap_or(pattern))) {
            return Err(NoPolicy::Mx);
        }
        Ok(Self { mode, max_age: Duration::from_secs(seconds.min(LONGEST_AGE)), mx })
    }

    /// The lines of it, as reports have them.
    pub fn lines(&self) -> Vec<String> {
        let head = ["version: STSv1".to_owned(), format!("mode: {}", self.mode)];
        let mx = self.mx.iter().map(|pattern| format!("mx: {pattern}"));
        let age = format!("max_age: {}", self.max_age.as_secs());
        head.into_iter().chain(mx).chain([age]).collect()
    }

    /// Whether a mail exchanger is one of its own (RFC 8461 section 4.1): `*` is one label.
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            None => *pattern == host,
            Some(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        })
    }
}

/// The id of the one STS record among the TXT records of `_mta-sts.DOMAIN`. Without one, or with several,
/// there is no policy (RFC 8461 section 3.1).
pub fn id_of<'a>(records: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut ours = records.into_iter().filter(|text| {
        text.split(';').next().is_some_and(|first| first.trim_matches([' ', '\t']) == "v=STSv1")
    });
    let record = ours.next().filter(|_| ours.next().is_none())?;
    let fields = record.split(';').skip(1).filter_map(|field| field.split_once('='));
    let mut ids = fields.filter(|(key, _)| key.trim_matches([' ', '\t']) == "id");
    let id = ids.next()?.1.trim_matches([' ', '\t']);
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

pub(super) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Seconds of a year: a policy says no longer age (RFC 8461 section 3.2).
const LONGEST_AGE: u64 = 31_557_600;
const MOST_MX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n\
                           mx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n";

    /// Mode and age in seconds, or why there is no policy.
    type Read = Result<(StsMode, u64), NoPolicy>;

    #[test]
    fn policies_are_read_as_rfc_8461_has_them() {
        let policy = StsPolicy::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((policy.mode, policy.max_age.as_secs()), (StsMode::Enforce, 604_800));
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net", "backupmx.example.com"]);
        let whole = |change: &dyn Fn(String) -> String| {
            StsPolicy::parse(change(EXAMPLE.to_owned()).as_bytes())
        };
        let ok = |mode, age| -> Read { Ok((mode, age)) };
        let rows: [(&str, &str, Read); 15] = [
            ("\r\n", "\n", ok(StsMode::Enforce, 604_800)),
            (": ", ":", ok(StsMode::Enforce, 604_800)),
            (": ", ":\t ", ok(StsMode::Enforce, 604_800)),
            ("mode: enforce", "mode: testing", ok(StsMode::Testing, 604_800)),
            ("mode: enforce", "mode: testing\r\nmode: enforce", ok(StsMode::Testing, 604_800)),
            ("604800", "99999999", ok(StsMode::Enforce, LONGEST_AGE)),
            ("604800\r\n", "604800", ok(StsMode::Enforce, 604_800)),
            (
                "mode: enforce",
                "mode: enforce\r\nx-other: 1\r\nno line",
                ok(StsMode::Enforce, 604_800),
            ),
            ("STSv1", "STSv2", Err(NoPolicy::Version)),
            ("version", "Version", Err(NoPolicy::Version)),
            ("enforce", "Enforce", Err(NoPolicy::Mode)),
            ("604800", "-1", Err(NoPolicy::MaxAge)),
            ("604800", "99999999999999999999999", Err(NoPolicy::MaxAge)),
            ("mx: ", "my: ", Err(NoPolicy::NoMx)),
            ("*.example.net", "*.*.net", Err(NoPolicy::Mx)),
        ];
        for (from, to, want) in rows {
            let read = whole(&|text| text.replace(from, to));
            let seen = read.map(|policy| (policy.mode, policy.max_age.as_secs()));
            assert_eq!(seen, want, "{to:?}");
        }
        let none = StsPolicy::parse(b"version: STSv1\nmode: none\nmax_age: 60\n").unwrap();
        assert_eq!((none.mode, none.mx.len()), (StsMode::None, 0));
        assert_eq!(StsPolicy::parse(b"version: STSv1\nmode: \xff"), Err(NoPolicy::NoText));
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = StsPolicy::parse(EXAMPLE.as_bytes()).unwrap();
        let rows = [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("mail.example.com.evil.test", false),
            ("other.example.com", false),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("xexample.net", false),
        ];
        for (host, allowed) in rows {
            assert_eq!(policy.allows(host), allowed, "{host}");
        }
    }

    #[test]
    fn one_record_says_which_policy_there_is() {
        let rows: [(&[&str], Option<&str>); 11] = [
            (&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; id = 1 ; x=2;"], Some("1")),
            (&["v=spf1 -all", "v=STSv1; id=2;"], Some("2")),
            (&["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
            (&["v=STSv12; id=1;"], None),
            (&["v=stsv1; id=1;"], None),
            (&["v=STSv1;"], None),
            (&["v=STSv1; id=;"], None),
            (&["v=STSv1; id=a b;"], None),
            (&["v=STSv1; id=123456789012345678901234567890123;"], None),
        ];
        for (records, id) in rows {
            assert_eq!(id_of(records.iter().copied()).as_deref(), id, "{records:?}");
        }
    }
}
