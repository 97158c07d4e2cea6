//! [`Resolver`]: the one type that walks a recipient, from its address to the ends of all its ways.
//!
//! From top to bottom, in the order in which it is done:
//!
//! 1. [`Resolver::route`]: the way, and then whether this client and sender may go it ([`admit`]).
//! 2. [`Resolver::resolve`]: what does not depend on who asks; a postmaster whom nobody knows has
//!    somebody stand in ([`postmaster`](super::postmaster)).
//! 3. `walk`: one recipient by itself. Virtual aliases may put others in its place
//!    ([`virtual_alias`](super::virtual_alias)); the rewrite rules find its channel
//!    ([`rewrite`](super::rewrite)).
//! 4. `take`: the transport table may name another one ([`transport`](super::transport)). An address
//!    of the local channel is one of ours. The directory with its delivery options, then the alias
//!    table say whom it stands for ([`alias`](super::alias)); each of these is rewritten and taken in
//!    turn ([`expand`](super::expand)). What nobody knows goes where the local channel's transports say.
//! 5. `leave`: any other channel is the end of one way.
//!
//! [`Step`]s are told on the way when somebody asks for them ([`Resolver::traced`]); nothing else
//! changes by that.

use std::{sync::Arc, time::SystemTime};

use relais_channels::mail::{Address, Enhanced, PostCheck, Reply};
use relais_config::{
    Channel,
    channel::{Program, RouteStyle},
    grammar::NextHop,
};
use tracing::warn;

use super::{
    access::admit,
    alias::{AUTOREPLY_WAY, Aliases, SPECIAL, Targets},
    expand::{Expansion, Lineage, Member},
    forward,
    forwarding::forwarded,
    list_sender::of_nobody,
    lists::{LONG, Lists},
    native::{FILES, OWN_FILE},
    own_route::without_own_hosts,
    posting::AskedLists,
    postmaster::Postmaster,
    refusal::{MAX_DEPTH, Refusal, is_lookup_failure},
    rewrite::{Purpose, Rewriter, Rewritten},
    routes::{AUTOREPLY, Exit, Poster, Posting, Question, Resolution, Route, Routes, Routing},
    steps::{Step, Trace},
    tables::INCLUDE,
    transport::TransportEntry,
    virtual_alias::VirtualAliases,
};
use crate::directory::{Domain, Entry, Lookup, Request, Target, evaluate, quote};

/// Walks one recipient.
pub struct Resolver<'a, L> {
    routes: &'a Routes,
    lookup: &'a L,
    question: Question<'a>,
    /// Members that long lists came to a moment ago, when that may be shared.
    lists: Option<&'a Lists>,
    trace: Trace,
    /// A rule made a text that comes only once (`$W`).
    comes_once: bool,
    /// Lists that asked who posts.
    asked: AskedLists,
    /// As many of them as were met before the list that [`Expansion::list`] is about.
    asked_before_list: usize,
}

impl<'a, L: Lookup> Resolver<'a, L> {
    /// Goes by `routes` and what `lookup` finds.
    pub fn new(routes: &'a Routes, lookup: &'a L, question: Question<'a>) -> Self {
        let trace = Trace::default();
        Self {
            routes,
            lookup,
            question,
            lists: None,
            trace,
            comes_once: false,
            asked: AskedLists::default(),
            asked_before_list: 0,
        }
    }

