//! The words of notices, in several languages: `return_*.txt`, as the original has them.
//!
//! The text of a notice is `return_prefix.txt`, the file of its kind, and `return_suffix.txt`:
//!
//! | file | says | RFC 3464 action |
//! | --- | --- | --- |
//! | `return_failed.txt` | refused for good | failed |
//! | `return_timedout.txt` | waited for too long | failed |
//! | `return_bounced.txt` | returned by an operator | failed |
//! | `return_delayed.txt` | still being tried | delayed |
//! | `return_delivered.txt` | in the mailbox | delivered |
//! | `return_forwarded.txt` | handed to a system that does not notify | relayed |
//! | `return_expanded.txt` | sent on to the members of a list | expanded |
//!
//! Where the content does not come back although its sender would have it, one of these follows the
//! file of the kind:
//!
//! | file | the content is left out because |
//! | --- | --- |
//! | `return_long_lines.txt` | a line of it is longer than mail servers have to take |
//! | `return_refused.txt` | the message was refused for what is in it, or for its size |
//! | `return_large.txt` | it is larger than `notary.content_return_limit` |
//! | `return_unconvertible.txt` | its headers are beyond ASCII, and have no form in ASCII for its reader |
//!
//! English, German and French are built in. A file `<templates>/<language>/return_*.txt` stands
//! in for the built-in one; what a language lacks is taken from the shorter tag (`de` for
//! `de-AT`), else from English. Files are UTF-8, at most 64 KiB. The file of a kind may begin
//! with `Subject: ...` and a blank line. What is filled in:
//!
//! | | |
//! | --- | --- |
//! | `%{recipients}` | each recipient, and below it the last reply and whose it is |
//! | `%{sender}` | the sender of the message |
//! | `%{host}` | our host name |
//! | `%{arrival}` | when the message came in |
//! | `%{until}` | how long it will be tried; in `return_delayed.txt` |
//! | `%{age}` | how long it has been here: `3 d 4 h` |
//! | `%{id}` | its queue id |
//! | `%{postmaster}` | the postmaster's address |
//! | `%%` | a percent sign |

mod template;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

pub(super) use self::template::Word;
use self::template::{Mistake, Template};
use super::{Kind, Omission, languages::is_tag};

/// The words of all languages. Loaded once.
#[derive(Clone, Debug)]
pub struct Templates {
    english: Words,
    /// By their tags in lower case.
    others: BTreeMap<String, Words>,
}

/// The words of one language.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// As it stands in `Content-Language`.
    pub(super) language: String,
    /// In the order of [`FILES`].
    files: [Template; FILES.len()],
}

/// A mistake in the words of an operator.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The directory or a file in it.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// More than [`MAX_FILE`].
    #[error("{} is larger than {MAX_FILE} octets", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line of a file.
    #[error("{}, line {line}: {text}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The mistake.
        text: String,
    },
    /// Called `return_something.txt`, and none of ours.
    #[error("{} is not known: {} are", path.display(), FILES.map(|(name, _)| name).join(", "))]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// A directory whose name is not a language.
    #[error("{} is not named after a language, such as \"de\" or \"de-AT\"", path.display())]
    NotALanguage {
        /// The directory.
        path: PathBuf,
    },
    /// More than [`MAX_ENTRIES`].
    #[error("{} holds more than {MAX_ENTRIES} entries", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

impl Templates {
    /// The built-in words, and over them those of the directory, if there is one. Blocks.
    pub fn load(directory: Option<&Path>) -> Result<Self, TemplateError> {
        let mut templates = Self { english: Words::default(), others: BTreeMap::new() };
        for (language, texts) in BUILT_IN {
            let words = templates.words_to_change(language);
            for ((name, _), text) in FILES.iter().zip(texts) {
                words.put(Path::new(name), text)?;
            }
        }
        // In their order, a language comes before what is a variety of it.
        for path in directory.map_or(Ok(Vec::new()), entries)? {
            if path.is_dir() {
                templates.load_language(&path)?;
            }
        }
        Ok(templates)
    }

    /// The words in the first of the languages that there is, also in a more general form of it;
    /// else English.
    pub(super) fn words(&self, languages: &[&str]) -> &Words {
        languages.iter().find_map(|language| self.known(language)).unwrap_or(&self.english)
    }

