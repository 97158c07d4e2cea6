//! The filters of one session, in their order: what each is told, and what they decide together.

use std::sync::Arc;

use relais_channels::{
    dns::ClientName,
    mail::Reply,
    milter::{
        Client, Decision, EditedHeader, FilterChange, FilterError, FilterEvent, FilterLink, Heard,
        Macros,
    },
};
use relais_storage::{Storage, StorageError};

use super::{
    FilterList,
    content::{Body, NewBody, ShowError, Shown},
    filter::{MailFilter, REUSE_PATIENCE, Useless},
};
use crate::metrics::MilterResult;

/// The filters of one session.
#[derive(Default)]
pub(crate) struct Chain {
    asked: Vec<AskedFilter>,
    /// Values that go along with what they are told.
    pub(crate) macros: Macros,
    client: Option<Client>,
    /// Its names, once they have been looked up.
    names: Option<ClientName>,
    /// The name that the client gave itself last.
    hello: String,
    /// How often it gave itself one.
    hellos: u32,
    /// Connections to filters that the session has left.
    left: Vec<(Arc<MailFilter>, FilterLink)>,
}

/// A filter, and how far the session has come with it.
struct AskedFilter {
    filter: Arc<MailFilter>,
    link: Option<FilterLink>,
    /// Which of the client's hellos it was told of.
    told_hello: u32,
    /// It is of no use for this message.
    is_useless: bool,
}

/// The decision of all filters about an event.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum FilterRuling {
    /// Go on.
    Continue,
    /// Take the message, and throw it away.
    Discard(Arc<str>),
    /// Refuse it so, as this filter says.
    Refuse(Arc<str>, Reply),
}

/// The decision of one filter about a message, and its changes.
pub(crate) struct Judged {
    pub(crate) ruling: FilterRuling,
    /// Changes of header and envelope, in their order.
    pub(crate) changes: Vec<FilterChange>,
    /// Keep it for an operator, for this reason.
    pub(crate) quarantine: Option<String>,
    /// Another body.
    pub(crate) body: Option<Body>,
}

impl Chain {
    /// Whether nobody is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether they know of a client.
    pub(crate) fn has_client(&self) -> bool {
        self.client.is_some()
    }

    /// Whether the names of the client are still to be looked up.
    pub(crate) fn lacks_names(&self) -> bool {
        self.names.is_none() && self.asked.iter().any(|asked| asked.filter.wants_names())
    }

    /// The names of the client have been looked up.
    pub(crate) fn know_names(&mut self, names: ClientName) {
        if let (Some(client), Some(name)) = (&mut self.client, &names.verified) {
            client.name.clone_from(name);
        }
        self.names = Some(names);
    }

    /// The names of the client.
    pub(crate) fn names(&self) -> Option<&ClientName> {
        self.names.as_ref()
    }

    /// How many are asked.
    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The name of the filter at this place.
    pub(crate) fn name(&self, at: usize) -> Arc<str> {
        self.asked.get(at).map_or_else(Arc::default, |asked| Arc::clone(&asked.filter.name))
    }

    /// From now on these are asked. Of those that were asked before, each goes on.
    pub(crate) fn enter(&mut self, list: &FilterList) {
        if self.asked.is_empty() && list.filters.is_empty() {
            return;
        }
        let mut before = std::mem::take(&mut self.asked);
        for filter in &*list.filters {
            let known = before.iter().position(|its| Arc::ptr_eq(&its.filter, filter));
            self.asked.push(known.map_or_else(
                || AskedFilter {
                    filter: Arc::clone(filter),
                    link: None,
                    told_hello: 0,
                    is_useless: false,
                },
                |at| before.swap_remove(at),
            ));
        }
        self.left.extend(before.into_iter().filter_map(|its| Some((its.filter, its.link?))));
    }

    /// The client has said who it is.
    pub(crate) fn hello(&mut self, name: &str) {
        name.clone_into(&mut self.hello);
        self.hellos += 1;
    }

    /// Another client, who has said nothing yet, is in the place of the one before.
    pub(crate) fn begin(&mut self, client: Client) {
        self.client = Some(client);
        self.names = None;
        self.hello.clear();
        self.hellos = 0;
        for asked in &mut self.asked {
            asked.told_hello = 0;
            self.left.extend(asked.link.take().map(|link| (Arc::clone(&asked.filter), link)));
        }
    }

    /// The client has gone, or is another one.
    pub(crate) async fn part(&mut self) {
        for asked in &mut self.asked {
            self.left.extend(asked.link.take().map(|link| (Arc::clone(&asked.filter), link)));
        }
        for (filter, link) in self.left.drain(..) {
            filter.leave(link).await;
        }
    }

