//! Why a message is where it is.

use std::sync::Arc;

use relais_actors::{
    defragment::{DescribePiece, Waits},
    ids::{ConnectionId, Destination},
    job_controller::{DestinationExplained, ExplainDestination, Limited, suspension::Suspension},
    notary::has_nowhere_to_go,
    queue::{DescribeQueue, ListEntries, ListedEntry, OrderKind, QueueDescription, is_own_reason},
    router::{Question, Route},
    timestamp::Timestamp,
};
use relais_channels::mail::{Address, MessageId};
use relais_config::{Channel, channel::Program};
use relais_storage::{EntryState, ScannedEntry, open_recipients};

use super::{
    entries::after,
    foreseen_tls::foreseen_of_entry,
    hosts::{of_host_order, of_limit},
    ordered_by,
    parts::{Parts, gone, unavailable},
    reasons::hold_reason,
    untold::is_anybody_told,
};
use crate::{
    admin::Answer,
    api::{self, GuardedText, Why},
    show::Span,
};

/// Why each entry of a message does not move. Empty: there is no such message.
pub(super) async fn why(parts: &Parts, id: MessageId) -> Answer<Vec<Why>> {
    let found = parts.storage.find(id).await.map_err(unavailable)?;
    let listed = parts.queue.ask(ListEntries(found)).await.map_err(gone)?;
    let queue = parts.queue.ask(DescribeQueue).await.map_err(gone)?;
    let mut accounts = Vec::new();
    for entry in listed {
        let Explanation { waits_for, limit, since, order, mut text } =
            account(parts, &entry, &queue).await?;
        if let Some(ordered) = entry.ordered.filter(|_| !entry.aside) {
            let done = api::OrderKind::from(ordered).would_be();
            text.push(&format!(
                " It is to be {done} as soon as its job gives it back; `relais queue release {id}` \
                 withdraws that."
            ));
        }
        if let Some(way) = on_its_way(parts, &entry.scanned) {
            text.push(&format!(" {way}"));
        }
        if let Some(other) = other_route(parts, &entry.scanned).await {
            text.push(&format!(" {other}"));
        }
        accounts.push(Why {
            channel: entry.scanned.channel.to_string(),
            host: entry.scanned.host.to_string(),
            waits_for: waits_for.to_owned(),
            limit: limit.map(str::to_owned),
            since,
            order,
            text,
        });
    }
    Ok(accounts)
}

/// Why an entry does not move.
#[derive(Debug)]
struct Explanation {
    waits_for: &'static str,
    limit: Option<&'static str>,
    since: Option<Timestamp>,
    order: Option<u64>,
    text: GuardedText,
}

impl Explanation {
    /// One that all may read.
    fn of_engine(waits_for: &'static str, text: String) -> Self {
        Self::of(waits_for, GuardedText::of_engine(text))
    }

    /// One that tells of an operator's order, and what others read in its place.
    fn of_operator(waits_for: &'static str, text: String, for_all: &str) -> Self {
        Self::of(waits_for, GuardedText::of_operator(text, for_all))
    }

    fn of(waits_for: &'static str, text: GuardedText) -> Self {
        Self { waits_for, limit: None, since: None, order: None, text }
    }
}

/// The part that an operator stopped, so that nothing leaves by the channel.
fn of_stopped(explained: &DestinationExplained, channel: &str) -> Option<String> {
    if explained.halted {
        let start = "`relais start job_controller`";
        return Some(format!("The job controller is stopped: nothing leaves until {start}."));
    }
    explained.frozen.then(|| {
        let start = format!("`relais channel start {channel}`");
        format!("Channel {channel} is stopped: nothing leaves by it until {start}.")
    })
}

