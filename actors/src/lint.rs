//! Mistakes in a directory or the aliases, found before a recipient meets them.
//!
//! Every address that they hold is routed as a recipient's would be, so that what is said is what
//! would happen.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    path::Path,
    time::{Duration, Instant},
};

use relais_channels::{
    mail::{Address, Enhanced, Reply},
    mime::parts::Charset,
};
use relais_config::{Config, channel::Program};
use relais_sieve::{Limits, Script};

use crate::{
    channel_table::NewCharset,
    directory::{
        ADDRESSES, Allowance, AutoreplyTexts, Entry, IgnoredValue, LdifDirectory, Lookup,
        PasswordError, PostingRules, ScriptFiles, SieveScripts, Source, StoredPassword, VALUES,
        ignored_dates, ignored_reply_values, ignored_scripts,
    },
    router::{Question, Resolver, Routes, Routing, Step},
    sieve::{ONLY_FLAGS, channel_mistake, files_below, script_text, sieve_limits},
};

/// Something that will not do what its writer may expect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Where in the configuration: `directory.file`, `aliases["name"]`, `aliases.file`.
    pub field: String,
    /// A whole sentence.
    pub message: String,
}

/// Looks through the directory, the aliases and the scripts: 200 findings and for each place how many more
/// there are, and no longer than about 10 s; the last finding says where it ended.
pub async fn lint(config: &Config, source: &Source) -> Vec<Finding> {
    // Where nothing is routed none of them is asked for.
    if !config.fills_queue() {
        return Vec::new();
    }
    let Ok(routes) = Routes::new(config) else { return Vec::new() };
    let ends = Instant::now() + LONGEST;
    let mut lint =
        Lint { routes: &routes, source, findings: LintReport::default(), ends, at_end: None };
    if let Source::Ldif(directory) = source {
        lint.directory(config, directory).await;
    }
    if !config.rewrite_rules.is_empty() {
        lint.postmaster(config).await;
    }
    for name in config.aliases.keys() {
        lint.alias(config, &format!("aliases[{name:?}]"), name).await;
    }
    for name in routes.alias_names_in_file() {
        if lint.is_over("aliases.file") {
            break;
        }
        lint.alias(config, "aliases.file", name).await;
    }
    lint.user_files(config);
    lint.findings.finish(lint.at_end)
}

/// Looks into what needs no directory: the scripts of the system and of channels, and the charsets that
/// texts are to get. 200 findings, and for each place how many more there are.
pub fn lint_files(config: &Config) -> Vec<Finding> {
    let mut findings = LintReport::default();
    if config.fills_queue() {
        script_files(config, &mut findings);
        charsets(config, &mut findings);
    }
    findings.finish(None)
}

struct Lint<'a> {
    routes: &'a Routes,
    source: &'a Source,
    findings: LintReport,
    ends: Instant,
    /// The place that was looked at when the time was over.
    at_end: Option<String>,
}

/// All that was found, each once.
#[derive(Default)]
struct LintReport {
    all: Vec<Finding>,
    said: HashSet<u64>,
    hasher: RandomState,
    /// Findings that are not told, by their places.
    untold: BTreeMap<String, usize>,
}

impl LintReport {
    fn note(&mut self, field: &str, message: String) {
        if !self.said.insert(self.hasher.hash_one((field, &message))) {
            return;
        }
        if self.all.len() < MOST {
            self.all.push(Finding { field: field.to_owned(), message });
        } else {
            let list = field.split('[').next().unwrap_or_default();
            *self.untold.entry(list.to_owned()).or_default() += 1;
        }
    }

    /// All of them, and how many there are beside; `at_end`: where the time was over.
    fn finish(mut self, at_end: Option<String>) -> Vec<Finding> {
        let more = self.untold.into_iter().map(|(field, count)| {
            let message = format!("{count} more findings like those above, which are not told");
            Finding { field, message }
        });
        self.all.extend(more);
        self.all.extend(at_end.map(|field| {
            let seconds = LONGEST.as_secs();
            let message = format!(
                "the look through this ended after {seconds} s: the rest of it has not been looked at"
            );
            Finding { field, message }
        }));
        self.all
    }
}

