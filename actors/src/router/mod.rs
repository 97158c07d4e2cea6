//! The router: recipient in; channel, address and next hop out.
//!
//! [`Routes`] decides, [`RouteCache`] remembers, and the [`Router`] actor asks the directory for
//! what is not remembered. Sessions hold a [`RouterHandle`]: only a miss costs a message.

mod access;
mod alias;
mod cache;
mod circles;
mod entries;
mod expand;
mod lists;
mod postmaster;
mod refusal;
mod rewrite;
mod routes;
mod rules;
mod spec;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::prelude::*;
use relais_channels::mail::{Address, Enhanced, Reply};

pub(crate) use self::expand::MAX_EXPANSION;
pub use self::{
    access::{Access, internal_ip},
    cache::RouteCache,
    entries::grouped,
    routes::{Question, Resolution, Route, Routes, RoutesError, Routing},
    steps::Step,
};
use crate::directory::DirectoryHandle;

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
    /// Rewrite as an address of a header.
    pub header: bool,
}

/// Puts the routes of another configuration in force.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceRoutes(pub Arc<Routes>);

/// The actor.
#[derive(Debug)]
pub struct Router {
    cache: Arc<RouteCache>,
    directory: DirectoryHandle,
}

/// The router as sessions see it.
#[derive(Clone, Debug)]
pub struct RouterHandle {
    /// Shared by all sessions.
    pub cache: Arc<RouteCache>,
    /// Asked on a miss.
    pub addr: Addr<Router>,
}

impl Router {
    /// An actor that answers by the routes of `cache`.
    pub fn new(cache: Arc<RouteCache>, directory: DirectoryHandle) -> Self {
        Self { cache, directory }
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

// Each question runs in a task of its own: one that waits for the directory holds up no other.
impl Handler<Resolve> for Router {
    type Result = ResponseFuture<Arc<Resolution>>;

    fn handle(&mut self, resolve: Resolve, _: &mut Self::Context) -> Self::Result {
        let (routes, directory) = (self.cache.routes(), self.directory.clone());
        Box::pin(async move {
            let question = Question {
                address: &resolve.address,
                sender: "",
                source_channel: &resolve.source_channel,
                may_relay: false,
                trace: false,
                header: false,
                released: resolve.released,
            };
            Arc::new(routes.resolve(&question, &directory).await)
        })
    }
}

impl Handler<Explain> for Router {
    type Result = ResponseFuture<Routing>;

    fn handle(&mut self, explain: Explain, _: &mut Self::Context) -> Self::Result {
        let (routes, directory) = (self.cache.routes(), self.directory.clone());
        Box::pin(async move {
            let question = Question {
                address: &explain.address,
                sender: &explain.sender,
                source_channel: &explain.source_channel,
                may_relay: explain.may_relay,
                trace: true,
                header: explain.header,
                released: false,
            };
            routes.route(&question, &directory).await
        })
    }
}

impl Handler<ReplaceRoutes> for Router {
    type Result = ();

    fn handle(&mut self, ReplaceRoutes(routes): ReplaceRoutes, _: &mut Self::Context) {
        self.cache.replace(routes);
    }
}

impl RouterHandle {
    /// The ways of a recipient, or what the client gets to read. `trace` and `header` of the
    /// question are not looked at: [`Explain`] is for those.
    pub async fn resolve(&self, question: &Question<'_>) -> Result<Arc<[Route]>, Reply> {
        let resolution = if let Some(resolution) = self.cache.find(question) {
            resolution
        } else {
            let generation = self.cache.generation();
            let resolution = self.ask(question).await?;
            self.cache.remember(question, &resolution, generation);
            resolution
        };
        self.cache.routes().admit(&resolution, question)?;
        resolution.routes.clone()
    }

    /// The same as things are now, whatever was found before; and for everybody.
    pub async fn resolve_anew(&self, question: &Question<'_>) -> Result<Arc<[Route]>, Reply> {
        self.ask(question).await?.routes.clone()
    }

    /// The same, where access checks have a say.
    pub async fn resolve_anew_and_admit(
        &self,
        question: &Question<'_>,
    ) -> Result<Arc<[Route]>, Reply> {
        let resolution = self.ask(question).await?;
        self.cache.routes().admit(&resolution, question)?;
        resolution.routes.clone()
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Arc<Resolution>, Reply> {
        let resolve = Resolve {
            address: question.address.clone(),
            source_channel: question.source_channel.to_owned(),
            released: question.released,
        };
        let gone = |_| Reply::new(451, Enhanced(4, 3, 0), "routing is not available");
        self.addr.send(resolve).await.map_err(gone)
    }
}
