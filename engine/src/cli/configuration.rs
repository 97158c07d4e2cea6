//! Commands that need nothing but the configuration file.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use relais_actors::directory;
use relais_config::{Config, Directory, Mistake, STANDALONE, Warning};

use super::{Explain, Refusal, arguments::Route};
use crate::{show, wiring::notice_templates};

/// Where the configuration comes from.
#[derive(Debug)]
pub(super) struct Source {
    /// `None` is the built-in one.
    file: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Source {
    /// The file that was named, or the first of the usual ones that is there.
    pub(super) fn find(file: Option<PathBuf>, data: Option<PathBuf>) -> Self {
        let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.exists());
        Self { file: file.or_else(usual), data }
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| BUILT_IN.to_owned(), |file| file.display().to_string())
    }

    /// Reads it; every mistake makes one refusal.
    pub(super) fn load(&self) -> Result<(Config, Vec<Warning>), Refusal> {
        let because = |mistakes: relais_config::Mistakes| {
            let count = mistakes.0.len();
            let s = if count == 1 { "" } else { "s" };
            Refusal::Because(format!("{count} mistake{s} in {}\n{mistakes}", self.name()))
        };
        self.read().map_err(because)
    }

    fn read(&self) -> Result<(Config, Vec<Warning>), relais_config::Mistakes> {
        let (mut config, warnings) = match &self.file {
            Some(file) => Config::load(file),
            None => Config::parse(BUILT_IN, STANDALONE),
        }?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok((config, warnings))
    }
}

/// `relais check`.
pub(super) fn check(source: &Source, json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let (mistakes, warnings) = match source.read() {
        Ok((config, mut warnings)) => {
            let mistakes = unusable_files(source, &config);
            warnings.extend(unspoken_language(source, &config));
            (mistakes, warnings)
        }
        // A file with mistakes is read to its end for warnings, too, where it can be read at all.
        Err(mistakes) => {
            let text = source.file.as_deref().map(std::fs::read_to_string);
            let report = text.and_then(Result::ok);
            let report = report.map(|text| relais_config::check(&source.name(), &text));
            (mistakes.0, report.unwrap_or_default().warnings)
        }
    };
    if json {
        serde_json::to_writer(&mut *out, &mistakes).map_err(std::io::Error::from)?;
        writeln!(out)?;
        for warning in &warnings {
            eprintln!("{}", warning.to_string().trim_end());
        }
    } else {
        mistakes.iter().try_for_each(|mistake| write!(out, "{mistake}"))?;
        warnings.iter().try_for_each(|warning| write!(out, "{warning}"))?;
        let (m, w) = (mistakes.len(), warnings.len());
        let s = |n: usize| if n == 1 { "" } else { "s" };
        writeln!(out, "{}: {m} mistake{}, {w} warning{}", source.name(), s(m), s(w))?;
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Refusal::No) }
}

/// Looks into the files that the configuration names and without which the engine does not start.
fn unusable_files(source: &Source, config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut note = |field, file: Option<&Path>, why: &dyn std::fmt::Display| {
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        mistakes.push(Mistake::beyond(&source.name(), field, &file, &why.to_string()));
    };
    if let Some(Directory::Ldif { file }) = &config.directory
        && let Err(error) = directory::Source::open(config)
    {
        note("directory.file", file.as_deref(), &error);
    }
    if let Err(error) = notice_templates(config) {
        note("notary.templates", config.notary.templates.as_deref(), &error);
    }
    mistakes
}

/// English stands in for a language without words, and somebody should know.
pub(super) fn unspoken_language(source: &Source, config: &Config) -> Option<Warning> {
    let language = &config.notary.language;
    // A folder that cannot be read is a mistake of its own.
    let words = notice_templates(config).ok().filter(|words| !words.speaks(language));
    let message = format!(
        "there are no words in {language:?}: notices are in English until notary.templates has some"
    );
    words.map(|_| Warning::beyond(&source.name(), "notary.language", &message))
}

/// `relais config`.
pub(super) fn print(source: &Source, default: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    if default {
        return Ok(out.write_all(STANDALONE.as_bytes())?);
    }
    let (config, _) = source.load()?;
    writeln!(out, "// {}, every default filled in.", source.name())?;
    writeln!(out, "{}", config.to_ron().trim_end())?;
    Ok(())
}

/// `relais route`.
pub(super) fn route(
    source: &Source,
    route: &Route,
    explain: Explain,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let (config, _) = source.load()?;
    if let Some(channel) = &route.channel {
        let names: Vec<_> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
        if !names.contains(&channel.as_str()) {
            let names = names.join(", ");
            let why = format!("no channel is called {channel:?}; there are: {names}");
            return Err(Refusal::WrongUse(why));
        }
    }
    let explained = explain(&config, &route.question()).map_err(Refusal::Because)?;
    if route.json {
        super::ask::json(&explained, out)?;
    } else {
        let look = show::Look::of_stdout();
        out.write_all(look.fit(&show::route(&explained, look)).as_bytes())?;
    }
    if explained.accepted { Ok(()) } else { Err(Refusal::No) }
}

/// The data directory of the configuration, for commands that ask a running engine.
pub(super) fn data(source: &Source) -> Result<PathBuf, Refusal> {
    // Asking an engine must work while its file is being edited, when the place was named.
    match &source.data {
        Some(data) => Ok(Path::to_owned(data)),
        None => Ok(source.load()?.0.data),
    }
}

const USUAL: [&str; 2] = ["relais.ron", "/etc/relais/relais.ron"];
const BUILT_IN: &str = "(built-in default)";
