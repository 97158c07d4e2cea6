//! Status, queue, counters and routes as text for people; what scripts read is JSON.

mod access;
mod audit;
mod certificates;
mod content;
mod differences;
mod glance;
mod look;
mod mailboxes;
mod mapping;
mod orders;
mod queue;
mod route;
mod routes;
mod sieve;
mod stage;
mod status;
mod table;
mod trace;
mod units;

use std::fmt::Write;

use relais_actors::{
    events::Printable,
    metrics::{ChannelCounters, Event},
    timestamp::Timestamp,
};

use crate::api::{LimitShown, LimitValue, QueueSummary, Status};

pub use access::access;
pub use audit::audit;
pub use certificates::certificates;
pub use content::ContentView;
pub use differences::Differences;
pub use glance::{
    CHANNEL_TITLES, add_channel, age_line, channels_at_a_glance, first_line, flow_of, glance,
    hosts_at_a_glance, limits_at_a_glance, limits_now, orders_line, queue_line,
    services_at_a_glance,
};
pub use look::{Colour, Look};
pub use mailboxes::mailbox;
pub use mapping::mapping;
pub use orders::{added, after_removal, orders, standing_order, would_touch};
pub use queue::{Listing, history, message, order, question, rerouted, summary, why};
pub use route::route;
pub use routes::Routes;
pub use sieve::{sieve, sieve_actions, sieve_outcome};
pub use stage::stage;
pub use status::{channel_list, hosts, status};
pub use table::Table;
pub use trace::trace;
pub use units::{Quota, Relative, Size, Span};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `GET /`. A queue that is too long to be added up for a page has no sums.
pub fn overview(status: &Status, queue: Option<&QueueSummary>, not_ready: Option<&str>) -> String {
    let mut page = self::status(status, Look::PLAIN, None);
    if let Some(why) = not_ready {
        let _ = writeln!(page, "\nnot ready: {}", Printable(why));
    }
    if let Some(queue) = queue.filter(|queue| !queue.channels.is_empty()) {
        let _ = write!(page, "\n{}", summary(queue, Look::PLAIN));
    }
    page + concat!(
        "\nMore: /metrics  /healthz  /readyz  /api/v1/status  /api/v1/queue  ",
        "/api/v1/queue/summary\n      /api/v1/queue/ID  /api/v1/counters  ",
        "/api/v1/route?address=ADDRESS\n",
    )
}

/// `relais status --workers`: each by the name that `relais restart` takes.
pub fn workers(status: &Status, look: Look) -> String {
    let now = Timestamp::now();
    let mut table = Table::new(&["=WORKER", "STATE", ">SESSIONS", ">PEAK", ">SERVED", "SINCE"]);
    for service in &status.services {
        for worker in &service.workers {
            let since = Relative { time: Some(worker.started), now };
            table.row([
                &format!("{}/{}", service.name, worker.id),
                &worker.state.name(),
                &worker.connections,
                &worker.peak,
                &worker.served,
                &since,
            ]);
        }
    }
    table.fit(look)
}

/// `relais set` without a value. What an operator changed stands out.
pub fn limits(limits: &Vec<LimitShown>, look: Look) -> String {
    let mut table = Table::new(&["=LIMIT", ">NOW", ">CONFIGURED", ">SAVED"]);
    for limit in limits {
        let shown = |value: &Option<LimitValue>| {
            value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let LimitShown { key, value, configured, saved } = limit;
        table.row([key, &shown(value), &shown(configured), &shown(saved)]);
        if value != configured {
            table.mark(1, Colour::Yellow);
        }
    }
    table.fit(look)
}

/// `relais counters`: messages, with recipients and size of those that moved.
pub fn counters(counters: &ChannelCounters, look: Look) -> String {
    let mut table = Table::new(&["CHANNEL", "EVENT", ">MESSAGES", ">RECIPIENTS", ">SIZE"]);
    for (channel, events) in &counters.0 {
        for event in Event::ALL {
            let tally = events.get(&event).copied().unwrap_or_default();
            if tally.messages + tally.recipients + tally.bytes == 0 {
                continue;
            }
            let size = Size(tally.bytes);
            table.row([channel, &event.name(), &tally.messages, &tally.recipients, &size]);
        }
    }
    if table.is_empty() { "nothing has been counted yet\n".to_owned() } else { table.fit(look) }
}
