//! From the text of the file to a [`Config`].
//!
//! Reads everything before it complains: a mistake costs its field, nothing else. What the fields
//! say about each other is checked afterwards, where both could be read.

use std::{fs::File, io::Read, path::Path};

use crate::{
    check::{consistency, not_yet},
    file::{
        form::{Section, read_into},
        mistake::{Complaint, Mistake, Mistakes, Places, Report, Warning},
        pieces,
        reader::{Node, Reader},
        source::Spot,
    },
    sections::config::Config,
};

/// A file that was read, whatever came of it.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The configuration; as far as it goes when there are mistakes, and `None` when the file is no
    /// RON.
    pub config: Option<Config>,
    /// Mistakes and warnings.
    pub report: Report,
    /// Where its fields stand.
    pub places: Places,
}

impl Reading {
    /// Reads the file at `path`; files above 16 MiB are refused. A relative `data` lies beside the
    /// file; `data` given here stands above it.
    pub fn of_file(path: &Path, data: Option<&Path>) -> Self {
        let file = path.display().to_string();
        match read_file(path) {
            Ok(text) => read(&file, &text, path.parent(), data),
            Err(reason) => {
                let message = format!("the file cannot be used: {reason}");
                let complaint = Complaint { message: &message, ..Complaint::default() };
                let mistake = Mistake::new(&file, Spot::default(), complaint);
                let report = Report { mistakes: vec![mistake], warnings: Vec::new() };
                Self { report, ..Self::default() }
            }
        }
    }

    /// Reads `text`, which is no file: a relative `data` lies in the working folder. `file` only
    /// serves to say where something stands.
    pub fn of_text(file: &str, text: &str, data: Option<&Path>) -> Self {
        read(file, text, None, data)
    }

    /// The configuration if there is no mistake, with what it asks for and will not get.
    pub fn into_config(self) -> Result<(Config, Vec<Warning>), Mistakes> {
        match self.config {
            Some(config) if self.report.mistakes.is_empty() => Ok((config, self.report.warnings)),
            _ => Err(Mistakes(self.report.mistakes)),
        }
    }
}

impl Config {
    /// Reads the file at `path`, as [`Reading::of_file`] does.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Mistakes> {
        Reading::of_file(path, None).into_config()
    }

    /// Reads `text`; `file` only serves to say where something stands.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Vec<Warning>), Mistakes> {
        Reading::of_text(file, text, None).into_config()
    }
}

/// Everything that is to be said about `text`, in the order of the file.
pub fn check(file: &str, text: &str) -> Report {
    Reading::of_text(file, text, None).report
}

fn read(file: &str, text: &str, folder: Option<&Path>, data: Option<&Path>) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new(file, text);
    let config = read_text(text, folder, data, &mut reader);
    let (report, places) = reader.into_findings();
    Reading { config, report, places }
}

fn read_text<'a>(
    text: &'a str,
    folder: Option<&Path>,
    data: Option<&Path>,
    reader: &mut Reader<'a>,
) -> Option<Config> {
    if let Err(error) = pieces::fields(text) {
        reader.not_ron(&error);
        return None;
    }
    let whole = Node { text: pieces::whole(text), path: String::new() };
    reader.record(&whole);
    let mut config = Config::blank();
    read_into(&whole, reader, &mut config)?;
    config.place_data(folder, data);
    if let Some(controller) = &mut config.job_controller {
        controller.complete();
    }
    consistency::check(&config, reader);
    not_yet::warn(&config, reader);
    Some(config)
}

/// The text of a file of bearable size.
fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16; it must be saved as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|c| *c == b'\n').count();
        format!("line {line} holds an octet that is not UTF-8; it must be saved as UTF-8")
    })
}

/// Octets of a file at most.
const MAX_FILE: u64 = 16 << 20;
