//! Sieve scripts on mail that comes into the queue (RFC 5228): of the system, of channels, of users.
//!
//! It is known by then whom a message is for: the router has gone through aliases and the directory,
//! and a way to a user's mailbox has the user's scripts with it. They make other ways of it: into a
//! folder, to another address, back to the sender, or none. Nothing is in the queue yet, so that a
//! message which cannot be taken is not taken at all.
//!
//! A script that is broken, or more work than it may be, leaves mail in the INBOX: mail is never lost
//! or refused by a mistake in one.

mod compiled;
mod duplicates;
mod folder;
mod outcome;
mod told;

use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Zoned;
use relais_channels::mail::{Address, Enhanced, Reply};
use relais_config::Config;
use relais_sieve::{
    Delivery, DuplicateQuery, Environment, Limits, Message, Script, VacationReply, Verdict,
};
use tracing::{info, warn};

use self::{
    compiled::CompiledScripts,
    duplicates::Duplicates,
    outcome::{FiledWays, with_edits},
    told::TellingTimes,
};
pub use self::{duplicates::Seen, told::OwnersTold};
use crate::{
    directory::SieveScripts,
    events::Printable,
    forms::header_octets,
    metrics::{Metrics, SieveResult},
    router::{PostProof, Poster, Question, Route, RouterHandle, Routes},
    seldom::Seldom,
};

/// Carries scripts out. One for the engine.
pub struct SieveRunner {
    limits: Limits,
    compiled: CompiledScripts,
    environment: Environment,
    users: bool,
    before: Option<PathBuf>,
    after: Option<PathBuf>,
    /// Files of scripts by channel: of mail that comes in by it, and that leaves by it.
    of_channels: Vec<(String, Option<PathBuf>, Option<PathBuf>)>,
    duplicates: Arc<Duplicates>,
    broken: Arc<Seldom>,
    owners: OwnersTold,
    told: Arc<TellingTimes>,
    metrics: Arc<Metrics>,
}

