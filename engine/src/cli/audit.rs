//! `relais audit`: the orders that operators gave, from the files, whether or not an engine runs.

use std::io::Write;

use super::{arguments::AuditShown, exchange::json, refusal::Refusal, source::Source};
use crate::{
    api::AuditFilter,
    show::{self, Look},
    state::audit,
};

/// Shows them, the oldest first.
pub(super) fn audit(
    source: &Source,
    AuditShown { since, by, limit, json: as_json }: AuditShown,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let filter = AuditFilter { since, by, limit };
    let read = audit::read(&source.data()?, &filter);
    let entries = read.map_err(|error| Refusal::Because(error.to_string()))?;
    if as_json {
        return Ok(entries.iter().try_for_each(|entry| json(entry, out))?);
    }
    Ok(out.write_all(show::audit(&entries, Look::of_stdout()).as_bytes())?)
}
