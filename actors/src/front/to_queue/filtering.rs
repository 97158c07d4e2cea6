//! Filters in a session: each command of the client is told to them, and the message is shown to one
//! after the other before it is stored. What they have changed is stored as if it had come so.

use std::{net::Ipv4Addr, sync::Arc};

use relais_channels::{
    mail::{Address, Enhanced, Recipient, Reply, ReversePath},
    milter::{
        Client, EditedHeader, FilterChange, FilterError, FilterEvent, NewRecipient, NewSender,
    },
    server::{Intake, MailFrom, RcptTo},
};
use tracing::{info, warn};

use super::{AcceptedRecipient, Gathered, SmtpIntake, TOO_MANY, queued_as, refusal};
use crate::{
    events::{MessageDiscarded, RecipientsRefused},
    forms::HeaderForms,
    front::filters::{Body, FilterRuling, Shown, mail_words, rcpt_words},
    router::{Admitted, MAX_EXPANSION, PostProof, Poster, Question, Route},
};

impl SmtpIntake {
    /// Goes on with the filters of the channel that mail comes in by now.
    pub(super) fn enter_filters(&mut self) {
        self.filters.enter(&self.side.filters);
        if !self.filters.is_empty() && !self.filters.has_client() {
            self.begin_filters();
        }
    }

    /// The client is another one than filters know.
    pub(super) fn begin_filters(&mut self) {
        // A client on a socket of this machine is shown as one of its loopback, as Postfix does: filters know
        // it for their own.
        let (name, address) = match self.ends.client {
            Some(address) => (format!("[{}]", address.ip()), address),
            None => ("localhost".to_owned(), (Ipv4Addr::LOCALHOST, 0).into()),
        };
        self.filters.begin(Client { name, address });
    }

    /// The client has gone.
    pub(in crate::front) async fn leave_filters(&mut self) {
        self.filters.part().await;
    }

    /// Asks filters about the client itself. A filter that refuses it for now, or fails, has its say at
    /// MAIL: the client may have something else in mind.
    pub(super) async fn ask_about_client(&mut self) -> Result<(), Reply> {
        if self.filters.is_empty() {
            return Ok(());
        }
        self.name_client().await;
        self.set_values();
        match self.filters.connect().await {
            FilterRuling::Refuse(filter, reply) if reply.is_permanent() || reply.code == 421 => {
                self.tell_refused_by(&filter, None, &[], &reply);
                Err(reply)
            }
            _ => Ok(()),
        }
    }

    /// Looks the names of the client up, where a filter is told of them.
    async fn name_client(&mut self) {
        let client = self.ends.client_ip().filter(|_| self.filters.lacks_names());
        if let (Some(client), Some(dns)) = (client, &self.side.dns) {
            let names = dns.client_name(client).await;
            self.filters.know_names(names);
        }
    }

    pub(super) async fn ask_about_sender(&mut self) -> Result<(), Reply> {
        if self.filters.is_empty() {
            return Ok(());
        }
        let Some(from) = self.transaction.from.clone() else { return Ok(()) };
        let id = *self.transaction.id.get_or_insert_with(|| self.side.ids.next());
        self.name_client().await;
        self.set_values();
        self.filters.macros.set("i", id.to_string());
        self.filters.macros.set("{mail_addr}", from.path.as_str());
        let ruling = self.filters.tell(&FilterEvent::Mail(&mail_words(&from))).await;
        self.heed(ruling).map_err(|(filter, reply)| {
            self.tell_refused_by(&filter, Some(&from), &[], &reply);
            reply
        })
    }

    pub(super) async fn ask_about_recipient(
        &mut self,
        to: &RcptTo,
        routes: &[Route],
    ) -> Result<(), Reply> {
        if self.filters.is_empty() || self.transaction.discarded_by.is_some() {
            return Ok(());
        }
        let way = routes.first();
        let macros = &mut self.filters.macros;
        macros.set("{rcpt_addr}", to.address.as_str());
        macros.set_or_clear("{rcpt_host}", way.map(|way| way.host.to_string()));
        macros.set_or_clear("{rcpt_mailer}", way.map(|way| way.channel.to_string()));
        let ruling = self.filters.tell(&FilterEvent::Rcpt(&rcpt_words(to))).await;
        self.heed(ruling).map_err(|(filter, reply)| {
            let from = self.transaction.from.as_ref();
            self.tell_refused_by(&filter, from, &[&to.as_given], &reply);
            reply
        })
    }

