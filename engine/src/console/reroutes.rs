//! Entries that run through the router again: a new mail host, a new rule, a channel that is gone.
//!
//! What goes on is put into the spool as a new entry first; then the queue is told [`Noticed`], as
//! it is by the notary, and takes these recipients off the old one.

use std::{collections::BTreeSet, sync::Arc};

use relais_actors::{
    defragment::DescribePiece,
    ids::Destination,
    metrics::QueueState,
    queue::{
        Case, ListEntries, Noticed, Order, OrderKind, PlaceOrder, Placed, Reading, Reason, Reserve,
        Told, Tracked,
    },
    rerouting::{ContentAt, Plan, Verdict},
};
use relais_channels::{
    dsn::Kind,
    mail::{Envelope, Outcome, Recipient},
};
use relais_storage::{EntryState, ScannedEntry, open_recipients};

use super::{
    entries::{Described, Record},
    parts::{Parts, gone, unavailable},
    reasons::hold_reason,
};
use crate::{
    admin::{Answer, Unavailable},
    api::{OrderProgress, QueueOrder, Rerouted},
    state::rerouting::left_of,
};

/// An order to route entries again, while a piece of it is carried out.
pub(super) struct Rerouting<'a> {
    pub(super) parts: &'a Parts,
    pub(super) order: &'a QueueOrder,
    /// By whom, and why.
    pub(super) reason: Reason,
    /// Since before the entries were read.
    pub(super) reading: &'a Reading,
}

impl Rerouting<'_> {
    /// Routes these entries again; with a dry run only says what would change.
    pub(super) async fn reroute(
        &self,
        wanted: &[Described],
        progress: &mut OrderProgress,
    ) -> Answer<Vec<Placed>> {
        let parts = self.parts;
        // One page after the other: what is under way stands in one file.
        let _turn = parts.reroutes.lock().await;
        let mut placed = vec![Placed::Idle; wanted.len()];
        let mut changing = Vec::new();
        for (at, Described { scanned, state, record, .. }) in wanted.iter().enumerate() {
            let Some(Record { envelope, .. }) = record.as_deref() else { continue };
            if *state == QueueState::Active {
                progress.left.in_hand += 1;
                continue;
            }
            let open = scanned.state.open();
            let mail = (&**envelope, ContentAt::Storage(scanned.place));
            let target = self.order.standing.as_ref().and_then(|part| part.target.as_ref());
            let mut plan = match target {
                Some(target) => parts.rerouter.plan_to(mail, scanned.entry, open, target).await,
                None => parts.rerouter.plan(mail, scanned.entry, open, false).await,
            };
            tell(progress, scanned, envelope, &plan);
            let by_address = target.is_some_and(|target| target.address.is_some());
            match change(scanned, envelope, &plan, by_address) {
                Change::SameWay => progress.left.same_way += 1,
                Change::Refused => progress.left.refused += 1,
                Change::Unreadable => progress.left.unreadable += 1,
                Change::OtherWay => {
                    plan.by = Arc::clone(&self.reason.words);
                    let is_held = matches!(scanned.state, EntryState::Held { .. });
                    if is_held && !waits_for_pieces(parts, scanned).await {
                        plan.held = Some(hold_reason(parts, scanned).await);
                    }
                    placed[at] = Placed::Done;
                    changing.push((at, envelope, plan));
                }
            }
        }
        let is_held = |at: usize| wanted[at].state == QueueState::Held;
        if self.order.dry_run || changing.is_empty() {
            progress.still_held += changing.iter().filter(|(at, ..)| is_held(*at)).count() as u64;
            return Ok(placed);
        }
        let noted = &parts.orders.rerouting;
        let all = changing.iter().map(|(at, ..)| &wanted[*at].scanned);
        noted
            .note(all)
            .map_err(|error| Unavailable(format!("nothing is routed again: {error}")))?;
        for (at, envelope, plan) in changing {
            placed[at] = self.carry_out((&wanted[at].scanned, envelope), plan).await?;
            progress.still_held += u64::from(placed[at] == Placed::Done && is_held(at));
        }
        // The queue has written down what became of all of them.
        parts.queue.ask(ListEntries(Vec::new())).await.map_err(gone)?;
        parts.storage.flush().await.map_err(unavailable)?;
        noted.forget().map_err(|error| Unavailable(error.to_string()))?;
        Ok(placed)
    }

    /// The new entries are safe before the old one is done.
    async fn carry_out(
        &self,
        (scanned, envelope): (&ScannedEntry, &Envelope),
        plan: Plan,
    ) -> Answer<Placed> {
        let parts = self.parts;
        let Some(channel) = parts.channels.find(&scanned.channel) else {
            return self.out_of_lost_channel(scanned, plan).await;
        };
        let reserve = Reserve { reading: self.reading.ticket(), entries: vec![scanned.clone()] };
        let reserved = parts.queue.ask(reserve).await.map_err(gone)?;
        // A job has it, or it has changed.
        let Some(old) = reserved.into_iter().next() else { return Ok(Placed::Moved) };
        let same = old.state.open() == scanned.state.open();
        let went = if same { put(parts, envelope, &old, plan).await } else { Ok(0) };
        let went_on = went.as_ref().copied().unwrap_or(0);
        let case = Case {
            entry: Tracked::of(&old),
            destination: Destination { channel, host: Arc::clone(&old.host) },
            kind: Kind::Relayed,
            recipients: went_on,
            replies: Vec::new(),
            until: None,
            was: old.state,
            then: Some(left_of(old.state, went_on)),
            behind: None,
            room: None,
            reading: None,
            ordered: (went_on != 0).then(|| self.reason.clone()),
        };
        parts.queue.tell(Noticed { cases: vec![case], told: Told::Settled });
        let went_on = went?;
        Ok(if went_on == 0 { Placed::Moved } else { Placed::Done })
    }

    /// Nobody but operators touches it, and nothing has to be given back.
    async fn out_of_lost_channel(&self, old: &ScannedEntry, plan: Plan) -> Answer<Placed> {
        let parts = self.parts;
        let envelope = parts.storage.envelope(old.place).await.map_err(unavailable)?;
        if put(parts, &envelope, old, plan).await? != old.state.open() {
            return Ok(Placed::Moved);
        }
        let place = PlaceOrder {
            reading: self.reading.ticket(),
            order: Order { kind: OrderKind::Delete, reason: self.reason.clone() },
            entries: vec![old.clone()],
        };
        let placed = parts.queue.ask(place).await.map_err(gone)?;
        Ok(placed.into_iter().next().unwrap_or(Placed::Moved))
    }
}

