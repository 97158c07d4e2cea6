//! Expansion of one recipient: the addresses that are still to be followed, and the ways found so
//! far. [`super::Resolver`] walks; [`Expansion`] says which address is next and which answer they
//! all came to.
//!
//! Aliases are followed depth first and in order; every address once, every way once. Depth and
//! number are limited.
//!
//! # Members that lead nowhere
//!
//! A member that leads only back to itself is one of them ([`Circles`]).
//!
//! When no member leads anywhere the recipient is refused: for now if there is hope for one of
//! them, else for good, with what was said of the first. Otherwise the others get theirs, and each
//! that failed goes by the channel of [`Program::Reprocess`](relais_config::channel::Program), which
//! tries it again or has the list's owner told. A name in a list whose entry is gone has the owner
//! told; without an owner that stands in the log.

use std::{
    collections::HashSet,
    num::NonZeroU64,
    sync::{Arc, LazyLock},
};

use relais_channels::mail::{Address, ErrorsTo, PostCheck, Reply, XQuota};
use relais_config::grammar::table_key;
use tracing::warn;

use super::{
    accounts::user_of,
    alias::Targets,
    circles::{Circles, Circular},
    list_sender::{of_member, of_nobody},
    lists::Fingerprint,
    refusal::{MAX_EXPANSION, Refusal},
    routes::{Route, Routes},
    steps::{Step, Trace},
};
use crate::{
    directory::{ListHeaders, SieveScripts},
    seldom::Seldom,
};

/// The ways and failures found so far.
#[derive(Default)]
pub(super) struct Expansion {
    followed: Vec<Member>,
    routes: Vec<Route>,
    known: HashSet<(Arc<str>, Arc<str>, Arc<str>)>,
    /// Addresses whose aliases were looked up.
    circles: Circles,
    failed: Vec<Failed>,
    /// Hosts, once each.
    hosts: HashSet<Arc<str>>,
    /// The list that the recipient is, or leads to and to nobody else.
    pub(super) list: Option<Fingerprint>,
    /// Some list wants a password: none of the others' members is to read it, either.
    pub(super) hides_password: bool,
    /// The ways that this list came to a moment ago.
    pub(super) shared: Option<Arc<[Route]>>,
}

/// One address that an alias led to.
pub(super) struct Member {
    pub(super) address: String,
    pub(super) lineage: Lineage,
    /// It is only the way to what it was found for: our own words, by option or mail host.
    pub(super) is_way: bool,
}

/// Where an address comes from. Nothing: it is the recipient itself.
#[derive(Clone, Default)]
pub(super) struct Lineage {
    /// Aliases that led to it.
    pub(super) depth: usize,
    /// The address to look up to come by the same way once more; `None`: the recipient itself.
    pub(super) member: Option<Arc<str>>,
    /// Hears of failures in the sender's place.
    pub(super) errors_to: Option<ErrorsTo>,
    /// The address whose alias led here, in [`Expansion::circles`]; `None`: the recipient itself.
    pub(super) from: Option<usize>,
    /// The octets that a message may have that comes here.
    pub(super) size_limit: Option<NonZeroU64>,
    /// The quota of the mailbox whose way it is.
    pub(super) quota: Option<Arc<XQuota>>,
    /// Changes to mail that comes here.
    pub(super) headers: Option<Arc<ListHeaders>>,
    /// Of the way to somebody who was looked up: whether a list was asked. `None`: nobody has looked.
    pub(super) looked_up: Option<PostCheck>,
    /// Scripts of the user whose way it is.
    pub(super) scripts: Option<Arc<SieveScripts>>,
}

/// A member that leads nowhere.
struct Failed {
    member: String,
    errors_to: Option<ErrorsTo>,
    headers: Option<Arc<ListHeaders>>,
    refusal: Refusal,
}

impl Failed {
    /// The list names an entry that is not there any more, or that has no address.
    fn is_stale(&self) -> bool {
        matches!(self.refusal, Refusal::NoAddress(_))
    }
}

impl Lineage {
    /// Of the members of `address`, which is `node` of [`Expansion::circles`].
    pub(super) fn of_members(
        &self,
        node: usize,
        address: &str,
        errors_to: Option<ErrorsTo>,
    ) -> Self {
        Self {
            depth: self.depth + 1,
            // Where a user's mail goes is asked of the user once more, and not of the way.
            member: (self.depth > 0).then(|| address.into()),
            errors_to: errors_to.or_else(|| self.errors_to.clone()),
            from: Some(node),
            size_limit: self.size_limit,
            quota: None,
            headers: self.headers.clone(),
            looked_up: None,
            scripts: None,
        }
    }

    /// The same within the limits that come with `targets`; of two limits the tighter one holds.
    pub(super) fn within(mut self, targets: &mut Targets) -> Self {
        let limits = self.size_limit.into_iter().chain(targets.size_limit);
        self.size_limit = limits.min();
        self.quota = targets.quota.take();
        self.scripts = targets.scripts.take();
        self.looked_up = Some(targets.post_check);
        self.headers = match (self.headers, targets.headers.take()) {
            (Some(outer), Some(inner)) => Some(Arc::new(outer.and(&inner))),
            (outer, inner) => outer.or(inner),
        };
        self
    }
}

