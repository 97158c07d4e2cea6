//! Lines that a program writes to standard error to say more than its exit status does, as the file
//! `OUTPUT_OPTIONS` of the original has them.

use relais_channels::mime::parts::MimePart;

/// The words of a program about its part.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Options {
    pub(super) kind: Option<String>,
    pub(super) subtype: Option<String>,
    pub(super) disposition: Option<String>,
    /// Parameters of the type, and of the disposition.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) dparameters: Vec<(String, String)>,
    /// The reason, for the sender or the operator.
    pub(super) diagnostic: Option<String>,
    pub(super) status: Option<Forced>,
    /// Other lines, for the log.
    pub(super) said: String,
}

/// The fate that a program has decided on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forced {
    NoChange,
    Delete,
    Return,
    Hold,
    Discard,
}

impl Options {
    /// The words of a program whose lines are for the log alone.
    pub(super) fn none(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let said: Vec<_> = lines.take(MOST_LINES).map(printable).collect();
        Self { said: said.join(" / "), ..Self::default() }
    }

    /// Whether a line says more than words.
    pub(super) fn has_any(&self) -> bool {
        let words = Self { said: self.said.clone(), ..Self::default() };
        *self != words
    }

    pub(super) fn of(text: &[u8]) -> Self {
        let mut options = Self::default();
        let text = String::from_utf8_lossy(text);
        let mut others = Vec::new();
        for line in text.lines() {
            let pair = line.trim().split_once('=').map(|(name, value)| (name, unquoted(value)));
            let is_taken = pair.is_some_and(|(name, value)| options.take(name, value));
            if !is_taken && others.len() < MOST_LINES && !line.trim().is_empty() {
                others.push(printable(line.trim()));
            }
        }
        options.said = others.join(" / ");
        options
    }

    fn take(&mut self, name: &str, value: &str) -> bool {
        let word = || is_word(value).then(|| value.to_ascii_lowercase());
        let name = name.trim().to_ascii_uppercase();
        match name.as_str() {
            "OUTPUT_TYPE" => self.kind = word(),
            "OUTPUT_SUBTYPE" => self.subtype = word(),
            "OUTPUT_DISPOSITION" => self.disposition = word(),
            "OUTPUT_DIAGNOSTIC" => self.diagnostic = Some(printable(value)),
            "STATUS" => self.status = Forced::of(value),
            _ => {
                let set = |prefix: &str| name.strip_prefix(prefix).map(str::to_ascii_lowercase);
                let value = value.chars().take(MOST_CHARS).collect();
                if let Some(name) = set("OUTPUT_PARAMETER_") {
                    self.parameters.push((name, value));
                } else if let Some(name) = set("OUTPUT_DPARAMETER_") {
                    self.dparameters.push((name, value));
                } else {
                    return false;
                }
            }
        }
        true
    }

    /// The part as the program calls it.
    pub(super) fn applied(&self, mut part: MimePart) -> MimePart {
        let Self { kind, subtype, disposition, parameters, dparameters, .. } = self;
        if let Some(kind) = kind {
            part.kind.clone_from(kind);
        }
        if let Some(subtype) = subtype {
            part.subtype.clone_from(subtype);
        }
        if let Some(disposition) = disposition {
            part.disposition.clone_from(disposition);
        }
        for (all, new) in [(&mut part.parameters, parameters), (&mut part.dparameters, dparameters)]
        {
            for (name, value) in new {
                all.retain(|(own, _)| own != name);
                all.push((name.clone(), value.clone()));
            }
        }
        part
    }
}

impl Forced {
    /// `PMDF__FORCEHOLD`, `FORCEHOLD`.
    fn of(value: &str) -> Option<Self> {
        let value = value.to_ascii_uppercase();
        let name = value.rsplit("__").next().unwrap_or_default();
        match name {
            "NOCHANGE" => Some(Self::NoChange),
            "FORCEDELETE" => Some(Self::Delete),
            "FORCERETURN" => Some(Self::Return),
            "FORCEHOLD" => Some(Self::Hold),
            "FORCEDISCARD" => Some(Self::Discard),
            _ => None,
        }
    }
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

fn is_word(value: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&c);
    (1..=127).contains(&value.len()) && value.bytes().all(fits)
}

fn printable(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(MOST_CHARS).map(fit).collect()
}

const MOST_LINES: usize = 5;
const MOST_CHARS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_options_or_words() {
        let options = Options::of(
            b"OUTPUT_TYPE=TEXT\nOUTPUT_SUBTYPE='plain'\noutput_parameter_charset=\"utf-8\"\n\
              STATUS=PMDF__FORCEHOLD\nOUTPUT_DIAGNOSTIC=found \x1b[1mX\nOUTPUT_DISPOSITION=a b\n\
              warning: x=y\n\n",
        );
        let want = Options {
            kind: Some("text".into()),
            subtype: Some("plain".into()),
            disposition: None,
            parameters: vec![("charset".into(), "utf-8".into())],
            dparameters: Vec::new(),
            diagnostic: Some("found ?[1mX".into()),
            status: Some(Forced::Hold),
            said: "warning: x=y".into(),
        };
        assert_eq!(options, want);
        assert!(options.has_any());
        let words = Options::none(b"a: OK\n\n STATUS=NOCHANGE\n\x1b\n");
        let said = "a: OK / STATUS=NOCHANGE / ?".to_owned();
        assert_eq!(words, Options { said, ..Options::default() });
        assert!(!words.has_any());
        let rows = [
            ("nochange", Some(Forced::NoChange)),
            ("MTA__FORCEDELETE", Some(Forced::Delete)),
            ("FORCERETURN", Some(Forced::Return)),
            ("FORCEDISCARD", Some(Forced::Discard)),
            ("0", None),
        ];
        for (value, want) in rows {
            assert_eq!(Options::of(format!("STATUS={value}").as_bytes()).status, want, "{value}");
        }
    }
}