    pub(super) async fn tell_of_rejected(&mut self, to: &RcptTo, reply: &Reply) {
        if !self.filters.is_empty() && self.transaction.discarded_by.is_none() {
            self.filters.tell_rejected(&rcpt_words(to), reply).await;
        }
    }

    pub(super) async fn ask_about_data(&mut self) -> Result<(), Reply> {
        if self.filters.is_empty() || self.transaction.discarded_by.is_some() {
            return Ok(());
        }
        let ruling = self.filters.tell(&FilterEvent::Data).await;
        self.heed(ruling).map_err(|(filter, reply)| {
            self.tell_message_refused_by(&filter, &reply);
            reply
        })
    }

    /// Whether content is still to be shown to filters.
    pub(super) fn shows_content(&self) -> bool {
        !self.filters.is_empty() && !self.transaction.is_filtered
    }

    /// The message is too large to be kept in memory until filters have seen it: its body goes to a file.
    pub(super) async fn spill(&mut self) -> Result<(), Reply> {
        let gathered = std::mem::take(&mut self.transaction.gathered);
        let Gathered::Memory { head, octets: mut before } = gathered else { return Ok(()) };
        let received = before.len();
        self.begin_origin(head, &mut before);
        self.close_header(head, &mut before);
        self.complete_header(head, &mut before)?;
        self.transaction.size = self.transaction.size + before.len() as u64 - received as u64;
        let header = self.transaction.header.map_or(before.len(), |its| head + its);
        // One for this, one for what a filter writes, and those of the forms that are stored.
        let files = 2 + self.transaction.forms.as_ref().map_or(1, HeaderForms::count);
        self.hold_rights(files).await?;
        let mut body = self.side.storage.draft();
        body.write(&before[header..]).await.map_err(|error| refusal(&error))?;
        before.truncate(header);
        self.transaction.gathered = Gathered::Spilled { head, header: before, body };
        Ok(())
    }

    /// Shows the message to filters and stores what they have made of it.
    pub(super) async fn filter_and_store(&mut self) -> Result<Reply, Reply> {
        if self.filters.is_empty() {
            return self.store().await;
        }
        if let Some(filter) = self.transaction.discarded_by.clone() {
            return Ok(self.discard(&filter, "a filter threw it away"));
        }
        let refused = |intake: &Self, reply: &Reply| {
            intake.tell_refused(intake.transaction.from.as_ref(), intake.transaction.size, reply);
        };
        let shown = self.take_content().await;
        let mut shown = shown.inspect_err(|reply| refused(self, reply))?;
        for at in 0..self.filters.len() {
            if let Some(reply) = self.show_to(at, &mut shown).await? {
                return Ok(reply);
            }
        }
        self.put_back(shown).await.inspect_err(|reply| refused(self, reply))?;
        self.store().await
    }

    /// Shows the message to one filter, and changes it as that one says; a reply: it was thrown away.
    async fn show_to(&mut self, at: usize, shown: &mut Shown) -> Result<Option<Reply>, Reply> {
        let side = Arc::clone(&self.side);
        let room = (&side.storage, side.large_message, side.filters.most_body);
        let judged = self.filters.judge(at, shown, room).await;
        let mut judged = judged.map_err(|error| self.refuse_message(&error))?;
        let mut header = shown.header.clone();
        let of_header = |change: &FilterChange| {
            matches!(
                change,
                FilterChange::AddHeader(_)
                    | FilterChange::InsertHeader(..)
                    | FilterChange::ChangeHeader { .. }
            )
        };
        let (of_header, of_envelope): (Vec<_>, Vec<_>) =
            judged.changes.into_iter().partition(of_header);
        if let Err(breach) = of_header.into_iter().try_for_each(|change| header.apply(change)) {
            judged.ruling = self.filters.refuse_changes(at, &FilterError::from(breach));
        } else if judged.ruling == FilterRuling::Continue {
            shown.header = header;
            if let Some(body) = judged.body {
                shown.body = body;
            }
            let filter = self.filters.name(at);
            if let Some(reason) = judged.quarantine {
                self.transaction.held.get_or_insert_with(|| held_by(&filter, &reason));
            }
            return self.change_envelope(&filter, of_envelope).await;
        }
        match judged.ruling {
            FilterRuling::Continue => Ok(None),
            FilterRuling::Discard(filter) => {
                Ok(Some(self.discard(&filter, "a filter threw it away")))
            }
            FilterRuling::Refuse(filter, reply) => {
                self.tell_message_refused_by(&filter, &reply);
                Err(reply)
            }
        }
    }

