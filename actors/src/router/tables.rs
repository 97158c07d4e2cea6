//! Tables that routing looks into: from the configuration, and from the files that it names. All of
//! them are read when routes are made, so that nobody waits for a disk later.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use relais_channels::{mail::Address, mbox};
use relais_config::{
    Channel, Config, TableOrFile,
    alias_list::{AliasList, without_colon},
    channel,
    grammar::{Transport, table_key},
    rewrite::domain_entry,
    text_table::{TextForm, TextTable, TextTableError, TextTableReader, addresses},
};
use tracing::warn;

pub(super) use super::list_files::{INCLUDE, members_in};
use super::{
    accounts::Accounts,
    list_alias::{ListAlias, ListMaker, ListOwner},
    list_files::{members_of, open_file, read_text},
    list_sender::of_nobody,
};

/// All tables.
#[derive(Debug, Default)]
pub(super) struct MailTables {
    pub(super) aliases: AddressTable,
    pub(super) virtual_alias: AddressTable,
    pub(super) transport: TransportTable,
    /// More rewrite rules, by pattern.
    pub(super) domains: DatabaseTable,
    /// Addresses that mail is from, as others are to see them.
    pub(super) reverse: DatabaseTable,
    /// Addresses that mail is for, as they are to be instead.
    pub(super) forward: DatabaseTable,
    /// The general database, as far as it stands in a file.
    pub(super) general: Option<TextTable>,
    /// UNIX accounts, where a local channel asks for them.
    pub(super) accounts: Accounts,
    /// Members of lists in files, by path; or why there are none.
    lists: HashMap<String, Result<Vec<String>, String>>,
    /// Every file that was read, or should have been.
    pub(super) files: Vec<PathBuf>,
    pub(super) remarks: Vec<TableRemark>,
}

/// Addresses by name, in lower case.
#[derive(Debug, Default)]
pub(super) struct AddressTable {
    own: HashMap<String, Vec<String>>,
    file: Option<TextTable>,
    /// Lists with parameters among them.
    lists: HashMap<String, ListAlias>,
}

/// Lists with parameters, as they are read.
struct ListReader<'a> {
    config: &'a Config,
    /// With the text that each was made of: of two with one name the first counts.
    lists: HashMap<String, (String, ListAlias)>,
    files: Vec<PathBuf>,
    remarks: Vec<TableRemark>,
}

/// Addresses by address, in lower case.
#[derive(Debug, Default)]
pub(super) struct DatabaseTable {
    own: HashMap<String, String>,
    file: Option<TextTable>,
}

/// Transports by pattern, in lower case.
#[derive(Debug, Default)]
pub(super) struct TransportTable {
    own: HashMap<String, Transport>,
    file: Option<TextTable>,
}

/// Something in a table that may not be what its writer means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableRemark {
    /// The setting that it stands in, or that names the file.
    pub field: String,
    /// A whole sentence.
    pub message: String,
}

/// Why a file is not the table that a setting wants.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {}: {error}", file.display())]
pub struct TableError {
    /// The setting that names it.
    pub field: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Its mistake.
    pub error: TableProblem,
}

