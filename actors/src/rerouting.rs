//! Mail that is in the queue already runs through the router again: what is released from a hold
//! channel, what waits in `process` and `reprocess`, and whatever else somebody wants routed anew.
//!
//! [`Rerouter::plan`] asks the router, as things are now, and changes nothing.
//! [`Rerouter::carry_out`] puts what came of it into the queue: the message goes on under its id, in
//! a record of its own with more entries, which says whose recipients these are; in several where it
//! goes on in several forms, which are stored together or not at all. Only when that is safe are the
//! recipients done where they were; after a crash in between they are found to have gone on.

use std::{borrow::Cow, collections::HashSet, io, path::Path, sync::Arc};

use bytes::Bytes;
use relais_channels::mail::{
    Address, Content, Enhanced, Entry, Envelope, Origin, Outcome, Outcomes, PostCheck, Recipient,
    Reply, Rerouted, first_value,
};
use relais_config::channel::Program;
use relais_storage::{
    Gone, MoreContent, NewContent, Place, Storage, StorageError, open_recipients,
};
use tokio::{fs::File, io::AsyncReadExt, sync::OnceCell};
use tracing::info;

use crate::{
    channel_table::Channels,
    directory::GivenPassword,
    events::MessageRerouted,
    forms::{BegunForm, EditedForms, FormedMail, HeaderForms, PASSWORD, WaysOfForm, header_octets},
    metrics::Metrics,
    own_mail,
    router::{
        HeaderPassword, NoWay, PostProof, Poster, Question, Route, RouterHandle, grouped,
        too_large_for_all,
    },
    sieve::{SieveRunner, SievedMail},
    standing::RerouteTarget,
    timestamp::now_ms,
};

/// Runs entries through the router again. Cheap to clone.
#[derive(Clone)]
pub struct Rerouter {
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where the messages are.
    pub storage: Storage,
    /// Where recipients go.
    pub router: RouterHandle,
    /// Scripts that have a say in that.
    pub sieve: Arc<SieveRunner>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Some recipients of an entry, and where they would go now.
#[derive(Debug, Default)]
pub struct Plan {
    /// Each of them by its place in the entry, and how the router decided.
    pub recipients: Vec<(u8, Verdict)>,
    /// The entries that they would be in: at least one unless nobody can go on.
    pub entries: Vec<Entry>,
    /// Recipients that go on, by their places in the entry, and their ways.
    ways: Vec<(u8, Vec<Route>)>,
    /// Why they are held where they go on to, if they are.
    pub held: Option<String>,
    /// By whose order they go on, and why; empty where the engine has to.
    pub by: Arc<str>,
    /// Questions to the router, and its answers, for the log.
    steps: Vec<Leg>,
}

/// One pass of an address through the router.
#[derive(Debug)]
struct Leg {
    address: String,
    by: String,
    to: String,
}

/// How the router decided about one recipient.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes these ways.
    Ways(Arc<[Route]>),
    /// It has gone on before, and the engine ended before its old entry was told so.
    Gone,
    /// It cannot be routed, for good or for now.
    Refused(Reply),
}

/// The one who decides where recipients go.
#[derive(Clone, Copy, Debug)]
enum Aim<'a> {
    /// The router. `released`: the status `hold` of a user does not count, this once.
    Again { released: bool },
    /// An operator's order.
    To(&'a RerouteTarget),
}

/// An entry that mail leaves to be routed again.
struct LeftEntry<'a> {
    envelope: &'a Envelope,
    entry: &'a Entry,
    content: ContentAt<'a>,
    /// The password for lists that its header has, as soon as a list wants to know.
    password: OnceCell<HeaderPassword<GivenPassword>>,
    /// The status `hold` of a user does not count, this once.
    released: bool,
}

/// The place of the content of a message. Few lists want to see any of it.
#[derive(Clone, Copy, Debug)]
pub enum ContentAt<'a> {
    /// It has been read.
    Here(&'a Content),
    /// In the spool.
    Storage(Place),
}

