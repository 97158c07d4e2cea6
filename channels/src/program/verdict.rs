//! The outcome of a program: its exit status by sysexits.h, and the words that it printed.

use std::process::ExitStatus;

use crate::mail::{Enhanced, Outcome, Reply};

/// The outcome of a program that has ended, as pipe(8) of Postfix has it.
pub(super) fn of(status: ExitStatus, program: &str, output: &[u8]) -> Outcome {
    let said = said(output);
    let Some(code) = status.code() else {
        let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
        let text = format!("the program {program} was ended by signal {signal}");
        return outcome(Enhanced(4, 3, 0), with_output(text, &said));
    };
    if code == 0 {
        let text = with_output(format!("delivered to the program {program}"), &said);
        return Outcome::Delivered(Reply::with_text(250, Enhanced(2, 0, 0), text));
    }
    if let Some((enhanced, text)) = Enhanced::leading(&said) {
        return outcome(enhanced, text.to_owned());
    }
    let known = SYSEXITS.iter().find(|(known, ..)| *known == code);
    let (enhanced, text) = known.map_or_else(
        || (Enhanced(5, 3, 0), format!("the program {program} ended with status {code}")),
        |(_, enhanced, text)| (*enhanced, (*text).to_owned()),
    );
    outcome(enhanced, with_output(text, &said))
}

/// Deferred or failed, as the code says.
pub(super) fn outcome(enhanced: Enhanced, text: String) -> Outcome {
    if enhanced.0 == 4 {
        Outcome::Deferred(Reply::with_text(451, enhanced, text))
    } else {
        Outcome::Failed(Reply::with_text(550, enhanced, text))
    }
}

/// The first lines of what a program printed, fit for a log and a notice.
pub(super) fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let fit = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let line = |line: &str| line.chars().take(MOST_CHARS).map(fit).collect::<String>();
    let lines: Vec<String> = lines.take(MOST_LINES).map(line).collect();
    lines.join("\n")
}

fn with_output(text: String, said: &str) -> String {
    if said.is_empty() { text } else { format!("{text}. Output: {said}") }
}

/// As in Postfix (`sys_exits`).
const SYSEXITS: [(i32, Enhanced, &str); 15] = [
    (64, Enhanced(5, 3, 0), "command line usage error"),
    (65, Enhanced(5, 6, 0), "data format error"),
    (66, Enhanced(5, 3, 0), "cannot open input"),
    (67, Enhanced(5, 1, 1), "user unknown"),
    (68, Enhanced(5, 1, 2), "host name unknown"),
    (69, Enhanced(5, 3, 0), "service unavailable"),
    (70, Enhanced(5, 3, 0), "internal software error"),
    (71, Enhanced(4, 3, 0), "system resource problem"),
    (72, Enhanced(5, 3, 0), "critical OS file missing"),
    (73, Enhanced(5, 2, 0), "can't create user output file"),
    (74, Enhanced(5, 3, 0), "input/output error"),
    (75, Enhanced(4, 3, 0), "temporary failure"),
    (76, Enhanced(5, 5, 0), "remote error in protocol"),
    (77, Enhanced(5, 7, 0), "permission denied"),
    (78, Enhanced(5, 3, 5), "local configuration error"),
];
const MOST_LINES: usize = 5;
const MOST_CHARS: usize = 400;
