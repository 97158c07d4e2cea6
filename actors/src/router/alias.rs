//! Aliases: whom an address of the local channel stands for.
//!
//! The directory is asked first, then the alias table: an address that the directory has is never
//! taken from the table. With `aliases_first` it is the other way round.

use std::{num::NonZeroU64, sync::Arc, time::SystemTime};

use relais_channels::mail::{Address, ErrorsTo, PostCheck, XQuota};
use relais_config::{Channel, channel::Subaddress, grammar::folded};
use tracing::warn;

use super::{
    list_alias::{ListAlias, ListOwner},
    posting::{AskedLists, PostGoes, PostingCheck},
    refusal::{MAX_EXPANSION, Refusal},
    routes::{Question, Routes},
    steps::{Step, Trace},
    tables::INCLUDE,
};
use crate::directory::{
    Allowance, Domain, Entry, EntryError, IgnoredValue, ListHeaders, Lookup, MemberSearch,
    PostingRules, Request, SieveScripts, Target, evaluate, ignored_dates, ignored_reply_values,
    ignored_scripts,
};

/// The addresses that an address stands for.
#[derive(Default)]
pub(super) struct Targets {
    /// Addresses; and of each whether it is only the way to what it was found for.
    pub(super) addresses: Vec<(String, bool)>,
    /// Members by name that have no address.
    pub(super) missing: Vec<String>,
    /// Hears of failures in the sender's place.
    pub(super) errors_to: Option<ErrorsTo>,
    /// None of them yet: the address is looked up once more, by the reprocess channel.
    pub(super) is_later: bool,
    /// Octets of one message for them.
    pub(super) size_limit: Option<NonZeroU64>,
    /// The quota of the mailbox that one of them is the way to.
    pub(super) quota: Option<Arc<XQuota>>,
    /// Changes to mail for them.
    pub(super) headers: Option<Arc<ListHeaders>>,
    /// Of a list: whether it was asked.
    pub(super) post_check: PostCheck,
    /// Scripts of the user whose mailbox one of them is the way to.
    pub(super) scripts: Option<Arc<SieveScripts>>,
}

/// The names under which one address is looked for.
struct Names<'a> {
    /// Local part without quotes, in lower case.
    local: String,
    /// The same without its subaddress.
    name: Option<String>,
    /// The subaddress as it was written.
    subaddress: Option<&'a str>,
    /// In lower case.
    domain: String,
    ways: Subaddress,
    /// The alias table may have one name for everybody of a domain.
    is_wild: bool,
}

/// Looks for whom one address stands for.
pub(super) struct Aliases<'a, L> {
    pub(super) routes: &'a Routes,
    pub(super) lookup: &'a L,
    /// The local channel that answers for the address.
    pub(super) channel: &'a Channel,
    pub(super) question: &'a Question<'a>,
    /// Aliases that led to the address.
    pub(super) depth: usize,
    /// The alias table is left alone: the address was written with a backslash.
    pub(super) is_plain: bool,
    /// Lists that asked who posts.
    pub(super) asked: &'a mut AskedLists,
    pub(super) trace: &'a mut Trace,
}

