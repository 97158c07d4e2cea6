//! The overview as it changes: server-sent events (WHATWG HTML, section 9.2).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, HeaderValue},
    web::Bytes,
};
use futures_util::stream::unfold;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Console,
    console::{Answer, Unavailable},
    discreet::Discreet,
    patience::within,
};
use crate::api::Overview;

/// The streams of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    open: Arc<AtomicUsize>,
    /// Whether the endpoint ends.
    ending: watch::Receiver<bool>,
}

/// One of them; it is over when this is dropped.
#[derive(Debug)]
struct OpenStream(Streams);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Streams {
    /// None yet; all of them end when `ending` says so.
    pub(super) fn new(ending: watch::Receiver<bool>) -> Self {
        Self { open: Arc::default(), ending }
    }

    fn take(&self) -> Answer<OpenStream> {
        let taken = OpenStream(self.clone());
        // Given back when it is one too many.
        if self.open.fetch_add(1, Relaxed) >= MOST_STREAMS {
            return Err(Unavailable(format!("{MOST_STREAMS} streams are open already")));
        }
        Ok(taken)
    }

    /// An event `overview` at once and every two seconds. While there is nothing to tell a comment comes,
    /// by which the server learns that a client is gone.
    pub(super) fn respond<C: Console>(
        &self,
        console: C,
        is_operator: bool,
    ) -> Answer<HttpResponse> {
        let state = (self.take()?, (console, is_operator), Instant::now());
        let events = unfold(state, async |(mut stream, reader, at)| {
            let ending = &mut stream.0.ending;
            tokio::select! {
                () = sleep_until(at) => {}
                // The endpoint that would tell is gone: it has ended as well.
                _ = ending.wait_for(|ends| *ends) => return None,
            }
            let (console, is_operator) = &reader;
            let event = match within(PATIENCE, console.overview()).await {
                Ok(overview) => match for_reader(overview, *is_operator) {
                    Ok(json) => format!("event: overview\ndata: {json}\n\n"),
                    Err(error) => comment(&error.to_string()),
                },
                Err(Unavailable(why)) => comment(&why),
            };
            let next = Instant::now().max(at + EVERY);
            Some((Ok::<_, Unavailable>(Bytes::from(event)), (stream, reader, next)))
        });
        let mut response = HttpResponse::Ok();
        response.content_type("text/event-stream");
        response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        Ok(response.streaming(events))
    }
}

fn for_reader(overview: Arc<Overview>, is_operator: bool) -> serde_json::Result<String> {
    if is_operator {
        return serde_json::to_string(&*overview);
    }
    serde_json::to_string(&Arc::unwrap_or_clone(overview).for_reader(false))
}

/// One line that clients do not show.
fn comment(text: &str) -> String {
    format!(": {}\n\n", text.replace(|c: char| c.is_control(), " "))
}

/// Streams at once: operators are few, and each costs an overview every two seconds.
const MOST_STREAMS: usize = 16;
const EVERY: Duration = Duration::from_secs(2);
/// For the engine to answer; a comment takes the place of an answer that is late.
const PATIENCE: Duration = Duration::from_secs(5);
