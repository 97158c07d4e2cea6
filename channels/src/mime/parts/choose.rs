//! The word of the table of conversions about a part.

use std::collections::BTreeMap;

use relais_config::{ConversionAction, ConversionEntry, grammar::glob};

use super::{MimePart, PartEdit};

/// The fate of a part.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chosen {
    /// Entries that have a program look at it, and behind them the one that decides, by their places in
    /// the table.
    pub steps: Vec<usize>,
    /// Its header is another one.
    pub is_relabelled: bool,
    /// The part as it is called by then.
    pub part: Option<MimePart>,
}

/// Asks the entries `table`, each with its place, about a part. `None`: it is none of theirs.
pub fn choose<'t>(
    table: impl Iterator<Item = (usize, &'t ConversionEntry)>,
    part: &MimePart,
) -> Option<Chosen> {
    let mut chosen = Chosen::default();
    let mut is_met = false;
    let mut now = part.clone();
    for (place, entry) in table {
        if !fits(entry, &now) {
            continue;
        }
        is_met = true;
        if entry.relabels() && entry.action != ConversionAction::Run {
            now = relabelled(entry, &now);
            chosen.is_relabelled = true;
        }
        if entry.action != ConversionAction::Leave {
            chosen.steps.push(place);
        }
        if !entry.goes_on() {
            break;
        }
    }
    chosen.part = is_met.then_some(now);
    (chosen.is_relabelled || !chosen.steps.is_empty()).then_some(chosen)
}

/// The part as an entry calls it.
pub fn relabelled(entry: &ConversionEntry, part: &MimePart) -> MimePart {
    let mut new = part.clone();
    let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_lowercase());
    if let Some(kind) = lower(&entry.out_type) {
        if kind != part.kind {
            new.parameters.retain(|(name, _)| name != "charset");
        }
        new.kind = kind;
    }
    new.subtype = lower(&entry.out_subtype).unwrap_or(new.subtype);
    new.disposition = lower(&entry.out_disposition).unwrap_or(new.disposition);
    set(&mut new.parameters, &entry.out_parameters);
    set(&mut new.dparameters, &entry.out_dparameters);
    new
}

/// The fields of a part's header that differ from those of another part.
pub fn edit_of(old: &MimePart, new: &MimePart) -> PartEdit {
    let borrowed = |(name, value): &(String, String)| (name.clone(), value.clone());
    let field = |word: &str, parameters: &[(String, String)]| {
        let all: Vec<_> = parameters.iter().map(borrowed).collect();
        PartEdit::of(word, all.iter().map(|(name, value)| (&**name, &**value)))
    };
    let is_same = old.to_string() == new.to_string() && old.parameters == new.parameters;
    let stays = old.disposition == new.disposition && old.dparameters == new.dparameters;
    let disposition = if new.disposition.is_empty() { "attachment" } else { &new.disposition };
    PartEdit {
        content_type: (!is_same).then(|| field(&new.to_string(), &new.parameters)),
        disposition: (!stays).then(|| field(disposition, &new.dparameters)),
        encoding: None,
    }
}

fn set(parameters: &mut Vec<(String, String)>, new: &BTreeMap<String, String>) {
    for (name, value) in new {
        let name = name.to_ascii_lowercase();
        match parameters.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => own.clone_from(value),
            None => parameters.push((name, value.clone())),
        }
    }
}

/// Whether an entry is for a part, whatever the channels.
fn fits(entry: &ConversionEntry, part: &MimePart) -> bool {
    let blocks = part.size.div_ceil(BLOCK);
    let all = |wanted: &BTreeMap<String, String>, value: &dyn Fn(&str) -> Option<String>| {
        wanted.iter().all(|(name, pattern)| glob(pattern, &value(name).unwrap_or_default()))
    };
    let has_name = || part.file_names().any(|name| glob(&entry.in_filename, name));
    (entry.signed || !part.is_protected)
        && glob(&entry.in_type, &part.kind)
        && glob(&entry.in_subtype, &part.subtype)
        && glob(&entry.in_disposition, &part.disposition)
        && entry.part_maximum_size.is_none_or(|most| part.size <= most)
        && entry.part_maximum_blocks.is_none_or(|most| blocks <= most)
        && (entry.in_filename == "*" || has_name())
        && all(&entry.in_parameters, &|name| part.parameter(name).map(str::to_owned))
        && all(&entry.in_dparameters, &|name| part.dparameter(name).map(str::to_owned))
}

