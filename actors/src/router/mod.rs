//! The router: recipient in; channel, address and next hop out.
//!
//! A recipient is walked by [`Resolver`], which goes by [`Routes`] and the directory and is no actor.
//! The [`Router`] actor owns which routes are in force: it publishes them in a [`RouteCache`], and
//! answers what nobody remembers. Sessions hold a [`RouterHandle`]: only a miss costs a message.
//!
//! An actor and no plain value: whoever puts other routes in force ([`Adopt`]) and whoever
//! walks by them ([`Resolve`], [`Explain`]) stand in one line, and what walking costs is seen at the
//! metrics endpoint. Two who ask for one recipient at once have it walked twice; the directory makes
//! one look-up of it.

mod access;
mod accounts;
mod alias;
mod by_hand;
mod cache;
mod circles;
mod entries;
mod expand;
mod forward;
mod forwarding;
mod headers;
mod list_alias;
mod list_files;
mod list_sender;
mod lists;
mod native;
#[cfg(test)]
mod native_tests;
mod own_route;
mod poster_files;
#[cfg(test)]
mod postfix_tests;
mod posting;
mod postmaster;
#[cfg(test)]
mod program_tests;
mod refusal;
mod resolver;
mod reversal;
mod reversing;
mod rewrite;
mod routes;
mod senders;
mod sequences;
mod sizes;
mod spec;
mod steps;
mod submission;
mod switching;
mod tables;
#[cfg(test)]
mod tests;
mod transport;
mod url_asks;
mod virtual_alias;

use std::{net::IpAddr, sync::Arc};

use actix::Message;
use relais_channels::mail::{Address, Enhanced, Reply};
use relais_config::{directory::Cache as Limits, facts::Facts, mapping::Tables};

pub(crate) use self::refusal::MAX_EXPANSION;
pub use self::{
    access::{
        Access, Ruling, internal_ip, internal_ruling, ip_access, origin_access, parting_lines,
        port_access,
    },
    by_hand::{AddressKind, Probed, Sought},
    cache::{InForce, RouteCache},
    entries::grouped,
    headers::{HeaderForm, HeaderTreatment, RewriteHeader},
    native::{DEV_NULL, FILES},
    postmaster::own_postmaster,
    resolver::Resolver,
    routes::{
        AUTOREPLY, Admitted, HeaderPassword, PostProof, Poster, Posting, Question, Resolution,
        Route, Routes, RoutesError, Routing, VACATION,
    },
    sizes::too_large_for_all,
    steps::Step,
    submission::{Submission, TcpEnds},
    switching::ChannelOfClient,
    tables::{TableError, TableFindings, TableProblem, TableRemark, look_into_tables},
};
use self::{
    access::{admit, from_access},
    headers::{header_forms, tell_of_headers},
    senders::rewritten_sender,
    steps::Trace,
    switching::channel_of_client,
    url_asks::UrlAsks,
};
use crate::{
    actor::{Actor, Adopt, Ctx, Gone, Ground, Handle, Later, Mailbox},
    directory::{DirectoryHandle, GivenPassword, Lookup, LookupCounts, LookupError},
};

/// Asks for what does not depend on sender and client.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Arc<Resolution>")]
pub struct Resolve {
    /// The recipient.
    pub address: Address,
    /// The channel the mail comes in by.
    pub source_channel: String,
    /// As in [`Question`].
    pub released: bool,
    /// As in [`Question`].
    pub earlier: Option<String>,
    /// Facts about the origin of the mail.
    pub facts: Facts,
    /// The one who posts; `None`: an answer for everybody is wanted, if there is one.
    pub poster: Option<PosterText>,
}

/// Somebody who posts.
#[derive(Clone, Debug)]
pub struct PosterText {
    /// As in [`Question`].
    pub poster: Poster,
    /// The sender.
    pub sender: String,
    /// The user who has logged in; empty when nobody has.
    pub user: String,
    /// The password for a list.
    pub password: HeaderPassword<GivenPassword>,
}

/// Why an address has no ways.
#[derive(Clone, Debug)]
pub enum NoWay {
    /// It is refused.
    Refused(Reply),
    /// The question lacks the password that the header may have.
    HeaderWanted,
}

/// Asks which channel the address of a client leads to.
#[derive(Clone, Debug, Message)]
#[rtype(result = "ChannelOfClient")]
pub struct FindChannel {
    /// The client.
    pub client: IpAddr,
    /// The channel of the service that it has connected to.
    pub source_channel: Arc<str>,
    /// An operator wants to know, step by step.
    pub is_asked: bool,
}