/// One line, however many: a stranger's RCPT of a few octets writes it. Of names that only the
/// directory's administrator can take out of the list it comes once an hour.
fn tell_of_failed(routes: &Routes, recipient: &str, failed: &[Failed], trace: &Trace) {
    static STALE: LazyLock<Seldom> = LazyLock::new(Seldom::default);
    let Some(Failed { member, refusal, .. }) = failed.first() else { return };
    let members = failed.len();
    if !failed.iter().all(Failed::is_stale) {
        warn!(?recipient, members, first = ?member, %refusal, "members lead nowhere");
        return;
    }
    // The details that a stranger thinks of make no other list.
    let lower = table_key(recipient);
    let (local, domain) = lower.split_once('@').unwrap_or((&lower[..], ""));
    let list = (user_of(local, &routes.delimiter).unwrap_or(local), domain);
    if !trace.is_on() && STALE.is_due(&list) {
        warn!(
            list = ?recipient, members, first = ?member, %refusal,
            "members lead nowhere and are left out: this is told once an hour"
        );
    }
}

impl Expansion {
    /// The next address to follow.
    pub(super) fn next(&mut self) -> Option<Member> {
        self.followed.pop()
    }

    /// Nothing else was found, and nothing else is to be looked at: all that comes is what the
    /// address in hand comes to.
    pub(super) fn is_empty(&self) -> bool {
        self.followed.is_empty()
            && self.routes.is_empty()
            && self.failed.is_empty()
            && self.list.is_none()
    }

    /// Enters an address whose alias is about to be looked up; `None` when it was before.
    pub(super) fn enter(&mut self, address: &str, lineage: &Lineage) -> Option<usize> {
        self.circles.enter(address, lineage.from, lineage.errors_to.as_ref())
    }

    /// Whether an address is a member of its own alias.
    pub(super) fn is_own_member(&self, address: &str, lineage: &Lineage) -> bool {
        self.circles.is_same(address, lineage.from)
    }

    /// Has the addresses that virtual aliases made of the recipient followed, in its place.
    pub(super) fn replace(&mut self, addresses: Vec<String>) {
        let member = |address: String| {
            let member = Some(address.as_str().into());
            let lineage = Lineage { depth: 1, member, ..Lineage::default() };
            Member { address, lineage, is_way: false }
        };
        self.followed.extend(addresses.into_iter().rev().map(member));
    }

    /// Whether what an alias stands for is somebody, and not too many.
    pub(super) fn check(&self, targets: &Targets) -> Result<(), Refusal> {
        let more = targets.addresses.len() + targets.missing.len();
        let found = self.followed.len() + self.routes.len() + self.failed.len();
        match more {
            0 => Err(Refusal::Nobody),
            _ if found + more > MAX_EXPANSION => Err(Refusal::TooMany),
            _ => Ok(()),
        }
    }

    /// Has what the alias of `node` stands for followed next.
    pub(super) fn follow(
        &mut self,
        node: usize,
        targets: Targets,
        lineage: &Lineage,
        trace: &mut Trace,
    ) {
        self.circles.defer_to_members(node);
        for dn in targets.missing {
            self.circles.mark_leading(Some(node));
            let refusal = Refusal::NoAddress(dn.clone());
            self.fail(dn, lineage, refusal, trace);
        }
        let member = |(address, is_way): (String, bool)| {
            if is_way {
                return Member { address, lineage: lineage.clone(), is_way };
            }
            let errors_to = lineage.errors_to.as_ref().map(|its| of_member(its, &address));
            let member = Some(address.as_str().into());
            let (quota, looked_up, scripts) = (None, None, None);
            let lineage =
                Lineage { member, errors_to, quota, looked_up, scripts, ..lineage.clone() };
            Member { address, lineage, is_way }
        };
        self.followed.extend(targets.addresses.into_iter().rev().map(member));
    }

    /// Keeps a way that was found.
    pub(super) fn lead(&mut self, route: Route, from: Option<usize>, trace: &mut Trace) {
        self.circles.mark_leading(from);
        self.push(route, trace);
    }

    /// Keeps a member that leads nowhere.
    pub(super) fn give_up(&mut self, member: Member, refusal: Refusal, trace: &mut Trace) {
        let Member { address, lineage, is_way } = member;
        self.circles.mark_leading(lineage.from);
        if is_way && refusal == Refusal::UnknownHost {
            let refusal = Refusal::NoChannel(address.chars().take(200).collect());
            // The way will be another one when it is looked for again.
            let member = lineage.member.as_deref().map_or(address, str::to_owned);
            return self.fail(member, &lineage, refusal, trace);
        }
        if is_way && matches!(refusal, Refusal::Alias(_)) {
            // The command may be listed when the alias is asked again.
            let alias = lineage.member.as_deref().unwrap_or_else(|| self.circles.recipient());
            return self.fail(alias.to_owned(), &lineage, refusal, trace);
        }
        self.fail(address, &lineage, refusal, trace);
    }

