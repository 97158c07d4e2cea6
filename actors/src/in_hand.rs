//! The message that a session or a job has in hand: log lines that name no message are found by it.
//!
//! It changes with every message while the span of the session or job stays, so it is kept beside
//! the span: to name it costs nothing until a line asks.

use std::{cell::Cell, future::Future};

use relais_channels::mail::MessageId;

tokio::task_local! {
    static IN_HAND: Cell<Option<MessageId>>;
}

/// Works on `future`, which has a hand of its own, empty at first.
pub fn with_hand<F: Future>(future: F) -> impl Future<Output = F::Output> {
    IN_HAND.scope(Cell::new(None), future)
}

/// Takes a message in hand, or lays down the one that is. Outside of [`with_hand`] nothing happens.
pub fn hold(message: Option<MessageId>) {
    // There is no hand, and no line will ask.
    let _ = IN_HAND.try_with(|hand| hand.set(message));
}

/// The message in hand.
pub fn message() -> Option<MessageId> {
    IN_HAND.try_with(Cell::get).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_has_a_message_of_its_own_in_hand() {
        let busy = |id: u64| {
            with_hand(async move {
                assert_eq!(message(), None);
                hold(Some(MessageId(id)));
                tokio::task::yield_now().await;
                assert_eq!(message(), Some(MessageId(id)));
                hold(None);
                tokio::task::yield_now().await;
                assert_eq!(message(), None);
            })
        };
        tokio::join!(busy(1), busy(2));
        hold(Some(MessageId(3)));
        assert_eq!(message(), None, "nobody's hand");
    }
}
