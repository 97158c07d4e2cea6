//! The queue browser: what waits, by the filters of `relais queue list`.
//!
//! A page of it is read in a bounded time: where few of a long queue match, it says that it has not seen all
//! of it, and offers to search longer.

use std::time::{Duration, Instant};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Query},
};
use maud::{Markup, html};
use relais_actors::timestamp::Timestamp;

use super::{
    layout::{Trouble, View, respond},
    parts::{age, badge, count, foreign, grouped, moment, nothing, octets, table},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Answer, Console, Unavailable, patience::in_time},
    api::{QueueFilter, QueuedEntry},
};

/// A search by somebody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Search {
    /// The fields of the filter that are not empty, as they came.
    fields: Vec<(String, String)>,
    /// The page of the listing, from 1.
    page: usize,
    /// The search may take its time.
    is_long: bool,
}

/// Entries of a page, and what is known of the others.
struct Found {
    entries: Vec<QueuedEntry>,
    /// There are more behind them.
    goes_on: bool,
    /// The time was up before the page was full.
    broke_off: bool,
}

impl Search {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut wish = Self { page: 1, ..Self::default() };
        for (name, value) in pairs {
            match name.as_str() {
                "page" => wish.page = value.parse().unwrap_or(1).clamp(1, LAST_PAGE),
                "search" => wish.is_long = value == "long",
                _ if value.trim().is_empty() => {}
                _ => wish.fields.push((name, value.trim().to_owned())),
            }
        }
        wish
    }

    fn filter(&self) -> Result<QueueFilter, String> {
        let text = serde_urlencoded::to_string(&self.fields).map_err(|error| error.to_string())?;
        serde_urlencoded::from_str(&text).map_err(|error| error.to_string())
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(its, _)| its == name).map_or("", |(_, value)| value)
    }

    /// The same with another page.
    fn link(&self, page: usize, is_long: bool) -> String {
        let mut pairs = self.fields.clone();
        if page > 1 {
            pairs.push(("page".to_owned(), page.to_string()));
        }
        if is_long {
            pairs.push(("search".to_owned(), "long".to_owned()));
        }
        super::parts::queue_link(&pairs)
    }
}

