//! Orders by forms: a preview that says how many messages are meant, and then what was done.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    body::BodyStream,
    http::StatusCode,
    web::{self, Bytes, Data, Form},
};
use futures_util::stream::{self, StreamExt};
use maud::{Markup, html};

use super::{
    gate::check,
    layout::{Trouble, View, respond},
    order_form::{FormFields, PageOrder},
    orders,
    parts::{foreign, grouped},
    visitor::{FIELD, Pass, Visitor},
};
use crate::{
    admin::{
        Answer, Console, Nonsense, Ordered,
        audited::Operator,
        http_error::HttpError,
        patience::{in_time, within},
        queue_work::{ORDERED, QueueWork},
    },
    api::{
        HostOrdered, LimitSet, OrderKind, OrderProgress, OrderShown, PartsOrdered, QueueFilter,
        QueueOrder,
    },
    show::{self, Look},
    state::audit::AuditLog,
};

/// The answer to a form.
pub(super) async fn order<C: Console>(
    pass: Pass,
    console: Data<C>,
    log: Data<AuditLog>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<HttpResponse, Trouble> {
    let fields = FormFields(fields);
    check(&pass, fields.one(FIELD))?;
    let nonsense = |words| Trouble::new(StatusCode::BAD_REQUEST, words);
    let giver = pass.giver;
    let by = web::block(move || giver.who().name()).await;
    let by = by.unwrap_or_else(|_| pass.who.clone());
    let asked = PageOrder::read(&fields, &by).map_err(nonsense)?;
    if let PageOrder::Queue(order) = &asked {
        console.check(&order.filter)?;
    }
    let visitor = Visitor::Operator(pass);
    if asked.asks_first() && fields.one("confirmed") != Some("yes") {
        let body = preview(&**console, &asked, &fields).await?;
        return Ok(View { title: "Preview", place: "", visitor: &visitor }.answer(&body));
    }
    let (operator, ordered) = (Operator::new(giver, log), ordered(&asked));
    let view = View { title: "Order", place: "", visitor: &visitor };
    match asked {
        PageOrder::Queue(order) => {
            let audited = Some(operator.begin(ordered).await?);
            Ok(watched(QueueWork::new(C::clone(&console), order, audited), &view))
        }
        other => {
            let done = operator.carry_out(ordered, carry_out(&**console, &other)).await?;
            Ok(view.answer(&html! { p .good role="status" { (foreign(&done)) } (back()) }))
        }
    }
}

/// The order, as it is written down.
fn ordered(asked: &PageOrder) -> Ordered {
    match asked {
        PageOrder::Queue(order) => Ordered::of_queue(order),
        PageOrder::Suspend(order) => Ordered::of_suspension(order),
        PageOrder::Resume(order) => Ordered::new("host resume", order),
        PageOrder::Channel { name, stop } => Ordered::of_channel(name, *stop),
        PageOrder::Part(order) => Ordered::new(order.order.name(), order),
        PageOrder::Limit(order) => Ordered::new("set", order),
        PageOrder::Stand(new) => Ordered::of_new(new),
        PageOrder::Remove { id, release } => Ordered::of_removal(*id, *release),
    }
}

/// The effect that it would have, and a form that has it done.
async fn preview<C: Console>(
    console: &C,
    asked: &PageOrder,
    fields: &FormFields,
) -> Result<Markup, Trouble> {
    let (words, listing, up_to) = match asked {
        PageOrder::Queue(order) => {
            let would = count(console, QueueOrder::clone(order)).await?;
            if would.reached() == 0 && would.ended {
                let said = show::order(order.kind, true, &would);
                return Ok(html! { p .empty { (foreign(&said)) "." } (unknown(&would)) (back()) });
            }
            let question = show::question(order.kind, &would);
            (at_least(&would, question), first(order.kind, &would), would.last)
        }
        PageOrder::Stand(new) => {
            let would = within(ORDERED, console.preview_order(new)).await??;
            let first = first(orders::listed_as(new.kind), &would);
            (orders::question(asked, new, &would), first, None)
        }
        PageOrder::Remove { id, release } => {
            let listed = in_time(console.standing_orders()).await?;
            let its = listed.orders.iter().find(|its| its.order.id == *id);
            let order = &its.ok_or_else(|| missing(*id))?.order;
            let then = show::after_removal(order.kind, *release || order.release);
            let (kind, mail) = (order.kind.name(), &order.criteria);
            (format!("{asked}: {kind} of mail {mail}? Then {then}."), html! {}, None)
        }
        other => (kept_back(console, other).await?, html! {}, None),
    };
    Ok(html! {
        p .fair role="status" { (foreign(&words)) }
        (listing)
        form method="post" action="/order" .inline id="confirm" {
            @for (name, value) in fields.0.iter().filter(|(name, _)| name != "up_to") {
                input type="hidden" name=(name) value=(value);
            }
            @if let Some(up_to) = up_to { input type="hidden" name="up_to" value=(up_to); }
            input type="hidden" name="confirmed" value="yes";
            button .main autofocus { "Do it" }
            a .button href=(asked.place()) { "Leave it" }
        }
    })
}

/// Carries it out without doing anything, as far as there is time.
async fn count<C: Console>(console: &C, order: QueueOrder) -> Answer<OrderProgress> {
    let order = QueueOrder { dry_run: true, ..order };
    let start = Instant::now();
    let mut at = None;
    loop {
        let (progress, next) = within(ORDERED, console.queue_order(&order, at)).await?;
        if next.is_none() || start.elapsed() > COUNTED {
            return Ok(progress);
        }
        at = next;
    }
}

fn at_least(would: &OrderProgress, question: String) -> String {
    if would.ended {
        return question;
    }
    let (seen, of) = (grouped(would.seen), grouped(would.of));
    format!("{question} These are those of the first {seen} of {of} entries; there may be more.")
}

/// The first of those that are meant.
fn first(kind: OrderKind, would: &OrderProgress) -> Markup {
    let text = match kind {
        OrderKind::Reroute => show::rerouted(&would.rerouted, Look::PLAIN),
        _ => show::Listing::new(Look::PLAIN).page(&would.first).to_owned(),
    };
    html! {
        @if !text.is_empty() { div .scroll tabindex="0" role="region" aria-label="The first of them" {
            pre { (text) }
        } }
        (unknown(would))
    }
}

fn unknown(would: &OrderProgress) -> Markup {
    html! { @for id in &would.unknown { p .fair { "There is no message " (foreign(id)) " in the queue." } } }
}

async fn kept_back<C: Console>(console: &C, asked: &PageOrder) -> Result<String, Trouble> {
    let mut words = format!("{asked}?");
    if let Some(filter) = asked.keeps_back() {
        console.check(&filter)?;
        let would = count(console, holding(filter)).await?;
        let least = if would.ended { "" } else { "at least " };
        let entries = grouped(would.reached() + would.idle);
        // Writing to a string cannot fail.
        let _ = write!(
            words,
            " {least}{entries} entries of the queue wait for it now, and would stay."
        );
    }
    Ok(words)
}

/// An order that is only counted.
fn holding(filter: QueueFilter) -> QueueOrder {
    QueueOrder {
        kind: OrderKind::Hold,
        ids: Vec::new(),
        filter,
        dry_run: true,
        by: String::new(),
        reason: String::new(),
        up_to: None,
        standing: None,
    }
}

/// Carries out what is no order for the queue; what was done, in words.
async fn carry_out<C: Console>(console: &C, asked: &PageOrder) -> Result<String, HttpError> {
    let shown = |value: Option<_>| value.map_or("no limit".to_owned(), |it| format!("{it}"));
    Ok(match asked {
        PageOrder::Queue(_) => {
            return Err(Nonsense("this is an order for the queue".to_owned()).into());
        }
        PageOrder::Suspend(order) => {
            let HostOrdered { host, until, goes_on, .. } =
                in_time(console.suspend_host(order)).await??;
            let until = until.map(|until| until.to_string()).unwrap_or_default();
            let mut words = format!("Mail for {host} waits until {until}.");
            for its in goes_on {
                let _ = write!(words, " What leaves by {} to {} goes on.", its.channel, its.host);
            }
            words
        }
        PageOrder::Resume(order) => {
            let done = in_time(console.resume_host(order)).await??;
            format!("Mail for {} goes again.", done.host)
        }
        PageOrder::Channel { name, stop } => {
            let was = in_time(console.freeze_channel(name, *stop)).await??;
            let state = if *stop { "stopped" } else { "started" };
            let already = if was.was_stopped == *stop { " It was so already." } else { "" };
            format!("Channel {name} is {state}.{already}")
        }
        PageOrder::Part(order) => parts(&in_time(console.order_parts(order)).await??),
        PageOrder::Limit(order) => {
            let LimitSet { key, was, now, after_restart, line } =
                in_time(console.set_limit(order)).await??;
            let (was, now) = (shown(was), shown(now));
            let then = shown(after_restart);
            format!("{key}: {was} before, {now} now, {then} after a restart. {line}")
        }
        PageOrder::Stand(new) => {
            format!("{}.", show::added(&in_time(console.add_order(new)).await??))
        }
        PageOrder::Remove { id, release } => {
            let removed = in_time(console.remove_order(*id, *release)).await??;
            let OrderShown { order, .. } = removed.ok_or_else(|| missing(*id))?;
            format!("order {id} ends: {}.", show::after_removal(order.kind, order.release))
        }
    })
}

fn missing(id: u64) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("no order {id} stands"))
}

