//! Mailboxes whose server says that too many deliveries to them are under way at once (Dovecot 2.4 does,
//! above `lmtp_user_concurrency_limit`). From then on, and for a while, they get fewer at once; what comes
//! beyond waits for a moment like mail for any busy mailbox, and its host is not blamed.
//!
//! Nothing is counted before a server has said so: all other mail costs a look at one number.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::ids::Destination;

/// The mailboxes that were crowded of late.
#[derive(Debug, Default)]
pub struct Crowds {
    /// How many there are.
    count: AtomicUsize,
    mailboxes: Mutex<HashMap<CrowdKey, Crowd>>,
}

/// A mailbox: where its mail goes, and its address there, in lower case.
type CrowdKey = (Destination, Box<str>);

#[derive(Debug)]
struct Crowd {
    /// Deliveries at once.
    most: usize,
    now: usize,
    /// When it was said last.
    said: Instant,
}

/// A delivery to a mailbox that is counted. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Delivering {
    crowds: Arc<Crowds>,
    mailbox: CrowdKey,
}

/// The mailbox has as many deliveries as it may have now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Crowded {
    /// The deliveries it may have.
    pub(super) most: usize,
}

impl Crowds {
    /// Whether no mailbox is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Begins a delivery; `None`: this mailbox is not counted.
    pub(super) fn begin(
        self: &Arc<Self>,
        destination: &Destination,
        address: &str,
    ) -> Result<Option<Delivering>, Crowded> {
        let mailbox = mailbox(destination, address);
        let mut mailboxes = self.lock();
        let Some(crowd) = mailboxes.get_mut(&mailbox) else { return Ok(None) };
        if crowd.now == 0 && crowd.said.elapsed() > REMEMBERED {
            mailboxes.remove(&mailbox);
            self.count.store(mailboxes.len(), Relaxed);
            return Ok(None);
        }
        if crowd.now >= crowd.most {
            return Err(Crowded { most: crowd.most });
        }
        crowd.now += 1;
        Ok(Some(Delivering { crowds: Arc::clone(self), mailbox }))
    }

    /// Its server said that there are too many at once.
    pub(super) fn note(&self, destination: &Destination, address: &str) {
        let mut mailboxes = self.lock();
        if mailboxes.len() >= MOST_MAILBOXES {
            mailboxes.retain(|_, crowd| crowd.now > 0 || crowd.said.elapsed() <= REMEMBERED);
        }
        let mailbox = mailbox(destination, address);
        let said = Instant::now();
        if let Some(crowd) = mailboxes.get_mut(&mailbox) {
            // Refusals at the same moment say one thing.
            if said - crowd.said > AT_ONCE {
                crowd.most = (crowd.most / 2).max(1);
            }
            crowd.said = said;
        } else if mailboxes.len() < MOST_MAILBOXES {
            mailboxes.insert(mailbox, Crowd { most: AT_FIRST, now: 0, said });
        }
        self.count.store(mailboxes.len(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CrowdKey, Crowd>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        if let Some(crowd) = self.crowds.lock().get_mut(&self.mailbox) {
            debug_assert!(crowd.now > 0, "it was counted when it began");
            crowd.now = crowd.now.saturating_sub(1);
        }
    }
}

fn mailbox(destination: &Destination, address: &str) -> CrowdKey {
    (destination.clone(), address.to_ascii_lowercase().into())
}

/// Deliveries at once to a mailbox that was crowded once; Dovecot's own limit is 10.
const AT_FIRST: usize = 4;
/// For how long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Within this time it is said once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Mailboxes that are counted.
const MOST_MAILBOXES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    fn host() -> Destination {
        Destination { channel: ChannelId(0), host: "a".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowded_mailbox_gets_fewer_at_once_until_that_is_forgotten() {
        let crowds = Arc::new(Crowds::default());
        let begin = |address: &str| crowds.begin(&host(), address);
        assert!(crowds.is_empty());
        assert!(begin("a@b").is_ok_and(|begun| begun.is_none()), "nobody has said anything");
        crowds.note(&host(), "A@b");
        assert!(!crowds.is_empty());
        let held: Vec<_> = (0..AT_FIRST).map(|_| begin("a@B").expect("room")).collect();
        assert!(held.iter().all(Option::is_some));
        assert_eq!(begin("a@b").err(), Some(Crowded { most: AT_FIRST }));
        assert!(begin("c@b").is_ok_and(|begun| begun.is_none()), "another mailbox");
        drop(held);
        // Said at once by others, and later once more.
        crowds.note(&host(), "a@b");
        tokio::time::advance(2 * AT_ONCE).await;
        crowds.note(&host(), "a@b");
        let held: Vec<_> = (0..AT_FIRST / 2).map(|_| begin("a@b").expect("room")).collect();
        assert_eq!(begin("a@b").err(), Some(Crowded { most: AT_FIRST / 2 }));
        for _ in 0..10 {
            tokio::time::advance(2 * AT_ONCE).await;
            crowds.note(&host(), "a@b");
        }
        drop(held);
        let one = begin("a@b").expect("always one");
        assert_eq!(begin("a@b").err(), Some(Crowded { most: 1 }));
        tokio::time::advance(REMEMBERED).await;
        assert!(begin("a@b").is_err(), "it is still under way");
        drop(one);
        tokio::time::advance(AT_ONCE).await;
        assert!(begin("a@b").is_ok_and(|begun| begun.is_none()) && crowds.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let crowds = Arc::new(Crowds::default());
        for n in 0..MOST_MAILBOXES + 10 {
            crowds.note(&host(), &format!("u{n}@b"));
        }
        assert_eq!(crowds.lock().len(), MOST_MAILBOXES);
        tokio::time::advance(REMEMBERED + AT_ONCE).await;
        crowds.note(&host(), "late@b");
        assert_eq!(crowds.lock().len(), 1);
    }
}