    /// The message as it was gathered, complete.
    async fn take_content(&mut self) -> Result<Shown, Reply> {
        match std::mem::take(&mut self.transaction.gathered) {
            Gathered::Memory { mut head, mut octets } => {
                // Filters see what the checks of origin found out.
                self.complete_in_memory(&mut head, &mut octets).await?;
                // Without a blank line all of it is header.
                let header = self.transaction.header.map_or(octets.len(), |its| head + its);
                let body = octets.split_off(header);
                let header = EditedHeader::new(&octets[..head], &octets[head..]);
                Ok(Shown { header, body: Body::Memory(body) })
            }
            Gathered::Spilled { mut head, mut header, body } => {
                if let Some(policy) = self.origin_policy().cloned() {
                    let field = policy.field(&self.finish_origin(&policy).await?);
                    self.form_anew();
                    head += field.len();
                    header.splice(0..0, field);
                }
                let header = EditedHeader::new(&header[..head], &header[head..]);
                Ok(Shown { header, body: Body::File(body) })
            }
            gathered @ Gathered::Streamed { .. } => {
                self.transaction.gathered = gathered;
                Err(NOT_SHOWN)
            }
        }
    }

    /// Goes on with the message as if it had come as filters have left it.
    async fn put_back(&mut self, shown: Shown) -> Result<(), Reply> {
        let Shown { header, body } = shown;
        let (mut octets, behind) = header.parts();
        let head = octets.len();
        octets.extend_from_slice(&behind);
        octets.extend_from_slice(b"\r\n");
        self.begin_again(head, octets);
        match body {
            Body::Memory(octets) => self.write(&octets).await,
            body @ Body::File(_) => self.write_body(body, 0).await,
        }
    }

    /// Begins the message anew with this header behind `head` octets of our own lines.
    pub(super) fn begin_again(&mut self, head: usize, octets: Vec<u8>) {
        let transaction = &mut self.transaction;
        transaction.is_filtered = true;
        transaction.head = head as u64;
        transaction.size = octets.len() as u64;
        transaction.header = Some(octets.len() - head);
        transaction.gathered = Gathered::Memory { head, octets };
    }

    /// Goes on with the part of a body that begins at `at`.
    pub(super) async fn write_body(&mut self, mut body: Body, mut at: u64) -> Result<(), Reply> {
        loop {
            let piece = body.piece(at).await.map_err(|error| refusal(&error))?;
            if piece.is_empty() {
                return Ok(());
            }
            at += piece.len() as u64;
            self.write(&piece).await?;
        }
    }

    /// Changes recipients and sender as a filter says; a reply: nobody is left.
    async fn change_envelope(
        &mut self,
        filter: &Arc<str>,
        changes: Vec<FilterChange>,
    ) -> Result<Option<Reply>, Reply> {
        let mut are_others = false;
        for change in changes {
            match change {
                FilterChange::AddRecipient(new) => {
                    are_others = true;
                    self.add_recipient(filter, *new).await?;
                }
                FilterChange::DeleteRecipient(address) => {
                    are_others = true;
                    self.delete_recipient(filter, &address);
                }
                FilterChange::ChangeSender(new) => self.change_sender(filter, *new).await?,
                _ => {}
            }
        }
        if self.transaction.accepted.is_empty() {
            return Ok(Some(self.discard(filter, "a filter left it no recipients")));
        }
        if are_others {
            let ways = || self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
            let limits = ways().filter_map(|way| way.size_limit).min();
            self.transaction.ways = ways().count();
            self.transaction.size_limit = limits;
            self.transaction.forms = self.forms_of_ways();
        }
        Ok(None)
    }

