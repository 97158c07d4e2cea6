//! `option.dat`, and the settings of `msg.conf` (configutil) that the MTA reads.

use relais_config::{DeliveryOption, ldap_search::SearchUrl};

use super::cnf::CnfOption;
use crate::{
    report::{Fate, Findings},
    ron::{Entry, Value, quoted},
    source::Line,
};

/// Settings that options become.
#[derive(Debug)]
pub(super) struct NewOptions {
    /// Octets of a block.
    pub(super) block_size: u64,
    pub(super) host: Option<String>,
    pub(super) default_domain: Option<(String, Vec<String>)>,
    pub(super) delivery: Vec<Entry>,
    pub(super) delivery_comment: Option<String>,
    /// Settings at the top of the file.
    pub(super) top: Vec<Entry>,
    pub(super) notary: Vec<Entry>,
    pub(super) reverse: Vec<Entry>,
    pub(super) forward: Vec<Entry>,
    pub(super) ldap: Vec<Entry>,
    pub(super) servers: Vec<String>,
    port: Option<String>,
    pub(super) alias_urls: Vec<(u32, Entry)>,
    pub(super) cache: Vec<Entry>,
    /// Bits of `USE_TEXT_DATABASES`.
    pub(super) text_databases: u64,
}

impl Default for NewOptions {
    fn default() -> Self {
        Self {
            block_size: 1_024,
            host: None,
            default_domain: None,
            delivery: Vec::new(),
            delivery_comment: None,
            top: Vec::new(),
            notary: Vec::new(),
            reverse: Vec::new(),
            forward: Vec::new(),
            ldap: Vec::new(),
            servers: Vec::new(),
            port: None,
            alias_urls: Vec::new(),
            cache: Vec::new(),
            text_databases: 0,
        }
    }
}

/// A line of `msg.conf` as an option of `option.dat`; `None`: the MTA does not read it.
pub(super) fn of_configutil(line: &Line) -> Option<CnfOption> {
    let (key, value) = line.text.split_once('=')?;
    let value = value.trim().trim_matches('"').to_owned();
    let name = match key.trim() {
        "service.defaultdomain" => "LDAP_DEFAULT_DOMAIN",
        "local.hostname" => "LOCAL_HOSTNAME",
        "local.ugldaphost" => "LDAP_HOST",
        "local.ugldapport" => "LDAP_PORT",
        "local.ugldapbasedn" => "LDAP_USER_ROOT",
        "local.ugldapbinddn" => "LDAP_USERNAME",
        "local.ugldapbindcred" => "LDAP_PASSWORD",
        "service.dcroot" => "LDAP_DOMAIN_ROOT",
        "local.imta.schematag" => "SCHEMATAG",
        "local.imta.ldapschemalevel" => "LDAP_SCHEMALEVEL",
        _ => return None,
    };
    Some(CnfOption { name: name.to_owned(), value, line: line.clone() })
}

impl NewOptions {
    pub(super) fn take(&mut self, option: &CnfOption, findings: &mut Findings) {
        if option.value.is_empty() {
            let why = "it has no value";
            return findings.tell(&option.line.place, &option.shown(), Fate::NotNeeded, why);
        }
        if option.name == "DELIVERY_OPTIONS" {
            return self.delivery(option, findings);
        }
        let made = self.directory(option).or_else(|| self.general(option));
        let (place, shown) = (&option.line.place, option.shown());
        match made {
            Some(Ok(())) => findings.carried(place, &shown),
            Some(Err((fate, why))) => findings.tell(place, &shown, fate, why),
            None => findings.missing(place, &shown, "no option that is known here"),
        }
    }

    /// The servers as URLs.
    pub(super) fn server_urls(&self) -> Vec<String> {
        let port = self.port.as_deref().unwrap_or("389");
        let url = |host: &String| {
            if host.contains(':') {
                format!("ldap://{host}")
            } else {
                format!("ldap://{host}:{port}")
            }
        };
        self.servers.iter().map(url).collect()
    }

