//! `relais mapping`: one table probed by hand.

use std::io::Write;

use relais_config::Config;

use super::{
    arguments::{Mapping, SpfAsked},
    asked::Whom,
    exchange::{json, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::{MappingQuestion, client::with_query},
    api::MappingExplained,
    show::{self, Look},
};

/// Probes by the files alone.
type InFiles = fn(&Config, &MappingQuestion) -> Result<MappingExplained, String>;

/// Shows every step of a probe; the answer is "no" when no entry applies.
pub(super) fn mapping(
    source: &Source,
    mapping: &Mapping,
    in_files: InFiles,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let Mapping { table, input, flags, facts, .. } = mapping;
    let SpfAsked { spf, spf_helo } = facts.clone();
    let (table, input, flags) = (table.clone(), input.clone(), flags.clone());
    let question = MappingQuestion { table, input, flags, spf, spf_helo };
    let explained = match Whom::find(source, mapping.offline)? {
        (Whom::Engine(client), _) => wait(client.get(&with_query("/api/v1/mapping", &question)))??,
        (Whom::Files(config), name) => {
            let explained = in_files(&config, &question).map_err(Refusal::WrongUse)?;
            MappingExplained { asked: name, ..explained }
        }
    };
    if mapping.json {
        json(&explained, out)?;
    } else {
        out.write_all(show::mapping(&explained, Look::of_stdout()).as_bytes())?;
    }
    if explained.matched { Ok(()) } else { Err(Refusal::No) }
}