/// The mistake of a file.
#[derive(Debug, thiserror::Error)]
pub enum TableProblem {
    /// A line, or the file as a whole.
    #[error(transparent)]
    Text(#[from] TextTableError),
    /// Files that name files that name files.
    #[error("files are nested more than {MAX_NESTED} deep")]
    Nested,
    /// An alias that stands in the configuration itself.
    #[error("{problem}")]
    Alias {
        /// Its name.
        name: String,
        /// Its mistake.
        problem: String,
    },
}

/// The findings in the files of tables.
#[derive(Debug)]
pub struct TableFindings {
    /// Oddities.
    pub remarks: Vec<TableRemark>,
    /// Names of mapping tables that lists among the aliases ask.
    pub asked: BTreeSet<String>,
}

/// Reads the files of tables, and says what is odd about them.
pub fn look_into_tables(config: &Config) -> Result<TableFindings, TableError> {
    let tables = MailTables::open(config)?;
    let rules = tables.aliases.lists.values().filter_map(|list| list.rules.as_ref());
    let asked = rules.flat_map(|rules| rules.conditions.tables()).map(str::to_owned).collect();
    Ok(TableFindings { remarks: tables.remarks, asked })
}

impl MailTables {
    /// Reads them.
    pub(super) fn open(config: &Config) -> Result<Self, TableError> {
        let mut tables = Self::default();
        let plain = &mut |_: &str, _: &str| Ok(());
        let files = [
            ("general", &config.general.file, TextForm::Values),
            ("transport", &config.transport.file, TextForm::Values),
            ("virtual_alias", &config.virtual_alias.file, TextForm::Values),
            ("aliases", &config.aliases.file, TextForm::Aliases),
            ("domain_database", &config.domain_database.file, TextForm::Values),
            ("reverse.database", &config.reverse.database.file, TextForm::Values),
            ("forward.database", &config.forward.database.file, TextForm::Values),
        ];
        let channels: HashSet<&str> = config.channels.iter().map(|its| its.name.as_str()).collect();
        let mut lists = ListReader::new(config);
        for (field, file, form) in files {
            let Some(file) = file else { continue };
            let mut transport = |_: &str, value: &str| check_transport(value, &channels);
            let mut alias = |name: &str, value: &str| lists.read(name, value);
            let check: Check<'_> = match field {
                "transport" => &mut transport,
                "aliases" => &mut alias,
                "reverse.database" | "forward.database" => &mut check_address,
                "domain_database" => &mut check_rule,
                _ => plain,
            };
            let table = tables.read(&config.path(file), (field, form), check)?;
            match field {
                "general" => tables.general = Some(table),
                "transport" => tables.transport.file = Some(table),
                "virtual_alias" => tables.virtual_alias.file = Some(table),
                "domain_database" => tables.domains.file = Some(table),
                "reverse.database" => tables.reverse.file = Some(table),
                "forward.database" => tables.forward.file = Some(table),
                _ => tables.aliases.file = Some(table),
            }
        }
        tables.domains.own = keys_in_lower_case(&config.domain_database);
        tables.reverse.own = keys_in_lower_case(&config.reverse.database);
        tables.forward.own = keys_in_lower_case(&config.forward.database);
        tables.aliases.own = in_lower_case(&config.aliases);
        lists.read_own(&mut tables.aliases.own)?;
        tables.take(lists);
        tables.virtual_alias.own = in_lower_case(&config.virtual_alias);
        let transports = config
            .transport
            .iter()
            .filter_map(|(pattern, transport)| Some((table_key(pattern), transport.parse().ok()?)));
        tables.transport.own = transports.collect();
        tables.read_lists(config);
        tables.read_accounts(config)?;
        for remark in &tables.remarks {
            warn!(field = remark.field, "{}", remark.message);
        }
        Ok(tables)
    }

    /// The members of a list in a file.
    pub(super) fn list(&self, path: &str) -> Result<&[String], String> {
        match self.lists.get(path) {
            Some(Ok(members)) => Ok(members),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{path} was not read")),
        }
    }

    /// Keys of the general database's file that are marked as mail hosts that take LMTP; `None` when
    /// there is none.
    pub(super) fn lmtp_stores(&self) -> Option<HashSet<String>> {
        let marked = |(_, value): &(&str, &str)| value.eq_ignore_ascii_case("lmtp");
        let found = self.general.iter().flat_map(TextTable::iter).filter(marked);
        let stores: HashSet<_> = found.map(|(host, _)| host.to_owned()).collect();
        (!stores.is_empty()).then_some(stores)
    }

