//! `relais import`: a configuration of another mail system, written anew.

use std::{fs::OpenOptions, io::Write, path::Path};

use relais_config::{Config, Reading};
use relais_import::{Fate, ImportError, Imported, Told};
use serde::Serialize;

use super::{
    arguments::{ImportCommand, ImportSource},
    asked::Files,
    exchange::json,
    import_verify::{Before, verify},
    refusal::{Refusal, complain},
};
use crate::show::Look;

/// `relais import --json`: a setting of the source.
#[derive(Serialize)]
struct ImportedSetting<'a> {
    file: &'a str,
    line: usize,
    setting: &'a str,
    fate: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    meaning: &'a str,
}

pub(super) fn import(
    command: &ImportCommand,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let unusable = |error: ImportError| Refusal::Because(error.to_string());
    let (source, imported, before) = match command {
        ImportCommand::Sun(source) => {
            let (imported, rules) = relais_import::sun::import(&source.folder).map_err(unusable)?;
            (source, imported, Before::Sun(rules))
        }
        ImportCommand::Postfix(source) => {
            let imported = relais_import::postfix::import(&source.folder).map_err(unusable)?;
            (source, imported, Before::Postfix(source.folder.clone()))
        }
    };
    write(source, &imported, out)?;
    tell(&imported.told);
    let config = checked(&imported, source.output.as_deref())?;
    match &source.verify {
        Some(list) => verify(&before, &config, list, files, out),
        None => Ok(()),
    }
}

/// The new file, where it is asked for.
fn write(source: &ImportSource, imported: &Imported, out: &mut dyn Write) -> Result<(), Refusal> {
    let Some(file) = &source.output else {
        return Ok(out.write_all(imported.text.as_bytes())?);
    };
    let unfit = |error| Refusal::Because(format!("cannot write {}: {error}", file.display()));
    let mut made = OpenOptions::new().write(true).create_new(true).open(file).map_err(unfit)?;
    made.write_all(imported.text.as_bytes()).and_then(|()| made.sync_all()).map_err(unfit)?;
    if source.json {
        for Told { place, setting, fate, meaning } in &imported.told {
            let (file, line, fate) = (place.file.as_str(), place.line, fate.words());
            json(&ImportedSetting { file, line, setting, fate, meaning }, out)?;
        }
    }
    Ok(())
}

/// Tells of each setting without a counterpart, and how many others there were.
fn tell(told: &[Told]) {
    let of = |fate: Fate| told.iter().filter(move |told| told.fate == fate);
    let mut lines = Vec::new();
    for Told { place, setting, meaning, .. } in of(Fate::NoCounterpart) {
        lines.push(format!("{place}: {setting}: {}: {meaning}", Fate::NoCounterpart.words()));
    }
    let sums = [Fate::Carried, Fate::SameByDefault, Fate::NotNeeded, Fate::NoCounterpart]
        .map(|fate| format!("{} {}", of(fate).count(), fate.words()));
    lines.push(sums.join(", "));
    complain(&lines.join("\n"));
}

/// The new file as the engine reads it; a mistake in it is the answer "no".
fn checked(imported: &Imported, file: Option<&Path>) -> Result<Config, Refusal> {
    let name =
        file.map_or_else(|| "the new file".to_owned(), |file: &Path| file.display().to_string());
    let reading = Reading::of_text(&name, &imported.text, None);
    reading.into_config().map(|(config, _)| config).map_err(|mistakes| {
        let report = relais_config::Report { mistakes: mistakes.0, warnings: Vec::new() };
        Refusal::Because(format!("{name} needs a hand:\n{}", Look::of_stderr().report(&report)))
    })
}
