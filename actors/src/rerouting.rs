//! Mail that is in the queue already runs through the router again: what is released from a hold
//! channel, what waits in `process` and `reprocess`, and whatever else somebody wants routed anew.
//!
//! [`Rerouter::plan`] asks the router, as things are now, and changes nothing.
//! [`Rerouter::carry_out`] puts what came of it into the queue: the message goes on under its id, in
//! a record of its own with more entries, which says whose recipients these are. Only when that is
//! safe are the recipients done where they were; after a crash in between they are found to have
//! gone on.

use std::{collections::HashSet, sync::Arc};

use relais_channels::mail::{
    Address, Content, Enhanced, Entry, Envelope, Outcome, Outcomes, Recipient, Reply, Rerouted,
};
use relais_config::channel::Program;
use relais_spool::{Spool, SpoolError, open_recipients};
use tracing::{info, warn};

use crate::{
    channel_table::Channels,
    events::MessageRerouted,
    metrics::Metrics,
    router::{Poster, Question, Route, RouterHandle, grouped, too_large_for_all},
    timestamp::now_ms,
};

/// Runs entries through the router again. Cheap to clone.
#[derive(Clone)]
pub struct Rerouter {
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where the messages are.
    pub spool: Spool,
    /// Where recipients go.
    pub router: RouterHandle,
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
    /// Why they are held where they go on to, if they are.
    pub held: Option<String>,
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

/// An entry that mail leaves to be routed again.
struct LeftEntry<'a> {
    envelope: &'a Envelope,
    entry: &'a Entry,
    /// The status `hold` of a user does not count, this once.
    released: bool,
}

