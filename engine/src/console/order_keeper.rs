//! Work that standing orders want done with the queue, and their ends. All of it is done by one task, a
//! piece after the other: what an order has done before its end is there when its end looks for it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use relais_actors::{
    standing::{StandingKind, StandingOrder, StandingOrders},
    timestamp::Timestamp,
};
use relais_channels::mail::MessageId;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    parts::Parts,
    standing::{OrderKeeper, carry_out, change, queue_order},
    sweep::Sweep,
};
use crate::{
    admin::Answer,
    api::{AuditEnd, AuditResult, OrderKind, Who},
    state::{
        audit::{Asked, AuditLog, ended},
        standing::{KeptOrders, StandingFile},
    },
};

/// Keeps orders: looks through the queue for new ones, deals with what the others catch, ends those whose
/// time is over. For as long as the engine runs.
pub(super) async fn keep(
    parts: impl Fn() -> Option<Arc<Parts>>,
    keeper: Arc<OrderKeeper>,
    file: StandingFile,
    audit: AuditLog,
) {
    let Some(first) = parts() else { return };
    for its in first.standing.index().all().iter().filter(|its| its.order.kind.acts()) {
        keeper.look_through(its.order.id);
    }
    drop(first);
    let mut endings = Endings { file, audit, under_way: BTreeMap::new() };
    let (mut sweep, mut rounds) = (None, Rounds::new());
    // Another configuration may have put others in their place.
    while let Some(parts) = parts() {
        endings.go_on(&parts, &keeper).await;
        act_on_caught(&parts, &keeper, &mut rounds).await;
        if look_through(&parts, &keeper, &mut sweep).await {
            continue;
        }
        // Early or not, it looks.
        tokio::select! {
            () = keeper.noticed() => {}
            () = parts.standing.noticed() => sleep(PAUSE).await,
            () = sleep(endings.next(&parts.standing)) => {}
        }
    }
}

/// Does a piece of the pass through all that waits; whether there is more to do.
async fn look_through(parts: &Parts, keeper: &OrderKeeper, sweep: &mut Option<Sweep>) -> bool {
    let mut its = match sweep.take() {
        Some(its) => its,
        None => match keeper.take_fresh() {
            fresh if fresh.is_empty() => return false,
            fresh => Sweep::begin(parts, &fresh),
        },
    };
    match its.go_on(parts).await {
        Ok(true) => *sweep = Some(its),
        Ok(false) => {}
        Err(error) => {
            warn!(%error, "orders did not come to all that waits; once more in a moment");
            its.ids().for_each(|id| keeper.look_through(id));
            sleep(AGAIN).await;
        }
    }
    true
}

/// Does with mail that was caught what its order says.
async fn act_on_caught(parts: &Parts, keeper: &OrderKeeper, rounds: &mut Rounds) {
    let caught = parts.standing.caught();
    for id in caught.overflowed {
        keeper.look_through(id);
    }
    let mut by_order: BTreeMap<u64, Vec<MessageId>> = BTreeMap::new();
    for (id, message) in caught.messages {
        by_order.entry(id).or_default().push(message);
    }
    let index = parts.standing.index();
    for (id, messages) in by_order {
        let Some(its) = index.get(id) else { continue };
        let (messages, circling) = match its.order.kind {
            StandingKind::Reroute => rounds.divide(messages),
            _ => (messages, Vec::new()),
        };
        let kind = OrderKind::of_standing(its.order.kind);
        for (kind, messages) in [(kind, messages), (OrderKind::Hold, circling)] {
            for some in messages.chunks(IDS_AT_ONCE) {
                let ids = some.iter().map(ToString::to_string).collect();
                let mut order = queue_order(&its.order, kind, ids);
                if kind != OrderKind::of_standing(its.order.kind) {
                    order.reason = format!("standing orders send it in a circle: {}", order.reason);
                }
                let told = |(messages, recipients)| its.touched(messages, recipients);
                if let Err(error) = carry_out(parts, &order, told).await {
                    // Its courier finds it again, and catches it again.
                    warn!(order = id, %error, "an order did not come to what it has caught");
                }
            }
        }
    }
}

