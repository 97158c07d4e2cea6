//! A listing of the queue of any length, in constant memory.

use std::io;

use actix_web::{HttpResponse, web::Bytes};
use futures_util::stream::try_unfold;
use relais_actors::status::{QueueFilter, QueuedEntry};

use super::{Console, pages::in_time};

/// Newline-delimited JSON, one entry a line. When the engine gets into trouble half-way, the
/// connection ends without the last chunk, so that the client knows that it has not seen all.
pub(super) fn respond<C: Console>(console: C, filter: QueueFilter) -> HttpResponse {
    let listing =
        Listing { left: filter.limit.unwrap_or(u64::MAX), console, filter, next: Next::First };
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(try_unfold(listing, Listing::advance))
}

struct Listing<C: Console> {
    console: C,
    filter: QueueFilter,
    left: u64,
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
            let limit = usize::try_from(self.left).unwrap_or(PAGE).min(PAGE);
            if limit == 0 {
                return Ok(None);
            }
            let page = in_time(self.console.queue_list(&self.filter, after, limit)).await;
            let page = page.map_err(io::Error::other)?;
            if let Some(cursor) = page.next {
                self.next = Next::Behind(cursor);
            }
            let entries: Vec<_> = page.entries.into_iter().take(limit).collect();
            self.left -= entries.len() as u64;
            if !entries.is_empty() {
                return Ok(Some((lines(&entries)?, self)));
            }
        }
    }
}

fn lines(entries: &[QueuedEntry]) -> io::Result<Bytes> {
    let mut lines = Vec::with_capacity(entries.len() * 512);
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// Entries asked for at once.
const PAGE: usize = 256;