    async fn add_recipient(&mut self, filter: &Arc<str>, new: NewRecipient) -> Result<(), Reply> {
        let NewRecipient { address, notify, original_recipient, ignored } = new;
        if !ignored.is_empty() {
            warn!(milter = &**filter, recipient = %address, ignored, "parameters mean nothing here");
        }
        let sender = self.transaction.from.as_ref().map_or("", |from| from.path.as_str());
        let question = Question {
            address: &address,
            sender,
            source_channel: &self.side.source_channel,
            // The operator has listed the filter.
            may_relay: true,
            header: false,
            released: false,
            submission: Some(self.submission()),
            poster: Poster::Client,
            earlier: None,
            proof: PostProof::default(),
        };
        let Admitted { routes, held } = match self.side.router.admit(&question).await {
            Ok(admitted) => admitted,
            Err(reply) if reply.is_permanent() => {
                let from = self.transaction.from.as_ref();
                self.tell_refused_by(filter, from, &[address.as_str()], &reply);
                return Ok(());
            }
            Err(reply) => {
                self.tell_message_refused_by(filter, &reply);
                return Err(reply);
            }
        };
        let ways = self.transaction.accepted.iter().map(|to| to.routes.len()).sum::<usize>();
        if ways + routes.len() > MAX_EXPANSION {
            self.tell_message_refused_by(filter, &TOO_MANY);
            return Err(TOO_MANY);
        }
        info!(milter = &**filter, recipient = %address, "a filter adds a recipient");
        self.speak_utf8(address.as_str());
        let diverted = self.transaction.diverted.as_ref();
        let diverting = diverted
            .and_then(|channel| self.side.router.cache.routes().diverting(channel, &address));
        let routes = diverting.unwrap_or(routes);
        self.transaction.held = self.transaction.held.take().or(held);
        let recipient =
            Recipient { notify, original_recipient, ..Recipient::new("", address.as_str()) };
        self.transaction.accepted.push(AcceptedRecipient { recipient, routes });
        Ok(())
    }

    fn delete_recipient(&mut self, filter: &Arc<str>, address: &Address) {
        let gone = address.normal();
        let is_gone = |to: &AcceptedRecipient| {
            let its = Address::parse(&to.recipient.original);
            its.is_ok_and(|its| its.normal() == gone)
        };
        let before = self.transaction.accepted.len();
        self.transaction.accepted.retain(|to| !is_gone(to));
        if self.transaction.accepted.len() < before {
            info!(milter = &**filter, recipient = %address, "a filter takes a recipient off");
        }
    }

    async fn change_sender(&mut self, filter: &Arc<str>, new: NewSender) -> Result<(), Reply> {
        let NewSender { mut path, returned, envelope_id, ignored } = new;
        if !ignored.is_empty() {
            let sender = path.as_str();
            warn!(milter = &**filter, sender, ignored, "parameters mean nothing here");
        }
        if let Some(address) = &path.0 {
            let (router, facts) = (&self.side.router, self.transaction.facts);
            let rewritten = router.sender(address, &self.side.source_channel, facts).await;
            match rewritten {
                Ok(Some(address)) => path = ReversePath(Some(address)),
                Ok(None) => {}
                Err(reply) => {
                    self.tell_message_refused_by(filter, &reply);
                    return Err(reply);
                }
            }
        }
        info!(milter = &**filter, sender = path.as_str(), "a filter sets another sender");
        self.speak_utf8(path.as_str());
        if let Some(from) = &mut self.transaction.from {
            from.path = path;
            from.returned = returned.or(from.returned);
            from.envelope_id = envelope_id.or(from.envelope_id.take());
        }
        Ok(())
    }

    /// A message with such an address needs SMTPUTF8, whatever the client said.
    fn speak_utf8(&mut self, address: &str) {
        if let Some(from) = self.transaction.from.as_mut().filter(|_| !address.is_ascii()) {
            from.smtputf8 = true;
        }
    }

