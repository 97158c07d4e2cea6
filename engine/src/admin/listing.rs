//! A listing of the queue, or an order about it, of any length, in constant memory.

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web::Bytes};
use futures_util::stream::{self, Stream, StreamExt, try_unfold};
use tokio::sync::mpsc;

use super::{
    Console, JsonLines,
    audited::Audited,
    console::{Answer, Unavailable},
    live::Place,
    patience::in_time,
    queue_work::QueueWork,
};
use crate::api::{OrderProgress, QueueFilter, QueueOrder};

/// Newline-delimited JSON, one entry a line. When the engine gets into trouble half-way, the
/// connection ends without the last chunk, so that the client knows that it has not seen all.
///
/// The engine makes [`AHEAD`] pages ahead of what the client has taken; `place` is given up with the last.
pub(super) async fn respond<C: Console>(
    console: C,
    filter: QueueFilter,
    place: Option<Place>,
) -> Answer<HttpResponse> {
    let left = filter.limit.unwrap_or(u64::MAX);
    let listing = PageStream { left, page: FIRST_PAGE, console, filter, next: Next::First };
    let Some((first, listing)) = listing.advance().await? else {
        return Ok(answer(stream::empty()));
    };
    let (sender, others) = mpsc::channel(AHEAD);
    actix_web::rt::spawn(listing.send_all(sender));
    let others = stream::unfold((others, place), async |(mut others, place)| {
        Some((others.recv().await?, (others, place)))
    });
    Ok(answer(stream::iter([Ok(first)]).chain(others)))
}

/// How far an order has come, a line for each piece. Ends like [`respond`]; a client that goes
/// away ends the order where it is.
pub(super) async fn carry_out<C: Console>(
    console: C,
    order: QueueOrder,
    audited: Option<Audited>,
) -> Answer<HttpResponse> {
    let mut work = QueueWork::new(console, Box::new(order), audited);
    // An engine that cannot answer says so in the status line.
    let first = work.advance().await?.map(|progress| line(&progress));
    let others = try_unfold(work, async |mut work| {
        let piece = work.advance().await?.map(|progress| line(&progress)).transpose()?;
        Ok(piece.map(|piece| (piece, work)))
    });
    Ok(answer(stream::iter(first).chain(others)))
}

fn line(progress: &OrderProgress) -> Answer<Bytes> {
    let mut line = JsonLines::default();
    line.add(progress).map_err(|error| Unavailable(error.to_string()))?;
    Ok(line.into())
}

/// Lines as they come. Ends like [`respond`].
pub(super) fn pass_on(pieces: mpsc::Receiver<Answer<JsonLines>>) -> HttpResponse {
    answer(stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((piece.map(Bytes::from), pieces))
    }))
}

fn answer(pieces: impl Stream<Item = Answer<Bytes>> + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(LINES).streaming(pieces)
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
    /// Makes page after page, each as soon as there is room for it, until nobody takes them.
    async fn send_all(self, to: mpsc::Sender<Answer<Bytes>>) {
        let mut listing = self;
        while let Ok(room) = to.reserve().await {
            match listing.advance().await {
                Ok(Some((lines, behind))) => {
                    room.send(Ok(lines));
                    listing = behind;
                }
                Ok(None) => return,
                Err(unavailable) => return room.send(Err(unavailable)),
            }
        }
    }

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
            let mut entries = page.entries;
            entries.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= entries.len() as u64;
            if !entries.is_empty() {
                return Ok(Some((entries.into(), self)));
            }
            if start.elapsed() > SILENCE {
                return Ok(Some((Bytes::from_static(b"\n"), self)));
            }
        }
    }
}

/// A JSON object a line.
const LINES: &str = "application/x-ndjson";
/// How long a client hears nothing at most.
const SILENCE: Duration = Duration::from_secs(5);
/// Pages that wait for the client at most.
const AHEAD: usize = 2;
/// Entries asked for at first, so that the first line comes soon.
const FIRST_PAGE: usize = 128;
/// Entries asked for at once, later on. Each page costs a look at every segment that its entries are
/// in: of small pages a long queue has too many.
const LARGEST_PAGE: usize = 4_096;
