//! `relais reload`.

use std::io::Write;

use super::{
    exchange::{json, say, wait},
    refusal::Refusal,
};
use crate::{
    admin::client::Client,
    api::{LaterSetting, ReloadOrder, Reloaded},
};

/// Has the engine read its file again, and says what came of it.
pub(super) fn reload(
    engine: &Client,
    order: ReloadOrder,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let done: Reloaded = wait(engine.order("/api/v1/reload", &order))??;
    if as_json {
        json(&done, out)?;
        return if done.refused.is_empty() { Ok(()) } else { Err(Refusal::No) };
    }
    if !done.refused.is_empty() {
        let count = done.refused.len();
        let mistakes = if count == 1 { "mistake" } else { "mistakes" };
        // Behind the first line each shows its place in the file, as wide as that is.
        let lines = done.refused.iter().filter_map(|mistake| mistake.lines().next());
        let all = lines.collect::<Vec<_>>().join("\n");
        let told = format!("refused, {count} {mistakes}; what was in force stays so\n{all}");
        return Err(Refusal::Because(told));
    }
    let Reloaded { file, changed, later, warnings, rerouted, .. } = done;
    for name in &changed {
        say(&format!("  {name}"), out)?;
    }
    let settings = if changed.len() == 1 { "setting" } else { "settings" };
    let what = if order.dry_run { "would change" } else { "changed" };
    say(&format!("{file}: {} {settings} {what}", changed.len()), out)?;
    if !warnings.is_empty() {
        let warnings = warnings.len();
        let noun = if warnings == 1 { "warning" } else { "warnings" };
        say(&format!("{warnings} {noun}: `relais check` shows them"), out)?;
    }
    if rerouted > 0 {
        say(&format!("{rerouted} entries were routed again"), out)?;
    }
    for LaterSetting { field, command } in &later {
        say(&format!("not in force yet: {field}; `{command}` does it"), out)?;
    }
    Ok(())
}
