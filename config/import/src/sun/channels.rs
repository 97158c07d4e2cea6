//! Channel blocks as sections of the new file.

use relais_config::units;

use super::{
    imta::ImtaBlock,
    keywords::{self, Keyword},
};
use crate::{
    report::{Fate, Findings, Place},
    ron::{Entry, Value, quoted},
};

/// Settings of a channel in the order of their keywords; of two the later counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

/// A channel of the new file.
#[derive(Clone, Debug)]
pub(super) struct NewChannel {
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) program: &'static str,
    pub(super) fields: Fields,
    pub(super) comments: Vec<String>,
}

impl Fields {
    pub(super) fn set(&mut self, path: &'static str, value: Value) {
        self.0.retain(|(known, _)| *known != path);
        self.0.push((path, value));
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == path)
    }

    /// Takes a word out of the settings.
    pub(super) fn take(&mut self, path: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == path)?;
        match self.0.remove(at).1 {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// A setting's text, without its quotes.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == path).and_then(|(_, value)| match value {
            Value::Word(word) => Some(word.trim_matches('"').to_owned()),
            _ => None,
        })
    }

    /// The entries, those of `tls.` and `sasl.` within a section each.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for (path, value) in &self.0 {
            let Some((outer, inner)) = path.split_once('.') else {
                entries.push(Entry::new(path, value.clone()));
                continue;
            };
            let inner = Entry::new(inner, value.clone());
            let of_outer = entries.iter_mut().find(|entry| entry.name == outer);
            match of_outer.map(|entry| &mut entry.value) {
                Some(Value::Section(_, within)) => within.push(inner),
                _ => entries.push(Entry::new(outer, Value::Section("", vec![inner]))),
            }
        }
        entries
    }
}

impl NewChannel {
    pub(super) fn entry(&self) -> Entry {
        let mut entries = vec![
            Entry::text("name", &self.name),
            Entry::text("tag", &self.tag),
            Entry::word("program", self.program),
        ];
        entries.extend(self.fields.entries());
        Entry::new("", Value::Section("", entries)).said_all(self.comments.iter().cloned())
    }
}

/// The settings that the keywords of a block become; the others are told of.
pub(super) fn fields(block: &ImtaBlock, block_size: u64, findings: &mut Findings) -> Fields {
    let mut fields = Fields::default();
    let mut words = block.words.iter().map(String::as_str).peekable();
    let place = &block.line.place;
    let of = |word: &str| format!("{}: {word}", block.name);
    while let Some(word) = words.next() {
        let Some(keyword) = keywords::find(word) else {
            let meaning = "no keyword: the original reads it as the name of a group whose programs \
                           alone may send to the channel (a pool needs `pool` before its name)";
            findings.missing(place, &of(word), meaning);
            continue;
        };
        let count = arguments(keyword);
        let mut given = Vec::new();
        while given.len() < count && words.peek().is_some_and(|next| fits(keyword, next)) {
            given.extend(words.next());
        }
        let whole =
            std::iter::once(word).chain(given.iter().copied()).collect::<Vec<_>>().join(" ");
        match set(keyword, &given, block_size, &mut fields) {
            Made::Carried => findings.carried(place, &of(&whole)),
            Made::Told(fate, meaning) => findings.tell(place, &of(&whole), fate, meaning),
        }
    }
    fields
}