/// Stores what the plan says; the recipients that go on, a bit each.
async fn put(parts: &Parts, envelope: &Envelope, old: &ScannedEntry, plan: Plan) -> Answer<u64> {
    let (_, content) = parts.storage.read(old.place).await.map_err(unavailable)?;
    let places: Vec<u8> = plan.recipients.iter().map(|(index, _)| *index).collect();
    let outcomes = parts.rerouter.carry_out(envelope, &content, old.entry, plan).await;
    let went = places.into_iter().zip(outcomes);
    let went = went.filter(|(_, outcome)| matches!(outcome, Outcome::Delivered(_)));
    Ok(went.fold(0, |all, (index, _)| all | 1 << index))
}

/// Whether nobody holds it, and it waits for the other pieces of its message.
async fn waits_for_pieces(parts: &Parts, scanned: &ScannedEntry) -> bool {
    let asked = DescribePiece((scanned.id, scanned.entry));
    matches!(parts.defragmenter.ask(asked).await, Ok(Some(_)))
}

/// The change that routing again would make to an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// Some open recipient would go another way.
    OtherWay,
    /// None would.
    SameWay,
    /// None can be routed.
    Refused,
    /// Nobody knows whose it is.
    Unreadable,
}

/// Whether any open recipient would go another way, or, `by_address`, by another address. One that cannot be
/// routed stays.
fn change(scanned: &ScannedEntry, envelope: &Envelope, plan: &Plan, by_address: bool) -> Change {
    let Some(entry) = envelope.entries.get(usize::from(scanned.entry)) else {
        return Change::Unreadable;
    };
    let routed =
        |(index, verdict): &(u8, Verdict)| matches!(verdict, Verdict::Ways(_)).then_some(*index);
    let member = |to: &Recipient| by_address.then(|| to.member().to_ascii_lowercase());
    let now: BTreeSet<_> = plan
        .recipients
        .iter()
        .filter_map(routed)
        .filter_map(|index| entry.recipients.get(usize::from(index)))
        .map(|to| (&*entry.channel, &*entry.host, &*to.address, member(to)))
        .collect();
    let then: BTreeSet<_> = plan
        .entries
        .iter()
        .flat_map(|new| {
            let all = new.recipients.iter();
            all.map(|to| (&*new.channel, &*new.host, &*to.address, member(to)))
        })
        .collect();
    match (now.is_empty(), now == then) {
        (true, _) => Change::Refused,
        (false, true) => Change::SameWay,
        (false, false) => Change::OtherWay,
    }
}

/// Tells the changes of a dry run; some of them.
fn tell(progress: &mut OrderProgress, scanned: &ScannedEntry, envelope: &Envelope, plan: &Plan) {
    let Some(entry) = envelope.entries.get(usize::from(scanned.entry)) else { return };
    let from = format!("{} {}", scanned.channel, scanned.host);
    let open: Vec<u8> = open_recipients(scanned.state.open()).collect();
    for (index, verdict) in plan.recipients.iter().filter(|(index, _)| open.contains(index)) {
        if progress.rerouted.len() >= OrderProgress::FIRST_SHOWN {
            return;
        }
        let Some(recipient) = entry.recipients.get(usize::from(*index)) else { continue };
        let to = match verdict {
            Verdict::Refused(reply) => format!("stays: {reply}"),
            Verdict::Gone => continue,
            Verdict::Ways(ways) => {
                let ways = ways.iter().take(3).map(|way| format!("{} {}", way.channel, way.host));
                ways.collect::<Vec<_>>().join(", ")
            }
        };
        if to == from {
            continue;
        }
        progress.rerouted.push(Rerouted {
            id: scanned.id.to_string(),
            recipient: recipient.original.to_string(),
            from: from.clone(),
            to,
        });
    }
}