    /// The file, and those that it names by lines of `<file`.
    fn read(
        &mut self,
        file: &Path,
        (field, form): (&'static str, TextForm),
        check: Check<'_>,
    ) -> Result<TextTable, TableError> {
        let octets = fs::metadata(file).map_or(0, |meta| meta.len());
        let mut reader = TextTableReader::new(form, usize::try_from(octets).unwrap_or(0));
        let (mut known, mut included) = (HashSet::new(), Vec::new());
        let mut pending = vec![(file.to_owned(), 0)];
        while let Some((path, depth)) = pending.pop() {
            if !known.insert(path.clone()) {
                continue;
            }
            let wrong = |error| TableError { field, file: path.clone(), error };
            if depth > MAX_NESTED {
                return Err(wrong(TableProblem::Nested));
            }
            let input =
                open_file(&path).map_err(|error| wrong(TextTableError::from(error).into()))?;
            reader
                .read(BufReader::new(input), check, &mut included)
                .map_err(|error| wrong(error.into()))?;
            let folder = path.parent().unwrap_or(Path::new(""));
            pending.extend(included.drain(..).rev().map(|name| (folder.join(name), depth + 1)));
            self.files.push(path);
        }
        let (table, twice) = reader.finish();
        if let Some(key) = twice {
            let message = format!("{key:?} is there twice: the first is used");
            self.remarks.push(TableRemark { field: format!("{field}.file"), message });
        }
        Ok(table)
    }

    /// Keeps the lists that were read.
    fn take(&mut self, lists: ListReader<'_>) {
        let ListReader { lists, files, remarks, .. } = lists;
        let file = self.aliases.file.as_ref();
        let counts = |name: &str, text: &str| {
            file.is_none_or(|file| file.get(name).is_none_or(|first| first == text))
        };
        let lists = lists.into_iter().filter(|(name, (text, _))| counts(name, text));
        self.aliases.lists = lists.map(|(name, (_, list))| (name, list)).collect();
        self.files.extend(files);
        self.remarks.extend(remarks);
    }

    /// Reads the accounts that local channels with a transport, or with mailboxes, ask for.
    fn read_accounts(&mut self, config: &Config) -> Result<(), TableError> {
        let hands_on = |channel: &Channel| {
            channel.mailbox_transport.is_some() || channel.fallback_transport.is_some()
        };
        let has_mailboxes = || {
            let local = |channel: &Channel| channel.program == channel::Program::Local;
            config.native.is_some() && config.channels.iter().any(local)
        };
        if !config.channels.iter().any(hands_on) && !has_mailboxes() {
            return Ok(());
        }
        let file = config.path(&config.accounts);
        let text = match read_text(&file, MAX_ACCOUNTS) {
            // A machine without the system's own file has no accounts; one that is named is there.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && file == Path::new("/etc/passwd") =>
            {
                String::new()
            }
            Err(error) => {
                let error = TextTableError::from(error).into();
                return Err(TableError { field: "accounts", file, error });
            }
            Ok(text) => text,
        };
        let source = mbox::Accounts::of(&file);
        if !source.are_of_the_system()
            && let Some((line, name)) = mbox::unfound_account_in(&text)
        {
            let problem = format!(
                "no mailbox has the name {name:?}: at most 64 of a-z, 0-9 and _ - . + @ are expected, a \
                 letter, a figure or _ first, and no .lock at the end"
            );
            let error = TextTableError::Line { line, problem }.into();
            return Err(TableError { field: "accounts", file, error });
        }
        self.accounts = Accounts::parse(&text);
        if source.are_of_the_system() {
            self.accounts = std::mem::take(&mut self.accounts).and(source);
        }
        self.files.push(file);
        Ok(())
    }

    /// Reads the lists that aliases name by `:include:`, and those that such lists name.
    fn read_lists(&mut self, config: &Config) {
        // Each with the setting that names it.
        let mut pending: Vec<(String, String)> = Vec::new();
        let of_lists = self.aliases.lists.iter().flat_map(|(name, list)| {
            list.members.iter().map(move |member| (name.as_str(), member))
        });
        let own = self.aliases.own.iter();
        let own = own.flat_map(|(name, all)| all.iter().map(move |its| (name.as_str(), its)));
        pending.extend(own.chain(of_lists).filter_map(|(name, target)| {
            Some((target.strip_prefix(INCLUDE)?.to_owned(), self.aliases.setting_of(name)))
        }));
        for (name, value) in self.aliases.file.iter().flat_map(TextTable::iter) {
            if value.contains([':', '<']) && self.aliases.list(name).is_none() {
                let targets = targets(value).into_iter();
                pending.extend(targets.filter_map(|its| {
                    Some((its.strip_prefix(INCLUDE)?.to_owned(), ALIASES_FILE.to_owned()))
                }));
            }
        }
        while let Some((path, field)) = pending.pop() {
            if self.lists.contains_key(&path) {
                continue;
            }
            let members = if self.lists.len() < MAX_LISTS {
                let file = config.path(Path::new(&path));
                let members = members_of(&file).map_err(|error| format!("{path}: {error}"));
                self.files.push(file);
                members
            } else {
                Err(format!("{path}: there are more than {MAX_LISTS} lists in files"))
            };
            match &members {
                Ok(members) => {
                    let more = members.iter().filter_map(|member| member.strip_prefix(INCLUDE));
                    pending.extend(more.map(|its| (its.to_owned(), field.clone())));
                }
                Err(why) => {
                    let message = format!("a list cannot be read, its mail waits: {why}");
                    self.remarks.push(TableRemark { field, message });
                }
            }
            self.lists.insert(path, members);
        }
    }
}

impl<'a> ListReader<'a> {
    fn new(config: &'a Config) -> Self {
        Self { config, lists: HashMap::new(), files: Vec::new(), remarks: Vec::new() }
    }

