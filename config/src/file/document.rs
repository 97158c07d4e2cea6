//! RON as a tree, laid out in lines.

/// A value to be printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Document {
    /// Numbers, texts and names.
    Atom(String),
    /// `(name: value, ...)`.
    Section(Vec<(String, Document)>),
    /// `Name(...)`.
    Variant(&'static str, Box<Document>),
    /// `(value, value)`.
    Pair(Box<[Document; 2]>),
    /// `[value, ...]`.
    List(Vec<Document>),
    /// `{"key": value, ...}`.
    Map(Vec<(String, Document)>),
}

impl Document {
    /// A text in quotes.
    pub(crate) fn text(text: &str) -> Self {
        // RON takes Rust's escapes, but for an apostrophe it needs none.
        Self::Atom(format!("\"{}\"", text.escape_debug()).replace("\\'", "'"))
    }

    /// The contents of a text in quotes.
    pub(crate) fn as_text(&self) -> Option<String> {
        let Self::Atom(atom) = self else { return None };
        atom.starts_with('"').then(|| ron::from_str(atom).ok()).flatten()
    }

    /// Lays the tree out; lines are at most `width` characters where values allow it.
    pub(crate) fn render(&self, width: usize) -> String {
        let mut out = String::new();
        self.lay_out(Place { indent: 0, column: 0, width }, true, &mut out);
        out.push('\n');
        out
    }

    /// Writes the value at its place, its inner lines indented by four more.
    fn lay_out(&self, place: Place, top: bool, out: &mut String) {
        let Place { indent, column, width } = place;
        let flat = self.flat();
        if !top && column + flat.chars().count() < width {
            out.push_str(&flat);
            return;
        }
        let (open, close) = match self {
            Self::Atom(atom) => return out.push_str(atom),
            Self::Variant(name, inner) => {
                out.push_str(name);
                return inner.lay_out(Place { column: column + name.len(), ..place }, true, out);
            }
            Self::Section(_) | Self::Pair(_) => ('(', ')'),
            Self::List(_) => ('[', ']'),
            Self::Map(_) => ('{', '}'),
        };
        out.push(open);
        let inner = indent + 4;
        let mut at = None;
        for (prefix, part) in self.parts() {
            let length = prefix.chars().count() + part.flat().chars().count() + 2;
            // Short fields share lines; elements of lists and maps have one each.
            at = match at.filter(|_| matches!(self, Self::Section(_)) && !top) {
                Some(at) if at + length <= width => {
                    out.push(' ');
                    Some(at + 1)
                }
                _ => {
                    out.push('\n');
                    out.push_str(&" ".repeat(inner));
                    Some(inner)
                }
            };
            out.push_str(&prefix);
            let column = at.unwrap_or(inner) + prefix.chars().count();
            part.lay_out(Place { indent: inner, column, width }, false, out);
            out.push(',');
            at = at.map(|at| at + length - 1).filter(|at| *at <= width);
        }
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        out.push(close);
    }

    /// Everything on one line.
    pub(crate) fn flat(&self) -> String {
        let parts = || {
            let parts = self.parts().into_iter();
            parts.map(|(prefix, part)| prefix + &part.flat()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Atom(atom) => atom.clone(),
            Self::Variant(name, inner) => format!("{name}{}", inner.flat()),
            Self::Section(_) | Self::Pair(_) => format!("({})", parts()),
            Self::List(_) => format!("[{}]", parts()),
            Self::Map(_) => format!("{{{}}}", parts()),
        }
    }

    /// The values between the brackets, each with the name or key before it.
    fn parts(&self) -> Vec<(String, &Document)> {
        match self {
            Self::Atom(_) | Self::Variant(..) => Vec::new(),
            Self::Section(fields) => {
                fields.iter().map(|(name, value)| (format!("{name}: "), value)).collect()
            }
            Self::Map(entries) => {
                let key = |key: &str| format!("{}: ", Self::text(key).flat());
                entries.iter().map(|(name, value)| (key(name), value)).collect()
            }
            Self::Pair(pair) => pair.iter().map(|value| (String::new(), value)).collect(),
            Self::List(items) => items.iter().map(|value| (String::new(), value)).collect(),
        }
    }
}

/// Where a value is written.
#[derive(Clone, Copy)]
struct Place {
    indent: usize,
    column: usize,
    width: usize,
}

/// Of lines that are no terminal's.
pub(crate) const WIDTH: usize = 110;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_share_a_line_and_long_ones_are_broken() {
        let atom = |text: &str| Document::Atom(text.to_owned());
        let fields = (0..30).map(|i| (format!("field{i}"), atom("1000"))).collect();
        let document = Document::Section(vec![
            ("a".to_owned(), Document::List(vec![atom("1"), atom("2")])),
            ("b".to_owned(), Document::Section(fields)),
            ("c".to_owned(), Document::Map(vec![("k\"y".to_owned(), atom("None"))])),
        ]);
        let text = document.render(WIDTH);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["(", "    a: [1, 2],", "    b: ("]);
        assert_eq!(lines[lines.len() - 2..], ["    c: {\"k\\\"y\": None},", ")"]);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(lines.len(), 11, "{text}");
    }

    #[test]
    fn texts_come_back_from_ron_as_they_were() {
        for text in ["", "a'b", "\"\\$N", "tab\tnew\nline", "é\u{7f}\u{200b}\0"] {
            let Document::Atom(atom) = Document::text(text) else { unreachable!() };
            assert_eq!(ron::from_str::<String>(&atom).unwrap(), text, "{atom}");
        }
    }
}
