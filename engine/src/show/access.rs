//! The answer of the front door to a client.

use relais_actors::events::Printable;

use super::Look;
use crate::api::AccessExplained;

/// `relais test access`.
pub fn access(explained: &AccessExplained, look: Look) -> String {
    let mut page = String::new();
    let AccessExplained { client, service, accepted, reply, table, entry, text, steps, asked } =
        explained;
    let widest = steps.iter().map(|step| step.table.chars().count()).max().unwrap_or(0);
    for step in steps {
        let name = Printable(&step.table).to_string();
        let detail = format!("{}: {}", Printable(&step.probe), Printable(&step.verdict));
        page += &look.fit_beside(&format!("{name:widest$}  "), &detail);
    }
    if !steps.is_empty() {
        page.push('\n');
    }
    let verdict = if *accepted { "accepted" } else { "refused" };
    for line in reply.lines() {
        page += &look.fit(&format!("{client} at {service} {verdict}: {}\n", Printable(line)));
    }
    let by = match (table, entry, text) {
        (Some(table), Some(entry), Some((pattern, template))) => {
            format!("decided by {table}, entry {entry}: {pattern:?}, {template:?}\n")
        }
        (Some(table), _, _) => format!("decided by {table}\n"),
        (None, ..) => "no table decides that\n".to_owned(),
    };
    page += &look.fit(&by);
    page + &look.fit(&format!("asked: {}\n", Printable(asked)))
}