impl Lint<'_> {
    async fn directory(&mut self, config: &Config, directory: &LdifDirectory) {
        // In an order that does not change from run to run.
        let entries: BTreeMap<&str, &Entry> = directory.all().collect();
        if entries.is_empty() {
            let message = "the file has no entries: no domain, no user and no group is known";
            return self.note(FILE, message.to_owned());
        }
        self.scripts(entries.values().copied(), config);
        self.shared_files(entries.values().copied(), config);
        for entry in entries.values() {
            self.allowance(entry);
            self.stored_password(entry);
        }
        let options: HashSet<&str> =
            config.delivery_options.iter().map(|option| option.name.as_str()).collect();
        for entry in entries.values().filter(|entry| entry.is_mail()) {
            let dn = &entry.dn;
            for value in entry.all("maildeliveryoption") {
                if !options.contains(value.to_ascii_lowercase().as_str()) {
                    self.note(FILE, format!(
                        "{dn}: delivery_options have no option {value:?}: mailDeliveryOption says it \
                         in vain"
                    ));
                }
            }
            self.statuses(entry);
            self.password(config, entry);
            self.vacation(config, entry);
            let addresses: Vec<&String> =
                ADDRESSES.iter().flat_map(|name| entry.all(name)).collect();
            if addresses.is_empty() {
                self.note(FILE, format!("{dn}: the entry has no address: mail never finds it"));
            }
            for address in addresses {
                self.entry_address(entry, address).await;
            }
        }
    }

    /// An address of an entry: whether it is found by it, and where it leads.
    async fn entry_address(&mut self, entry: &Entry, address: &str) {
        let dn = &entry.dn;
        let lower = address.to_ascii_lowercase();
        let Some((local, domain)) = lower.rsplit_once('@') else {
            return self.note(FILE, format!("{dn}: {address:?} is no address: it has no domain"));
        };
        // An in-memory directory answers at once and never fails.
        let Ok(Some(domain_entry)) = self.source.domain(domain).await else {
            return self.note(FILE, format!(
                "{dn}: no sunManagedOrganization declares the domain {domain}: {address} is not found \
                 here"
            ));
        };
        let Ok(found) = self.source.entries(&domain_entry, &lower).await else { return };
        let found: Vec<_> = found.into_iter().filter(|entry| entry.is_mail()).collect();
        if !found.iter().any(|found| found.dn == entry.dn) {
            return self.note(FILE, format!(
                "{dn}: the entry does not lie below {}, the domain {domain}: {address} is not found",
                domain_entry.entry.dn
            ));
        }
        if found.len() > 1 {
            let mut names: Vec<_> = found.iter().map(|entry| entry.dn.as_str()).collect();
            names.sort_unstable();
            let names = names.join("; ");
            return self.note(
                FILE,
                format!("{} entries have the address {address}: {names}", found.len()),
            );
        }
        // `@domain` stands for everybody else, and `name+*` for any subaddress.
        let local = if local.is_empty() { "x" } else { local };
        self.address(FILE, dn, &format!("{local}@{domain}")).await;
    }

    /// Checks the postmaster, who gets what nobody else can be told.
    async fn postmaster(&mut self, config: &Config) {
        let default = || format!("postmaster@{}", config.default_domain);
        let address = config.notary.postmaster.clone().unwrap_or_else(default);
        let Ok(parsed) = Address::parse(&address) else { return };
        let routing = self.route(&parsed).await;
        let held = |channel: &str| {
            let channel = config.channels.iter().find(|its| its.name == channel);
            channel.is_some_and(|its| its.program == Program::Hold)
        };
        let (why, consequence) = match &routing.outcome {
            Err(reply) if reply.is_permanent() => (reply.to_string(), "are held"),
            Err(reply) => (reply.to_string(), "wait until that is mended"),
            Ok(routes) if routes.iter().all(|route| held(&route.channel)) => {
                ("nobody is postmaster".to_owned(), "are held")
            }
            Ok(_) => return self.stand_in(&address, &routing.steps),
        };
        self.note(
            "notary.postmaster",
            format!(
                "mail for the postmaster, {address}, leads nowhere: {why}; notices that only he \
                 could get {consequence}: notary.postmaster may name somebody else"
            ),
        );
    }

    /// Whether the postmaster is there and takes no mail, so that somebody else gets it.
    fn stand_in(&mut self, address: &str, steps: &[Step]) {
        let refused = steps.iter().position(|step| {
            matches!(step, Step::Refused { address: its, reply }
                if its.eq_ignore_ascii_case(address) && reply.enhanced != Some(Enhanced(5, 1, 1)))
        });
        let Some(Step::Refused { reply, .. }) = refused.map(|at| &steps[at]) else { return };
        let instead = steps.iter().rev().find_map(|step| match step {
            Step::Alias { source, .. } => Some(*source),
            _ => None,
        });
        let instead = instead.unwrap_or("the next who takes it");
        self.note(
            "notary.postmaster",
            format!(
                "the directory has the postmaster, {address}, and no mail is taken there ({reply}): it \
                 goes to {instead}"
            ),
        );
    }

    /// An alias: where it leads, and whether the directory has its name.
    async fn alias(&mut self, config: &Config, field: &str, name: &str) {
        // A name with a domain stands for itself; a bare one is one of this host.
        let address = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@{}", local_domain(config))
        };
        if let (Source::Ldif(_), Some((_, domain))) = (self.source, address.rsplit_once('@'))
            && let Ok(Some(domain)) = self.source.domain(&domain.to_ascii_lowercase()).await
            && let Ok(found) = self.source.entries(&domain, &address.to_ascii_lowercase()).await
            && let Some(entry) = found.iter().find(|entry| entry.is_mail())
        {
            let consequence = if config.aliases_first {
                "aliases_first has the alias used, and never that entry"
            } else {
                "that entry is used, and never the alias"
            };
            let dn = &entry.dn;
            self.note(
                field,
                format!(
                    "the alias {name}: the directory has {address}, too, in {dn}: {consequence}"
                ),
            );
        }
        self.address(field, &format!("the alias {name}"), &address).await;
    }

    /// Whether nothing more is looked for, here or anywhere.
    fn is_over(&mut self, field: &str) -> bool {
        if self.at_end.is_none() && Instant::now() > self.ends {
            self.at_end = Some(field.to_owned());
        }
        self.at_end.is_some()
    }

    /// Routes an address, and tells what of it leads nowhere.
    async fn address(&mut self, field: &str, whose: &str, address: &str) {
        if self.is_over(field) {
            return;
        }
        let Ok(parsed) = Address::parse(address) else {
            return self.note(field, format!("{whose}: {address:?} is no address"));
        };
        let routing = self.route(&parsed).await;
        let mut told = false;
        // The reply tells a client nothing of it.
        let mut reason = String::new();
        for step in &routing.steps {
            match step {
                Step::Unusable { reason: why, .. } | Step::Reason { reason: why } => {
                    reason = format!(": {why}");
                }
                Step::Refused { address: member, reply }
                    if !is_meant(reply) && !member.eq_ignore_ascii_case(address) =>
                {
                    told = true;
                    let why = std::mem::take(&mut reason);
                    self.note(
                        field,
                        format!("{whose}: {address} leads to {member}, and nowhere: {reply}{why}"),
                    );
                }
                _ => {}
            }
        }
        if let Err(reply) = routing.outcome
            && !told
            && !is_meant(&reply)
        {
            self.note(field, format!("{whose}: mail for {address} is refused: {reply}{reason}"));
        }
    }

    async fn route(&self, address: &Address) -> Routing {
        Resolver::new(self.routes, self.source, Question::of_nobody(address, ""))
            .traced()
            .route()
            .await
    }

    /// Scripts that do not work: mail passes them by.
    fn scripts<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>, config: &Config) {
        let limits = sieve_limits(config);
        for entry in entries {
            for IgnoredValue { attribute, wanted, .. } in ignored_scripts(entry) {
                let dn = &entry.dn;
                self.note(
                    FILE,
                    format!("{dn}: {attribute}: it says nothing: {wanted} is expected"),
                );
            }
            let Some(scripts) = SieveScripts::of(entry, None) else { continue };
            for text in &scripts.texts {
                if self.is_over(FILE) {
                    return;
                }
                if let Some(fault) = script_faults(text.as_bytes(), &limits).first() {
                    let dn = &entry.dn;
                    self.note(FILE, format!("{dn}: mailSieveRuleSource: {fault}"));
                }
            }
        }
    }

    /// Users who have one file of a script between them.
    fn shared_files<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>, config: &Config) {
        let Some(files) = ScriptFiles::of(config) else { return };
        let mut owners: HashMap<Box<Path>, &str> = HashMap::new();
        for entry in entries {
            let scripts = SieveScripts::of(entry, Some(&files));
            let Some(file) = scripts.and_then(|its| its.file) else { continue };
            let name = file.display().to_string();
            if let Some(other) = owners.insert(file, &entry.dn) {
                let dn = &entry.dn;
                self.note(
                    USER_FILES,
                    format!(
                        "{other} and {dn} have one file, {name}: $D tells users of several domains apart"
                    ),
                );
            }
        }
    }

    /// Files of users' scripts, as far as there are any.
    fn user_files(&mut self, config: &Config) {
        let Some(template) = config.sieve.files.as_ref().filter(|_| config.sieve.users) else {
            return;
        };
        let (folder, levels) = template.folder();
        let folder = config.data.join(folder);
        if let Err(error) = std::fs::read_dir(&folder) {
            let name = folder.display();
            return self.note(USER_FILES, format!("{name}: {error}: no user has a file there"));
        }
        let below = (&*folder, levels);
        let limits = sieve_limits(config);
        let files = files_below(below, template.ending(), &mut || !self.is_over(USER_FILES));
        for path in files {
            if self.is_over(USER_FILES) {
                return;
            }
            let name = path.display();
            match script_text(&path, config.sieve.max_script_size) {
                None => {}
                Some(Err(error)) => self.note(USER_FILES, format!("{name}: {error}")),
                Some(Ok(text)) => {
                    if let Some(fault) = script_faults(&text, &limits).first() {
                        self.note(USER_FILES, format!("{name}: {fault}"));
                    }
                }
            }
        }
    }

    /// A password that is stored in clear, of anybody, and one that nobody can log in with.
    fn stored_password(&mut self, entry: &Entry) {
        let dn = &entry.dn;
        for error in StoredPassword::of(entry).filter_map(Result::err) {
            self.note(FILE, match error {
                PasswordError::InClear => format!(
                    "{dn}: userPassword is in clear: whoever reads the file has it, and nobody can \
                     log in with it; a hash is expected, with a scheme such as {{SSHA512}} in front"
                ),
                error if entry.is_mail() => format!("{dn}: nobody can log in with it: {error}"),
                _ => continue,
            });
        }
    }

    /// A list that wants a password has one, and a channel that looks for it.
    fn password(&mut self, config: &Config, entry: &Entry) {
        let rules = PostingRules::of(entry).ok().flatten().filter(|_| entry.is_group());
        let Some(passwords) = rules.and_then(|rules| rules.passwords) else { return };
        let dn = &entry.dn;
        let reads = |program| matches!(program, Program::Reprocess | Program::Process);
        if passwords.is_empty() {
            self.note(FILE, format!(
                "{dn}: the list wants a password and has no mgrpAuthPassword: no password lets anybody post"
            ));
        } else if !config.channels.iter().any(|channel| reads(channel.program)) {
            self.note(FILE, format!(
                "{dn}: mgrpAuthPassword: no channel of program Reprocess looks at headers: mail for the \
                 list is refused (451)"
            ));
        }
    }

    /// A status that is not known counts as inactive.
    fn statuses(&mut self, entry: &Entry) {
        for (attribute, known) in VALUES {
            let Some(value) = entry.first(attribute) else { continue };
            if !known.iter().any(|known| known.eq_ignore_ascii_case(value)) {
                let known = known.join(", ");
                self.note(FILE, format!(
                    "{}: {attribute} {value:?} is not known and counts as inactive; known are {known}",
                    entry.dn
                ));
            }
        }
    }

    /// Values of quotas and limits that make no sense do not count.
    fn allowance(&mut self, entry: &Entry) {
        // As that of a user or group, and as that of the domain of some user.
        let mut somebody = Entry::default();
        somebody.add("objectClass", "inetMailUser");
        let own = Allowance::of(entry, &Entry::default());
        let of_domain = Allowance::of(&somebody, entry);
        for IgnoredValue { attribute, value, wanted } in
            own.ignored.into_iter().chain(of_domain.ignored)
        {
            let dn = &entry.dn;
            let message =
                format!("{dn}: {attribute} {value:?} does not count; {wanted} is expected");
            self.note(FILE, message);
        }
    }

    /// Dates that are none, replies without a text, and what says in vain how they are sent.
    fn vacation(&mut self, config: &Config, entry: &Entry) {
        let dn = &entry.dn;
        for IgnoredValue { attribute, value, wanted } in
            ignored_dates(entry).into_iter().chain(ignored_reply_values(entry))
        {
            self.note(
                FILE,
                format!("{dn}: {attribute} {value:?} does not count; {wanted} is expected"),
            );
        }
        let named = entry.all("maildeliveryoption");
        let has = |name: &str| named.iter().any(|value| value.eq_ignore_ascii_case(name));
        let mut options = config.delivery_options.iter();
        let answers = options.any(|option| option.flags.autoreply() && has(&option.name));
        if answers && !AutoreplyTexts::of(entry).has_any() {
            self.note(FILE, format!("{dn}: there is no mailAutoReplyText: nobody is answered"));
        }
    }

    fn note(&mut self, field: &str, message: String) {
        self.findings.note(field, message);
    }
}

