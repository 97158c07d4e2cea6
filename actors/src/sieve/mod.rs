//! Sieve scripts on mail that comes into the queue (RFC 5228): of the system, of channels, of users.
//!
//! It is known by then whom a message is for: the router has gone through aliases and the directory,
//! and a way to a user's mailbox has the user's scripts with it. They make other ways of it: into a
//! folder, to another address, back to the sender, or none. Nothing is in the queue yet, so that a
//! message which cannot be taken is not taken at all.
//!
//! A script that is broken, or more work than it may be, leaves mail in the INBOX: mail is never lost
//! or refused by a mistake in one. Where the file of one cannot be read now, and was not before, the
//! recipient waits.

mod chain;
mod compiled;
mod duplicates;
mod files;
mod folder;
mod outcome;
mod redirects;
mod told;
mod written_here;

use std::{
    collections::{HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use jiff::Zoned;
use relais_channels::mail::{Address, Enhanced, Reply};
use relais_config::Config;
use relais_sieve::{
    Capability, Delivery, DuplicateQuery, Environment, Limits, Message, Script, VacationReply,
    Verdict,
};
use tracing::{error, info, warn};

pub use self::{
    chain::channel_mistake,
    duplicates::Seen,
    files::{files_below, script_text},
    folder::NoFolder,
    outcome::edited_copy,
    redirects::{CIRCLE, Ending, Onward, RedirectChain, Redirected, Redirects, redirect_target},
    told::OwnersTold,
};
use self::{
    chain::{ScriptChain, ScriptSources, Unreadable},
    duplicates::Duplicates,
    outcome::{FiledWays, with_edits},
    redirects::NOBODY,
    told::owners_told,
};
use crate::{
    directory::{FieldEdit, SieveScripts},
    events::Printable,
    forms::{beginning, edited_message, header_octets},
    metrics::{Metrics, SieveResult},
    router::{AUTOREPLY, PostProof, Poster, Question, Route, RouterHandle, Routes},
    seldom::Seldom,
};

/// Carries scripts out. One for the engine.
pub struct SieveRunner {
    limits: Limits,
    sources: ScriptSources,
    environment: Environment,
    duplicates: Arc<Duplicates>,
    owners: OwnersTold,
    told: Arc<Seldom>,
    metrics: Arc<Metrics>,
}

/// A message as scripts see it.
pub struct SievedMail<'a> {
    /// Its header, and its body as far as that is there.
    pub message: &'a Message<'a>,
    /// The same as it came.
    pub octets: &'a [u8],
    /// Octets of all of it.
    pub size: u64,
    /// The sender without angle brackets.
    pub sender: &'a str,
    /// The channel that it comes in by.
    pub source_channel: &'a str,
    /// The client that brings it, or brought it.
    pub client: Option<IpAddr>,
    /// Where redirected mail goes.
    pub router: &'a RouterHandle,
    /// The caller says when it is in the queue ([`SieveRunner::remember`]): only such messages may be taken
    /// for duplicates.
    pub remembers: bool,
}

/// A message that a user's scripts may answer.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredMail<'a> {
    /// As much of it as is there.
    pub octets: &'a [u8],
    /// Its size.
    pub size: u64,
    /// The channel that it came in by.
    pub source_channel: &'a str,
    /// The client that brought it.
    pub client: Option<IpAddr>,
    /// Its sender.
    pub sender: &'a str,
    /// The user's address that it was for.
    pub to: &'a str,
    /// All addresses of the user.
    pub addresses: &'a [Box<str>],
    /// Between a user and a subaddress.
    pub delimiter: &'a str,
}

/// The ways of one recipient behind scripts.
#[derive(Debug, Default)]
pub struct Sieved {
    /// The ways that are left.
    pub ways: Vec<Route>,
    /// Ways that are gone, and the words in which the message is refused there.
    pub refused: Vec<(Route, Reply)>,
    /// To be remembered when the message is in the queue.
    pub seen: Vec<Seen>,
}