/// How often orders were to send messages elsewhere of late. Mail that cannot go there is tried each minute, and
/// in a circle many times a second.
#[derive(Debug)]
struct Rounds {
    since: Instant,
    of: HashMap<MessageId, u32>,
}

impl Rounds {
    /// Nothing counted so far.
    fn new() -> Self {
        Self { since: Instant::now(), of: HashMap::new() }
    }

    /// Counts these; those that may go on, and those that go in a circle.
    fn divide(&mut self, messages: Vec<MessageId>) -> (Vec<MessageId>, Vec<MessageId>) {
        if self.since.elapsed() > COUNTED_FOR || self.of.len() > MOST_COUNTED {
            *self = Self::new();
        }
        messages.into_iter().partition(|message| {
            let rounds = self.of.entry(*message).or_default();
            *rounds += 1;
            let goes_on = *rounds <= MOST_ROUNDS;
            if !goes_on {
                // A release has it go round once more.
                self.of.remove(message);
            }
            goes_on
        })
    }
}

/// The ends of orders that are under way.
struct Endings {
    file: StandingFile,
    audit: AuditLog,
    under_way: BTreeMap<u64, Ending>,
}

/// The end of an order.
struct Ending {
    /// Of the audit.
    number: u64,
    /// How often all that waits was looked through.
    passes: u8,
    /// When it goes on.
    due: Instant,
    /// Since it has failed: how long it waits.
    pause: Duration,
    /// Entries and recipients that go on.
    went_on: (u64, u64),
}

impl Ending {
    /// One that may go on at once.
    fn new(number: u64) -> Self {
        let (due, pause) = (Instant::now(), Duration::ZERO);
        Self { number, passes: 0, due, pause, went_on: (0, 0) }
    }

    /// Waits, each time for longer.
    fn fail(&mut self) {
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.due = Instant::now() + self.pause;
    }
}

impl Endings {
    /// Ends orders whose time is over. One that cannot be ended keeps no other from it.
    async fn go_on(&mut self, parts: &Parts, keeper: &Arc<OrderKeeper>) {
        let index = parts.standing.index();
        let now = Timestamp::now();
        for its in index.all().iter().filter(|its| its.order.has_ended(now)) {
            let order = &its.order;
            let mut ending = match self.under_way.remove(&order.id) {
                Some(ending) => ending,
                None => Ending::new(written_down(&self.audit, order).await),
            };
            if ending.due > Instant::now() {
                self.under_way.insert(order.id, ending);
                continue;
            }
            match self.end(parts, keeper, order, &mut ending).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    ending.fail();
                    warn!(order = order.id, %error, "an order that has ended is not gone yet");
                }
            }
            self.under_way.insert(order.id, ending);
        }
    }

    /// How long it is until an order ends, or its end goes on.
    fn next(&self, standing: &StandingOrders) -> Duration {
        let (now, index) = (Timestamp::now(), standing.index());
        let fresh = index.all().iter().filter(|its| !self.under_way.contains_key(&its.order.id));
        let ends = fresh.filter_map(|its| its.order.until).map(|until| now.until(until));
        let under_way = self.under_way.values();
        let goes_on = under_way.map(|its| its.due.saturating_duration_since(Instant::now()));
        ends.chain(goes_on).min().unwrap_or(LONGEST_SLEEP).clamp(PAUSE, LONGEST_SLEEP)
    }

    /// Does what is to be done now; whether the order is gone.
    async fn end(
        &self,
        parts: &Parts,
        keeper: &Arc<OrderKeeper>,
        order: &StandingOrder,
        ending: &mut Ending,
    ) -> Answer<bool> {
        let kinds = goes_on(order);
        if !kinds.is_empty() && ending.passes < PASSES {
            for kind in kinds {
                let mut queue_order = queue_order(order, *kind, Vec::new());
                if let Some(part) = &mut queue_order.standing {
                    part.only_its_own = true;
                }
                let progress = carry_out(parts, &queue_order, |_| {}).await?;
                let (messages, recipients) = ending.went_on;
                ending.went_on = (messages + progress.reached(), recipients + progress.recipients);
            }
            ending.passes += 1;
            if ending.passes < PASSES {
                ending.due = Instant::now() + UNTIL_SETTLED;
                return Ok(false);
            }
        }
        let (turn, id) = (keeper.turn().await, order.id);
        let forget = move |kept: &mut KeptOrders| kept.orders.retain(|order| order.id != id);
        change((&parts.standing, keeper, self.file.clone()), turn, forget).await?;
        let (messages, recipients) = ending.went_on;
        let end = AuditEnd {
            touched: Some(messages),
            recipients: Some(recipients),
            ..ended(ending.number, AuditResult::Done)
        };
        let audit = self.audit.clone();
        let _ = tokio::task::spawn_blocking(move || audit.end(&end)).await;
        info!(
            order = id,
            kind = order.kind.name(),
            went_on = messages,
            "a standing order has ended"
        );
        Ok(true)
    }
}