/// Recipients that go on, and the message that they get.
struct GoingOn<'a> {
    envelope: &'a Envelope,
    content: &'a Content,
    entry: &'a Entry,
    rerouted: Rerouted,
    held: Option<String>,
    by: Arc<str>,
}

impl GoingOn<'_> {
    /// The envelope of one form.
    fn envelope_of(&self, (sender, entries): (Option<Address>, Vec<Entry>)) -> Envelope {
        let Self { envelope, rerouted, held, .. } = self;
        let sender = sender.map_or_else(|| envelope.sender.clone(), |sender| sender.to_string());
        let (held, rerouted) = (held.clone(), Some(*rerouted));
        Envelope { sender, entries, held, rerouted, ..(*envelope).clone() }
    }
}

impl Rerouter {
    /// Where the recipients `open`, a bit each, of an entry would go now. `released`: the status
    /// `hold` of a user does not count, this once.
    pub async fn plan(
        &self,
        mail: (&Envelope, ContentAt<'_>),
        number: u16,
        open: u64,
        released: bool,
    ) -> Plan {
        self.plan_with(mail, number, open, Aim::Again { released }).await
    }

    /// The same where an operator's order says where they go.
    pub async fn plan_to(
        &self,
        mail: (&Envelope, ContentAt<'_>),
        number: u16,
        open: u64,
        target: &RerouteTarget,
    ) -> Plan {
        self.plan_with(mail, number, open, Aim::To(target)).await
    }

    async fn plan_with(
        &self,
        (envelope, content): (&Envelope, ContentAt<'_>),
        number: u16,
        open: u64,
        aim: Aim<'_>,
    ) -> Plan {
        let Some(entry) = envelope.entries.get(usize::from(number)) else {
            return Plan::default();
        };
        let released = matches!(aim, Aim::Again { released: true });
        let left = LeftEntry { envelope, entry, content, password: OnceCell::new(), released };
        let mut steps = Vec::new();
        let gone = self.gone(envelope, number).await;
        let mut recipients = Vec::new();
        for index in open_recipients(open) {
            let Some(recipient) = entry.recipients.get(usize::from(index)) else { continue };
            let verdict = match &gone {
                Ok((gone, _)) if gone.recipients & 1 << index != 0 => Verdict::Gone,
                Ok(_) => match self.aimed(&left, recipient, (aim, &mut steps)).await {
                    Ok(ways) => Verdict::Ways(ways),
                    Err(reply) => Verdict::Refused(reply),
                },
                Err(error) => Verdict::Refused(not_stored(error)),
            };
            recipients.push((index, verdict));
        }
        let parts = gone.as_ref().map_or(&[][..], |(_, parts)| parts);
        let elsewhere = elsewhere(&self.channels, envelope, entry, parts);
        let has_a_copy =
            |way: &&Route| elsewhere.contains(&(&*way.channel, &*way.host, &*way.address));
        let ways = |(index, verdict): &(u8, Verdict)| {
            let Verdict::Ways(ways) = verdict else { return None };
            let ways: Vec<Route> = ways.iter().filter(|way| !has_a_copy(way)).cloned().collect();
            Some((*index, ways))
        };
        let ways: Vec<_> = recipients.iter().filter_map(ways).collect();
        let own =
            ways.iter().map(|(index, ways)| (&entry.recipients[usize::from(*index)], &ways[..]));
        let source = &*envelope.source_channel;
        let entries = grouped(&self.channels, source, own);
        let is_hold = |entry: &Entry| self.program(&entry.channel) == Some(Program::Hold);
        let held = (released && !entries.is_empty() && entries.iter().all(is_hold))
            .then(|| HELD_AGAIN.to_owned());
        let by = Arc::default();
        Plan { recipients, entries, ways, held, by, steps }
    }

    /// The ways of one recipient.
    async fn aimed(
        &self,
        left: &LeftEntry<'_>,
        recipient: &Recipient,
        (aim, steps): (Aim<'_>, &mut Vec<Leg>),
    ) -> Result<Arc<[Route]>, Reply> {
        let Aim::To(RerouteTarget { channel, host, address }) = aim else {
            return self.verdict(left, recipient, steps).await;
        };
        let errors_to = recipient.origin.as_deref().and_then(|origin| origin.errors_to.clone());
        if let Some(address) = address {
            let origin = Origin { member: address.as_str().into(), errors_to, refused: None };
            let other = Recipient {
                origin: Some(Box::new(origin)),
                post_check: PostCheck::default(),
                ..recipient.clone()
            };
            let ways = self.verdict(left, &other, steps).await?;
            // The next routing does not lead it back, and the order finds that it has been here.
            let member = |way: &Route| way.refused.is_none().then(|| Arc::from(address.as_str()));
            let named = |way: &Route| Route {
                member: member(way).or_else(|| way.member.clone()),
                ..way.clone()
            };
            return Ok(ways.iter().map(named).collect());
        }
        let channel = channel.as_deref().unwrap_or(&left.entry.channel);
        let address = Address::parse(&recipient.address).map_err(|_| MALFORMED)?;
        let routes = self.router.cache.routes();
        let ways = routes.diverting(channel, &address).ok_or(NO_SUCH_CHANNEL)?;
        let to_there = |way: &Route| Route {
            host: host.as_deref().map_or_else(|| Arc::clone(&way.host), Arc::from),
            member: recipient.origin.as_deref().map(|origin| Arc::clone(&origin.member)),
            errors_to: errors_to.clone(),
            quota: recipient.quota.clone(),
            post_check: recipient.post_check,
            inbox: recipient.inbox.clone(),
            ..way.clone()
        };
        let ways: Vec<Route> = ways.iter().map(to_there).collect();
        let to = Ways(&ways).to_string();
        steps.push(Leg { address: address.to_string(), by: channel.to_owned(), to });
        Ok(ways.into())
    }

    /// The recipients that have gone on, and the records by which some may have in part.
    async fn gone(
        &self,
        envelope: &Envelope,
        number: u16,
    ) -> Result<(Gone, Vec<Envelope>), StorageError> {
        let gone = self.storage.gone_on(envelope.id, number).await?;
        let mut parts = Vec::new();
        if gone.in_part {
            for place in self.storage.places(envelope.id).await? {
                let part = match self.storage.envelope(place).await {
                    // All that it went on to is done, or the record has just moved.
                    Err(StorageError::Gone { .. }) => continue,
                    part => part?,
                };
                if part.rerouted.is_some_and(|rerouted| rerouted.entry == number) {
                    parts.push(part);
                }
            }
        }
        Ok((gone, parts))
    }

    /// Puts a plan into the queue, and says what that is for each of its recipients: delivered when
    /// they go on. Nothing is delivered when it cannot be stored.
    pub async fn carry_out(
        &self,
        envelope: &Envelope,
        content: &Content,
        entry: u16,
        plan: Plan,
    ) -> Outcomes {
        let Plan { recipients, entries, ways, held, by, steps } = plan;
        for Leg { address, by, to } in steps {
            info!(id = %envelope.id, address, by, to, "routed anew");
        }
        let stored = match envelope.entries.get(usize::from(entry)) {
            Some(left) if !entries.is_empty() => {
                let goes_on = ways.iter().fold(0, |all, (index, _)| all | 1 << index);
                // The file of a large message stays the one that it was read from.
                let form = envelope.rerouted.map_or(0, |rerouted| rerouted.form);
                let rerouted = Rerouted { at: now_ms(), entry, recipients: goes_on, form };
                let mail = GoingOn { envelope, content, entry: left, rerouted, held, by };
                self.store(&mail, entries, &ways).await
            }
            _ => Ok(()),
        };
        let outcome = |(_, verdict): (u8, Verdict)| match (verdict, &stored) {
            (Verdict::Refused(reply), _) if reply.is_permanent() => Outcome::Failed(reply),
            (Verdict::Refused(reply), _) => Outcome::Deferred(reply),
            (Verdict::Gone, _) => Outcome::Delivered(HAS_GONE_ON),
            (Verdict::Ways(ways), Ok(())) => Outcome::Delivered(goes_on(&ways)),
            (Verdict::Ways(_), Err(reply)) => Outcome::Deferred(reply.clone()),
        };
        recipients.into_iter().map(outcome).collect()
    }

    /// Stores a record, or one for each form that the message goes on in.
    async fn store(
        &self,
        mail: &GoingOn<'_>,
        entries: Vec<Entry>,
        ways: &[(u8, Vec<Route>)],
    ) -> Result<(), Reply> {
        let GoingOn { envelope, content, entry, .. } = mail;
        let formed = FormedMail {
            router: &self.router,
            source_channel: self.seen_source(envelope, &entry.channel),
            default_host: None,
            lies_in: Some(&entry.channel),
        };
        let mut edited =
            EditedForms::of(&formed, envelope.size, matches!(content, Content::File { .. }));
        let indexes = ways;
        let ways = ways.iter().map(|(_, ways)| match edited.bounded(ways) {
            Some(bounded) => Cow::Owned(bounded),
            None => Cow::Borrowed(&ways[..]),
        });
        let ways: Vec<Cow<'_, [Route]>> = ways.collect();
        edited.tell();
        let all = ways.iter().flat_map(|ways| ways.iter());
        let Some(mut forms) = HeaderForms::of(formed, all) else {
            let (goes_on, same) =
                (self.going_on(mail, (None, entries)), MoreContent::Same(content));
            let stored = self.storage.append_more(goes_on, envelope.entries.len(), same).await;
            let (envelope, _) = stored.map_err(|error| not_stored(&error))?;
            MessageRerouted { envelope: &envelope, left: &entry.channel, by: &mail.by }
                .emit(&self.metrics);
            return Ok(());
        };
        let divided = forms.divided(ways.iter().map(|ways| &**ways));
        let sender = Address::parse(&envelope.sender).ok();
        let contents = self.formed(&mut forms, content, sender.as_ref()).await?;
        let entries = |form: &WaysOfForm| {
            let recipient = |n: usize| entry.recipients.get(usize::from(indexes.get(n)?.0));
            let ways = form.iter().filter_map(|(n, ways)| Some((recipient(*n)?, &ways[..])));
            grouped(&self.channels, &envelope.source_channel, ways)
        };
        let mut forms: Vec<_> = divided.iter().map(entries).zip(contents).collect();
        forms.retain(|(entries, _)| !entries.is_empty());
        // All of them or none: what was delivered of some could not be told from what was not.
        let forms = forms
            .into_iter()
            .map(|(entries, (sender, content))| (self.going_on(mail, (sender, entries)), content));
        let stored = self.storage.append_forms(forms.collect(), envelope.entries.len()).await;
        for (envelope, _) in stored.map_err(|error| not_stored(&error))? {
            MessageRerouted { envelope: &envelope, left: &entry.channel, by: &mail.by }
                .emit(&self.metrics);
        }
        Ok(())
    }

    /// The envelope of one form. A piece of a message waits for the others where it goes now.
    fn going_on(&self, mail: &GoingOn<'_>, form: (Option<Address>, Vec<Entry>)) -> Envelope {
        let mut envelope = mail.envelope_of(form);
        self.channels.gather(&mut envelope, now_ms());
        envelope
    }

    /// The channel that rules take for the one that mail came in by.
    fn seen_source<'a>(&self, envelope: &'a Envelope, left: &'a Arc<str>) -> &'a Arc<str> {
        let is_invisible = self.program(left) != Some(Program::Process);
        if is_invisible { &envelope.source_channel } else { left }
    }

    /// The content of each form, and its sender if that is another one.
    async fn formed(
        &self,
        forms: &mut HeaderForms,
        content: &Content,
        sender: Option<&Address>,
    ) -> Result<Vec<(Option<Address>, NewContent)>, Reply> {
        let path = match content {
            Content::Whole(octets) => {
                let mut begun = begin(forms, octets, sender).await?;
                for (form, rest) in begun.iter_mut().zip(forms.finish().await?) {
                    form.octets.extend_from_slice(&rest);
                }
                let whole = |form: BegunForm| (form.sender, NewContent::Whole(form.octets.into()));
                return Ok(begun.into_iter().map(whole).collect());
            }
            Content::File { path, .. } => path,
        };
        let (mut file, mut seen) = opened(path).await.map_err(|error| unread(&error))?;
        let mut drafts = Vec::new();
        for form in begin(forms, &seen, sender).await? {
            let mut draft = self.storage.draft();
            draft.write(&form.octets).await.map_err(|error| not_stored(&error))?;
            drafts.push((form.sender, draft));
        }
        loop {
            seen.clear();
            let read = (&mut file).take(PIECE).read_to_end(&mut seen).await;
            let is_end = read.map_err(|error| unread(&error))? == 0;
            let all = match (is_end, forms.looks_within()) {
                (true, _) => forms.finish().await?,
                (false, true) => forms.go_on(&seen).await?,
                (false, false) => vec![seen.clone(); drafts.len()],
            };
            for ((_, draft), octets) in drafts.iter_mut().zip(all) {
                draft.write(&octets).await.map_err(|error| not_stored(&error))?;
            }
            if is_end {
                break;
            }
        }
        Ok(drafts.into_iter().map(|(sender, draft)| (sender, NewContent::Blob(draft))).collect())
    }

    /// The password for lists that the header of a message has.
    async fn password_in(
        &self,
        content: ContentAt<'_>,
    ) -> Result<HeaderPassword<GivenPassword>, Reply> {
        let content = self.content_at(content).await?;
        let beginning;
        let header = match &content {
            Content::Whole(octets) => &octets[..],
            Content::File { path, .. } => {
                (_, beginning) = opened(path).await.map_err(|error| unread(&error))?;
                &beginning
            }
        };
        let value = first_value(header, PASSWORD);
        let value = value.filter(|value| (1..=LONGEST_PASSWORD).contains(&value.len()));
        Ok(value.map_or(HeaderPassword::Absent, |value| {
            HeaderPassword::Given(GivenPassword::new(&value))
        }))
    }

    /// The ways of one recipient, as far as channels lead that put mail through rewriting again.
    async fn verdict(
        &self,
        left: &LeftEntry<'_>,
        recipient: &Recipient,
        steps: &mut Vec<Leg>,
    ) -> Result<Arc<[Route]>, Reply> {
        let origin = recipient.origin.as_deref();
        if let Some(reply) = origin.and_then(|origin| origin.refused.as_ref())
            && reply.is_permanent()
        {
            return Err(reply.clone());
        }
        // A recipient that could not be looked up when it came in was asked about by nobody.
        let is_new = origin.is_some_and(|origin| origin.refused.is_some());
        let was_asked = match recipient.post_check {
            PostCheck::Passed => true,
            PostCheck::NotAsked => false,
            // Of older versions of the program: lists waited in these channels.
            PostCheck::Unsaid => self.comes_back(&left.entry.channel),
        };
        let poster = if was_asked && !is_new { Poster::Admitted } else { Poster::Queued };
        let address = recipient.member();
        let mut pending: Vec<(Arc<str>, _, _)> =
            vec![(address.into(), left.entry.channel.clone(), poster)];
        let mut ends: Vec<Route> = Vec::new();
        let mut passes = 0;
        while let Some((address, source, poster)) = pending.pop() {
            passes += 1;
            if passes > MAX_PASSES {
                return Err(CIRCLE);
            }
            let ways = self.resolve((left, poster), &address, &source).await?;
            let to = Ways(&ways).to_string();
            steps.push(Leg { address: address.to_string(), by: source.to_string(), to });
            for way in &*ways {
                if let Some(reply) = way.refused.as_deref().filter(|_| *way.address == *address) {
                    return Err(reply.clone());
                }
                let again = way.refused.is_none() && self.puts_through_again(&way.channel);
                match (again, *way.channel == *source && *way.address == *address) {
                    (true, true) => return Err(CIRCLE),
                    (true, false) => {
                        let is_asked = is_asked(poster, way, &address);
                        let poster = if is_asked { Poster::Admitted } else { Poster::Queued };
                        pending.push((way.address.clone(), way.channel.clone(), poster));
                    }
                    (false, _) if is_asked(poster, way, &address) => {
                        ends.push(Route { post_check: PostCheck::Passed, ..way.clone() });
                    }
                    (false, _) => ends.push(way.clone()),
                }
            }
        }
        let ends = self.sieve(left, recipient, ends).await?;
        let size = left.envelope.size.saturating_sub(OWN_LINES);
        if let Some(reply) = too_large_for_all(&ends, size) {
            return Err(reply);
        }
        let routes = self.router.cache.routes();
        let kept = routes.without_too_large(&ends, &recipient.original, size);
        Ok(kept.unwrap_or_else(|| ends.into()))
    }

    /// The ways that scripts leave of these.
    async fn sieve(
        &self,
        left: &LeftEntry<'_>,
        recipient: &Recipient,
        ends: Vec<Route>,
    ) -> Result<Vec<Route>, Reply> {
        let LeftEntry { envelope, entry, content, .. } = left;
        // Mail of our own has met them when it was written, and nobody would hear of a refusal.
        if *envelope.source_channel == *own_mail::source_channel(&self.channels) {
            return Ok(ends);
        }
        let source_channel = self.seen_source(envelope, &entry.channel);
        if !self.sieve.sees(source_channel, ends.iter()).await {
            return Ok(ends);
        }
        let octets = self.beginning_of(*content, self.sieve.body_octets()).await?;
        let message = self.sieve.message(&octets, envelope.size);
        let mail = SievedMail {
            message: &message,
            octets: &octets,
            size: envelope.size,
            sender: &envelope.sender,
            source_channel,
            client: envelope.client_ip(),
            router: &self.router,
            remembers: false,
        };
        let own = recipient.member();
        let sieved = self.sieve.sieve(&mail, own, &ends).await?;
        // The recipient waits where it is.
        let is_own = |way: &&Route| way.refused.is_some() && way.address.eq_ignore_ascii_case(own);
        if let Some(reply) = sieved.ways.iter().find(is_own).and_then(|way| way.refused.as_deref())
        {
            return Err(reply.clone());
        }
        match &sieved.refused[..] {
            [(_, reply), ..] if sieved.ways.is_empty() => Err(reply.clone()),
            _ => Ok(sieved.with_refusals(&self.router.cache.routes())),
        }
    }

    /// The content of a message, wherever it is. Large ones stay in their files.
    async fn content_at(&self, content: ContentAt<'_>) -> Result<Content, Reply> {
        match content {
            ContentAt::Here(content) => Ok(content.clone()),
            ContentAt::Storage(place) => {
                let read = self.storage.read(place).await.map_err(|error| not_stored(&error))?;
                Ok(read.1)
            }
        }
    }

    /// The header of a message, and so many octets of its body.
    async fn beginning_of(&self, content: ContentAt<'_>, body: usize) -> Result<Bytes, Reply> {
        let content = self.content_at(content).await?;
        match content {
            Content::Whole(octets) => Ok(octets),
            Content::File { path, .. } => {
                let (file, mut beginning) = opened(&path).await.map_err(|error| unread(&error))?;
                let more = file.take(body as u64).read_to_end(&mut beginning).await;
                more.map_err(|error| unread(&error))?;
                Ok(beginning.into())
            }
        }
    }

    async fn resolve(
        &self,
        (left, poster): (&LeftEntry<'_>, Poster),
        address: &str,
        source_channel: &str,
    ) -> Result<Arc<[Route]>, Reply> {
        let address = Address::parse(address).map_err(|_| MALFORMED)?;
        let is_invisible = self.program(source_channel) == Some(Program::Reprocess);
        let earlier = is_invisible.then_some(&*left.envelope.source_channel);
        let question = |password| Question {
            address: &address,
            sender: &left.envelope.sender,
            source_channel,
            may_relay: true,
            header: false,
            released: left.released,
            submission: None,
            poster,
            earlier,
            proof: PostProof {
                login: left.envelope.login.as_deref().unwrap_or_default(),
                password,
            },
        };
        // The only one of these that access checks see.
        let is_checked = self.program(source_channel) == Some(Program::Process);
        let known = left.password.get().map_or(HeaderPassword::Unread, HeaderPassword::as_ref);
        match self.router.resolve_anew(&question(known), is_checked).await {
            Ok(ways) => return Ok(ways),
            Err(NoWay::Refused(reply)) => return Err(reply),
            Err(NoWay::HeaderWanted) => {}
        }
        let password = left.password.get_or_try_init(|| self.password_in(left.content)).await?;
        match self.router.resolve_anew(&question(password.as_ref()), is_checked).await {
            Ok(ways) => Ok(ways),
            Err(NoWay::Refused(reply)) => Err(reply),
            Err(NoWay::HeaderWanted) => Err(NOT_NOW),
        }
    }

    fn puts_through_again(&self, channel: &str) -> bool {
        matches!(self.program(channel), Some(Program::Process | Program::Reprocess))
    }

    /// Whether mail of this channel is routed again.
    fn comes_back(&self, channel: &str) -> bool {
        let program = self.program(channel);
        matches!(program, Some(Program::Process | Program::Reprocess | Program::Hold))
    }

    fn program(&self, channel: &str) -> Option<Program> {
        let id = self.channels.find(channel)?;
        Some(self.channels.channel(id).program)
    }
}

/// Begins the forms of a message with what has been read of it.
async fn begin(
    forms: &mut HeaderForms,
    octets: &[u8],
    sender: Option<&Address>,
) -> Result<Vec<BegunForm>, Reply> {
    let end = header_octets(octets, 0).unwrap_or(octets.len());
    // Lines of a list come behind our own.
    let own = received_length(&octets[..end]);
    let (head, message) = octets.split_at(own);
    forms.begin(head, (message, end - own), sender).await
}

/// The file of a large message, and its beginning with all of its header.
async fn opened(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let (mut file, mut seen, mut searched) = (File::open(path).await?, Vec::new(), 0);
    while header_octets(&seen, searched).is_none() && seen.len() < LARGEST_HEADER {
        searched = seen.len();
        if (&mut file).take(PIECE).read_to_end(&mut seen).await? == 0 {
            break;
        }
    }
    Ok((file, seen))
}

/// Octets of the `Received` line that a header begins with.
fn received_length(header: &[u8]) -> usize {
    let is_received = header.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"received:"));
    let lines = header.split_inclusive(|c| *c == b'\n').enumerate();
    let own =
        lines.take_while(|(n, line)| *n == 0 || line.starts_with(b" ") || line.starts_with(b"\t"));
    if is_received { own.map(|(_, line)| line.len()).sum() } else { 0 }
}

/// Whether a list that this way leads to once more has been asked: where it was looked up, or because it
/// is the one that was asked before.
fn is_asked(poster: Poster, way: &Route, address: &str) -> bool {
    match way.post_check {
        PostCheck::Passed => true,
        PostCheck::NotAsked => {
            poster == Poster::Admitted && way.address.eq_ignore_ascii_case(address)
        }
        PostCheck::Unsaid => false,
    }
}

/// Where the other recipients of the message go, and where these have gone in part: they have their
/// copies, or get them.
fn elsewhere<'a>(
    channels: &Channels,
    envelope: &'a Envelope,
    but: &Entry,
    parts: &'a [Envelope],
) -> HashSet<(&'a str, &'a str, &'a str)> {
    let others = envelope.entries.iter().filter(|entry| !std::ptr::eq(*entry, but));
    let parts = parts.iter().flat_map(|part| &part.entries);
    others
        .chain(parts)
        .flat_map(|entry| {
            let (channel, host) = channels.way_out(&entry.channel, &entry.host);
            let way = move |to: &'a Recipient| (channel, host, &*to.address);
            entry.recipients.iter().map(way)
        })
        .collect()
}

fn goes_on(ways: &[Route]) -> Reply {
    let text = match ways {
        [only] => format!("goes on by {} to {}", only.channel, only.host),
        ways => format!("goes on by {} ways", ways.len()),
    };
    Reply::with_text(250, Enhanced(2, 1, 5), text)
}

fn not_stored(error: &StorageError) -> Reply {
    match error {
        StorageError::Envelope(what) => {
            Reply::with_text(554, Enhanced(5, 3, 4), format!("it cannot be routed again: {what}"))
        }
        error => Reply::with_text(451, Enhanced(4, 3, 0), format!("not stored: {error}")),
    }
}

fn unread(error: &io::Error) -> Reply {
    Reply::with_text(451, Enhanced(4, 3, 0), format!("the content cannot be read: {error}"))
}

/// Ways in a few words, for the log.
struct Ways<'a>(&'a [Route]);

impl std::fmt::Display for Ways<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, Route { channel, host, .. }) in self.0.iter().take(3).enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{channel} {host}")?;
        }
        match self.0.len() {
            0..=3 => Ok(()),
            more => write!(f, " and {} more", more - 3),
        }
    }
}