/// Files of scripts of the system and of channels.
fn script_files(config: &Config, findings: &mut LintReport) {
    let limits = sieve_limits(config);
    let own = [("sieve.before", &config.sieve.before), ("sieve.after", &config.sieve.after)];
    let own = own.map(|(field, path)| (field.to_owned(), path.as_ref()));
    let theirs = config.channels.iter().enumerate().flat_map(|(n, channel)| {
        [
            (format!("channels[{n}].sourcefilter"), channel.sourcefilter.as_ref()),
            (format!("channels[{n}].destinationfilter"), channel.destinationfilter.as_ref()),
        ]
    });
    for (field, path) in own.into_iter().chain(theirs) {
        let Some(path) = path else { continue };
        match std::fs::read(config.data.join(path)) {
            Err(error) => findings.note(&field, format!("{}: {error}", path.display())),
            Ok(text) => {
                let is_of_channel = field.starts_with("channels");
                let unfit = |script: &Script| channel_mistake(script).filter(|_| is_of_channel);
                let unfit = Script::compile(&text, &limits).ok().as_ref().and_then(unfit);
                let faults = script_faults(&text, &limits).into_iter();
                for fault in faults.chain(unfit.map(str::to_owned)) {
                    findings.note(&field, format!("{}: {fault}", path.display()));
                }
            }
        }
    }
}

