//! Macros: names and values that go along with a command, as sendmail has them.

use super::{agreement::Agreement, frames::put_frame, stage::MacroStage};

/// Values by name. A name is a letter, or stands in braces: `i`, `{client_addr}`.
#[derive(Clone, Debug, Default)]
pub struct Macros(Vec<(String, String)>);

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
        (stage, command): (MacroStage, u8),
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
        if stage == MacroStage::Connect && agreement.list(stage).is_none() {
            let others = fixed.0.iter().filter(|(name, _)| !MacroStage::is_usual_anywhere(name));
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

const MACRO: u8 = b'D';
/// Behind a name and behind its value.
const NULS: usize = 2;