/// Asks what the sender of an envelope becomes.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Option<Address>, Reply>")]
pub struct RewriteSender {
    /// The sender.
    pub sender: Address,
    /// The channel the mail comes in by.
    pub source_channel: Arc<str>,
    /// Facts about the origin of the mail.
    pub facts: Facts,
}

/// Asks for the whole way, told step by step.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Routing")]
pub struct Explain {
    /// The recipient.
    pub address: Address,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: String,
    /// The channel the mail comes in by.
    pub source_channel: String,
    /// The client may send to domains that are not ours.
    pub may_relay: bool,
    /// The one who sends it: a client, or the sender of mail in the queue, which no client brings.
    pub poster: Poster,
    /// Rewrite as an address of a header.
    pub header: bool,
    /// Both ends of the client's connection.
    pub ends: Option<TcpEnds>,
    /// The name that the client would give itself.
    pub hello: String,
    /// The user that the client would log in as; empty when it would not.
    pub authenticated: String,
    /// Facts about the origin of the mail.
    pub facts: Facts,
    /// Only the end counts: no step is told, and what was looked up before may be gone by.
    pub is_brief: bool,
}

/// The actor.
#[derive(Debug)]
pub struct Router {
    published: Arc<RouteCache>,
    directory: DirectoryHandle,
}

/// The router as sessions see it.
#[derive(Clone, Debug)]
pub struct RouterHandle {
    /// Shared by all sessions.
    pub cache: Arc<RouteCache>,
    /// How the router's look-ups in the directory came out.
    pub lookups: Arc<LookupCounts>,
    mailbox: Mailbox<Router>,
    directory: DirectoryHandle,
}

/// Puts routes in force and starts the router, which answers by them. It remembers answers within
/// `limits`.
pub fn start(
    routes: Routes,
    limits: Limits,
    directory: DirectoryHandle,
    ground: &Ground,
) -> RouterHandle {
    let cache = Arc::new(RouteCache::new(Arc::new(routes), limits));
    let lookups = Arc::clone(&directory.counts);
    let (published, own) = (Arc::clone(&cache), directory.clone());
    let mailbox = ground.start_vital("router", Router { published, directory: own });
    RouterHandle { cache, lookups, mailbox, directory }
}

impl Actor for Router {
    const NAME: &'static str = "router";
}

// Each question runs in a task of its own: one that waits for the directory holds up no other.
impl Handle<Resolve> for Router {
    fn handle(&mut self, resolve: Resolve, _: &mut Ctx<Self>) -> Later<Arc<Resolution>> {
        let (now, directory) = (self.published.in_force(), self.directory.clone());
        Later::new(async move {
            let by = resolve.poster.as_ref();
            let authenticated = by.map_or("", |by| by.user.as_str());
            let facts = resolve.facts;
            let question = Question {
                address: &resolve.address,
                sender: by.map_or("", |by| &by.sender),
                source_channel: &resolve.source_channel,
                may_relay: false,
                header: false,
                released: resolve.released,
                submission: Some(Submission { authenticated, facts, ..Submission::default() }),
                poster: by.map_or(Poster::Unsaid, |by| by.poster),
                earlier: resolve.earlier.as_deref(),
                proof: PostProof {
                    login: "",
                    password: by.map_or(HeaderPassword::Unread, |by| by.password.as_ref()),
                },
            };
            let resolver = Resolver::new(&now.routes, &directory, question);
            // Members of a list may go another way by what is known of the mail.
            let is_shared = !now.routes.asks_facts() || facts.are_unknown();
            let resolver = if is_shared { resolver.sharing(&now.lists) } else { resolver };
            Arc::new(resolver.resolve().await)
        })
    }
}

impl Handle<Explain> for Router {
    fn handle(&mut self, explain: Explain, _: &mut Ctx<Self>) -> Later<Routing> {
        let routes = self.published.routes();
        let directory =
            if explain.is_brief { self.directory.clone() } else { self.directory.told() };
        Later::new(async move {
            let mut before = Trace::new(true, directory.log());
            let sender = sender_of(&explain, &routes, &directory, &mut before).await;
            let mut steps = before.into_steps();
            let sender = match sender {
                Ok(sender) => sender,
                Err(reply) => {
                    let (local, relaying, if_permitted) = (false, false, None);
                    return Routing { outcome: Err(reply), if_permitted, local, relaying, steps };
                }
            };
            let question = Question {
                address: &explain.address,
                sender: &sender,
                source_channel: &explain.source_channel,
                may_relay: explain.may_relay,
                header: explain.header,
                released: false,
                submission: (explain.poster == Poster::Client).then_some(Submission {
                    ends: explain.ends,
                    hello: &explain.hello,
                    authenticated: &explain.authenticated,
                    facts: explain.facts,
                }),
                poster: explain.poster,
                earlier: None,
                proof: PostProof::default(),
            };
            let mut routing = Resolver::new(&routes, &directory, question).traced().route().await;
            steps.append(&mut routing.steps);
            if explain.header {
                let mut behind = Trace::new(true, directory.log());
                let found = routing.outcome.as_ref().ok().and_then(|ways| ways.first());
                let address = found.map_or(explain.address.as_str(), |way| &way.address);
                let asked = (address, &*explain.source_channel);
                tell_of_headers(&routes, &directory, asked, &mut behind).await;
                steps.append(&mut behind.into_steps());
            }
            if explain.is_brief {
                steps.clear();
            }
            Routing { steps, ..routing }
        })
    }
}

