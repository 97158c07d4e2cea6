//! Mapping tables that an operator tries.

use relais_actors::router::Routes;
use relais_config::{Config, mapping::MappingFlags, suggest};

use crate::{
    admin::{MappingQuestion, Nonsense},
    api::{MappingExplained, MappingStepTold},
};

/// Probes one table. No number of a sequence is drawn.
pub(super) fn explain_mapping(
    routes: &Routes,
    question: &MappingQuestion,
) -> Result<MappingExplained, Nonsense> {
    let tables = routes.tables_looked_at();
    let Some((name, table)) = tables.named(&question.table) else {
        let known: Vec<_> = tables.mappings.keys().map(String::as_str).collect();
        let known = suggest(&question.table, &known, "there are:");
        return Err(Nonsense(format!("there is no mapping table {:?}; {known}", question.table)));
    };
    let flags = question.flags.as_deref().unwrap_or_default().replace('$', "");
    let flags = MappingFlags::parse(&flags)
        .ok_or_else(|| Nonsense(format!("{flags:?} are no flags; letters are expected")))?;
    let (mapped, steps) = table.explain(&question.input, flags, &tables);
    let told = |step: relais_config::mapping::MappingStep| MappingStepTold {
        step: step.step.to_owned(),
        depth: step.depth,
        detail: step.detail,
    };
    let matched = mapped.is_some();
    let entry = mapped.as_ref().map(|mapped| mapped.entry + 1);
    let mapped = mapped.unwrap_or_default();
    Ok(MappingExplained {
        table: name.to_owned(),
        input: question.input.clone(),
        matched,
        flags: mapped.flags.to_string(),
        text: mapped.text,
        entry,
        steps: steps.into_iter().map(told).collect(),
        asked: String::new(),
    })
}

/// The same by the configuration alone.
pub(super) fn mapping_in_files(
    config: &Config,
    question: &MappingQuestion,
) -> Result<MappingExplained, String> {
    let routes = Routes::new(config).map_err(|error| error.to_string())?;
    explain_mapping(&routes, question).map_err(|nonsense| nonsense.0)
}
