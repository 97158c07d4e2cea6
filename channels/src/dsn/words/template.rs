//! One file of words: an optional `Subject:` line, text, and what is filled in.

use crate::dsn::Kind;

/// A file, parsed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::dsn) struct Template {
    /// For the header of the notice; as it stands, nothing is filled in.
    pub(in crate::dsn) subject: Option<String>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Filled(Word),
}

/// A value that is filled in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::dsn) enum Word {
    /// `%{recipients}`: each recipient, and below it the last reply and whose it is.
    Recipients,
    /// `%{sender}`: the sender of the message.
    Sender,
    /// `%{host}`: our host name.
    Host,
    /// `%{arrival}`: when the message came in.
    Arrival,
    /// `%{until}`: how long it will be tried.
    Until,
    /// `%{age}`: how long it has been here.
    Age,
    /// `%{id}`: its queue id.
    Id,
    /// `%{postmaster}`: the postmaster's address.
    Postmaster,
}

/// A mistake in a file, and its line, from 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::dsn) struct Mistake {
    pub(in crate::dsn) line: usize,
    pub(in crate::dsn) text: String,
}

impl Template {
    /// Parses a file. `kind`: the news it is for; `None` for what stands around all of them.
    pub(in crate::dsn) fn parse(text: &str, kind: Option<Kind>) -> Result<Self, Mistake> {
        let mut template = Self::default();
        let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..).peekable();
        if let Some((first, _)) = lines.peek()
            && let Some(subject) = first.strip_prefix("Subject:")
            && kind.is_some()
        {
            template.subject = Some(subject.trim().replace(char::is_control, " "));
            lines.next();
            let blank = |(line, _): &(&str, usize)| line.trim_ascii().is_empty();
            if lines.next_if(blank).is_none() && lines.peek().is_some() {
                let text = "a blank line has to stand behind the Subject".to_owned();
                return Err(Mistake { line: 2, text });
            }
        }
        for (line, number) in lines {
            let parsed = template.line(line, kind);
            parsed.map_err(|text| Mistake { line: number, text })?;
        }
        Ok(template)
    }

    /// Appends the text with everything filled in; its lines end in LF.
    pub(in crate::dsn) fn render(&self, out: &mut String, mut filled: impl FnMut(Word) -> String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Filled(word) => out.push_str(&filled(*word)),
            }
        }
    }

    fn line(&mut self, line: &str, kind: Option<Kind>) -> Result<(), String> {
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err("a control character has no place here".to_owned());
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('%') {
            self.text(before);
            rest = if let Some(after) = after.strip_prefix('%') {
                self.text("%");
                after
            } else {
                let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
                let (name, after) = inner.ok_or("a % that stands for itself is written %%")?;
                self.pieces.push(Piece::Filled(Word::named(name, kind)?));
                after
            };
        }
        self.text(rest);
        self.text("\n");
        Ok(())
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }
}

impl Word {
    const ALL: [(&str, Self); 8] = [
        ("recipients", Self::Recipients),
        ("sender", Self::Sender),
        ("host", Self::Host),
        ("arrival", Self::Arrival),
        ("until", Self::Until),
        ("age", Self::Age),
        ("id", Self::Id),
        ("postmaster", Self::Postmaster),
    ];

    fn named(name: &str, kind: Option<Kind>) -> Result<Self, String> {
        match Self::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, Self::Until)) if kind != Some(Kind::Delayed) => {
                Err("%{until} means something in return_delayed.txt only".to_owned())
            }
            Some((_, word)) => Ok(*word),
            None => {
                let known: Vec<_> = Self::ALL.iter().map(|(known, _)| *known).collect();
                Err(format!("%{{{name:.40}}} is not known: {} are", known.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let mut out = String::new();
        let template = Template::parse(text, Some(Kind::Delayed)).expect(text);
        template.render(&mut out, |word| format!("<{word:?}>"));
        out
    }

    #[test]
    fn what_is_filled_in_where() {
        let rows = [
            ("", ""),
            ("a\r\nb", "a\nb\n"),
            ("100%% of %{host}%{id}.", "100% of <Host><Id>.\n"),
            ("Subject: s\n\ntext %{until}", "text <Until>\n"),
            ("Subject: s", ""),
            ("\u{feff}Subject: s\n\n\u{e9}\n", "\u{e9}\n"),
        ];
        for (text, want) in rows {
            assert_eq!(rendered(text), want, "{text:?}");
        }
        let subject = Template::parse("Subject:  50% \u{e9} \n", Some(Kind::Failed));
        assert_eq!(subject.expect("a subject").subject.as_deref(), Some("50% \u{e9}"));
    }

    #[test]
    fn mistakes_name_their_line() {
        let rows = [
            ("a\nb %{recipient}\n", Some(Kind::Failed), 2, "%{recipient} is not known: recip"),
            ("%{}", Some(Kind::Failed), 1, "%{} is not known"),
            ("50 %", None, 1, "written %%"),
            ("%R", None, 1, "written %%"),
            ("%{host", None, 1, "written %%"),
            ("Subject: s\ntext", Some(Kind::Failed), 2, "blank line"),
            ("a\n\n%{until}", Some(Kind::Failed), 3, "return_delayed.txt only"),
            ("%{until}", None, 1, "return_delayed.txt only"),
            ("a\r\nb\rc", None, 2, "control character"),
        ];
        for (text, kind, line, want) in rows {
            let mistake = Template::parse(text, kind).expect_err(text);
            assert_eq!(mistake.line, line, "{text:?}");
            assert!(mistake.text.contains(want), "{text:?}: {}", mistake.text);
        }
    }
}
