//! Sun Java System Messaging Server and its heirs: `imta.cnf` and the files beside it.

mod aliases;
mod channels;
mod cnf;
mod flags;
mod imta;
mod keywords;
mod mappings;
mod options;
mod probe;
mod rules;
mod services;

use std::path::Path;

pub use self::probe::{SunRules, SunVerdict};
use self::{
    channels::{Fields, NewChannel},
    cnf::CnfOption,
    imta::Imta,
    mappings::SunTable,
    options::NewOptions,
    services::{JobSettings, NewController, NewDispatcher},
};
use crate::{
    mend,
    report::{Fate, Findings, Imported, Place},
    ron::{Entry, Value},
    source::{Folder, ImportError, Line},
};

/// The files of a folder, read.
struct SunFiles {
    imta: Imta,
    tables: Vec<SunTable>,
    dispatcher: NewDispatcher,
    controller: Option<NewController>,
    options: NewOptions,
}

/// Reads the files of a folder, `imta.cnf` or `dispatcher.cnf` among them, and writes one of relais.
/// Beside it stand the rules as they were read, for a second opinion.
pub fn import(root: &Path) -> Result<(Imported, SunRules), ImportError> {
    let folder = folder_of(root);
    let mut findings = Findings::default();
    let files = read(&folder, &mut findings)?;
    let text = write(&folder, &files, &mut findings);
    let has_general = files.options.text_databases & 1 != 0;
    let general = if has_general { folder.read("general.txt")? } else { None };
    let rules = SunRules::new(&files.imta, &general.unwrap_or_default());
    Ok((Imported { text, told: findings.told }, rules))
}

/// The folder itself, or `config` below it, as the original's lies below its root.
fn folder_of(root: &Path) -> Folder {
    let below = root.join("config");
    let is_there = |folder: &Path| MAIN.iter().any(|name| folder.join(name).is_file());
    Folder::new(if !is_there(root) && is_there(&below) { &below } else { root })
}

fn read(folder: &Folder, findings: &mut Findings) -> Result<SunFiles, ImportError> {
    let [imta, dispatcher] = MAIN.map(|name| cnf::lines(folder, name));
    let (imta, dispatcher) = (imta?, dispatcher?);
    if imta.is_none() && dispatcher.is_none() {
        let (folder, file) = (folder.root().display().to_string(), MAIN.join(" and no "));
        return Err(ImportError::Absent { folder, file });
    }
    let imta = Imta::parse(&imta.unwrap_or_default());
    let (sections, odd) = cnf::sections(&dispatcher.unwrap_or_default());
    tell_odd(&odd, findings);
    let dispatcher = services::dispatcher(&sections, findings);
    let controller = cnf::lines(folder, "job_controller.cnf")?.map(|lines| {
        let (sections, odd) = cnf::sections(&lines);
        tell_odd(&odd, findings);
        services::controller(&sections, findings)
    });
    let (tables, odd) = mappings::tables(&cnf::lines(folder, "mappings")?.unwrap_or_default());
    tell_odd(&odd, findings);
    let options = options(folder, findings)?;
    tell_files(folder, findings);
    Ok(SunFiles { imta, tables, dispatcher, controller, options })
}

/// Options of `option.dat`, which count before those of `msg.conf`.
fn options(folder: &Folder, findings: &mut Findings) -> Result<NewOptions, ImportError> {
    let mut given = Vec::new();
    for line in cnf::lines(folder, "msg.conf")?.unwrap_or_default() {
        given.extend(options::of_configutil(&line));
    }
    for line in cnf::lines(folder, "option.dat")?.unwrap_or_default() {
        match CnfOption::parse(&line) {
            Some(option) => given.push(option),
            None if line.text.trim().is_empty() => {}
            None => tell_odd(&[line], findings),
        }
    }
    let mut options = NewOptions::default();
    for (n, option) in given.iter().enumerate() {
        // Of an option that is given again the last counts.
        match given[n + 1..].iter().rfind(|later| later.name == option.name) {
            Some(later) => {
                let why = format!("{} says it, too, and counts", later.line.place);
                findings.tell(&option.line.place, &option.shown(), Fate::NotNeeded, &why);
            }
            None => options.take(option, findings),
        }
    }
    Ok(options)
}

