//! Good news that the notary has yet to pass on. Mail is never stopped for it: what is too much is
//! dropped. The sender then does not hear of a delivery, which is better than no delivery.

use tracing::warn;

use crate::notary::KnownMessage;

/// How much there is of it.
#[derive(Debug, Default)]
pub(super) struct Telling {
    cases: usize,
    octets: usize,
    /// Some was dropped since there was little of it.
    drops: bool,
}

impl Telling {
    /// Whether there is room for this; else it is dropped.
    pub(super) fn takes(&mut self, message: &KnownMessage) -> bool {
        let octets = self.octets + cost(message);
        if octets <= MAX_OCTETS {
            (self.cases, self.octets) = (self.cases + 1, octets);
            return true;
        }
        if !std::mem::replace(&mut self.drops, true) {
            let id = message.envelope.id;
            warn!(%id, "good news is dropped: too much of it cannot be told in time");
        }
        false
    }

    /// This has been told, or given up.
    pub(super) fn told(&mut self, message: &KnownMessage) {
        self.cases = self.cases.saturating_sub(1);
        self.octets = self.octets.saturating_sub(cost(message));
        self.drops &= self.octets > MAX_OCTETS / 2;
    }

    /// Whether all has been told, or given up.
    pub(super) fn is_done(&self) -> bool {
        self.cases == 0
    }
}

fn cost(message: &KnownMessage) -> usize {
    CASE + message.header.len()
}

/// About 10,000 messages of the usual kind. More than that becomes due only where notices cannot be
/// written at all.
const MAX_OCTETS: usize = 32 << 20;
/// What one case holds beside the header of its message.
const CASE: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Envelope, MessageId, Priority};

    use super::*;
    use crate::events::lines::Lines;

    #[test]
    fn too_much_good_news_is_dropped_and_said_to_be_once() {
        let log = Lines::of("relais");
        let _guard = tracing::subscriber::set_default(log.clone());
        let envelope = Envelope {
            id: MessageId(7),
            received: 0,
            sender: "alice@relais.example".to_owned(),
            source_channel: "tcp_local".to_owned(),
            client: String::new(),
            eight_bit: false,
            priority: Priority::Normal,
            envelope_id: None,
            returned: None,
            held: None,
            rerouted: None,
            size: 0,
            entries: Vec::new(),
        };
        let header = vec![b'x'; 2 << 10].into();
        let news = KnownMessage { envelope: envelope.into(), header };
        let mut telling = Telling::default();
        for burst in 1..=2 {
            let taken = (0..20_000).filter(|_| telling.takes(&news)).count();
            assert!((10_000..12_000).contains(&taken), "{taken}");
            assert_eq!(log.count("good news is dropped"), burst);
            telling.told(&news);
            assert!(telling.takes(&news) && !telling.takes(&news));
            assert_eq!(log.count("good news is dropped"), burst, "the same burst");
            for _ in 0..taken {
                assert!(!telling.is_done());
                telling.told(&news);
            }
            assert!(telling.is_done());
        }
    }
}
