//! Addresses in headers: the form that they get when mail is queued for a channel.
//!
//! Rules see them as header addresses (`$B`) of the side that they stand for (`$F`, `$R`); reversal
//! comes behind the rules. What leads nowhere by the rules stays as it is: a header address names
//! somebody and routes nothing.

use std::{collections::HashMap, sync::Arc};

use actix::Message;
use relais_channels::mail::{Address, AddressSide, HeaderAddress, Reply};
use relais_config::{
    Channel,
    channel::{DirectoryAway, Program},
    facts::Facts,
};
use tracing::warn;

use super::{
    refusal::Refusal,
    reversal::reversed,
    rewrite::{Purpose, Rewriter},
    routes::Routes,
    steps::{Step, Trace},
};
use crate::directory::Lookup;

/// The treatment of addresses in mail for a channel. Channels with the same one get the same message.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is done or not by itself")]
pub struct HeaderTreatment {
    /// The channel, by its place, where rules or reversal depend on it.
    destination: Option<usize>,
    /// The rules are applied.
    rules: bool,
    /// Addresses are reversed.
    reverse: bool,
    /// Addresses without a domain get one.
    completes: bool,
    /// Headers of messages within are treated, too.
    pub inner: bool,
    /// Signed mail is no exception.
    pub signed_too: bool,
}

/// Asks what becomes of the addresses of one header and of the envelope's sender.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<HeaderForm>, Reply>")]
pub struct RewriteHeader {
    /// The addresses of the header.
    pub addresses: Arc<[HeaderAddress]>,
    /// The sender of the envelope, of a message's own header.
    pub sender: Option<Address>,
    /// The channel the mail comes in by.
    pub source_channel: Arc<str>,
    /// The domain of addresses that have none.
    pub default_host: Option<Arc<str>>,
    /// Each leads to a form of its own.
    pub treatments: Arc<[HeaderTreatment]>,
}

/// A header by one treatment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderForm {
    /// The text of each address; `None`: as it is.
    pub addresses: Vec<Option<String>>,
    /// The sender of the envelope; `None`: as it is.
    pub sender: Option<Address>,
}

impl HeaderTreatment {
    /// Whether nothing is done at all.
    pub fn is_nothing(&self) -> bool {
        !(self.rules || self.reverse || self.completes)
    }
}

impl Routes {
    /// The treatment of headers of mail for a channel; `completes`: addresses without a domain have one
    /// to get.
    pub fn header_treatment(&self, destination: &str, completes: bool) -> HeaderTreatment {
        let Some(n) = self.number_of(destination) else { return HeaderTreatment::default() };
        let Channel { header_rules: rules, reverse, inner, rewrite_signed, .. } = self.channels[n];
        let reverse = reverse && self.reversing.is_on();
        let is_asked = rules && self.rules_ask_destination || reverse && self.reversing.by_channel;
        let destination = is_asked.then_some(n);
        let is_any = rules || reverse || completes;
        HeaderTreatment {
            destination,
            rules,
            reverse,
            completes,
            inner: inner && is_any,
            signed_too: rewrite_signed && is_any,
        }
    }

    /// Whether headers of mail for some channel are treated, even those that lack no domain.
    pub fn treats_headers(&self) -> bool {
        self.reversing.is_on() || self.channels.iter().any(|channel| channel.header_rules)
    }
}

/// The forms of a header, one by each treatment.
pub(super) async fn header_forms(
    routes: &Routes,
    lookup: &impl Lookup,
    asked: &RewriteHeader,
) -> Result<Vec<HeaderForm>, Reply> {
    let mut forms = Vec::with_capacity(asked.treatments.len());
    for treatment in asked.treatments.iter() {
        let treater = Treater::new(routes, lookup, asked, *treatment);
        forms.push(treater.form(asked).await.map_err(|failure| failure.reply())?);
    }
    Ok(forms)
}

/// Tells what is done with an address of a header beyond the rules, for each channel that mail may leave
/// by.
pub(super) async fn tell_of_headers(
    routes: &Routes,
    lookup: &impl Lookup,
    (address, source): (&str, &str),
    trace: &mut Trace,
) {
    let Ok(address) = Address::parse(address) else { return };
    let leaves = |channel: &&Channel| channel.program != Program::Local;
    let mut alike: Vec<(HeaderTreatment, Vec<String>)> = Vec::new();
    for channel in routes.channels.iter().filter(leaves) {
        let treatment = routes.header_treatment(&channel.name, false);
        match alike.iter_mut().find(|(other, _)| *other == treatment) {
            Some((_, names)) => names.push(channel.name.clone()),
            None => alike.push((treatment, vec![channel.name.clone()])),
        }
    }
    let mut is_reversed = false;
    for (treatment, names) in alike {
        let HeaderTreatment { rules, reverse, inner, signed_too, .. } = treatment;
        let first = names[0].clone();
        trace.note(|| Step::Headers { channels: names, rules, reverse, inner, signed_too });
        if reverse && (routes.reversing.by_channel || !is_reversed) {
            is_reversed = true;
            let channels = (source, first.as_str());
            let found = reversed(routes, lookup, &address, channels, trace).await;
            if let Err(failure) = found {
                let (address, reply) = (address.to_string(), failure.reply());
                trace.note(|| Step::Refused { address, reply });
            }
        }
    }
}