fn tell_odd(lines: &[Line], findings: &mut Findings) {
    for line in lines {
        findings.missing(&line.place, &line.text, "the line has no form that is known here");
    }
}

/// Names files of the folder that are not read, each with what they are for.
fn tell_files(folder: &Folder, findings: &mut Findings) {
    let entries = std::fs::read_dir(folder.root()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.take(MAX_NAMES).collect();
    names.sort();
    for name in names {
        let why = match name.as_str() {
            "conversions" => "the section `conversions` has entries of the same names",
            "imta_tailor" => "paths of relais lie below `data`",
            "imta.filter" => "a Sieve script for all mail is sieve.before or sieve.after",
            name if name.ends_with("_option") => {
                "options of a channel's programs: its time-outs, limits and log are settings of the channel"
            }
            name if name.ends_with("_headers.opt") => "no header is trimmed by a file",
            "option.dat" => continue,
            name if ["db", "dat"].iter().any(|end| name.ends_with(&format!("db.{end}"))) => {
                "a database is not read: write it as text (imsimta dumpdb), a key and a value in each line"
            }
            _ => continue,
        };
        findings.missing(&Place::of_file(&name), "the file", why);
    }
}

/// The text of the new file.
fn write(folder: &Folder, files: &SunFiles, findings: &mut Findings) -> String {
    let options = &files.options;
    let local = files.imta.blocks.iter().find(|block| block.name == "l");
    let host = options.host.clone().or_else(|| local.and_then(|block| block.tag.clone()));
    let mut host_entry = Entry::text("host", host.as_deref().unwrap_or("localhost"));
    if let Some(line) =
        local.and_then(|block| block.more.first()).filter(|_| options.host.is_none())
    {
        host_entry = host_entry.said(line.comment());
    }
    if host.is_none() {
        let why =
            "host is a guess: it is the official host name of the channel l, or local.hostname";
        findings.missing(&Place::of_file("imta.cnf"), "the channel l", why);
        host_entry = host_entry.said(why);
    }
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let default_domain = options::default_domain(options, &host, findings);
    let domain = match &default_domain.value {
        Value::Word(word) => word.trim_matches('"').to_owned(),
        _ => host.clone(),
    };
    let channels = channels(files, findings);
    let tag =
        |name: &str| channels.all.iter().find(|its| its.name == name).map(|its| its.tag.clone());
    let rules = rules::rules(&files.imta, tag, findings);
    let mut top = vec![
        host_entry,
        Entry::text("data", "/var/lib/relais"),
        default_domain,
        dispatcher(files, &channels),
    ];
    top.extend(tls(files, &channels, findings));
    let tables = mappings::entries(&files.tables, findings);
    top.push(Entry::new("mappings", Value::Map(tables)));
    top.extend(databases(folder, options));
    top.push(Entry::new("rewrite_rules", Value::List(rules)));
    top.push(Entry::new("channel_defaults", Value::Section("", channels.defaults.clone())));
    let entries = channels.all.iter().map(NewChannel::entry).collect();
    top.push(Entry::new("channels", Value::List(entries)));
    let is_store_alone = files.imta.rules.is_empty() && local.is_none();
    if !is_store_alone {
        top.push(controller(files, &channels));
    }
    let asks = files
        .imta
        .rules
        .iter()
        .any(|rule| ["$V", "$Z"].iter().any(|its| rule.template.contains(its)));
    if asks || !options.delivery.is_empty() || !options.servers.is_empty() {
        top.push(options::directory(options, &domain, findings));
    }
    let delivery = options::tagged(&options.delivery, |name| channels.tag_of(name));
    let delivery = Entry::new("delivery_options", Value::List(delivery));
    top.push(delivery.said_all(options.delivery_comment.clone()));
    top.extend(options.top.iter().cloned());
    top.extend(aliases::entry(folder, findings));
    top.push(Entry::new("notary", Value::Section("", options.notary.clone())));
    top.extend(mailboxes(files, &channels));
    top.push(Entry::new(
        "admin",
        Value::Section("", vec![Entry::text("listen", "127.0.0.1:9225")]),
    ));
    let head = [format!("made by `relais import sun {}`", folder.root().display())];
    mend::file(&head, top, findings)
}

/// The channels of the new file, and what those take that do not say otherwise.
struct NewChannels {
    defaults: Vec<Entry>,
    all: Vec<NewChannel>,
    has_ims: bool,
}

impl NewChannels {
    /// The tag of a channel that is named in the place of one.
    fn tag_of(&self, name: &str) -> Option<String> {
        let has_tag = self.all.iter().any(|channel| channel.tag.eq_ignore_ascii_case(name));
        let named = self.all.iter().find(|channel| !has_tag && channel.name == name);
        named.map(|channel| channel.tag.clone())
    }
}

fn channels(files: &SunFiles, findings: &mut Findings) -> NewChannels {
    let mut new = NewChannels { defaults: Vec::new(), all: Vec::new(), has_ims: false };
    let mut defaults = Fields::default();
    for block in &files.imta.blocks {
        let place = &block.line.place;
        let mut own = channels::fields(block, files.options.block_size, findings);
        match block.name.as_str() {
            "defaults" => {
                findings.carried(place, &block.line.text);
                let comment = block.line.comment();
                own.take("program");
                for (n, entry) in own.entries().into_iter().enumerate() {
                    new.defaults.retain(|known| known.name != entry.name);
                    new.defaults.push(if n == 0 { entry.said(comment.clone()) } else { entry });
                }
                defaults = own;
                continue;
            }
            "nodefaults" => {
                let why = "channel_defaults hold for all channels";
                findings.missing(place, "nodefaults", why);
                continue;
            }
            _ => {}
        }
        channels::tell_more(block, findings);
        let said = own.take("program");
        let (program, meaning) = channels::program(&block.name, said.as_deref());
        let Some(program) = program else {
            findings.tell(place, &block.line.text, Fate::NotNeeded, meaning);
            continue;
        };
        if meaning.is_empty() {
            findings.carried(place, &block.line.text);
        } else {
            findings.missing(place, &block.name, meaning);
        }
        if program == "Lmtp" && block.name.starts_with("ims-ms") {
            new.has_ims = true;
            own.set("daemon", Value::text(IMS_SOCKET));
        }
        if own.text("daemon").as_deref() == Some("router") {
            own.take("daemon");
            own.set("daemon", Value::text(block.tag.as_deref().unwrap_or_default()));
        }
        life(files, &block.name, &mut own);
        let tag = block.tag.clone().unwrap_or_else(|| {
            let why = "it has no official host name, by which rules would lead to it";
            findings.missing(place, &block.name, why);
            format!("{}-daemon", block.name.replace('_', "-"))
        });
        let mut comments = vec![block.line.comment()];
        comments.extend(block.more.iter().map(Line::comment));
        let name = block.name.clone();
        new.all.push(NewChannel { name, tag, program, fields: own, comments });
    }
    if new.has_ims {
        new.all.push(NewChannel {
            name: "ims_server".to_owned(),
            tag: "ims-server-daemon".to_owned(),
            program: "Lmtp",
            fields: Fields::default(),
            comments: vec!["the side of the store of ims-ms".to_owned()],
        });
    }
    pool(files, &defaults, &mut new);
    new
}

/// The pool of channels that name none is the first of the original's file.
fn pool(files: &SunFiles, defaults: &Fields, new: &mut NewChannels) {
    let first = files.controller.iter().find_map(|its| its.pools.first());
    if let Some((name, entry)) = first.filter(|(name, _)| name != "DEFAULT")
        && !defaults.has("pool")
    {
        let pool = Entry::text("pool", name).said_all(entry.comments.first().cloned());
        new.defaults.push(pool.said("the first pool serves channels that name none"));
    }
}

/// How long jobs of a channel live, as `job_controller.cnf` says.
fn life(files: &SunFiles, name: &str, fields: &mut Fields) {
    for JobSettings { pattern, fields: settings } in
        files.controller.iter().flat_map(|its| &its.channels)
    {
        let fits =
            pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start));
        for (path, value) in settings.iter().filter(|_| fits) {
            fields.set(path, value.clone());
        }
    }
}