    /// Tells each step.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { trace: Trace::new(true, self.lookup.log()), ..self }
    }

    /// Long lists that were walked a moment ago are not walked again.
    #[must_use]
    pub(super) fn sharing(self, lists: &'a Lists) -> Self {
        Self { lists: Some(lists), ..self }
    }

    /// Finds the way of the recipient, as far as this client and sender may go it.
    pub async fn route(mut self) -> Routing {
        let resolution = self.resolve_traced().await;
        // Nobody is asked whether a header may name somebody.
        let outcome = if self.question.header {
            resolution.routes.clone()
        } else {
            let asked = (self.routes, self.lookup);
            let admitted = admit(asked, &resolution, &self.question, &mut self.trace).await;
            admitted.map(|admitted| admitted.routes)
        };
        if let Err(reply) = &outcome {
            self.note_refused(reply);
        }
        let Resolution { local, relaying, routes, .. } = resolution;
        let if_permitted = routes.ok().filter(|_| outcome.is_err());
        Routing { outcome, if_permitted, local, relaying, steps: self.trace.into_steps() }
    }

    /// The part of the way that does not depend on who asks: the same for every sender and every
    /// client of a source channel.
    pub async fn resolve(mut self) -> Resolution {
        self.resolve_traced().await
    }

    async fn resolve_traced(&mut self) -> Resolution {
        let Question { address, header, .. } = self.question;
        let resolution = self.walk(address).await;
        let posting = self.posting();
        if matches!(posting, Posting::Unsaid | Posting::HeaderWanted) {
            return Resolution { posting, ..resolution };
        }
        let refused = matches!(&resolution.routes, Err(reply) if !is_lookup_failure(reply));
        let is_postmaster = || self.routes.postmaster.is_at(address, resolution.local);
        let resolution = if refused && !header && is_postmaster() {
            self.stand_in(resolution).await
        } else {
            resolution
        };
        let held = self.asked.held.take().map(Into::into);
        Resolution { posting: self.posting(), held, ..resolution }
    }

    /// How far what was found depends on who posts.
    fn posting(&self) -> Posting {
        match self.question.poster {
            _ if self.asked.count == 0 => Posting::Open,
            Poster::Unsaid => Posting::Unsaid,
            _ if self.asked.wants_header => Posting::HeaderWanted,
            _ => Posting::Asked,
        }
    }

    /// Walks one address: rewrites it, and goes on to the ends of all its ways.
    async fn walk(&mut self, address: &Address) -> Resolution {
        let shorter = match self.without_own_hosts(address).await {
            Ok(shorter) => shorter,
            Err(refusal) => {
                self.note_reason(&refusal);
                return Resolution::refused(address, &refusal);
            }
        };
        let address = shorter.as_ref().unwrap_or(address);
        if !self.question.header
            && let Some(resolution) = self.replace(address).await
        {
            return resolution;
        }
        let first = match self.rewrite(address.clone()).await {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                self.note_reason(&refusal);
                return Resolution::refused(address, &refusal);
            }
        };
        let entry = self.transport(&first);
        let claimed = entry.as_ref().is_some_and(TransportEntry::claims);
        let rewritten = first.address.as_str().into();
        let led = entry.as_ref().and_then(|entry| entry.transport.channel());
        let n = led.and_then(|name| self.routes.number_of(name)).or(first.channel);
        let channel = n.map(|n| &self.routes.channels[n]);
        let local = channel.is_some_and(|channel| channel.program == Program::Local);
        let relaying = self.is_relaying(&first, claimed).filter(|_| !local);
        if let Some(reason) = relaying {
            self.trace.note(|| Step::Relaying { reason });
        }
        let relaying = relaying.is_some();
        let channel = channel.map(|channel| channel.name.as_str().into());
        let routes = self.expand(first).await;
        let (comes_once, posting, held) = (self.comes_once, Posting::default(), None);
        Resolution { routes, local, relaying, rewritten, channel, comes_once, posting, held }
    }

    /// The address without hosts of ours at the head of its source route; `None`: it has none.
    async fn without_own_hosts(&mut self, address: &Address) -> Result<Option<Address>, Refusal> {
        if self.question.header || address.route().next().is_none() {
            return Ok(None);
        }
        let purpose = self.purpose();
        let shorter = without_own_hosts(self.routes, self.lookup, purpose, address).await?;
        if let Some(shorter) = &shorter {
            self.note_instead("hosts of ours in the source route", shorter.to_string());
        }
        Ok(shorter)
    }

    /// The ways of what virtual aliases make of a recipient; `None`: it stands for itself.
    async fn replace(&mut self, address: &Address) -> Option<Resolution> {
        let (routes, lookup, purpose) = (self.routes, self.lookup, self.purpose());
        let aliases = VirtualAliases { routes, lookup, purpose, trace: &mut self.trace };
        let addresses = match aliases.expand(address).await {
            Ok(addresses) => addresses?,
            Err(refusal) => return Some(Resolution::refused(address, &refusal)),
        };
        // Access tables are asked with the channel that the address would have without them.
        let mut untold = Trace::default();
        let own =
            Rewriter::new(routes, lookup, purpose, &mut untold).rewrite(address.clone()).await;
        let own = own.ok().and_then(|rewritten| rewritten.channel);
        let mut expansion = Expansion::default();
        expansion.replace(addresses);
        let ways = self.follow(expansion, Ok(())).await;
        let first = ways.as_ref().ok().and_then(|ways| ways.first());
        let own = own.map(|n| routes.channels[n].name.as_str());
        Some(Resolution {
            local: true,
            relaying: names_way(address),
            rewritten: address.as_str().into(),
            channel: own.or(first.map(|way| &*way.channel)).map(Into::into),
            routes: ways,
            comes_once: self.comes_once,
            posting: Posting::default(),
            held: None,
        })
    }

    /// Why the recipient is none of ours, if it is not.
    fn is_relaying(&self, first: &Rewritten, claimed: bool) -> Option<&'static str> {
        let own_way = || names_way(&first.address).then_some("the address names a way of its own");
        if claimed {
            return own_way();
        }
        if first.error.is_some() {
            return None;
        }
        let Some(n) = first.channel else { return Some("nothing makes its domain ours") };
        if first.unclaimed {
            return Some("only a rule for all domains leads there");
        }
        let multigate = self.routes.channels[n].multigate;
        let anywhere = "its channel connects to whatever host it is told (multigate)";
        multigate.then_some(anywhere).or_else(own_way)
    }

    /// From the recipient's own channel to the ends of all ways.
    async fn expand(&mut self, first: Rewritten) -> Result<Arc<[Route]>, Reply> {
        let (recipient, mut expansion) = (Lineage::default(), Expansion::default());
        let expanded = if self.question.header {
            self.deliver(&first, &recipient, &mut expansion).await
        } else {
            let arrival =
                Arriving { rewritten: first, is_way: false, is_routed: false, is_plain: false };
            self.take(arrival, &recipient, &mut expansion).await
        };
        self.follow(expansion, expanded).await
    }

    /// Takes the members that were found, and those that they lead to.
    async fn follow(
        &mut self,
        mut expansion: Expansion,
        mut expanded: Result<(), Refusal>,
    ) -> Result<Arc<[Route]>, Reply> {
        while expanded.is_ok()
            && let Some(member) = expansion.next()
        {
            expanded = match self.take_member(&member, &mut expansion).await {
                Err(refusal)
                    if !self.asked.wants_header
                        && !matches!(refusal, Refusal::TooMany | Refusal::PosterUnsaid) =>
                {
                    expansion.give_up(member, refusal, &mut self.trace);
                    Ok(())
                }
                taken => taken,
            };
        }
        if let Some(shared) = expansion.shared {
            return Ok(shared);
        }
        expanded.map_err(|refusal| {
            self.note_reason(&refusal);
            refusal.reply()
        })?;
        let list = expansion.list;
        let routes = expansion.finish(self.routes, &mut self.trace).map(Arc::from)?;
        let depends = self.comes_once || self.asked.count > self.asked_before_list;
        if let (Some(lists), Some(list), false) = (self.lists, list, depends) {
            lists.keep(list, &routes);
        }
        Ok(routes)
    }

    /// Rewrites what an alias led to, and takes it.
    async fn take_member(
        &mut self,
        Member { address, lineage, is_way }: &Member,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        if let Some(path) = address.strip_prefix(INCLUDE).filter(|_| *is_way) {
            return self.include(address, path, lineage, expansion);
        }
        if let Some(address) = address.strip_prefix(AUTOREPLY_WAY).filter(|_| *is_way) {
            return self.answer(address, lineage, expansion).await;
        }
        if let Some(command) = address.strip_prefix('|').filter(|_| *is_way) {
            return self.run(command, lineage, expansion).await;
        }
        if let Some(file) = address.strip_prefix(OWN_FILE).filter(|_| *is_way)
            && let Some((account, path)) = file.split_once(':')
        {
            return self.file((path, Some(account)), self.routes.local, lineage, expansion).await;
        }
        if address.starts_with('/') && *is_way {
            return self.file((address, None), self.routes.local, lineage, expansion).await;
        }
        if address.starts_with(SPECIAL) {
            return Err(Refusal::Alias(address.clone()));
        }
        let (text, is_plain) =
            address.strip_prefix('\\').map_or((&**address, false), |its| (its, true));
        let malformed = |_| Refusal::NoTarget(text.chars().take(200).collect());
        let address = Address::parse(text).map_err(malformed)?;
        let is_routed = address.route().next().is_some();
        let rewritten = self.rewrite(address).await?;
        let arrival = Arriving { rewritten, is_way: *is_way, is_routed, is_plain };
        self.take(arrival, lineage, expansion).await
    }

    /// Leads to the automatic reply of a user: a destination of its own of the channel that throws
    /// mail away. Whatever else the option leads to is delivered.
    async fn answer(
        &mut self,
        address: &str,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let malformed = |_| Refusal::NoTarget(address.chars().take(200).collect());
        let rewritten = self.rewrite(Address::parse(address).map_err(malformed)?).await?;
        let channel = rewritten.channel.ok_or(Refusal::UnknownHost)?;
        let answers = self.routes.channels[channel].program == Program::Bitbucket;
        if answers {
            self.trace.note(|| Step::Answers { address: address.to_owned() });
        }
        let next_hop = answers.then(|| AUTOREPLY.to_owned());
        self.leave(Exit { channel, next_hop }, &rewritten, lineage, expansion).await
    }

    /// Has mail appended to a file: that of an account, or the operator's.
    async fn file(
        &mut self,
        (path, account): (&str, Option<&str>),
        channel: Option<usize>,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let routes = self.routes;
        let unserved = || Refusal::Alias(path.to_owned());
        let native = routes.native.as_ref().ok_or_else(unserved)?;
        let channel = channel.ok_or_else(unserved)?;
        let home = match account {
            Some(name) => routes.tables.accounts.find(name, "").await?,
            None => None,
        };
        if !native.allows(path, home.as_ref().map(|(account, _)| &*account.home)) {
            return Err(Refusal::File(path.to_owned()));
        }
        let account = account.unwrap_or_default();
        self.trace.note(|| Step::File { path: path.to_owned(), account: account.to_owned() });
        let tag = &routes.channels[channel].tag;
        let local = format!("+{path}");
        let text = [format!("{local}@{tag}"), format!("{}@{tag}", quote(&local))];
        let address = text.iter().find_map(|text| Address::parse(text).ok());
        let rewritten = Rewritten {
            address: address.ok_or_else(|| Refusal::File(path.to_owned()))?,
            tag: tag.clone(),
            channel: Some(channel),
            error: None,
            unclaimed: false,
            comes_once: false,
        };
        let exit = Exit { channel, next_hop: Some(format!("{FILES}{account}")) };
        self.leave(exit, &rewritten, lineage, expansion).await
    }

    /// Has mail that a delivery option leads to a local channel end there: in the mailbox of a user, or
    /// in a file, `+/path`.
    async fn keep(
        &mut self,
        rewritten: &Rewritten,
        channel: usize,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let local = rewritten.address.unquoted_local();
        if let Some(path) = local.strip_prefix('+').filter(|path| path.starts_with('/')) {
            return self.file((path, None), Some(channel), lineage, expansion).await;
        }
        let exit = self.end(channel, &rewritten.address).await?;
        self.leave(exit, rewritten, lineage, expansion).await
    }

    /// Hands mail of an alias to a program, under the name of the alias.
    async fn run(
        &mut self,
        command: &str,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let routes = self.routes;
        let (program, channel) =
            routes.program_of(command).ok_or_else(|| Refusal::Alias(format!("|{command}")))?;
        let alias = lineage.member.as_deref().map(Address::parse);
        let alias = alias.and_then(Result::ok).unwrap_or_else(|| self.question.address.clone());
        let (name, tag) = (&program.name, &routes.channels[channel].tag);
        let local = format!("{}%{name}", alias.unquoted_local());
        let text = [format!("{local}@{tag}"), format!("{}@{tag}", quote(&local))];
        let address = text.iter().find_map(|text| Address::parse(text).ok());
        let address = address.ok_or(Refusal::NoTarget(local))?;
        let rewritten = Rewritten {
            address,
            tag: tag.clone(),
            channel: Some(channel),
            error: None,
            unclaimed: false,
            comes_once: false,
        };
        let exit = Exit { channel, next_hop: Some(name.clone()) };
        self.leave(exit, &rewritten, lineage, expansion).await
    }

    /// Has the members of a list in a file followed.
    fn include(
        &mut self,
        name: &str,
        path: &str,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let Some(node) = expansion.enter(name, lineage) else {
            self.trace.note(|| Step::Seen { address: name.to_owned() });
            return Ok(());
        };
        if lineage.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let members = self.routes.tables.list(path).map_err(Refusal::List)?;
        self.trace.note(|| Step::Alias { source: ":include:", targets: members.to_vec() });
        let targets = Targets::of(members.to_vec());
        expansion.check(&targets)?;
        // The list is the alias's: its commands are looked for by that name.
        let members =
            Lineage { member: lineage.member.clone(), ..lineage.of_members(node, name, None) };
        expansion.follow(node, targets, &members, &mut self.trace);
        Ok(())
    }

    /// Goes on with a rewritten address: by the transport table, to whom its alias stands for, or out.
    async fn take(
        &mut self,
        Arriving { mut rewritten, is_way, is_routed, is_plain }: Arriving,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        // Our own words by option or mail host are no address that an operator has a transport for.
        if let Some(entry) = self.transport(&rewritten).filter(|_| !is_way) {
            let TransportEntry { pattern, transport } = &entry;
            self.note_instead("transport", pattern.clone());
            if let Some(exit) = self.routes.exit(transport, rewritten.channel)? {
                if !self.routes.is_local(exit.channel) {
                    return self.leave(exit, &rewritten, lineage, expansion).await;
                }
                rewritten.channel = Some(exit.channel);
            }
        }
        let Some(n) = rewritten.channel else {
            return Err(rewritten.error.map_or(Refusal::UnknownHost, Refusal::Text));
        };
        if self.routes.is_local(n) {
            let Channel { tag, local_transport, .. } = &self.routes.channels[n];
            let domain = rewritten.address.domain();
            let is_its_own = domain.is_some_and(|its| its.eq_ignore_ascii_case(tag));
            if self.routes.native.is_some() && is_its_own && local_transport.is_none() {
                if is_way && !is_routed {
                    return self.keep(&rewritten, n, lineage, expansion).await;
                }
                // The name of a channel that delivery options lead to is no domain of ours.
                if Some(n) != self.routes.local {
                    return Err(Refusal::NotByAlias);
                }
            }
            return self.take_local(n, (rewritten, is_plain), lineage, expansion).await;
        }
        if self.routes.channels[n].viaaliasrequired && lineage.depth == 0 {
            return Err(Refusal::NotByAlias);
        }
        // The writer of such an address would choose a program, and the words for it.
        let is_pipe = self.routes.channels[n].program == Program::Pipe;
        if is_pipe && rewritten.unclaimed && (!is_way || is_routed) {
            return Err(Refusal::NotByAlias);
        }
        if !is_way && self.forward_on(&rewritten.address, lineage, expansion)? {
            return Ok(());
        }
        self.deliver(&rewritten, lineage, expansion).await
    }

    /// Goes on with an address that a local channel answers for.
    async fn take_local(
        &mut self,
        n: usize,
        (rewritten, is_plain): (Rewritten, bool),
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let channel = &self.routes.channels[n];
        let address = &rewritten.address;
        if let Some(transport) = &channel.local_transport {
            let exit = self.exit("local_transport", transport)?;
            return self.leave(exit, &rewritten, lineage, expansion).await;
        }
        let form = address.in_one_form();
        let name = if is_plain { format!("\\{form}") } else { form.to_owned() };
        let Some(node) = expansion.enter(&name, lineage) else {
            // A member of its own alias is the user, as in Postfix.
            if self.hands_on(channel) && expansion.is_own_member(&name, lineage) {
                let exit = self.end(n, address).await?;
                return self.leave(exit, &rewritten, lineage, expansion).await;
            }
            self.trace.note(|| Step::Seen { address: address.to_string() });
            return Ok(());
        };
        if lineage.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let mut targets = self.targets(channel, address, is_plain, lineage.depth).await?;
        let changes = targets.as_ref().and_then(|targets| targets.headers.as_ref());
        expansion.hides_password |= changes.is_some_and(|changes| changes.hides_password);
        if let Some(targets) = targets.as_mut().filter(|targets| targets.is_later) {
            return self.defer(address, targets, lineage, expansion);
        }
        if targets.is_none() && self.hands_on(channel) && !is_plain {
            targets = self.forward(channel, address).await?;
        }
        if targets.is_none() {
            let forwarded = self.forwarded(address);
            targets = forwarded.map(|target| Targets::of(vec![target]));
        }
        let Some(mut targets) = targets else {
            let exit = self.end(n, address).await?;
            return self.leave(exit, &rewritten, lineage, expansion).await;
        };
        expansion.check(&targets)?;
        let errors_to = targets.errors_to.take();
        let members = lineage.of_members(node, address.mailbox(), errors_to).within(&mut targets);
        if !self.is_shared(&targets, &members, expansion) {
            expansion.follow(node, targets, &members, &mut self.trace);
        }
        Ok(())
    }

    /// Has an address looked up once more, by the reprocess channel.
    fn defer(
        &mut self,
        address: &Address,
        targets: &Targets,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let n = self.routes.reprocess.ok_or(Refusal::NoExit)?;
        let (channel, tag) = &self.routes.names[n];
        self.trace.note(|| Step::Later {
            address: address.mailbox().to_owned(),
            channel: channel.to_string(),
        });
        let route = Route {
            channel: Arc::clone(channel),
            host: expansion.host(&tag.to_ascii_lowercase()),
            address: address.mailbox().into(),
            tag: Arc::clone(tag),
            member: Some(address.mailbox().into()),
            errors_to: lineage.errors_to.as_ref().map(of_nobody),
            refused: None,
            size_limit: lineage.size_limit.into_iter().chain(targets.size_limit).min(),
            quota: None,
            // Its own changes are made when its members are looked up.
            headers: lineage.headers.clone(),
            post_check: targets.post_check,
            // Scripts are found once more when the address is looked up.
            scripts: None,
            inbox: None,
        };
        expansion.lead(route, lineage.from, &mut self.trace);
        Ok(())
    }

    /// The address that a recipient is to be instead. Where the sender has a say, the answer is for
    /// this sender alone.
    fn forwarded(&mut self, address: &Address) -> Option<String> {
        self.asked.count += usize::from(self.routes.forward_probe.by_sender);
        forwarded(self.routes, address, &self.question, &mut self.trace)
    }

    /// Has another address followed in the place of one that leaves; no: it stands for itself.
    fn forward_on(
        &mut self,
        address: &Address,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<bool, Refusal> {
        if self.question.header {
            return Ok(false);
        }
        let Some(target) = self.forwarded(address) else { return Ok(false) };
        let name = address.to_string();
        let Some(node) = expansion.enter(&name, lineage) else {
            self.trace.note(|| Step::Seen { address: name });
            return Ok(true);
        };
        if lineage.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let targets = Targets::of(vec![target]);
        let members = lineage.of_members(node, address.mailbox(), None);
        expansion.follow(node, targets, &members, &mut self.trace);
        Ok(true)
    }

    /// The addresses that an account of this machine has its mail sent on to.
    async fn forward(
        &mut self,
        channel: &Channel,
        address: &Address,
    ) -> Result<Option<Targets>, Refusal> {
        let (accounts, local) = (&self.routes.tables.accounts, address.unquoted_local());
        let found = forward::targets(accounts, &local, &channel.recipient_delimiter).await?;
        let Some((account, targets)) = found else { return Ok(None) };
        self.trace.note(|| Step::Alias { source: ".forward", targets: targets.clone() });
        let mut targets = Targets::of(targets);
        for (target, _) in &mut targets.addresses {
            if target.starts_with('/') {
                *target = format!("{OWN_FILE}{account}:{target}");
            }
        }
        Ok(Some(targets))
    }

    /// The entry of the transport table for an address.
    fn transport(&self, rewritten: &Rewritten) -> Option<TransportEntry> {
        if self.question.header {
            return None;
        }
        let Routes { tables, delimiter, .. } = self.routes;
        TransportEntry::find(&tables.transport, &rewritten.address, delimiter)
    }

    /// The end for a name that neither the directory nor aliases know, or that is a user's own.
    async fn end(&mut self, n: usize, address: &Address) -> Result<Exit, Refusal> {
        let routes = self.routes;
        let channel = &routes.channels[n];
        if let Some(transport) = &channel.mailbox_transport {
            return self.exit("mailbox_transport", transport);
        }
        if self.hands_on(channel) {
            let (local, delimiter) = (address.unquoted_local(), &channel.recipient_delimiter);
            if let Some((account, _)) = routes.tables.accounts.find(&local, delimiter).await? {
                if routes.native.is_none() {
                    return Err(Refusal::Mailbox);
                }
                self.note_mailbox(&account.name);
                return Ok(Exit { channel: n, next_hop: None });
            }
        }
        match &channel.fallback_transport {
            Some(transport) => self.exit("fallback_transport", transport),
            None => Err(Refusal::UnknownAlias),
        }
    }

    fn note_mailbox(&mut self, account: &str) {
        let native = self.routes.native.as_ref();
        self.trace.note(|| Step::File {
            path: native.map_or_else(String::new, |native| native.mailbox(account)),
            account: account.to_owned(),
        });
    }

    /// Whether a local channel has a place for names that nobody knows.
    fn hands_on(&self, channel: &Channel) -> bool {
        channel.mailbox_transport.is_some()
            || channel.fallback_transport.is_some()
            || self.routes.native.is_some()
    }

    /// The way that a setting of the local channel names.
    fn exit(&mut self, setting: &'static str, transport: &str) -> Result<Exit, Refusal> {
        self.note_instead(setting, transport.to_owned());
        let transport = transport.parse().map_err(|_| Refusal::UnknownHost)?;
        self.routes.exit(&transport, None)?.ok_or(Refusal::NoExit)
    }

    /// Whether a long list is all that the recipient stands for, and was walked a moment ago.
    fn is_shared(
        &mut self,
        targets: &Targets,
        members: &Lineage,
        expansion: &mut Expansion,
    ) -> bool {
        // A command, and a list in a file that may have some, is run under the alias's own name.
        let is_own = |(address, is_way): &(String, bool)| *is_way && address.starts_with(SPECIAL);
        let long = targets.addresses.len() >= LONG
            && expansion.is_empty()
            && !targets.addresses.iter().any(is_own);
        let Some(lists) = self.lists.filter(|_| long && !self.trace.is_on()) else { return false };
        let Lineage { depth, member, errors_to, size_limit, quota, headers, looked_up, .. } =
            members;
        let Purpose { envelope, forward, source, reprocessed, .. } = self.purpose();
        let released = (self.question.released, reprocessed);
        let list = lists.fingerprint(&(
            (source, envelope, forward, released),
            (&targets.addresses, &targets.missing, errors_to, member),
            (depth, size_limit, quota, headers, looked_up),
        ));
        expansion.list = Some(list);
        self.asked_before_list = self.asked.count;
        expansion.shared = lists.find(list);
        expansion.shared.is_some()
    }

    /// The end of one way: out by the channel that rewriting found.
    async fn deliver(
        &mut self,
        rewritten: &Rewritten,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let channel = rewritten.channel.ok_or(Refusal::UnknownHost)?;
        self.leave(Exit { channel, next_hop: None }, rewritten, lineage, expansion).await
    }

    /// The end of one way.
    async fn leave(
        &mut self,
        exit: Exit,
        rewritten: &Rewritten,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let n = exit.channel;
        let channel = &self.routes.channels[n];
        let host = match &exit.next_hop {
            Some(next_hop) => spelled(next_hop),
            None => self.destination(channel, &rewritten.address).await?,
        };
        if channel.program == Program::Pipe {
            let program = self.routes.program(&host).ok_or(Refusal::NoProgram(host.clone()))?;
            self.trace.note(|| Step::Program {
                program: program.name.clone(),
                command: program.command.iter().map(|its| its.text.clone()).collect(),
            });
        }
        let (name, tag) = &self.routes.names[n];
        let own_tag = rewritten.channel == Some(n) && **tag != *rewritten.tag;
        // A rule leads to a channel that comes back here with an address that may be a list's.
        let comes_back =
            matches!(channel.program, Program::Process | Program::Reprocess | Program::Hold);
        let throws_away = channel.program == Program::Bitbucket;
        let unseen = if comes_back { PostCheck::NotAsked } else { PostCheck::Unsaid };
        let route = Route {
            channel: Arc::clone(name),
            host: expansion.host(&host),
            address: presented(channel, &rewritten.address).into(),
            tag: if own_tag { (&*rewritten.tag).into() } else { Arc::clone(tag) },
            member: lineage.member.clone(),
            errors_to: lineage.errors_to.as_ref().map(of_nobody),
            refused: None,
            size_limit: lineage.size_limit,
            // Nobody else can make use of it.
            quota: lineage.quota.clone().filter(|_| channel.program == Program::Lmtp),
            headers: lineage.headers.clone(),
            post_check: lineage.looked_up.filter(|its| *its != PostCheck::Unsaid).unwrap_or(unseen),
            scripts: lineage.scripts.clone().filter(|_| !comes_back && !throws_away),
            inbox: None,
        };
        expansion.lead(route, lineage.from, &mut self.trace);
        Ok(())
    }

    /// Where the channel connects for this address.
    async fn destination(
        &mut self,
        channel: &'a Channel,
        address: &Address,
    ) -> Result<String, Refusal> {
        if channel.program == Program::Pipe {
            // `user%label`: each program is a destination of its own.
            let local = address.unquoted_local();
            return Ok(spelled(local.rsplit_once('%').map_or("", |(_, label)| label)));
        }
        if let Some(daemon) = channel.fixed_hosts() {
            return Ok(spelled(daemon));
        }
        let host = |address: &Address| {
            let host = address.route().next().or(address.domain()).unwrap_or_default();
            host.trim_end_matches('.').to_ascii_lowercase()
        };
        let purpose = self.purpose();
        if !channel.connectcanonical || !purpose.envelope {
            return Ok(host(address));
        }
        // The second phase: the address as it is dequeued, no longer an envelope address. That
        // it counts as one of a header here is inferred; the rules of the original need it.
        let destination = Some(channel.name.as_str());
        let dequeued = Purpose { envelope: false, destination, ..purpose };
        let rewritten = self.rewrite_as(address.clone(), dequeued).await?;
        let host = host(&rewritten.address);
        self.trace
            .note(|| Step::Connect { address: rewritten.address.to_string(), host: host.clone() });
        Ok(host)
    }

    /// The ways to whoever stands in for a postmaster that nobody knows.
    async fn stand_in(&mut self, refused: Resolution) -> Resolution {
        let routes = self.routes;
        let Postmaster { configured, mailbox, hold, .. } = &routes.postmaster;
        if let Err(reply) = &refused.routes {
            self.note_refused(reply);
        }
        let taken = |routes| Resolution {
            routes: Ok(routes),
            local: true,
            relaying: false,
            rewritten: refused.rewritten.clone(),
            channel: refused.channel.clone(),
            comes_once: refused.comes_once,
            posting: refused.posting,
            held: None,
        };
        let asked = self.question.address;
        if let Some(address) = configured.as_ref().filter(|address| *address != asked) {
            self.note_instead("notary.postmaster", address.to_string());
            match self.walk(address).await.routes {
                Ok(routes) => return taken(routes),
                Err(reply) if is_lookup_failure(&reply) => {
                    return Resolution { routes: Err(reply), ..taken(Arc::default()) };
                }
                Err(_) => {}
            }
        }
        if let Some((entry, domain)) = mailbox
            && let Some(routes) = self.own_mailbox(entry, domain).await
        {
            return taken(routes);
        }
        let Some(n) = hold.or(routes.reprocess) else { return refused };
        warn!(address = %asked, "nobody is postmaster: this mail is kept");
        let (channel, tag) = &routes.names[n];
        self.note_instead("nobody is postmaster", format!("kept in channel {channel}"));
        let reply = Reply::new(450, Enhanced(4, 1, 1), "nobody is postmaster here yet");
        taken(Arc::new([Route {
            channel: Arc::clone(channel),
            host: tag.to_ascii_lowercase().into(),
            address: asked.as_str().into(),
            tag: Arc::clone(tag),
            member: Some(asked.as_str().into()),
            errors_to: None,
            refused: hold.is_none().then(|| Arc::new(reply)),
            size_limit: None,
            quota: None,
            headers: None,
            post_check: PostCheck::default(),
            scripts: None,
            inbox: None,
        }]))
    }

    /// The ways to the postmaster's mailbox in our own store, if they lead out.
    async fn own_mailbox(&mut self, entry: &Entry, domain: &Domain) -> Option<Arc<[Route]>> {
        let address = Address::parse(&format!("postmaster@{}", domain.name)).ok()?;
        let now = SystemTime::now();
        let (subaddress, released, may_defer) = (None, false, false);
        let request = Request { address: &address, subaddress, domain, now, released, may_defer };
        let mut expansion = Expansion::default();
        for applied in evaluate(&self.routes.policy, entry, &request).ok()? {
            for target in applied.targets.ok()? {
                let Target::Address(address) = target else { continue };
                self.note_instead("our own store", address.clone());
                let rewritten = self.rewrite(Address::parse(&address).ok()?).await.ok()?;
                // An alias would lead back here.
                self.deliver(&rewritten, &Lineage::default(), &mut expansion).await.ok()?;
            }
        }
        let routes = expansion.finish(self.routes, &mut self.trace).ok()?;
        routes.iter().all(|route| self.routes.leads_out(route)).then(|| routes.into())
    }

    async fn rewrite(&mut self, address: Address) -> Result<Rewritten, Refusal> {
        self.rewrite_as(address, self.purpose()).await
    }

    async fn rewrite_as(
        &mut self,
        address: Address,
        purpose: Purpose<'_>,
    ) -> Result<Rewritten, Refusal> {
        let rewriter = Rewriter::new(self.routes, self.lookup, purpose, &mut self.trace);
        let rewritten = rewriter.rewrite(address).await?;
        self.comes_once |= rewritten.comes_once;
        Ok(rewritten)
    }

    async fn targets(
        &mut self,
        channel: &Channel,
        address: &Address,
        is_plain: bool,
        depth: usize,
    ) -> Result<Option<Targets>, Refusal> {
        let (routes, lookup, question) = (self.routes, self.lookup, &self.question);
        let (trace, asked) = (&mut self.trace, &mut self.asked);
        let aliases = Aliases { routes, lookup, channel, question, depth, is_plain, asked, trace };
        aliases.targets(address).await
    }

    fn purpose(&self) -> Purpose<'a> {
        let Question { source_channel, header, earlier, .. } = self.question;
        let (envelope, destination) = (!header, None);
        let (source, reprocessed) = (earlier.unwrap_or(source_channel), earlier.is_some());
        let facts = self.question.facts();
        Purpose { envelope, forward: true, source, destination, reprocessed, facts }
    }

    fn note_reason(&mut self, refusal: &Refusal) {
        if self.trace.is_on()
            && let Some(reason) = refusal.reason()
        {
            self.trace.note(|| reason);
        }
    }

    fn note_refused(&mut self, reply: &Reply) {
        let address = self.question.address;
        self.trace.note(|| Step::Refused { address: address.to_string(), reply: reply.clone() });
    }

    fn note_instead(&mut self, source: &'static str, target: String) {
        self.trace.note(|| Step::Alias { source, targets: vec![target] });
    }
}

