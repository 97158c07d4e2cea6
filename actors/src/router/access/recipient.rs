//! Whether a recipient is taken, from this client and sender.
//!
//! Tables before aliases may refuse, and may let a stranger relay (`$Y`). Those behind aliases are
//! asked for each way and may only refuse: when all ways are refused so is the recipient, and some
//! that are refused for good are ways that fail, for which the sender gets a notice.

use std::sync::Arc;

use relais_channels::mail::{Enhanced, PostCheck, Reply};
use relais_config::{channel::DirectoryAway, lookup_url::UrlResults, mapping::Tables};

use super::{
    Access, MAIL_ACCESS, ORIG_MAIL_ACCESS, ORIG_SEND_ACCESS, Question, Routes, Ruling, SEND_ACCESS,
};
use crate::{
    directory::Lookup,
    router::{
        refusal::{Refusal, is_lookup_failure},
        routes::{Admitted, Resolution, Route},
        steps::{Step, Trace},
        submission::address_field,
        url_asks::UrlAsks,
    },
};

/// The question of one recipient to the tables.
struct Asking<'a> {
    routes: &'a Routes,
    urls: Option<&'a UrlAsks>,
    question: &'a Question<'a>,
    trace: &'a mut Trace,
    held: Option<String>,
    is_discarded: bool,
}

/// Whether this client and sender may go the ways that were found, and how.
pub(in crate::router) async fn admit(
    (routes, lookup): (&Routes, &impl Lookup),
    found: &Resolution,
    question: &Question<'_>,
    trace: &mut Trace,
) -> Result<Admitted, Reply> {
    let (urls, held, is_discarded) = (None, None, false);
    let mut asking = Asking { routes, urls, question, trace, held, is_discarded };
    let mut accepted = false;
    if let Some(channel) = found.channel.as_deref().filter(|_| !question.header) {
        let first = [ORIG_SEND_ACCESS, ORIG_MAIL_ACCESS];
        let access = asking.answered(lookup, first, (channel, &found.rewritten)).await?;
        accepted = access == Access::Accept;
    }
    if found.relaying && !question.may_relay && !accepted {
        return Err(RELAYING);
    }
    let mut ways = match &found.routes {
        Ok(ways) => Arc::clone(ways),
        Err(reply) => waiting(routes, found, question).ok_or_else(|| reply.clone())?,
    };
    let behind = [SEND_ACCESS, MAIL_ACCESS];
    let asked = behind.iter().any(|table| routes.access_table(table).is_some());
    if asked && !question.header {
        ways = asking.ways(lookup, behind, &ways).await?;
    }
    let Asking { held, is_discarded, .. } = asking;
    let ways =
        if is_discarded { routes.discarding(question.address).unwrap_or(ways) } else { ways };
    let held = held.or_else(|| found.held.as_deref().map(str::to_owned));
    Ok(Admitted { routes: ways, held })
}

/// The way to the channel that asks again, where the source channel takes mail while the directory is
/// away. A stranger's recipient has to be of a domain that is known to be ours.
fn waiting(routes: &Routes, found: &Resolution, question: &Question<'_>) -> Option<Arc<[Route]>> {
    let reply = found.routes.as_ref().err().filter(|reply| is_lookup_failure(reply))?;
    let mut channels = routes.channels.iter();
    let source = channels.find(|channel| channel.name == question.source_channel)?;
    let is_taken = source.directory_away == DirectoryAway::Queue && !question.header;
    if !is_taken || !(found.local || question.may_relay) {
        return None;
    }
    let (channel, tag) = &routes.names[routes.reprocess?];
    Some(Arc::new([Route {
        channel: Arc::clone(channel),
        host: tag.to_ascii_lowercase().into(),
        address: question.address.as_str().into(),
        tag: Arc::clone(tag),
        member: None,
        errors_to: None,
        refused: Some(Arc::new(reply.clone())),
        size_limit: None,
        quota: None,
        headers: None,
        post_check: PostCheck::default(),
        scripts: None,
        inbox: None,
    }]))
}