/// The outcome for a keyword.
enum Made {
    Carried,
    Told(Fate, &'static str),
}

/// How many words behind a keyword may be its arguments.
fn arguments(keyword: Keyword) -> usize {
    match keyword {
        Keyword::Set(..) | Keyword::Sets(..) => 0,
        Keyword::Number(_)
        | Keyword::Blocks(_)
        | Keyword::Text(_)
        | Keyword::Length
        | Keyword::OneOf(_)
        | Keyword::File(_) => 1,
        Keyword::Host(_) => 2,
        Keyword::Servers(_) | Keyword::Times(_) | Keyword::Days(_) => 8,
        Keyword::Same(count) | Keyword::NotNeeded(count, _) | Keyword::Missing(count, _) => count,
    }
}

fn fits(keyword: Keyword, word: &str) -> bool {
    match keyword {
        Keyword::Servers(_) => word.parse::<std::net::IpAddr>().is_ok(),
        Keyword::Times(_) => time(word).is_some(),
        Keyword::Days(_) => days(word).is_some(),
        Keyword::Host(_) => word.contains('.'),
        // Arguments may be left away.
        Keyword::Same(_) | Keyword::NotNeeded(..) | Keyword::Missing(..) => {
            !keywords::is_keyword(word)
        }
        _ => true,
    }
}

/// A time in the original's form, `pt1h30m`.
fn time(word: &str) -> Option<String> {
    let is_iso = word.starts_with(['p', 'P']);
    let time = units::parse_duration(word).ok().filter(|_| is_iso)?;
    Some(quoted(&units::format_duration(time)))
}

/// An age in days; the original takes a time, too.
fn days(word: &str) -> Option<String> {
    match word.parse::<u32>() {
        Ok(days) if days > 0 => Some(quoted(&format!("{days}d"))),
        Ok(_) => None,
        Err(_) => time(word),
    }
}

fn set(keyword: Keyword, given: &[&str], block_size: u64, fields: &mut Fields) -> Made {
    const ODD: Made =
        Made::Told(Fate::NoCounterpart, "its argument has no form that is known here");
    let first = given.first().copied().unwrap_or_default();
    let list = |each: fn(&str) -> Option<String>| -> Option<Value> {
        let words = given.iter().map(|word| each(word).map(|word| Entry::word("", &word)));
        let words: Vec<_> = words.collect::<Option<_>>()?;
        (!words.is_empty()).then_some(Value::List(words))
    };
    let (path, value) = match keyword {
        Keyword::Same(_) => return Made::Told(Fate::SameByDefault, ""),
        Keyword::NotNeeded(_, why) => return Made::Told(Fate::NotNeeded, why),
        Keyword::Missing(_, why) => return Made::Told(Fate::NoCounterpart, why),
        Keyword::Set(path, word) => (path, Some(Value::Word(word.to_owned()))),
        Keyword::Sets(paths, word) => {
            for path in paths {
                fields.set(path, Value::Word(word.to_owned()));
            }
            return Made::Carried;
        }
        Keyword::Number(path) => {
            (path, first.parse::<u64>().ok().map(|n| Value::Word(n.to_string())))
        }
        Keyword::Length => {
            let Ok(octets) = first.parse::<u64>() else { return ODD };
            let octets = octets.saturating_add(2).clamp(1_000, 16 << 20);
            fields.set("max_line", Value::Word(octets.to_string()));
            return Made::Told(Fate::NoCounterpart, LENGTH);
        }
        Keyword::Blocks(path) => {
            let octets = first.parse::<u64>().ok().and_then(|n| n.checked_mul(block_size));
            (path, octets.map(|n| Value::Word(n.to_string())))
        }
        Keyword::Host(path) if given.len() > 1 => {
            fields.set(path, Value::text(first));
            return Made::Told(Fate::NoCounterpart, FOR_RECIPIENTS);
        }
        Keyword::Text(path) | Keyword::Host(path) => {
            (path, (!first.is_empty()).then(|| Value::text(first)))
        }
        Keyword::OneOf(path) => (path, (!first.is_empty()).then(|| Value::texts([first]))),
        Keyword::File(path) => (
            path,
            first.strip_prefix("file:").map(|path| Value::text(path.trim_start_matches("//"))),
        ),
        Keyword::Servers(path) => (path, list(|word| Some(quoted(&server(word)?)))),
        Keyword::Times(path) => (path, list(time)),
        Keyword::Days(path) => (path, list(days)),
    };
    let Some(value) = value else { return ODD };
    fields.set(path, value);
    Made::Carried
}

const FOR_RECIPIENTS: &str = "the first domain is carried over; of the second: a recipient without a domain is one of the \
                              local channel's tag";
const LENGTH: &str = "it became max_line: longer lines that leave are encoded as well, but those that come in by \
                      the channel are refused";

/// A name server's address with its port.
fn server(word: &str) -> Option<String> {
    let address: std::net::IpAddr = word.parse().ok()?;
    Some(std::net::SocketAddr::new(address, 53).to_string())
}

/// The program of a channel by its keywords and its name, and what there is to say of it.
pub(super) fn program(name: &str, said: Option<&str>) -> (Option<&'static str>, &'static str) {
    match (name, said) {
        ("l", _) => (Some("Local"), ""),
        (_, Some("Lmtp")) => (Some("Lmtp"), ""),
        (_, Some("Smtp")) => (Some("Smtp"), ""),
        ("defragment", _) => (None, "a channel with `defragment` holds pieces itself"),
        ("conversion", _) => (Some("Conversion"), ""),
        ("hold", _) => (Some("Hold"), ""),
        ("bitbucket" | "filter_discard", _) => (Some("Bitbucket"), ""),
        ("autoreply", _) => (
            Some("Bitbucket"),
            "automatic replies wait in a channel of program Bitbucket; delivery options want a `!`",
        ),
        (name, _) if name.starts_with("ims-ms") => (
            Some("Lmtp"),
            "mailboxes are our own, in Maildir++, behind an LMTP service of this engine; those of \
             the original's store have to be moved (imsbackup, or by IMAP)",
        ),
        (name, _) if name.starts_with("tcp_lmtp") => (Some("Lmtp"), ""),
        (name, _) if name.starts_with("tcp_") => (Some("Smtp"), ""),
        (name, _) if name.starts_with("reprocess") => (Some("Reprocess"), ""),
        (name, _) if name.starts_with("process") => (Some("Process"), ""),
        (name, _) if name.starts_with("pipe") => {
            (Some("Pipe"), "programs have to be listed in `programs`: nothing else is run")
        }
        _ => (Some("Hold"), "its program has no counterpart: mail that is led there is held"),
    }
}

/// Tells of lines of a block that nothing is made of.
pub(super) fn tell_more(block: &ImtaBlock, findings: &mut Findings) {
    for (n, line) in block.more.iter().enumerate() {
        let words: Vec<_> = line.text.split_whitespace().collect();
        let (place, text): (&Place, String) = (&line.place, words.join(" "));
        let of = format!("{}: {text}", block.name);
        match (n, &block.tag, words.len()) {
            (0, Some(_), 1) => findings.carried(place, &of),
            (0, Some(_), _) => {
                let why = "the official host name is the channel's tag; the name behind it is not \
                           known here";
                findings.missing(place, &of, why);
            }
            // Each is led to the channel by a rule.
            (_, Some(_), 1) => {}
            (_, Some(_), _) => {
                let why = "mail for either of the hosts is brought to itself, and not to the other one \
                           (`daemon` of a channel of its own names a host to bring mail to)";
                findings.missing(place, &of, why);
            }
            (_, None, _) => {
                let why = "keywords where the official host name is expected: does the line above \
                           lack its `\\`?";
                findings.missing(place, &of, why);
            }
        }
    }
}