async fn account(
    parts: &Parts,
    listed: &ListedEntry,
    queue: &QueueDescription,
) -> Answer<Explanation> {
    let ListedEntry { scanned, tracked, connection, .. } = listed;
    let tried = so_far(parts, scanned).await;
    let Some(channel) = parts.channels.find(&scanned.channel) else {
        let text = format!(
            "The configuration has no channel {} any more: nobody delivers it until there is one \
             again; until then it can be deleted and nothing else. {tried}",
            scanned.channel
        );
        return Ok(Explanation::of_engine("no_program", text));
    };
    if let Some(account) = kept_from_jobs(parts, listed, &tried).await {
        return Ok(account);
    }
    if *tracked != Some("active")
        && let Some(its) = ordered_by::of_entry(parts, scanned).await
    {
        let text = format!("{} {tried}", ordered_by::why(&its.order));
        let for_all = format!("An order of an operator keeps it. {tried}");
        let ordered = Explanation::of_operator("ordered", text, &for_all);
        return Ok(Explanation { order: Some(its.order.id), ..ordered });
    }
    let destination = Destination { channel, host: scanned.host.clone() };
    let explained = parts.controller.ask(ExplainDestination(destination)).await.map_err(gone)?;
    let now = Timestamp::now();
    let due = match scanned.state {
        EntryState::Waiting { due, .. } if due > now.0 => Some(Timestamp(due)),
        _ => None,
    };
    let (host, name) = (&scanned.host, &scanned.channel);
    if *tracked == Some("active") {
        return Ok(in_hand(parts, *connection, host, &tried));
    }
    if let Some(stopped) = of_stopped(&explained, name) {
        return Ok(Explanation::of_engine("stopped", format!("{stopped} {tried}")));
    }
    let channel = parts.channels.channel(channel);
    if let Some(kept) = kept_by_host((channel, scanned), &explained, due, &tried) {
        return Ok(kept);
    }
    if let Some(due) = due {
        let text = format!(
            "It is tried again at {due}, as the backoff of channel {name} says; `relais queue \
             retry {}` tries it now. {tried}",
            scanned.id
        );
        return Ok(Explanation::of_engine("due", text));
    }
    if let Some(paused) = queue.paused {
        let words = paused.words();
        let text = format!("It could go, but no message is handed to a job now: {words}. {tried}");
        return Ok(Explanation::of_engine("paused", text));
    }
    if tracked.is_none() {
        let text = format!(
            "Memory has as many messages as max_messages allows, or enough of this host's, and this \
             one is only on the disk: it is fetched as soon as there is room (`relais set max_messages \
             {}` lets twice as many in). {tried}",
            queue.max_messages * 2
        );
        return Ok(Explanation {
            limit: Some("max_messages"),
            ..Explanation::of_engine("beyond_memory", text)
        });
    }
    Ok(in_line(&explained, host, name, &tried))
}

/// Why its host keeps an entry: an operator's order, trouble, or a limit.
fn kept_by_host(
    (channel, scanned): (&Channel, &ScannedEntry),
    explained: &DestinationExplained,
    due: Option<Timestamp>,
    tried: &str,
) -> Option<Explanation> {
    let (host, name) = (&scanned.host, &scanned.channel);
    if let Some(order) = &explained.order {
        let text = format!("{} {tried}", of_host_order(order));
        let for_all = format!("An operator has suspended its host. {tried}");
        return Some(Explanation::of_operator("host_suspended", text, &for_all));
    }
    if let Some(suspension) = &explained.standing.suspension {
        let rests = suspension.until > tokio::time::Instant::now();
        let full = explained.job_limit_reached() || explained.maxjobs_reached();
        if !rests && full && explained.standing.connections == 0 {
            return Some(in_line(explained, host, name, tried));
        }
        let text =
            format!("{} {tried}", of_suspended(channel.program, host, suspension, scanned.id));
        return Some(Explanation::of_engine("suspended", text));
    }
    let rest = explained.rest.as_ref().filter(|_| due.is_none())?;
    let (limit, why) = of_limit(channel, host, rest);
    let text = format!("It is ready, but {why} {tried}");
    Some(Explanation { limit: Some(limit), ..Explanation::of_engine("limited", text) })
}

/// Why no job may have it, whatever its channel does.
async fn kept_from_jobs(parts: &Parts, listed: &ListedEntry, tried: &str) -> Option<Explanation> {
    let ListedEntry { scanned, aside, ordered, .. } = listed;
    if let EntryState::Owing { open, .. } = scanned.state {
        let text = format!(
            "{} It stays until the notice of that is safe, which its sender asked for. {tried}",
            if open == 0 { "It is delivered." } else { "Some of its recipients have it." },
        );
        return Some(Explanation::of_engine("notice", text));
    }
    if *aside && *ordered == Some(OrderKind::Return) {
        let what = if is_anybody_told(parts, scanned).await {
            "An operator returns it: it goes as soon as its sender's notice is safe."
        } else {
            "An operator returns it, and nobody can be told: it goes in a moment."
        };
        let text = format!("{what} {tried}");
        return Some(Explanation::of_engine("notice", text));
    }
    if *aside {
        let text = format!(
            "Its sender is being told what became of it, or an order about it is being carried \
             out: no job gets it before that is done. {tried}"
        );
        return Some(Explanation::of_engine("notice", text));
    }
    if matches!(scanned.state, EntryState::Held { .. }) {
        return Some(why_held(parts, scanned, tried).await);
    }
    None
}

