//! Programs that mail may be handed to: whether each can be run at all, and whether any mail comes
//! to them.

use std::collections::HashSet;

use crate::{
    file::{reader::Reader, source::shorten},
    language::argument::{Argument, ArgumentPiece},
    sections::{
        channel::Program, config::Config, conversions::ConversionEntry, programs::names_file,
    },
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
    for program in config.programs.iter().filter(|its| fills_script(&its.command)) {
        let path = format!("programs[{:?}].command", shorten(&program.name));
        let message = "a value stands in the text of a script: whoever reads that would read the \
                       value as commands, too";
        let accepted = "values are expected behind the script: [\"/bin/sh\", \"-c\", \
                        \"exec x \\\"$$1\\\"\", \"sh\", \"$user\"]";
        if reader.is_sound(&path) {
            reader.mistake_at(&path, message, accepted);
        }
    }
    let mut known = HashSet::new();
    for program in &config.programs {
        if !known.insert(program.name.to_ascii_lowercase()) {
            let path = format!("programs[{:?}]", shorten(&program.name));
            let message = format!("there is a program {:?} already, but for case", program.name);
            reader.mistake_at(&path, &message, "another label is expected");
        }
    }
    if config.programs.len() > MOST_PROGRAMS {
        let message = format!("there are {} programs", config.programs.len());
        let accepted = format!("{MOST_PROGRAMS} are allowed at most");
        reader.mistake_at("programs", &message, &accepted);
    }
    let has_channel = config.channels.iter().any(|channel| channel.program == Program::Pipe);
    let converts = config.conversions.iter().any(ConversionEntry::runs);
    if !config.programs.is_empty() && !has_channel && !converts {
        let message = "there is no channel of program Pipe: no program is run";
        reader.warning_at("programs", message, false);
    }
}

/// Whether the text of a script, `-c` of a shell or `-e` of perl, has values of messages in it.
fn fills_script(command: &[Argument]) -> bool {
    let name =
        command.first().map_or("", |first| first.text.rsplit('/').next().unwrap_or_default());
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let has_value = |argument: &Argument| {
        argument.pieces.iter().any(|piece| matches!(piece, ArgumentPiece::Value(_)))
    };
    let is_script = |pair: &[Argument]| {
        let option = &pair[0].text;
        option.starts_with('-') && option.ends_with(['c', 'e']) && has_value(&pair[1])
    };
    INTERPRETERS.contains(&name) && command.windows(2).any(is_script)
}

/// Programs that take a script as an argument; numbers of versions may follow.
const INTERPRETERS: [&str; 15] = [
    "ash", "bash", "busybox", "csh", "dash", "env", "fish", "ksh", "mksh", "node", "perl",
    "python", "ruby", "sh", "zsh",
];
/// Far more than anybody approves.
const MOST_PROGRAMS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_is_made_of_what_strangers_write() {
        let rows: [(&[&str], bool); 8] = [
            (&["/bin/sh", "-c", "echo $user"], true),
            (&["/bin/sh", "-ec", "${sender}"], true),
            (&["/usr/bin/python3.11", "-c", "$subaddress"], true),
            (&["/usr/bin/perl", "-e", "$$x = '$user'"], true),
            (&["/bin/sh", "-c", "echo \"$$1\"", "sh", "$user"], false),
            (&["/bin/sh", "/etc/script", "$user"], false),
            (&["/usr/bin/procmail", "-c", "$user"], false),
            (&[], false),
        ];
        for (command, want) in rows {
            let command: Vec<_> =
                command.iter().map(|text| Argument::parse(text).unwrap()).collect();
            assert_eq!(fills_script(&command), want, "{command:?}");
        }
    }
}
