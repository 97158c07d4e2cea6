//! `relais order ...`: orders that stand.

use std::io::Write;

use relais_actors::standing::RerouteTarget;
use serde_json::Value;

use super::{
    arguments::{AddOrder, OrderCommand},
    exchange::{answer, engine, json, operator, say, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::Client,
    api::{NewOrder, OrderProgress, OrderShown, OrdersListed, RemoveOrder},
    show::{self, Look},
};

/// Does one of them.
pub(super) fn order(
    source: &Source,
    command: OrderCommand,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    match command {
        OrderCommand::Add(add) => self::add(source, *add, out),
        OrderCommand::List { json } => {
            answer::<OrdersListed>(source, "/api/v1/orders", json, show::orders, out)
        }
        OrderCommand::Show { id, json: as_json } => {
            let client = Client::new(&source.data()?);
            let listed: OrdersListed = wait(client.get("/api/v1/orders"))??;
            let found = listed.orders.into_iter().find(|shown| shown.order.id == id);
            let shown = found.ok_or_else(|| Refusal::NotFound(format!("no order {id} stands")))?;
            if as_json {
                return Ok(json(&shown, out)?);
            }
            let text = show::standing_order(&shown);
            Ok(out.write_all(Look::of_stdout().fit(&text).as_bytes())?)
        }
        OrderCommand::Remove { id, release, json: as_json, why } => {
            let engine = engine(source, why.reason.as_deref())?;
            let path = format!("/api/v1/orders/{id}/remove");
            let shown: OrderShown = wait(engine.order(&path, &RemoveOrder { release }))??;
            if as_json {
                return Ok(json(&shown, out)?);
            }
            let then = show::after_removal(shown.order.kind, shown.order.release);
            say(&format!("order {id} ends: {then}"), out)
        }
    }
}

fn add(source: &Source, add: AddOrder, out: &mut dyn Write) -> Result<(), Refusal> {
    let AddOrder { kind, from, to, host, channel, time, until, release, .. } = add;
    let AddOrder {
        rate, new_address, new_host, new_channel, reason, dry_run, json: as_json, ..
    } = add;
    let target = RerouteTarget { channel: new_channel, host: new_host, address: new_address };
    let new = NewOrder {
        kind,
        from,
        to,
        host,
        channel,
        target: (target != RerouteTarget::default()).then_some(target),
        rate,
        release,
        seconds: time.map(|time| time.as_secs()),
        until,
        reason,
        by: operator(),
        dry_run,
    };
    let engine = engine(source, None)?;
    let answer: Value = wait(engine.order("/api/v1/orders", &new))??;
    if as_json {
        return Ok(json(&answer, out)?);
    }
    let unusable = |error: serde_json::Error| Refusal::Because(error.to_string());
    if dry_run {
        let would: OrderProgress = serde_json::from_value(answer).map_err(unusable)?;
        let look = Look::of_stdout();
        let text = show::would_touch(&new, &would, look);
        return Ok(out.write_all(text.as_bytes())?);
    }
    let shown: OrderShown = serde_json::from_value(answer).map_err(unusable)?;
    say(&show::added(&shown), out)
}