/// How often it was tried, and what came of it.
async fn so_far(parts: &Parts, scanned: &ScannedEntry) -> String {
    let last = last_reply(parts, scanned).await;
    match (scanned.state.attempts(), last) {
        (0, _) => match foreseen_of_entry(parts, scanned).await {
            Some(tls) => format!("It has not been tried yet. {tls}"),
            None => "It has not been tried yet.".to_owned(),
        },
        (attempts, None) => format!("It has been tried {}.", times(attempts)),
        (attempts, Some(reply)) => {
            format!("It has been tried {}; the last answer was: {reply}.", times(attempts))
        }
    }
}

/// Why nothing leaves for a host in trouble.
fn of_suspended(program: Program, host: &str, suspension: &Suspension, id: MessageId) -> String {
    let ails = if program == Program::Pipe {
        return of_program(host, suspension, id);
    } else if suspension.reply.text.to_ascii_uppercase().contains("STARTTLS") {
        "wants TLS before it takes mail: `tls: (client: May)` of the channel does, or `Must`. It"
    } else if suspension.reply.wants_login() {
        "wants relais to log in before it takes mail: `sasl: (client: Must, credentials: \"FILE\")` \
         of the channel does, or let that server trust this host (Cyrus: `lmtpd -a`, or its UNIX \
         socket). It"
    } else if matches!(suspension.reply.code, 430 | 452) {
        "answers, but takes no mail now. It"
    } else {
        "could not be talked to. It"
    };
    let probed = if suspension.until > tokio::time::Instant::now() {
        format!(
            "left alone until {}, then it is probed (`relais queue retry {id}` probes it now)",
            after(suspension.until)
        )
    } else {
        "being probed".to_owned()
    };
    format!(
        "{host} {ails} is {probed}; all mail for it goes as soon as it takes mail. It, or we in its \
         place, said: {}.",
        suspension.reply
    )
}

/// Why nothing is handed to a program that cannot be run.
fn of_program(program: &str, suspension: &Suspension, id: MessageId) -> String {
    let again = if suspension.until > tokio::time::Instant::now() {
        format!(
            "tried again at {} (`relais queue retry {id}` tries it now)",
            after(suspension.until)
        )
    } else {
        "being tried".to_owned()
    };
    format!(
        "The program {program} of `programs` could not be run and is {again}; all mail for it goes as \
         soon as it can. The reason: {}.",
        suspension.reply
    )
}

/// A job has it: what it waits for.
fn in_hand(
    parts: &Parts,
    connection: Option<(ConnectionId, bool)>,
    host: &str,
    tried: &str,
) -> Explanation {
    let Some((connection, behind)) = connection else {
        let text = format!("Its attempt has ended, and what came of it is being written. {tried}");
        return Explanation::of_engine("active", text);
    };
    let Some((waits_for, since)) = parts.progress.of(connection) else {
        return Explanation::of_engine("active", format!("A job has it in hand. {tried}"));
    };
    let since = Timestamp(since);
    let span = Span(since.until(Timestamp::now()));
    let what = if behind {
        "A job has it in hand, behind another message that goes by the same connection: that"
    } else {
        "A job has it in hand and"
    };
    let waits_for = waits_for.words();
    let text =
        format!("{what} waits for {waits_for} from {host}, for {span}, since {since}. {tried}");
    Explanation { since: Some(since), ..Explanation::of_engine("active", text) }
}

