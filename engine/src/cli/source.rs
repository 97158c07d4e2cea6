//! Where the configuration comes from, and the data directory that it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use relais_config::{Config, Reading, Report, STANDALONE, Warning};

use super::refusal::{Refusal, complain};
use crate::{show::Look, state::lock};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `None` is the built-in one.
    file: Option<PathBuf>,
    /// The file was named on the command line.
    named: bool,
    data: Option<PathBuf>,
}

/// Reads the file that an engine began with again.
pub type Reread = Arc<dyn Fn() -> Result<FileRead, FileRefused> + Send + Sync>;

/// A configuration file that cannot be used.
pub struct FileRefused {
    /// Its name.
    pub file: String,
    /// Each mistake, in words.
    pub mistakes: Vec<String>,
}

/// A configuration file that was read.
pub struct FileRead {
    /// Its name.
    pub file: String,
    /// Its settings.
    pub config: Config,
    /// Warnings that do not keep it from being used.
    pub warnings: Vec<Warning>,
}

impl Source {
    /// The file that was named, or the first of the usual ones that is there.
    pub(super) fn find(file: Option<PathBuf>, data: Option<PathBuf>) -> Self {
        let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.exists());
        Self { named: file.is_some(), file: file.or_else(usual), data }
    }

    /// The file of the machine alone: a program that is called in a folder of others reads nothing there.
    pub(super) fn of_machine() -> Self {
        let file = Some(PathBuf::from(USUAL[1])).filter(|path| path.exists());
        Self { file, named: false, data: None }
    }

    /// This file, read with this data directory.
    pub(super) fn of(file: &Path, data: PathBuf) -> Self {
        Self { file: Some(file.to_owned()), named: true, data: Some(data) }
    }

    /// No file was named, and none of the usual ones is there.
    pub(super) fn is_built_in(&self) -> bool {
        self.file.is_none()
    }

    /// The file was named on the command line.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| BUILT_IN.to_owned(), |file| file.display().to_string())
    }

    /// Reads it; every mistake makes one refusal.
    pub(super) fn load(&self) -> Result<(Config, Vec<Warning>), Refusal> {
        self.settings(self.read())
    }

    fn settings(&self, reading: Reading) -> Result<(Config, Vec<Warning>), Refusal> {
        let because = |mistakes: relais_config::Mistakes| {
            let count = mistakes.0.len();
            let s = if count == 1 { "" } else { "s" };
            let report = Report { mistakes: mistakes.0, warnings: Vec::new() };
            let told = Look::of_stderr().report(&report);
            Refusal::Because(format!("{count} mistake{s} in {}\n{told}", self.name()))
        };
        reading.into_config().map_err(because)
    }

    /// Reads it, and says everything that is to be said of it.
    pub(super) fn read(&self) -> Reading {
        let data = self.data.as_deref();
        match &self.file {
            Some(file) => Reading::of_file(file, data),
            None => Reading::of_text(BUILT_IN, STANDALONE, data),
        }
    }

    /// Where the data directory is looked for, and why there: for whoever finds nothing in it.
    pub(super) fn looked_in(&self) -> String {
        let folder = std::env::current_dir().unwrap_or_default();
        match (&self.data, &self.file) {
            (Some(_), _) => {
                "that is what --data says; is it the one the engine runs with?".to_owned()
            }
            (None, Some(file)) if self.named => format!(
                "that is what {} says; if the engine runs with --data, say it here, too",
                file.display()
            ),
            (None, Some(file)) => format!(
                "that is what {} says, which is read where neither --config nor --data is given; \
                 if the engine runs with another file, name it: --config FILE",
                absolute(file).display()
            ),
            (None, None) => format!(
                "that is where the built-in default has it; there is no {} in {} and no {}: if the \
                 engine runs with a file or in another folder, name it: --config FILE or --data DIR",
                USUAL[0],
                folder.display(),
                USUAL[1],
            ),
        }
    }

    /// The data directory of the configuration, for commands that ask a running engine.
    pub(super) fn data(&self) -> Result<PathBuf, Refusal> {
        // Asking an engine must work while its file is being edited, when the place was named.
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let reading = self.read();
        if let Some(data) = runs_in(&reading) {
            let count = reading.report.mistakes.len();
            let s = if count == 1 { "" } else { "s" };
            complain(&format!(
                "{count} mistake{s} in {} (relais check): the engine that runs in {} is asked",
                self.name(),
                data.display()
            ));
            return Ok(data);
        }
        Ok(self.settings(reading)?.0.data)
    }
}

/// The data directory of a file with mistakes elsewhere, when an engine runs there that has read a better one.
fn runs_in(reading: &Reading) -> Option<PathBuf> {
    let mistakes = &reading.report.mistakes;
    let is_named = !mistakes.is_empty() && mistakes.iter().all(|mistake| mistake.field != "data");
    let data = &reading.config.as_ref().filter(|_| is_named)?.data;
    lock::is_taken(data).then(|| data.clone())
}

/// However it was named.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Files that are read where none is named.
pub(super) const USUAL: [&str; 2] = ["relais.ron", "/etc/relais/relais.ron"];
const BUILT_IN: &str = "(built-in default)";
