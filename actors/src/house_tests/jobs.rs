//! Jobs that connect to nobody: they pull, and do what the script says.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use relais_channels::mail::{Attempt, Enhanced, MessageId, Outcome, Peer, Reply, SiteTrouble};
use relais_storage::open_recipients;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    actor::{Actor, Ctx, Handle, Mailbox},
    delivery::job::{EndJob, RunConnection},
    delivery::presence::Presence,
    queue::{Pull, Queue, Settle, Settled, Tracked, Work},
};

/// The fate of the messages of a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    Deliver,
    /// And tell the sender.
    DeliverAndTell,
    /// The sender is told of the first, the second is refused, the others are deferred.
    TellOfFirst,
    Defer,
    /// The first recipient is refused, the others are deferred.
    RefuseFirst,
    Panic,
    /// Nobody answers.
    Trouble,
}

/// The script that all stand-ins go by, and their doings.
#[derive(Default)]
pub(super) struct Script {
    deeds: RefCell<HashMap<String, Deed>>,
    /// Jobs wait for leave before each message that they have taken.
    gate: RefCell<Option<Rc<Semaphore>>>,
    taken: RefCell<Vec<MessageId>>,
    in_hand: Cell<usize>,
    connections: Cell<usize>,
}

/// A job.
pub(super) struct StandIn {
    queue: Mailbox<Queue>,
    script: Rc<Script>,
    ended: CancellationToken,
}

/// Counts one more for as long as it lives, panics included.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn one(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Script {
    /// From now on, this becomes of what goes to `host`. Else it is delivered.
    pub(super) fn set(&self, host: &str, deed: Deed) {
        self.deeds.borrow_mut().insert(host.to_owned(), deed);
    }

    /// From now on, each message waits for leave to be dealt with.
    pub(super) fn close_gate(&self) {
        *self.gate.borrow_mut() = Some(Rc::new(Semaphore::new(0)));
    }

    /// Lets so many messages pass.
    pub(super) fn let_pass(&self, messages: usize) {
        self.gate.borrow().as_ref().expect("a gate").add_permits(messages);
    }

    /// Lets all pass that come.
    pub(super) fn open_gate(&self) {
        if let Some(gate) = self.gate.borrow_mut().take() {
            gate.add_permits(10_000);
        }
    }

    /// Every message that was taken, in order.
    pub(super) fn taken(&self) -> Vec<MessageId> {
        self.taken.borrow().clone()
    }

    /// Messages that connections have taken and not dealt with.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand.get()
    }

    /// Connections now.
    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }
}

impl StandIn {
    pub(super) fn new(queue: Mailbox<Queue>, script: Rc<Script>) -> Self {
        Self { queue, script, ended: CancellationToken::new() }
    }
}

impl Actor for StandIn {
    const NAME: &'static str = "job";
}

impl Handle<RunConnection> for StandIn {
    fn handle(&mut self, RunConnection(presence): RunConnection, _: &mut Ctx<Self>) {
        let (queue, script) = (self.queue.clone(), self.script.clone());
        let ended = self.ended.clone();
        actix::spawn(async move {
            serve(&queue, &script, &presence, ended).await;
            presence.finish();
        });
    }
}

impl Handle<EndJob> for StandIn {
    fn handle(&mut self, _: EndJob, _: &mut Ctx<Self>) {
        self.ended.cancel();
    }
}

async fn serve(
    queue: &Mailbox<Queue>,
    script: &Script,
    presence: &Presence,
    ended: CancellationToken,
) {
    let _connection = Counted::one(&script.connections);
    let (connection, destination) = (presence.connection, presence.destination.clone());
    let mut settled = None;
    loop {
        if ended.is_cancelled() {
            if let Some(settled) = settled {
                queue.tell(Settle { connection, destination, settled });
            }
            return;
        }
        let (reply, mut next) = oneshot::channel();
        let pulled = destination.clone();
        let settled_before = settled.take();
        let pull =
            Pull { connection, destination: pulled, settled: settled_before, ahead: false, reply };
        queue.tell(pull);
        let work = tokio::select! {
            biased;
            work = &mut next => work.ok(),
            () = ended.cancelled() => {
                next.close();
                next.try_recv().ok()
            }
        };
        let Some(work) = work else { return };
        let done = deal_with(script, &destination.host, work).await;
        if done.attempt.trouble.is_some() {
            queue.tell(Settle { connection, destination, settled: done });
            return;
        }
        settled = Some(done);
    }
}

async fn deal_with(script: &Script, host: &str, work: Work) -> Settled {
    let mut settled = deal_with_entry(script, host, work.entry).await;
    for entry in work.joined {
        settled.joined.push(deal_with_entry(script, host, entry).await);
    }
    settled
}

async fn deal_with_entry(script: &Script, host: &str, entry: Tracked) -> Settled {
    let _message = Counted::one(&script.in_hand);
    script.taken.borrow_mut().push(entry.id);
    let gate = script.gate.borrow().clone();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let deed = script.deeds.borrow().get(host).copied().unwrap_or(Deed::Deliver);
    let peer =
        Some(Peer { host: host.into(), notifies: false, answered: u64::MAX.into(), unsure: false });
    let all = |outcome: Outcome| open_recipients(entry.open).map(|_| outcome.clone()).collect();
    let later = || Outcome::Deferred(Reply::new(451, Enhanced(4, 3, 0), "not now"));
    let (outcomes, trouble, peer) = match deed {
        Deed::Deliver | Deed::DeliverAndTell => {
            (all(Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "OK"))), None, peer)
        }
        Deed::TellOfFirst => {
            let mut outcomes: Vec<_> = all(later());
            outcomes[0] = Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "OK"));
            if let Some(second) = outcomes.get_mut(1) {
                *second = Outcome::Failed(Reply::new(550, Enhanced(5, 1, 1), "who?"));
            }
            (outcomes, None, peer)
        }
        Deed::Defer => (all(later()), None, peer),
        Deed::RefuseFirst => {
            let mut outcomes: Vec<_> = all(later());
            outcomes[0] = Outcome::Failed(Reply::new(550, Enhanced(5, 1, 1), "who?"));
            (outcomes, None, peer)
        }
        Deed::Panic => panic!("as the test wants it"),
        Deed::Trouble => {
            let reply = Reply::new(451, Enhanced(4, 4, 1), "nobody answers");
            (all(Outcome::Deferred(reply.clone())), Some(SiteTrouble::deferred(reply)), None)
        }
    };
    let attempt = Attempt { outcomes: outcomes.into(), trouble, peer };
    let counts = Work::counts(&entry, &attempt);
    let reached = open_recipients(entry.open).zip(&attempt.outcomes);
    let reached = reached.filter(|(_, outcome)| matches!(outcome, Outcome::Delivered(_)));
    let tells = matches!(deed, Deed::DeliverAndTell | Deed::TellOfFirst);
    let success_notices =
        if tells { reached.fold(0, |all, (index, _)| all | 1 << index) } else { 0 };
    Settled {
        entry,
        attempt,
        counts,
        success_notices,
        trip: None,
        stressed: false,
        put_off: None,
        joined: Vec::new(),
    }
}
