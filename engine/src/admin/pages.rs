//! Pages of the endpoint, and where each is served.
//!
//! | request | answer | by TCP |
//! | --- | --- | --- |
//! | `GET /` | an overview, plain text; of browsers the [page] | yes |
//! | `GET /metrics` | what Prometheus and its kin scrape: text, or `OpenMetrics` by `Accept` | yes |
//! | `GET /healthz` | 200 as long as the process lives | yes |
//! | `GET /readyz` | 200 while mail is taken and delivered, else 503 with the reason | yes |
//! | `GET /api/v1/status` | [`Status`] | yes |
//! | `GET /api/v1/overview` | the engine at a glance, of this second: [`Overview`](crate::api::Overview) | yes |
//! | `GET /api/v1/series?span=` | what channels did in the last `hour` or `day`, step by step: [`Series`] | yes |
//! | `GET /api/v1/live` | `text/event-stream`: an event `overview` every two seconds; 503 when too many look | yes |
//! | `GET /api/v1/queue?channel=&host=&from=&to=&older_than=&state=&limit=` | one entry a line; 503 when too many list | yes |
//! | `GET /api/v1/queue/summary` | sums by channel and host | yes |
//! | `GET /api/v1/queue/ID` | one message, or 404 | yes |
//! | `GET /api/v1/counters` | the counters of each channel | yes |
//! | `GET /api/v1/access?client=&service=&from=&to=&hello=` | what the front door answers a client | yes |
//! | `GET /api/v1/mapping?table=&input=&flags=` | what a mapping table makes of an input | yes |
//! | `GET /api/v1/test?stage=&input=&channel=&header=&sender=` | what comes of one stage of routing | no: 403 |
//! | `GET /api/v1/audit?since=&by=&limit=` | orders of operators, the oldest first: [`AuditEntry`] | no: 403 |
//! | `GET /api/v1/certificates` | the certificates that clients are shown | yes |
//! | `GET /api/v1/route?address=&from=&channel=&client=&header=` | how an address is routed; with `scripts=true` the scripts of users, too: by TCP 403 | yes |
//! | `POST /api/v1/routes` [`RoutesQuestion`] | the same of many, a line each, without steps | no: 403 |
//! | `GET /api/v1/queue/ID/why` | why each of its entries does not move | yes |
//! | `GET /api/v1/queue/ID/history` | what happened to it | yes |
//! | `GET /api/v1/queue/ID/content` | its content, octet by octet | no: 403 |
//! | `GET /api/v1/trace?name=&since=&until=&limit=&alone=` | what became of messages: [`TraceAnswer`] | no: 403 |
//! | `POST /api/v1/trace/forget` [`ForgetOrder`](crate::api::ForgetOrder) | [`TraceForgotten`](crate::api::TraceForgotten) | no: 403 |
//! | `POST /api/v1/queue/orders` [`QueueOrder`](crate::api::QueueOrder) | [`OrderProgress`](crate::api::OrderProgress), a line for each piece | no: 403 |
//! | `POST /api/v1/channels/NAME/stop`, `.../start` | whether it was stopped | no: 403 |
//! | `GET /api/v1/orders` | orders that stand: [`OrdersListed`] | yes |
//! | `POST /api/v1/orders` [`NewOrder`](crate::api::NewOrder) | [`OrderShown`](crate::api::OrderShown); of a dry run the [`OrderProgress`](crate::api::OrderProgress) that would be | no: 403 |
//! | `POST /api/v1/orders/ID/remove` [`RemoveOrder`](crate::api::RemoveOrder) | [`OrderShown`](crate::api::OrderShown), as it ends; 404: there is no such order | no: 403 |
//! | `GET /api/v1/hosts` | hosts that get nothing, or less, by an order or a reply: [`HostSuspended`] | yes |
//! | `POST /api/v1/hosts/suspend` [`HostSuspend`](crate::api::HostSuspend), `.../resume` [`HostResume`](crate::api::HostResume) | [`HostOrdered`](crate::api::HostOrdered) | no: 403 |
//! | `GET /api/v1/configuration` | the configuration as the engine read it: `{ron}` | no: 403 |
//! | `GET /api/v1/limits?key=` | a limit as it is now, or all: [`LimitShown`] | yes |
//! | `POST /api/v1/limits` [`SetLimit`](crate::api::SetLimit) | [`LimitSet`](crate::api::LimitSet) | no: 403 |
//! | `POST /api/v1/parts` [`PartOrder`](crate::api::PartOrder) | [`PartsOrdered`](crate::api::PartsOrdered): services, the job controller | no: 403 |
//! | `POST /api/v1/reload` [`ReloadOrder`](crate::api::ReloadOrder) | [`Reloaded`](crate::api::Reloaded) | no: 403 |
//! | `GET /api/v1/mailboxes?domain=&limit=` | a mailbox of the store a line, and a partition whose mailboxes are missing: [`MailboxLine`](crate::api::MailboxLine) | no: 403 |
//! | `POST /api/v1/mailboxes` [`MailboxOrder`](crate::api::MailboxOrder) | [`MailboxAnswer`](crate::api::MailboxAnswer); 404: there is no such mailbox; 409: the new name has one | no: 403 |
//! | `POST /api/v1/stop` | 202; the engine drains and ends | no: 403 |
//!
//! Every order but a dry run is written down in `DATA/audit.log` first, else refused (507). Those whose body
//! has no place for it take `?reason=TEXT&by=NAME`.
//!
//! By TCP orders and suspensions are shown without their operators, reasons and addresses, but to operators who
//! have logged in.
//!
//! HEAD is answered like GET. By TCP only names of ours are answered: 421 for others. Where
//! `admin.token_file` is set, `/login`, `/metrics`, `/healthz`, `/readyz` and the files of the page are all that
//! TCP gets without a session: 401, and of browsers the login.
//!
//! Errors are `{"error": "..."}`.