impl Asking<'_> {
    /// The word of two tables, with what they look up by URL. Each recipient is asked about by itself: a list
    /// may need as many look-ups as it has members.
    async fn answered(
        &mut self,
        lookup: &impl Lookup,
        tables: [&'static str; 2],
        (channel, to): (&str, &str),
    ) -> Result<Access, Reply> {
        let Self { routes, question, .. } = *self;
        if !routes.tables_ask_urls() {
            return self.both(tables, channel, to);
        }
        let is_on = self.trace.is_on();
        let answered = UrlAsks::answered(lookup, |urls| {
            // Steps of an evaluation that lacks an answer are none.
            let mut own = Trace::new(is_on, None);
            let (urls, held, is_discarded) = (Some(urls), None, false);
            let mut asking = Asking { routes, urls, question, trace: &mut own, held, is_discarded };
            let access = asking.both(tables, channel, to);
            let Asking { held, is_discarded, .. } = asking;
            (access, held, is_discarded, own)
        });
        let answered = answered.await.map_err(|error| Refusal::Lookup(error).reply())?;
        let (access, held, is_discarded, own) = answered;
        self.trace.take_over(own);
        self.held = self.held.take().or(held);
        self.is_discarded |= is_discarded;
        access
    }

    /// The word of two tables about a recipient: a refusal, or what either accepts.
    fn both(
        &mut self,
        tables: [&'static str; 2],
        channel: &str,
        to: &str,
    ) -> Result<Access, Reply> {
        let mut access = Access::Silent;
        for table in tables {
            let Some(ruling) = self.ruling(table, channel, to) else { continue };
            if let Some(reply) = ruling.access.reply() {
                return Err(reply);
            }
            if ruling.access == Access::Accept {
                access = Access::Accept;
            }
            self.is_discarded |= ruling.is_discarded;
            self.held = self.held.take().or(ruling.held);
        }
        Ok(access)
    }

    fn ruling(&mut self, table: &'static str, channel: &str, to: &str) -> Option<Ruling> {
        let Question { source_channel, sender, submission, .. } = self.question;
        let routes = self.routes;
        let tables = if self.trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
        let urls = self.urls.map(|urls| urls as &dyn UrlResults);
        let tables = Tables { urls, facts: self.question.facts(), ..tables };
        let ruling = Ruling::of(table, (routes, &tables), || {
            let (sender, to) = (address_field(sender), address_field(to));
            let send = format!("{source_channel}|{sender}|{channel}|{to}");
            match submission {
                _ if [ORIG_SEND_ACCESS, SEND_ACCESS].contains(&table) => send,
                Some(submission) => format!("{submission}|{send}"),
                None => format!("||MAIL|{send}"),
            }
        })?;
        if !self.trace.is_on() && !self.urls.is_some_and(UrlAsks::are_open) {
            ruling.write_note();
        }
        self.trace.note(|| Step::Access {
            table,
            probe: ruling.probe.clone(),
            entry: ruling.entry,
            verdict: ruling.to_string(),
            is_refusal: matches!(ruling.access, Access::Reject(_)),
        });
        Some(ruling)
    }

    /// The ways, those that are refused for good marked so.
    async fn ways(
        &mut self,
        lookup: &impl Lookup,
        tables: [&'static str; 2],
        ways: &Arc<[Route]>,
    ) -> Result<Arc<[Route]>, Reply> {
        let mut refused: Vec<(usize, Reply)> = Vec::new();
        for (n, way) in ways.iter().enumerate().filter(|(_, way)| way.refused.is_none()) {
            let asked = (&*way.channel, &*way.address);
            if let Err(reply) = self.answered(lookup, tables, asked).await {
                refused.push((n, reply));
            }
        }
        let Some((_, first)) = refused.first() else { return Ok(Arc::clone(ways)) };
        if let Some((_, reply)) = refused.iter().find(|(_, reply)| !reply.is_permanent()) {
            return Err(reply.clone());
        }
        if refused.len() == ways.len() {
            return Err(first.clone());
        }
        let Some(failing) = self.routes.failing() else { return Err(first.clone()) };
        let mut ways = ways.to_vec();
        for (n, reply) in refused {
            ways[n] = failing(&ways[n], reply);
        }
        Ok(ways.into())
    }
}

/// A stranger may not send there.
const RELAYING: Reply = Reply::new(550, Enhanced(5, 7, 1), "relaying not permitted");