/// It is ready, and somebody has to have a place for it.
fn in_line(
    explained: &DestinationExplained,
    host: &str,
    channel: &str,
    tried: &str,
) -> Explanation {
    let standing = &explained.standing;
    let DestinationExplained { pool, pool_jobs, job_limit, maxjobs, .. } = explained;
    let DestinationExplained { channel_connections, max_client_threads, .. } = explained;
    let served = standing.connections > 0;
    let so_far = if served {
        let connections = counted(standing.connections, "connection");
        let are = if standing.connections == 1 { "is" } else { "are" };
        format!(
            "It is ready, and waits for its turn: {connections} to {host} of channel {channel} \
             {are} delivering what came before it"
        )
    } else {
        "It is ready".to_owned()
    };
    let place = format!("A place is given to {host} as soon as one is free");
    let raise =
        |what: String, now: usize| format!("; `relais set {what} {}` lets more run", now * 2);
    let (limit, why) = match explained.limited {
        Some(Limited::JobLimit) => (
            Some("job_limit"),
            format!(
                "pool {pool} is full: {pool_jobs} of {job_limit} jobs run (job_limit), and those of \
                 channel {channel} have no connection free (max_client_threads). {place}{}",
                raise(format!("{pool}.job_limit"), *job_limit)
            ),
        ),
        Some(Limited::Maxjobs) => (
            Some("maxjobs"),
            format!(
                "channel {channel} has all of its {} (maxjobs), with {channel_connections} of {} \
                 connections (max_client_threads). {place}{}",
                counted(*maxjobs, "job"),
                maxjobs * max_client_threads,
                raise(format!("{channel}.maxjobs"), *maxjobs),
            ),
        ),
        Some(Limited::LastSlot) => (
            Some("last_slot"),
            format!(
                "the last place in pool {pool} is kept free for hosts and channels that have none \
                 (keep_last_slot){}",
                raise(format!("{pool}.job_limit"), *job_limit)
            ),
        ),
        Some(Limited::Connections) => {
            (Some("threads"), why_no_connection(explained, host, channel))
        }
        // An operator's order, or the limit, came in this moment.
        Some(Limited::KeptBack) | None => (None, String::new()),
    };
    let text = match (limit, served) {
        (None, true) => format!("{so_far}. {tried}"),
        (None, false) => format!("It is ready, and a job is about to take it. {tried}"),
        (Some(_), true) => format!("{so_far}. It gets no further connection now: {why}. {tried}"),
        (Some(_), false) => format!("{so_far}, but {why}. {tried}"),
    };
    let waits_for = if served || limit.is_none() { "ready" } else { "in_line" };
    Explanation { limit, ..Explanation::of_engine(waits_for, text) }
}

/// Why a host gets no further connection of those that its channel has free.
fn why_no_connection(explained: &DestinationExplained, host: &str, channel: &str) -> String {
    let standing = &explained.standing;
    let raised = |now: usize| {
        format!("`relais set {channel}@{host}.connections {}` lets it have more", now * 2)
    };
    if standing.slow {
        return "it answers so slowly that nine of ten connections of the channel are kept from it"
            .to_owned();
    }
    let host_limit = explained.host_limit.filter(|most| standing.connections >= *most);
    if let Some(most) = host_limit {
        let most = counted(most, "connection");
        return format!("an operator allows it {most} ({})", raised(standing.connections));
    }
    let configured = explained.configured_limit.filter(|most| standing.connections >= *most);
    if let Some(most) = configured.filter(|_| explained.host_limit.is_none()) {
        let most = counted(most, "connection");
        return format!(
            "channel {channel} allows it {most} (destinations.connections; {})",
            raised(standing.connections)
        );
    }
    if let Some(relief) = explained.relief.filter(|its| standing.connections >= its.limit) {
        let most = counted(relief.limit, "connection");
        return format!(
            "it is a store of ours that says it is under stress: it gets {most} for now"
        );
    }
    if standing.connections >= standing.window {
        let window = counted(standing.window, "connection");
        return format!("it may have {window} for now, and more as it shows that it bears them");
    }
    let entries = match explained.threaddepth {
        1 => "entry".to_owned(),
        depth => format!("{depth} entries"),
    };
    let more = match explained.threaddepth {
        1 => String::new(),
        depth => format!("; `relais set {channel}.threaddepth {}` gives it more", depth / 2),
    };
    format!("it has a connection for each {entries} that wait (threaddepth){more}")
}

/// Where it goes on to, if it waits to be looked at on its way.
fn on_its_way(parts: &Parts, scanned: &ScannedEntry) -> Option<String> {
    let (channel, host) = parts.channels.way_out(&scanned.channel, &scanned.host);
    if *scanned.channel == *channel {
        return None;
    }
    Some(format!(
        "Its parts are looked at (conversions) on its way to {host} by channel {channel}."
    ))
}

