//! Lines of the original's files: comments behind `!` in the first column, `\` at the end of a line that
//! goes on, `<file` for the lines of another file.

use crate::{
    report::Place,
    source::{Folder, ImportError, Line},
};

/// The lines of a file and of those that it names, blank ones as well; `None` where there is no such
/// file. Of each line that goes on the first one's place is kept.
pub(super) fn lines(folder: &Folder, name: &str) -> Result<Option<Vec<Line>>, ImportError> {
    let mut lines = Vec::new();
    let found = read(folder, name, 0, &mut lines)?;
    Ok(found.then_some(lines))
}

/// A name of a file in the original's way: `IMTA_TABLE:general.txt`.
pub(super) fn file_name(text: &str) -> &str {
    let text = text.trim();
    let logical = ["IMTA_TABLE:", "IMTA_TABLE/", "imta_table:"];
    logical.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

fn read(
    folder: &Folder,
    name: &str,
    depth: usize,
    lines: &mut Vec<Line>,
) -> Result<bool, ImportError> {
    let Some(text) = folder.read(name)? else { return Ok(false) };
    let mut open: Option<Line> = None;
    for (n, text) in text.lines().enumerate() {
        let text = text.trim_end();
        if text.starts_with('!') {
            continue;
        }
        let (text, goes_on) = text.strip_suffix('\\').map_or((text, false), |text| (text, true));
        let mut line = open.take().unwrap_or_else(|| Line::new(name, n + 1, ""));
        line.go_on(text)?;
        if goes_on {
            open = Some(line);
            continue;
        }
        match line.text.strip_prefix('<').map(file_name) {
            Some(file) => include(folder, file, &line.place, (depth, lines))?,
            None => lines.push(line),
        }
    }
    lines.extend(open);
    Ok(true)
}

fn include(
    folder: &Folder,
    file: &str,
    place: &Place,
    (depth, lines): (usize, &mut Vec<Line>),
) -> Result<(), ImportError> {
    let told = |bound: String| ImportError::Bound { place: place.to_string(), bound };
    if depth >= MAX_DEPTH {
        return Err(told(format!("files name each other more than {MAX_DEPTH} deep")));
    }
    if read(folder, file, depth + 1, lines)? {
        Ok(())
    } else {
        Err(told(format!("the file {file:?} that it names is not there")))
    }
}

/// The original takes three in alias files; nobody has a good use for more than this.
const MAX_DEPTH: usize = 10;

/// A section of `dispatcher.cnf` or `job_controller.cnf`: `[SERVICE=name]` and what stands below it.
#[derive(Clone, Debug, Default)]
pub(super) struct CnfSection {
    /// `SERVICE`, `POOL`, `CHANNEL`, in upper case; empty for what stands above the first.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) head: Line,
    pub(super) options: Vec<CnfOption>,
}

/// `NAME=value`.
#[derive(Clone, Debug)]
pub(super) struct CnfOption {
    /// In upper case.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: Line,
}

impl CnfOption {
    /// `NAME=value`; `None`: the line has no such form.
    pub(super) fn parse(line: &Line) -> Option<Self> {
        let (name, value) = line.text.split_once('=')?;
        let (name, value) = (name.trim().to_ascii_uppercase(), value.trim().to_owned());
        (!name.is_empty()).then(|| Self { name, value, line: line.clone() })
    }

    /// The option without what is secret.
    pub(super) fn shown(&self) -> String {
        let is_secret = ["PASSWORD", "SECRET"].iter().any(|word| self.name.contains(word));
        format!("{}={}", self.name, if is_secret { "..." } else { &self.value })
    }

    /// A number: `12`, or `16%1f` in another base.
    pub(super) fn number(&self) -> Option<u64> {
        match self.value.split_once('%') {
            Some((base, digits)) => {
                let base = base.parse().ok().filter(|base| (2..=36).contains(base))?;
                u64::from_str_radix(digits, base).ok()
            }
            None => self.value.parse().ok(),
        }
    }
}

/// The sections of a file, and lines that are neither a head nor an option.
pub(super) fn sections(lines: &[Line]) -> (Vec<CnfSection>, Vec<Line>) {
    let (mut sections, mut odd) = (vec![CnfSection::default()], Vec::new());
    for line in lines.iter().filter(|line| !line.text.trim().is_empty()) {
        let text = line.text.trim();
        let head = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some((kind, name)) = head.and_then(|head| head.split_once('=')) {
            let (kind, name) = (kind.trim().to_ascii_uppercase(), name.trim().to_owned());
            sections.push(CnfSection { kind, name, head: line.clone(), options: Vec::new() });
        } else if let (Some(option), Some(section)) = (CnfOption::parse(line), sections.last_mut())
        {
            section.options.push(option);
        } else {
            odd.push(line.clone());
        }
    }
    (sections, odd)
}