    /// Has a look at an alias of a file.
    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match AliasList::parse(value) {
            Ok(None) => Ok(()),
            Ok(Some(list)) => self.make(name, value, &list),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The same of those of the configuration itself, in which each part stands by itself.
    fn read_own(&mut self, own: &mut HashMap<String, Vec<String>>) -> Result<(), TableError> {
        for (name, parts) in own {
            let text: Vec<&str> = parts.iter().map(String::as_str).collect();
            let read = match AliasList::of(&text) {
                Ok(None) => Ok(()),
                Ok(Some(list)) => self.make(name, "", &list),
                Err(error) => Err(error.to_string()),
            };
            if let Err(problem) = read {
                let error = TableProblem::Alias { name: name.clone(), problem };
                return Err(TableError { field: "aliases", file: name.into(), error });
            }
            for part in parts {
                if let Some(file) = part.strip_prefix('<').filter(|its| !its.contains('>')) {
                    *part = format!("{INCLUDE}{}", file.trim());
                } else if part.starts_with(':') {
                    *part = without_colon(std::mem::take(part));
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, name: &str, text: &str, list: &AliasList) -> Result<(), String> {
        if self.lists.contains_key(name) {
            return Ok(());
        }
        let mut maker = ListMaker::new(self.config);
        let made = maker.make(list).map_err(|error| error.to_string())?;
        self.files.append(&mut maker.files);
        // An alias of the configuration has no text.
        let field =
            if text.is_empty() { format!("aliases[{name:?}]") } else { ALIASES_FILE.to_owned() };
        self.remarks.extend(maker.remarks.into_iter().map(|what| {
            let message = format!("the alias {name}: {what}");
            TableRemark { field: field.clone(), message }
        }));
        if let ListOwner::Other(owner) = &made.owner {
            let owner = of_nobody(owner).address.to_ascii_lowercase();
            if owner == name || owner.split('@').next() == Some(name) {
                let what = "failures are told to the list itself, and so to its members";
                let message = format!("the alias {name}: {what}");
                self.remarks.push(TableRemark { field, message });
            }
        }
        self.lists.insert(name.to_owned(), (text.to_owned(), made));
        Ok(())
    }
}

impl AddressTable {
    /// The addresses that a name stands for; the name in lower case.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, [String]>> {
        let own = self.own.get(&*key_of(name)).map(|targets| targets.as_slice().into());
        own.or_else(|| Some(targets(self.file.as_ref()?.get(name)?).into()))
    }

    /// The list with parameters that a name stands for, in lower case.
    pub(super) fn list(&self, name: &str) -> Option<&ListAlias> {
        if self.lists.is_empty() { None } else { self.lists.get(&*key_of(name)) }
    }

    /// The setting that a name of aliases stands in, or that names its file; the name in lower case.
    fn setting_of(&self, name: &str) -> String {
        if self.own.contains_key(name) {
            format!("aliases[{name:?}]")
        } else {
            ALIASES_FILE.to_owned()
        }
    }

    /// Whether a name is there, in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.own.contains_key(&*key_of(name))
            || self.file.as_ref().is_some_and(|file| file.get(name).is_some())
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.file.as_ref().is_none_or(TextTable::is_empty)
    }

    /// The names of a file.
    pub(super) fn names_in_file(&self) -> impl Iterator<Item = &str> {
        self.file.iter().flat_map(TextTable::iter).map(|(name, _)| name)
    }
}

impl DatabaseTable {
    /// The address for a key, in any case.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        if self.is_empty() {
            return None;
        }
        let own = self.own.get(key).or_else(|| self.own.get(&table_key(key)));
        own.map(String::as_str).or_else(|| self.file.as_ref()?.get(key))
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.file.as_ref().is_none_or(TextTable::is_empty)
    }
}

impl TransportTable {
    /// The transport for a pattern, in lower case.
    pub(super) fn get(&self, pattern: &str) -> Option<Transport> {
        let in_file = || self.file.as_ref()?.get(pattern)?.parse().ok();
        self.own.get(pattern).cloned().or_else(in_file)
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.file.as_ref().is_none_or(TextTable::is_empty)
    }
}

/// The key of a name in lower case.
fn key_of(name: &str) -> Cow<'_, str> {
    if name.is_ascii() { name.into() } else { table_key(name).into() }
}

