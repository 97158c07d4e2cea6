//! From the text of the file to a [`Config`].
//!
//! Reads everything before it complains: a mistake costs its field, nothing else. What the fields
//! say about each other is checked afterwards, where both could be read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Admin, Config, DeliveryOption, Dispatcher, JobController, MappingTable, Native, Notary,
    RewriteRule, Spool, Store,
    channel_fields::{Channels, Defaults},
    consistency,
    directory::AnyDirectory,
    document::Document,
    in_force,
    kinds::{self, Count, List, Maybe, Pair, Table, Text, Time},
    mistake::{Mistake, Mistakes, Places, Report, Warning},
    names::{DOMAIN, TRANSPORT},
    pieces,
    reader::{Node, Reader},
    section::{Form, Kind, Nested, Section, read_into},
    source::Spot,
    tls::Tls,
};

/// A file that was read, whatever came of it.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What it says; as far as it goes when there are mistakes, and `None` when it is no RON.
    pub config: Option<Config>,
    /// What is to be said about it.
    pub report: Report,
    /// Where its fields stand.
    pub places: Places,
}

impl Reading {
    /// Reads the file at `path`; files above 16 MiB are refused. A relative `data` lies beside the
    /// file; `data` given here stands above it.
    pub fn of_file(path: &Path, data: Option<&Path>) -> Self {
        let file = path.display().to_string();
        match read_file(path) {
            Ok(text) => read(&file, &text, path.parent(), data),
            Err(reason) => {
                let message = format!("the file cannot be used: {reason}");
                let mistake = Mistake::new(&file, Spot::default(), "", "", &message, "");
                let report = Report { mistakes: vec![mistake], warnings: Vec::new() };
                Self { report, ..Self::default() }
            }
        }
    }

    /// Reads `text`, which is no file: a relative `data` lies in the working folder. `file` only
    /// serves to say where something stands.
    pub fn of_text(file: &str, text: &str, data: Option<&Path>) -> Self {
        read(file, text, None, data)
    }

    /// The configuration if there is no mistake, with what it asks for and will not get.
    pub fn into_config(self) -> Result<(Config, Vec<Warning>), Mistakes> {
        match self.config {
            Some(config) if self.report.mistakes.is_empty() => Ok((config, self.report.warnings)),
            _ => Err(Mistakes(self.report.mistakes)),
        }
    }
}

impl Config {
    /// Reads the file at `path`, as [`Reading::of_file`] does.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Mistakes> {
        Reading::of_file(path, None).into_config()
    }

    /// Reads `text`; `file` only serves to say where something stands.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Vec<Warning>), Mistakes> {
        Reading::of_text(file, text, None).into_config()
    }

    /// Where a path of the file leads: relative ones lie below [`Config::data`].
    pub fn path(&self, path: &Path) -> PathBuf {
        self.data.join(path)
    }

    /// Says where the data directory lies: beside the file, unless it is given otherwise.
    fn place_data(&mut self, folder: Option<&Path>, data: Option<&Path>) {
        if let Some(data) = data {
            data.clone_into(&mut self.data);
        } else if let Some(folder) = folder
            && self.data.is_relative()
            && !self.data.as_os_str().is_empty()
        {
            let beside = folder.join(&self.data);
            self.data = std::path::absolute(&beside).unwrap_or(beside);
        }
    }

    /// Nothing but defaults.
    pub(crate) fn blank() -> Self {
        Self {
            host: String::new(),
            data: PathBuf::new(),
            default_domain: String::new(),
            dispatcher: Dispatcher::default(),
            tls: None,
            mappings: BTreeMap::new(),
            general: BTreeMap::new(),
            rewrite_rules: Vec::new(),
            channels: Vec::new(),
            job_controller: None,
            directory: None,
            delivery_options: Vec::new(),
            transport: BTreeMap::new(),
            virtual_alias: BTreeMap::new(),
            aliases: BTreeMap::new(),
            store: None,
            native: None,
            notary: Notary::default(),
            max_received_lines: 50,
            max_local_received_lines: 10,
            max_shutdown: Duration::from_secs(8),
            spool: Spool::default(),
            admin: Admin::default(),
        }
    }
}

/// Everything that is to be said about `text`, in the order of the file.
pub fn check(file: &str, text: &str) -> Report {
    Reading::of_text(file, text, None).report
}

