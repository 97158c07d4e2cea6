//! How much mail a client or a user sends in an hour.
//!
//! An hour slides: what came in the last full hour counts less and less while the next one passes. A
//! party that others crowd out of the table begins anew.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::unsync::Cache;
use relais_channels::mail::{Enhanced, Reply};
use relais_config::{Channel, channel::Excess, dispatcher::Clients, grammar::Network};

use super::seats::host;

/// The mail of all parties, by all channels.
#[derive(Debug)]
pub struct Rates(Mutex<Cache<Party, Counts>>);

/// A sender of mail: a client by one channel, a user by all.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Party {
    channel: Option<Arc<str>>,
    who: Sender,
}

/// A sender of mail.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Sender {
    Client(Network),
    User(Box<str>),
}

/// The mail of one party.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages: Hours,
    recipients: Hours,
}

/// A count over the last hour.
#[derive(Clone, Copy, Debug, Default)]
struct Hours {
    since: Option<Instant>,
    now: usize,
    before: usize,
}

/// The limits of one channel, and what counts for them.
#[derive(Clone, Debug)]
pub struct RateLimits {
    rates: Arc<Rates>,
    channel: Arc<str>,
    clients: Clients,
    client: Most,
    user: Most,
    excess: Excess,
}

/// The most of one party in an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    messages: Option<usize>,
    recipients: Option<usize>,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reached {
    Messages(usize),
    Recipients(usize),
}

/// The party of one session, and its limits.
#[derive(Clone, Debug, Default)]
pub(super) struct RateParties {
    parties: Vec<(Party, Most)>,
}

impl Default for Rates {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(PARTIES)))
    }
}

impl RateLimits {
    /// The limits of a channel and a service.
    pub fn new(rates: Arc<Rates>, channel: &Channel, clients: &Clients) -> Self {
        Self {
            rates,
            channel: channel.name.as_str().into(),
            clients: clients.clone(),
            client: Most {
                messages: channel.client_messages_per_hour,
                recipients: channel.client_recipients_per_hour,
            },
            user: Most {
                messages: channel.user_messages_per_hour,
                recipients: channel.user_recipients_per_hour,
            },
            excess: channel.beyond_rates,
        }
    }

    /// The parties whose mail counts. Who is not limited is not counted.
    pub(super) fn of(
        &self,
        client: Option<IpAddr>,
        internal: bool,
        user: Option<&str>,
    ) -> RateParties {
        let client = client.filter(|client| !internal && !self.clients.are_unlimited(*client));
        let senders = [
            client.map(|client| (Sender::Client(host(client)), self.client)),
            user.map(|user| (Sender::User(user.into()), self.user)),
        ];
        let limited = senders.into_iter().flatten().filter(|(_, most)| most.is_some());
        let party = |who: Sender| {
            let channel = matches!(who, Sender::Client(_)).then(|| self.channel.clone());
            Party { channel, who }
        };
        RateParties { parties: limited.map(|(who, most)| (party(who), most)).collect() }
    }

    /// The limit that one more message, or one more recipient beyond `recipients` of this one,
    /// would exceed.
    pub(super) fn reached(&self, metered: &RateParties, recipients: usize) -> Option<Reached> {
        if metered.parties.is_empty() {
            return None;
        }
        let rates = self.rates.0.lock().unwrap_or_else(PoisonError::into_inner);
        metered.exceeded(&rates, recipients.saturating_add(1), Instant::now())
    }

    /// Counts a message to so many recipients that is about to come, or says which limit it exceeds:
    /// then it counts only where it is held. Other sessions may have sent since [`Self::reached`].
    pub(super) fn take(&self, metered: &RateParties, recipients: usize) -> Option<Reached> {
        if metered.parties.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut rates = self.rates.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = metered.exceeded(&rates, recipients, now);
        if reached.is_none() || !self.refuses() {
            metered.change(&mut rates, |counts| {
                counts.messages.add(1, now);
                counts.recipients.add(recipients, now);
            });
        }
        reached
    }