impl<L: Lookup> Aliases<'_, L> {
    /// The addresses that this address stands for; `None`: nobody knows it.
    pub(super) async fn targets(mut self, address: &Address) -> Result<Option<Targets>, Refusal> {
        let unquoted = address.unquoted_local();
        let names = Names::of(&unquoted, address, self.channel);
        let Routes { completion, aliases_first, .. } = self.routes;
        if *aliases_first && let Some(targets) = self.in_table(&names).await? {
            return Ok(Some(targets));
        }
        let domain = self.lookup.domain(&names.domain).await?;
        self.trace.note(|| Step::Domain {
            domain: names.domain.clone(),
            found: domain.as_ref().map(|domain| domain.name.clone()),
        });
        if let Some(domain) = &domain
            && let Some(targets) = self.in_directory(address, &names, domain).await?
        {
            return Ok(Some(targets));
        }
        if !*aliases_first && let Some(targets) = self.in_table(&names).await? {
            return Ok(Some(targets));
        }
        // Every host of ours has a postmaster (RFC 5321 section 4.5.1).
        let elsewhere = names.local == "postmaster" && names.domain != *completion;
        Ok(elsewhere.then(|| Targets::one(format!("postmaster@{completion}"), false)))
    }

    /// `None`: the directory knows nothing of it.
    async fn in_directory(
        &mut self,
        address: &Address,
        names: &Names<'_>,
        domain: &Arc<Domain>,
    ) -> Result<Option<Targets>, Refusal> {
        let (now, released) = (SystemTime::now(), self.question.released);
        let may_defer = self.may_defer();
        for (probe, subaddress) in names.probes() {
            let Some(entry) = self.find(domain, &probe).await? else { continue };
            let request = Request { address, subaddress, domain, now, released, may_defer };
            return self.options(&request, &entry).await.map(Some);
        }
        let replaced = |attribute: &'static str| domain.entry.first(attribute);
        if let Some(catch_all) = replaced("maildomaincatchalladdress") {
            let catch_all = catch_all.to_owned();
            let targets = self.instead("mailDomainCatchallAddress", catch_all, false);
            return Ok(Some(self.limited(targets, domain)));
        }
        if let Some(host) = replaced("mailroutingsmarthost") {
            let routed = format!("@{host}:{}", address.mailbox());
            let targets = self.instead("mailRoutingSmartHost", routed, true);
            return Ok(Some(self.limited(targets, domain)));
        }
        // An entry may be there for everybody else of its domain.
        let everybody = format!("@{}", names.domain);
        let Some(entry) = self.find(domain, &everybody).await? else { return Ok(None) };
        let subaddress = None;
        let request = Request { address, subaddress, domain, now, released, may_defer };
        self.options(&request, &entry).await.map(Some)
    }

    /// Whether another channel may look an address up later: mail from that channel it may not.
    fn may_defer(&self) -> bool {
        let Question { source_channel, header, .. } = self.question;
        self.routes.reprocess.is_some() && !header && !self.routes.is_internal(source_channel)
    }

    fn posting_check(&mut self, may_defer: bool) -> PostingCheck<'_, L> {
        let (asked, bounds) = ((self.routes, self.lookup), (self.depth, may_defer));
        PostingCheck::new(asked, self.question, bounds, self.asked, self.trace)
    }

    /// The one mail entry with this address.
    async fn find(
        &mut self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> Result<Option<Arc<Entry>>, Refusal> {
        let mut entries = self.lookup.entries(domain, address).await?;
        self.trace.note(|| Step::Entries {
            address: address.to_owned(),
            found: entries.iter().map(|entry| entry.dn.clone()).collect(),
        });
        entries.retain(|entry| entry.is_mail());
        match entries.len() {
            0 | 1 => Ok(entries.pop()),
            count => {
                warn!(?address, count, "several directory entries have one address");
                Err(EntryError::Ambiguous(count).into())
            }
        }
    }

    /// Where the delivery options of an entry lead.
    async fn options(&mut self, request: &Request<'_>, entry: &Entry) -> Result<Targets, Refusal> {
        let applied = evaluate(&self.routes.policy, entry, request).inspect_err(|error| {
            warn!(dn = ?entry.dn, %error, "a directory entry takes no mail");
            self.trace.note(|| Step::unusable(entry, error));
        })?;
        if applied.iter().any(|its| its.autoreply) {
            self.note_ignored(&entry.dn, &ignored_dates(entry));
            self.note_ignored(&entry.dn, &ignored_reply_values(entry));
        }
        let Allowance { quota, size_limit, .. } = self.allowance(entry, &request.domain.entry);
        let (errors_to, quota) = (errors_to(entry).map(ErrorsTo::reader), quota.map(Arc::new));
        let mut all = Targets { errors_to, size_limit, quota, ..Targets::default() };
        if !applied.iter().any(|applied| applied.is_elsewhere) {
            self.note_ignored(&request.domain.entry.dn, &ignored_scripts(&request.domain.entry));
            all.scripts = self.scripts(entry);
        }
        if entry.is_group() {
            let wants_password = PostingRules::want_password(entry);
            // The way to a list is not the way to its members: they are looked up once more there.
            if !applied.iter().all(|applied| applied.is_way) {
                all.headers = self.headers(entry, wants_password);
            }
            all.post_check = PostCheck::Passed;
            match self.posting_check(request.may_defer).ask(entry).await? {
                PostGoes::Passes => {}
                PostGoes::ToModerators(moderators) => {
                    all.addresses.extend(moderators.into_iter().map(|address| (address, false)));
                    return Ok(all);
                }
                PostGoes::Later => {
                    (all.is_later, all.post_check) = (true, PostCheck::NotAsked);
                    return Ok(all);
                }
            }
        }
        for applied in applied {
            let (targets, failure) = match applied.targets {
                Ok(targets) => (targets, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            let before = all.addresses.len();
            for target in targets {
                match target {
                    Target::Address(address) if applied.autoreply && applied.is_way => {
                        all.addresses.push((format!("{AUTOREPLY_WAY}{address}"), true));
                    }
                    Target::Address(address) => all.addresses.push((address, applied.is_way)),
                    Target::Member(dn) => match self.address_of(&dn).await? {
                        Some(address) => all.addresses.push((address, false)),
                        None => all.missing.push(dn),
                    },
                    Target::Search(search) => {
                        let found = self.members_by(&search).await?;
                        all.addresses.extend(found.into_iter().map(|address| (address, false)));
                    }
                    Target::Later => all.is_later = true,
                }
            }
            self.trace.note(|| Step::Option {
                option: applied.option.to_owned(),
                targets: all.addresses[before..]
                    .iter()
                    .map(|(address, _)| address.trim_start_matches(AUTOREPLY_WAY).to_owned())
                    .collect(),
                failure: failure.map(|failure| failure.to_string()),
            });
        }
        Ok(all)
    }

    /// The scripts of a user, told.
    fn scripts(&mut self, entry: &Entry) -> Option<Arc<SieveScripts>> {
        self.note_ignored(&entry.dn, &ignored_scripts(entry));
        let scripts = SieveScripts::of(entry, self.routes.policy.script_files.as_ref())?;
        self.trace.note(|| Step::Scripts {
            count: scripts.texts.len(),
            file: scripts.file.as_ref().map(|file| file.display().to_string()),
        });
        Some(Arc::new(scripts))
    }

    /// The addresses of members that a search finds.
    async fn members_by(&mut self, search: &MemberSearch) -> Result<Vec<String>, Refusal> {
        let found = self.lookup.found_by(search, &[]).await.inspect_err(|error| {
            warn!(%search, %error, "the members of a list cannot be found: its mail waits");
        })?;
        // A value that is no address names nobody, and is told to nobody.
        let is_address =
            |value: &&String| Address::parse(value).is_ok_and(|address| address.domain().is_some());
        let addresses = found.iter().flat_map(|entry| search.addresses_of(entry));
        let addresses = addresses.filter(is_address);
        let addresses: Vec<_> = addresses.take(MAX_EXPANSION + 1).cloned().collect();
        if found.len().max(addresses.len()) > MAX_EXPANSION {
            warn!(%search, "a search finds more members than a list may have");
            return Err(Refusal::TooMany);
        }
        self.trace.note(|| Step::Found { search: search.to_string(), addresses: addresses.len() });
        Ok(addresses)
    }

    /// The changes to a list's mail, told.
    fn headers(&mut self, entry: &Entry, wants_password: bool) -> Option<Arc<ListHeaders>> {
        let mut ignored = Vec::new();
        let mut headers = ListHeaders::of(entry, &mut ignored);
        headers.hides_password = wants_password;
        self.note_ignored(&entry.dn, &ignored);
        if headers.is_empty() {
            return None;
        }
        self.trace.note(|| Step::of_headers(&headers));
        Some(Arc::new(headers))
    }

    /// The allowance of an entry, told.
    fn allowance(&mut self, entry: &Entry, domain: &Entry) -> Allowance {
        let allowance = Allowance::of(entry, domain);
        self.note_allowance(&entry.dn, &allowance);
        allowance
    }

    /// Targets in place of somebody who has no entry in this domain.
    fn limited(&mut self, targets: Targets, domain: &Domain) -> Targets {
        let allowance = Allowance::of_everybody(&domain.entry);
        self.note_allowance(&domain.entry.dn, &allowance);
        Targets { size_limit: allowance.size_limit, ..targets }
    }

    fn note_allowance(&mut self, dn: &str, Allowance { quota, size_limit, ignored }: &Allowance) {
        self.note_ignored(dn, ignored);
        if let Some(quota) = quota {
            self.trace.note(|| Step::Quota { size: quota.size, messages: quota.messages });
        }
        if let Some(limit) = size_limit {
            self.trace.note(|| Step::SizeLimit { octets: limit.get() });
        }
    }

    fn note_ignored(&mut self, dn: &str, ignored: &[IgnoredValue]) {
        for IgnoredValue { attribute, value, wanted } in ignored {
            warn!(?dn, attribute, ?value, wanted, "a value in the directory is ignored");
            self.trace.note(|| Step::Ignored { attribute, value: value.clone(), wanted });
        }
    }

    /// Members of a group by name are asked for their address.
    async fn address_of(&self, dn: &str) -> Result<Option<String>, Refusal> {
        let entry = self.lookup.entry(dn).await?;
        Ok(entry.and_then(|entry| entry.first("mail").map(str::to_owned)))
    }

    /// `None`: the alias table knows nothing of it.
    async fn in_table(&mut self, names: &Names<'_>) -> Result<Option<Targets>, Refusal> {
        let aliases = &self.routes.tables.aliases;
        if self.is_plain || aliases.is_empty() {
            return Ok(None);
        }
        let mut probes = names.probes().chain(names.wild_probes()).chain(names.bare_probes());
        let found = probes.find_map(|(name, subaddress)| {
            let list = aliases.list(&name);
            let targets = match list {
                Some(list) => list.members.clone(),
                None => aliases.get(&name)?.into_owned(),
            };
            Some((name, subaddress, (list, targets)))
        });
        let Some((name, subaddress, (list, targets))) = found else { return Ok(None) };
        let delimiter = &self.channel.recipient_delimiter;
        let taken_over = |target| with_subaddress(target, delimiter, subaddress);
        let targets: Vec<_> = targets.into_iter().map(taken_over).collect();
        // As in sendmail's and Postfix's alias files.
        let owner = format!("owner-{name}");
        let owner = aliases.has(&owner).then_some(owner);
        let found = Targets {
            addresses: Targets::of(targets).addresses,
            errors_to: owner.map(ErrorsTo::reader),
            ..Targets::default()
        };
        if let Some(list) = list {
            return self.in_list((&name, list), found).await.map(Some);
        }
        self.note_members("aliases", &found);
        Ok(Some(found))
    }

    /// The addresses that a list with parameters stands for; `found`: its members by address.
    async fn in_list(
        &mut self,
        (name, list): (&str, &ListAlias),
        mut found: Targets,
    ) -> Result<Targets, Refusal> {
        self.trace
            .note(|| Step::Parameters { alias: name.to_owned(), parameters: list.shown.clone() });
        if let Some(why) = &list.closed {
            return Err(Refusal::List(why.clone()));
        }
        if let Some(limit) = list.size_limit {
            self.trace.note(|| Step::SizeLimit { octets: limit.get() });
        }
        found.size_limit = list.size_limit;
        found.post_check = PostCheck::Passed;
        let may_defer = self.may_defer();
        if let Some(rules) = &list.rules {
            match self.posting_check(may_defer).ask_by(rules, name).await? {
                PostGoes::Passes => {}
                PostGoes::ToModerators(them) => {
                    let size_limit = list.size_limit;
                    return Ok(Targets { size_limit, ..Targets::members(them) });
                }
                PostGoes::Later => {
                    (found.is_later, found.post_check) = (true, PostCheck::NotAsked);
                    return Ok(found);
                }
            }
        }
        if list.is_deferred && may_defer {
            found.is_later = true;
            return Ok(found);
        }
        match &list.owner {
            ListOwner::Unsaid => {}
            ListOwner::Poster => found.errors_to = None,
            ListOwner::Other(owner) => {
                let address = owner.address.to_string();
                self.trace.note(|| Step::ListSender { address });
                found.errors_to = Some(owner.clone());
            }
        }
        if let Some(headers) = &list.headers {
            self.trace.note(|| Step::of_headers(headers));
            found.headers = Some(Arc::clone(headers));
        }
        for search in &list.searches {
            let more = self.members_by(search).await?;
            found.addresses.extend(more.into_iter().map(|address| (address, false)));
        }
        self.note_members("aliases", &found);
        Ok(found)
    }

    fn note_members(&mut self, source: &'static str, found: &Targets) {
        self.trace.note(|| Step::Alias {
            source,
            targets: found.addresses.iter().map(|(address, _)| address.clone()).collect(),
        });
    }

    fn instead(&mut self, source: &'static str, target: String, is_way: bool) -> Targets {
        self.trace.note(|| Step::Alias { source, targets: vec![target.clone()] });
        Targets::one(target, is_way)
    }
}

impl Targets {
    /// Addresses that are members themselves, and what operators and accounts may name beside them:
    /// commands, files, and lists in files, which are ways of the alias's own.
    pub(super) fn of(addresses: Vec<String>) -> Self {
        let own = |address: &str| address.starts_with(['|', '/']) || address.starts_with(INCLUDE);
        let addresses = addresses.into_iter().map(|address| (own(&address), address));
        let addresses = addresses.map(|(is_way, address)| (address, is_way)).collect();
        Self { addresses, ..Self::default() }
    }

    fn members(addresses: Vec<String>) -> Self {
        let addresses = addresses.into_iter().map(|address| (address, false)).collect();
        Self { addresses, ..Self::default() }
    }

    fn one(address: String, is_way: bool) -> Self {
        Self { addresses: vec![(address, is_way)], ..Self::default() }
    }
}

impl<'a> Names<'a> {
    fn of(unquoted: &'a str, address: &Address, channel: &Channel) -> Self {
        let Channel { recipient_delimiter: delimiter, subaddress: ways, .. } = channel;
        // A delimiter at the beginning is part of the name.
        let detail = unquoted
            .find(delimiter)
            .filter(|at| *at > 0 && !delimiter.is_empty())
            .map(|at| (&unquoted[..at], &unquoted[at + delimiter.len()..]));
        Self {
            local: folded(unquoted),
            name: detail.map(|(name, _)| folded(name)),
            subaddress: detail.map(|(_, subaddress)| subaddress).filter(|text| !text.is_empty()),
            domain: address.domain().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase(),
            ways: *ways,
            is_wild: channel.aliaswild,
        }
    }

    /// `name+sub`, `name+*`, `name`, each with its domain and what is left as subaddress.
    fn probes(&self) -> impl Iterator<Item = (String, Option<&'a str>)> {
        let domain = &self.domain;
        self.bare_probes().map(move |(name, subaddress)| (format!("{name}@{domain}"), subaddress))
    }

    /// `*+*` and `*`, each with its domain, where everybody of a domain may have one alias.
    fn wild_probes(&self) -> impl Iterator<Item = (String, Option<&'a str>)> {
        let (domain, subaddress) = (&self.domain, self.subaddress);
        let detailed = self.name.as_ref().map(|_| "*+*");
        let names = detailed.into_iter().chain(["*"]).filter(|_| self.is_wild);
        names.map(move |name| (format!("{name}@{domain}"), subaddress))
    }

    /// The same without the domain.
    fn bare_probes(&self) -> impl Iterator<Item = (String, Option<&'a str>)> {
        let (sub, ways) = (self.subaddress, self.ways);
        let name = self.name.as_ref();
        let wild = name.filter(|_| ways != Subaddress::Exact).map(|name| format!("{name}+*"));
        let relaxed = name.filter(|_| ways == Subaddress::Relaxed).cloned();
        let shorter = wild.into_iter().chain(relaxed).map(move |name| (name, sub));
        [(self.local.clone(), None)].into_iter().chain(shorter)
    }
}

/// `newname+*` takes over the subaddress, as in the original.
fn with_subaddress(target: String, delimiter: &str, subaddress: Option<&str>) -> String {
    let (local, domain) = target.split_at(target.find('@').unwrap_or(target.len()));
    let base = local.strip_suffix('*').and_then(|its| its.strip_suffix(delimiter));
    let Some(base) = base.filter(|base| !base.is_empty() && !delimiter.is_empty()) else {
        return target;
    };
    let detail = subaddress.map_or_else(String::new, |its| format!("{delimiter}{its}"));
    format!("{base}{detail}{domain}")
}

/// The reader of a list's failures: an address, or a URL of one.
fn errors_to(entry: &Entry) -> Option<String> {
    let value = entry.first("mgrperrorsto")?.trim();
    let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    let address = scheme.map_or(value, |_| &value[7..]);
    Address::parse(address).is_ok().then(|| address.to_owned())
}

/// The beginning of a target that is an automatic reply: no address begins so.
pub(super) const AUTOREPLY_WAY: &str = ":autoreply:";

/// First characters of targets of aliases that are no addresses: commands, files, what else begins
/// with a colon.
pub(super) const SPECIAL: [char; 3] = ['|', '/', ':'];
