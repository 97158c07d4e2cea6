//! One value of the configuration in force, found by whatever name an operator gives it.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{
    check::roles::{Roles, why_never},
    file::{document::Document, form::print_section, reader::suggest, source::shorten},
    sections::config::Config,
};

/// A value of the configuration in force, or all of it. As JSON sections and maps are objects, lists
/// and pairs are arrays, texts, times, sizes and names are strings.
#[derive(Clone, Debug)]
pub struct Shown {
    path: String,
    document: Document,
    idle: Option<String>,
}

impl Shown {
    /// Its full name, as `check` writes it, but for channels, which go by their names:
    /// `channels["tcp_local"].maxjobs`. Empty for all of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why nothing comes of it.
    pub fn idle(&self) -> Option<&str> {
        self.idle.as_deref()
    }

    /// As RON that loads again; in lines of this many characters where values allow it.
    pub fn ron(&self, width: usize) -> String {
        let flat = self.document.flat();
        let short = flat.chars().count() <= width && !self.path.is_empty();
        if short { flat } else { self.document.render(width).trim_end().to_owned() }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl Config {
    /// All that is in force, every default filled in.
    pub fn shown(&self) -> Shown {
        Shown { path: String::new(), document: self.document(false), idle: None }
    }

    /// Every setting, those that do nothing included.
    pub fn whole(&self) -> Shown {
        let document = print_section(&self.completed());
        Shown { path: String::new(), document, idle: None }
    }

    /// The settings that differ from the defaults.
    pub fn changes(&self) -> Shown {
        Shown { path: String::new(), document: self.document(true), idle: None }
    }

    /// One value of it: `spool.min_free`, `channels[2].maxjobs`, `channels["tcp_local"]`; and by the
    /// name of a channel, pool or service `tcp_local.maxjobs` or `tcp_local`; and by its own name
    /// where there is but one, `max_messages`. `Err`: what there is instead, in words.
    pub fn value(&self, key: &str) -> Result<Shown, String> {
        let shown = self.document(false);
        let ways = self.ways(&shown, key);
        // A setting that does nothing is left out, unless it is asked for.
        let whole = print_section(&self.completed());
        for document in [&shown, &whole] {
            if let Some((document, path)) = ways.iter().find_map(|way| find(document, way).ok()) {
                return Ok(Shown { document: document.clone(), idle: self.idle(&path), path });
            }
        }
        Err(self.unknown(&shown, &whole, key, &ways))
    }

    /// The paths that a key may stand for.
    fn ways(&self, shown: &Document, key: &str) -> Vec<String> {
        let mut ways = vec![key.to_owned()];
        let end = key.find(['.', '[']).unwrap_or(key.len());
        let (name, rest) = key.split_at(end);
        for (list, names) in self.named() {
            if names.contains(&name) {
                ways.push(format!("{list}[{name:?}]{rest}"));
            }
        }
        let mut alone = Vec::new();
        fields(shown, "", &mut alone);
        let mut alone = alone.into_iter().filter(|path| path.rsplit('.').next() == Some(name));
        if let (Some(path), None) = (alone.next(), alone.next()) {
            ways.push(path + rest);
        }
        ways
    }

    /// The lists whose members go by names, and the names.
    fn named(&self) -> [(&'static str, Vec<&str>); 3] {
        let pools = self.job_controller.iter().flat_map(|controller| &controller.pools);
        let services = self.dispatcher.services.iter();
        [
            ("channels", self.channels.iter().map(|channel| channel.name.as_str()).collect()),
            ("job_controller.pools", pools.map(|pool| pool.name.as_str()).collect()),
            ("dispatcher.services", services.map(|service| service.name.as_str()).collect()),
        ]
    }

    /// Why nothing comes of the field at this path, if nothing does.
    fn idle(&self, path: &str) -> Option<String> {
        let of_channel = path.strip_prefix("channels[\"").and_then(|rest| rest.split_once("\"]."));
        let why = if let Some((name, field)) = of_channel {
            let field = field.split(['.', '[']).next().unwrap_or_default();
            self.idle_channel_field(name, field)?
        } else {
            // As a service's fields are listed: without its name.
            let without = |part: &'_ str| part.find(']').map_or(0, |end| end + 1);
            let plain = path.split('[').map(|part| &part[without(part)..]);
            why_never(&plain.collect::<String>())?.to_owned()
        };
        Some(format!("nothing comes of it: {why}"))
    }

    /// Why this field of this channel does nothing, if it does nothing.
    pub fn idle_channel_field(&self, channel: &str, field: &str) -> Option<String> {
        let i = self.channels.iter().position(|its| its.name == channel)?;
        Roles::of(self).why_idle(i, field)
    }

    /// Why no job runs in this pool, if none does.
    pub fn idle_pool(&self, pool: &str) -> Option<String> {
        let roles = Roles::of(self);
        let mut channels = self.channels.iter().enumerate().filter(|(_, its)| its.pool == pool);
        let served = channels.any(|(i, _)| roles.why_idle(i, "pool").is_none());
        (!served)
            .then(|| "no channel that jobs serve is in this pool: no job runs in it".to_owned())
    }

    /// The answer for a key that leads nowhere.
    fn unknown(&self, shown: &Document, whole: &Document, key: &str, ways: &[String]) -> String {
        let lost = ways.iter().filter_map(|way| find(whole, way).err());
        // The one that came furthest is the one that was meant.
        let lost = lost.max_by_key(|lost| lost.at.len()).unwrap_or_default();
        let wrong = lost.wrong.trim_matches(['[', ']', '"', '.']);
        if !lost.at.is_empty() {
            let names: Vec<_> = lost.names.iter().map(String::as_str).collect();
            let there = suggest(wrong, &names, "there are:");
            let there = if names.is_empty() { "it has no parts".to_owned() } else { there };
            return format!("there is no {:?} in {}; {there}", shorten(wrong), lost.at);
        }
        let named = self.named();
        for (list, names) in &named {
            let has =
                |document, name: &str| find(document, &format!("{list}[{name:?}].{key}")).is_ok();
            let mut examples = [shown, whole].into_iter();
            let example =
                examples.find_map(|document| names.iter().find(|name| has(document, name)));
            if let Some(example) = example {
                let all = last(list);
                return format!("there is a {key} in each of the {all}: {example}.{key} is one");
            }
        }
        let mut deep = Vec::new();
        fields(whole, "", &mut deep);
        let near = deep.iter().filter(|path| path.contains('.'));
        let near = near.filter_map(|path| Some((distance(wrong, last(path))?, path)));
        if let Some((_, path)) = near.min() {
            return format!("there is no {:?}; did you mean {path}?", shorten(key));
        }
        let mut known = lost.names.iter().map(String::as_str).collect::<Vec<_>>();
        known.extend(named.iter().flat_map(|(_, names)| names));
        let known = suggest(wrong, &known, "there are:");
        format!("there is no {:?}; {known}", shorten(key))
    }
}

/// Where a path ended that leads nowhere.
#[derive(Default)]
struct Lost {
    /// As far as it led.
    at: String,
    /// The name that is not there.
    wrong: String,
    /// The names that are.
    names: Vec<String>,
}

/// Follows a path as `check` writes it, or with the names of lists and maps between dots. Gives the
/// full name of what it leads to, too.
fn find<'d>(document: &'d Document, path: &str) -> Result<(&'d Document, String), Lost> {
    let (mut here, mut rest, mut at) = (document, path, String::new());
    loop {
        if let Document::Variant(_, inner) = here {
            here = inner;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return Ok((here, at));
        }
        let parts = parts(here);
        // A key may hold dots and brackets: the longest that fits is meant.
        let fits = parts.iter().filter_map(|part| Some((part, part.end_in(rest)?)));
        let Some((part, end)) = fits.max_by_key(|(_, end)| *end) else {
            let end = rest[1..].find(['.', '[']).map_or(rest.len(), |end| end + 1);
            let names = parts.into_iter().map(|part| part.name).collect();
            return Err(Lost { at, wrong: rest[..end].to_owned(), names });
        };
        at = match here {
            Document::Section(_) if at.is_empty() => part.name.clone(),
            Document::Section(_) => format!("{at}.{}", part.name),
            _ if part.is_named => format!("{at}[{:?}]", part.name),
            _ => format!("{at}[{}]", part.name),
        };
        (here, rest) = (part.value, &rest[end..]);
    }
}

/// A part of a value, and what it is called.
struct NamedPart<'d> {
    name: String,
    /// By a text, and not by its place.
    is_named: bool,
    index: Option<usize>,
    value: &'d Document,
}