/// The route that its recipients would take now, if that is another one.
async fn other_route(parts: &Parts, scanned: &ScannedEntry) -> Option<String> {
    let envelope = parts.storage.envelope(scanned.place).await.ok()?;
    let entry = envelope.entries.get(usize::from(scanned.entry))?;
    let open = open_recipients(scanned.state.open());
    for recipient in open.filter_map(|i| entry.recipients.get(usize::from(i))).take(MOST_ROUTED) {
        let Ok(address) = Address::parse(recipient.member()) else { continue };
        let question = Question {
            sender: &envelope.sender,
            ..Question::of_nobody(&address, &envelope.source_channel)
        };
        let (original, id) = (&recipient.original, scanned.id);
        let now = match parts.router.resolve(&question).await {
            Ok(ways) => {
                // Scripts, which are not asked here, put a folder into the address.
                let is_its = |address: &Arc<str>| {
                    *address == recipient.address || Some(address) == recipient.inbox.as_ref()
                };
                let (channel, host) = parts.channels.way_out(&entry.channel, &entry.host);
                let same = |way: &Route| {
                    *way.channel == *channel
                        && way.host.eq_ignore_ascii_case(host)
                        && is_its(&way.address)
                };
                if ways.iter().any(same) {
                    continue;
                }
                let way = ways.first()?;
                format!("by {} to {}, as {}", way.channel, way.host, way.address)
            }
            Err(reply) => {
                return Some(format!(
                    "{original} would be refused by now: {reply}; `relais queue reroute` leaves it \
                     where it is."
                ));
            }
        };
        return Some(format!(
            "The route of {original} would be another one now: {now}; `relais queue reroute {id}` \
             takes it."
        ));
    }
    None
}

/// The last reply to any recipient that is still open.
async fn last_reply(parts: &Parts, scanned: &ScannedEntry) -> Option<String> {
    let history = parts.storage.history(scanned.id, scanned.place).await.ok()?;
    let open: Vec<u8> = open_recipients(scanned.state.open()).collect();
    let of_entry = history.into_iter().rev().filter(|change| change.entry == scanned.entry);
    let mut replies = of_entry.flat_map(|change| change.replies);
    let (_, outcome) = replies.find(|(index, _)| open.contains(index))?;
    Some(outcome.reply().to_string())
}

/// Why nobody looks at what is held, and what to do about it.
async fn why_held(parts: &Parts, scanned: &ScannedEntry, tried: &str) -> Explanation {
    let id = scanned.id;
    if let Ok(Some(waits)) = parts.defragmenter.ask(DescribePiece((id, scanned.entry))).await {
        let text = format!(
            "It is {}. It leaves as it is when their time is over, or by `relais queue release {id}`. \
             {tried}",
            in_words(&waits)
        );
        return Explanation::of_engine("held", text);
    }
    let why = hold_reason(parts, scanned).await;
    let text = if is_lost_notice(parts, scanned).await {
        format!(
            "It is not delivered: {why}. Once a rule leads to a reader of it, or to \
             notary.postmaster, `relais queue release {id}` sends it; before that it is only held \
             again. It cannot be returned; `relais queue delete {id}` gives it up. {tried}"
        )
    } else {
        format!(
            "It is not delivered: {why}. No job looks at it until `relais queue release {id}`. {tried}"
        )
    };
    let order = ordered_by::named_in(&parts.standing, &why);
    let held = if is_own_reason(&why) {
        Explanation::of_engine("held", text)
    } else {
        Explanation::of_operator("held", text, &format!("It is held. {tried}"))
    };
    Explanation { order, ..held }
}

async fn is_lost_notice(parts: &Parts, scanned: &ScannedEntry) -> bool {
    let envelope = parts.storage.envelope(scanned.place).await;
    envelope.is_ok_and(|envelope| has_nowhere_to_go(&envelope))
}

/// The message that a piece waits for.
fn in_words(waits: &Waits) -> String {
    let Waits { number, come, total, missing, until } = waits;
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    let numbers: Vec<_> = missing.iter().map(u32::to_string).collect();
    let more = total.map_or(0, |total| total as usize - come).saturating_sub(missing.len());
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let lacks = match (numbers.is_empty(), total) {
        (true, None) => "nobody has said yet how many there are".to_owned(),
        (true, Some(_)) => "all have come, and it is being put together".to_owned(),
        (false, None) => format!("{} and maybe more are missing", numbers.join(", ")),
        (false, Some(_)) => format!("missing: {}{and_more}", numbers.join(", ")),
    };
    let until = Timestamp(*until);
    format!("piece {number}{of} of a message, and waits for the others until {until}: {lacks}")
}

fn times(count: u16) -> String {
    counted(usize::from(count), "time")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("one {what}") } else { format!("{count} {what}s") }
}

/// Recipients whose routes are looked at anew.
const MOST_ROUTED: usize = 10;
