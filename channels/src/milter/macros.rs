//! Macros: names and values that go along with a command, as sendmail has them.

use super::{agreement::Agreement, frames::put_frame};

/// A point of a session that has macros of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The connection.
    Connect,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the message.
    EndOfMessage,
    /// The end of the header.
    EndOfHeader,
}

/// Values by name. A name is a letter, or stands in braces: `i`, `{client_addr}`.
#[derive(Clone, Debug, Default)]
pub struct Macros(Vec<(String, String)>);

impl Stage {
    /// By its number in mfapi.h.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Connect,
            1 => Self::Helo,
            2 => Self::Mail,
            3 => Self::Rcpt,
            4 => Self::Data,
            5 => Self::EndOfMessage,
            6 => Self::EndOfHeader,
            _ => return None,
        })
    }

    /// The macros that a filter gets which asks for none: those of Postfix, and the client at once.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Connect => &[
                "j",
                "{daemon_name}",
                "{daemon_addr}",
                "{daemon_port}",
                "v",
                "_",
                "{client_addr}",
                "{client_name}",
                "{client_port}",
                "{client_ptr}",
            ],
            Self::Helo => &["{tls_version}", "{cipher}", "{cipher_bits}"],
            Self::Mail => &["i", "{auth_type}", "{auth_authen}", "{mail_addr}"],
            Self::Rcpt => &["i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"],
            Self::Data | Self::EndOfMessage | Self::EndOfHeader => &["i"],
        }
    }

    fn is_usual_anywhere(name: &str) -> bool {
        [Self::Connect, Self::Helo, Self::Mail, Self::Rcpt]
            .iter()
            .any(|stage| stage.usual().contains(&name))
    }
}

impl Macros {
    /// Sets a value, in place of one before.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let mut value = value.into();
        value.retain(|c| !c.is_control());
        self.clear(name);
        self.0.push((name.to_owned(), value));
    }

    /// Sets a value or, without one, forgets it.
    pub fn set_or_clear(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.clear(name),
        }
    }

    /// Forgets a value.
    pub fn clear(&mut self, name: &str) {
        self.0.retain(|(its, _)| its != name);
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(its, _)| its == name).map(|(_, value)| &**value)
    }

    /// Appends the packet with the macros of a stage for the command behind it; nothing when there are
    /// none. `fixed` are values of the configuration: they stand in place of ours, and those that are
    /// of no stage go along with the connection.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        (stage, command): (Stage, u8),
        agreement: &Agreement,
        fixed: &Self,
    ) {
        let mut found: Vec<(&str, &str)> = Vec::new();
        let mut add = |name| {
            found.extend(fixed.get(name).or_else(|| self.get(name)).map(|value| (name, value)));
        };
        match agreement.list(stage) {
            Some(names) => names.iter().for_each(|name| add(self.known_as(fixed, name))),
            None => stage.usual().iter().for_each(|name| add(name)),
        }
        if stage == Stage::Connect && agreement.list(stage).is_none() {
            let others = fixed.0.iter().filter(|(name, _)| !Stage::is_usual_anywhere(name));
            others.for_each(|(name, _)| add(name));
        }
        if found.is_empty() {
            return;
        }
        put_frame(out, MACRO, |out| {
            out.push(command);
            let mut room = agreement.most_data() - 1;
            for (name, value) in found {
                let octets = name.len() + value.len() + NULS;
                if octets <= room {
                    room -= octets;
                    for text in [name, value] {
                        out.extend_from_slice(text.as_bytes());
                        out.push(0);
                    }
                }
            }
        });
    }

    /// A name that a filter asks for as we have it: with braces, where it has more than one letter.
    fn known_as<'a>(&'a self, fixed: &'a Self, wanted: &'a str) -> &'a str {
        let all = fixed.0.iter().chain(&self.0);
        let mut same = all.map(|(name, _)| &**name).filter(|name| {
            let bare = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            bare == Some(wanted)
        });
        same.next().unwrap_or(wanted)
    }
}

/// Whether this may be the name of a macro.
pub(super) fn is_macro_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(u8::is_ascii_graphic)
}

const MACRO: u8 = b'D';
/// Behind a name and behind its value.
const NULS: usize = 2;
const MAX_NAME: usize = 64;