/// The view.
pub(super) async fn list<C: Console>(
    visitor: Visitor,
    console: Data<C>,
    asked: Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Trouble> {
    let wish = Search::read(asked.into_inner());
    let filter = wish.filter().and_then(|filter| {
        console.check(&filter).map(|()| filter).map_err(|error| error.to_string())
    });
    let stored = in_time(console.status()).await?.queue.stored;
    let view = View { title: "Queue", place: "/queue", visitor: &visitor };
    let filter = match filter {
        Ok(filter) => filter,
        Err(wrong) => {
            let body = html! { (form(&wish)) p .bad role="alert" { (foreign(&wrong)) } };
            return Ok(respond(StatusCode::BAD_REQUEST, view.page(&body).into_string()));
        }
    };
    let patience = if wish.is_long { LONG } else { SHORT };
    let found = search(&**console, &filter, wish.page, patience).await?;
    let body = html! {
        p .state { (grouped(stored)) " entries are stored." }
        (form(&wish))
        (listing(&wish, &found, visitor.operator()))
    };
    Ok(view.answer(&body))
}

/// Looks for the entries of a page.
async fn search<C: Console>(
    console: &C,
    filter: &QueueFilter,
    page: usize,
    patience: Duration,
) -> Answer<Found> {
    let start = Instant::now();
    let (first, end) = ((page - 1) * ROWS, page * ROWS);
    let mut found = Found { entries: Vec::new(), goes_on: false, broke_off: false };
    let (mut seen, mut after) = (0, None);
    loop {
        // One more tells whether there is another page.
        let piece = in_time(console.queue_list(filter, after, end + 1 - seen)).await?;
        for line in Bytes::from(piece.entries).split(|octet| *octet == b'\n') {
            if line.is_empty() {
                continue;
            }
            if (first..end).contains(&seen) {
                let entry = serde_json::from_slice(line);
                found.entries.push(entry.map_err(|error| Unavailable(error.to_string()))?);
            }
            seen += 1;
        }
        found.goes_on = seen > end;
        let Some(next) = piece.next.filter(|_| !found.goes_on) else { return Ok(found) };
        if start.elapsed() > patience {
            found.broke_off = true;
            return Ok(found);
        }
        after = Some(next);
    }
}

fn form(wish: &Search) -> Markup {
    html! {
        search {
            form method="get" action="/queue" .fields id="filters" {
                @for (name, title, hint) in FIELDS {
                    label { (title)
                        input name=(name) value=(wish.field(name)) placeholder=(hint)
                            autocapitalize="none" autocomplete="off" spellcheck="false"; }
                }
                label { "State"
                    select name="state" {
                        @for state in ["", "ready", "active", "delayed", "held"] {
                            option value=(state) selected[wish.field("state") == state] {
                                @if state.is_empty() { "any" } @else { (state) }
                            }
                        }
                    }
                }
                div .inline { button .main { "Filter" } a .button href="/queue" { "All" } }
            }
        }
    }
}

fn listing(wish: &Search, found: &Found, operator: Option<&Pass>) -> Markup {
    html! {
        @if found.broke_off { (broken_off(wish)) }
        @if found.entries.is_empty() {
            @if !found.broke_off { (nothing("Nothing in the queue matches.")) }
        } @else if let Some(operator) = operator {
            form method="post" action="/order" {
                (operator.field())
                @for (name, value) in &wish.fields { input type="hidden" name=(name) value=(value); }
                (entries(&found.entries, true))
                (orders())
            }
        } @else {
            (entries(&found.entries, false))
        }
        (pages(wish, found))
    }
}

fn broken_off(wish: &Search) -> Markup {
    html! {
        p .fair {
            "The time for this search was up before all of the queue was looked at. "
            @if !wish.is_long { a href=(wish.link(wish.page, true)) { "Search for ten seconds" } }
            @else { "Narrow the filters, by channel or host; " code { "relais queue list" } " looks at all." }
        }
    }
}

fn entries(entries: &[QueuedEntry], choosable: bool) -> Markup {
    let now = Timestamp::now();
    let heads = [
        "Choose",
        "Message",
        "State",
        "Host and channel",
        "From and to",
        ">Size",
        ">Age",
        ">Tries",
        ">Next",
        "Last reply",
    ];
    let heads = if choosable { &heads[..] } else { &heads[1..] };
    let row = |its: &QueuedEntry| {
        let mut open = its.open();
        let to = open.next();
        let more = open.count();
        let reply = to.and_then(|to| to.last_reply.as_deref()).unwrap_or_default();
        html! {
            tr {
                @if choosable {
                    td .choose { input type="checkbox" name="id" value=(its.id)
                        aria-label={ "Choose " (its.id) }; }
                }
                th scope="row" { a .id href={ "/queue/" (its.id) } { (its.id) } }
                td { (badge(its.state.name())) }
                td .address { div { (foreign(&its.host)) } div .quiet { (its.channel) } }
                td .address {
                    div { @if its.sender.is_empty() { "<>" } @else { (foreign(&its.sender)) } }
                    div {
                        @if let Some(to) = to { "→\u{a0}" (foreign(&to.address)) }
                        @if more > 0 { " and " (more) " more" }
                    }
                }
                (octets(its.size)) (age(Some(its.received), now)) (count(its.attempts.into()))
                (moment(its.due, now))
                td .text { (foreign(reply)) }
            }
        }
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table("Entries of the queue", heads, &rows)
}

fn orders() -> Markup {
    html! {
        fieldset .orders {
            legend { "Order" }
            label { input type="radio" name="scope" value="chosen" checked; " for what is chosen" }
            label { input type="radio" name="scope" value="all"; " for all that match the filters" }
            label .grow { "Reason " input name="reason" maxlength="500"; }
            (buttons())
        }
    }
}

/// A button for each order.
pub(super) fn buttons() -> Markup {
    html! {
        div .inline {
            @for (order, word) in ORDERS { button name="order" value=(order) { (word) " …" } }
        }
    }
}

fn pages(wish: &Search, found: &Found) -> Markup {
    html! {
        nav .pages aria-label="Pages of the listing" {
            @if wish.page > 1 {
                a rel="prev" href=(wish.link(wish.page - 1, wish.is_long)) { "Page before" }
            }
            @if wish.page > 1 || found.goes_on { span { "Page " (wish.page) } }
            @if found.goes_on && wish.page < LAST_PAGE {
                a rel="next" href=(wish.link(wish.page + 1, wish.is_long)) { "Next page" }
            } @else if found.goes_on {
                span { "There are more: narrow the filters, or " code { "relais queue list" } "." }
            }
        }
    }
}

const FIELDS: [(&str, &str, &str); 7] = [
    ("channel", "Channel", "tcp_local"),
    ("host", "Host", "example.com, .example.com, ~part"),
    ("from", "From", "a@example.com, @example.com, ~part, <>"),
    ("to", "To", "a@example.com, @example.com, ~part"),
    ("older_than", "Older than", "1h"),
    ("larger_than", "Larger than", "1MiB"),
    ("reply", "Reply", "a part of the last reply"),
];

const ORDERS: [(&str, &str); 6] = [
    ("hold", "Hold"),
    ("release", "Release"),
    ("retry", "Retry"),
    ("reroute", "Reroute"),
    ("return", "Return"),
    ("delete", "Delete"),
];

/// Rows of a page.
const ROWS: usize = 100;
/// Each page is looked for from the first on.
const LAST_PAGE: usize = 20;
/// For a search, before the page is shown as it is.
const SHORT: Duration = Duration::from_millis(250);
const LONG: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::admin::fake::Fake;

    fn wish(pairs: &[(&str, &str)]) -> Search {
        Search::read(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn empty_fields_of_the_form_are_no_filters() {
        let empty = wish(&[("channel", ""), ("host", " "), ("state", ""), ("page", "x")]);
        assert_eq!((empty.filter(), empty.page), (Ok(QueueFilter::default()), 1));
        let its = wish(&[("older_than", "1h"), ("state", "held"), ("to", " ~a "), ("page", "99")]);
        let filter = its.filter().unwrap();
        assert_eq!((filter.older_than, its.page), (Some(3_600), LAST_PAGE));
        assert_eq!(its.link(2, true), "/queue?older_than=1h&state=held&to=%7Ea&page=2&search=long");
        assert!(wish(&[("chanel", "x")]).filter().unwrap_err().contains("unknown field"));
        assert!(wish(&[("older_than", "soon")]).filter().is_err());
    }

    #[actix_rt::test]
    async fn a_page_holds_its_rows_and_knows_whether_there_are_more() {
        let fake = Fake::default();
        let filter = QueueFilter::default();
        // entries, page, entries on it, whether there are more
        for (all, page, rows, goes_on) in [
            (0, 1, 0, false),
            (100, 1, 100, false),
            (101, 1, 100, true),
            (101, 2, 1, false),
            (101, 3, 0, false),
        ] {
            fake.0.entries.store(all, Relaxed);
            let found = search(&fake, &filter, page, LONG).await.unwrap();
            assert_eq!((found.entries.len(), found.goes_on), (rows, goes_on), "{all} {page}");
        }
        assert!(fake.0.largest_page.load(Relaxed) <= ROWS * LAST_PAGE + 1);
    }
}
