//! The new file without what its reader refuses: such an entry is shown, told of, and does not count.

use relais_config::{Mistake, Reading};

use crate::{
    report::{Fate, Findings, Place},
    ron::{Entry, Value},
};

/// A step of a path such as `mappings["FORWARD"][3]`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Name(String),
    /// Among entries that count.
    Index(usize),
}

/// Text of the file, made of the entries that its reader takes. Sections at the top stay, and so does what no
/// file can be without.
pub(crate) fn file(head: &[String], mut entries: Vec<Entry>, findings: &mut Findings) -> String {
    for _ in 0..MAX_ROUNDS {
        let text = findings.file(head, &entries);
        let mistakes = Reading::of_text("new", &text, None).report.mistakes;
        let mut refused: Vec<_> =
            mistakes.iter().filter_map(|its| Some((found(&entries, its)?, its))).collect();
        refused.dedup_by(|later, first| later.0 == first.0);
        if refused.is_empty() {
            return text;
        }
        for (path, mistake) in refused {
            leave_out(&mut entries, &path, mistake, findings);
        }
    }
    findings.file(head, &entries)
}

/// Places of the entries that lead to what a mistake is about, as far as they are there.
fn found(entries: &[Entry], mistake: &Mistake) -> Option<Vec<usize>> {
    let (mut path, mut within) = (Vec::new(), entries);
    for step in steps(&mistake.field) {
        let mut counting = within.iter().enumerate().filter(|(_, entry)| !entry.is_out);
        let at = match step {
            Step::Name(name) => counting.find(|(_, entry)| entry.name == name),
            Step::Index(n) => counting.nth(n),
        };
        let Some((at, entry)) = at else { break };
        path.push(at);
        let (Value::Section(_, inner) | Value::Map(inner) | Value::List(inner)) = &entry.value
        else {
            break;
        };
        within = inner;
    }
    let is_setting = |at: &usize| {
        matches!(entries[*at].value, Value::Word(_)) && !NEEDED.contains(&&*entries[*at].name)
    };
    (path.len() > 1 || path.first().is_some_and(is_setting)).then_some(path)
}

fn steps(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(key) = rest.strip_prefix("[\"") {
            let Some((key, behind)) = key.split_once("\"]") else { break };
            steps.push(Step::Name(key.to_owned()));
            rest = behind;
        } else if let Some(index) = rest.strip_prefix('[') {
            let Some((index, behind)) = index.split_once(']') else { break };
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Index(index));
            rest = behind;
        } else {
            let name = rest.trim_start_matches('.');
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Name(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    steps
}

fn leave_out(entries: &mut [Entry], path: &[usize], mistake: &Mistake, findings: &mut Findings) {
    let (mut within, mut place, mut around) = (entries, Place::of_file("new file"), Vec::new());
    for (n, at) in path.iter().enumerate() {
        let Some(entry) = within.get_mut(*at) else { return };
        let own = entry.comments.iter().find_map(|its| Place::of_comment(its));
        let is_own = own.is_some();
        place = own.unwrap_or(place);
        if n + 1 < path.len() {
            around.push(entry.name.clone());
            let (Value::Section(_, inner) | Value::Map(inner) | Value::List(inner)) =
                &mut entry.value
            else {
                return;
            };
            within = inner;
            continue;
        }
        entry.is_out = true;
        let mut setting = entry.shown();
        if is_own {
            findings.told.retain(|told| told.place != place || told.fate != Fate::Carried);
            let line = entry.comments.iter().find_map(|its| Some(its.split_once(": ")?.1));
            setting = line.unwrap_or(&setting).to_owned();
        } else {
            around.retain(|name| !name.is_empty());
            setting = format!("{}: {setting}", around.join("."));
        }
        let why = format!("it is left out, to be written by hand: {}", mistake.message);
        findings.missing(&place, &setting, &why);
        return;
    }
}

const NEEDED: [&str; 3] = ["host", "data", "default_domain"];
/// Each leaves out one entry at least; a file that needs more is none that was read.
const MAX_ROUNDS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_refused_is_left_out_and_told_of() {
        let rules = ["a $U@x-daemon", "b $U@nowhere", "c $U@x-daemon"];
        let rules = rules.map(|rule| {
            let (pattern, template) = rule.split_once(' ').unwrap();
            Entry::pair(pattern, template).said(format!("imta.cnf:7: {rule}"))
        });
        let channel = vec![
            Entry::text("name", "x"),
            Entry::text("tag", "x-daemon"),
            Entry::word("program", "Smtp"),
            Entry::word("odd", "1"),
        ];
        let entries = vec![
            Entry::text("host", "mx.example.org"),
            Entry::text("data", "/var/lib/relais"),
            Entry::text("default_domain", "example.org"),
            Entry::new("rewrite_rules", Value::List(rules.to_vec())),
            Entry::new("channels", Value::List(vec![Entry::new("", Value::Section("", channel))])),
            Entry::new("job_controller", Value::Section("", vec![Entry::word("odd", "2")])),
        ];
        let mut findings = Findings::default();
        let text = file(&[], entries, &mut findings);
        assert!(text.contains("// (\"b\", \"$U@nowhere\")"), "{text}");
        assert!(text.contains("// odd: 1") && text.contains("// odd: 2"), "{text}");
        let told: Vec<_> = findings.told.iter().map(|told| told.setting.as_str()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told, ["b $U@nowhere", "channels: odd: 1", "job_controller: odd: 2"]);
        assert!(findings.told.iter().any(|told| told.place.to_string() == "imta.cnf:7"));
    }

    #[test]
    fn paths_have_names_keys_and_numbers() {
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(
            steps("mappings[\"A.B\"][3].x"),
            [name("mappings"), name("A.B"), Step::Index(3), name("x")]
        );
        assert_eq!(steps(""), []);
    }
}