impl NamedPart<'_> {
    /// Where the name of this part ends, if the path begins with it.
    fn end_in(&self, path: &str) -> Option<usize> {
        let name = &self.name;
        let index = self.index.map(|index| format!("[{index}]"));
        let forms =
            [Some(format!("[{name:?}]")), Some(format!("[{name}]")), index, Some(name.clone())];
        let fits = |form: &String| {
            let rest = path.strip_prefix(form.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        forms.into_iter().flatten().find(fits).map(|form| form.len())
    }
}

fn parts<'d>(document: &'d Document) -> Vec<NamedPart<'d>> {
    match document {
        Document::Section(entries) | Document::Map(entries) => {
            let part = |(name, value): &'d (String, Document)| NamedPart {
                name: name.clone(),
                is_named: true,
                index: None,
                value,
            };
            entries.iter().map(part).collect()
        }
        Document::List(items) => {
            items.iter().enumerate().map(|(i, value)| item(i, value)).collect()
        }
        Document::Pair(pair) => pair.iter().enumerate().map(|(i, value)| item(i, value)).collect(),
        Document::Atom(_) | Document::Variant(..) => Vec::new(),
    }
}

/// Channels go by their names.
fn item(i: usize, value: &Document) -> NamedPart<'_> {
    let name = match value {
        Document::Section(fields) => fields.iter().find(|(field, _)| field == "name"),
        _ => None,
    };
    let name = name.and_then(|(_, name)| name.as_text());
    NamedPart {
        is_named: name.is_some(),
        name: name.unwrap_or_else(|| i.to_string()),
        index: Some(i),
        value,
    }
}

