//! One stage of routing, probed by hand.

use relais_actors::events::Printable;

use super::Look;
use crate::api::StageExplained;

/// `relais test rewrite|alias|option|ldap`.
pub fn stage(explained: &StageExplained, look: Look) -> String {
    let StageExplained { steps, facts, asked, .. } = explained;
    let steps = steps.iter().map(|step| {
        let (name, detail) = (step.step.as_str(), step.detail.trim());
        // Where the words begin with the name it stands there once.
        (
            name,
            detail
                .strip_prefix(name)
                .filter(|rest| rest.starts_with(' '))
                .map_or(detail, str::trim),
        )
    });
    let mut page = rows(steps, look);
    if !page.is_empty() {
        page.push('\n');
    }
    page += &rows(std::iter::once(("asked", asked.as_str())), look);
    page + &rows(facts.iter().map(|fact| (fact.name.as_str(), fact.value.as_str())), look)
}

/// A name and a text on each line, the texts below one another.
fn rows<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>, look: Look) -> String {
    let rows: Vec<_> = rows.collect();
    let widest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let row = |(name, text): &(&str, &str)| {
        look.fit_beside(
            &format!("{:widest$}  ", Printable(name).to_string()),
            &Printable(text).to_string(),
        )
    };
    rows.iter().map(row).collect()
}