    /// Tells of the client. Filters that cannot be reached say nothing yet.
    pub(crate) async fn connect(&mut self) -> FilterRuling {
        let Self { asked, macros, client: Some(client), .. } = self else {
            return FilterRuling::Continue;
        };
        for asked in asked {
            if let Ok(Decision::Refuse(reply)) = asked.greet(client, macros).await {
                asked.filter.count_refusal(&reply);
                return FilterRuling::Refuse(Arc::clone(&asked.filter.name), reply);
            }
        }
        FilterRuling::Continue
    }

    /// Tells of an event, one after the other, until one objects.
    pub(crate) async fn tell(&mut self, event: &FilterEvent<'_>) -> FilterRuling {
        for at in 0..self.asked.len() {
            let ruling = self.tell_one(at, event).await;
            if ruling != FilterRuling::Continue {
                return ruling;
            }
        }
        FilterRuling::Continue
    }

    async fn tell_one(&mut self, at: usize, event: &FilterEvent<'_>) -> FilterRuling {
        let Self { asked, macros, client: Some(client), hello, hellos, .. } = self else {
            return FilterRuling::Continue;
        };
        let asked = &mut asked[at];
        let told = (&*client, hello.as_str(), *hellos);
        match asked.tell(event, told, macros).await {
            Ok(decision) => asked.ruling(decision),
            Err(Useless) => asked.useless(),
        }
    }

    /// Tells those who want to hear of it that a recipient was refused.
    pub(crate) async fn tell_rejected(&mut self, words: &[String], reply: &Reply) {
        let wants = |asked: &AskedFilter| {
            let link = asked.link.as_ref();
            link.is_some_and(|link| link.talk().agreement().wants_rejected_recipients())
        };
        let Some(client) = self.client.clone() else { return };
        if !self.asked.iter().any(wants) {
            return;
        }
        let enhanced = reply.enhanced.map_or_else(String::new, |enhanced| enhanced.to_string());
        self.macros.set("{rcpt_mailer}", "error");
        self.macros.set("{rcpt_host}", enhanced);
        self.macros.set("{rcpt_addr}", reply.text.replace('\n', " "));
        for asked in self.asked.iter_mut().filter(|asked| wants(asked)) {
            let told = (&client, &*self.hello, self.hellos);
            // The recipient is refused, whatever the filter says.
            let _ = asked.tell(&FilterEvent::Rcpt(words), told, &self.macros).await;
        }
    }

    /// Shows a message to the filter at this place. A body that it writes is kept in a file when it is
    /// larger than the first size, and refused when it is larger than the second.
    pub(crate) async fn judge(
        &mut self,
        at: usize,
        shown: &mut Shown,
        (storage, large, most): (&Storage, u64, u64),
    ) -> Result<Judged, StorageError> {
        let asked = &mut self.asked[at];
        let patience = asked.filter.patience.content;
        let Some(link) = asked.link.as_mut().filter(|_| !asked.is_useless) else {
            return Ok(Judged::of(asked.useless()));
        };
        let mut new_body = NewBody::new(storage, large, most);
        let mut judged = Judged::of(FilterRuling::Continue);
        let mut message = Message { link, macros: &self.macros, patience };
        let decided = match message.show(shown, &mut new_body, &mut judged).await {
            Ok(decision) => new_body.finish().await.map(|body| (decision, body)),
            Err(error) => Err(error),
        };
        let (decision, body) = match decided {
            Ok(decided) => decided,
            Err(ShowError::Filter(error)) => {
                asked.filter.fail(&error);
                return Ok(Judged::of(asked.useless()));
            }
            Err(ShowError::Storage(error)) => return Err(error),
        };
        judged.body = body;
        if matches!(decision, Decision::Continue | Decision::Accept) {
            let is_held = judged.quarantine.is_some();
            let result = if is_held { MilterResult::Quarantined } else { MilterResult::Accepted };
            asked.filter.count(result);
        }
        judged.ruling = asked.ruling(decision);
        Ok(judged)
    }

    /// A filter asked for changes that cannot be made: it counts as one that failed.
    pub(crate) fn refuse_changes(&mut self, at: usize, error: &FilterError) -> FilterRuling {
        let asked = &mut self.asked[at];
        asked.filter.fail(error);
        asked.useless()
    }

    /// The message at hand is over.
    pub(crate) fn abort(&mut self) {
        for asked in &mut self.asked {
            asked.is_useless = false;
            if let Some(link) = &mut asked.link {
                link.abort();
            }
        }
    }
}

impl Judged {
    fn of(ruling: FilterRuling) -> Self {
        Self { ruling, changes: Vec::new(), quarantine: None, body: None }
    }
}

