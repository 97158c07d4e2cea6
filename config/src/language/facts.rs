//! Facts about the origin of mail that templates ask for: `$:(spf=fail,softfail)`.

use std::fmt;

use super::template::{Scanner, TemplateError};

/// Facts about the origin of mail that a client brings, each as a word of RFC 8601; empty: nobody
/// has looked.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Facts {
    /// SPF of the sender; of a null sender, of the name in HELO.
    pub spf: &'static str,
    /// SPF of the name in HELO.
    pub spf_helo: &'static str,
}

/// `$:(fact=result,result)`: the fact is one of these results; `$;(...)`: it is another one. Of a fact
/// that nobody has looked at neither holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FactTest {
    fact: Fact,
    results: Vec<&'static str>,
    is_wanted: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fact {
    Spf,
    SpfHelo,
}

impl Facts {
    /// Whether nobody has looked.
    pub fn are_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The results of SPF in words; `None`: one of them is no such result. Empty: not checked.
    pub fn of_words(spf: &str, spf_helo: &str) -> Option<Self> {
        let word = |text: &str| if text.is_empty() { Some("") } else { result(text) };
        Some(Self { spf: word(spf)?, spf_helo: word(spf_helo)? })
    }

    /// Whether a text asks for one of them, wherever it will stand.
    pub fn are_asked_in(text: &str) -> bool {
        text.contains("$:(") || text.contains("$;(")
    }
}

impl FactTest {
    /// Reads a test behind `$:` (`is_wanted`) or `$;`, which stands at `offset`.
    pub(crate) fn read(
        scanner: &mut Scanner<'_>,
        offset: usize,
        is_wanted: bool,
    ) -> Result<Self, TemplateError> {
        let error = |message: String| TemplateError::new(offset, message, ACCEPTED);
        let open = scanner.eat('(').then(|| scanner.until(')')).flatten();
        let text = open.ok_or_else(|| error("not a test of a fact".to_owned()))?;
        let (name, results) =
            text.split_once('=').ok_or_else(|| error("the test names no result".to_owned()))?;
        let fact = match name {
            "spf" => Fact::Spf,
            "spf_helo" => Fact::SpfHelo,
            _ => return Err(error(format!("{name:?} is no fact that is known"))),
        };
        let known =
            |text| result(text).ok_or_else(|| error(format!("{text:?} is no result of SPF")));
        let results = results.split(',').map(known).collect::<Result<_, _>>()?;
        Ok(Self { fact, results, is_wanted })
    }

    /// Whether it holds; a fact that is not known decides nothing.
    pub fn holds(&self, facts: Facts) -> bool {
        let result = self.fact.of(facts);
        !result.is_empty() && self.results.contains(&result) == self.is_wanted
    }

    /// The fact, for people: `spf is fail`.
    pub fn told(&self, facts: Facts) -> String {
        match self.fact.of(facts) {
            "" => format!("{} is not known", self.fact.name()),
            result => format!("{} is {result}", self.fact.name()),
        }
    }
}

/// As in a template.
impl fmt::Display for FactTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_wanted { ':' } else { ';' };
        write!(f, "${sign}({}={})", self.fact.name(), self.results.join(","))
    }
}

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Self::Spf => "spf",
            Self::SpfHelo => "spf_helo",
        }
    }

    fn of(self, facts: Facts) -> &'static str {
        match self {
            Self::Spf => facts.spf,
            Self::SpfHelo => facts.spf_helo,
        }
    }
}

fn result(text: &str) -> Option<&'static str> {
    SPF_RESULTS.into_iter().find(|result| *result == text)
}

/// Results of SPF (RFC 8601 section 2.7.2).
pub const SPF_RESULTS: [&str; 7] =
    ["pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"];
const ACCEPTED: &str = "$:(spf=fail,softfail) or $;(spf_helo=pass), with results pass, fail, softfail, \
                        neutral, none, temperror and permerror";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_holds_by_the_result_and_is_written_as_it_was_read() {
        let facts = Facts { spf: "fail", spf_helo: "" };
        for (text, holds) in [
            ("$:(spf=fail)", true),
            ("$:(spf=pass,fail)", true),
            ("$:(spf=pass)", false),
            ("$;(spf=pass)", true),
            ("$;(spf=softfail,fail)", false),
            ("$:(spf_helo=none)", false),
            ("$;(spf_helo=none)", false),
            ("$;(spf_helo=pass,fail)", false),
        ] {
            let mut scanner = Scanner::new(&text[2..]);
            let test = FactTest::read(&mut scanner, 0, text.starts_with("$:")).expect(text);
            assert_eq!((test.holds(facts), test.to_string().as_str()), (holds, text));
        }
    }

    #[test]
    fn nothing_else_is_a_test() {
        for text in
            ["", "Y", "(spf", "(spf)", "(spf=)", "(spf=wrong)", "(dkim=pass)", "(spf=pass,)"]
        {
            assert!(FactTest::read(&mut Scanner::new(text), 0, true).is_err(), "{text}");
        }
    }
}
