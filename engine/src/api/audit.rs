//! Orders of operators, as `DATA/audit.log` has them.

use std::{fmt, net::SocketAddr};

use relais_actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// The operator behind an order, as far as the engine can tell.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Who {
    /// How the order came.
    pub way: OrderWay,
    /// The user of the process at the other end of the socket (`SO_PEERCRED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The name of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The program that it runs, where that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The client's address, of what came by TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The name that the client gives the operator, which nobody has checked: of `sudo`, the user
    /// before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// The way that an order came.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderWay {
    /// By `DATA/admin.sock`.
    #[default]
    Socket,
    /// By TCP, with the token.
    Token,
    /// By a signal; the kernel does not tell whose.
    Signal,
    /// By a command on the files, while no engine ran.
    Files,
    /// By the engine: an order has ended.
    Engine,
}

/// An order, as it is written down before it is carried out.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AuditOrder {
    /// Its number in the file; later orders have larger ones.
    pub order: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub who: Who,
    /// What: `queue hold`, `channel stop`, `set`, ...
    pub command: String,
    /// With what: the order as it came, of many ids the first and their number.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub what: serde_json::Value,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The end of an order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditEnd {
    /// The number of the order.
    pub order: u64,
    /// When.
    pub at: Timestamp,
    /// Its outcome.
    pub result: AuditResult,
    /// Queue entries, mailboxes or the like that it touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<u64>,
    /// Recipients of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<u64>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The outcome of an order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// It was carried out.
    Done,
    /// It made no sense, or the engine could not.
    Refused,
    /// The client went away, or the engine ended, half-way.
    BrokenOff,
}

/// A line of the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum AuditLine {
    /// Before it is carried out.
    Ordered(AuditOrder),
    /// Behind it.
    Ended(AuditEnd),
}

/// `relais audit --json`: an order, and its end if the file has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AuditEntry {
    /// The order.
    #[serde(flatten)]
    pub ordered: AuditOrder,
    /// Its end; absent while it is carried out, and for ever when the engine died meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<AuditEnd>,
}

/// Which orders are shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditFilter {
    /// Since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Of this operator: a user's name or number, an address, or the name that the client gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Orders at most, the newest; 1,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Who {
    /// An order by a signal.
    pub fn by_signal() -> Self {
        Self { way: OrderWay::Signal, ..Self::default() }
    }

    /// The engine itself.
    pub fn engine() -> Self {
        Self { way: OrderWay::Engine, ..Self::default() }
    }

    /// Whether an operator is meant by this name.
    pub fn is(&self, name: &str) -> bool {
        let named = |its: &Option<String>| its.as_deref() == Some(name);
        named(&self.user)
            || named(&self.says)
            || self.uid.is_some_and(|uid| name.parse() == Ok(uid))
            || self.address.is_some_and(|its| name.parse() == Ok(its.ip()))
    }

    /// The operator in a word or two: `alice (root)`.
    pub fn name(&self) -> String {
        let uid = || self.uid.map(|uid| format!("uid {uid}"));
        let known = self.user.clone().or_else(uid);
        let known = known.or_else(|| self.address.map(|address| address.to_string()));
        let known = known.unwrap_or_else(|| self.way.name().to_owned());
        match &self.says {
            Some(says) if *says != known => format!("{says} ({known})"),
            _ => known,
        }
    }
}

impl OrderWay {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Token => "token",
            Self::Signal => "signal",
            Self::Files => "files",
            Self::Engine => "engine",
        }
    }
}

impl AuditResult {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::BrokenOff => "broken off",
        }
    }
}

impl AuditFilter {
    /// Whether an order is shown.
    pub fn admits(&self, order: &AuditOrder) -> bool {
        self.since.is_none_or(|since| order.at >= since)
            && self.by.as_ref().is_none_or(|by| order.who.is(by))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(program) = &self.program {
            write!(f, " by {program}")?;
        }
        if let Some(pid) = self.pid {
            write!(f, " (process {pid})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_known_by_user_number_address_and_what_the_client_says() {
        let who = Who {
            uid: Some(0),
            user: Some("root".to_owned()),
            address: "192.0.2.7:4000".parse().ok(),
            says: Some("alice".to_owned()),
            ..Who::default()
        };
        for (name, want) in
            [("root", true), ("0", true), ("alice", true), ("192.0.2.7", true), ("bob", false)]
        {
            assert_eq!(who.is(name), want, "{name}");
        }
        assert_eq!(who.name(), "alice (root)");
        assert_eq!(Who::by_signal().name(), "signal");
        assert_eq!(Who { uid: Some(7), ..Who::default() }.name(), "uid 7");
    }

    #[test]
    fn a_line_is_read_back() {
        let end = AuditEnd {
            order: 7,
            at: Timestamp(1_788_133_501_123),
            result: AuditResult::BrokenOff,
            touched: Some(3),
            recipients: None,
            text: String::new(),
        };
        let line = AuditLine::Ended(end);
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.starts_with(r#"{"step":"ended","order":7,"at":"2026-"#), "{text}");
        assert_eq!(serde_json::from_str::<AuditLine>(&text).unwrap(), line);
    }
}