fn dispatcher(files: &SunFiles, channels: &NewChannels) -> Entry {
    let mut fields = files.dispatcher.defaults.clone();
    let mut services: Vec<_> =
        files.dispatcher.services.iter().map(|service| service.entry.clone()).collect();
    if channels.has_ims {
        let fields = vec![
            Entry::word("program", "Lmtp"),
            Entry::text("channel", "ims_server"),
            Entry::text("socket", IMS_SOCKET.trim_start_matches("unix:")),
        ];
        let service = Entry::new("IMS", Value::Section("", fields));
        services.push(service.said("the store, for the channel ims-ms"));
    }
    fields.push(Entry::new("services", Value::Map(services)));
    Entry::new("dispatcher", Value::Section("", fields))
}

/// Certificates: the original has them in a database of its own kind.
fn tls(files: &SunFiles, channels: &NewChannels, findings: &mut Findings) -> Option<Entry> {
    let offers = |its: &NewChannel| its.fields.text("tls.server").is_some_and(|word| word != "No");
    let wants = channels.all.iter().any(offers)
        || files.dispatcher.services.iter().any(|service| service.has_tls_ports);
    if !wants {
        return None;
    }
    let why = "export certificate and key from the NSS database (pk12util, openssl pkcs12) to these files";
    findings.missing(&Place::of_file("cert8.db"), "the certificate", why);
    let fields = vec![
        Entry::text("certificate", "/etc/relais/host.crt"),
        Entry::text("key", "/etc/relais/host.key"),
    ];
    Some(Entry::new("tls", Value::Section("", fields)).said(why))
}