use std::{sync::Arc, time::Duration};

use actix_web::{
    Error, HttpRequest, HttpResponse, Route, guard as guards,
    http::{
        StatusCode,
        header::{Accept, CONTENT_TYPE, Header, Quality},
    },
    mime::{self, Mime},
    web::{
        self, Bytes, Data, Json, JsonConfig, Path, PayloadConfig, Query, QueryConfig, ServiceConfig,
    },
};
use relais_actors::metrics::{ChannelCounters, Format};
use relais_channels::mail::MessageId;
use serde::Deserialize;

use super::{
    AccessQuestion, Console, MappingQuestion, RouteQuestion, RoutesQuestion, StageQuestion,
    content,
    discreet::Discreet,
    guard::Owner,
    http_error::{HttpError, message_id},
    listing,
    live::{Streams, Viewer},
    orders,
    page::{self, Visitor},
    patience::{ADDING_UP, in_time, within},
};
use crate::{
    api::{
        AccessExplained, AuditEntry, AuditFilter, CertificateShown, HistoryLine, HostSuspended,
        LimitShown, MailboxFilter, MappingExplained, OrdersListed, QueueFilter, QueueSummary,
        QueuedMessage, RouteExplained, Series, SeriesAsked, StageExplained, Status, TraceAnswer,
        TraceQuestion, Why,
    },
    show,
    state::audit::AuditLog,
};

