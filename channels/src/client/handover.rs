//! One message and all its recipients, in as many transactions as the server wants.
//!
//! Which recipients go together, and what their transactions come to. A recipient whose folder a server
//! does not know has its mailbox named in the next one: no script of a user bounces his mail. Guaranteed:
//! each transaction settles at least one recipient, or has it named by its mailbox, so there are no more
//! of them than twice the recipients.

use std::collections::{BTreeMap, HashMap, HashSet};

use smallvec::SmallVec;

use super::{OutgoingRcpt, chunk::ChunkReplies, rendition::Converted};
use crate::mail::{Address, Attempt, Outcome, Peer, RecipientSet, Reply, SiteTrouble};

/// Most messages have one recipient at a destination.
type Places = SmallVec<[usize; 2]>;

/// A message on its way.
#[derive(Debug)]
pub struct Handover<'a> {
    recipients: &'a [OutgoingRcpt<'a>],
    most: usize,
    /// For each recipient, a number that all have whose addresses servers may take for its own. Empty
    /// where that does not matter.
    alike: Vec<usize>,
    /// The same for the mailboxes of those that have one of their own; empty where none has.
    alike_inboxes: Vec<Option<usize>>,
    /// Recipients whose folder the server does not know, by their places.
    unfiled: BTreeMap<usize, Unfiled>,
    /// Of these by their numbers the ones whose mailbox is named.
    named_by_inbox: BTreeMap<usize, usize>,
    /// Recipients of the transaction at hand, by their places.
    batch: Places,
    /// Recipients that wait for their turn, the last to go first.
    waiting: Places,
    outcomes: SmallVec<[Option<Outcome>; 1]>,
    trouble: Option<SiteTrouble>,
    peer: Option<Peer>,
}

/// A recipient whose folder the server does not know.
#[derive(Clone, Debug)]
struct Unfiled {
    refusal: Reply,
    /// The place of a recipient that has the copy for their mailbox; `None`: it has one of its own.
    copy_of: Option<usize>,
}

/// The result of one transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transacted {
    /// Its outcomes.
    pub attempt: Attempt,
    /// Recipients that the server had no more room for in this transaction, while it took others.
    /// Their turn is in the next one.
    pub left: RecipientSet,
    /// Recipients that were refused because the server does not know the folder in their address.
    pub unfiled: RecipientSet,
    /// Its content was converted for this server.
    pub converted: Option<Converted>,
    /// The server is a store of ours, took the message, and said that it is slow.
    pub stressed: bool,
    /// Its content went in one chunk with its commands, and so it was answered.
    pub chunk: Option<ChunkReplies>,
}

