//! The kinds of values that the file knows.

use std::{
    fmt::Display, num::NonZeroUsize, ops::RangeInclusive, path::PathBuf, str::FromStr,
    time::Duration,
};

use crate::file::{
    document::Document,
    form::Kind,
    notation::Notation,
    pieces,
    reader::{Node, Reader, suggest},
    units::{
        DURATION_FORMS, SIZE_FORMS, UnitError, format_duration, format_size, grouped,
        parse_duration, parse_size,
    },
};

/// Any text.
pub(crate) struct Text;

impl Kind<String> for Text {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<String> {
        let text = ron::from_str(node.text);
        if text.is_err() {
            let expected = match pieces::variant(node.text) {
                Some((name, "")) => format!("a text in double quotes is expected: \"{name}\""),
                _ => "a text in double quotes is expected".to_owned(),
            };
            reader.unfit(node, &expected);
        }
        text.ok()
    }

    fn print(&self, value: &String) -> Document {
        Document::text(value)
    }

    fn notation(&self) -> Notation {
        Notation::of("text")
    }
}

/// A text of a certain form.
pub(crate) struct Formed {
    /// Whether a text has the form.
    pub(crate) is: fn(&str) -> bool,
    /// `a domain name is expected, such as ...`.
    pub(crate) expected: &'static str,
}

impl Kind<String> for Formed {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<String> {
        let text = Text.read(node, reader)?;
        if (self.is)(&text) {
            return Some(text);
        }
        // Blanks around it, the dot of the DNS, capitals.
        let plain = text.trim().trim_end_matches('.');
        let meant = [plain.to_owned(), plain.to_ascii_lowercase()];
        let meant = meant.iter().find(|meant| (self.is)(meant));
        let hint = meant.map_or_else(String::new, |meant| format!("did you mean {meant:?}? "));
        reader.unfit(node, &format!("{hint}{}", self.expected));
        None
    }

    fn print(&self, value: &String) -> Document {
        Document::text(value)
    }

    fn notation(&self) -> Notation {
        Notation::formed("text", without_expectation(self.expected))
    }
}

/// A file or folder; a relative one lies below `data`.
pub(crate) struct Path;

impl Kind<PathBuf> for Path {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<PathBuf> {
        let form = Formed {
            is: |text| !text.is_empty() && !text.contains('\0'),
            expected: "a path is expected, absolute or below data",
        };
        form.read(node, reader).map(PathBuf::from)
    }

    fn print(&self, value: &PathBuf) -> Document {
        // It came from a text; what came from elsewhere may lose what is not Unicode.
        Document::text(&value.to_string_lossy())
    }

    fn notation(&self) -> Notation {
        Notation::formed("path", "absolute or below `data`")
    }
}

/// An address of the network, in quotes.
pub(crate) struct Parsed {
    /// `an IP address is expected, such as ...`.
    pub(crate) expected: &'static str,
}

impl<T: FromStr + Display> Kind<T> for Parsed {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T> {
        let text: Option<String> = ron::from_str(node.text).ok();
        let value = text.and_then(|text| text.parse().ok());
        if value.is_none() {
            reader.unfit(node, self.expected);
        }
        value
    }

    fn print(&self, value: &T) -> Document {
        Document::text(&value.to_string())
    }

