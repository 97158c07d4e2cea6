//! The automatic reply that a user's entry has.

use std::time::Duration;

use super::{allowance::IgnoredValue, entry::Entry};

/// Texts of a user for automatic replies, and how often they are sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AutoreplyTexts {
    /// `mailAutoReplySubject`.
    pub subject: Option<String>,
    /// `mailAutoReplyText`.
    outside: Option<String>,
    /// `mailAutoReplyTextInternal`.
    internal: Option<String>,
    /// The header of the message comes back: `mailAutoReplyMode: echo`.
    pub echoes: bool,
    /// `mailAutoReplyTimeOut`: a sender is answered once within this time.
    pub within: Duration,
}

impl AutoreplyTexts {
    /// The texts of an entry, in the user's own language where there are several.
    pub fn of(entry: &Entry) -> Self {
        let language = entry.first("preferredlanguage").map(str::to_ascii_lowercase);
        let text = |name: &str| {
            let tagged = language.as_ref().map(|language| format!("{name};lang-{language}"));
            let tagged = tagged.and_then(|name| entry.first(&name));
            let text = tagged.or_else(|| entry.first(name))?;
            (!text.trim().is_empty()).then(|| text.to_owned())
        };
        let hours = entry.first(TIMEOUT).and_then(hours_of).unwrap_or(HOURS);
        let mode = entry.first(MODE).unwrap_or_default();
        Self {
            subject: text("mailautoreplysubject"),
            outside: text("mailautoreplytext"),
            internal: text("mailautoreplytextinternal"),
            echoes: mode.trim().eq_ignore_ascii_case("echo"),
            within: Duration::from_secs(hours * 3_600),
        }
    }

    /// The same that a Sieve script says.
    pub fn by_script(subject: &str, text: &str, within: Duration) -> Self {
        let own_subject = (!subject.is_empty()).then(|| subject.to_owned());
        let outside = Some(text.to_owned());
        Self { subject: own_subject, outside, internal: None, echoes: false, within }
    }

    /// The text for senders of the same domain, or for others; `None`: they are not answered.
    pub fn text(&self, is_internal: bool) -> Option<&str> {
        let internal = self.internal.as_deref().filter(|_| is_internal);
        internal.or(self.outside.as_deref())
    }

    /// Whether anybody is answered.
    pub(crate) fn has_any(&self) -> bool {
        self.outside.is_some() || self.internal.is_some()
    }
}

/// The values of an entry that say in vain how and how often its user answers.
pub(crate) fn ignored_reply_values(entry: &Entry) -> Vec<IgnoredValue> {
    let mode = entry.first(MODE).filter(|mode| {
        let mode = mode.trim();
        !MODES.iter().any(|known| known.eq_ignore_ascii_case(mode))
    });
    let timeout = entry.first(TIMEOUT).filter(|hours| hours_of(hours).is_none());
    let mode = mode.map(|mode| IgnoredValue::new("mailAutoReplyMode", mode, WANTED_MODES));
    let timeout = timeout.map(|its| IgnoredValue::new("mailAutoReplyTimeOut", its, WANTED_HOURS));
    mode.into_iter().chain(timeout).collect()
}

/// A number of hours, brought to between one and many.
fn hours_of(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(MOST_HOURS).clamp(1, MOST_HOURS))
}

const MODE: &str = "mailautoreplymode";
const TIMEOUT: &str = "mailautoreplytimeout";
/// The first two differ in nothing that a sender could see.
const MODES: [&str; 3] = ["reply", "vacation", "echo"];
const WANTED_MODES: &str = "reply, vacation or echo";
const WANTED_HOURS: &str = "a number of hours";
/// A week, as in the original.
const HOURS: u64 = 168;
/// Ten years.
const MOST_HOURS: u64 = 87_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_an_entry() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>, bool, u64);
        let (text, internal) = ("mailAutoReplyText", "mailAutoReplyTextInternal");
        let mode = "mailAutoReplyMode";
        let rows: [Row<'_>; 9] = [
            (&[], None, None, false, 168),
            (&[(text, "away")], Some("away"), Some("away"), false, 168),
            (&[(text, "  ")], None, None, false, 168),
            (&[(internal, "in")], None, Some("in"), false, 168),
            (&[(text, "away"), (internal, "in")], Some("away"), Some("in"), false, 168),
            (&[(text, "a"), (mode, "Echo")], Some("a"), Some("a"), true, 168),
            (&[(text, "a"), (mode, "vacation")], Some("a"), Some("a"), false, 168),
            (&[(text, "a"), ("mailAutoReplyTimeOut", "24")], Some("a"), Some("a"), false, 24),
            (
                &[(text, "a"), ("mailAutoReplyText;lang-de", "weg"), ("preferredLanguage", "DE")],
                Some("weg"),
                Some("weg"),
                false,
                168,
            ),
        ];
        for (attributes, outside, inside, echoes, hours) in rows {
            let mut entry = Entry::new("uid=x");
            for (name, value) in attributes {
                entry.add(name, *value);
            }
            let texts = AutoreplyTexts::of(&entry);
            assert_eq!((texts.text(false), texts.text(true)), (outside, inside), "{attributes:?}");
            assert_eq!((texts.echoes, texts.within.as_secs() / 3_600), (echoes, hours));
        }
        for (odd, hours) in [("0", 1), ("-1", 168), ("9999999999", 87_600), ("a week", 168)] {
            let mut entry = Entry::new("uid=x");
            entry.add("mailAutoReplyTimeOut", odd);
            assert_eq!(AutoreplyTexts::of(&entry).within.as_secs() / 3_600, hours, "{odd}");
        }
    }

    #[test]
    fn values_that_say_nothing_are_told() {
        let (mode, timeout) = ("mailAutoReplyMode", "mailAutoReplyTimeOut");
        let rows = [
            ("", "", [].as_slice()),
            ("reply", "24", &[]),
            (" Vacation ", " 7 ", &[]),
            ("ECHO", "0", &[]),
            ("echo", "99999999999999999999999", &[]),
            ("loud", "24", &[mode]),
            (" ", "24", &[mode]),
            ("reply", "a week", &[timeout]),
            ("reply", "-1", &[timeout]),
            ("reply", "+1", &[timeout]),
            ("reply", "1.5", &[timeout]),
            ("echo,reply", "24h", &[mode, timeout]),
        ];
        for (its_mode, hours, want) in rows {
            let mut entry = Entry::new("uid=x");
            for (name, value) in [(mode, its_mode), (timeout, hours)] {
                if !value.is_empty() {
                    entry.add(name, value);
                }
            }
            let ignored = ignored_reply_values(&entry);
            let names: Vec<_> = ignored.iter().map(|its| its.attribute).collect();
            assert_eq!(names, want, "{its_mode:?} {hours:?}");
        }
    }
}