/// One way on its way through scripts.
struct Pending {
    /// The address that it was found for.
    to: String,
    way: Route,
    chain: RedirectChain,
}

/// A recipient's ways on their way through scripts.
#[derive(Default)]
struct Walk {
    pending: VecDeque<Pending>,
    redirects: Redirects<(String, Route)>,
    /// Users, in lower case, whose mail scripts answer.
    answered: HashSet<String>,
    sieved: Sieved,
    /// Owners of scripts who were written to.
    told: usize,
}

impl Walk {
    /// No script decides about this copy.
    fn pass(&mut self, here: Pending) {
        self.sieved.ways.push(here.way.clone());
        self.redirects.end((here.to, here.way), &here.chain, Ending::Kept);
    }

    /// The ways that are left of those that the recipient `to` had, each mailbox once.
    fn finish(mut self, routes: &Routes, (to, was): (&str, &[Route])) -> Sieved {
        let unedited = UneditedPlaces::of(self.sieved.ways.iter());
        let is_answered = |way: &Route| {
            let user = way.member.as_deref().unwrap_or(to);
            *way.host == *AUTOREPLY
                && routes.throws_away(&way.channel)
                && self.answered.contains(&user.to_ascii_lowercase())
        };
        // A sender hears once that a user is away.
        self.sieved.ways.retain(|way| unedited.leave(way) && !is_answered(way));
        let is_lost = self.sieved.ways.is_empty() && self.sieved.refused.is_empty();
        if let Some(way) = was.first().filter(|_| is_lost) {
            debug_assert!(false, "scripts leave no way of {was:?}");
            error!(user = %Printable(to), "scripts leave no way of a message: it stays");
            self.sieved.ways.push(Route { scripts: None, ..way.clone() });
        }
        self.sieved
    }
}

impl Pending {
    /// The user whose mail it is, by whichever address; where nobody knows one, the address.
    fn reader(&self) -> &str {
        self.way.scripts.as_ref().map_or(&*self.to, |own| &*own.owner)
    }
}

impl Sieved {
    /// All ways: of those where the message is refused the ones to whoever tells the sender.
    pub fn with_refusals(self, routes: &Routes) -> Vec<Route> {
        let refusing = |(way, reply): (Route, Reply)| {
            routes.refusing(&way, reply).unwrap_or(Route { scripts: None, ..way })
        };
        self.ways.into_iter().chain(self.refused.into_iter().map(refusing)).collect()
    }
}

impl SieveRunner {
    /// As the configuration says; `was` is the one in whose place it comes, whose memory goes on.
    pub fn new(config: &Config, owners: OwnersTold, was: Option<&Self>) -> Self {
        let limits = sieve_limits(config);
        let broken = was.map(|was| Arc::clone(&was.sources.broken)).unwrap_or_default();
        let metrics = Arc::clone(&owners.metrics);
        Self {
            sources: ScriptSources::of(config, &limits, broken, Arc::clone(&metrics)),
            limits,
            environment: environment(Some(&config.host)),
            duplicates: was.map(|was| Arc::clone(&was.duplicates)).unwrap_or_default(),
            told: was.map_or_else(|| Arc::new(owners_told()), |was| Arc::clone(&was.told)),
            metrics,
            owners,
        }
    }