impl AskedFilter {
    /// Connects where there is no connection, and tells of the client.
    async fn greet(&mut self, client: &Client, macros: &Macros) -> Result<Decision, Useless> {
        let event = FilterEvent::Connect(client);
        let patience = self.filter.patience.command;
        self.told_hello = 0;
        // A connection that has waited may have been closed meanwhile.
        if let Some(mut idle) = self.filter.idle_link() {
            let patience = patience.min(REUSE_PATIENCE);
            match idle.ask(&event, macros, patience, no_change).await {
                Ok(decision) => {
                    self.link = Some(idle);
                    return Ok(decision);
                }
                Err(FilterError::TimedOut(_)) => self.filter.keep_no_links(),
                Err(_closed) => {}
            }
        }
        let mut link = self.filter.connect().await.inspect_err(|_useless| self.drop_link())?;
        match link.ask(&event, macros, patience, no_change).await {
            Ok(decision) => {
                self.link = Some(link);
                Ok(decision)
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Tells of an event of a message, and first of all that comes before it.
    async fn tell(
        &mut self,
        event: &FilterEvent<'_>,
        (client, hello, hellos): (&Client, &str, u32),
        macros: &Macros,
    ) -> Result<Decision, Useless> {
        if self.is_useless {
            return Err(Useless);
        }
        let begins = matches!(event, FilterEvent::Mail(_));
        if self.link.is_none() && !begins {
            return Err(Useless);
        }
        // It may have been started again between two messages.
        let mut is_old = self.link.is_some() && begins;
        loop {
            if self.link.is_none() {
                self.greet(client, macros).await?;
            }
            match self.say(event, (hello, hellos), macros).await {
                Ok(decision) => return Ok(decision),
                Err(FilterError::Gone(_)) if is_old => self.drop_link(),
                Err(error) => return Err(self.fail(&error)),
            }
            is_old = false;
        }
    }

    async fn say(
        &mut self,
        event: &FilterEvent<'_>,
        (hello, hellos): (&str, u32),
        macros: &Macros,
    ) -> Result<Decision, FilterError> {
        let Some(link) = &mut self.link else { return Ok(Decision::Continue) };
        let patience = self.filter.patience.command;
        if self.told_hello != hellos {
            // A decision about the name stands from then on.
            link.ask(&FilterEvent::Helo(hello), macros, patience, no_change).await?;
            self.told_hello = hellos;
        }
        link.ask(event, macros, patience, no_change).await
    }

    fn ruling(&self, decision: Decision) -> FilterRuling {
        let name = || Arc::clone(&self.filter.name);
        match decision {
            Decision::Continue | Decision::Accept => FilterRuling::Continue,
            Decision::Discard => {
                self.filter.count(MilterResult::Discarded);
                FilterRuling::Discard(name())
            }
            Decision::Refuse(reply) => {
                self.filter.count_refusal(&reply);
                FilterRuling::Refuse(name(), reply)
            }
        }
    }

    fn fail(&mut self, error: &FilterError) -> Useless {
        self.drop_link();
        self.is_useless = true;
        self.filter.fail(error)
    }

    fn drop_link(&mut self) {
        self.link = None;
    }

    /// It is of no use for this message.
    fn useless(&mut self) -> FilterRuling {
        self.drop_link();
        self.is_useless = true;
        let reply = self.filter.on_error();
        reply.map_or(FilterRuling::Continue, |reply| {
            FilterRuling::Refuse(Arc::clone(&self.filter.name), reply)
        })
    }
}

/// One message on its way to one filter.
struct Message<'a> {
    link: &'a mut FilterLink,
    macros: &'a Macros,
    patience: std::time::Duration,
}

impl Message<'_> {
    async fn show(
        &mut self,
        shown: &mut Shown,
        new_body: &mut NewBody<'_>,
        judged: &mut Judged,
    ) -> Result<Decision, ShowError> {
        let early = self.header(&shown.header).await?;
        if early != Decision::Continue {
            return Ok(early);
        }
        let mut at = 0;
        while !self.link.talk().is_deaf_to(&FilterEvent::Body(b"")) {
            let piece = shown.body.piece(at).await?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            let early = self.ask(&FilterEvent::Body(&piece)).await?;
            if early != Decision::Continue {
                return Ok(early);
            }
        }
        self.link
            .ask(&FilterEvent::EndOfMessage, self.macros, self.patience, async |heard| {
                match heard {
                    Heard::Quarantine(reason) => judged.quarantine = Some(reason),
                    Heard::Change(FilterChange::ReplaceBody(piece)) => {
                        new_body.write(&piece).await?;
                    }
                    Heard::Change(change) => judged.changes.push(change),
                    Heard::Decided(_) | Heard::Progress => {}
                }
                Ok(())
            })
            .await
    }

    async fn header(&mut self, header: &EditedHeader) -> Result<Decision, FilterError> {
        for (name, value) in header.seen() {
            let early = self.ask(&FilterEvent::Header(name, value)).await?;
            if early != Decision::Continue {
                return Ok(early);
            }
        }
        self.ask(&FilterEvent::EndOfHeader).await
    }

    async fn ask(&mut self, event: &FilterEvent<'_>) -> Result<Decision, FilterError> {
        self.link.ask(event, self.macros, self.patience, no_change).await
    }
}

/// Before the end of a message there is nothing to be changed.
async fn no_change(_heard: Heard) -> Result<(), FilterError> {
    Ok(())
}