fn parts(done: &PartsOrdered) -> String {
    let all = done.services.iter().chain(&done.job_controller);
    let words = all.map(|its| {
        let ending = match its.workers {
            0 => String::new(),
            workers => format!("; {workers} workers end with their last session"),
        };
        format!("{} was {} and is {}{ending}.", its.name, its.before, its.now)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Carries out an order for the queue, and tells how far it is while it goes on. A browser that goes away
/// ends it where it is.
fn watched<C: Console>(work: QueueWork<C>, view: &View<'_>) -> HttpResponse {
    let (before, behind) = view.halves();
    let pieces = stream::unfold(Some((work, Instant::now())), async |state| {
        let (mut work, mut told) = state?;
        let (piece, goes_on) = told_of(&mut work, &mut told).await;
        Some((piece, goes_on.then_some((work, told))))
    });
    let pieces = stream::iter([before]).chain(pieces).chain(stream::iter([behind]));
    respond(StatusCode::OK, BodyStream::new(pieces.map(|piece| Answer::Ok(Bytes::from(piece)))))
}

/// The next piece of the answer, and whether there is more. No piece is empty: it would end the answer.
async fn told_of<C: Console>(work: &mut QueueWork<C>, told: &mut Instant) -> (String, bool) {
    let progress = match work.advance().await {
        Ok(progress) => progress.unwrap_or_default(),
        Err(error) => {
            let words = format!("It broke off: {error}");
            return (html! { p .bad role="alert" { (foreign(&words)) } }.into_string(), false);
        }
    };
    if !progress.ended {
        if told.elapsed() < TOLD {
            return ("\n".to_owned(), true);
        }
        *told = Instant::now();
        let (seen, of) = (grouped(progress.seen), grouped(progress.of));
        return (html! { p { (seen) " of " (of) } }.into_string(), true);
    }
    let kind = work.order().kind;
    let said = show::order(kind, false, &progress);
    let rerouted = show::rerouted(&progress.rerouted, Look::PLAIN);
    let last = html! {
        p .good role="status" { (foreign(&said)) "." }
        @if kind == OrderKind::Reroute && !progress.rerouted.is_empty() {
            pre { (rerouted) }
        }
        (unknown(&progress))
        (back())
    };
    (last.into_string(), false)
}

fn back() -> Markup {
    html! {
        p .inline {
            a .button href="/queue" { "Queue" } a .button href="/hosts" { "Hosts" }
            a .button href="/channels" { "Channels" } a .button href="/orders" { "Orders" }
        }
    }
}

/// For a preview to count.
const COUNTED: Duration = Duration::from_secs(3);
/// How often a long order tells how far it is.
const TOLD: Duration = Duration::from_secs(1);