impl Section for Config {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("host", r#""mail.example.org""#, DOMAIN, &mut self.host);
        form.required("data", r#""/var/lib/relais""#, kinds::Path, &mut self.data);
        form.required("default_domain", r#""example.org""#, DOMAIN, &mut self.default_domain);
        form.required(
            "dispatcher",
            "(services: {...})",
            Nested(Dispatcher::default),
            &mut self.dispatcher,
        );
        form.field("tls", Maybe(Nested(Tls::blank)), &mut self.tls);
        form.field("mappings", Table(Mapping), &mut self.mappings);
        form.field("general", Table(Text), &mut self.general);
        form.field("rewrite_rules", List(Rule), &mut self.rewrite_rules);
        let mut defaults = Defaults::none();
        form.read_only(&mut defaults);
        form.required(
            "channels",
            r#"[(name: "l", tag: "mail.example.org", program: Local), ...]"#,
            List(Channels::new(defaults)),
            &mut self.channels,
        );
        let controller = Maybe(Nested(JobController::blank));
        form.field("job_controller", controller, &mut self.job_controller);
        form.field("directory", Maybe(AnyDirectory), &mut self.directory);
        form.field("delivery_options", List(Delivery), &mut self.delivery_options);
        form.field("transport", Table(TRANSPORT), &mut self.transport);
        form.field("virtual_alias", Table(List(Text)), &mut self.virtual_alias);
        form.field("aliases", Table(List(Text)), &mut self.aliases);
        form.field("store", Maybe(Nested(Store::blank)), &mut self.store);
        form.field("native", Maybe(Nested(Native::blank)), &mut self.native);
        form.field("notary", Nested(Notary::default), &mut self.notary);
        let lines = || Count(1..=1_000);
        form.field("max_received_lines", lines(), &mut self.max_received_lines);
        form.field("max_local_received_lines", lines(), &mut self.max_local_received_lines);
        let up_to = Duration::from_secs(600);
        form.field("max_shutdown", Time(Duration::ZERO..=up_to), &mut self.max_shutdown);
        form.field("spool", Nested(Spool::default), &mut self.spool);
        form.field("admin", Nested(Admin::default), &mut self.admin);
    }
}

/// A rewrite rule.
struct Rule;

impl Kind<RewriteRule> for Rule {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<RewriteRule> {
        let (pattern, template) = Pair.read(node, reader)?;
        let rule = RewriteRule::parse(&pattern, &template);
        let pattern_is_wrong = || RewriteRule::parse(&pattern, "$U%$H@tag").is_err();
        rule.map_err(|error| {
            reader.wrong_template(&half(node, pattern_is_wrong()), &error);
        })
        .ok()
    }

    fn print(&self, value: &RewriteRule) -> Document {
        Pair.print(&(value.pattern.clone(), value.template.clone()))
    }
}

/// A mapping table.
struct Mapping;

impl Kind<MappingTable> for Mapping {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<MappingTable> {
        let entries = List(Entry).read(node, reader)?;
        MappingTable::parse(entries).ok()
    }

    fn print(&self, value: &MappingTable) -> Document {
        let entries = value
            .entries
            .iter()
            .map(|(pattern, template)| Pair.print(&(pattern.clone(), template.clone())));
        Document::List(entries.collect())
    }
}

/// An entry of a mapping table, tried by itself so that each one that is wrong is named.
struct Entry;

impl Kind<(String, String)> for Entry {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<(String, String)> {
        let entry = Pair.read(node, reader)?;
        if let Err((_, error)) = MappingTable::parse(vec![entry.clone()]) {
            let pattern_alone = vec![(entry.0, "$Y".to_owned())];
            let pattern_is_wrong = MappingTable::parse(pattern_alone).is_err();
            reader.wrong_template(&half(node, pattern_is_wrong), &error);
            return None;
        }
        Some(entry)
    }

    fn print(&self, value: &(String, String)) -> Document {
        Pair.print(value)
    }
}

/// A delivery option.
struct Delivery;

impl Kind<DeliveryOption> for Delivery {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<DeliveryOption> {
        let text = Text.read(node, reader)?;
        let option = DeliveryOption::parse(&text);
        option.map_err(|error| reader.wrong_template(node, &error)).ok()
    }

    fn print(&self, value: &DeliveryOption) -> Document {
        Document::text(&value.text)
    }
}

/// The pattern or the template of a pair, wherever the error counts from.
fn half<'a>(node: &Node<'a>, pattern: bool) -> Node<'a> {
    let halves = pieces::pair(node.text);
    let text = halves.map_or(node.text, |(first, second)| if pattern { first } else { second });
    Node { text, path: node.path.clone() }
}

fn read(file: &str, text: &str, folder: Option<&Path>, data: Option<&Path>) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new(file, text);
    let config = read_text(text, folder, data, &mut reader);
    let (report, places) = reader.into_findings();
    Reading { config, report, places }
}

fn read_text<'a>(
    text: &'a str,
    folder: Option<&Path>,
    data: Option<&Path>,
    reader: &mut Reader<'a>,
) -> Option<Config> {
    if let Err(error) = pieces::fields(text) {
        reader.not_ron(&error);
        return None;
    }
    let whole = Node { text: pieces::whole(text), path: String::new() };
    reader.record(&whole);
    let mut config = Config::blank();
    read_into(&whole, reader, &mut config)?;
    config.place_data(folder, data);
    if let Some(controller) = &mut config.job_controller {
        controller.complete();
    }
    consistency::check(&config, reader);
    in_force::warn(&config, reader);
    Some(config)
}

/// The text of a file of bearable size.
fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16; it must be saved as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|c| *c == b'\n').count();
        format!("line {line} holds an octet that is not UTF-8; it must be saved as UTF-8")
    })
}

/// Octets of a file at most.
const MAX_FILE: u64 = 16 << 20;
