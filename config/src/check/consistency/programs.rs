//! Programs that mail may be handed to: whether each can be run at all, and whether any mail comes
//! to them.

use crate::{
    file::{reader::Reader, source::shorten},
    sections::{channel::Program, config::Config, programs::names_file},
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    for program in &config.programs {
        let path = format!("programs[{:?}].command", shorten(&program.name));
        if !names_file(&program.command) && reader.is_sound(&path) {
            let message = "the program itself is named by no path";
            let accepted = "an absolute path without values is expected first, such as \
                            [\"/usr/bin/procmail\", \"-d\", \"$user\"]";
            reader.mistake_at(&path, message, accepted);
        }
    }
    if config.programs.len() > MOST_PROGRAMS {
        let message = format!("there are {} programs", config.programs.len());
        let accepted = format!("{MOST_PROGRAMS} are allowed at most");
        reader.mistake_at("programs", &message, &accepted);
    }
    let has_channel = config.channels.iter().any(|channel| channel.program == Program::Pipe);
    if !config.programs.is_empty() && !has_channel {
        let message = "there is no channel of program Pipe: no program is run";
        reader.warning_at("programs", message, false);
    }
}

/// Far more than anybody approves.
const MOST_PROGRAMS: usize = 1_000;
