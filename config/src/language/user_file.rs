//! The file that a user has, by a template: `sieve/$D/$U.sieve`.
//!
//! Names of users come from the directory, which others than the operator may write: what is put in is
//! one name of a file or folder, or a part of one, and never leads out of the folder that the template
//! names.

use super::template::TemplateError;

/// A path with values of a user in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserFile {
    /// As in the file.
    pub text: String,
    pieces: Vec<FilePiece>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum FilePiece {
    Text(String),
    Value(FileValue),
}

/// Values that a path may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileValue {
    /// `$U`: the local part of the user's address.
    Local,
    /// `$D`: its domain.
    Domain,
    /// `$M`: the user's `uid`.
    Uid,
}

impl UserFile {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(at) = text.find(char::is_control) {
            let message = "a control character is no part of a path";
            return Err(TemplateError::new(at, message, SEQUENCES));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut characters = text.char_indices();
        while let Some((at, c)) = characters.next() {
            if c != '$' {
                literal.push(c);
                continue;
            }
            let value = match characters.next().map(|(_, c)| c.to_ascii_uppercase()) {
                Some('U') => FileValue::Local,
                Some('D') => FileValue::Domain,
                Some('M') => FileValue::Uid,
                Some('$') => {
                    literal.push('$');
                    continue;
                }
                other => {
                    let sequence = format!("${}", other.map(String::from).unwrap_or_default());
                    let message = format!("{sequence:?} stands for nothing in the path of a user");
                    return Err(TemplateError::new(at, message, SEQUENCES));
                }
            };
            if !literal.is_empty() {
                pieces.push(FilePiece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(FilePiece::Value(value));
        }
        if !literal.is_empty() {
            pieces.push(FilePiece::Text(literal));
        }
        let names_user = |piece: &FilePiece| {
            matches!(piece, FilePiece::Value(FileValue::Local | FileValue::Uid))
        };
        if !pieces.iter().any(names_user) {
            let message = "all users would have one file: neither \"$U\" nor \"$M\" stands in it";
            return Err(TemplateError::new(0, message, "sieve/$D/$U.sieve and the like"));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The path of the user with these values. `None`: a value is missing, or is no name that a file could
    /// have within the folder.
    pub fn of<'v>(&self, value: impl Fn(FileValue) -> Option<&'v str>) -> Option<String> {
        let mut path = String::with_capacity(self.text.len() + 64);
        for piece in &self.pieces {
            match piece {
                FilePiece::Text(text) => path.push_str(text),
                FilePiece::Value(wanted) => {
                    path.push_str(value(*wanted).filter(|value| is_name(value))?);
                }
            }
        }
        let fits = path.len() <= LONGEST_PATH && path.split('/').all(|its| its.len() <= LONGEST);
        fits.then_some(path)
    }

    /// The folder that all these files lie below, and how many names below it each of them is.
    pub fn folder(&self) -> (&str, usize) {
        let slashes = |piece: &FilePiece| match piece {
            FilePiece::Text(text) => text.matches('/').count(),
            FilePiece::Value(_) => 0,
        };
        let first = match self.pieces.first() {
            Some(FilePiece::Text(text)) => text.as_str(),
            _ => "",
        };
        let behind = self.pieces.iter().skip(usize::from(!first.is_empty()));
        let levels = behind.map(slashes).sum::<usize>() + 1;
        let folder = match first.rfind('/') {
            Some(0) => "/",
            Some(at) => &first[..at],
            None => "",
        };
        (folder, levels)
    }

    /// The text behind the last value, with which the path of each of these files ends.
    pub fn ending(&self) -> &str {
        match self.pieces.last() {
            Some(FilePiece::Text(text)) => text,
            _ => "",
        }
    }
}

/// Whether a value may stand in the name of a file. One that begins with a dot is none: such files are
/// hidden, and two of them lead elsewhere.
fn is_name(value: &str) -> bool {
    let is_odd = |c: char| c == '/' || c.is_control();
    !value.is_empty() && !value.starts_with('.') && !value.contains(is_odd)
}

const SEQUENCES: &str = "$U (local part), $D (domain), $M (uid) and $$";
/// Octets of one name, and of a path, on Linux.
const LONGEST: usize = 255;
const LONGEST_PATH: usize = 4_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(template: &str, [local, domain, uid]: [&str; 3]) -> Option<String> {
        let file = UserFile::parse(template).unwrap();
        file.of(|value| {
            let value = match value {
                FileValue::Local => local,
                FileValue::Domain => domain,
                FileValue::Uid => uid,
            };
            (value != "-").then_some(value)
        })
    }

    #[test]
    fn a_user_has_a_file_by_name() {
        let long = "x".repeat(250);
        let jdoe = ["jdoe", "a.example", "j1"];
        let rows = [
            ("sieve/$D/$U.sieve", jdoe, Some("sieve/a.example/jdoe.sieve")),
            ("/h/$m/.sieve", jdoe, Some("/h/j1/.sieve")),
            ("$U", jdoe, Some("jdoe")),
            ("$$U/$u@$d", jdoe, Some("$U/jdoe@a.example")),
            ("s/$M", ["jdoe", "a.example", "-"], None),
            ("s/$U", ["J\u{f6}rg O'Neil", "-", "-"], Some("s/J\u{f6}rg O'Neil")),
            ("s/$U", ["..", "-", "-"], None),
            ("s/$U", [".", "-", "-"], None),
            ("s/$U", [".hidden", "-", "-"], None),
            ("s/x$U", [".hidden", "-", "-"], None),
            ("s/$U", ["", "-", "-"], None),
            ("s/$U", ["../x", "-", "-"], None),
            ("s/$U", ["a/b", "-", "-"], None),
            ("s/$U", ["a\0b", "-", "-"], None),
            ("s/$U", ["a\nb", "-", "-"], None),
            ("s/$U", ["a\u{85}b", "-", "-"], None),
            ("s/$D/$U", ["jdoe", "..", "-"], None),
            ("s/$D/$U", ["jdoe", "a/../..", "-"], None),
            ("s/$U", [&long, "-", "-"], Some(&*format!("s/{long}"))),
            ("s/$U.sieve", [&long, "-", "-"], None),
        ];
        for (template, values, want) in rows {
            assert_eq!(path(template, values).as_deref(), want, "{template} {values:?}");
        }
        for (text, at) in
            [("sieve/x", 0), ("$D", 0), ("a$", 1), ("s/$X", 2), ("s/$U\n", 4), ("", 0)]
        {
            assert_eq!(UserFile::parse(text).map_err(|error| error.offset), Err(at), "{text:?}");
        }
    }

    #[test]
    fn the_folder_of_all_is_known() {
        let rows = [
            ("sieve/$D/$U.sieve", ("sieve", 2), ".sieve"),
            ("/var/s/$U", ("/var/s", 1), ""),
            ("/home/$M/.sieve", ("/home", 2), "/.sieve"),
            ("$U.sieve", ("", 1), ".sieve"),
            ("/$U", ("/", 1), ""),
            ("s/x-$U/a/b", ("s", 3), "/a/b"),
            ("$$/$U", ("$", 1), ""),
        ];
        for (template, folder, ending) in rows {
            let file = UserFile::parse(template).unwrap();
            assert_eq!((file.folder(), file.ending()), (folder, ending), "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_folder(local in any::<String>(), domain in any::<String>()) {
            if let Some(path) = path("s/$D/$U.sieve", [&local, &domain, "-"]) {
                let names: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(names.len(), 3);
                prop_assert!(names.iter().all(|name| !matches!(*name, "" | "." | "..")));
            }
        }
    }
}
