//! The fate of each line and setting of a source.

use std::{collections::HashSet, fmt::Write};

use crate::ron::{self, Entry, plain};

/// A place in a source.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The file, below the folder that is read where it lies there.
    pub file: String,
    /// Counted from 1; 0 is the file as a whole.
    pub line: usize,
}

/// The fate of a setting.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fate {
    /// It is in the new file, with its line in a comment.
    Carried,
    /// The new file need not say it.
    SameByDefault,
    /// It is about something that is not there here.
    NotNeeded,
    /// Mail goes another way without it.
    NoCounterpart,
}

/// How far back a repetition is looked for.
const MOST_SERVICES: usize = 100;

/// A setting of the source, and its fate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Where it stands.
    pub place: Place,
    /// Its name, and its value where that matters.
    pub setting: String,
    /// Its fate.
    pub fate: Fate,
    /// The meaning of that for mail, in words.
    pub meaning: String,
}

/// A new file, and the fate of everything in the source.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The text of the new file.
    pub text: String,
    /// Settings of the source, in the order in which they were met.
    pub told: Vec<Told>,
}

/// All that is told of a source.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) told: Vec<Told>,
}

impl Fate {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Carried => "carried over",
            Self::SameByDefault => "same by default",
            Self::NotNeeded => "not needed here",
            Self::NoCounterpart => "has no counterpart",
        }
    }
}

impl Place {
    pub(crate) fn of_file(file: &str) -> Self {
        Self { file: file.to_owned(), line: 0 }
    }

    /// The place of the line that a comment shows.
    pub(crate) fn of_comment(comment: &str) -> Option<Self> {
        let (file, line) = comment.split_once(": ")?.0.rsplit_once(':')?;
        Some(Self { file: file.to_owned(), line: line.parse().ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

impl Findings {
    pub(crate) fn tell(&mut self, place: &Place, setting: &str, fate: Fate, meaning: &str) {
        let (place, setting) = (place.clone(), setting.to_owned());
        let told = Told { place, setting, fate, meaning: meaning.to_owned() };
        // Several services may say the same of one setting.
        if !self.told.iter().rev().take(MOST_SERVICES).any(|known| *known == told) {
            self.told.push(told);
        }
    }

    pub(crate) fn carried(&mut self, place: &Place, setting: &str) {
        self.tell(place, setting, Fate::Carried, "");
    }

    pub(crate) fn missing(&mut self, place: &Place, setting: &str, meaning: &str) {
        self.tell(place, setting, Fate::NoCounterpart, meaning);
    }

    /// The new file: its entries, and at the end whatever else is to be said of the source.
    pub(crate) fn file(&self, head: &[String], entries: &[Entry]) -> String {
        let text = ron::file(head, entries);
        let commented = text.lines().filter_map(|line| line.trim_start().strip_prefix("// "));
        let places = commented.filter_map(|comment| comment.split_once(": ")).map(|its| its.0);
        let places: HashSet<&str> = places.collect();
        let told = self.comments(|place| places.contains(place.to_string().as_str()));
        text + &told
    }

    /// In comments; `shown` says whether a place stands in a comment of the file already.
    fn comments(&self, shown: impl Fn(&Place) -> bool) -> String {
        let mut text = String::new();
        let carried = self.told.iter().filter(|told| told.fate == Fate::Carried);
        let mut carried: Vec<_> = carried.filter(|told| !shown(&told.place)).collect();
        carried.dedup_by(|a, b| a.place == b.place);
        if !carried.is_empty() {
            text += "\n// carried over, into settings above:\n";
        }
        for Told { place, setting, .. } in carried {
            let _ = writeln!(text, "//   {}", plain(&format!("{place}: {setting}")));
        }
        for fate in [Fate::NoCounterpart, Fate::NotNeeded, Fate::SameByDefault] {
            let of_fate: Vec<_> = self.told.iter().filter(|told| told.fate == fate).collect();
            if !of_fate.is_empty() {
                let _ = writeln!(text, "\n// {}:", fate.words());
            }
            for Told { place, setting, meaning, .. } in of_fate {
                let colon = if meaning.is_empty() { "" } else { ": " };
                let line = format!("{place}: {setting}{colon}{meaning}");
                let _ = writeln!(text, "//   {}", plain(&line));
            }
        }
        text
    }
}
