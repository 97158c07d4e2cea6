//! The arguments of `sendmail(8)`, for programs that know no other way to send: the program under this name
//! takes the options that Sendmail and Postfix take, as far as they are about sending one message.

use std::{ffi::OsString, io, path::Path, process::ExitCode};

use super::{
    letter::LetterArguments,
    refusal::complain,
    send::{Unsent, hand_over, read},
    source::Source,
};

/// Whether the program was called by this name.
pub(super) fn is_called(program: Option<&OsString>) -> bool {
    program.is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "sendmail"))
}

/// Sends what comes by standard input; exit status of `sysexits(3)`.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> =
        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let said = match parse(&arguments) {
        Ok(said) => said,
        Err(why) => {
            complain(&why);
            return ExitCode::from(USAGE);
        }
    };
    let source = Source::of_machine();
    // The file of an engine is seldom for everybody to see.
    let server = source.is_built_in().then_some(USUAL);
    let sent = read(io::stdin().lock())
        .map_err(|error| Unsent::Input(error.to_string()))
        .and_then(|raw| hand_over(&source, server, &raw, &said));
    match sent {
        Ok(_) => ExitCode::SUCCESS,
        Err(unsent) => {
            complain(&unsent.words());
            unsent.exit_code()
        }
    }
}

fn parse(arguments: &[String]) -> Result<LetterArguments, String> {
    let mut said = LetterArguments { dot_ends: true, ..LetterArguments::default() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(option) = argument.strip_prefix('-').filter(|option| !option.is_empty()) else {
            said.recipients.push(argument.clone());
            continue;
        };
        if option == "-" {
            said.recipients.extend(rest.by_ref().cloned());
            break;
        }
        for (at, letter) in option.char_indices() {
            let behind = &option[at + letter.len_utf8()..];
            match letter {
                't' => said.header_recipients = true,
                'i' => said.dot_ends = false,
                // Verbose, metoo, no aliases, initial submission, gateway: nothing to do here.
                'v' | 'm' | 'n' | 'U' | 'G' => {}
                _ if WITH_VALUE.contains(letter) => {
                    let value = if behind.is_empty() && !GLUED.contains(letter) {
                        rest.next().cloned().ok_or_else(|| format!("-{letter} wants a value"))?
                    } else {
                        behind.to_owned()
                    };
                    take(letter, value, &mut said)?;
                    break;
                }
                _ => return Err(format!("-{option}: sending one message does not need this")),
            }
        }
    }
    Ok(said)
}

fn take(letter: char, value: String, said: &mut LetterArguments) -> Result<(), String> {
    match (letter, value.as_str()) {
        ('f' | 'r', _) => said.sender = Some(value),
        ('F', _) => said.name = Some(value),
        ('o', "i") => said.dot_ends = false,
        ('o', _) | ('b', "m") => {}
        ('b', mode) => {
            return Err(match mode {
                "p" => "-bp: `relais queue list` shows the queue".to_owned(),
                "i" => "-bi: aliases are read as they are".to_owned(),
                _ => format!("-b{mode}: only -bm, sending one message, is there"),
            });
        }
        ('q', _) => return Err("-q: `relais queue retry` tries what waits".to_owned()),
        _ => {}
    }
    Ok(())
}

/// Options with a value, which stands behind them or is the next argument.
const WITH_VALUE: &str = "fFrobqBCNRVLhXAdp";
/// Of these the ones whose value never is the next argument.
const GLUED: &str = "obqd";
const USUAL: &str = "[127.0.0.1]:25";
/// `EX_USAGE`.
const USAGE: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_sendmail_are_understood_in_both_spellings() {
        // arguments; sender, recipients, of the header, a dot ends
        let rows = [
            ("bob", "-", "bob", false, true),
            ("-t -i", "-", "", true, false),
            ("-ti", "-", "", true, false),
            ("-oi -fann@a.example bob carl", "ann@a.example", "bob carl", false, false),
            ("-f ann@a.example -oem -oi -- -odd", "ann@a.example", "-odd", false, false),
            ("-odb -bm -B 8BITMIME -N never -R hdrs -V id -F Ann bob", "-", "bob", false, true),
            ("-r <> -G -i bob", "<>", "bob", false, false),
            ("-tf ann", "ann", "", true, true),
        ];
        for (text, sender, recipients, header, dot_ends) in rows {
            let arguments: Vec<_> = text.split(' ').map(str::to_owned).collect();
            let said = parse(&arguments).unwrap();
            assert_eq!(said.sender.as_deref().unwrap_or("-"), sender, "{text}");
            assert_eq!(said.recipients.join(" "), recipients, "{text}");
            assert_eq!((said.header_recipients, said.dot_ends), (header, dot_ends), "{text}");
        }
        for wrong in ["-bp", "-bs", "-q30m", "-Z", "-f"] {
            parse(&[wrong.to_owned()]).unwrap_err();
        }
    }
}
