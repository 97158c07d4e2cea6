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
    /// `error:text`: returned for good. The text may begin with an enhanced code, and has no reply code
    /// in front of that any more.
    Error(String),
    /// `retry:text`: refused for now; the same.
    Retry(String),
    /// `discard:text`: thrown away.
    Discard,
}

/// Why a text names no transport.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TransportError {
    /// No transport has this form.
    #[error(
        "{0:?} is neither \"channel:next hop\" nor \"error:text\", \"retry:text\" or \"discard:\""
    )]
    Form(String),
    /// The text begins with a reply code that the transport does not give.
    #[error(
        "{0:?} begins with a code of the other kind: \"error:\" refuses with 550, \"retry:\" with 450"
    )]
    OtherKind(String),
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
        let shown = || text.chars().take(200).collect();
        let wrong = || TransportError::Form(shown());
        let (channel, rest) = match text.split_once(':') {
            Some((channel, rest)) => (channel, rest.trim()),
            None if is_channel(text) && !ENDS.contains(&text) => (text, ""),
            None => return Err(wrong()),
        };
        match channel {
            "error" | "retry" => {
                let class = if channel == "error" { b'5' } else { b'4' };
                let words = words(rest, class).ok_or_else(|| TransportError::OtherKind(shown()))?;
                let end = if channel == "error" { Self::Error } else { Self::Retry };
                return Ok(end(words.to_owned()));
            }
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

/// The text of a refusal of this class without a reply code in front; `None`: it has a code of the other
/// class. A reply has one code, and its text is not to name another.
fn words(text: &str, class: u8) -> Option<&str> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let own = if is_reply_code(first) { rest.trim_start() } else { text };
    let enhanced = own.split(' ').next().filter(|word| is_enhanced_code(word));
    let fits = |code: &str| code.as_bytes()[0] == class;
    let reply = (own.len() < text.len()).then_some(first);
    (reply.into_iter().chain(enhanced).all(fits)).then_some(own)
}

fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && is_refusal(word) && is_number(word)
}

fn is_enhanced_code(word: &str) -> bool {
    is_refusal(word) && word.split('.').count() == 3 && word.split('.').all(is_number)
}

fn is_refusal(code: &str) -> bool {
    code.starts_with(['4', '5'])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Whether a text may be the name of a channel.
pub fn is_channel(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-$".contains(c);
    (1..=32).contains(&text.len()) && text.chars().all(plain)
}

const ENDS: [&str; 3] = ["error", "retry", "discard"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_one_code() {
        let error = |text: &str| Some(Transport::Error(text.to_owned()));
        let retry = |text: &str| Some(Transport::Retry(text.to_owned()));
        let rows = [
            ("error:5.1.6 moved", error("5.1.6 moved")),
            ("error:550 5.1.6 moved", error("5.1.6 moved")),
            ("error:554 moved", error("moved")),
            ("error:550", error("")),
            ("error:2026 is over", error("2026 is over")),
            ("error:100 people", error("100 people")),
            ("error:1.2.3 is out", error("1.2.3 is out")),
            ("error: gone", error("gone")),
            ("retry:450 4.2.1 later", retry("4.2.1 later")),
            ("retry:", retry("")),
            ("error:450 later", None),
            ("error:4.2.1 later", None),
            ("error:550 4.2.1 later", None),
            ("retry:550 5.1.1 gone", None),
            ("retry:5.1.1 gone", None),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse().ok(), want, "{text}");
        }
        let error = "error:450 later".parse::<Transport>().unwrap_err().to_string();
        assert!(error.contains("\"retry:\" with 450"), "{error}");
    }
}