    /// The client reads that it was taken, and nobody gets it.
    fn discard(&mut self, filter: &Arc<str>, why: &'static str) -> Reply {
        let id = self.transaction.id.unwrap_or_else(|| self.side.ids.next());
        let reply = Reply::with_text(250, Enhanced(2, 0, 0), queued_as(id));
        let accepted = self.transaction.accepted.iter();
        let recipients: Vec<_> = accepted.map(|to| &*to.recipient.original).collect();
        MessageDiscarded {
            id,
            client: &self.client_text,
            source_channel: &self.side.source_channel,
            sender: self.transaction.from.as_ref().map_or("", |from| from.path.as_str()),
            recipients: &recipients,
            size: self.transaction.size,
            reply: &reply,
            why,
            user: self.user(),
            filter,
        }
        .emit(&self.side.metrics);
        self.transaction.stored = true;
        self.abandoned = 0;
        reply
    }

    /// Notes what filters have decided about a command; an error: it is refused.
    fn heed(&mut self, ruling: FilterRuling) -> Result<(), (Arc<str>, Reply)> {
        match ruling {
            FilterRuling::Continue => Ok(()),
            FilterRuling::Discard(filter) => {
                self.transaction.discarded_by = Some(filter);
                Ok(())
            }
            FilterRuling::Refuse(filter, reply) => Err((filter, reply)),
        }
    }

    fn tell_message_refused_by(&self, filter: &Arc<str>, reply: &Reply) {
        let accepted = self.transaction.accepted.iter();
        let recipients: Vec<_> = accepted.map(|to| &*to.recipient.original).collect();
        self.tell_refused_by(filter, self.transaction.from.as_ref(), &recipients, reply);
    }

    fn tell_refused_by(
        &self,
        filter: &Arc<str>,
        from: Option<&MailFrom>,
        recipients: &[&str],
        reply: &Reply,
    ) {
        let size = self.transaction.size;
        let refused = self.refused_record(from, recipients, size, reply);
        RecipientsRefused { filter, ..refused }.emit(&self.side.metrics);
    }

    /// The values that go along with what filters are told, as the session stands.
    fn set_values(&mut self) {
        let side = &self.side;
        let names = self.filters.names().cloned();
        let (name, claimed, outcome) =
            names.map_or((None, None, None), |its| (its.verified, its.claimed, Some(its.outcome)));
        let macros = &mut self.filters.macros;
        macros.set("j", &*side.host);
        macros.set("{daemon_name}", &*side.service);
        macros.set("v", concat!("relais ", env!("CARGO_PKG_VERSION")));
        let local = self.ends.local;
        macros.set_or_clear("{daemon_addr}", local.map(|local| local.ip().to_string()));
        macros.set_or_clear("{daemon_port}", local.map(|local| local.port().to_string()));
        let client = self.ends.client.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let is_local = self.ends.client.is_none();
        let unknown = if is_local { "localhost" } else { "unknown" }.to_owned();
        macros.set("_", format!("{} [{}]", name.as_ref().unwrap_or(&unknown), client.ip()));
        macros.set("{client_addr}", client.ip().to_string());
        macros.set("{client_port}", client.port().to_string());
        macros.set("{client_name}", name.unwrap_or_else(|| unknown.clone()));
        macros.set("{client_ptr}", claimed.unwrap_or(unknown));
        let outcome = outcome.or(is_local.then_some("OK"));
        macros.set_or_clear("{client_resolve}", outcome.map(str::to_owned));
        let tls = |value: Option<&str>| value.map(str::to_owned);
        macros.set_or_clear("{tls_version}", tls(self.tls_version));
        macros.set_or_clear("{cipher}", tls(self.cipher));
        macros.set_or_clear("{cipher_bits}", tls(self.cipher.and_then(bits_of)));
        let identity = self.identity.as_ref();
        let user = identity.map(|identity| identity.user.to_string());
        macros.set_or_clear("{auth_authen}", user);
        macros.set_or_clear("{auth_type}", identity.map(|_| self.mechanism.to_owned()));
    }
}

fn held_by(filter: &str, reason: &str) -> String {
    match reason {
        "" => format!("the filter {filter} wants it held"),
        reason => format!("the filter {filter}: {reason}"),
    }
}

/// Bits of the key of a cipher suite.
fn bits_of(suite: &str) -> Option<&'static str> {
    if suite.contains("AES_128") {
        Some("128")
    } else if suite.contains("AES_256") || suite.contains("CHACHA20") {
        Some("256")
    } else {
        None
    }
}

/// The message went to its files before filters could see it.
const NOT_SHOWN: Reply = Reply::new(451, Enhanced(4, 3, 0), "the message could not be filtered");