/// A word about an entry.
type Check<'a> = &'a mut dyn FnMut(&str, &str) -> Result<(), String>;

fn check_transport(value: &str, channels: &HashSet<&str>) -> Result<(), String> {
    let transport: Transport = value.parse().map_err(|error| format!("{error}"))?;
    match transport.channel() {
        Some(name) if !channels.contains(name) => {
            let mut names: Vec<_> = channels.iter().copied().collect();
            names.sort_unstable();
            Err(format!("no channel is called {name:?}; there are: {}", names.join(", ")))
        }
        _ => Ok(()),
    }
}

fn check_rule(pattern: &str, template: &str) -> Result<(), String> {
    domain_entry(pattern, template).map(|_| ()).map_err(|error| error.to_string())
}

fn check_address(_: &str, value: &str) -> Result<(), String> {
    match Address::parse(value) {
        Ok(address) if address.domain().is_some() => Ok(()),
        Ok(_) => Err(format!("{value:?} has no domain")),
        Err(error) => Err(format!("{value:?}: {error}")),
    }
}

fn keys_in_lower_case(table: &TableOrFile<String>) -> HashMap<String, String> {
    let lower = |(key, value): (&String, &String)| (table_key(key), value.clone());
    BTreeMap::iter(table).map(lower).collect()
}

fn in_lower_case(table: &TableOrFile<Vec<String>>) -> HashMap<String, Vec<String>> {
    let lower = |(name, targets): (&String, &Vec<String>)| (table_key(name), targets.clone());
    BTreeMap::iter(table).map(lower).collect()
}

/// The addresses of an entry; `<file` of the original is a list in a file.
fn targets(value: &str) -> Vec<String> {
    let mut targets = addresses(value);
    for target in &mut targets {
        if let Some(file) = target.strip_prefix('<') {
            *target = format!("{INCLUDE}{file}");
        } else if target.starts_with(':') {
            *target = without_colon(std::mem::take(target));
        }
    }
    targets
}