/// Octets of a block, as in the original.
const BLOCK: u64 = 1_024;

#[cfg(test)]
mod tests {
    use relais_config::Config;

    use super::*;
    use crate::mime::parts::BodyEncoding;

    fn table(entries: &str) -> Vec<ConversionEntry> {
        let text = format!(
            "(host: \"a.example\", data: \"/d\", default_domain: \"a.example\", \
             dispatcher: (services: {{}}), channels: [(name: \"l\", tag: \"l\", program: Local), \
             (name: \"c\", tag: \"c\", program: Conversion)], \
             programs: {{\"p\": (command: [\"/p\"])}}, conversions: [{entries}])"
        );
        Config::parse("f", &text).unwrap().0.conversions
    }

    #[test]
    fn the_first_entry_that_fits_decides() {
        let header = "Content-Type: application/zip; name=\"A.Exe\"\r\n\
                      Content-Disposition: attachment; filename=b.txt\r\n\r\n";
        let mut part = MimePart::of(header.as_bytes(), 1, BodyEncoding::Identity);
        part.size = 1_025;
        let delete = |what: &str| format!("({what}, action: Delete)");
        let both = "(in_type: \"application\", out_type: \"text\", go_on: true), \
                    (in_type: \"text\", action: Scan, program: \"p\", go_on: true), \
                    (in_type: \"application\", action: Hold), (action: Bounce)";
        let rows: [(String, &[usize]); 17] = [
            (delete("in_type: \"APPLICATION\", in_subtype: \"z*\""), &[0]),
            (delete("in_subtype: \"tar\""), &[]),
            (delete("in_filename: \"*.exe\""), &[0]),
            (delete("in_filename: \"b.*\""), &[0]),
            (delete("in_filename: \"?\""), &[]),
            (delete("in_parameters: {\"NAME\": \"a.exe\"}"), &[0]),
            (delete("in_parameters: {\"charset\": \"?*\"}"), &[]),
            (delete("in_parameters: {\"charset\": \"*\"}"), &[0]),
            (delete("in_disposition: \"inline\""), &[]),
            (delete("in_disposition: \"att*\", in_dparameters: {\"filename\": \"b.txt\"}"), &[0]),
            (delete("part_maximum_size: 1025"), &[0]),
            (delete("part_maximum_size: 1024"), &[]),
            (delete("part_maximum_blocks: 2"), &[0]),
            (delete("part_maximum_blocks: 1"), &[]),
            (format!("(in_type: \"a*\"), {}", delete("in_type: \"*\"")), &[]),
            (format!("{}, (action: Hold)", delete("in_type: \"text\"")), &[1]),
            (both.to_owned(), &[1, 3]),
        ];
        for (entries, want) in rows {
            let table = table(&entries);
            let chosen = choose(table.iter().enumerate(), &part).unwrap_or_default();
            assert_eq!(chosen.steps, want, "{entries}");
        }
        part.is_protected = true;
        let of = |signed: bool| table(&format!("(signed: {signed}, action: Delete)"));
        assert_eq!(choose(of(false).iter().enumerate(), &part), None);
        assert!(choose(of(true).iter().enumerate(), &part).is_some());
    }

    #[test]
    fn a_part_is_called_otherwise() {
        let header = "Content-Type: text/plain; charset=utf-8; name=x\r\nX: y\r\n\r\n";
        let part = MimePart::of(header.as_bytes(), 0, BodyEncoding::Identity);
        let rows = [
            ("(out_subtype: \"html\")", "text/html; charset=utf-8; name=x", ""),
            ("(out_type: \"application\", out_subtype: \"x\")", "application/x; name=x", ""),
            (
                "(out_parameters: {\"Name\": \"z\", \"a\": \"b\"})",
                "text/plain; charset=utf-8; name=z; a=b",
                "",
            ),
            ("(out_dparameters: {\"filename\": \"f\"})", "", "attachment; filename=f"),
            ("(out_disposition: \"inline\")", "", "inline"),
        ];
        for (entry, kind, disposition) in rows {
            let new = relabelled(&table(entry)[0], &part);
            let edit = edit_of(&part, &new);
            let plain = |field: &Option<String>| {
                field.as_deref().unwrap_or_default().replace("\r\n", "").replace('"', "")
            };
            assert_eq!(plain(&edit.content_type), kind, "{entry}");
            assert_eq!(plain(&edit.disposition), disposition, "{entry}");
        }
    }
}