/// Puts every page in its place.
pub(super) fn configure<C: Console>(app: &mut ServiceConfig, console: C, streams: Streams) {
    let wrong_query = QueryConfig::default()
        .error_handler(|error, _| HttpError::new(StatusCode::BAD_REQUEST, error).into());
    let wrong_body = JsonConfig::default()
        .error_handler(|error, _| HttpError::new(StatusCode::BAD_REQUEST, error).into());
    app.app_data(Data::new(console))
        .app_data(Data::new(streams))
        .app_data(PayloadConfig::new(MAX_REQUEST))
        .app_data(wrong_query)
        .app_data(wrong_body)
        .route("/", get().to(root::<C>))
        .route("/metrics", get().to(metrics::<C>))
        .route("/healthz", get().to(async || "alive\n"))
        .route("/readyz", get().to(ready::<C>))
        .route("/api/v1/status", get().to(status::<C>))
        .route("/api/v1/overview", get().to(glance::<C>))
        .route("/api/v1/series", get().to(series::<C>))
        .route("/api/v1/live", web::get().to(live::<C>))
        .route("/api/v1/counters", get().to(counters::<C>))
        .route("/api/v1/certificates", get().to(certificates::<C>))
        .route("/api/v1/audit", get().to(orders_given))
        .route("/api/v1/queue", get().to(queue_list::<C>))
        .route("/api/v1/queue/summary", get().to(queue_summary::<C>))
        .route("/api/v1/queue/orders", web::post().to(orders::queue_order::<C>))
        .route("/api/v1/queue/{id}", get().to(queue_show::<C>))
        .route("/api/v1/queue/{id}/content", get().to(queue_content::<C>))
        .route("/api/v1/queue/{id}/why", get().to(queue_why::<C>))
        .route("/api/v1/queue/{id}/history", get().to(queue_history::<C>))
        .route("/api/v1/trace", get().to(trace::<C>))
        .route("/api/v1/trace/forget", web::post().to(orders::forget::<C>))
        .route("/api/v1/channels/{name}/stop", web::post().to(orders::channel_stop::<C>))
        .route("/api/v1/channels/{name}/start", web::post().to(orders::channel_start::<C>))
        .route("/api/v1/orders", get().to(standing_orders::<C>))
        .route("/api/v1/orders", web::post().to(orders::add_order::<C>))
        .route("/api/v1/orders/{id}/remove", web::post().to(orders::remove_order::<C>))
        .route("/api/v1/hosts", get().to(hosts::<C>))
        .route("/api/v1/hosts/suspend", web::post().to(orders::host_suspend::<C>))
        .route("/api/v1/hosts/resume", web::post().to(orders::host_resume::<C>))
        .route("/api/v1/configuration", get().to(configuration::<C>))
        .route("/api/v1/limits", get().to(show_limits::<C>))
        .route("/api/v1/limits", web::post().to(orders::set_limit::<C>))
        .route("/api/v1/mailboxes", get().to(mailboxes::<C>))
        .route("/api/v1/mailboxes", web::post().to(orders::mailbox_order::<C>))
        .route("/api/v1/reload", web::post().to(orders::reload::<C>))
        .route("/api/v1/parts", web::post().to(orders::order_parts::<C>))
        .route("/api/v1/access", get().to(access::<C>))
        .route("/api/v1/mapping", get().to(mapping::<C>))
        .route("/api/v1/test", get().to(stage::<C>))
        .route("/api/v1/route", get().to(route::<C>))
        .route("/api/v1/routes", web::post().to(routes::<C>))
        .service(web::resource("/api/v1/stop").route(web::post().to(orders::stop::<C>)))
        .configure(page::configure::<C>)
        .default_service(web::to(nothing));
}

/// For GET, and for HEAD, which gets the same answer without its body.
fn get() -> Route {
    web::route().guard(guards::Any(guards::Get()).or(guards::Head()))
}

/// Of a browser the page; of all others plain text.
async fn root<C: Console>(
    request: HttpRequest,
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Error> {
    let wants_page = Accept::parse(&request).is_ok_and(|accept| {
        accept.iter().any(|item| item.item == mime::TEXT_HTML && item.quality > Quality::ZERO)
    });
    if wants_page {
        let asked = Query::<SeriesAsked>::from_query(request.query_string());
        let asked = asked.map(Query::into_inner).unwrap_or_default();
        return Ok(page::overview(&**console, &visitor, asked).await?);
    }
    Ok(overview(&visitor, console).await?)
}

async fn overview<C: Console>(
    visitor: &Visitor,
    console: Data<C>,
) -> Result<HttpResponse, HttpError> {
    let status = in_time(console.status()).await?.for_reader(visitor.is_operator());
    // It costs a look at every entry, and this is a page that is reloaded again and again.
    let summary = if status.queue.stored <= SUMMED_UP {
        Some(in_time(console.queue_summary()).await?)
    } else {
        None
    };
    let page = show::overview(&status, summary.as_ref(), console.ready().err().as_deref());
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(page))
}

async fn metrics<C: Console>(request: HttpRequest, console: Data<C>) -> HttpResponse {
    let format = format_for(&request);
    let page = console.metrics_page(format).await;
    HttpResponse::Ok().insert_header((CONTENT_TYPE, format.content_type())).body(page)
}

/// The first of the formats that a scraper asks for and that is there; text for all who do not ask.
fn format_for(request: &HttpRequest) -> Format {
    let Ok(mut accept) = Accept::parse(request) else { return Format::default() };
    // Formats of quality 0 are not wanted at all.
    accept.0.retain(|item| item.quality > Quality::ZERO);
    let format = |kind: Mime| match (kind.type_().as_str(), kind.subtype().as_str()) {
        ("application", "openmetrics-text") => {
            let version = kind.get_param("version").map(|version| version.as_str().to_owned());
            let known = version.is_none_or(|version| matches!(&*version, "1.0.0" | "0.0.1"));
            known.then_some(Format::OpenMetrics)
        }
        ("text" | "*", "plain" | "*") => Some(Format::Text),
        _ => None,
    };
    accept.ranked().into_iter().find_map(format).unwrap_or_default()
}