/// The orders that mail gets which an order kept, when it ends.
fn goes_on(order: &StandingOrder) -> &'static [OrderKind] {
    match order.kind {
        // Mail that a courier has just put off was to be held in a moment.
        StandingKind::Hold if order.release => &[OrderKind::Release, OrderKind::Retry],
        StandingKind::Suspend if order.removed => &[OrderKind::Retry],
        StandingKind::Slow => &[OrderKind::Retry],
        // Mail that waits for the end that the order was to have is due by then.
        StandingKind::Hold
        | StandingKind::Suspend
        | StandingKind::Return
        | StandingKind::Reroute => &[],
    }
}

/// Writes down that an order ends. It ends all the same when that cannot be.
async fn written_down(audit: &AuditLog, order: &StandingOrder) -> u64 {
    let what = serde_json::json!({ "id": order.id, "kind": order.kind.name() });
    let asked = Asked {
        who: Who::engine(),
        command: "order end".to_owned(),
        what,
        reason: order.reason.clone(),
    };
    let audit = audit.clone();
    let begun = tokio::task::spawn_blocking(move || audit.begin(&asked)).await;
    match begun {
        Ok(Ok(number)) => number,
        Ok(Err(error)) => {
            warn!(%error, "the end of an order is not written down");
            0
        }
        Err(_) => 0,
    }
}

/// Ids in one order.
const IDS_AT_ONCE: usize = 1_000;
/// For so long is counted how often orders send a message elsewhere.
const COUNTED_FOR: Duration = Duration::from_secs(300);
/// So often may they meanwhile; what goes on is in a circle, and is held.
const MOST_ROUNDS: u32 = 50;
/// Messages whose rounds are counted at once.
const MOST_COUNTED: usize = 100_000;
/// Between two looks at what was caught, so that there is more of it.
const PAUSE: Duration = Duration::from_millis(50);
/// Before an order is tried again that the engine could not carry out.
const AGAIN: Duration = Duration::from_secs(5);
/// The shortest and the longest time between two tries to end an order.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Passes through all that waits at an end: sessions and couriers that asked before it put their mail into
/// the queue behind the first.
const PASSES: u8 = 2;
/// Between them: for so long a session or a courier may be about what it asked before.
const UNTIL_SETTLED: Duration = Duration::from_secs(2);
/// The clock of the machine may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_a_circle_is_found_and_nothing_else() {
        let mut rounds = Rounds::new();
        let (one, other) = (MessageId(1), MessageId(2));
        for _ in 0..MOST_ROUNDS {
            assert_eq!(rounds.divide(vec![one]), (vec![one], vec![]));
        }
        assert_eq!(rounds.divide(vec![one, other]), (vec![other], vec![one]));
        assert_eq!(rounds.divide(vec![one]), (vec![one], vec![]), "it was released");
    }

    #[tokio::test]
    async fn an_end_that_fails_waits_longer_each_time() {
        let mut ending = Ending::new(7);
        let pauses: Vec<u64> = (0..12)
            .map(|_| {
                ending.fail();
                ending.pause.as_secs()
            })
            .collect();
        assert_eq!(pauses[..5], [1, 2, 4, 8, 16]);
        assert_eq!(pauses[11], LONGEST_PAUSE.as_secs());
        assert!(ending.due > Instant::now());
    }
}
