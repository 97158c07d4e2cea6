//! Whether somebody may post to a list.
//!
//! Rules of a list are asked where the list is looked up, so that a list in another one is asked,
//! too. The one who is asked about is the envelope's sender; where the list wants a login, the user
//! who has logged in. All addresses of a user are one user. A message that is in the queue already
//! has been asked about where it came in: a recipient that is a list which was asked then is not asked
//! about again, a list that this one leads to only now is, by the envelope's sender and the login that
//! the queue keeps.
//!
//! A list that wants a password is asked by the reprocess channel, behind the other rules: the password
//! stands in the header, which has not come when a recipient is named.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::mail::Address;
use relais_config::{grammar::table_key, mapping::Tables};
use tracing::warn;

use super::{
    refusal::{MAX_EXPANSION, Refusal},
    routes::{HeaderPassword, Poster, Question, Routes},
    steps::{Step, Trace},
    submission::address_field,
    url_asks::UrlAsks,
};
use crate::directory::{
    ADDRESSES, Domain, DomainPattern, Entry, ListPassword, Lookup, MemberSearch, MemberUrl,
    PostingCondition, PostingRules, PostingTest, normalize_dn, spelled,
};

/// Asks one list.
pub(super) struct PostingCheck<'a, L> {
    routes: &'a Routes,
    lookup: &'a L,
    question: &'a Question<'a>,
    /// Aliases that led to the list.
    depth: usize,
    /// The list may be asked later, by the reprocess channel.
    may_defer: bool,
    /// Lists with rules that were met so far.
    asked: &'a mut AskedLists,
    trace: &'a mut Trace,
    /// Domains that were looked up.
    domains: HashMap<String, Option<Arc<Domain>>>,
    /// Look-ups that may still be made.
    left: usize,
    /// When the last of them may begin.
    until: Instant,
}

/// The lists with rules that one recipient led to, and what it cost to ask them.
#[derive(Debug, Default)]
pub(super) struct AskedLists {
    /// Lists, and forwards that depend on the sender.
    pub(super) count: usize,
    /// A list cannot be asked without the password in the header.
    pub(super) wants_header: bool,
    /// Look-ups.
    lookups: usize,
    /// When the first of them began.
    since: Option<Instant>,
    /// Why one of them has the post held.
    pub(super) held: Option<String>,
}

/// Where a post goes.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum PostGoes {
    /// To the members.
    Passes,
    /// To these, in place of the members.
    ToModerators(Vec<String>),
    /// To the reprocess channel, which has the header.
    Later,
}

/// The word of the rules about an author.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Word {
    /// None is against it.
    May,
    /// This one is.
    MayNot(Cow<'static, str>),
    /// None but that of the password, and the header has not been looked at.
    Open,
}

/// Somebody who posts.
#[derive(Debug, Default)]
struct PostAuthor {
    /// All addresses, in lower case; none: the null sender.
    addresses: Vec<String>,
    /// The domain of the address that was given.
    domain: String,
    /// The name of the entry, normalized.
    dn: Option<String>,
}

impl<'a, L: Lookup> PostingCheck<'a, L> {
    pub(super) fn new(
        (routes, lookup): (&'a Routes, &'a L),
        question: &'a Question<'a>,
        (depth, may_defer): (usize, bool),
        asked: &'a mut AskedLists,
        trace: &'a mut Trace,
    ) -> Self {
        let (domains, until) = (HashMap::new(), Instant::now() + LONGEST);
        let left = MOST_LOOKUPS;
        Self { routes, lookup, question, depth, may_defer, asked, trace, domains, left, until }
    }

    /// Asks the list of this entry.
    pub(super) async fn ask(self, list: &Entry) -> Result<PostGoes, Refusal> {
        let rules = PostingRules::of(list).inspect_err(|error| {
            warn!(dn = ?list.dn, %error, "a list takes no mail");
            self.trace.note(|| Step::unusable(list, error));
        })?;
        match rules {
            Some(rules) => self.ask_by(&rules, &list.dn).await,
            None => Ok(PostGoes::Passes),
        }
    }