async fn ready<C: Console>(console: Data<C>) -> HttpResponse {
    match console.ready() {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(why) => HttpResponse::ServiceUnavailable().body(why + "\n"),
    }
}

async fn status<C: Console>(visitor: Visitor, console: Data<C>) -> Result<Json<Status>, HttpError> {
    Ok(Json(in_time(console.status()).await?.for_reader(visitor.is_operator())))
}

async fn glance<C: Console>(visitor: Visitor, console: Data<C>) -> Result<HttpResponse, HttpError> {
    let overview = Arc::unwrap_or_clone(in_time(console.overview()).await?);
    Ok(HttpResponse::Ok().json(overview.for_reader(visitor.is_operator())))
}

async fn series<C: Console>(
    console: Data<C>,
    asked: Query<SeriesAsked>,
) -> Result<Json<Series>, HttpError> {
    Ok(Json(console.series(asked.into_inner())?))
}

async fn live<C: Console>(
    request: HttpRequest,
    visitor: Visitor,
    console: Data<C>,
    streams: Data<Streams>,
) -> Result<HttpResponse, HttpError> {
    let is_operator = visitor.is_operator();
    let stays = Box::new(move || page::visitor_of(&request) == visitor);
    Ok(streams.respond(C::clone(&console), Viewer { is_operator, stays })?)
}

async fn counters<C: Console>(console: Data<C>) -> Result<Json<ChannelCounters>, HttpError> {
    Ok(Json(in_time(console.counters()).await?))
}

async fn certificates<C: Console>(
    console: Data<C>,
) -> Result<Json<Vec<CertificateShown>>, HttpError> {
    Ok(Json(console.certificates()?))
}

/// Orders of others are nobody's business who may not act for the engine's user.
async fn orders_given(
    _: Owner,
    log: Data<AuditLog>,
    filter: Query<AuditFilter>,
) -> Result<Json<Vec<AuditEntry>>, HttpError> {
    let filter = filter.into_inner();
    let limit = Some(filter.limit.unwrap_or(MOST_AUDITED).min(MOST_AUDITED));
    let filter = AuditFilter { limit, ..filter };
    let wrong = |error| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, error);
    let read = web::block(move || log.read(&filter))
        .await
        .map_err(|error| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    Ok(Json(read.map_err(wrong)?))
}

async fn queue_list<C: Console>(
    visitor: Visitor,
    console: Data<C>,
    streams: Data<Streams>,
    filter: Query<QueueFilter>,
) -> Result<HttpResponse, HttpError> {
    console.check(&filter)?;
    let place = streams.listing(visitor.is_operator())?;
    Ok(listing::respond(C::clone(&console), filter.into_inner(), place).await?)
}

async fn queue_summary<C: Console>(console: Data<C>) -> Result<Json<QueueSummary>, HttpError> {
    Ok(Json(within(ADDING_UP, console.queue_summary()).await?))
}

async fn queue_show<C: Console>(
    console: Data<C>,
    id: Path<String>,
) -> Result<Json<QueuedMessage>, HttpError> {
    let id = message_id(&id)?;
    in_time(console.queue_show(id)).await?.map(Json).ok_or_else(|| unknown(id))
}

/// Other people's letters are nobody's business who may not act for the engine's user.
async fn queue_content<C: Console>(
    _: Owner,
    console: Data<C>,
    id: Path<String>,
) -> Result<HttpResponse, HttpError> {
    let id = message_id(&id)?;
    let content = in_time(console.queue_content(id)).await?.ok_or_else(|| unknown(id))?;
    Ok(content::respond(content).await?)
}

async fn queue_why<C: Console>(
    visitor: Visitor,
    console: Data<C>,
    id: Path<String>,
) -> Result<Json<Vec<Why>>, HttpError> {
    let id = message_id(&id)?;
    let why = in_time(console.queue_why(id)).await?.for_reader(visitor.is_operator());
    if why.is_empty() { Err(unknown(id)) } else { Ok(Json(why)) }
}

async fn queue_history<C: Console>(
    visitor: Visitor,
    console: Data<C>,
    id: Path<String>,
) -> Result<Json<Vec<HistoryLine>>, HttpError> {
    let id = message_id(&id)?;
    let history = in_time(console.queue_history(id)).await?.for_reader(visitor.is_operator());
    history.map(Json).ok_or_else(|| unknown(id))
}