/// A message as scripts see it.
pub struct SievedMail<'a> {
    /// Its header, and its body as far as that is there.
    pub message: &'a Message<'a>,
    /// The sender without angle brackets.
    pub sender: &'a str,
    /// The channel that it comes in by.
    pub source_channel: &'a str,
    /// Where redirected mail goes.
    pub router: &'a RouterHandle,
    /// The caller says when it is in the queue ([`SieveRunner::remember`]): only such messages may be taken
    /// for duplicates.
    pub remembers: bool,
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
    /// The addresses, in lower case, that redirected it here, one behind the other, its own the last.
    chain: Vec<String>,
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
        let (sieve, limits) = (&config.sieve, sieve_limits(config));
        let of_channel = |channel: &relais_config::Channel| {
            let file = |path: &Option<PathBuf>| path.as_ref().map(|path| config.data.join(path));
            let both = (file(&channel.sourcefilter), file(&channel.destinationfilter));
            (both.0.is_some() || both.1.is_some()).then(|| (channel.name.clone(), both.0, both.1))
        };
        let of_channels: Vec<_> = config.channels.iter().filter_map(of_channel).collect();
        let own = [&sieve.before, &sieve.after].into_iter().flatten();
        let theirs = of_channels.iter().flat_map(|(_, source, out)| [source, out]).flatten();
        let own = own.map(|path| config.data.join(path));
        let files = own.chain(theirs.cloned()).collect();
        Self {
            compiled: CompiledScripts::new(limits.clone(), files),
            limits,
            environment: environment(&config.host),
            users: sieve.users,
            before: sieve.before.as_ref().map(|path| config.data.join(path)),
            after: sieve.after.as_ref().map(|path| config.data.join(path)),
            of_channels,
            duplicates: was.map(|was| Arc::clone(&was.duplicates)).unwrap_or_default(),
            broken: was.map(|was| Arc::clone(&was.broken)).unwrap_or_default(),
            told: was.map(|was| Arc::clone(&was.told)).unwrap_or_default(),
            metrics: Arc::clone(&owners.metrics),
            owners,
        }
    }

    /// Whether mail that comes in by this channel and goes these ways is shown to any script.
    pub fn sees<'r>(
        &self,
        source_channel: &str,
        mut ways: impl Iterator<Item = &'r Route>,
    ) -> bool {
        let by_system = self.before.is_some() || self.after.is_some();
        let has_file = |channel: &str, is_source: bool| {
            let its = self.of_channels.iter().find(|its| its.0 == channel);
            its.is_some_and(|its| if is_source { its.1.is_some() } else { its.2.is_some() })
        };
        by_system
            || !self.of_channels.is_empty() && has_file(source_channel, true)
            || ways.any(|way| {
                self.users && way.scripts.is_some()
                    || !self.of_channels.is_empty() && has_file(&way.channel, false)
            })
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
            Pending { chain: vec![to.to_ascii_lowercase()], to, way: way.clone() }
        };
        let mut pending: VecDeque<_> = ways.iter().map(first).collect();
        let mut redirected: HashSet<String> = HashSet::new();
        let mut sieved = Sieved::default();
        while let Some(Pending { to, way, chain }) = pending.pop_front() {
            // A reply or a failure is on its way already.
            if way.refused.is_some() || routes.throws_away(&way.channel) {
                sieved.ways.push(way);
                continue;
            }
            let (verdict, broken) = self.run(mail, &to, &way);
            if let Some(mistake) = broken {
                let owner = way.scripts.as_ref().and_then(|own| own.mail.as_deref());
                if let Some(owner) = owner.filter(|owner| self.told.is_due(owner)) {
                    self.owners.tell(mail.router, owner, &mistake).await;
                }
            }
            let Some(verdict) = verdict else {
                sieved.ways.push(way);
                continue;
            };
            let seen = verdict.duplicates.iter().map(|query| Seen::new(&to, query.clone()));
            sieved.seen.extend(seen);
            let FiledWays { ways, redirects: others, refused } =
                outcome::of(&routes, (&way, &to), &verdict);
            if ways.is_empty() && others.is_empty() && refused.is_none() {
                sieved.ways.push(nowhere(&routes, &way, &to));
            }
            sieved.ways.extend(ways);
            sieved.refused.extend(refused.map(|reply| (way.clone(), reply)));
            for (address, edits) in others {
                let folded = address.to_ascii_lowercase();
                let is_circle = chain.contains(&folded) || chain.len() > MOST_REDIRECTS;
                // An address that several redirect to gets one copy.
                if !is_circle && !redirected.insert(folded.clone()) {
                    continue;
                }
                let found =
                    if is_circle { Err(CIRCLE) } else { self.redirect(mail, &address).await };
                match found {
                    Ok(found) => pending.extend(found.iter().map(|found| Pending {
                        to: address.clone(),
                        way: with_edits(by_redirect(found, &address), &edits),
                        chain: chain.iter().chain([&folded]).cloned().collect(),
                    })),
                    Err(reply) if reply.is_permanent() => {
                        let (user, address) = (Printable(&to), Printable(&address));
                        info!(%user, %address, reply = %Printable(&reply), "a script redirects mail where it cannot go: it stays");
                        sieved.ways.push(way.clone());
                    }
                    Err(reply) => return Err(reply),
                }
            }
        }
        Ok(sieved)
    }

    /// The verdict of all scripts that see this way, `None` where there are none or they break off; and
    /// why one of the user's own does not work.
    fn run(
        &self,
        mail: &SievedMail<'_>,
        to: &str,
        way: &Route,
    ) -> (Option<Verdict>, Option<String>) {
        let (scripts, broken) = self.scripts_of(mail.source_channel, way);
        if scripts.is_empty() {
            return (None, broken);
        }
        let scripts: Vec<&Script> = scripts.iter().map(|script| &**script).collect();
        let routes = mail.router.cache.routes();
        let mut seen = |query: &DuplicateQuery| mail.remembers && self.duplicates.has(to, query);
        let own = way.scripts.as_deref().map_or(&[][..], |own| &own.addresses);
        let own: Vec<&str> = own.iter().map(|address| &**address).collect();
        let mut delivery = Delivery {
            message: mail.message,
            from: mail.sender,
            to,
            recipient_delimiter: routes.delimiter(),
            now: Zoned::now(),
            environment: &self.environment,
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
                self.tell_broken(to, &error.to_string());
                (None, broken.or(Some(error.to_string())))
            }
        }
    }

    /// The reply that a user's scripts want to a message, of which this much is there, from one and to the
    /// other of `ends`.
    pub fn vacation(
        &self,
        (octets, size): (&[u8], u64),
        (sender, to, delimiter): (&str, &str, &str),
        own: &SieveScripts,
    ) -> Option<VacationReply> {
        let (scripts, _) = self.of_user(own);
        let scripts: Vec<&Script> = scripts.iter().map(|script| &**script).collect();
        let message = self.message(octets, size);
        let own: Vec<&str> = own.addresses.iter().map(|address| &**address).collect();
        let mut delivery = Delivery {
            message: &message,
            from: sender,
            to,
            recipient_delimiter: delimiter,
            now: Zoned::now(),
            environment: &self.environment,
            own_addresses: &own,
            seen: &mut |_| false,
            has_folder: &mut any_folder,
        };
        relais_sieve::run(&scripts, &mut delivery, &self.limits).ok()?.vacation
    }

    fn scripts_of(&self, source_channel: &str, way: &Route) -> (Vec<Arc<Script>>, Option<String>) {
        let (mut scripts, mut broken) = (Vec::new(), None);
        let file = |path: Option<&PathBuf>, scripts: &mut Vec<Arc<Script>>| {
            let Some(path) = path else { return };
            match self.compiled.of_file(path) {
                Ok(script) => scripts.push(script),
                Err(mistake) => self.tell_broken_file(path, &mistake),
            }
        };
        let of_channel = |name: &str| self.of_channels.iter().find(|its| its.0 == name);
        file(self.before.as_ref(), &mut scripts);
        file(of_channel(source_channel).and_then(|its| its.1.as_ref()), &mut scripts);
        if let Some(own) = way.scripts.as_ref().filter(|_| self.users) {
            let (own, mistake) = self.of_user(own);
            scripts.extend(own);
            broken = mistake;
        }
        file(of_channel(&way.channel).and_then(|its| its.2.as_ref()), &mut scripts);
        file(self.after.as_ref(), &mut scripts);
        (scripts, broken)
    }

    /// The scripts of a user; one that is broken is as if it were not there.
    fn of_user(&self, own: &SieveScripts) -> (Vec<Arc<Script>>, Option<String>) {
        let (mut scripts, mut broken) = (Vec::new(), None);
        for text in &own.texts {
            match self.compiled.of(text) {
                Ok(script) => scripts.push(script),
                Err(mistake) => {
                    self.metrics.sieve_runs.count(SieveResult::Broken);
                    self.tell_broken(own.mail.as_deref().unwrap_or(&own.owner), &mistake);
                    broken.get_or_insert_with(|| mistake.to_string());
                }
            }
        }
        (scripts, broken)
    }

    /// A message of this size as scripts see it; its octets as far as they are there.
    pub fn message<'m>(&self, octets: &'m [u8], size: u64) -> Message<'m> {
        let (header, body) = octets.split_at(header_octets(octets, 0).unwrap_or(octets.len()));
        Message::of(header, body, size, &self.limits)
    }

    /// Messages are in the queue.
    pub fn remember(&self, seen: &[Seen]) {
        self.duplicates.remember(seen);
    }

    async fn redirect(&self, mail: &SievedMail<'_>, address: &str) -> Result<Arc<[Route]>, Reply> {
        let address = Address::parse(address).map_err(|_| MALFORMED)?;
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

    fn tell_broken(&self, user: &str, mistake: &str) {
        if self.broken.is_due(&(user, mistake)) {
            let (user, mistake) = (Printable(user), Printable(mistake));
            warn!(%user, %mistake, "a Sieve script does not work: mail goes to the INBOX");
        }
    }

    fn tell_broken_file(&self, path: &Path, mistake: &str) {
        if self.broken.is_due(&(path, mistake)) {
            let (file, mistake) = (path.display(), Printable(mistake));
            warn!(%file, %mistake, "a Sieve script of the system does not work: mail passes by it");
        }
    }
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

/// Items of RFC 5183.
fn environment(host: &str) -> Environment {
    let domain = host.split_once('.').map(|(_, domain)| domain.to_owned());
    Environment {
        domain,
        host: Some(host.to_owned()),
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

/// A way that a redirect led to, by the address that it named.
fn by_redirect(found: &Route, address: &str) -> Route {
    let member = found.member.clone().unwrap_or_else(|| address.into());
    Route { member: Some(member), ..found.clone() }
}

/// Redirects one behind the other.
const MOST_REDIRECTS: usize = 5;
const CIRCLE: Reply = Reply::new(554, Enhanced(5, 4, 6), "scripts redirect it in a circle");
const MALFORMED: Reply = Reply::new(553, Enhanced(5, 1, 3), "malformed address");