impl Resolution {
    /// An address that leads nowhere from the start.
    fn refused(address: &Address, refusal: &Refusal) -> Self {
        Self {
            routes: Err(refusal.reply()),
            local: false,
            relaying: false,
            rewritten: address.as_str().into(),
            channel: None,
            comes_once: false,
            posting: Posting::default(),
            held: None,
        }
    }
}

/// An address that is to be taken.
struct Arriving {
    rewritten: Rewritten,
    /// As in [`Member`].
    is_way: bool,
    /// It names hosts on its way: an entry's mail host may be one of them.
    is_routed: bool,
    /// It was written with a backslash: its alias is left alone.
    is_plain: bool,
}

/// Whether an address names a way of its own through other hosts.
fn names_way(address: &Address) -> bool {
    address.route().next().is_some() || address.unquoted_local().contains(['%', '!', '@'])
}

/// A next hop as destinations are told apart: `inet:localhost:24` is `localhost:24`, and a path keeps its
/// case. Several stay in their order.
fn spelled(next_hop: &str) -> String {
    let one = |text: &str| {
        let text = text.trim();
        if text.starts_with("unix:") {
            return text.to_owned();
        }
        let lower = text.to_ascii_lowercase();
        match lower.parse::<NextHop>() {
            Ok(hop @ NextHop::Ip { .. }) => hop.to_string(),
            Ok(hop) if lower.starts_with("inet:") => hop.to_string(),
            _ => lower,
        }
    };
    next_hop.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// The address as the next hop sees it.
fn presented(channel: &Channel, address: &Address) -> String {
    let ours = |domain: &str| domain.eq_ignore_ascii_case(&channel.tag);
    let mailbox = if channel.program == Program::Lmtp && address.domain().is_some_and(ours) {
        mailbox(address)
    } else {
        address.written_mailbox().to_owned()
    };
    let route = address.as_str().len() - address.written_mailbox().len();
    if channel.dequeue_removeroute || route == 0 {
        return mailbox;
    }
    match channel.route_style {
        RouteStyle::SourceRoute => format!("{}{mailbox}", &address.as_str()[..route]),
        style => styled(style, address, &mailbox),
    }
}

/// The route in the words of the local part. A quoted one cannot take it, nor can any have a literal
/// within: such an address keeps its route.
fn styled(style: RouteStyle, address: &Address, mailbox: &str) -> String {
    let hosts: Vec<&str> = address.route().collect();
    let (Some(first), false) = (hosts.first(), address.as_str().contains(['"', '['])) else {
        return address.to_string();
    };
    let (local, domain) = mailbox.split_once('@').unwrap_or((mailbox, ""));
    let behind = hosts.iter().skip(1).copied().chain((!domain.is_empty()).then_some(domain));
    match style {
        RouteStyle::BangStyle => {
            let path: Vec<&str> = std::iter::once(*first).chain(behind).collect();
            format!("{}!{local}", path.join("!"))
        }
        RouteStyle::Percents | RouteStyle::SourceRoute => {
            let path: Vec<&str> = std::iter::once(local).chain(behind.rev()).collect();
            format!("{}@{first}", path.join("%"))
        }
    }
}

/// `uid%domain+folder@tag` as the store wants it: `uid+folder@domain`.
fn mailbox(address: &Address) -> String {
    let local = address.unquoted_local();
    let (user, folder) = local.split_at(local.find('+').unwrap_or(local.len()));
    let (uid, domain) = user.split_once('%').unwrap_or((user, ""));
    let named = format!("{uid}{folder}");
    let sound = Address::parse(&named).is_ok_and(|address| address.domain().is_none());
    let named = if sound { named } else { quote(&named) };
    if domain.is_empty() { named } else { format!("{named}@{domain}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_written_in_the_style_of_the_channel() {
        use RouteStyle::{BangStyle, Percents, SourceRoute};
        let rows = [
            (SourceRoute, "@a,@b:user@c", "@a,@b:user@c"),
            (Percents, "@a,@b:user@c", "user%c%b@a"),
            (Percents, "@a:user", "user@a"),
            (Percents, "@a:\"u v\"@c", "@a:\"u v\"@c"),
            (Percents, "user@c", "user@c"),
            (Percents, "@a:user@[192.0.2.1]", "@a:user@[192.0.2.1]"),
            (BangStyle, "@[192.0.2.1]:user@c", "@[192.0.2.1]:user@c"),
            (BangStyle, "@a,@b:user@c", "a!b!c!user"),
            (BangStyle, "@a:user", "a!user"),
            (BangStyle, "user@c", "user@c"),
        ];
        for (route_style, text, want) in rows {
            let channel = Channel { route_style, ..Channel::new("t", "t-daemon", Program::Smtp) };
            assert_eq!(presented(&channel, &Address::parse(text).unwrap()), want, "{text}");
        }
        let channel = Channel {
            dequeue_removeroute: true,
            route_style: Percents,
            ..Channel::new("t", "t-daemon", Program::Smtp)
        };
        assert_eq!(presented(&channel, &Address::parse("@a:user@c").unwrap()), "user@c");
    }
}