    /// Whether mail that comes in by this channel and goes these ways is shown to any script.
    pub async fn sees<'r>(
        &self,
        source_channel: &str,
        ways: impl Iterator<Item = &'r Route>,
    ) -> bool {
        self.sources.see(source_channel, ways).await
    }

    /// Octets of a body that scripts may look at.
    pub fn body_octets(&self) -> usize {
        self.limits.body_octets
    }

    /// The ways of a recipient behind all scripts. An error: the message is not taken now.
    pub async fn sieve(
        &self,
        mail: &SievedMail<'_>,
        to: &str,
        ways: &[Route],
    ) -> Result<Sieved, Reply> {
        let routes = mail.router.cache.routes();
        let first = |way: &Route| {
            let to = way.member.as_deref().unwrap_or(to).to_owned();
            Pending { chain: RedirectChain::new(&to), to, way: way.clone() }
        };
        let mut walk = Walk { pending: ways.iter().map(first).collect(), ..Walk::default() };
        while let Some(here) = walk.pending.pop_front() {
            if !is_shown_to_scripts(&routes, &here.way) {
                walk.pass(here);
                continue;
            }
            let own = self.sources.own(here.way.scripts.as_deref()).await;
            let ends = (mail.source_channel, Some(&*here.way.channel));
            let Ok(chain) = self.sources.chain(ends, own.as_ref()).await else {
                self.metrics.sieve_runs.count(SieveResult::Unreadable);
                walk.sieved.ways.push(waiting(&routes, &here)?);
                continue;
            };
            let (verdict, broken) = self.run(mail, &here, chain);
            self.tell_owner(mail, (&here.way, broken), &mut walk.told).await;
            if !walk.pending.is_empty() {
                // Other sessions have their turn.
                tokio::task::yield_now().await;
            }
            let Some(verdict) = verdict else {
                walk.pass(here);
                continue;
            };
            let seen =
                verdict.duplicates.iter().map(|query| Seen::new(here.reader(), query.clone()));
            walk.sieved.seen.extend(seen);
            if verdict.vacation.is_some() {
                walk.answered.insert(here.to.to_ascii_lowercase());
            }
            let FiledWays { ways, redirects, refused, unfiled } =
                outcome::of(&routes, (&here.way, &here.to), &verdict);
            self.tell_unfiled(&here.to, &unfiled);
            if ways.is_empty() && redirects.is_empty() && refused.is_none() {
                walk.sieved.ways.push(nowhere(&routes, &here.way, &here.to));
            }
            // A reply is no copy.
            let mut stays = verdict.keep.is_some() || !verdict.files.is_empty();
            let (mut onward, is_refused) = (Onward::default(), refused.is_some());
            walk.sieved.ways.extend(ways);
            walk.sieved.refused.extend(refused.map(|reply| (here.way.clone(), reply)));
            for redirect in redirects {
                let from = (&here, stays, &mut onward);
                stays |= self.follow(mail, &mut walk, from, redirect).await?;
            }
            let ending = onward.ending(stays, is_refused);
            walk.redirects.end((here.to, here.way), &here.chain, ending);
        }
        self.keep_stranded(&mut walk);
        Ok(walk.finish(&routes, (to, ways)))
    }

    /// Writes to the owner of a script that does not work. The client waits: of a long list the others
    /// are told with the next message.
    async fn tell_owner(
        &self,
        mail: &SievedMail<'_>,
        (way, broken): (&Route, Option<String>),
        told: &mut usize,
    ) {
        let owner = way.scripts.as_ref().and_then(|own| own.mail.as_deref());
        let (Some(owner), Some(mistake)) = (owner, broken) else { return };
        if *told < MOST_TOLD && self.told.is_due(&owner) {
            *told += 1;
            self.owners.tell(mail.router, owner, &mistake).await;
        } else if self.told.is_full() && self.sources.broken.is_due(&"owners") {
            warn!("scripts of so many users do not work that no more of them are told today");
        }
    }

    /// Keeps copies that others have led nowhere in the INBOX, one in each.
    fn keep_stranded(&self, walk: &mut Walk) {
        for ((to, way), address) in std::mem::take(&mut walk.redirects).stranded() {
            if self.sources.broken.is_due(&(&*to, "redirect")) {
                let (user, address) = (Printable(&to), Printable(&address));
                info!(%user, %address, "a script redirects mail where no copy gets through: it stays");
            }
            let ways = &mut walk.sieved.ways;
            let place = UneditedPlaces::place(&way);
            if !ways.iter().any(|its| UneditedPlaces::place(its) == place) {
                ways.push(Route { scripts: None, ..way });
            }
        }
    }

    /// Goes on with an address that the scripts behind a way redirect to; `stays`: the message stays there,
    /// too. What goes nowhere stays in any case; whether it was put there for that.
    async fn follow(
        &self,
        mail: &SievedMail<'_>,
        walk: &mut Walk,
        (here, stays, onward): (&Pending, bool, &mut Onward),
        (address, edits): (String, Vec<FieldEdit>),
    ) -> Result<bool, Reply> {
        let Pending { to, way, chain } = here;
        let found = match walk.redirects.follow(chain, &address) {
            Redirected::Known => {
                onward.is_known(&address);
                return Ok(false);
            }
            Redirected::TooFar => Err(CIRCLE),
            Redirected::On(chain) => match self.redirect(mail, &address).await {
                Ok(found) if found.is_empty() => Err(NOBODY),
                found => found.map(|found| (chain, found)),
            },
        };
        if found.as_ref().err().is_none_or(|reply| !reply.is_permanent()) {
            onward.goes(&address);
        }
        match found {
            Ok((chain, found)) => walk.pending.extend(found.iter().map(|found| Pending {
                to: address.clone(),
                way: with_edits(by_redirect(way, found, &address), &edits),
                chain: chain.clone(),
            })),
            Err(reply) if reply.is_permanent() => {
                if self.sources.broken.is_due(&(&**to, "redirect")) {
                    let (user, address) = (Printable(to), Printable(&address));
                    info!(%user, %address, reply = %Printable(&reply), "a script redirects mail where it cannot go: it stays");
                }
                if !stays {
                    walk.sieved.ways.push(Route { scripts: None, ..way.clone() });
                }
                return Ok(!stays);
            }
            // It alone waits, and is looked up once more.
            Err(reply) => {
                walk.redirects.wait(&address);
                let address: Arc<str> = address.as_str().into();
                let member = Some(Arc::clone(&address));
                let later = Route { address, member, scripts: None, ..way.clone() };
                let routes = mail.router.cache.routes();
                walk.sieved.ways.push(routes.refusing(&later, reply.clone()).ok_or(reply)?);
            }
        }
        Ok(false)
    }

    /// The verdict of all scripts that see this way, `None` where there are none or they break off; and
    /// why one of the user's own does not work.
    fn run(
        &self,
        mail: &SievedMail<'_>,
        here: &Pending,
        ScriptChain { scripts, own: own_at, broken }: ScriptChain,
    ) -> (Option<Verdict>, Option<String>) {
        let Pending { to, way, .. } = here;
        if scripts.is_empty() {
            return (None, broken);
        }
        let scripts: Vec<&Script> = scripts.iter().map(|script| &**script).collect();
        let routes = mail.router.cache.routes();
        let mut seen =
            |query: &DuplicateQuery| mail.remembers && self.duplicates.has(here.reader(), query);
        let own = way.scripts.as_deref().map_or(&[][..], |own| &own.addresses);
        let own: Vec<&str> = own.iter().map(|address| &**address).collect();
        // Scripts before this one have changed the header: it is seen so, and changed further.
        let edits = way.headers.as_ref().map_or(&[][..], |changes| &changes.edits);
        let shown = beginning(mail.octets, self.limits.body_octets);
        let octets = (!edits.is_empty()).then(|| edited_message(shown, edits));
        let edited = octets.as_ref().map(|octets| self.message(octets, mail.size));
        let environment = self.environment_of(mail.client);
        let mut delivery = Delivery {
            message: edited.as_ref().unwrap_or(mail.message),
            from: mail.sender,
            to,
            recipient_delimiter: routes.delimiter(),
            now: Zoned::now(),
            environment: &environment,
            own_addresses: &own,
            seen: &mut seen,
            has_folder: &mut any_folder,
        };
        match relais_sieve::run(&scripts, &mut delivery, &self.limits) {
            Ok(verdict) => {
                self.metrics.sieve_runs.count(SieveResult::Done);
                (Some(verdict), broken)
            }
            Err(error) => {
                self.metrics.sieve_runs.count(SieveResult::BrokeOff);
                self.sources.tell_broken(to, &error.to_string());
                let is_own = own_at.contains(&error.script);
                (None, broken.or_else(|| is_own.then(|| error.without_words())))
            }
        }
    }

    /// The reply that scripts want to a message: those of the system, which answer for everybody, and the
    /// user's. An error: nobody can tell now.
    pub async fn vacation(
        &self,
        mail: &AnsweredMail<'_>,
        own: Option<&SieveScripts>,
    ) -> Result<Option<VacationReply>, Reply> {
        let own = self.sources.own(own).await;
        let chain = self.sources.chain((mail.source_channel, None), own.as_ref()).await;
        let ScriptChain { scripts, .. } = chain.map_err(|Unreadable| UNREADABLE)?;
        let scripts: Vec<&Script> = scripts.iter().map(|script| &**script).collect();
        if !scripts.iter().any(|script| script.uses(Capability::Vacation)) {
            return Ok(None);
        }
        let message = self.message(mail.octets, mail.size);
        let addresses: Vec<&str> = mail.addresses.iter().map(|address| &**address).collect();
        let environment = self.environment_of(mail.client);
        let mut delivery = Delivery {
            message: &message,
            from: mail.sender,
            to: mail.to,
            recipient_delimiter: mail.delimiter,
            now: Zoned::now(),
            environment: &environment,
            own_addresses: &addresses,
            seen: &mut |_| false,
            has_folder: &mut any_folder,
        };
        let verdict = relais_sieve::run(&scripts, &mut delivery, &self.limits).ok();
        Ok(verdict.and_then(|verdict| verdict.vacation))
    }

    /// A message of this size as scripts see it; its octets as far as they are there.
    pub fn message<'m>(&self, octets: &'m [u8], size: u64) -> Message<'m> {
        let (header, body) = octets.split_at(header_octets(octets, 0).unwrap_or(octets.len()));
        Message::of(header, body, size, &self.limits)
    }

    /// The place in which scripts run on mail of this client.
    fn environment_of(&self, client: Option<IpAddr>) -> Environment {
        let remote_ip = client.map(|client| client.to_string());
        Environment { remote_ip, ..self.environment.clone() }
    }

    /// Messages are in the queue.
    pub fn remember(&self, seen: &[Seen]) {
        self.duplicates.remember(seen);
    }

    async fn redirect(&self, mail: &SievedMail<'_>, address: &str) -> Result<Arc<[Route]>, Reply> {
        let address = redirect_target(&mail.router.cache.routes(), address)?;
        let question = Question {
            address: &address,
            sender: mail.sender,
            source_channel: mail.source_channel,
            // The user may write to others.
            may_relay: true,
            header: false,
            released: false,
            submission: None,
            poster: Poster::Queued,
            earlier: None,
            proof: PostProof::default(),
        };
        mail.router.resolve(&question).await
    }

    fn tell_unfiled(&self, user: &str, unfiled: &[(String, NoFolder)]) {
        for (folder, why) in unfiled {
            if self.sources.broken.is_due(&(user, folder)) {
                let (user, folder) = (Printable(user), Printable(folder));
                info!(%user, %folder, %why, "a Sieve script names a folder that there cannot be: mail goes to the INBOX");
            }
        }
    }
}

