//! Forwarding by address: a recipient that aliases have no say about becomes another one.
//!
//! The mapping `FORWARD` is asked first, then the forward database. A result is rewritten from the
//! start; an address that is its own result stands for itself.

use relais_channels::mail::Address;
use relais_config::{grammar::table_key, mapping::Tables};

use super::{
    routes::{Question, Routes},
    steps::{Step, Trace},
    submission::{FORWARD, address_field},
};

/// The address that a recipient is to be instead; `None`: it stands for itself.
pub(super) fn forwarded(
    routes: &Routes,
    address: &Address,
    question: &Question<'_>,
    trace: &mut Trace,
) -> Option<String> {
    let database = &routes.tables.forward;
    let table = routes.mapping(routes.forward_probe.mapping.as_ref());
    if table.is_none() && database.is_empty() {
        return None;
    }
    let mailbox = address.mailbox();
    let by_sender;
    let probe = if routes.forward_probe.by_sender {
        let source = question.earlier.unwrap_or(question.source_channel);
        by_sender =
            format!("{source}|{}|{}", address_field(question.sender), address_field(mailbox));
        &by_sender
    } else {
        mailbox
    };
    let mapped = table.and_then(|table| {
        let tables = if trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
        let tables = Tables { facts: question.facts(), ..tables };
        table.lookup(probe, &tables).filter(|mapped| mapped.flags.has('Y'))
    });
    let (source, target) = match mapped {
        Some(mapped) => (FORWARD, mapped.text),
        None => ("forward.database", database.get(probe)?.to_owned()),
    };
    if table_key(&target) == table_key(mailbox) {
        return None;
    }
    trace.note(|| Step::Alias { source, targets: vec![target.clone()] });
    Some(target)
}
