//! The table of actors in the head of their crate, beside the messages that they handle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Crate;

/// Differences between the table `| actor | lives on | owns | is sent | sends to |` and both the
/// actors (`impl Actor`) and their handlers (`impl Handle<Message>`) in the sources, each in words.
pub(crate) fn actor_table(of: &Crate) -> Vec<String> {
    let handled = handled(of);
    let drawn = drawn(&of.head());
    let mut complaints = Vec::new();
    for (actor, messages) in &handled {
        let Some((told, _)) = drawn.get(actor) else {
            complaints.push(format!("actor {actor} has no row; it is sent {}", listed(messages)));
            continue;
        };
        let missing = messages.difference(told);
        complaints.extend(missing.map(|it| format!("{actor} is sent {it}: not in its row")));
        let invented = told.difference(messages);
        complaints.extend(invented.map(|it| format!("{actor} is not sent {it}")));
    }
    for (actor, (_, sends_to)) in &drawn {
        if !handled.contains_key(actor) {
            complaints.push(format!("{actor} has a row and is no actor"));
        }
        let strangers = sends_to.iter().filter(|to| !handled.contains_key(*to));
        complaints.extend(strangers.map(|to| format!("{actor} sends to {to}: no actor")));
    }
    complaints
}

/// Messages that an actor handles and nobody makes outside tests, in any of these crates.
pub(crate) fn unsent_messages(of: &Crate, all: &[Crate]) -> Vec<String> {
    let sources = all.iter().flat_map(Crate::sources);
    let made: BTreeSet<_> = sources.flat_map(|(_, file)| &file.values).collect();
    let messages: BTreeSet<_> = handled(of).into_values().flatten().collect();
    messages.into_iter().filter(|message| !made.contains(message)).collect()
}

fn handled(of: &Crate) -> BTreeMap<String, BTreeSet<String>> {
    let mut handled: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, message, actor) in of.sources().flat_map(|(_, file)| &file.impls) {
        match &**name {
            // The shell is what every actor is put into.
            "Actor" if actor != "Shell" => drop(handled.entry(actor.clone()).or_default()),
            "Handle" if message != "M" => {
                handled.entry(actor.clone()).or_default().insert(message.clone());
            }
            _ => {}
        }
    }
    handled
}

/// By actor: what it is sent, and to whom it sends.
fn drawn(head: &str) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let rows = head.lines().skip_while(|line| !line.starts_with("| actor |"));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let [actor, _, _, sent, to] = cells[..] else { return None };
        Some((quoted(actor).pop_first()?, (quoted(sent), quoted(to))))
    };
    rows.filter_map(row).collect()
}

/// Words between back quotes.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