/// Whether scripts decide about mail that goes this way: a reply or a failure is on its way already.
pub fn is_shown_to_scripts(routes: &Routes, way: &Route) -> bool {
    way.refused.is_none() && !routes.throws_away(&way.channel)
}

/// The way on which a recipient waits whose scripts cannot be read now, and is looked up once more. An error:
/// there is no channel to wait in, and the message is not taken now.
fn waiting(routes: &Routes, here: &Pending) -> Result<Route, Reply> {
    let address: Arc<str> = here.to.as_str().into();
    let way = Route { member: Some(Arc::clone(&address)), address, ..here.way.clone() };
    let waiting = routes.refusing(&way, UNREADABLE).ok_or(UNREADABLE)?;
    // The user is looked up without the list whose changes these are.
    Ok(Route { headers: way.headers, ..waiting })
}

/// The way of what is thrown away; where there is no channel for that it stays in the INBOX.
fn nowhere(routes: &Routes, way: &Route, to: &str) -> Route {
    let address = Address::parse(to).ok();
    let nowhere = address.and_then(|address| routes.discarding(&address)?.first().cloned());
    match nowhere {
        Some(nowhere) => Route { member: way.member.clone(), ..nowhere },
        None => Route { scripts: None, ..way.clone() },
    }
}

/// The place in which scripts run, as they are told (RFC 5183); on a host that has a name.
pub fn environment(host: Option<&str>) -> Environment {
    let domain = host.and_then(|host| host.split_once('.'));
    Environment {
        domain: domain.map(|(_, domain)| domain.to_owned()),
        host: host.map(str::to_owned),
        location: Some("MTA".to_owned()),
        name: Some("relais".to_owned()),
        phase: Some("pre".to_owned()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Environment::default()
    }
}

/// A relay sees no mailbox: each folder is there, or made when mail comes for it.
fn any_folder(_: &str) -> bool {
    true
}

/// The bounds of scripts.
pub fn sieve_limits(config: &Config) -> Limits {
    let sieve = &config.sieve;
    Limits {
        script_octets: sieve.max_script_size as usize,
        body_octets: sieve.max_body as usize,
        time: sieve.max_time,
        redirects: sieve.max_redirects,
        ..Limits::default()
    }
}

/// A way that a redirect from another one led to, by the address that it named. What goes there is the
/// message as it would have come to the one who redirects it, with what lists change in it.
fn by_redirect(from: &Route, found: &Route, address: &str) -> Route {
    let member = found.member.clone().unwrap_or_else(|| address.into());
    let headers = match (&from.headers, &found.headers) {
        (Some(outer), Some(inner)) => Some(Arc::new(outer.and(inner))),
        (outer, inner) => outer.as_ref().or(inner.as_ref()).cloned(),
    };
    let errors_to = found.errors_to.as_ref().or(from.errors_to.as_ref()).cloned();
    Route { member: Some(member), headers, errors_to, ..found.clone() }
}

/// Said of a script whose only effect is flags.
pub const ONLY_FLAGS: &str =
    "all that it does is to set IMAP flags, and they are dropped: LMTP has no place for them";

/// Mailboxes that some way leads to on which no script changes the header. Edited ways there are left out:
/// nobody else's script changes a user's own copy.
pub struct UneditedPlaces(HashSet<(Arc<str>, Arc<str>, Arc<str>)>);

impl UneditedPlaces {
    /// Of these ways.
    pub fn of<'r>(ways: impl Iterator<Item = &'r Route>) -> Self {
        Self(ways.filter(|way| !way.is_edited()).map(Self::place).collect())
    }

    /// Whether a way stays.
    pub fn leave(&self, way: &Route) -> bool {
        !way.is_edited() || !self.0.contains(&Self::place(way))
    }

    fn place(way: &Route) -> (Arc<str>, Arc<str>, Arc<str>) {
        (Arc::clone(&way.channel), Arc::clone(&way.host), Arc::clone(&way.address))
    }
}

const UNREADABLE: Reply =
    Reply::new(451, Enhanced(4, 3, 0), "the recipient's mail filters cannot be read now");
/// Owners of scripts that do not work who are told because of one message.
const MOST_TOLD: usize = 10;