/// Alias files within alias files, as in the original.
const MAX_NESTED: usize = 3;
/// Lists in files.
const MAX_LISTS: usize = 10_000;
const ALIASES_FILE: &str = "aliases.file";
/// Octets of all accounts.
const MAX_ACCOUNTS: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path, aliases: &str) -> Config {
        let mut config = Config::parse("(built-in)", relais_config::STANDALONE).unwrap().0;
        folder.clone_into(&mut config.data);
        fs::write(folder.join("aliases"), aliases).unwrap();
        config.aliases.file = Some("aliases".into());
        config
    }

    #[test]
    fn alias_files_name_files_and_lists() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "<more\nteam: :include:team, <old\nlost: :include:no\n");
        for (name, text) in [
            ("more", "<more\nx: y@z\n"),
            ("team", "# members\na@x, b@x\n:include:nested\n"),
            ("nested", "c@x\n"),
            ("old", "d@x\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let tables = MailTables::open(&config).unwrap();
        assert_eq!(*tables.aliases.get("x").unwrap(), ["y@z"]);
        assert_eq!(*tables.aliases.get("team").unwrap(), [":include:team", ":include:old"]);
        assert_eq!(
            tables.list("team"),
            Ok(&["a@x", "b@x", ":include:nested"].map(str::to_owned)[..])
        );
        assert_eq!(tables.list("nested").map(<[_]>::len), Ok(1));
        assert_eq!(tables.list("old").map(<[_]>::len), Ok(1));
        assert!(tables.list("no").is_err_and(|why| why.starts_with("no: ")));
        assert_eq!(tables.remarks.len(), 1, "{:?}", tables.remarks);
        let mut names: Vec<_> =
            tables.files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["aliases", "more", "nested", "no", "old", "team"]);
    }

    /// Of an alias of the configuration no file is named, though there be one.
    #[test]
    fn a_remark_about_an_alias_names_the_setting_that_it_stands_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut config =
            config(folder.path(), "a: :include:none\nb: [TAG] x, [ERROR_TEXT] y, c@x\n");
        let fields = |config: &Config| {
            let remarks = MailTables::open(config).unwrap().remarks;
            remarks.into_iter().map(|remark| remark.field).collect::<BTreeSet<_>>()
        };
        assert_eq!(fields(&config), BTreeSet::from(["aliases.file".to_owned()]));
        fs::write(folder.path().join("aliases"), "").unwrap();
        for (name, parts) in [("A", &["<none"][..]), ("b", &["[TAG] x", "c@x"])] {
            let parts = parts.iter().map(|part| (*part).to_owned()).collect();
            config.aliases.own.insert(name.to_owned(), parts);
        }
        let own = [r#"aliases["a"]"#, r#"aliases["b"]"#].map(str::to_owned);
        assert_eq!(fields(&config), BTreeSet::from(own));
    }

    #[test]
    fn a_bad_file_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let rows = [
            (
                "x y",
                format!(
                    "aliases: {path}/aliases: line 1: a name, a colon and addresses are expected"
                ),
            ),
            (
                "a: b\nlist: [AUTH_LISTS] a@x, b@x",
                format!(
                    "aliases: {path}/aliases: line 2: no named parameter is called [AUTH_LISTS]: did you \
                     mean AUTH_LIST? "
                ),
            ),
            ("<none", format!("aliases: {path}/none: No such file or directory (os error 2)")),
            ("<.", format!("aliases: {path}/.: it is no file")),
        ];
        for (text, want) in rows {
            let error = MailTables::open(&config(folder.path(), text)).unwrap_err();
            assert!(error.field == "aliases" && error.to_string().starts_with(&want), "{error}");
        }
        let mut config = config(folder.path(), "");
        config.transport.file = Some("transport".into());
        fs::write(folder.path().join("transport"), "x.example nowhere:host").unwrap();
        let error = MailTables::open(&config).unwrap_err().to_string();
        assert!(error.contains("line 1: no channel is called \"nowhere\"; there are: "), "{error}");
    }
}