    fn notation(&self) -> Notation {
        Notation::formed("text", without_expectation(self.expected))
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind<bool> for Flag {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<bool> {
        let value = ron::from_str(node.text).ok();
        if value.is_none() {
            let said = bare(node.text).to_ascii_lowercase();
            let meant = match said.as_str() {
                "true" | "yes" | "on" | "1" => "true is expected, without quotes",
                "false" | "no" | "off" | "0" => "false is expected, without quotes",
                _ => "true or false is expected",
            };
            reader.unfit(node, meant);
        }
        value
    }

    fn print(&self, value: &bool) -> Document {
        Document::Atom(value.to_string())
    }

    fn notation(&self) -> Notation {
        Notation::of("`true` or `false`")
    }
}

/// Permissions of a file, in octal and in quotes: `"0660"`.
pub(crate) struct Mode;

impl Kind<u32> for Mode {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<u32> {
        let expected = "octal permissions in quotes are expected, such as \"0660\"";
        if !node.text.starts_with(['"', 'r']) {
            reader.unfit(node, expected);
            return None;
        }
        let text = Text.read(node, reader)?;
        let octal = text.len() <= 4 && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
        let mode = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        let mode = mode.filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            reader.unfit(node, expected);
        }
        mode
    }

    fn print(&self, value: &u32) -> Document {
        Document::text(&format!("{value:04o}"))
    }

    fn notation(&self) -> Notation {
        Notation::formed("text", "octal permissions such as \"0660\"")
    }
}

/// A whole number.
pub(crate) struct Count(pub(crate) RangeInclusive<u64>);

/// A type that a [`Count`] can be.
pub(crate) trait Number: Copy {
    fn from_count(count: u64) -> Option<Self>;
    fn to_count(self) -> u64;
}

impl<N: Number> Kind<N> for Count {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<N> {
        let count = ron::from_str(node.text).ok().filter(|count| self.0.contains(count));
        let number = count.and_then(N::from_count);
        if number.is_none() {
            let (least, most) = (self.0.start(), self.0.end());
            let said = bare(node.text);
            let fits = said.parse().is_ok_and(|count| self.0.contains(&count));
            let meant = if fits { format!(": {said}") } else { String::new() };
            reader
                .unfit(node, &format!("a whole number from {least} to {most} is expected{meant}"));
        }
        number
    }

    fn print(&self, value: &N) -> Document {
        Document::Atom(value.to_count().to_string())
    }

    fn notation(&self) -> Notation {
        Notation::numbers("whole number", &self.0, &|number| grouped(number))
    }
}

/// Octets.
pub(crate) struct Size(pub(crate) RangeInclusive<u64>);

impl Kind<u64> for Size {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<u64> {
        let octets = match ron::from_str::<u64>(node.text) {
            Ok(octets) => Ok(octets),
            Err(_) if node.text.starts_with(['"', 'r']) => parse_size(&Text.read(node, reader)?),
            Err(_) => Err(UnitError::Size(String::new())),
        };
        let (least, most) = (*self.0.start(), *self.0.end());
        let range = || format!("{} to {} are allowed", format_size(least), format_size(most));
        match octets {
            Ok(octets) if self.0.contains(&octets) => return Some(octets),
            Ok(_) | Err(UnitError::TooLarge(_)) => reader.unfit(node, &range()),
            Err(_) => reader.unfit(node, SIZE_FORMS),
        }
        None
    }

    fn print(&self, value: &u64) -> Document {
        sized(*value)
    }

    fn notation(&self) -> Notation {
        Notation::numbers("size", &self.0, &format_size)
    }
}

impl Kind<usize> for Size {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<usize> {
        Kind::<u64>::read(self, node, reader).and_then(|octets| octets.try_into().ok())
    }

    fn print(&self, value: &usize) -> Document {
        sized(*value as u64)
    }

    fn notation(&self) -> Notation {
        Kind::<u64>::notation(self)
    }
}

/// How long something takes.
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

impl Kind<Duration> for Time {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Duration> {
        if !node.text.starts_with(['"', 'r']) {
            reader.unfit(node, DURATION_FORMS);
            return None;
        }
        let (least, most) = (*self.0.start(), *self.0.end());
        let range =
            || format!("{} to {} are allowed", format_duration(least), format_duration(most));
        let text = Text.read(node, reader)?;
        match parse_duration(&text) {
            Ok(duration) if self.0.contains(&duration) => {
                let iso = text.trim_start().starts_with(['P', 'p']);
                let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
                if words.any(|word| word == "M") && !iso {
                    let plain = format_duration(duration);
                    let message = format!("M stands for minutes in a time: this is {plain}");
                    reader.warning_at(&node.path, &message, false);
                }
                return Some(duration);
            }
            Ok(_) | Err(UnitError::TooLarge(_)) => reader.unfit(node, &range()),
            Err(_) => reader.unfit(node, DURATION_FORMS),
        }
        None
    }