    /// Asks a list by its rules.
    pub(super) async fn ask_by(
        mut self,
        rules: &PostingRules,
        list: &str,
    ) -> Result<PostGoes, Refusal> {
        self.asked.count += 1;
        match self.question.poster {
            Poster::Unsaid => return Err(Refusal::PosterUnsaid),
            Poster::Nobody => return Ok(PostGoes::Passes),
            Poster::Admitted if self.depth == 0 => return Ok(PostGoes::Passes),
            Poster::Admitted | Poster::Queued | Poster::Client => {}
        }
        if rules.passwords.as_ref().is_some_and(Vec::is_empty) {
            warn!(?list, "a list wants a password, and has none: no password lets anybody post");
        }
        let user = self.question.login();
        let name = if rules.wants_login { user } else { self.question.sender };
        let author = self.author(name, rules.wants_login).await?;
        let word = if rules.wants_login && user.is_empty() {
            Word::MayNot("nobody has logged in".into())
        } else if rules.wants_login && author.addresses.is_empty() && rules.ask_for_names() {
            let why = "the address of the user who has logged in is not that user's alone";
            Word::MayNot(why.into())
        } else {
            self.word(rules, &author).await?
        };
        let failure = match word {
            Word::Open => return self.later(list, name),
            Word::MayNot(why) => Some(why),
            Word::May => None,
        };
        let mut post = self.decide(rules, &author, failure.as_deref()).await;
        let mut held = None;
        if post == Ok(PostGoes::Passes) {
            held = self.held_by(rules, &author).await?;
        }
        if let Some(why) = &held {
            post = self.hold(list, why, rules);
        }
        if post == Err(Refusal::TooManyAsked) || post == Err(Refusal::NoModerator) {
            warn!(?list, "a list cannot be asked who may post");
        }
        self.tell(list, name, (failure.as_deref(), held.as_deref()), &post);
        post
    }

    /// The condition that has a post held.
    async fn held_by(
        &mut self,
        rules: &PostingRules,
        author: &PostAuthor,
    ) -> Result<Option<String>, Refusal> {
        let conditions = &rules.conditions;
        for condition in &conditions.held {
            if self.holds(condition, author).await? {
                return Ok(Some(format!("{} has the author", condition.name)));
            }
        }
        for condition in &conditions.not_held {
            if !self.holds(condition, author).await? {
                return Ok(Some(format!("{} does not have the author", condition.name)));
            }
        }
        Ok(None)
    }

    /// Has a post held as it comes in; what is in the queue already cannot be held for one of its
    /// recipients, who is refused then.
    fn hold(&mut self, list: &str, why: &str, rules: &PostingRules) -> Result<PostGoes, Refusal> {
        if self.question.poster != Poster::Client {
            return Err(Refusal::MayNotPost(rules.words.clone()));
        }
        let shown: String = list.chars().take(MAX_SHOWN).collect();
        self.asked.held.get_or_insert_with(|| format!("the list {shown}: {why}"));
        Ok(PostGoes::Passes)
    }

    /// Leaves the list to the reprocess channel, which is asked next or has looked at no header yet.
    fn later(&mut self, list: &str, name: &str) -> Result<PostGoes, Refusal> {
        if !self.may_defer {
            self.asked.wants_header = self.question.poster != Poster::Client;
            return Err(Refusal::HeaderUnread);
        }
        self.trace.note(|| Step::Posting {
            list: list.to_owned(),
            author: name.to_owned(),
            verdict: "goes to reprocess: the password stands in the header".to_owned(),
        });
        Ok(PostGoes::Later)
    }