impl<'a> Handover<'a> {
    /// To these, at most `most` at once. Those whose addresses differ only in case go together to
    /// servers of our own alone (`private`): others are known to give one reply for both.
    pub fn new(recipients: &'a [OutgoingRcpt<'a>], most: usize, private: bool) -> Self {
        let (alike, alike_inboxes) =
            if private || recipients.len() < 2 { Default::default() } else { alike(recipients) };
        let mut handover = Self {
            recipients,
            most: most.max(1),
            alike,
            alike_inboxes,
            unfiled: BTreeMap::new(),
            named_by_inbox: BTreeMap::new(),
            batch: Places::new(),
            waiting: (0..recipients.len()).rev().collect(),
            outcomes: SmallVec::from_elem(None, recipients.len()),
            trouble: None,
            peer: None,
        };
        handover.gather();
        handover
    }

    /// Takes the recipient at this place out before anything was sent: this is what becomes of it.
    pub fn hold_back(&mut self, place: usize, outcome: Outcome) {
        self.batch.retain(|other| *other != place);
        self.waiting.retain(|other| *other != place);
        self.outcomes[place] = Some(outcome);
        self.gather();
    }

    /// Whether anything is to be handed over.
    pub fn is_needed(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Whether the transaction at hand is the last, unless the server wants more of them.
    pub fn is_last(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The recipients of the transaction at hand.
    pub fn batch(&self) -> SmallVec<[OutgoingRcpt<'a>; 1]> {
        let named = |place: &usize| {
            let to = self.recipients[*place];
            match to.inbox.filter(|_| self.unfiled.contains_key(place)) {
                Some(address) => OutgoingRcpt { address, inbox: None, ..to },
                None => to,
            }
        };
        self.batch.iter().map(named).collect()
    }

    /// Recipients whose folder the server did not know.
    pub fn unfiled(&self) -> usize {
        self.unfiled.len()
    }

    /// The transaction at hand came to this. Returns whether there is another one.
    pub fn take(&mut self, transacted: Transacted) -> bool {
        let Transacted { attempt: Attempt { outcomes, trouble, peer }, left, unfiled, .. } =
            transacted;
        let batch = std::mem::take(&mut self.batch);
        let before = self.peer.take();
        let unsure = before.as_ref().is_some_and(|peer| peer.unsure);
        let mut answered = before.map_or_else(RecipientSet::default, |peer| peer.answered);
        let is_left = |nth| left.contains(nth);
        let goes_on = trouble.is_none() && (0..batch.len()).any(|nth| !is_left(nth));
        for (nth, (place, outcome)) in batch.into_iter().zip(outcomes).enumerate().rev() {
            if goes_on && is_left(nth) {
                self.waiting.push(place);
                continue;
            }
            if let Outcome::Failed(refusal) = &outcome
                && unfiled.contains(nth)
            {
                self.unfile(place, refusal.clone());
                continue;
            }
            if peer.as_ref().is_some_and(|peer| peer.has_answered(nth)) {
                answered.insert(place);
            }
            self.outcomes[place] = Some(outcome);
        }
        if let Some(peer) = peer {
            self.peer = Some(Peer { answered, unsure: unsure || peer.unsure, ..peer });
        }
        match trouble {
            Some(trouble) => self.give_up(trouble),
            None => self.gather(),
        }
        !self.batch.is_empty()
    }

    /// The server cannot be talked to: so much for those that are left.
    pub fn give_up(&mut self, trouble: SiteTrouble) {
        self.batch.clear();
        self.waiting.clear();
        for open in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *open = Some(trouble.outcome.clone());
        }
        self.trouble = Some(trouble);
    }

    /// One outcome for each recipient.
    pub fn finish(self) -> Attempt {
        let Self { recipients, mut outcomes, unfiled, trouble, mut peer, .. } = self;
        for (place, Unfiled { copy_of, .. }) in &unfiled {
            let Some(other) = *copy_of else { continue };
            let copy = outcomes[other].clone();
            outcomes[*place] = copy;
            if let Some(peer) = peer.as_mut().filter(|peer| peer.has_answered(other)) {
                peer.answered.insert(*place);
            }
        }
        for (place, Unfiled { refusal, .. }) in &unfiled {
            if let Some(Outcome::Delivered(reply)) = outcomes[*place].take_if(is_taken) {
                let reply = reply.in_inbox(recipients[*place].address, refusal);
                outcomes[*place] = Some(Outcome::Delivered(reply));
            }
        }
        Attempt { outcomes: outcomes.into_iter().flatten().collect(), trouble, peer }
    }

    /// Has the mailbox of a recipient named whose folder the server does not know, unless a copy of the
    /// message goes there anyway.
    fn unfile(&mut self, place: usize, refusal: Reply) {
        let number = self.alike_inboxes.get(place).copied().flatten();
        let own_copy =
            |number: &usize| self.recipients.get(*number).is_some_and(|to| to.inbox.is_none());
        let copy_of = number.and_then(|number| {
            let by_inbox = self.named_by_inbox.get(&number).copied();
            by_inbox.or_else(|| Some(number).filter(own_copy))
        });
        if copy_of.is_none() {
            if let (Some(number), Some(its)) = (number, self.alike.get_mut(place)) {
                *its = number;
                self.named_by_inbox.insert(number, place);
            }
            self.waiting.push(place);
        }
        self.unfiled.insert(place, Unfiled { refusal, copy_of });
    }

    fn gather(&mut self) {
        let Self { alike, batch, waiting, .. } = self;
        let its = |place: &usize| alike.get(*place).copied();
        let mut taken: HashSet<usize> = batch.iter().filter_map(its).collect();
        let mut put_off = Places::new();
        while batch.len() < self.most
            && let Some(place) = waiting.pop()
        {
            if its(&place).is_none_or(|number| taken.insert(number)) {
                batch.push(place);
            } else {
                put_off.push(place);
            }
        }
        waiting.extend(put_off.into_iter().rev());
    }
}