/// Databases that are texts.
fn databases(folder: &Folder, options: &NewOptions) -> Vec<Entry> {
    let has = |bit: u64, name: &str| options.text_databases & bit != 0 && folder.has(name);
    let file = |name: &str| {
        let path = std::path::absolute(folder.path(name)).unwrap_or_else(|_| folder.path(name));
        Value::Section("", vec![Entry::text("file", &path.display().to_string())])
    };
    let mut entries = Vec::new();
    if has(1, "general.txt") {
        entries.push(Entry::new("general", file("general.txt")).said("general.txt, as it stands"));
    }
    for (bit, name, section, fields) in [
        (2, "reverse.txt", "reverse", &options.reverse),
        (4, "forward.txt", "forward", &options.forward),
    ] {
        let mut fields = fields.clone();
        if has(bit, name) {
            fields.push(Entry::new("database", file(name)).said(format!("{name}, as it stands")));
        }
        entries.push(Entry::new(section, Value::Section("", fields)));
    }
    entries
}

fn controller(files: &SunFiles, channels: &NewChannels) -> Entry {
    let (mut fields, mut pools) = (Vec::new(), Vec::new());
    if let Some(controller) = &files.controller {
        fields.clone_from(&controller.entries);
        pools = controller.pools.iter().map(|(_, entry)| entry.clone()).collect();
    }
    for name in channels.all.iter().filter_map(|channel| channel.fields.text("pool")) {
        if !pools.iter().any(|pool: &Entry| pool.name == name) {
            let limit = vec![Entry::word("job_limit", "10")];
            pools.push(Entry::new(&name, Value::Section("", limit)).said("the original's default"));
        }
    }
    if pools.is_empty() {
        let limit = vec![Entry::word("job_limit", "10")];
        pools.push(Entry::new("DEFAULT", Value::Section("", limit)).said("the original's default"));
    }
    fields.push(Entry::new("pools", Value::Map(pools)));
    Entry::new("job_controller", Value::Section("", fields))
}

/// Where services and channels of this machine deliver.
fn mailboxes(files: &SunFiles, channels: &NewChannels) -> Vec<Entry> {
    let serves = |program: &str| files.dispatcher.services.iter().any(|its| its.program == program);
    let mut entries = Vec::new();
    if serves("Lmtp") || channels.has_ims {
        let fields = vec![Entry::text("path", "store"), Entry::word("autocreate", "Inbox")];
        let store = Entry::new("store", Value::Section("", fields));
        entries.push(store.said("mailboxes lie in Maildir++ at DATA/store/<domain>/<uid>/Maildir"));
    }
    if serves("LmtpNative") {
        let fields = vec![Entry::text("path", "/var/mail")];
        entries.push(Entry::new("native", Value::Section("", fields)));
    }
    entries
}

const MAIN: [&str; 2] = ["imta.cnf", "dispatcher.cnf"];
const IMS_SOCKET: &str = "unix:/var/lib/relais/ims.sock";
const MAX_NAMES: usize = 10_000;
