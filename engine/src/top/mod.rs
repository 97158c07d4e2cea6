//! `relais top`: the engine on a terminal, asked again and again, steered by keys.
//!
//! [`app`] decides what a key does and what is to be asked; [`screen`] draws it; here is the terminal.

mod app;
mod screen;

use std::{io, thread, time::Duration};

use futures_util::stream::{FuturesOrdered, StreamExt};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::app::{App, TopAnswer, TopQuestion};
use crate::{
    admin::client::{Client, ClientError, with_query},
    api::QueuedEntry,
    signals::came,
};

/// Shows the engine until the operator has seen enough, or the process is told to end. The terminal is as
/// before afterwards, after a panic as well.
pub async fn show(client: &Client) -> io::Result<()> {
    let terminal = ratatui::try_init()?;
    let shown = follow(client, terminal).await;
    ratatui::restore();
    shown
}

async fn follow(client: &Client, mut terminal: DefaultTerminal) -> io::Result<()> {
    let mut app = App::default();
    let mut typed = typed();
    let mut ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .map(|kind| signal(kind));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let [terminate, hang_up, interrupt] = &mut ends;
    // Keys and signals count while the engine is asked, however long it takes.
    let mut asking = FuturesOrdered::new();
    loop {
        terminal.draw(|frame| screen::draw(&mut app, frame))?;
        tokio::select! {
            event = typed.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => app.press(key),
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
            // An engine that is slow is not asked more and more.
            _ = ticks.tick() => if asking.is_empty() { app.refresh() },
            Some((asked, loaded)) = asking.next() => app.take(&asked, loaded),
            () = came(terminate.as_mut().ok()) => return Ok(()),
            () = came(hang_up.as_mut().ok()) => return Ok(()),
            () = came(interrupt.as_mut().ok()) => return Ok(()),
        }
        if app.has_ended() {
            return Ok(());
        }
        let asked = app.take_asked().into_iter().take(MOST_ASKED.saturating_sub(asking.len()));
        asking.extend(asked.map(|asked| async {
            let loaded = ask(client, &asked).await;
            (asked, loaded)
        }));
    }
}

/// Keys, from a thread that ends with the process: reading waits for the next one.
fn typed() -> mpsc::Receiver<Event> {
    let (to, typed) = mpsc::channel(KEYS);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if to.blocking_send(event).is_err() {
                return;
            }
        }
    });
    typed
}

async fn ask(client: &Client, asked: &TopQuestion) -> Result<TopAnswer, String> {
    let of = |id: &str, what: &str| format!("/api/v1/queue/{id}{what}");
    let loaded = match asked {
        TopQuestion::Overview => {
            client.get("/api/v1/overview").await.map(Box::new).map(TopAnswer::Overview)
        }
        TopQuestion::Queue(filter) => {
            let mut entries = Vec::new();
            let each = |line: &[u8]| {
                let entry = serde_json::from_slice::<QueuedEntry>(line);
                let unusable = |error: serde_json::Error| ClientError::Unusable(error.to_string());
                entries.push(entry.map_err(unusable)?);
                Ok::<_, ClientError>(())
            };
            let listed = client.lines(&with_query("/api/v1/queue", filter), each).await;
            listed.map(|()| TopAnswer::Queue(entries))
        }
        TopQuestion::Message(id) => client.get(&of(id, "")).await.map(TopAnswer::Message),
        TopQuestion::Why(id) => client.get(&of(id, "/why")).await.map(TopAnswer::Why),
    };
    loaded.map_err(|error| error.to_string())
}

/// How often the engine is asked.
const EVERY: Duration = Duration::from_secs(2);
/// Questions that wait for an answer at once; with more, keys ask nothing.
const MOST_ASKED: usize = 8;
/// Keys that wait for an answer of the engine.
const KEYS: usize = 64;