/// Why it is held once more.
const HELD_AGAIN: &str = "it was released, and its route leads to a hold channel again: `relais route` shows by which rule";
/// Octets that our own lines add to a message, about: what was small enough when it came still is.
const OWN_LINES: u64 = 1_024;
/// Octets of a header that are looked at: more than any channel takes.
const LARGEST_HEADER: usize = 17 << 20;
/// Octets of a large message that are read at once.
const PIECE: u64 = 256 << 10;
/// Octets of a password.
const LONGEST_PASSWORD: usize = 1_000;
const NOT_NOW: Reply = Reply::new(451, Enhanced(4, 3, 5), "this list cannot be asked who may post");
const HAS_GONE_ON: Reply = Reply::new(250, Enhanced(2, 1, 5), "has gone on before");
/// Addresses that one recipient leads to by channels that put mail through rewriting again.
const MAX_PASSES: usize = 20;
const CIRCLE: Reply =
    Reply::new(554, Enhanced(5, 4, 6), "the address leads back to where it is rewritten again");
const NO_SUCH_CHANNEL: Reply =
    Reply::new(451, Enhanced(4, 3, 5), "there is no such channel, or none that mail can be put in");
const MALFORMED: Reply = Reply::new(550, Enhanced(5, 1, 3), "malformed address");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_list_come_behind_our_own() {
        let rows = [
            (
                "Received: from a\r\n\tby b\r\n; now\r\nFrom: c\r\n\r\n",
                "Received: from a\r\n\tby b\r\n",
            ),
            ("RECEIVED: a\r\n b\r\n\tc\r\nReceived: d\r\n\r\n", "RECEIVED: a\r\n b\r\n\tc\r\n"),
            ("From: c\r\nReceived: a\r\n\r\n", ""),
            ("Received : a\r\n\r\n", ""),
            ("Received: a", "Received: a"),
            ("\r\n", ""),
            ("", ""),
        ];
        for (header, want) in rows {
            assert_eq!(&header[..received_length(header.as_bytes())], want, "{header:?}");
        }
    }
}
