//! Orders that come by HTTP. All but dry runs are written down before they are carried out.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde_json::json;

use super::{
    Console, Frozen,
    audited::{Operator, Ordered},
    http_error::{HttpError, message_id},
    listing,
    patience::{ADDING_UP, RELOADING, in_time, within},
};
use crate::{
    api::{
        ForgetOrder, HostOrdered, HostResume, HostSuspend, LimitSet, MAX_REASON, MailboxAnswer,
        MailboxOrder, NewOrder, OrderShown, PartOrder, PartsOrdered, QueueOrder, ReloadOrder,
        Reloaded, RemoveOrder, SetLimit, TraceForgotten, is_plain,
    },
    state::history::whole_address,
};

/// The address is not written down: it is to be forgotten.
pub(super) async fn forget<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<ForgetOrder>,
) -> Result<Json<TraceForgotten>, HttpError> {
    let address = whole_address(&order.address);
    let address = address.map_err(|error| HttpError::new(StatusCode::BAD_REQUEST, error))?;
    let order = ForgetOrder { address: address.to_owned(), by: order.by.clone() };
    let ordered = Ordered::new("trace forget", &json!({})).with(&order.by, "");
    let work = async { Ok(within(RELOADING, console.forget(&order)).await?) };
    Ok(Json(operator.carry_out(ordered, work).await?))
}

pub(super) async fn queue_order<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<QueueOrder>,
) -> Result<HttpResponse, HttpError> {
    let order = order.into_inner();
    for id in order.ids.iter().chain(&order.up_to) {
        message_id(id)?;
    }
    if !(is_plain(&order.reason) && is_plain(&order.by)) {
        let wrong = format!("a reason is one line of at most {MAX_REASON} characters");
        return Err(HttpError::new(StatusCode::BAD_REQUEST, wrong));
    }
    if order.ids.len() > MAX_IDS {
        let many = format!("more than {MAX_IDS} ids in one order");
        return Err(HttpError::new(StatusCode::BAD_REQUEST, many));
    }
    console.check(&order.filter)?;
    let audited =
        if order.dry_run { None } else { Some(operator.begin(Ordered::of_queue(&order)).await?) };
    Ok(listing::carry_out(C::clone(&console), order, audited).await?)
}

pub(super) async fn channel_stop<C: Console>(
    operator: Operator,
    console: Data<C>,
    name: Path<String>,
) -> Result<HttpResponse, HttpError> {
    freeze(operator, &**console, &name, true).await
}

pub(super) async fn channel_start<C: Console>(
    operator: Operator,
    console: Data<C>,
    name: Path<String>,
) -> Result<HttpResponse, HttpError> {
    freeze(operator, &**console, &name, false).await
}

async fn freeze<C: Console>(
    operator: Operator,
    console: &C,
    name: &str,
    stop: bool,
) -> Result<HttpResponse, HttpError> {
    let freeze = async { Ok(in_time(console.freeze_channel(name, stop)).await??) };
    let was = operator.carry_out(Ordered::of_channel(name, stop), freeze).await?;
    let Frozen { was_stopped, delivers } = was;
    Ok(HttpResponse::Ok().json(json!({
        "channel": name, "stopped": stop, "was_stopped": was_stopped, "delivers": delivers,
    })))
}

pub(super) async fn host_suspend<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<HostSuspend>,
) -> Result<Json<HostOrdered>, HttpError> {
    let suspend = async { Ok(in_time(console.suspend_host(&order)).await??) };
    Ok(Json(operator.carry_out(Ordered::of_suspension(&order), suspend).await?))
}

pub(super) async fn host_resume<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<HostResume>,
) -> Result<Json<HostOrdered>, HttpError> {
    let ordered = Ordered::new("host resume", &*order);
    let work = async { Ok(in_time(console.resume_host(&order)).await??) };
    Ok(Json(operator.carry_out(ordered, work).await?))
}

pub(super) async fn add_order<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<NewOrder>,
) -> Result<HttpResponse, HttpError> {
    if order.dry_run {
        let would = within(ADDING_UP, console.preview_order(&order)).await??;
        return Ok(HttpResponse::Ok().json(would));
    }
    let mut order = order.into_inner();
    if order.by.is_empty() {
        order.by = operator.name().await?;
    }
    let ordered = Ordered::of_new(&order);
    let add = async { Ok(in_time(console.add_order(&order)).await??) };
    Ok(HttpResponse::Ok().json(operator.carry_out(ordered, add).await?))
}

pub(super) async fn remove_order<C: Console>(
    operator: Operator,
    console: Data<C>,
    id: Path<u64>,
    how: Json<RemoveOrder>,
) -> Result<Json<OrderShown>, HttpError> {
    let (id, release) = (*id, how.release);
    let remove = async {
        let removed = in_time(console.remove_order(id, release)).await??;
        removed
            .ok_or_else(|| HttpError::new(StatusCode::NOT_FOUND, format!("no order {id} stands")))
    };
    Ok(Json(operator.carry_out(Ordered::of_removal(id, release), remove).await?))
}

pub(super) async fn set_limit<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<SetLimit>,
) -> Result<Json<LimitSet>, HttpError> {
    let ordered = Ordered::new("set", &*order);
    let work = async { Ok(in_time(console.set_limit(&order)).await??) };
    Ok(Json(operator.carry_out(ordered, work).await?))
}

pub(super) async fn reload<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<ReloadOrder>,
) -> Result<Json<Reloaded>, HttpError> {
    let order = order.into_inner();
    let reload = async { Ok(within(RELOADING, console.reload(order)).await?) };
    if order.dry_run {
        return Ok(Json(reload.await?));
    }
    let ordered = Ordered::new("reload", &json!({ "reroute": order.reroute }));
    let audited = operator.begin(ordered).await?;
    let reloaded: Result<Reloaded, HttpError> = reload.await;
    match &reloaded {
        Ok(Reloaded { refused, .. }) if refused.is_empty() => audited.done().await,
        Ok(_) => audited.refused(NOT_IN_FORCE).await,
        Err(error) => audited.refused(&error.to_string()).await,
    }
    Ok(Json(reloaded?))
}

pub(super) async fn mailbox_order<C: Console>(
    operator: Operator,
    console: Data<C>,
    order: Json<MailboxOrder>,
) -> Result<Json<MailboxAnswer>, HttpError> {
    let work = async { Ok(within(ADDING_UP, console.mailbox_order(&order)).await??) };
    let answer = match Ordered::of_mailbox(&order) {
        Some(ordered) => operator.carry_out(ordered, work).await?,
        None => work.await?,
    };
    Ok(Json(answer))
}

pub(super) async fn order_parts<C: Console>(
    operator: Operator,
    console: Data<C>,
    asked: Json<PartOrder>,
) -> Result<Json<PartsOrdered>, HttpError> {
    let ordered = Ordered::new(asked.order.name(), &*asked);
    let work = async { Ok(in_time(console.order_parts(&asked)).await??) };
    Ok(Json(operator.carry_out(ordered, work).await?))
}

pub(super) async fn stop<C: Console>(
    operator: Operator,
    console: Data<C>,
) -> Result<HttpResponse, HttpError> {
    let stop = async {
        console.stop();
        Ok(())
    };
    operator.carry_out(Ordered::new("stop", &()), stop).await?;
    Ok(HttpResponse::Accepted().json(json!({"stopping": true})))
}

/// Messages named in one order.
const MAX_IDS: usize = 1_000;
/// The end of a reload whose file has mistakes, as the audit file has it.
pub(crate) const NOT_IN_FORCE: &str = "the file is not put in force";