    /// The word of all rules.
    async fn word(&mut self, rules: &PostingRules, author: &PostAuthor) -> Result<Word, Refusal> {
        let is_in = |patterns: &[_]| patterns.iter().any(|its| author.is_of(its));
        let is_listed = self.is_among(&rules.allowed, author).await?;
        // An author who is named is asked for no domain.
        if !is_listed && is_in(&rules.disallowed_domains) {
            return Ok(Word::MayNot("mgrpDisallowedDomain has the domain".into()));
        }
        let (asks_who, asks_domain) =
            (!rules.allowed.is_empty(), !rules.allowed_domains.is_empty());
        let is_of_domain = asks_domain && is_in(&rules.allowed_domains);
        let missed = if is_listed {
            None
        } else if asks_domain && !is_of_domain {
            Some("mgrpAllowedDomain has not the domain")
        } else if asks_who && !(rules.any_is_enough && is_of_domain) {
            Some("mgrpAllowedBroadcaster does not name the author")
        } else {
            None
        };
        let wanted = rules.passwords.as_deref();
        if let Some(why) = missed.filter(|_| wanted.is_none() || !rules.any_is_enough) {
            return Ok(Word::MayNot(why.into()));
        }
        if self.is_among(&rules.disallowed, author).await? {
            return Ok(Word::MayNot("mgrpDisallowedBroadcaster names the author".into()));
        }
        if let Some(why) = self.unmet(rules, author).await? {
            return Ok(Word::MayNot(why.into()));
        }
        let one_of = self.one_of(rules, author).await?;
        let is_enough = rules.any_is_enough && (asks_who || asks_domain) && missed.is_none();
        // Where one rule is enough the password is one of them.
        match (wanted.filter(|_| !is_enough && one_of != Some(true)), one_of) {
            (Some(passwords), _) => Ok(self.password(passwords).await),
            (None, Some(false)) => {
                let names: Vec<_> = rules.conditions.one_of.iter().map(|its| its.name).collect();
                Ok(Word::MayNot(format!("none is met of {}", names.join(", ")).into()))
            }
            (None, _) => Ok(Word::May),
        }
    }

    /// The condition of an alias that is against this author, but for those of which one is enough.
    async fn unmet(
        &mut self,
        rules: &PostingRules,
        author: &PostAuthor,
    ) -> Result<Option<String>, Refusal> {
        let conditions = &rules.conditions;
        for condition in &conditions.none_of {
            if self.bars(condition, author).await? {
                return Ok(Some(format!("{} is against it", condition.name)));
            }
        }
        for condition in &conditions.all_of {
            if !self.holds(condition, author).await? {
                return Ok(Some(format!("{} is not met", condition.name)));
            }
        }
        Ok(None)
    }

    /// Whether one is met of the conditions of which one is enough; `None`: there are none.
    async fn one_of(
        &mut self,
        rules: &PostingRules,
        author: &PostAuthor,
    ) -> Result<Option<bool>, Refusal> {
        let one_of = &rules.conditions.one_of;
        for condition in one_of {
            if self.holds(condition, author).await? {
                return Ok(Some(true));
            }
        }
        Ok((!one_of.is_empty()).then_some(false))
    }

    /// The word about the password.
    async fn password(&self, passwords: &[ListPassword]) -> Word {
        if passwords.is_empty() {
            return Word::MayNot("the list wants a password and has no mgrpAuthPassword".into());
        }
        match self.question.proof.password {
            HeaderPassword::Unread => return Word::Open,
            HeaderPassword::Absent => {}
            HeaderPassword::Given(given) => {
                for password in passwords {
                    if password.is(given).await {
                        return Word::May;
                    }
                }
            }
        }
        Word::MayNot("the header has no Approved field with the list's password".into())
    }

    /// Whether a condition holds that is against an author. Of mail in the queue nobody always knows any
    /// more by which channel it came: it might have been one of these.
    async fn bars(
        &mut self,
        condition: &PostingCondition,
        author: &PostAuthor,
    ) -> Result<bool, Refusal> {
        let is_unknown = self.question.poster != Poster::Client
            && self.question.earlier.is_none()
            && matches!(condition.test, PostingTest::Channel(_));
        Ok(is_unknown || self.holds(condition, author).await?)
    }