    fn delivery(&mut self, option: &CnfOption, findings: &mut Findings) {
        self.delivery_comment = Some(option.line.comment());
        findings.carried(&option.line.place, "DELIVERY_OPTIONS");
        for clause in option.value.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            let entry = Entry::new("", Value::text(clause));
            match DeliveryOption::parse(clause) {
                Ok(_) => self.delivery.push(entry),
                Err(error) => {
                    let why = format!("the option is left out: {error}");
                    findings.missing(&option.line.place, clause, &why);
                    self.delivery.push(entry.out());
                }
            }
        }
    }

    /// Options about the directory; `None`: it is another one.
    fn directory(&mut self, option: &CnfOption) -> Option<Result<(), (Fate, &'static str)>> {
        let value = &option.value;
        let said = |entry: Entry| entry.said(comment(option));
        let seconds = |name| said(Entry::text(name, &format!("{value}s")));
        match option.name.as_str() {
            "LDAP_HOST" => {
                let hosts = value.split([' ', ',']).filter(|host| !host.is_empty());
                self.servers.extend(hosts.map(str::to_owned));
            }
            "LDAP_PORT" => self.port = Some(value.clone()),
            "LDAP_USERNAME" => self.ldap.push(said(Entry::text("bind_dn", value))),
            "LDAP_PASSWORD" => {
                let file = Entry::text("bind_password_file", "/etc/relais/ldap.secret");
                self.ldap.push(file.said("the password belongs into this file, mode 0600"));
            }
            "LDAP_USER_ROOT" => self.ldap.push(said(Entry::text("user_base", value))),
            "LDAP_DOMAIN_ROOT" => self.ldap.push(said(Entry::text("domain_base", value))),
            "LDAP_SCHEMALEVEL" | "SCHEMATAG" => {
                let schema = match value.as_str() {
                    "1" | "sims40" | "sims401" | "nms41" => "Schema1",
                    "2" | "ims50" => "Schema2",
                    _ => return Some(Err((Fate::NoCounterpart, ODD))),
                };
                self.ldap.retain(|entry| entry.name != "schema");
                self.ldap.push(said(Entry::word("schema", schema)));
            }
            "LDAP_DEFAULT_DOMAIN" => {
                self.default_domain = Some((value.clone(), vec![comment(option)]));
            }
            "LOCAL_HOSTNAME" => self.host = Some(value.clone()),
            "LDAP_TIMEOUT" => self.ldap.push(seconds("timeout")),
            "LDAP_MAX_CONNECTIONS" | "DOMAIN_UPLEVEL" | "ALIAS_ENTRY_CACHE_SIZE" => {
                return Some(self.count(option));
            }
            "DOMAIN_MATCH_URL" => self.ldap.push(said(Entry::text("domain_match_url", value))),
            "ALIAS_ENTRY_CACHE_TIMEOUT" => self.cache.push(seconds("ttl")),
            "ALIAS_MAGIC" if value == "8764" => return Some(Err((Fate::SameByDefault, ""))),
            "ALIAS_MAGIC" => {
                let why =
                    "the directory is asked before aliases; aliases_first: true turns that round";
                return Some(Err((Fate::NoCounterpart, why)));
            }
            "LDAP_USE_ASYNC"
            | "ALIAS_ENTRY_CACHE_NEGATIVE"
            | "REVERSE_ADDRESS_CACHE_SIZE"
            | "REVERSE_ADDRESS_CACHE_TIMEOUT" => {
                return Some(Err((
                    Fate::NotNeeded,
                    "look-ups never block, and `cache` remembers both",
                )));
            }
            name => {
                let number = name.strip_prefix("ALIAS_URL").and_then(|n| n.parse().ok())?;
                if SearchUrl::parse(value).is_err() {
                    return Some(Err((Fate::NoCounterpart, "no search that `alias_urls` has")));
                }
                let entry = Entry::new("", Value::text(value)).said(comment(option));
                self.alias_urls.push((number, entry));
            }
        }
        Some(Ok(()))
    }

    /// An option whose value is a number.
    fn count(&mut self, option: &CnfOption) -> Result<(), (Fate, &'static str)> {
        let number = option.number().ok_or((Fate::NoCounterpart, ODD))?;
        let (entries, name, number) = match option.name.as_str() {
            "LDAP_MAX_CONNECTIONS" => (&mut self.ldap, "max_connections", number.clamp(1, 1_000)),
            "ALIAS_ENTRY_CACHE_SIZE" => (&mut self.cache, "entries", number.min(100_000_000)),
            // Bits, of which these two are known.
            _ if number > 3 => return Err((Fate::NoCounterpart, ODD)),
            _ => (&mut self.ldap, "domain_uplevel", number),
        };
        entries.push(Entry::word(name, &number.to_string()).said(comment(option)));
        Ok(())
    }

    /// The other options; `None`: it is not known.
    fn general(&mut self, option: &CnfOption) -> Option<Result<(), (Fate, &'static str)>> {
        let said = |entry: Entry| entry.said(comment(option));
        let number = option.number();
        let has_bit = |bit: u64| number.is_some_and(|n| n & bit != 0);
        let flag =
            |name, is_on: bool| said(Entry::word(name, if is_on { "true" } else { "false" }));
        match option.name.as_str() {
            "BLOCK_SIZE" => self.block_size = number?.max(1),
            "MAX_RECEIVED_LINES" | "MAX_LOCAL_RECEIVED_LINES" => {
                let name = option.name.to_ascii_lowercase();
                self.top.push(said(Entry::word(&name, &number?.max(1).to_string())));
            }
            "USE_TEXT_DATABASES" => self.text_databases = number?,
            "REVERSE_ENVELOPE" => self.reverse.push(flag("envelope", has_bit(1))),
            "USE_REVERSE_DATABASE" => {
                self.reverse.push(flag("channels", has_bit(8)));
                self.reverse.push(Entry::word("all", if has_bit(4) { "true" } else { "false" }));
            }
            "REVERSE_URL" => self.reverse.push(flag("directory", true)),
            "USE_FORWARD_DATABASE" => self.forward.push(flag("senders", has_bit(8 | 16))),
            "CONTENT_RETURN_BLOCK_LIMIT" => {
                let octets = number?.saturating_mul(self.block_size).min(16 << 20);
                self.notary.push(said(Entry::word("content_return_limit", &octets.to_string())));
            }
            "RETURN_ADDRESS" => self.notary.push(said(Entry::text("postmaster", &option.value))),
            name if name.starts_with("LOG_") || name.ends_with("_DEBUG") => {
                return Some(Err((
                    Fate::NotNeeded,
                    "the log of relais has its own fields (RUST_LOG)",
                )));
            }
            name if name.starts_with("ERROR_TEXT_") => {
                return Some(Err((Fate::NoCounterpart, "the words of replies are relais's own")));
            }
            name if name.starts_with("LDAP_") => {
                let why =
                    "other names of attributes belong into `directory`: attributes: {\"uid\": ...}";
                return Some(Err((Fate::NoCounterpart, why)));
            }
            name if name.starts_with("USE_") => {
                return Some(Err((
                    Fate::NoCounterpart,
                    "no database in files of its own kind is read",
                )));
            }
            _ => return None,
        }
        Some(Ok(()))
    }
}

