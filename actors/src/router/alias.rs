//! Aliases: whom an address of the local channel stands for.
//!
//! The directory is asked first, then the alias table: an address that the directory has is never
//! taken from the table. With `aliases_first` it is the other way round.

use std::{
    num::NonZeroU64,
    sync::{Arc, Once},
    time::SystemTime,
};

use relais_channels::mail::{Address, XQuota};
use relais_config::{Channel, channel::Subaddress};
use tracing::warn;

use super::{
    posting::{AskedLists, PostGoes, PostingCheck},
    refusal::{MAX_EXPANSION, Refusal},
    routes::{Question, Routes},
    steps::{Step, Trace},
    tables::INCLUDE,
};
use crate::directory::{
    Allowance, Domain, Entry, EntryError, IgnoredValue, ListHeaders, Lookup, MemberSearch, Request,
    Target, evaluate,
};

/// The addresses that an address stands for.
#[derive(Default)]
pub(super) struct Targets {
    /// Addresses; and of each whether it is only the way to what it was found for.
    pub(super) addresses: Vec<(String, bool)>,
    /// Members by name that have no address.
    pub(super) missing: Vec<String>,
    /// Hears of failures in the sender's place.
    pub(super) errors_to: Option<String>,
    /// None of them yet: the address is looked up once more, by the reprocess channel.
    pub(super) is_later: bool,
    /// Octets of one message for them.
    pub(super) size_limit: Option<NonZeroU64>,
    /// The quota of the mailbox that one of them is the way to.
    pub(super) quota: Option<Arc<XQuota>>,
    /// Changes to the header of mail for them.
    pub(super) headers: Option<Arc<ListHeaders>>,
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
        if *aliases_first && let Some(targets) = self.in_table(&names) {
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
        if !*aliases_first && let Some(targets) = self.in_table(&names) {
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
            let may_defer = may_defer && !has_headers(&entry);
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
        let Allowance { quota, size_limit, .. } = self.allowance(entry, &request.domain.entry);
        let (errors_to, quota) = (errors_to(entry), quota.map(Arc::new));
        let mut all = Targets { errors_to, size_limit, quota, ..Targets::default() };
        if entry.is_group() {
            self.note_unheeded(entry);
            all.headers = self.headers(entry);
            let check =
                PostingCheck::new(self.lookup, self.question, self.depth, self.asked, self.trace);
            if let PostGoes::ToModerators(moderators) = check.ask(entry).await? {
                all.addresses.extend(moderators.into_iter().map(|address| (address, false)));
                return Ok(all);
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

    /// The changes to the header of a list's mail, told.
    fn headers(&mut self, entry: &Entry) -> Option<Arc<ListHeaders>> {
        let mut ignored = Vec::new();
        let headers = ListHeaders::of(entry, &mut ignored);
        self.note_ignored(&entry.dn, &ignored);
        if headers.is_empty() {
            return None;
        }
        self.trace.note(|| Step::ListHeaders {
            added: headers.added.iter().map(ToString::to_string).collect(),
            removed: headers.removed.iter().map(ToString::to_string).collect(),
        });
        Some(Arc::new(headers))
    }

    /// Tells of attributes that a list has in vain.
    fn note_unheeded(&mut self, entry: &Entry) {
        for (key, attribute) in UNHEEDED {
            if entry.first(key).is_none() {
                continue;
            }
            let dn = &entry.dn;
            UNHEEDED_IS_TOLD.call_once(|| {
                warn!(?dn, attribute, "not there yet: an attribute of a list does nothing");
            });
            self.trace.note(|| Step::Unheeded { dn: dn.clone(), attribute });
        }
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
    fn in_table(&mut self, names: &Names<'_>) -> Option<Targets> {
        let aliases = &self.routes.tables.aliases;
        if self.is_plain || aliases.is_empty() {
            return None;
        }
        let mut probes = names.probes().chain(names.bare_probes());
        let (name, subaddress, targets) = probes.find_map(|(name, subaddress)| {
            let targets = aliases.get(&name)?.into_owned();
            Some((name, subaddress, targets))
        })?;
        let delimiter = &self.channel.recipient_delimiter;
        let taken_over = |target| with_subaddress(target, delimiter, subaddress);
        let targets: Vec<_> = targets.into_iter().map(taken_over).collect();
        self.trace.note(|| Step::Alias { source: "aliases", targets: targets.clone() });
        // As in sendmail's and Postfix's alias files.
        let owner = format!("owner-{name}");
        Some(Targets {
            addresses: Targets::of(targets).addresses,
            errors_to: aliases.has(&owner).then_some(owner),
            ..Targets::default()
        })
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
            local: unquoted.to_ascii_lowercase(),
            name: detail.map(|(name, _)| name.to_ascii_lowercase()),
            subaddress: detail.map(|(_, subaddress)| subaddress).filter(|text| !text.is_empty()),
            domain: address.domain().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase(),
            ways: *ways,
        }
    }

    /// `name+sub`, `name+*`, `name`, each with its domain and what is left as subaddress.
    fn probes(&self) -> impl Iterator<Item = (String, Option<&'a str>)> {
        let domain = &self.domain;
        self.bare_probes().map(move |(name, subaddress)| (format!("{name}@{domain}"), subaddress))
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

/// Whether mail for a list gets another header: copies that are made later have the header that came.
fn has_headers(entry: &Entry) -> bool {
    ["mgrpaddheader", "mgrpremoveheader"].iter().any(|name| entry.first(name).is_some())
}

/// Attributes of lists that are not heeded yet, in lower case and as they are written.
const UNHEEDED: [(&str, &str); 2] =
    [("mgrpmsgprefixtext", "mgrpMsgPrefixText"), ("mgrpmsgsuffixtext", "mgrpMsgSuffixText")];
/// One line is enough, whatever mail comes: `relais route` shows it of each list.
static UNHEEDED_IS_TOLD: Once = Once::new();
