//! A Sieve script tried on a message.

use std::fmt::Write;

use relais_actors::events::Printable;
use relais_config::grammar::escaped;
use relais_sieve::{Filed, HeaderEdit, RefusalKind, VacationReply, Verdict};

use super::{Look, Span, look::split};
use crate::api::SieveTested;

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `relais sieve test`: each line of the script that was come to, with its tests and actions below.
pub fn sieve(tested: &SieveTested, look: Look) -> String {
    let SieveTested { script, message, from, to, steps, actions, outcome, error, notes } = tested;
    let mut page = String::new();
    let head = format!("{script}: {message} from <{}> to <{}>\n", Printable(from), Printable(to));
    page += &look.fit(&head);
    let widest = steps.iter().map(|step| step.step.len()).max().unwrap_or(0);
    let mut last = (script.as_str(), 0);
    for step in steps {
        if step.script != last.0 {
            page += &look.fit(&format!("{}:\n", Printable(&step.script)));
        }
        if (step.script.as_str(), step.line) != last {
            let source = step.source.replace('\t', "    ");
            let line = format!("{:>5} | {}", step.line, escaped(&source));
            let width = look.width.unwrap_or(usize::MAX);
            let _ = writeln!(page, "{}", split_at_width(&line, width));
        }
        last = (&step.script, step.line);
        let detail = Printable(&step.detail).to_string();
        page += &look.fit_beside(&format!("        {:widest$}  ", step.step), &detail);
    }
    let mut told = "\n".to_owned();
    for action in actions {
        let _ = writeln!(told, "{}", Printable(action));
    }
    if let Some(error) = error {
        let _ = writeln!(told, "error: {}", Printable(error));
    }
    for note in notes {
        let _ = writeln!(told, "{}", Printable(note));
    }
    let _ = writeln!(told, "outcome: {}", Printable(outcome));
    page + &look.fit(&told)
}

/// As much of a line as there is room for.
fn split_at_width(line: &str, width: usize) -> &str {
    if super::look::width_of(line) <= width { line } else { split(line, width).0 }
}

/// Actions of a verdict, each in words.
pub fn sieve_actions(verdict: &Verdict) -> Vec<String> {
    let Verdict { keep, files, redirects, refusal, vacation, header_edits, duplicates, .. } =
        verdict;
    let mut told: Vec<String> = header_edits.iter().map(edit).collect();
    told.extend(keep.iter().chain(files).map(filed));
    told.extend(redirects.iter().map(|redirect| format!("redirect to <{}>", redirect.to)));
    told.extend(refusal.iter().map(|refusal| {
        let name = match refusal.kind {
            RefusalKind::Reject => "reject",
            RefusalKind::Ereject => "ereject",
        };
        format!("{name}: {}", refusal.reason.trim_end())
    }));
    told.extend(vacation.iter().map(reply));
    told.extend(duplicates.iter().map(|seen| format!("remember {:?} as seen", seen.id)));
    told
}

fn filed(filed: &Filed) -> String {
    let Filed { folder, flags, create, .. } = filed;
    let mut told = format!("file into {folder:?}");
    if *create {
        told += ", made if it is missing";
    }
    if !flags.is_empty() {
        let _ = write!(told, ", flags {}", flags.join(" "));
    }
    told
}

fn edit(edit: &HeaderEdit) -> String {
    match edit {
        HeaderEdit::Add { name, value, is_last } => {
            let place = if *is_last { "end" } else { "beginning" };
            format!("add {:?} at the {place} of the header", format!("{name}: {value}"))
        }
        HeaderEdit::Delete { name, occurrence } => format!("delete field {occurrence} {name:?}"),
    }
}

fn reply(reply: &VacationReply) -> String {
    let VacationReply { subject, from, seconds, .. } = reply;
    let mut told = format!("reply {subject:?}");
    if let Some(from) = from {
        let _ = write!(told, " from <{from}>");
    }
    let often = Span(std::time::Duration::from_secs(*seconds));
    let _ = write!(told, ", once in {often} to a sender");
    told
}

/// The fate of the message; `None`: the scripts ended without a decision.
pub fn sieve_outcome(verdict: Option<&Verdict>) -> String {
    let Some(Verdict { keep, files, redirects, refusal, vacation, .. }) = verdict else {
        return "it goes to the INBOX, for a script that does not end well decides nothing"
            .to_owned();
    };
    if let Some(refusal) = refusal {
        return format!("it is refused: {}", refusal.reason.trim_end());
    }
    let mut ways: Vec<String> = Vec::new();
    let folders = keep.iter().chain(files).map(|filed| filed.folder.as_str());
    ways.extend(folders.map(|folder| format!("goes to {folder}")));
    ways.extend(redirects.iter().map(|its| format!("is redirected to {}", its.to)));
    if ways.is_empty() {
        ways.push("is discarded".to_owned());
    }
    if vacation.is_some() {
        ways.push("is answered, if its sender was not lately".to_owned());
    }
    format!("it {}", ways.join(", "))
}