impl Rerouter {
    /// Where the recipients `open`, a bit each, of an entry would go now. `released`: the status
    /// `hold` of a user does not count, this once.
    pub async fn plan(&self, envelope: &Envelope, number: u16, open: u64, released: bool) -> Plan {
        let Some(entry) = envelope.entries.get(usize::from(number)) else {
            return Plan::default();
        };
        let left = LeftEntry { envelope, entry, released };
        let mut steps = Vec::new();
        let gone = self.spool.gone_on(envelope.id, number).await;
        let mut recipients = Vec::new();
        for index in open_recipients(open) {
            let Some(recipient) = entry.recipients.get(usize::from(index)) else { continue };
            let verdict = match &gone {
                Ok(gone) if gone & 1 << index != 0 => Verdict::Gone,
                Ok(_) => match self.verdict(&left, recipient, &mut steps).await {
                    Ok(ways) => Verdict::Ways(ways),
                    Err(reply) => Verdict::Refused(reply),
                },
                Err(error) => Verdict::Refused(not_stored(error)),
            };
            recipients.push((index, verdict));
        }
        let elsewhere = elsewhere(envelope, entry);
        let ways = |(index, verdict): &(u8, Verdict)| {
            let Verdict::Ways(ways) = verdict else { return None };
            let has_a_copy =
                |way: &&Route| elsewhere.contains(&(&*way.channel, &*way.host, &*way.address));
            let ways: Vec<Route> = ways.iter().filter(|way| !has_a_copy(way)).cloned().collect();
            Some((&entry.recipients[usize::from(*index)], ways))
        };
        let ways: Vec<_> = recipients.iter().filter_map(ways).collect();
        let ways = ways.iter().map(|(recipient, ways)| (*recipient, &ways[..]));
        let entries = grouped(&self.channels, ways);
        let is_hold = |entry: &Entry| self.program(&entry.channel) == Some(Program::Hold);
        let held = (released && !entries.is_empty() && entries.iter().all(is_hold))
            .then(|| HELD_AGAIN.to_owned());
        Plan { recipients, entries, held, steps }
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
        let Plan { recipients, entries, held, steps } = plan;
        for Leg { address, by, to } in steps {
            info!(id = %envelope.id, address, by, to, "routed anew");
        }
        let stored = if entries.is_empty() {
            Ok(())
        } else {
            let goes_on =
                recipients.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Ways(_)));
            let goes_on = goes_on.fold(0, |all, (index, _)| all | 1 << index);
            let rerouted = Rerouted { at: now_ms(), entry, recipients: goes_on };
            self.store(envelope, content, rerouted, (entries, held)).await
        };
        let outcome = |(_, verdict): (u8, Verdict)| match (verdict, &stored) {
            (Verdict::Refused(reply), _) if reply.is_permanent() => Outcome::Failed(reply),
            (Verdict::Refused(reply), _) => Outcome::Deferred(reply),
            (Verdict::Gone, _) => Outcome::Delivered(HAS_GONE_ON),
            (Verdict::Ways(ways), Ok(())) => Outcome::Delivered(goes_on(&ways)),
            (Verdict::Ways(_), Err(error)) => Outcome::Deferred(not_stored(error)),
        };
        recipients.into_iter().map(outcome).collect()
    }

    async fn store(
        &self,
        envelope: &Envelope,
        content: &Content,
        rerouted: Rerouted,
        (entries, held): (Vec<Entry>, Option<String>),
    ) -> Result<(), SpoolError> {
        let known = envelope.entries.len();
        let left = envelope.entries.get(usize::from(rerouted.entry));
        let left = left.map(|entry| entry.channel.clone());
        let rerouted = Some(rerouted);
        let goes_on = Envelope { entries, held, rerouted, ..envelope.clone() };
        let (envelope, _stored) = self.spool.append_more(goes_on, known, content).await?;
        let channel = left.unwrap_or_default();
        MessageRerouted { envelope: &envelope, left: &channel }.emit(&self.metrics);
        Ok(())
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
        let poster = if is_new { Poster::Queued } else { Poster::Admitted };
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
                        // A rule may lead to a list that nobody was asked about.
                        let is_same = way.address.eq_ignore_ascii_case(&address);
                        let poster = if is_same { poster } else { Poster::Queued };
                        pending.push((way.address.clone(), way.channel.clone(), poster));
                    }
                    (false, _) => ends.push(way.clone()),
                }
            }
        }
        if ends.iter().any(|way| way.headers.is_some()) {
            let id = left.envelope.id;
            warn!(%id, list = address, "mail that was looked up later has none of its list's header lines");
        }
        let size = left.envelope.size.saturating_sub(OWN_LINES);
        if let Some(reply) = too_large_for_all(&ends, size) {
            return Err(reply);
        }
        let routes = self.router.cache.routes();
        let kept = routes.without_too_large(&ends, &recipient.original, size);
        Ok(kept.unwrap_or_else(|| ends.into()))
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
        let question = Question {
            address: &address,
            sender: &left.envelope.sender,
            source_channel,
            may_relay: true,
            header: false,
            released: left.released,
            submission: None,
            poster,
            earlier,
        };
        if self.program(source_channel) == Some(Program::Process) {
            // The only one of these that access checks see.
            return self.router.resolve_anew_and_admit(&question).await;
        }
        self.router.resolve_anew(&question).await
    }

    fn puts_through_again(&self, channel: &str) -> bool {
        matches!(self.program(channel), Some(Program::Process | Program::Reprocess))
    }

    fn program(&self, channel: &str) -> Option<Program> {
        let id = self.channels.find(channel)?;
        Some(self.channels.channel(id).program)
    }
}

/// Where the other recipients of the message go: they have their copies, or get them.
fn elsewhere<'a>(envelope: &'a Envelope, but: &Entry) -> HashSet<(&'a str, &'a str, &'a str)> {
    let others = envelope.entries.iter().filter(|entry| !std::ptr::eq(*entry, but));
    others
        .flat_map(|entry| {
            let way = |to: &'a Recipient| (&*entry.channel, &*entry.host, &*to.address);
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

fn not_stored(error: &SpoolError) -> Reply {
    match error {
        SpoolError::Envelope(what) => {
            Reply::with_text(554, Enhanced(5, 3, 4), format!("it cannot be routed again: {what}"))
        }
        error => Reply::with_text(451, Enhanced(4, 3, 0), format!("not stored: {error}")),
    }
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
const HAS_GONE_ON: Reply = Reply::new(250, Enhanced(2, 1, 5), "has gone on before");
/// Addresses that one recipient leads to by channels that put mail through rewriting again.
const MAX_PASSES: usize = 20;
const CIRCLE: Reply =
    Reply::new(554, Enhanced(5, 4, 6), "the address leads back to where it is rewritten again");
const MALFORMED: Reply = Reply::new(550, Enhanced(5, 1, 3), "malformed address");