/// Treats addresses for one channel.
struct Treater<'a, L> {
    routes: &'a Routes,
    lookup: &'a L,
    treatment: HeaderTreatment,
    source: &'a str,
    default_host: Option<&'a str>,
    /// Mail is taken while the directory is away: its addresses stay as they are then.
    is_patient: bool,
}

impl<'a, L: Lookup> Treater<'a, L> {
    fn new(
        routes: &'a Routes,
        lookup: &'a L,
        asked: &'a RewriteHeader,
        treatment: HeaderTreatment,
    ) -> Self {
        let source = &*asked.source_channel;
        let channel = routes.channel_by_name(source);
        let away = channel.map_or_else(DirectoryAway::default, |channel| channel.directory_away);
        let is_patient = away == DirectoryAway::Queue;
        let default_host = asked.default_host.as_deref();
        Self { routes, lookup, treatment, source, default_host, is_patient }
    }

    async fn form(&self, asked: &RewriteHeader) -> Result<HeaderForm, Refusal> {
        let mut known: HashMap<(&str, AddressSide), Option<String>> = HashMap::new();
        let mut addresses = Vec::with_capacity(asked.addresses.len());
        for HeaderAddress { text, side, .. } in asked.addresses.iter() {
            if let Some(new) = known.get(&(&**text, *side)) {
                addresses.push(new.clone());
                continue;
            }
            let new = self.header_address(text, *side).await;
            let new = self.despite_absence(text, new)?;
            known.insert((text, *side), new.clone());
            addresses.push(new);
        }
        let sender = match &asked.sender {
            Some(sender) if self.treatment.reverse && self.routes.reversing.envelope => {
                let new = self.reversed(sender).await;
                self.despite_absence(sender.as_str(), new)?
            }
            _ => None,
        };
        Ok(HeaderForm { addresses, sender })
    }

    /// The text of an address of a header; `None`: as it is.
    async fn header_address(
        &self,
        text: &str,
        side: AddressSide,
    ) -> Result<Option<String>, Refusal> {
        let Ok(mut address) = Address::parse(text) else { return Ok(None) };
        if address.domain().is_none() {
            let completed = self.default_host.and_then(|host| address.completed(host));
            let Some(completed) = completed.filter(|_| self.treatment.completes) else {
                return Ok(None);
            };
            address = completed;
        }
        if self.treatment.rules {
            address = self.by_rules(address, side).await?;
        }
        if self.treatment.reverse
            && self.routes.reversing.concerns(side)
            && let Some(new) = self.reversed(&address).await?
        {
            address = new;
        }
        Ok((address.as_str() != text).then(|| address.to_string()))
    }

    async fn by_rules(&self, address: Address, side: AddressSide) -> Result<Address, Refusal> {
        let destination = self.treatment.destination.map(|n| &*self.routes.channels[n].name);
        let forward = side == AddressSide::Forward;
        let source = self.source;
        let (reprocessed, facts) = (false, Facts::default());
        let purpose = Purpose { envelope: false, forward, source, destination, reprocessed, facts };
        let mut untold = Trace::default();
        let rewriter = Rewriter::new(self.routes, self.lookup, purpose, &mut untold);
        match rewriter.rewrite(address.clone()).await {
            Ok(rewritten) => Ok(rewritten.address),
            Err(failure @ Refusal::Lookup(_)) => Err(failure),
            Err(_leads_nowhere) => Ok(address),
        }
    }

    async fn reversed(&self, address: &Address) -> Result<Option<Address>, Refusal> {
        let destination = self.treatment.destination.map(|n| &*self.routes.channels[n].name);
        let channels = (self.source, destination.unwrap_or_default());
        reversed(self.routes, self.lookup, address, channels, &mut Trace::default()).await
    }

    /// Where mail is taken whatever the directory does, so is mail whose addresses it would change.
    fn despite_absence<T>(
        &self,
        address: &str,
        new: Result<Option<T>, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        match new {
            Err(failure @ Refusal::Lookup(_)) if self.is_patient => {
                warn!(?address, %failure, "an address of a header stays as it is");
                Ok(None)
            }
            new => new,
        }
    }
}