    /// The languages that there are words in.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        std::iter::once(ENGLISH).chain(self.others.keys().map(AsRef::as_ref))
    }

    /// Whether there are words in this language, or in a more general form of it.
    pub fn speaks(&self, language: &str) -> bool {
        self.known(language).is_some()
    }

    fn known(&self, language: &str) -> Option<&Words> {
        let language = language.to_ascii_lowercase();
        let mut tag = language.as_str();
        loop {
            if tag == ENGLISH {
                return Some(&self.english);
            }
            match self.others.get(tag) {
                Some(words) => return Some(words),
                None => tag = tag.rsplit_once('-')?.0,
            }
        }
    }

    fn load_language(&mut self, directory: &Path) -> Result<(), TemplateError> {
        let language = file_name(directory);
        if !is_tag(language) {
            return Err(TemplateError::NotALanguage { path: directory.to_owned() });
        }
        let words = self.words_to_change(language);
        for path in entries(directory)? {
            let name = file_name(&path);
            // Beside the files of ours may lie an editor's.
            if name.starts_with("return_") && path.extension().is_some_and(|end| end == "txt") {
                words.put(&path, &read(&path)?)?;
            }
        }
        Ok(())
    }

    /// Of this very language; what it lacks it has from a more general form of it, or English.
    fn words_to_change(&mut self, language: &str) -> &mut Words {
        let tag = language.to_ascii_lowercase();
        let inherited = Words { language: language.to_owned(), ..self.words(&[&tag]).clone() };
        if tag == ENGLISH {
            self.english.language = inherited.language;
            return &mut self.english;
        }
        self.others.entry(tag).or_insert(inherited)
    }
}

impl Words {
    /// The words before the news, whatever it is.
    pub(super) fn prefix(&self) -> &Template {
        &self.files[0]
    }

    /// The news.
    pub(super) fn news(&self, kind: Kind) -> &Template {
        let at = FILES.iter().position(|(_, of)| *of == Some(kind));
        &self.files[at.unwrap_or(0)]
    }

    /// Why the content is left out.
    pub(super) fn omission(&self, omission: Omission) -> &Template {
        let behind_the_news = match omission {
            Omission::LongLines => 0,
            Omission::Refused => 1,
            Omission::TooLarge => 2,
            Omission::Unconvertible => 3,
        };
        &self.files[1 + Kind::ALL.len() + behind_the_news]
    }

    /// The words behind the news.
    pub(super) fn suffix(&self) -> &Template {
        &self.files[FILES.len() - 1]
    }

    fn put(&mut self, path: &Path, text: &str) -> Result<(), TemplateError> {
        let name = file_name(path);
        let Some(at) = FILES.iter().position(|(known, _)| *known == name) else {
            return Err(TemplateError::UnknownFile { path: path.to_owned() });
        };
        let mut template = Template::parse(text, FILES[at].1).map_err(|mistake| {
            let Mistake { line, text } = mistake;
            TemplateError::Line { path: path.to_owned(), line, text }
        })?;
        if template.subject.is_none() {
            template.subject = self.files[at].subject.take();
        }
        self.files[at] = template;
        Ok(())
    }
}

/// The entries of a directory, sorted by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |error| TemplateError::Unreadable { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
        if paths.len() > MAX_ENTRIES {
            return Err(TemplateError::TooMany { path: directory.to_owned() });
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, TemplateError> {
    let unreadable = |error| TemplateError::Unreadable { path: path.to_owned(), error };
    let mut octets = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(TemplateError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(octets).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', valid).count();
        TemplateError::Line { path: path.to_owned(), line, text: "not UTF-8".to_owned() }
    })
}

/// Empty for what is no file name of ours anyway.
fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The files of a language, and the news that each is for.
const FILES: [(&str, Option<Kind>); 13] = [
    ("return_prefix.txt", None),
    ("return_failed.txt", Some(Kind::Failed)),
    ("return_timedout.txt", Some(Kind::TimedOut)),
    ("return_bounced.txt", Some(Kind::Bounced)),
    ("return_delayed.txt", Some(Kind::Delayed)),
    ("return_delivered.txt", Some(Kind::Delivered)),
    ("return_forwarded.txt", Some(Kind::Relayed)),
    ("return_expanded.txt", Some(Kind::Expanded)),
    ("return_long_lines.txt", None),
    ("return_refused.txt", None),
    ("return_large.txt", None),
    ("return_unconvertible.txt", None),
    ("return_suffix.txt", None),
];

/// Every built-in language has all files, in the order of [`FILES`].
macro_rules! built_in {
    ($language:literal) => {
        (
            $language,
            [
                include_str!(concat!("templates/", $language, "/return_prefix.txt")),
                include_str!(concat!("templates/", $language, "/return_failed.txt")),
                include_str!(concat!("templates/", $language, "/return_timedout.txt")),
                include_str!(concat!("templates/", $language, "/return_bounced.txt")),
                include_str!(concat!("templates/", $language, "/return_delayed.txt")),
                include_str!(concat!("templates/", $language, "/return_delivered.txt")),
                include_str!(concat!("templates/", $language, "/return_forwarded.txt")),
                include_str!(concat!("templates/", $language, "/return_expanded.txt")),
                include_str!(concat!("templates/", $language, "/return_long_lines.txt")),
                include_str!(concat!("templates/", $language, "/return_refused.txt")),
                include_str!(concat!("templates/", $language, "/return_large.txt")),
                include_str!(concat!("templates/", $language, "/return_unconvertible.txt")),
                include_str!(concat!("templates/", $language, "/return_suffix.txt")),
            ],
        )
    };
}

