//! Flags of the original's tables that relais says in another way, or not at all.

use crate::report::Fate;

/// The template with the flags that are heeded here, and what is to be told of the others.
pub(super) fn heeded(table: &str, template: &str) -> (String, Vec<(Fate, &'static str)>) {
    let table = table.to_ascii_uppercase();
    let mut told = Vec::new();
    if table == "FORWARD" {
        let (rest, again) = without(template, 'D', |_| false);
        told.extend(again.map(|_| (Fate::NoCounterpart, AGAIN)));
        return (rest, told);
    }
    if !table.ends_with("_ACCESS") {
        return (template.to_owned(), told);
    }
    let (rest, delay) = without(template, 'D', |c| c.is_ascii_digit());
    told.extend(delay.map(|_| (Fate::NotNeeded, DELAY)));
    let (mut rest, code) = without(&rest, 'X', |c| c.is_ascii_digit() || c == '.');
    let Some(code) = code else { return (rest, told) };
    if code.starts_with('4')
        && let Some(behind) = refusal(&rest).filter(|at| !rest[*at..].starts_with('4'))
    {
        rest.insert_str(behind, "450$ ");
    }
    if !code.ends_with(".7.1") {
        told.push((Fate::NoCounterpart, CODE));
    }
    (rest, told)
}

/// The template without a flag and its argument: the characters behind it and the bar that ends them, where
/// they are given as they are. Else it stays.
fn without(
    template: &str,
    flag: char,
    is_argument: impl Fn(char) -> bool,
) -> (String, Option<String>) {
    for at in flags(template) {
        let rest = &template[at + 1..];
        if !rest.starts_with([flag, flag.to_ascii_lowercase()]) {
            continue;
        }
        let rest = &rest[1..];
        let end = rest.find(|c| !is_argument(c)).unwrap_or(rest.len());
        let (argument, behind) = rest.split_at(end);
        let is_given = behind.is_empty() || behind.starts_with(['|', '$']);
        if argument.is_empty() && is_argument('1') || !is_given && !argument.is_empty() {
            continue;
        }
        let behind = if argument.is_empty() { behind } else { behind.trim_start_matches('|') };
        return (format!("{}{behind}", &template[..at]), Some(argument.to_owned()));
    }
    (template.to_owned(), None)
}

/// The place behind the flag that refuses.
fn refusal(template: &str) -> Option<usize> {
    let mut flags = flags(template).into_iter();
    flags.find(|at| template[at + 1..].starts_with(['N', 'n', 'F', 'f'])).map(|at| at + 2)
}

/// Places of `$` that neither quote a `$` nor stand within a call.
fn flags(template: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut chars = template.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '$' {
            continue;
        }
        let close = match chars.next() {
            Some((_, '{')) => '}',
            Some((_, '(')) => ')',
            Some((_, ']')) => '[',
            Some((_, '[')) => ']',
            Some((_, c @ ('|' | '#' | '?'))) => c,
            _ => {
                found.push(at);
                continue;
            }
        };
        chars.find(|(_, c)| *c == close);
    }
    found
}

const AGAIN: &str = "$D is taken away: no database is asked about the new address";
const DELAY: &str = "$D is taken away: refusals are not delayed";
const CODE: &str = "$X is taken away: refusals have the code 5.7.1, or 4.7.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_access_become_what_is_there() {
        let rows = [
            ("SEND_ACCESS", "$X5.7.1|$NClosed", "$NClosed", 0),
            ("SEND_ACCESS", "$N$X5.2.1|Full$ box", "$NFull$ box", 1),
            ("SEND_ACCESS", "$X4.2.1|$NLater", "$N450$ Later", 1),
            ("SEND_ACCESS", "$N$D30|5.7.1|not$ allowed", "$N5.7.1|not$ allowed", 1),
            ("ORIG_SEND_ACCESS", "$D100$Y", "$Y", 1),
            ("ORIG_SEND_ACCESS", "$D100|$x5.7.1|$F", "$F", 1),
            // An argument that is found by the entry is left to be written by hand.
            ("SEND_ACCESS", "$D$0|$N", "$D$0|$N", 0),
            ("SEND_ACCESS", "$$D10|$|LIST;$D10||$N", "$$D10|$|LIST;$D10||$N", 0),
            ("FORWARD", "$0@siroe.com$Y$D", "$0@siroe.com$Y", 1),
            ("REVERSE", "$0@siroe.com$Y$D", "$0@siroe.com$Y$D", 0),
        ];
        for (table, template, want, told) in rows {
            let (made, why) = heeded(table, template);
            assert_eq!((made.as_str(), why.len()), (want, told), "{table}: {template}");
        }
    }
}
