//! A listing of the queue, or an order about it, of any length, in constant memory.

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web::Bytes};
use futures_util::stream::{self, StreamExt, try_unfold};
use serde::Serialize;

use super::{
    Console,
    console::{Answer, Trouble},
    patience::{in_time, within},
};
use crate::api::{OrderProgress, QueueFilter, QueueOrder};

/// Newline-delimited JSON, one entry a line. When the engine gets into trouble half-way, the
/// connection ends without the last chunk, so that the client knows that it has not seen all.
pub(super) async fn respond<C: Console>(console: C, filter: QueueFilter) -> Answer<HttpResponse> {
    let left = filter.limit.unwrap_or(u64::MAX);
    let listing = PageStream { left, page: FIRST_PAGE, console, filter, next: Next::First };
    streamed(listing, PageStream::advance).await
}

/// How far an order has come, a line for each piece. Ends like [`respond`]; a client that goes
/// away ends the order where it is.
pub(super) async fn carry_out<C: Console>(console: C, order: QueueOrder) -> Answer<HttpResponse> {
    let work = Work { console, order, next: Next::First };
    streamed(work, Work::advance).await
}

/// The first piece is made before the status line: an engine that cannot answer says so there.
async fn streamed<S: 'static, F>(
    start: S,
    advance: impl Fn(S) -> F + 'static,
) -> Answer<HttpResponse>
where
    F: Future<Output = Answer<Option<(Bytes, S)>>> + 'static,
{
    let (first, behind) = advance(start).await?.unzip();
    let others = try_unfold(behind, move |state| {
        let piece = state.map(&advance);
        async move {
            let Some(piece) = piece else { return Ok(None) };
            Ok(piece.await?.map(|(piece, state)| (piece, Some(state))))
        }
    });
    let pieces = stream::iter(first.map(Ok::<_, Trouble>)).chain(others);
    Ok(HttpResponse::Ok().content_type(LINES).streaming(pieces))
}

struct Work<C: Console> {
    console: C,
    order: QueueOrder,
    next: Next<C::OrderCursor>,
}

impl<C: Console> Work<C> {
    async fn advance(mut self) -> Answer<Option<(Bytes, Self)>> {
        let at = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => None,
            Next::Behind(cursor) => Some(cursor),
            Next::End => return Ok(None),
        };
        let piece: (OrderProgress, _) =
            within(ORDERED, self.console.queue_order(&self.order, at)).await?;
        if let Some(cursor) = piece.1 {
            self.next = Next::Behind(cursor);
        }
        Ok(Some((lines(&[piece.0])?, self)))
    }
}

struct PageStream<C: Console> {
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

impl<C: Console> PageStream<C> {
    /// The lines of the next page that has any; or, when nothing was found for a while, an empty
    /// one, which tells the client that something is going on, and us when the client is gone.
    async fn advance(mut self) -> Answer<Option<(Bytes, Self)>> {
        let start = Instant::now();
        loop {
            let after = match std::mem::replace(&mut self.next, Next::End) {
                Next::First => None,
                Next::Behind(cursor) => Some(cursor),
                Next::End => return Ok(None),
            };
            if self.left == 0 {
                return Ok(None);
            }
            let page = in_time(self.console.queue_list(&self.filter, after, self.page)).await?;
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
            if start.elapsed() > SILENCE {
                return Ok(Some((Bytes::from_static(b"\n"), self)));
            }
        }
    }
}

fn lines(entries: &[impl Serialize]) -> Answer<Bytes> {
    let mut lines = Vec::with_capacity(entries.len() * 512);
    for entry in entries {
        let written = serde_json::to_writer(&mut lines, entry);
        written.map_err(|error| Trouble(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// A JSON object a line.
const LINES: &str = "application/x-ndjson";
/// How long a client hears nothing at most.
const SILENCE: Duration = Duration::from_secs(5);
/// For a piece of an order: of returns the next one waits until senders are told of those before.
const ORDERED: Duration = Duration::from_secs(60);
/// Entries asked for at first, so that the first line comes soon.
const FIRST_PAGE: usize = 128;
/// Entries asked for at once, later on. A page costs its entries, and a look through the states of
/// every segment that they are in: of small pages a long queue has too many.
const LARGEST_PAGE: usize = 4_096;