/// The sender that access tables see.
async fn sender_of(
    explain: &Explain,
    routes: &Routes,
    directory: &DirectoryHandle,
    trace: &mut Trace,
) -> Result<String, Reply> {
    let rewritten = match Address::parse(&explain.sender) {
        Ok(sender) if !explain.header => {
            let asked = (&sender, &*explain.source_channel, explain.facts);
            rewritten_sender(routes, directory, asked, trace).await
        }
        _ => Ok(None),
    };
    let rewritten = rewritten.map_err(|failure| failure.reply())?;
    Ok(rewritten.map_or_else(|| explain.sender.clone(), |address| address.to_string()))
}

impl Handle<RewriteSender> for Router {
    fn handle(
        &mut self,
        asked: RewriteSender,
        _: &mut Ctx<Self>,
    ) -> Later<Result<Option<Address>, Reply>> {
        let (routes, directory) = (self.published.routes(), self.directory.clone());
        Later::new(async move {
            let sender = (&asked.sender, &*asked.source_channel, asked.facts);
            let rewritten =
                rewritten_sender(&routes, &directory, sender, &mut Trace::default()).await;
            rewritten.map_err(|failure| failure.reply())
        })
    }
}

impl Handle<RewriteHeader> for Router {
    fn handle(
        &mut self,
        asked: RewriteHeader,
        _: &mut Ctx<Self>,
    ) -> Later<Result<Vec<HeaderForm>, Reply>> {
        let (routes, directory) = (self.published.routes(), self.directory.clone());
        Later::new(async move { header_forms(&routes, &directory, &asked).await })
    }
}

impl Handle<FindChannel> for Router {
    fn handle(&mut self, find: FindChannel, _: &mut Ctx<Self>) -> Later<ChannelOfClient> {
        let (routes, directory) = (self.published.routes(), self.directory.clone());
        Later::new(async move {
            let client = (find.client, &*find.source_channel);
            channel_of_client(&routes, &directory, client, Trace::new(find.is_asked, None)).await
        })
    }
}

/// Every answer is forgotten, so this is sent after the directory has got another source, too.
impl Handle<Adopt<Arc<Routes>>> for Router {
    fn handle(&mut self, Adopt(routes): Adopt<Arc<Routes>>, _: &mut Ctx<Self>) {
        self.published.publish(routes);
    }
}

impl RouterHandle {
    /// The ways of a recipient, or what the client gets to read. `header` of the question is not
    /// looked at: [`Explain`] is for that.
    pub async fn resolve(&self, question: &Question<'_>) -> Result<Arc<[Route]>, Reply> {
        self.admit(question).await.map(|admitted| admitted.routes)
    }

    /// The same, with what access tables say beside.
    pub async fn admit(&self, question: &Question<'_>) -> Result<Admitted, Reply> {
        let now = self.cache.in_force();
        let found = if let Some(found) = now.find(question) {
            found
        } else {
            let found = self.ask(question, None).await?;
            now.remember(question, &found);
            found
        };
        let found = match found.posting {
            Posting::Unsaid => self.found_for_poster(&now, question).await?,
            Posting::Open | Posting::Asked | Posting::HeaderWanted => found,
        };
        let asked = (&*now.routes, &self.directory);
        admit(asked, &found, question, &mut Trace::default()).await
    }

    /// The answer where a list asks who posts.
    async fn found_for_poster(
        &self,
        now: &InForce,
        question: &Question<'_>,
    ) -> Result<Arc<Resolution>, Reply> {
        if let Some(found) = now.find_of_poster(question) {
            return Ok(found);
        }
        let found = self.ask(question, Some(PosterText::of(question))).await?;
        now.remember(question, &found);
        Ok(found)
    }