const ENGLISH: &str = "en";
const BUILT_IN: [(&str, [&str; FILES.len()]); 3] =
    [built_in!("en"), built_in!("de"), built_in!("fr")];
/// Octets of a file.
const MAX_FILE: u64 = 64 << 10;
/// Of a directory.
const MAX_ENTRIES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &[u8])]) {
        for (name, text) in files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("room");
        }
    }

    fn text(template: &Template) -> String {
        let mut out = String::new();
        template.render(&mut out, |word| format!("<{word:?}>"));
        out
    }

    #[test]
    fn every_built_in_file_has_a_subject_and_names_the_recipients() {
        let templates = Templates::load(None).expect("the built-in words");
        for language in ["en", "de", "fr"] {
            let words = templates.words(&[language]);
            assert_eq!(words.language, language);
            for kind in Kind::ALL {
                assert!(words.news(kind).subject.is_some(), "{language} {kind:?}");
                assert!(text(words.news(kind)).contains("\n<Recipients>"), "{language} {kind:?}");
            }
            assert!(text(words.prefix()).contains("<Id>"), "{language}");
            assert!(text(words.suffix()).contains("<Postmaster>"), "{language}");
            let [long, refused, large, unconvertible] = [
                Omission::LongLines,
                Omission::Refused,
                Omission::TooLarge,
                Omission::Unconvertible,
            ]
            .map(|omission| text(words.omission(omission)));
            assert!(long.contains("998") && !refused.is_empty() && !large.is_empty());
            assert!(refused != large && !refused.contains("998") && !large.contains("998"));
            assert!(unconvertible.contains("ASCII") && !large.contains("ASCII"));
        }
    }

    #[test]
    fn files_of_an_operator_stand_in_one_by_one() {
        let directory = tempfile::tempdir().expect("a directory");
        write(
            directory.path(),
            &[
                ("de/return_failed.txt", b"Subject: Pech\n\nPech gehabt: %{recipients}\n"),
                ("de-AT/return_suffix.txt", b"Servus\n"),
                ("nl/return_failed.txt", b"Helaas\r\n"),
                ("nl/return_failed.txt~", b"%{"),
                ("nl/notes.txt", b"%{"),
                ("README", b"%{"),
            ],
        );
        let templates = Templates::load(Some(directory.path())).expect("good files");
        let rows = [
            ("de", "de", "Pech gehabt: <Recipients>\n", "Pech", "Wenn Sie Hilfe"),
            ("DE-at-1996", "de-AT", "Pech gehabt: <Recipients>\n", "Pech", "Servus"),
            ("nl-BE", "nl", "Helaas\n", "Delivery Notification: Delivery has", "If you need"),
            ("en", "en", "Your message could not", "Delivery Notification:", "If you need"),
        ];
        for (asked, language, failed, subject, suffix) in rows {
            let words = templates.words(&[asked]);
            assert_eq!(words.language, language, "{asked}");
            let news = words.news(Kind::Failed);
            assert!(text(news).trim_start().starts_with(failed), "{asked}: {}", text(news));
            let got = news.subject.as_deref().unwrap_or_default();
            assert!(got.starts_with(subject), "{asked}: {got}");
            assert!(text(words.suffix()).trim_start().starts_with(suffix), "{asked}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let large = vec![b'x'; MAX_FILE as usize + 1];
        let rows: [(&str, &[u8], &str); 6] = [
            ("de/return_failed.txt", b"a\n%{recipient}\n", "failed.txt, line 2: %{recipient} is"),
            ("de/return_prefix.txt", b"a\n\nb\xff\n", "prefix.txt, line 3: not UTF-8"),
            ("de/return_prefix.txt", b"%{until}", "prefix.txt, line 1: %{until} means something"),
            ("de/return_suffix.txt", &large, "suffix.txt is larger than 65536 octets"),
            ("de/return_fail.txt", b"", "return_fail.txt is not known: return_prefix.txt, ret"),
            ("deutsch_/return_failed.txt", b"", "deutsch_ is not named after a language"),
        ];
        for (name, octets, want) in rows {
            let directory = tempfile::tempdir().expect("a directory");
            write(directory.path(), &[(name, octets)]);
            let error = Templates::load(Some(directory.path())).expect_err(name).to_string();
            assert!(error.contains(want), "{error}");
        }
        let error = Templates::load(Some(Path::new("/nonexistent"))).expect_err("no directory");
        assert!(error.to_string().starts_with("cannot read /nonexistent: "), "{error}");
    }
}