    /// One copy of the name of a host.
    pub(super) fn host(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.hosts.get(name) {
            return Arc::clone(known);
        }
        let host: Arc<str> = name.into();
        self.hosts.insert(Arc::clone(&host));
        host
    }

    /// The ways that were found; those of members that failed lead to whoever tries them again.
    pub(super) fn finish(
        mut self,
        routes: &Routes,
        trace: &mut Trace,
    ) -> Result<Vec<Route>, Reply> {
        let circles = std::mem::take(&mut self.circles);
        let recipient = circles.recipient().to_owned();
        for Circular { address, errors_to } in circles.circular() {
            let lineage = Lineage { errors_to, ..Lineage::default() };
            self.fail(address, &lineage, Refusal::Circle, trace);
        }
        let mut failed = std::mem::take(&mut self.failed);
        tell_of_failed(routes, &recipient, &failed, trace);
        if !self.routes.is_empty() {
            // Only the administrator of the list can mend it: a sender could do nothing about it.
            failed.retain(|failed| !failed.is_stale() || failed.errors_to.is_some());
        }
        if self.hides_password {
            self.hide_password(routes);
        }
        let again = routes.reprocess.filter(|_| !self.routes.is_empty());
        let Some(n) = again else { return self.without_failed(&failed) };
        let (channel, tag) = &routes.names[n];
        let host = tag.to_ascii_lowercase();
        for Failed { member, errors_to, headers, refusal } in failed {
            let route = Route {
                channel: Arc::clone(channel),
                host: self.host(&host),
                address: member.as_str().into(),
                tag: Arc::clone(tag),
                member: Some(member.into()),
                errors_to,
                refused: Some(Arc::new(refusal.reply())),
                size_limit: None,
                quota: None,
                // The list that it is a member of is not looked up once more.
                headers,
                post_check: PostCheck::default(),
                scripts: None,
                inbox: None,
            };
            self.push(route, trace);
        }
        if self.hides_password {
            self.hide_password(routes);
        }
        Ok(self.routes)
    }

    /// Takes the password out of all mail but that of lists which have yet to ask for it.
    fn hide_password(&mut self, routes: &Routes) {
        let later = routes.reprocess.map(|n| &routes.names[n].0);
        let mut last: Option<(Option<Arc<ListHeaders>>, Arc<ListHeaders>)> = None;
        for route in &mut self.routes {
            let asks = route.post_check != PostCheck::Unsaid && Some(&route.channel) == later;
            let hides = route.headers.as_ref().is_some_and(|its| its.hides_password);
            if asks && route.refused.is_none() || hides {
                continue;
            }
            let same = last.take().filter(|(own, _)| *own == route.headers);
            let (_, hiding) = last.insert(same.unwrap_or_else(|| {
                let own = route.headers.clone();
                let hiding = own.as_deref().cloned().unwrap_or_default().hiding_password();
                (own, Arc::new(hiding))
            }));
            route.headers = Some(Arc::clone(hiding));
        }
    }

    /// Where nobody would see to members that failed, one that failed has all refused.
    fn without_failed(self, failed: &[Failed]) -> Result<Vec<Route>, Reply> {
        if failed.is_empty() {
            let circle = self.routes.is_empty().then(|| Refusal::Circle.reply());
            return circle.map_or(Ok(self.routes), Err);
        }
        let replies = |reply: fn(&Refusal) -> Reply| -> Vec<Reply> {
            failed.iter().map(|failed| reply(&failed.refusal)).collect()
        };
        let (mut replies, of_all) = (replies(Refusal::reply), replies(Refusal::reply_of_all));
        if !of_all.iter().any(Reply::is_permanent) {
            replies = of_all;
        }
        let hope = replies.iter().position(|reply| !reply.is_permanent());
        Err(replies.swap_remove(hope.unwrap_or(0)))
    }

    fn push(&mut self, route: Route, trace: &mut Trace) {
        trace.note(|| Step::Routed {
            channel: route.channel.to_string(),
            host: route.host.to_string(),
            address: route.address.to_string(),
        });
        let in_form = Some(&route.address).filter(|address| !address.is_ascii());
        let in_form = in_form.and_then(|address| Address::parse(address).ok());
        let address = in_form.map_or_else(|| route.address.clone(), |its| its.in_one_form().into());
        let way = (Arc::clone(&route.channel), Arc::clone(&route.host), address);
        if self.known.insert(way) {
            self.routes.push(route);
        }
    }

    fn fail(&mut self, member: String, lineage: &Lineage, refusal: Refusal, trace: &mut Trace) {
        if trace.is_on()
            && let Some(reason) = refusal.reason()
        {
            trace.note(|| reason);
        }
        trace.note(|| Step::Refused { address: member.as_str().into(), reply: refusal.reply() });
        let errors_to = lineage.errors_to.as_ref().map(of_nobody);
        self.failed.push(Failed { member, errors_to, headers: lineage.headers.clone(), refusal });
    }
}
