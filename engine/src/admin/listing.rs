//! A listing of the queue, or an order about it, of any length, in constant memory.

use std::io;

use actix_web::{HttpResponse, web::Bytes};
use futures_util::stream::try_unfold;
use relais_actors::status::{OrderProgress, QueueFilter, QueueOrder};
use serde::Serialize;

use super::{Console, pages::in_time};

/// Newline-delimited JSON, one entry a line. When the engine gets into trouble half-way, the
/// connection ends without the last chunk, so that the client knows that it has not seen all.
pub(super) fn respond<C: Console>(console: C, filter: QueueFilter) -> HttpResponse {
    let left = filter.limit.unwrap_or(u64::MAX);
    let listing = Listing { left, page: FIRST_PAGE, console, filter, next: Next::First };
    HttpResponse::Ok().content_type(LINES).streaming(try_unfold(listing, Listing::advance))
}

/// How far an order has come, a line for each piece. Ends like [`respond`]; a client that goes
/// away ends the order where it is.
pub(super) fn carry_out<C: Console>(console: C, order: QueueOrder) -> HttpResponse {
    let work = Work { console, order, next: Next::First };
    HttpResponse::Ok().content_type(LINES).streaming(try_unfold(work, Work::advance))
}

struct Work<C: Console> {
    console: C,
    order: QueueOrder,
    next: Next<C::OrderCursor>,
}

impl<C: Console> Work<C> {
    async fn advance(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let at = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => None,
            Next::Behind(cursor) => Some(cursor),
            Next::End => return Ok(None),
        };
        let piece: (OrderProgress, _) =
            in_time(self.console.queue_order(&self.order, at)).await.map_err(io::Error::other)?;
        if let Some(cursor) = piece.1 {
            self.next = Next::Behind(cursor);
        }
        Ok(Some((lines(&[piece.0])?, self)))
    }
}

struct Listing<C: Console> {
    console: C,
    filter: QueueFilter,
    left: u64,
    page: usize,
    next: Next<C::Cursor>,
}

enum Next<Cursor> {
    First,
    Behind(Cursor),
    End,
}

impl<C: Console> Listing<C> {
    /// The lines of the next page that has any.
    async fn advance(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let after = match std::mem::replace(&mut self.next, Next::End) {
                Next::First => None,
                Next::Behind(cursor) => Some(cursor),
                Next::End => return Ok(None),
            };
            if self.left == 0 {
                return Ok(None);
            }
            let page = in_time(self.console.queue_list(&self.filter, after, self.page)).await;
            let page = page.map_err(io::Error::other)?;
            self.page = LARGEST_PAGE.min(self.page * 2);
            if let Some(cursor) = page.next {
                self.next = Next::Behind(cursor);
            }
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let entries: Vec<_> = page.entries.into_iter().take(left).collect();
            self.left -= entries.len() as u64;
            if !entries.is_empty() {
                return Ok(Some((lines(&entries)?, self)));
            }
        }
    }
}

fn lines(entries: &[impl Serialize]) -> io::Result<Bytes> {
    let mut lines = Vec::with_capacity(entries.len() * 512);
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// A JSON object a line.
const LINES: &str = "application/x-ndjson";
/// Entries asked for at first, so that the first line comes soon.
const FIRST_PAGE: usize = 128;
/// Entries asked for at once, later on. A page costs its entries, and a look through the states of
/// every segment that they are in: of small pages a long queue has too many.
const LARGEST_PAGE: usize = 4_096;
