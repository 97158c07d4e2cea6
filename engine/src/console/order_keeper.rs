//! Work that standing orders want done with the queue, and their ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use relais_actors::{
    standing::{StandingKind, StandingOrder, StandingOrders},
    timestamp::Timestamp,
};
use relais_channels::mail::MessageId;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    parts::Parts,
    standing::{OrderKeeper, acts, carry_out, change, order_kind, queue_order},
};
use crate::{
    admin::Answer,
    api::{AuditEnd, AuditResult, OrderKind, OrderProgress, Who},
    state::{
        audit::{Asked, AuditLog, ended},
        standing::StandingFile,
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
    for its in first.standing.index().all().iter().filter(|its| acts(its.order.kind)) {
        keeper.look_through(its.order.id);
    }
    let looking = async {
        // Another configuration may have put others in their place.
        while let Some(parts) = parts() {
            if let Err(error) = end_some(&parts, (&keeper, &file), &audit).await {
                warn!(%error, "an order that has ended is not gone yet");
                sleep(AGAIN).await;
            }
            if let Some(id) = keeper.next_fresh() {
                look_through(&parts, &keeper, id).await;
                continue;
            }
            let wait = next_end(&parts.standing).min(LONGEST_SLEEP);
            // Early or not, it looks.
            let _ = timeout(wait, keeper.noticed()).await;
        }
    };
    let catching = async {
        while let Some(parts) = parts() {
            parts.standing.noticed().await;
            act_on_caught(&parts, &keeper).await;
            sleep(PAUSE).await;
        }
    };
    tokio::join!(looking, catching);
}

/// How long it is until the next order ends.
fn next_end(standing: &StandingOrders) -> Duration {
    let now = Timestamp::now();
    let index = standing.index();
    let ends = index.all().iter().filter_map(|its| its.order.until);
    ends.map(|until| now.until(until)).min().unwrap_or(LONGEST_SLEEP).max(PAUSE)
}

/// Does with all that waits what an order says.
async fn look_through(parts: &Parts, keeper: &OrderKeeper, id: u64) {
    let index = parts.standing.index();
    let Some(its) = index.get(id).filter(|its| !its.order.has_ended(Timestamp::now())) else {
        return;
    };
    let order = queue_order(&its.order, order_kind(its.order.kind), Vec::new());
    let told = |(messages, recipients)| its.touched(messages, recipients);
    if let Err(error) = carry_out(parts, &order, told).await {
        warn!(order = id, %error, "an order did not come to all that waits; once more in a moment");
        keeper.look_through(id);
        sleep(AGAIN).await;
    }
}

/// Does with mail that was caught what its order says.
async fn act_on_caught(parts: &Parts, keeper: &OrderKeeper) {
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
        let told = |(messages, recipients)| its.touched(messages, recipients);
        for some in messages.chunks(IDS_AT_ONCE) {
            let ids = some.iter().map(ToString::to_string).collect();
            let order = queue_order(&its.order, order_kind(its.order.kind), ids);
            if let Err(error) = carry_out(parts, &order, told).await {
                // Its courier finds it again, and catches it again.
                warn!(order = id, %error, "an order did not come to what it has caught");
            }
        }
    }
}

/// Ends orders whose time is over.
async fn end_some(
    parts: &Parts,
    (keeper, file): (&OrderKeeper, &StandingFile),
    audit: &AuditLog,
) -> Answer<()> {
    let index = parts.standing.index();
    let now = Timestamp::now();
    for its in index.all().iter().filter(|its| its.order.has_ended(now)) {
        let order = &its.order;
        let goes_on = match order.kind {
            StandingKind::Hold => order.release.then_some(OrderKind::Release),
            // Mail that waits for the end that the order was to have is due by then.
            StandingKind::Suspend => order.removed.then_some(OrderKind::Retry),
            StandingKind::Slow => Some(OrderKind::Retry),
            StandingKind::Return | StandingKind::Reroute => None,
        };
        let number = written_down(audit, order).await;
        let mut progress = OrderProgress::default();
        if let Some(kind) = goes_on {
            let mut queue_order = queue_order(order, kind, Vec::new());
            if let Some(part) = &mut queue_order.standing {
                part.only_its_own = true;
            }
            progress = carry_out(parts, &queue_order, |_| {}).await?;
        }
        let _turn = keeper.turn().await;
        let id = order.id;
        change(parts, file.clone(), move |kept| kept.orders.retain(|order| order.id != id)).await?;
        let end = ended(number, AuditResult::Done);
        let (touched, recipients) = (Some(progress.reached()), Some(progress.recipients));
        let (audit, end) = (audit.clone(), AuditEnd { touched, recipients, ..end });
        let _ = tokio::task::spawn_blocking(move || audit.end(&end)).await;
        info!(
            order = id,
            kind = order.kind.name(),
            went_on = progress.reached(),
            "a standing order has ended"
        );
    }
    Ok(())
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
    let begun = tokio::task::spawn_blocking(move || audit.begin(asked)).await;
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
/// Between two looks at what was caught, so that there is more of it.
const PAUSE: Duration = Duration::from_millis(50);
/// Before an order is tried again that the engine could not carry out.
const AGAIN: Duration = Duration::from_secs(5);
/// The clock of the machine may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