    /// The message to so many recipients did not come after all; none was counted without any.
    pub(super) fn give_back(&self, metered: &RateParties, recipients: usize) {
        if metered.parties.is_empty() || recipients == 0 {
            return;
        }
        let mut rates = self.rates.0.lock().unwrap_or_else(PoisonError::into_inner);
        metered.change(&mut rates, |counts| {
            counts.messages.now = counts.messages.now.saturating_sub(1);
            counts.recipients.now = counts.recipients.now.saturating_sub(recipients);
        });
    }

    /// Whether more is refused. Else it is held.
    pub(super) fn refuses(&self) -> bool {
        self.excess == Excess::Refuse
    }
}

impl RateParties {
    /// The limit that one more message to so many recipients would exceed.
    fn exceeded(
        &self,
        rates: &Cache<Party, Counts>,
        recipients: usize,
        now: Instant,
    ) -> Option<Reached> {
        self.parties.iter().find_map(|(party, most)| {
            let counts = rates.get(party).copied().unwrap_or_default();
            let over = |most: Option<usize>, so_far: usize, more: usize| {
                most.filter(|most| so_far.saturating_add(more) > *most)
            };
            let messages = over(most.messages, counts.messages.at(now), 1).map(Reached::Messages);
            messages.or_else(|| {
                let so_far = counts.recipients.at(now);
                over(most.recipients, so_far, recipients).map(Reached::Recipients)
            })
        })
    }

    fn change(&self, rates: &mut Cache<Party, Counts>, change: impl Fn(&mut Counts)) {
        for (party, _) in &self.parties {
            let mut counts = rates.get(party).copied().unwrap_or_default();
            change(&mut counts);
            rates.insert(party.clone(), counts);
        }
    }
}

impl Reached {
    /// The reply to MAIL or RCPT.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Messages(_) => Reply::new(450, Enhanced(4, 7, 1), "too many messages in an hour"),
            Self::Recipients(_) => {
                Reply::new(450, Enhanced(4, 7, 1), "too many recipients in an hour")
            }
        }
    }

    /// Why a message is held.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Messages(most) => format!("its sender sends more than {most} messages an hour"),
            Self::Recipients(most) => {
                format!("its sender sends to more than {most} recipients an hour")
            }
        }
    }
}

impl Most {
    fn is_some(&self) -> bool {
        self.messages.is_some() || self.recipients.is_some()
    }
}

impl Hours {
    fn add(&mut self, count: usize, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= HOUR {
            self.before = if passed < 2 * HOUR { self.now } else { 0 };
            self.now = 0;
            let whole = passed.as_secs() / HOUR.as_secs();
            self.since = Some(since + Duration::from_secs(whole * HOUR.as_secs()));
        }
        self.now = self.now.saturating_add(count);
    }

    /// The count of the hour that ends now.
    fn at(mut self, now: Instant) -> usize {
        self.add(0, now);
        let passed = self.since.map_or(HOUR, |since| now.saturating_duration_since(since));
        let left = HOUR.saturating_sub(passed).as_secs() as usize;
        self.now.saturating_add(self.before.saturating_mul(left) / HOUR.as_secs() as usize)
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
/// Parties that are counted at once.
const PARTIES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_slides() {
        let start = Instant::now();
        let minutes = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut hours = Hours::default();
        hours.add(60, minutes(0));
        hours.add(40, minutes(30));
        // When, and how many count then.
        for (at, want) in [(59, 100), (60, 100), (90, 50), (119, 1), (120, 0), (600, 0)] {
            assert_eq!(hours.at(minutes(at)), want, "after {at} minutes");
        }
        hours.add(5, minutes(61));
        assert_eq!(hours.at(minutes(90)), 55);
        assert_eq!(hours.at(minutes(150)), 2);
    }
}