/// The mail of others is nobody's business who may not act for the engine's user.
async fn trace<C: Console>(
    _: Owner,
    console: Data<C>,
    question: Query<TraceQuestion>,
) -> Result<Json<TraceAnswer>, HttpError> {
    Ok(Json(within(TRACING, console.trace(question.into_inner())).await??))
}

async fn hosts<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<Json<Vec<HostSuspended>>, HttpError> {
    Ok(Json(in_time(console.suspended_hosts()).await?.for_reader(visitor.is_operator())))
}

async fn standing_orders<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<Json<OrdersListed>, HttpError> {
    Ok(Json(in_time(console.standing_orders()).await?.for_reader(visitor.is_operator())))
}

/// Which limit is asked about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichLimit {
    key: Option<String>,
}

/// Paths of passwords and keys stand in it: it is for the owner of the engine.
async fn configuration<C: Console>(_: Owner, console: Data<C>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "ron": console.configuration() }))
}

async fn show_limits<C: Console>(
    console: Data<C>,
    which: Query<WhichLimit>,
) -> Result<Json<Vec<LimitShown>>, HttpError> {
    Ok(Json(in_time(console.show_limits(which.key.as_deref())).await??))
}

fn unknown(id: MessageId) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("no message {id} in the queue"))
}

async fn route<C: Console>(
    owner: Option<Owner>,
    visitor: Visitor,
    console: Data<C>,
    question: Query<RouteQuestion>,
) -> Result<Json<RouteExplained>, HttpError> {
    if question.scripts && owner.is_none() {
        let words = "scripts of users are shown through DATA/admin.sock only".to_owned();
        return Err(HttpError::new(StatusCode::FORBIDDEN, words));
    }
    let explained = in_time(console.explain_route(question.into_inner())).await??;
    Ok(Json(explained.for_reader(visitor.is_operator())))
}

async fn routes<C: Console>(
    _: Owner,
    console: Data<C>,
    asked: Json<RoutesQuestion>,
) -> Result<HttpResponse, HttpError> {
    let questions = asked.into_inner().questions;
    if questions.len() > MAX_ROUTES {
        let many = format!("more than {MAX_ROUTES} addresses in one question");
        return Err(HttpError::new(StatusCode::BAD_REQUEST, many));
    }
    let lines = within(ADDING_UP, console.explain_routes(questions)).await?;
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").body(Bytes::from(lines)))
}

/// Names of users are nobody's business who may not act for the engine's user.
async fn mailboxes<C: Console>(
    _: Owner,
    console: Data<C>,
    filter: Query<MailboxFilter>,
) -> Result<HttpResponse, HttpError> {
    let pieces = in_time(console.mailbox_list(filter.into_inner())).await?;
    Ok(listing::pass_on(pieces))
}

async fn access<C: Console>(
    console: Data<C>,
    question: Query<AccessQuestion>,
) -> Result<Json<AccessExplained>, HttpError> {
    Ok(Json(in_time(console.test_access(question.into_inner())).await??))
}

/// Not by TCP: a URL shows whatever the engine may read in the directory.
async fn stage<C: Console>(
    _: Owner,
    console: Data<C>,
    question: Query<StageQuestion>,
) -> Result<Json<StageExplained>, HttpError> {
    Ok(Json(in_time(console.probe_stage(question.into_inner())).await??))
}

async fn mapping<C: Console>(
    console: Data<C>,
    question: Query<MappingQuestion>,
) -> Result<Json<MappingExplained>, HttpError> {
    Ok(Json(in_time(console.explain_mapping(question.into_inner())).await??))
}

async fn nothing() -> Result<HttpResponse, HttpError> {
    Err(HttpError::new(StatusCode::NOT_FOUND, "no such page; GET / names those that there are"))
}

/// Orders of operators shown at once, by default and at most.
const MOST_AUDITED: usize = 1_000;
/// Addresses of which routes are asked for at once.
const MAX_ROUTES: usize = 1_000;
/// Octets of a request's body.
const MAX_REQUEST: usize = 64 << 10;
/// For a look into the history, here and at the stores.
const TRACING: Duration = Duration::from_secs(60);
/// Entries that the overview adds up each time it is looked at.
const SUMMED_UP: u64 = 100_000;