fn is_taken(outcome: &mut Outcome) -> bool {
    matches!(outcome, Outcome::Delivered(_))
}

/// For each of these, the number of the first whose address servers may take for its own; and the same of
/// the mailboxes of those whose address has a folder.
fn alike(recipients: &[OutgoingRcpt<'_>]) -> (Vec<usize>, Vec<Option<usize>>) {
    let is_ascii = recipients.iter().all(|its| its.address.is_ascii());
    let form = |text: &str| {
        let address = if is_ascii { None } else { Address::parse(text).ok() };
        address.map_or_else(|| text.to_ascii_lowercase(), |its| its.normal().to_lowercase())
    };
    let mut first = HashMap::with_capacity(recipients.len());
    let number =
        |(place, its): (usize, &OutgoingRcpt<'_>)| *first.entry(form(its.address)).or_insert(place);
    let alike = recipients.iter().enumerate().map(number).collect();
    if recipients.iter().all(|its| its.inbox.is_none()) {
        return (alike, Vec::new());
    }
    let number = |(place, its): (usize, &OutgoingRcpt<'_>)| {
        Some(*first.entry(form(its.inbox?)).or_insert(recipients.len() + place))
    };
    (alike, recipients.iter().enumerate().map(number).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::mail::{Enhanced, Reply};

    fn delivered() -> Outcome {
        Outcome::Delivered(Reply::new(250, Enhanced(2, 5, 0), "OK"))
    }

    fn too_many() -> Outcome {
        Outcome::Deferred(Reply::new(452, Enhanced(4, 5, 3), "too many"))
    }

    fn transacted(
        outcomes: Vec<Outcome>,
        left: RecipientSet,
        trouble: Option<SiteTrouble>,
    ) -> Transacted {
        let peer =
            Peer { host: "s".into(), notifies: false, answered: u64::MAX.into(), unsure: false };
        Transacted {
            attempt: Attempt { outcomes: outcomes.into(), trouble, peer: Some(peer) },
            left,
            unfiled: RecipientSet::default(),
            converted: None,
            stressed: false,
            chunk: None,
        }
    }

    /// The batches of a server that takes everything.
    fn batches(addresses: &str, most: usize, private: bool) -> String {
        let recipients: Vec<_> = addresses.split(' ').map(OutgoingRcpt::new).collect();
        let mut handover = Handover::new(&recipients, most, private);
        let mut batches = Vec::new();
        loop {
            let batch: Vec<_> = handover.batch().iter().map(|to| to.address).collect();
            batches.push(batch.join(" "));
            let outcomes = vec![delivered(); batch.len()];
            if !handover.take(transacted(outcomes, 0.into(), None)) {
                break;
            }
        }
        let attempt = handover.finish();
        assert_eq!(attempt.outcomes.to_vec(), vec![delivered(); recipients.len()]);
        batches.join("|")
    }

    #[test]
    fn who_goes_together() {
        // name, addresses, at once, a server of ours, transactions
        let rows = [
            ("all", "a b c", 64, false, "a b c"),
            ("one at a time", "a b c", 1, false, "a|b|c"),
            ("two at a time", "a b c", 2, false, "a b|c"),
            ("spellings", "a@x b@x A@x A@X c@x", 9, false, "a@x b@x c@x|A@x|A@X"),
            ("spellings beyond ASCII", "a@ü.x A@xn--tda.x b@x", 9, false, "a@ü.x b@x|A@xn--tda.x"),
            ("spellings, two at a time", "a A b B", 2, false, "a b|A B"),
            ("spellings, to a store of ours", "a@x A@x", 9, true, "a@x A@x"),
        ];
        for (name, addresses, most, private, want) in rows {
            assert_eq!(batches(addresses, most, private), want, "{name}");
        }
    }

    #[test]
    fn many_recipients_beyond_ascii_take_time_by_their_number() {
        let tails = (0..1_000).map(|number| format!("b+{number}.{}@c", "u\u{308}".repeat(200)));
        let addresses: Vec<_> = tails.collect();
        let begun = Instant::now();
        assert!(!batches(&addresses.join(" "), 1_000, false).contains('|'));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_was_too_much_goes_next_as_long_as_others_are_taken() {
        let recipients = ["a", "b", "c", "d"].map(OutgoingRcpt::new);
        let mut handover = Handover::new(&recipients, 9, false);
        let addresses = |handover: &Handover<'_>| {
            handover.batch().iter().map(|to| to.address).collect::<Vec<_>>().join(" ")
        };
        let outcomes = vec![delivered(), too_many(), delivered(), too_many()];
        assert!(handover.take(transacted(outcomes, 0b1010.into(), None)));
        assert_eq!(addresses(&handover), "b d");
        assert!(handover.take(transacted(vec![delivered(), too_many()], 0b10.into(), None)));
        assert_eq!(addresses(&handover), "d");
        // Nobody is taken any more: that is all for now.
        assert!(!handover.take(transacted(vec![too_many()], 0b1.into(), None)));
        let outcomes = handover.finish().outcomes;
        assert_eq!(*outcomes, [delivered(), delivered(), delivered(), too_many()]);
    }

    #[test]
    fn who_is_held_back_is_not_named() {
        let recipients = ["a", "b", "c"].map(OutgoingRcpt::new);
        let mut handover = Handover::new(&recipients, 2, false);
        handover.hold_back(1, too_many());
        let batch: Vec<_> = handover.batch().iter().map(|to| to.address).collect();
        assert_eq!(batch, ["a", "c"]);
        assert!(handover.is_needed());
        assert!(!handover.take(transacted(vec![delivered(), delivered()], 0.into(), None)));
        assert_eq!(*handover.finish().outcomes, [delivered(), too_many(), delivered()]);
        let mut handover = Handover::new(&recipients[..1], 2, false);
        handover.hold_back(0, too_many());
        assert!(!handover.is_needed());
        assert_eq!(*handover.finish().outcomes, [too_many()]);
    }

    #[test]
    fn trouble_is_the_end_for_those_that_are_left() {
        let recipients = ["a", "b", "c"].map(OutgoingRcpt::new);
        let mut handover = Handover::new(&recipients, 1, false);
        assert!(handover.take(transacted(vec![delivered()], 0.into(), None)));
        let trouble = SiteTrouble::deferred(Reply::new(421, Enhanced(4, 3, 2), "bye"));
        assert!(!handover.take(transacted(vec![too_many()], 0.into(), Some(trouble.clone()))));
        let attempt = handover.finish();
        assert_eq!(*attempt.outcomes, [delivered(), too_many(), trouble.outcome.clone()]);
        assert_eq!(attempt.trouble, Some(trouble));
        assert_eq!(attempt.peer.expect("a peer").answered, 0b11.into());
    }

    #[test]
    fn a_folder_that_a_server_does_not_know_is_left_for_the_inbox_once() {
        const NOBODY: Reply = Reply::new(550, Enhanced(5, 1, 1), "nobody");
        let filed =
            |address, inbox| OutgoingRcpt { inbox: Some(inbox), ..OutgoingRcpt::new(address) };
        let plain = OutgoingRcpt::new;
        // recipients, those that the server knows, batches, outcomes
        let rows: [(&[OutgoingRcpt<'_>], &str, &str, &str); 9] = [
            (&[filed("a+f", "a")], "a", "a+f|a", "d"),
            (&[filed("a+f", "a")], "a+f", "a+f", "D"),
            (&[filed("a+f", "a")], "", "a+f|a", "F"),
            (&[plain("b"), filed("a+f", "a"), plain("c")], "a b c", "b a+f c|a", "DdD"),
            // The mailbox has a copy already, or gets one.
            (&[filed("a+f", "a"), plain("A")], "A", "a+f A", "dD"),
            (&[plain("a"), filed("a+f", "A")], "a", "a a+f", "Dd"),
            (&[filed("a+f", "a"), filed("a+g", "a")], "a", "a+f a+g|a", "dd"),
            (&[filed("a+f", "a"), filed("a+g", "a"), plain("b")], "", "a+f a+g b|a", "FFF"),
            (&[filed("a+f", "a"), filed("b+f", "b")], "a b", "a+f b+f|a b", "dd"),
        ];
        for (recipients, known, want, outcomes) in rows {
            let mut handover = Handover::new(recipients, 9, false);
            let mut batches = Vec::new();
            loop {
                let batch: Vec<_> = handover.batch().iter().map(|to| to.address).collect();
                batches.push(batch.join(" "));
                let outcome = |address: &&str| {
                    let is_known = known.split(' ').any(|its| its == *address);
                    if is_known { delivered() } else { Outcome::Failed(NOBODY) }
                };
                let mut transacted =
                    transacted(batch.iter().map(outcome).collect(), 0.into(), None);
                let is_filed =
                    |(nth, address): (usize, &&str)| address.contains('+').then_some(nth);
                let filed = batch.iter().enumerate().filter_map(is_filed);
                filed.for_each(|nth| transacted.unfiled.insert(nth));
                if !handover.take(transacted) {
                    break;
                }
            }
            assert_eq!(batches.join("|"), want);
            let attempt = handover.finish();
            let letter = |outcome: &Outcome| match outcome {
                Outcome::Delivered(reply) if reply.text == "OK" => 'D',
                Outcome::Delivered(reply) => {
                    assert!(
                        reply.to_string().contains("> was refused: 550 5.1.1 nobody"),
                        "{reply}"
                    );
                    'd'
                }
                Outcome::Failed(_) => 'F',
                Outcome::Deferred(_) => 'T',
            };
            let letters: String = attempt.outcomes.iter().map(letter).collect();
            assert_eq!(letters, outcomes, "{want}");
            let peer = attempt.peer.expect("a peer");
            assert!((0..recipients.len()).all(|place| peer.has_answered(place)), "{want}");
        }
    }

    #[test]
    fn a_recipient_whose_folder_was_refused_waits_where_the_server_is_in_trouble() {
        let recipients =
            [OutgoingRcpt { inbox: Some("a"), ..OutgoingRcpt::new("a+f") }, OutgoingRcpt::new("b")];
        let mut handover = Handover::new(&recipients, 9, false);
        let refused = Outcome::Failed(Reply::new(550, Enhanced(5, 1, 1), "nobody"));
        let trouble = SiteTrouble::deferred(Reply::new(421, Enhanced(4, 3, 2), "bye"));
        let transacted = Transacted {
            unfiled: 1.into(),
            ..transacted(vec![refused, too_many()], 0.into(), Some(trouble.clone()))
        };
        assert!(!handover.take(transacted));
        assert_eq!(*handover.finish().outcomes, [trouble.outcome, too_many()]);
    }
}
