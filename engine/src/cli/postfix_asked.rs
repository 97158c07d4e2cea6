//! Where Postfix would send a recipient: its own programs are asked, in the order in which cleanup(8),
//! trivial-rewrite(8) and local(8) ask.
//!
//! `postconf -x` has the settings, `postmap -q` the tables, whatever their type; both run on the folder as it
//! is, and change nothing. No `.forward` is read.

use std::{
    collections::{BTreeSet, HashMap},
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::OFlags;

use super::{
    postfix_words::{
        Ends, LATER, THROWN_AWAY, UNKNOWN, halves, members, place, run, to_command, to_file,
        to_program,
    },
    refusal::complain,
};

/// The programs of Postfix on a folder of theirs.
pub(super) struct PostfixAsked {
    folder: PathBuf,
    settings: HashMap<&'static str, String>,
    /// Answers by table and key.
    answers: HashMap<(String, String), Option<String>>,
    accounts: BTreeSet<String>,
    /// Tables that postmap cannot ask.
    silent: BTreeSet<String>,
    /// Words of files that lists of domains name.
    lists: HashMap<String, BTreeSet<String>>,
    /// Transports that hand mail to programs.
    pipes: BTreeSet<String>,
}

/// Addresses that are still to be delivered, and the ends of others.
#[derive(Default)]
struct PostfixWalk {
    open: Vec<Member>,
    ends: Ends,
}

/// An address, and the alias that it is a member of.
#[derive(Clone)]
struct Member {
    address: String,
    /// Aliases on the way to it.
    depth: usize,
    alias: Option<String>,
}

impl PostfixAsked {
    /// Asks for the settings.
    pub(super) fn new(folder: &Path, accounts: &Path) -> Result<Self, String> {
        let mut command = Command::new("postconf");
        command.arg("-c").arg(folder).args(["-x", "-h"]).args(SETTINGS);
        let output = run(&mut command, "")?;
        let values: Vec<_> = output.lines().map(str::to_owned).collect();
        if values.len() != SETTINGS.len() {
            return Err(format!("postconf says {} values of {}", values.len(), SETTINGS.len()));
        }
        let mut services = Command::new("postconf");
        services.arg("-c").arg(folder).args(["-M"]);
        let services = run(&mut services, "")?;
        let pipe = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            (words.get(7) == Some(&"pipe")).then(|| words[0].to_owned())
        };
        let accounts = std::fs::read_to_string(accounts).unwrap_or_default();
        let names = accounts.lines().filter_map(|line| line.split(':').next()).map(str::to_owned);
        let mut settings: HashMap<_, _> = SETTINGS.into_iter().zip(values).collect();
        if let Some(origin) = settings.get_mut("myorigin").filter(|its| its.starts_with('/')) {
            // Debian's Postfix reads it of a file.
            let text =
                included(Path::new(&*origin)).map_err(|error| format!("{origin}: {error}"))?;
            text.split_whitespace().next().unwrap_or_default().clone_into(origin);
        }
        Ok(Self {
            folder: folder.to_owned(),
            settings,
            answers: HashMap::new(),
            lists: HashMap::new(),
            silent: BTreeSet::new(),
            accounts: names.collect(),
            pipes: services.lines().filter_map(pipe).collect(),
        })
    }

    /// Looks all that these recipients ask for first up in one run of postmap for each table.
    pub(super) fn prepare(&mut self, recipients: &[String]) -> Result<(), String> {
        let whole: Vec<_> = recipients.iter().map(|address| self.qualified(address)).collect();
        let mut virtuals = Vec::new();
        for address in &whole {
            virtuals.extend(self.virtual_keys(address)?);
        }
        self.look_up_all("virtual_alias_maps", virtuals.into_iter().map(|its| its.0));
        let transports = whole.iter().flat_map(|its| self.transport_keys(its));
        let transports: Vec<_> = transports.collect();
        self.look_up_all("transport_maps", transports.into_iter());
        Ok(())
    }

    /// Where a recipient ends.
    pub(super) fn ends(&mut self, recipient: &str) -> Result<Ends, String> {
        let mut walk = PostfixWalk::default();
        walk.open.push(Member { address: recipient.to_owned(), depth: 0, alias: None });
        let mut steps = 0;
        while let Some(member) = walk.open.pop() {
            if member.depth > DEEPEST {
                walk.ends.insert(UNKNOWN.to_owned());
                continue;
            }
            let address = self.canonical(&member.address)?;
            for address in self.expanded(&address)? {
                steps += 1;
                if steps > MOST_STEPS {
                    return Err(format!("{recipient} leads to more addresses than are followed"));
                }
                let member = Member { address, ..member.clone() };
                self.deliver(&member, &mut walk)?;
            }
        }
        Ok(walk.ends)
    }

    pub(super) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    /// Whether a transport hands mail to a program.
    pub(super) fn is_pipe(&self, transport: &str) -> bool {
        self.pipes.contains(transport)
    }

    fn words(&self, name: &str) -> Vec<String> {
        // A word may be in braces: `inline:{a=b, c=d}`.
        let mut depth = 0_usize;
        let ends = |c: char| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && (c == ',' || c.is_whitespace())
        };
        let words = self.setting(name).split(ends);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn qualified(&self, address: &str) -> String {
        match address.rsplit_once('@') {
            Some((user, domain)) => {
                format!("{user}@{}", domain.trim_end_matches('.').to_ascii_lowercase())
            }
            None => format!("{address}@{}", self.setting("myorigin")),
        }
    }

    /// A recipient by the canonical maps, each until it changes nothing.
    fn canonical(&mut self, recipient: &str) -> Result<String, String> {
        let mut address = self.qualified(recipient);
        for (maps, classes) in [
            ("recipient_canonical_maps", "recipient_canonical_classes"),
            ("canonical_maps", "canonical_classes"),
        ] {
            if !self.words(classes).iter().any(|class| class == "envelope_recipient") {
                continue;
            }
            for _ in 0..MOST_CANONICAL {
                let Some(found) = self.found(maps, &address)? else { break };
                match found.first() {
                    Some(next) if *next != address => address.clone_from(next),
                    _ => break,
                }
            }
        }
        Ok(address)
    }

    /// Virtual aliases, until an address leads to none or to itself.
    fn expanded(&mut self, address: &str) -> Result<Vec<String>, String> {
        let (mut done, mut open) = (Vec::new(), vec![self.qualified(address)]);
        let mut known = BTreeSet::new();
        while let Some(address) = open.pop() {
            let found = if known.insert(address.clone()) {
                self.found("virtual_alias_maps", &address)?
            } else {
                None
            };
            if known.len() > MOST_STEPS {
                return Err("its virtual aliases have no end".to_owned());
            }
            match found {
                Some(members) if members != [address.clone()] => {
                    for member in members {
                        if member == address {
                            done.push(member);
                        } else {
                            open.push(member);
                        }
                    }
                }
                _ => done.push(address),
            }
        }
        Ok(done)
    }

    /// The keys of an address in tables of addresses, and the extension that each leaves unmatched.
    fn virtual_keys(&mut self, address: &str) -> Result<Vec<(String, String)>, String> {
        let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let is_ours = domain == self.setting("myorigin") || self.is_in("mydestination", domain)?;
        let (name, extension) = self.divided(user);
        let mut keys = vec![(format!("{user}@{domain}"), String::new())];
        if !extension.is_empty() {
            keys.push((format!("{name}@{domain}"), extension.to_owned()));
        }
        if is_ours {
            keys.push((user.to_owned(), String::new()));
            if !extension.is_empty() {
                keys.push((name.to_owned(), extension.to_owned()));
            }
        }
        keys.push((format!("@{domain}"), String::new()));
        Ok(keys)
    }

    /// The addresses that tables of addresses have in the place of one.
    fn found(&mut self, maps: &str, address: &str) -> Result<Option<Vec<String>>, String> {
        let user = address.rsplit_once('@').map_or(address, |(user, _)| user).to_owned();
        for (key, extension) in self.virtual_keys(address)? {
            let Some(value) = self.look_up(maps, &key, key == address) else { continue };
            let member = |member: &str| {
                let member = if member.starts_with('@') {
                    format!("{user}{member}")
                } else {
                    member.to_owned()
                };
                let whole = self.qualified(&member);
                match whole.rsplit_once('@') {
                    Some((user, domain)) => format!("{user}{extension}@{domain}"),
                    None => whole,
                }
            };
            let members = value.split([',', ' ', '\t']).filter(|word| !word.is_empty());
            return Ok(Some(members.map(member).collect()));
        }
        Ok(None)
    }

    /// A user and the extension, with its delimiter.
    fn divided<'a>(&self, user: &'a str) -> (&'a str, &'a str) {
        let delimiters = self.setting("recipient_delimiter");
        let at = user.char_indices().skip(1).find(|(_, c)| delimiters.contains(*c));
        at.map_or((user, ""), |(at, _)| user.split_at(at))
    }

    fn transport_keys(&self, address: &str) -> Vec<String> {
        let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let (name, extension) = self.divided(user);
        let mut keys = vec![address.to_owned()];
        keys.extend((!extension.is_empty()).then(|| format!("{name}@{domain}")));
        keys.push(domain.to_owned());
        keys.extend(domain.match_indices('.').map(|(at, _)| domain[at..].to_owned()));
        keys.push("*".to_owned());
        keys
    }

    /// By which transport an address leaves.
    fn deliver(&mut self, member: &Member, walk: &mut PostfixWalk) -> Result<(), String> {
        let address = member.address.as_str();
        let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let (user, domain) = (user.to_owned(), domain.to_owned());
        let relayhost = self.setting("relayhost").to_owned();
        let (class, hop) = if self.is_in("mydestination", &domain)? {
            ("local_transport", String::new())
        } else if self.is_in("virtual_alias_domains", &domain)? {
            walk.ends.insert(UNKNOWN.to_owned());
            return Ok(());
        } else if self.is_in("virtual_mailbox_domains", &domain)? {
            ("virtual_transport", String::new())
        } else if self.is_in("relay_domains", &domain)? {
            ("relay_transport", relayhost)
        } else {
            ("default_transport", relayhost)
        };
        for (class_of, maps) in [
            ("virtual_transport", "virtual_mailbox_maps"),
            ("relay_transport", "relay_recipient_maps"),
        ] {
            if class == class_of && !self.is_listed(address, maps) {
                walk.ends.insert(UNKNOWN.to_owned());
                return Ok(());
            }
        }
        let given = self.setting(class).to_owned();
        let (mut transport, given_hop) = halves(&given);
        let mut hop = [given_hop, hop, domain.clone()]
            .into_iter()
            .find(|hop| !hop.is_empty())
            .unwrap_or_default();
        for key in self.transport_keys(address) {
            let Some(value) = self.look_up("transport_maps", &key, key == address) else {
                continue;
            };
            let (name, its_hop) = halves(&value);
            if !name.is_empty() {
                transport = name;
                hop = if its_hop.is_empty() { domain.clone() } else { its_hop };
            } else if !its_hop.is_empty() {
                hop = its_hop;
            }
            break;
        }
        if self.found("relocated_maps", address)?.is_some() {
            walk.ends.insert(UNKNOWN.to_owned());
            return Ok(());
        }
        let queue = self.setting("queue_directory").to_owned();
        let end = match transport.as_str() {
            "local" => return self.local(&user, &domain, member, walk),
            "error" => UNKNOWN.to_owned(),
            "retry" => LATER.to_owned(),
            "discard" => THROWN_AWAY.to_owned(),
            pipe if self.is_pipe(pipe) => to_program(address, pipe),
            _ => place(address, &transport, &hop, &queue),
        };
        walk.ends.insert(end);
        Ok(())
    }

    /// local(8): aliases, then whoever takes the rest.
    fn local(
        &mut self,
        user: &str,
        domain: &str,
        member: &Member,
        walk: &mut PostfixWalk,
    ) -> Result<(), String> {
        let (quoted, bare) = user.strip_prefix('\\').map_or((false, user), |user| (true, user));
        let (name, extension) = self.divided(bare);
        let keys = [bare.to_lowercase(), name.to_lowercase()];
        let (name, keys) = (name.to_owned(), &keys[..if extension.is_empty() { 1 } else { 2 }]);
        // An alias that names itself means the user.
        let is_own = member.alias.as_ref().is_some_and(|alias| keys.contains(alias));
        for key in keys.iter().filter(|_| !quoted && !is_own) {
            let Some(value) = self.look_up("alias_maps", key, true) else { continue };
            let depth = member.depth + 1;
            let within = Member { address: domain.to_owned(), depth, alias: Some(key.clone()) };
            return members(&value).iter().try_for_each(|text| self.member(text, &within, walk));
        }
        let is_account = self.accounts.contains(&name.to_lowercase());
        let whole = format!("{bare}@{domain}");
        for (setting, takes) in [("mailbox_transport", true), ("fallback_transport", !is_account)] {
            let (transport, hop) = halves(self.setting(setting));
            if !transport.is_empty() && takes {
                let hop = if hop.is_empty() { domain.to_owned() } else { hop };
                walk.ends.insert(place(&whole, &transport, &hop, self.setting("queue_directory")));
                return Ok(());
            }
        }
        walk.ends.insert(if is_account {
            format!("{whole} to its account")
        } else {
            UNKNOWN.to_owned()
        });
        Ok(())
    }

    /// A member of an alias, whose domain is the address that it is within.
    fn member(
        &mut self,
        text: &str,
        within: &Member,
        walk: &mut PostfixWalk,
    ) -> Result<(), String> {
        let alias = within.alias.as_deref().unwrap_or_default();
        if let Some(command) = text.strip_prefix('|') {
            let file = command.split_whitespace().next().unwrap_or_default();
            walk.ends.insert(to_command(alias, file));
        } else if text.starts_with('/') {
            walk.ends.insert(to_file(text));
        } else if let Some(file) = text.strip_prefix(":include:") {
            let list = included(Path::new(file.trim()));
            let list = list.map_err(|error| format!("{file}: {error}"))?;
            let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
            for address in lines.flat_map(members).take(MOST_STEPS) {
                walk.open.push(Member { address, ..within.clone() });
            }
        } else if text.starts_with('\\') {
            let origin = self.setting("myorigin").to_owned();
            self.local(text, &origin, within, walk)?;
        } else {
            walk.open.push(Member { address: text.to_owned(), ..within.clone() });
        }
        Ok(())
    }

    /// Whether a list of domains has one; tables in it are asked.
    fn is_in(&mut self, name: &str, domain: &str) -> Result<bool, String> {
        // Of these lists that of relay domains alone has a notation for what is below a domain.
        let has_below = name == "relay_domains";
        let is_bare = self.words("parent_domain_matches_subdomains").iter().any(|its| its == name);
        let parents = domain.match_indices('.').filter(|_| has_below);
        let parents = parents.map(|(at, _)| &domain[at + usize::from(is_bare)..]);
        let names: Vec<&str> = std::iter::once(domain).chain(parents).collect();
        for word in self.words(name) {
            if word.starts_with('/') {
                let list = self.list(&word)?;
                if names.iter().any(|name| list.contains(*name)) {
                    return Ok(true);
                }
                continue;
            }
            if names.contains(&&*word.to_ascii_lowercase()) {
                return Ok(true);
            }
            for name in names.iter().filter(|_| word.contains(':')) {
                if self.ask(&word, name).is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The words of a file that a list of domains names; it is read once.
    fn list(&mut self, file: &str) -> Result<&BTreeSet<String>, String> {
        if !self.lists.contains_key(file) {
            let text = included(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let words = lines.flat_map(|line| line.split([',', ' ', '\t']));
            let words = words.map(str::to_ascii_lowercase).collect();
            self.lists.insert(file.to_owned(), words);
        }
        Ok(&self.lists[file])
    }

    /// Whether the table of a class has an address; without a table everybody is there.
    fn is_listed(&mut self, address: &str, maps: &str) -> bool {
        if self.words(maps).is_empty() {
            return true;
        }
        let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let name = self.divided(user).0.to_owned();
        for key in [address.to_owned(), format!("{name}@{domain}"), format!("@{domain}")] {
            if self.look_up(maps, &key, key == address).is_some() {
                return true;
            }
        }
        false
    }

    /// The first answer of the tables that a setting names. Expressions are asked about whole addresses.
    fn look_up(&mut self, setting: &str, key: &str, is_whole: bool) -> Option<String> {
        let is_asked = |table: &String| {
            let kind = table.strip_prefix("proxy:").unwrap_or(table).split(':').next();
            is_whole || !matches!(kind, Some("regexp" | "pcre"))
        };
        for table in self.words(setting).into_iter().filter(is_asked) {
            if let Some(answer) = self.ask(&table, key) {
                return Some(answer);
            }
        }
        None
    }

    fn ask(&mut self, table: &str, key: &str) -> Option<String> {
        let key = key.to_lowercase();
        if !self.answers.contains_key(&(table.to_owned(), key.clone())) {
            self.postmap(table, std::iter::once(key.clone()));
        }
        self.answers.get(&(table.to_owned(), key)).cloned().flatten()
    }

    fn look_up_all(&mut self, setting: &str, keys: impl Iterator<Item = String>) {
        let keys: BTreeSet<String> = keys.map(|key| key.to_lowercase()).collect();
        for table in self.words(setting) {
            self.postmap(&table, keys.iter().cloned());
        }
    }

    /// Asks a table for many keys at once.
    fn postmap(&mut self, table: &str, keys: impl Iterator<Item = String>) {
        // A line is a key: none may hold another one.
        let keys: Vec<_> =
            keys.filter(|key| !key.is_empty() && !key.contains(['\n', '\0'])).collect();
        for key in &keys {
            self.answers.insert((table.to_owned(), key.clone()), None);
        }
        if self.silent.contains(table) {
            return;
        }
        let mut command = Command::new("postmap");
        command.arg("-c").arg(&self.folder).args(["-q", "-", table]);
        let output = match run(&mut command, &(keys.join("\n") + "\n")) {
            Ok(output) => output,
            Err(why) => {
                // Of a type whose plug-in is not there, for one: the other tables are asked.
                if self.silent.insert(table.to_owned()) {
                    complain(&format!("{table} is not asked, as if it had nothing: {why}"));
                }
                return;
            }
        };
        for (key, value) in output.lines().filter_map(|line| line.split_once('\t')) {
            self.answers.insert((table.to_owned(), key.to_owned()), Some(value.to_owned()));
        }
    }
}

/// A file of `:include:`, which may be anything that aliases name: a device or a pipe has no end.
fn included(path: &Path) -> io::Result<String> {
    // A pipe that nobody writes to would keep us waiting in the opening.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let is_list = file.metadata().map(|meta| meta.is_file() && meta.len() <= LONGEST_LIST)?;
    let mut list = String::new();
    if is_list {
        file.take(LONGEST_LIST + 1).read_to_string(&mut list)?;
    }
    if !is_list || list.len() as u64 > LONGEST_LIST {
        let words = format!("a list is a file of at most {} MiB", LONGEST_LIST >> 20);
        return Err(io::Error::other(words));
    }
    Ok(list)
}

/// Addresses that one recipient may lead to.
const MOST_STEPS: usize = 10_000;
/// Canonical maps that lead to each other.
const MOST_CANONICAL: usize = 100;
/// Aliases within aliases, as local(8) has it.
const DEEPEST: usize = 100;
/// Octets of a file of `:include:`.
const LONGEST_LIST: u64 = 16 << 20;
const SETTINGS: [&str; 25] = [
    "alias_maps",
    "canonical_classes",
    "canonical_maps",
    "default_transport",
    "fallback_transport",
    "local_transport",
    "mailbox_transport",
    "mydestination",
    "myorigin",
    "parent_domain_matches_subdomains",
    "queue_directory",
    "recipient_canonical_classes",
    "recipient_canonical_maps",
    "recipient_delimiter",
    "relay_domains",
    "relay_recipient_maps",
    "relay_transport",
    "relayhost",
    "relocated_maps",
    "transport_maps",
    "virtual_alias_domains",
    "virtual_alias_maps",
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "virtual_transport",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lists_are_files_with_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, "ann\nbob\n").unwrap();
        assert_eq!(included(&list).unwrap(), "ann\nbob\n");
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let large = folder.path().join("large");
        fs::File::create(&large).unwrap().set_len(LONGEST_LIST + 1).unwrap();
        for path in [pipe.as_path(), &large, Path::new("/dev/zero"), folder.path()] {
            let error = included(path).unwrap_err().to_string();
            assert!(error.contains("at most 16 MiB"), "{}: {error}", path.display());
        }
    }
}
