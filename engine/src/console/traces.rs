//! Traces of messages: asked of the history, of the queue, and of the stores behind this relay.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use futures_util::future::join_all;
use relais_channels::mail::MessageId;
use relais_config::Config;
use relais_history::History;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    entries::is_delivered_to_all,
    parts::{Parts, unavailable},
};
use crate::{
    admin::{
        client::{Client, ClientError, with_query},
        console::{Answer, Nonsense, Unavailable},
        socket,
    },
    api::{
        ForgetOrder, StoreTrace, TraceAnswer, TraceForgotten, TraceQuestion, TracedMessage,
        UnaskedStore,
    },
    state::history,
};

pub(super) async fn trace(
    parts: &Parts,
    config: &Config,
    question: TraceQuestion,
) -> Answer<Result<TraceAnswer, Nonsense>> {
    let (its, alone) = (parts.history.clone(), question.alone);
    let own = socket::path(&config.data);
    let asked = spawn_blocking(move || history::trace((&its, &own), &question)).await;
    let mut answer = match asked.map_err(|error| Unavailable(error.to_string()))? {
        Ok(answer) => answer.map_err(|error| Unavailable(error.to_string()))?,
        Err(mistake) => return Ok(Err(Nonsense(mistake.to_string()))),
    };
    let queued = queued(parts, &answer.messages).await?;
    for message in &mut answer.messages {
        message.queued = Some(id_of(message).is_some_and(|id| queued.contains(&id)));
    }
    if !alone {
        ask_stores(config, &mut answer).await;
    }
    Ok(Ok(answer))
}

/// Has each store say what became of the messages there.
async fn ask_stores(config: &Config, answer: &mut TraceAnswer) {
    let own = socket::path(&config.data);
    let stores = config.history.stores.iter().map(|socket| config.path(socket));
    // The history of this engine has been searched already.
    let stores = stores.filter(|socket| !is_same(socket, &own));
    let ids: Vec<_> = answer.messages.iter().filter_map(|message| message.id.clone()).collect();
    let asked = stores.map(|socket| {
        let ids = &ids;
        async move { (socket.display().to_string(), ask_store(&socket, ids).await) }
    });
    for (socket, said) in join_all(asked).await {
        // Each store costs a question for each message.
        if let Some(error) = left_out(ids.len()) {
            answer.unasked.push(UnaskedStore { socket: socket.clone(), error });
        }
        let found = match said {
            Ok(found) => found,
            Err(error) => {
                answer.unasked.push(UnaskedStore { socket, error });
                continue;
            }
        };
        for message in &mut answer.messages {
            let its = message.id.as_ref().and_then(|id| found.get(id));
            if let Some(messages) = its {
                let (socket, messages) = (socket.clone(), messages.clone());
                message.stores.push(StoreTrace { socket, messages });
            }
        }
    }
}

/// Tells of the messages that no store is asked about.
fn left_out(ids: usize) -> Option<String> {
    let beyond = ids.saturating_sub(MOST_ASKED);
    (beyond > 0).then(|| {
        format!("about the oldest {beyond} of these messages: name one of them, or narrow it down")
    })
}

/// The messages of a store by the ids that we gave them.
async fn ask_store(
    socket: &Path,
    ids: &[String],
) -> Result<HashMap<String, Vec<TracedMessage>>, String> {
    let client = Client::of_socket(socket);
    let ask = async {
        let mut found = HashMap::new();
        for id in ids.iter().take(MOST_ASKED) {
            let question = TraceQuestion {
                name: id.clone(),
                limit: Some(history::MOST_COPIES),
                alone: true,
                ..TraceQuestion::default()
            };
            let answer: TraceAnswer = client.get(&with_query("/api/v1/trace", &question)).await?;
            if !answer.messages.is_empty() {
                found.insert(id.clone(), answer.messages);
            }
        }
        Ok::<_, ClientError>(found)
    };
    let late = |_| format!("no answer within {} s", STORE_TIME.as_secs());
    timeout(STORE_TIME, ask).await.map_err(late)?.map_err(|error| error.to_string())
}

/// Messages that wait in the queue: one look at the spool for all of them.
async fn queued(parts: &Parts, messages: &[TracedMessage]) -> Answer<HashSet<MessageId>> {
    let ids = messages.iter().filter_map(id_of).collect();
    let found = parts.storage.find_all(ids).await.map_err(unavailable)?;
    let waits = found.iter().filter(|entry| !is_delivered_to_all(entry));
    Ok(waits.map(|entry| entry.id).collect())
}

fn id_of(message: &TracedMessage) -> Option<MessageId> {
    message.id.as_ref()?.parse().ok()
}

/// Whether it is the same socket, by whatever name.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).map(|its| (its.dev(), its.ino())).ok();
    one == other || place(one).is_some_and(|place_of_one| place(other) == Some(place_of_one))
}

pub(super) async fn forget(parts: &Parts, order: &ForgetOrder) -> Answer<TraceForgotten> {
    let (its, address): (History, _) = (parts.history.clone(), order.address.clone());
    let forgotten = spawn_blocking(move || history::forget(&its, &address)).await;
    let forgotten = forgotten.map_err(|error| Unavailable(error.to_string()))?;
    let forgotten = forgotten.map_err(|error| Unavailable(error.to_string()))?;
    let (records, shortened) = (forgotten.records, forgotten.shortened);
    let by = if order.by.is_empty() { "an operator" } else { &order.by };
    // The address is not named: it is to be forgotten.
    tracing::info!(by, records, shortened, "an address was forgotten in the delivery history");
    Ok(TraceForgotten { records, shortened })
}

/// For all that one store is asked.
const STORE_TIME: Duration = Duration::from_secs(5);
/// Messages that a store is asked about.
const MOST_ASKED: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_those_that_stores_are_asked_about_are_told() {
        assert_eq!(left_out(MOST_ASKED), None);
        let told = left_out(MOST_ASKED + 3).unwrap_or_default();
        assert!(told.contains("oldest 3 of"), "{told}");
    }
}