    /// The same as things are now, whatever was found before. `is_checked`: access checks have a say;
    /// else it is for everybody.
    pub async fn resolve_anew(
        &self,
        question: &Question<'_>,
        is_checked: bool,
    ) -> Result<Arc<[Route]>, NoWay> {
        let found = self.ask(question, Some(PosterText::of(question))).await?;
        if found.posting == Posting::HeaderWanted {
            return Err(NoWay::HeaderWanted);
        }
        if !is_checked {
            return Ok(found.routes.clone()?);
        }
        let routes = self.cache.routes();
        let asked = (&*routes, &self.directory);
        let admitted = admit(asked, &found, question, &mut Trace::default()).await?;
        Ok(admitted.routes)
    }

    /// `FROM_ACCESS`: whether a sender may send by a channel. `None`: there is no such table.
    /// `is_asked`: an operator wants to know, and nobody sends.
    pub async fn from_access(
        &self,
        (source_channel, sender): (&str, &str),
        submission: Submission<'_>,
        is_asked: bool,
    ) -> Result<Option<Ruling>, Reply> {
        let (routes, asked) = (self.cache.routes(), (source_channel, sender));
        from_access((&routes, &self.directory), asked, submission, is_asked).await
    }

    /// Evaluates something by the mapping tables, for somebody who wants to see what would happen, with
    /// every look-up by URL that it asks for.
    pub async fn look_into_tables<T>(
        &self,
        mut evaluate: impl FnMut(Tables<'_>) -> T,
    ) -> Result<T, LookupError> {
        let routes = self.cache.routes();
        let answered = UrlAsks::answered(&self.directory, |urls| {
            evaluate(Tables { urls: Some(urls), ..routes.tables_looked_at() })
        });
        answered.await
    }

    /// The whole way, told step by step, as things are now.
    pub async fn explain(&self, explain: Explain) -> Result<Routing, Gone> {
        self.mailbox.ask(explain).await
    }

    /// The address that the sender of an envelope becomes; `None`: it stays as it is. Only senders
    /// that a rule may change cost a message.
    pub async fn sender(
        &self,
        sender: &Address,
        source_channel: &Arc<str>,
        facts: Facts,
    ) -> Result<Option<Address>, Reply> {
        if !self.cache.routes().may_change_sender(sender) {
            return Ok(None);
        }
        let source_channel = Arc::clone(source_channel);
        let asked = RewriteSender { sender: sender.clone(), source_channel, facts };
        self.mailbox.ask(asked).await.map_err(|_| unavailable())?
    }

    /// The addresses of a header and the envelope's sender by each treatment.
    pub async fn header(&self, asked: RewriteHeader) -> Result<Vec<HeaderForm>, Reply> {
        self.mailbox.ask(asked).await.map_err(|_| unavailable())?
    }

    /// The channel that a client's address leads to from that of its service. Without a router the
    /// client is not kept waiting for what no recipient can be routed to.
    pub async fn channel_of_client(
        &self,
        client: IpAddr,
        source_channel: &Arc<str>,
    ) -> ChannelOfClient {
        let source_channel = Arc::clone(source_channel);
        let find = FindChannel { client, source_channel, is_asked: false };
        self.mailbox.ask(find).await.unwrap_or_default()
    }

    /// The same, told step by step.
    pub async fn explain_channel(
        &self,
        client: IpAddr,
        source: &str,
    ) -> Result<ChannelOfClient, Gone> {
        self.mailbox
            .ask(FindChannel { client, source_channel: source.into(), is_asked: true })
            .await
    }

    /// Puts other routes in force; from the answer on nothing is routed by those before.
    pub async fn adopt(&self, routes: Arc<Routes>) -> Result<(), Gone> {
        self.mailbox.ask(Adopt(routes)).await
    }

    async fn ask(
        &self,
        question: &Question<'_>,
        poster: Option<PosterText>,
    ) -> Result<Arc<Resolution>, Reply> {
        let resolve = Resolve {
            address: question.address.clone(),
            source_channel: question.source_channel.to_owned(),
            released: question.released,
            earlier: question.earlier.map(str::to_owned),
            facts: question.facts(),
            poster,
        };
        self.mailbox.ask(resolve).await.map_err(|_| unavailable())
    }
}

impl PosterText {
    fn of(question: &Question<'_>) -> Self {
        Self {
            poster: question.poster,
            sender: question.sender.to_owned(),
            user: question.login().to_owned(),
            password: match question.proof.password {
                HeaderPassword::Unread => HeaderPassword::Unread,
                HeaderPassword::Absent => HeaderPassword::Absent,
                HeaderPassword::Given(password) => HeaderPassword::Given(password.clone()),
            },
        }
    }
}

impl From<Reply> for NoWay {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

fn unavailable() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "routing is not available")
}
