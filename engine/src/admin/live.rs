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
    /// Streams of readers, of whom no orders are taken.
    of_readers: Arc<AtomicUsize>,
    /// Listings of the queue that readers have not taken yet.
    listings: Arc<AtomicUsize>,
    /// Whether the endpoint ends.
    ending: watch::Receiver<bool>,
}

/// One of them; it is over when this is dropped.
struct OpenStream {
    ending: watch::Receiver<bool>,
    /// The counters that it is in.
    _places: Vec<Place>,
}

/// One more in a counter, until this is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(counter: &Arc<AtomicUsize>, most: usize, what: &str) -> Answer<Self> {
        let place = Self(Arc::clone(counter));
        // Given back when it is one too many.
        if counter.fetch_add(1, Relaxed) >= most {
            return Err(Unavailable(format!("{most} {what} are open already")));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A visitor who looks at a stream.
pub(super) struct Viewer {
    /// May give orders.
    pub(super) is_operator: bool,
    /// Whether it is so still.
    pub(super) stays: Box<dyn Fn() -> bool>,
}

impl Streams {
    /// None yet; all of them end when `ending` says so.
    pub(super) fn new(ending: watch::Receiver<bool>) -> Self {
        Self { open: Arc::default(), of_readers: Arc::default(), listings: Arc::default(), ending }
    }

    /// The place of a listing: each has some MiB in memory while nobody takes it.
    pub(super) fn listing(&self, is_operator: bool) -> Answer<Option<Place>> {
        let of_reader = || Place::take(&self.listings, MOST_OF_READERS, "listings");
        (!is_operator).then(of_reader).transpose()
    }

    /// Says when the endpoint ends.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.clone()
    }

    /// Readers leave places to operators.
    fn take(&self, is_operator: bool) -> Answer<OpenStream> {
        let mut places = Vec::new();
        if !is_operator {
            places.push(Place::take(&self.of_readers, MOST_OF_READERS, "streams")?);
        }
        places.push(Place::take(&self.open, MOST_STREAMS, "streams")?);
        Ok(OpenStream { ending: self.ending(), _places: places })
    }

    /// An event `overview` at once and every two seconds, until the viewer is not who it was any more. While
    /// there is nothing to tell a comment comes, by which the server learns that a client is gone.
    pub(super) fn respond<C: Console>(&self, console: C, viewer: Viewer) -> Answer<HttpResponse> {
        let stream = self.take(viewer.is_operator)?;
        let state = (stream, (console, viewer), Instant::now());
        let events = unfold(state, async |(mut stream, reader, at)| {
            let (console, viewer) = &reader;
            if !stream.goes_on(at, viewer).await {
                return None;
            }
            let is_operator = viewer.is_operator;
            let event = match within(PATIENCE, console.overview()).await {
                Ok(overview) => match for_reader(overview, is_operator) {
                    Ok(json) => format!("event: overview\ndata: {json}\n\n"),
                    Err(error) => comment(&error.to_string()),
                },
                Err(Unavailable(why)) => comment(&why),
            };
            let next = Instant::now().max(at + EVERY);
            Some((Ok::<_, Unavailable>(Bytes::from(event)), (stream, reader, next)))
        });
        let mut response = HttpResponse::Ok();
        // Nothing else comes on this connection, which ends with the stream.
        response.force_close();
        response.content_type("text/event-stream");
        response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        Ok(response.streaming(events))
    }
}

impl OpenStream {
    /// Waits until then; `false`: it is over.
    async fn goes_on(&mut self, at: Instant, viewer: &Viewer) -> bool {
        loop {
            if !(viewer.stays)() {
                return false;
            }
            let look = at.min(Instant::now() + LOOK_EVERY);
            tokio::select! {
                () = sleep_until(look) => {}
                // The endpoint that would tell is gone: it has ended as well.
                _ = self.ending.wait_for(|ends| *ends) => return false,
            }
            if look == at {
                return (viewer.stays)();
            }
        }
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
/// Of them by visitors of whom no orders are taken, and so many listings.
const MOST_OF_READERS: usize = 8;
/// Whether the session of a viewer has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(2);
/// For the engine to answer; a comment takes the place of an answer that is late.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use actix_web::body::to_bytes;

    use super::*;
    use crate::admin::fake::Fake;

    #[actix_rt::test]
    async fn a_stream_ends_with_the_session_of_its_viewer() {
        let (_ending, ends) = watch::channel(false);
        let (streams, session) = (Streams::new(ends), Rc::new(Cell::new(true)));
        let stays = Rc::clone(&session);
        let viewer = Viewer { is_operator: true, stays: Box::new(move || stays.get()) };
        let response = streams.respond(Fake::default(), viewer).unwrap();
        let read = actix_rt::spawn(to_bytes(response.into_body()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        session.set(false);
        let begin = Instant::now();
        let Ok(octets) = read.await.unwrap() else { panic!("it is whole") };
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert!(octets.starts_with(b"event: overview\n"), "{octets:?}");
        assert_eq!(streams.open.load(Relaxed), 0);
    }
}