    fn print(&self, value: &Duration) -> Document {
        Document::text(&format_duration(*value))
    }

    fn notation(&self) -> Notation {
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let shown = |millis| format_duration(Duration::from_millis(millis));
        let range = millis(self.0.start())..=millis(self.0.end());
        Notation { is_time: true, ..Notation::numbers("time", &range, &shown) }
    }
}

/// A time; a bare number is one of days, as in the original's `notices 1 2 4 7`.
pub(crate) struct Age;

impl Kind<Duration> for Age {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Duration> {
        if node.text.is_empty() || !node.text.bytes().all(|c| c.is_ascii_digit()) {
            return WAIT.read(node, reader);
        }
        let days = node.text.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
        if days.is_none() {
            reader.unfit(node, &format!("1 to {MOST_DAYS} days are allowed"));
        }
        days.map(|days| DAY * days)
    }

    fn print(&self, value: &Duration) -> Document {
        WAIT.print(value)
    }

    fn notation(&self) -> Notation {
        WAIT.notation()
    }
}

/// A value that is one of several names: what `choice!` makes.
pub(crate) trait Choices: Copy + PartialEq + 'static {
    /// Each name, what it stands for, and what that means.
    const NAMES: &'static [(&'static str, Self, &'static str)];
}

/// One of several names.
pub(crate) struct Choice;

impl<T: Choices> Kind<T> for Choice {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T> {
        let found = T::NAMES.iter().find(|(name, ..)| *name == node.text);
        if found.is_none() {
            let names: Vec<_> = T::NAMES.iter().map(|(name, ..)| *name).collect();
            let wrong = node.text.trim_matches('"');
            reader
                .unfit(node, &suggest(wrong, &names, "one of these is expected, without quotes:"));
        }
        found.map(|(_, value, _)| *value)
    }

    fn print(&self, value: &T) -> Document {
        let name = T::NAMES.iter().find(|(_, known, _)| known == value).map(|(name, ..)| *name);
        Document::Atom(name.unwrap_or_default().to_owned())
    }

    fn notation(&self) -> Notation {
        let choices = T::NAMES.iter().map(|(name, _, meaning)| (*name, *meaning)).collect();
        Notation { choices, ..Notation::of("name") }
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn from_count(count: u64) -> Option<Self> {
                count.try_into().ok()
            }

            fn to_count(self) -> u64 {
                self as u64
            }
        }
    )*};
}

#[allow(clippy::cast_lossless)]
mod numbers {
    use super::Number;

    numbers!(u16, u32, u64, usize);
}

impl Number for NonZeroUsize {
    fn from_count(count: u64) -> Option<Self> {
        Self::new(count.try_into().ok()?)
    }

    fn to_count(self) -> u64 {
        self.get() as u64
    }
}

/// `a domain name is expected: ...` without the expectation.
fn without_expectation(expected: &str) -> String {
    expected.replacen(" is expected", "", 1).replacen(" are expected", "", 1)
}

/// Without quotes around it, and without `Some`.
fn bare(text: &str) -> &str {
    let inner = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')'));
    inner.unwrap_or(text).trim().trim_matches('"').trim()
}

fn sized(octets: u64) -> Document {
    let text = format_size(octets);
    match text.parse::<u64>() {
        Ok(_) => Document::Atom(text),
        Err(_) => Document::text(&text),
    }
}

/// Waiting for something that may take up to months.
pub(crate) const WAIT: Time =
    Time(Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 60 * 60));

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_DAYS: u32 = 366;

/// Waiting for a peer.
pub(crate) const PATIENCE: Time =
    Time(Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60));
