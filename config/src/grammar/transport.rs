//! Transports, as transport(5) and the settings that end in `_transport` name them.

use std::str::FromStr;

use super::next_hops::NextHops;

/// Where mail goes: `channel:next hop`, or an end without one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transport {
    /// A channel and a host; `None`: the channel, or the host, that it would be without.
    To {
        /// The channel's name.
        channel: Option<String>,
        /// A next hop, or several, as written.
        next_hop: Option<String>,
    },
    /// `error:text`: returned for good.
    Error(String),
    /// `retry:text`: refused for now.
    Retry(String),
    /// `discard:text`: thrown away.
    Discard,
}

/// Why a text names no transport.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is neither \"channel:next hop\" nor \"error:text\", \"retry:text\" or \"discard:\""
)]
pub struct TransportError {
    text: String,
}

impl Transport {
    /// The channel that it names.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::To { channel, .. } => channel.as_deref(),
            _ => None,
        }
    }
}

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        let wrong = || TransportError { text: text.chars().take(200).collect() };
        let (channel, rest) = match text.split_once(':') {
            Some((channel, rest)) => (channel, rest.trim()),
            None if is_channel(text) && !ENDS.contains(&text) => (text, ""),
            None => return Err(wrong()),
        };
        match channel {
            "error" => return Ok(Self::Error(rest.to_owned())),
            "retry" => return Ok(Self::Retry(rest.to_owned())),
            "discard" => return Ok(Self::Discard),
            _ => {}
        }
        let is_hop = rest.is_empty() || rest.parse::<NextHops>().is_ok();
        if !is_hop || !channel.is_empty() && !is_channel(channel) {
            return Err(wrong());
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self::To { channel: some(channel), next_hop: some(rest) })
    }
}

/// Whether a text may be the name of a channel.
pub fn is_channel(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-$".contains(c);
    (1..=32).contains(&text.len()) && text.chars().all(plain)
}

const ENDS: [&str; 3] = ["error", "retry", "discard"];