/// The paths of all fields of sections, but not of those that stand in lists and maps.
fn fields(document: &Document, at: &str, found: &mut Vec<String>) {
    let document = if let Document::Variant(_, inner) = document { inner } else { document };
    let Document::Section(entries) = document else { return };
    for (name, value) in entries {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        fields(value, &path, found);
        found.push(path);
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// How far a name is from one that was meant; none if it is too far.
fn distance(wrong: &str, name: &str) -> Option<usize> {
    if wrong.len() > LONGEST_NAME {
        return None;
    }
    let distance = strsim::damerau_levenshtein(&wrong.to_ascii_lowercase(), name);
    (distance <= name.len().min(6) / 2).then_some(distance)
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Atom(atom) => match (self.as_text(), atom.parse::<u64>(), atom.as_str()) {
                (Some(text), ..) => serializer.serialize_str(&text),
                (_, Ok(number), _) => serializer.serialize_u64(number),
                (.., "None") => serializer.serialize_none(),
                (.., "true") => serializer.serialize_bool(true),
                (.., "false") => serializer.serialize_bool(false),
                (.., name) => serializer.serialize_str(name),
            },
            Self::Section(entries) | Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            Self::Variant(name, inner) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(name, inner)?;
                map.end()
            }
            Self::Pair(pair) => sequence(serializer, &**pair),
            Self::List(items) => sequence(serializer, items),
        }
    }
}

fn sequence<S: Serializer>(serializer: S, items: &[Document]) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(items.len()))?;
    items.iter().try_for_each(|item| sequence.serialize_element(item))?;
    sequence.end()
}

/// Longer ones are compared with nothing.
const LONGEST_NAME: usize = 64;