    /// Whether a condition holds.
    async fn holds(
        &mut self,
        condition: &PostingCondition,
        author: &PostAuthor,
    ) -> Result<bool, Refusal> {
        let user = self.question.login();
        let source = self.question.earlier.unwrap_or(self.question.source_channel);
        match &condition.test {
            PostingTest::Channel(list) => Ok(list.has(&source.to_ascii_lowercase())),
            PostingTest::Login(list) => Ok(!user.is_empty() && list.has(&table_key(user))),
            PostingTest::Author(list) if author.addresses.iter().any(|own| list.has(own)) => {
                Ok(true)
            }
            PostingTest::Author(list) => self.finds(&list.searches, author).await,
            // In the one spelling that it has: quotes would lead past a pattern.
            PostingTest::Mapping(table) => {
                let given = author.addresses.first().map_or("", String::as_str);
                self.maps(table, given).await
            }
            PostingTest::LoginMapping(_) if user.is_empty() => Ok(false),
            PostingTest::LoginMapping(table) => self.maps(table, user).await,
        }
    }

    /// Whether a search finds one of an author's addresses.
    async fn finds(
        &mut self,
        searches: &[MemberSearch],
        author: &PostAuthor,
    ) -> Result<bool, Refusal> {
        if author.addresses.is_empty() {
            return Ok(false);
        }
        for search in searches {
            self.count()?;
            if !self.lookup.found_by(search, &author.addresses).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a mapping table says `$Y` to a name.
    async fn maps(&mut self, table: &str, name: &str) -> Result<bool, Refusal> {
        let table = table.to_owned();
        let Some(table) = self.routes.mapping(Some(&table)) else { return Ok(false) };
        let probe = address_field(name);
        let is_looked_at = self.trace.is_on();
        let said = UrlAsks::answered(self.lookup, |urls| {
            let tables =
                if is_looked_at { self.routes.tables_looked_at() } else { self.routes.tables() };
            let tables = Tables { urls: Some(urls), ..tables };
            table.lookup(&probe, &tables).is_some_and(|mapped| mapped.flags.has('Y'))
        });
        Ok(said.await?)
    }

    async fn decide(
        &mut self,
        rules: &PostingRules,
        author: &PostAuthor,
        failure: Option<&str>,
    ) -> Result<PostGoes, Refusal> {
        let refused = || Err(Refusal::MayNotPost(rules.words.clone()));
        if rules.moderators.is_empty() {
            return if failure.is_none() { Ok(PostGoes::Passes) } else { refused() };
        }
        if failure.is_some() && !rules.to_moderators {
            return refused();
        }
        if self.is_among(&rules.moderators, author).await? {
            return Ok(PostGoes::Passes);
        }
        for condition in &rules.conditions.moderators {
            if self.holds(condition, author).await? {
                return Ok(PostGoes::Passes);
            }
        }
        let mut moderators = Vec::new();
        for url in &rules.moderators {
            match url {
                MemberUrl::Address(address) => moderators.push(address.clone()),
                MemberUrl::Search(search) => {
                    for entry in self.lookup.found_by(search, &[]).await? {
                        let own = search.addresses_of(&entry).iter();
                        let is_address = |its: &&String| Address::parse(its).is_ok();
                        moderators.extend(own.filter(is_address).cloned());
                    }
                }
            }
        }
        if moderators.len() > MAX_EXPANSION {
            return Err(Refusal::TooMany);
        }
        if moderators.is_empty() {
            Err(Refusal::NoModerator)
        } else {
            Ok(PostGoes::ToModerators(moderators))
        }
    }

    fn tell(
        &mut self,
        list: &str,
        name: &str,
        (failure, held): (Option<&str>, Option<&str>),
        post: &Result<PostGoes, Refusal>,
    ) {
        self.trace.note(|| Step::Posting {
            list: list.to_owned(),
            author: name.to_owned(),
            verdict: match (post, failure) {
                (Ok(PostGoes::Passes), _) if held.is_some() => {
                    format!("may post, and the mail is held: {}", held.unwrap_or_default())
                }
                (Ok(PostGoes::Passes | PostGoes::Later), None) => "may post".to_owned(),
                (Ok(PostGoes::Passes | PostGoes::Later), Some(why)) => {
                    format!("may post as a moderator, though {why}")
                }
                (Ok(PostGoes::ToModerators(them)), why) => {
                    let why = why.map_or_else(String::new, |why| format!(", since {why}"));
                    format!(
                        "does not post: the mail goes to the moderators {}{why}",
                        them.join(", ")
                    )
                }
                (Err(_), Some(why)) => format!("may not post: {why}"),
                (Err(refusal), None) => refusal.to_string(),
            },
        });
    }

    /// An author by an address, with all others of the same user. That of a user who has logged in is
    /// read from an entry that the user may have written: nobody, when it does not lead there alone.
    async fn author(&mut self, name: &str, is_login: bool) -> Result<PostAuthor, Refusal> {
        let Ok(address) = Address::parse(name) else { return Ok(PostAuthor::default()) };
        let given = spelled(&address);
        let domain = address.domain().unwrap_or_default().trim_end_matches('.');
        let mut author = PostAuthor {
            domain: domain.to_ascii_lowercase(),
            addresses: vec![given.clone()],
            dn: None,
        };
        let found = self.entries(&given).await?;
        if is_login && found.len() != 1 {
            return Ok(PostAuthor::default());
        }
        if let [entry] = &found[..] {
            let own = ADDRESSES.iter().flat_map(|name| entry.all(name));
            // `@domain` is everybody of it.
            let own = own.filter(|own| !own.starts_with('@')).map(|own| table_key(own));
            for own in own.take(MOST_ADDRESSES).collect::<Vec<_>>() {
                if own != given && self.leads_to(&own, entry).await? {
                    author.addresses.push(own);
                }
            }
            author.dn = Some(normalize_dn(&entry.dn));
        }
        Ok(author)
    }

    /// Whether an address is this entry's and nobody else's: users who may write their own entries
    /// could name the address of somebody else there, who is allowed to post.
    async fn leads_to(&mut self, address: &str, entry: &Entry) -> Result<bool, Refusal> {
        let found = self.entries(address).await?;
        Ok(matches!(&found[..], [found] if normalize_dn(&found.dn) == normalize_dn(&entry.dn)))
    }

    /// Whether an author is one of these, or a member of a list among them.
    async fn is_among(&mut self, urls: &[MemberUrl], author: &PostAuthor) -> Result<bool, Refusal> {
        if urls.is_empty() || author.addresses.is_empty() {
            return Ok(false);
        }
        // By name first: that needs no look-up.
        let names = |url: &MemberUrl| matches!(url, MemberUrl::Address(a) if author.has(a));
        if urls.iter().any(names) {
            return Ok(true);
        }
        let (mut lists, mut seen) = (VecDeque::new(), HashSet::new());
        if self.lead(urls, author, &mut lists).await? {
            return Ok(true);
        }
        while let Some(list) = lists.pop_front() {
            if seen.insert(normalize_dn(&list.dn))
                && self.is_member(&list, author, &mut lists).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a search finds the author; lists that addresses lead to are asked later.
    async fn lead(
        &mut self,
        urls: &[MemberUrl],
        author: &PostAuthor,
        lists: &mut VecDeque<Arc<Entry>>,
    ) -> Result<bool, Refusal> {
        for url in urls {
            match url {
                MemberUrl::Search(search) => {
                    self.count()?;
                    if !self.lookup.found_by(search, &author.addresses).await?.is_empty() {
                        return Ok(true);
                    }
                }
                MemberUrl::Address(address) => {
                    let found = self.entries(&table_key(address)).await?;
                    lists.extend(found.into_iter().filter(|entry| entry.is_group()));
                }
            }
        }
        Ok(false)
    }

    /// Whether an author is a member of a list; lists in it are asked later.
    async fn is_member(
        &mut self,
        list: &Entry,
        author: &PostAuthor,
        lists: &mut VecDeque<Arc<Entry>>,
    ) -> Result<bool, Refusal> {
        let names = list.all("uniquemember");
        let is_own = |dn: &String| author.dn.as_ref() == Some(&normalize_dn(dn));
        if names.iter().any(is_own) {
            return Ok(true);
        }
        let addresses = ["mgrprfc822mailmember", "rfc822mailmember"];
        let addresses: Vec<&String> = addresses.iter().flat_map(|name| list.all(name)).collect();
        if addresses.iter().any(|address| author.has(address)) {
            return Ok(true);
        }
        for attribute in ["mgrpDeliverTo", "memberURL"] {
            let urls = MemberUrl::all(list, attribute)?;
            if urls.iter().any(|url| matches!(url, MemberUrl::Address(a) if author.has(a)))
                || self.lead(&urls, author, lists).await?
            {
                return Ok(true);
            }
        }
        for dn in names {
            self.count()?;
            let entry = self.lookup.entry(dn).await?;
            lists.extend(entry.filter(|entry| entry.is_group()));
        }
        for address in addresses {
            let found = self.entries(&table_key(address)).await?;
            lists.extend(found.into_iter().filter(|entry| entry.is_group()));
        }
        Ok(false)
    }

    /// The users and groups with an address, if it is of a domain of ours.
    async fn entries(&mut self, address: &str) -> Result<Vec<Arc<Entry>>, Refusal> {
        let Some((_, name)) = address.rsplit_once('@') else { return Ok(Vec::new()) };
        let name = name.trim_end_matches('.');
        if !self.domains.contains_key(name) {
            self.count()?;
            let found = self.lookup.domain(name).await?;
            self.domains.insert(name.to_owned(), found);
        }
        let Some(domain) = self.domains.get(name).cloned().flatten() else {
            return Ok(Vec::new());
        };
        self.count()?;
        let mut found = self.lookup.entries(&domain, address).await?;
        found.retain(|entry| entry.is_mail());
        Ok(found)
    }

    fn count(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        self.asked.lookups += 1;
        let began = *self.asked.since.get_or_insert(now);
        let is_late = now > self.until || now - began > LONGEST_OF_ALL;
        let is_too_much = is_late || self.asked.lookups > MOST_OF_ALL;
        let left = self.left.checked_sub(1).filter(|_| !is_too_much);
        self.left = left.ok_or(Refusal::TooManyAsked)?;
        Ok(())
    }
}

impl PostAuthor {
    fn has(&self, address: &str) -> bool {
        let address = address.trim();
        let is_own = |other: &str| self.addresses.iter().any(|own| own.eq_ignore_ascii_case(other));
        // Nearly all are written in the one way that needs no look at them.
        let is_odd = address.contains('"') || address.ends_with('.') || !address.is_ascii();
        is_own(address)
            || is_odd && Address::parse(address).is_ok_and(|address| is_own(&spelled(&address)))
    }

    fn is_of(&self, pattern: &DomainPattern) -> bool {
        pattern.matches(&self.domain)
    }
}

/// Look-ups that one list may cost: those who may post are counted in dozens, and a stranger's
/// recipient makes them.
const MOST_LOOKUPS: usize = 5_000;
/// How long they may take together: a client waits for the reply.
const LONGEST: Duration = Duration::from_secs(30);
/// Look-ups of all lists that one recipient leads to: lists with rules may be members of another one.
const MOST_OF_ALL: usize = 4 * MOST_LOOKUPS;
/// How long those may take together.
const LONGEST_OF_ALL: Duration = Duration::from_secs(120);
/// Addresses of one user that are compared.
const MOST_ADDRESSES: usize = 100;
/// Characters of a list's name in a reason for holding mail.
const MAX_SHOWN: usize = 100;