/// The mistakes of a script; or that it does nothing here.
fn script_faults(text: &[u8], limits: &Limits) -> Vec<String> {
    match Script::compile(text, limits) {
        Ok(script) if script.only_sets_flags() => vec![ONLY_FLAGS.to_owned()],
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

/// Names in the table of charsets that stand for none.
fn charsets(config: &Config, findings: &mut LintReport) {
    let tables = config.mappings.iter();
    for (name, table) in tables.filter(|its| its.0.eq_ignore_ascii_case("CHARSET-CONVERSION")) {
        for (i, (pattern, template)) in table.entries.iter().enumerate() {
            for why in charsets_of(pattern, template) {
                findings.note(&format!("mappings[{name:?}][{i}]"), format!("{pattern:?}: {why}"));
            }
        }
    }
}

/// Faults of the charsets of an entry, as far as they are written out.
fn charsets_of(pattern: &str, template: &str) -> Vec<String> {
    let third = pattern.rsplit(';').next().unwrap_or_default();
    let Some((key, old)) = third.split_once('=') else { return Vec::new() };
    if !key.eq_ignore_ascii_case("IN-CHARSET") {
        return Vec::new();
    }
    let mut told = Vec::new();
    if !old.contains(['*', '%', '$']) && Charset::of(old).is_none() {
        told.push(format!("{old:?} is no charset: a text that is called so stays as it is"));
    }
    let new = NewCharset::parse(template).name;
    let stays = "texts stay as they are";
    match Charset::of(&new) {
        _ if new.contains('$') => {}
        // A word such as "No" leaves texts alone.
        None if new.is_empty() && !template.contains('=') => {}
        None if new.is_empty() => told.push(format!("it names no OUT-CHARSET: {stays}")),
        None => told.push(format!("{new:?} is no charset: {stays}")),
        Some(charset) if !charset.is_written() => {
            told.push(format!("{new:?} is only read, and never written: {stays}"));
        }
        Some(_) => {}
    }
    told
}

/// A refusal that somebody set down in the directory: not now, no more, no room.
fn is_meant(reply: &Reply) -> bool {
    matches!(reply.enhanced, Some(Enhanced(4 | 5, 2, 1 | 2) | Enhanced(5, 1, 6)))
}

/// The domain of bare names.
fn local_domain(config: &Config) -> &str {
    let channel = config.channels.iter().find(|channel| channel.program == Program::Local);
    match (&config.directory, channel) {
        (None, Some(channel)) => &channel.tag,
        _ => &config.default_domain,
    }
}

const FILE: &str = "directory.file";
const USER_FILES: &str = "sieve.files";
/// Findings that are told.
const MOST: usize = 200;
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ServerMeters;

    #[test]
    fn charsets_that_are_none_are_told() {
        // the end of the pattern, the template, what is said
        let rows: [(&str, &str, &[&str]); 10] = [
            ("IN-CHARSET=iso-8859-1", "OUT-CHARSET=utf-8", &[]),
            ("in-charset=*", "OUT-CHARSET=koi8-r,RELABEL-ONLY=1", &[]),
            ("IN-CHARSET=*", "OUT-CHARSET=$0", &[]),
            ("IN-CHARSET=utf-8", "No", &[]),
            ("CONVERT", "Yes", &[]),
            ("IN-CHARSET=x-own", "OUT-CHARSET=utf-8", &["\"x-own\" is no charset"]),
            ("IN-CHARSET=*", "OUT-CHARSET=utf8mb4", &["\"utf8mb4\" is no charset"]),
            ("IN-CHARSET=*", "OUT-CHARSET=utf-16", &["\"utf-16\" is only read"]),
            ("IN-CHARSET=*", "OUTCHARSET=utf-8", &["names no OUT-CHARSET"]),
            ("IN-CHARSET=utf_8", "OUT-CHARSET=", &["\"utf_8\"", "names no OUT-CHARSET"]),
        ];
        for (end, template, want) in rows {
            let told = charsets_of(&format!("IN-CHAN=*;OUT-CHAN=*;{end}"), template);
            let pairs = told.iter().zip(want);
            let is_said = pairs.into_iter().all(|(told, want)| told.contains(want));
            assert!(is_said && told.len() == want.len(), "{end} {template}: {told:?}");
        }
    }

    #[test]
    fn beyond_the_bound_findings_are_counted_by_their_places() {
        let mut findings = LintReport::default();
        for n in 0..MOST + 50 {
            findings.note(FILE, format!("the entry {n}"));
        }
        findings.note(FILE, "the entry 1".to_owned());
        findings.note("sieve.before", "the entry 1".to_owned());
        findings.note("aliases[\"a\"]", "the alias a".to_owned());
        findings.note("aliases[\"b\"]", "the alias b".to_owned());
        let all = findings.finish(Some("aliases.file".to_owned()));
        let told: Vec<_> = all[MOST..].iter().map(|its| (&*its.field, &*its.message)).collect();
        assert_eq!(told[0], ("aliases", "2 more findings like those above, which are not told"));
        assert_eq!(told[1], (FILE, "50 more findings like those above, which are not told"));
        assert_eq!(told[2].0, "sieve.before", "of another place");
        assert!(told[3].0 == "aliases.file" && told[3].1.contains("after 10 s"), "{told:?}");
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn files_that_nobody_has_looked_at_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.sieve", "b.sieve"] {
            std::fs::write(folder.path().join(name), "if {").unwrap();
        }
        let sieve = format!("sieve: (files: \"{}/$U.sieve\"), admin: (", folder.path().display());
        let text = relais_config::STANDALONE.replacen("admin: (", &sieve, 1);
        let config = Config::parse("standalone", &text).unwrap().0;
        let (routes, source) =
            (Routes::new(&config).unwrap(), Source::open(&config, &ServerMeters::unregistered()));
        let told = |time: Duration| {
            let ends = Instant::now() + time;
            let (source, findings) = (source.as_ref().unwrap(), LintReport::default());
            let mut lint = Lint { routes: &routes, source, findings, ends, at_end: None };
            lint.user_files(&config);
            let findings = lint.findings.finish(lint.at_end).into_iter();
            findings.map(|finding| finding.message).collect::<Vec<_>>()
        };
        let all = told(LONGEST);
        assert!(all.len() == 2 && all[1].contains("b.sieve: line 1"), "{all:?}");
        let none = told(Duration::ZERO);
        assert!(none.len() == 1 && none[0].ends_with("has not been looked at"), "{none:?}");
    }
}