fn comment(option: &CnfOption) -> String {
    crate::ron::plain(&format!("{}: {}", option.line.place, option.shown()))
}

/// Delivery options whose `@` names a channel by its name and not by its tag, as the original's default
/// has it for automatic replies: with the tag.
pub(super) fn tagged(options: &[Entry], tag: impl Fn(&str) -> Option<String>) -> Vec<Entry> {
    let tagged = |entry: &Entry| {
        let Value::Word(word) = &entry.value else { return entry.clone() };
        let text = word.trim_matches('"');
        let named = text.rsplit_once('@').and_then(|(start, name)| Some((start, name, tag(name)?)));
        match named {
            Some((start, name, tag)) => {
                let value = Value::Word(format!("\"{start}@{tag}\""));
                Entry { value, ..entry.clone() }.said(format!("{name} is the channel of this tag"))
            }
            None => entry.clone(),
        }
    };
    options.iter().map(tagged).collect()
}

/// The directory of the new file.
pub(super) fn directory(
    options: &NewOptions,
    default_domain: &str,
    findings: &mut Findings,
) -> Entry {
    let absent = crate::report::Place::of_file("configutil");
    let mut fields = Vec::new();
    let servers = options.server_urls();
    if servers.is_empty() {
        let why = "servers is a guess: local.ugldaphost stands in none of these files";
        findings.missing(&absent, "local.ugldaphost", why);
        fields.push(Entry::new("servers", Value::texts(["ldap://localhost:389"])).said(why));
    } else {
        fields.push(Entry::new("servers", Value::texts(servers.iter().map(String::as_str))));
    }
    if !options.ldap.iter().any(|entry| entry.name == "user_base") {
        let why = "user_base is a guess: local.ugldapbasedn stands in none of these files";
        findings.missing(&absent, "local.ugldapbasedn", why);
        let base = format!("o={default_domain}");
        fields.push(Entry::text("user_base", &base).said(why));
    }
    fields.extend(options.ldap.iter().cloned());
    if !options.alias_urls.is_empty() {
        let mut urls = options.alias_urls.clone();
        urls.sort_by_key(|(number, _)| *number);
        let urls = urls.into_iter().map(|(_, entry)| entry).collect();
        fields.push(Entry::new("alias_urls", Value::List(urls)));
    }
    if !options.cache.is_empty() {
        fields.push(Entry::new("cache", Value::Section("", options.cache.clone())));
    }
    Entry::new("directory", Value::Section("Ldap", fields))
}

/// The domain without whom no file can be: of the option, or the host's without its first label.
pub(super) fn default_domain(options: &NewOptions, host: &str, findings: &mut Findings) -> Entry {
    if let Some((domain, comments)) = &options.default_domain {
        return Entry::text("default_domain", domain).said_all(comments.iter().cloned());
    }
    let parent = host.split_once('.').map(|(_, parent)| parent).filter(|its| its.contains('.'));
    let why = "default_domain is a guess: service.defaultdomain stands in none of these files";
    findings.missing(&crate::report::Place::of_file("configutil"), "service.defaultdomain", why);
    Entry::word("default_domain", &quoted(parent.unwrap_or(host))).said(why)
}

const ODD: &str = "its value has no form that is known here";
