//! Outcomes of a message at servers that stand in for each other: what one does not take for now, the
//! next is asked to take.

use smallvec::SmallVec;

use super::lacking::is_of_server;
use crate::mail::{Attempt, Outcome, Peer, RecipientSet};

/// A message at the first of its servers, and those behind it.
#[derive(Debug)]
pub struct AtServers {
    attempt: Attempt,
    /// Recipients that no server has taken, by their places.
    open: SmallVec<[usize; 2]>,
}

impl AtServers {
    /// At the first server it came to this.
    pub fn first(attempt: Attempt) -> Self {
        let mut at = Self { attempt, open: SmallVec::new() };
        at.open = (0..at.attempt.outcomes.len()).collect();
        let Attempt { outcomes, peer, .. } = &at.attempt;
        at.open.retain(|place| is_open(&outcomes[*place], peer.as_ref(), *place));
        at
    }

    /// Recipients that the next server may take, by their places.
    pub fn open(&self) -> &[usize] {
        &self.open
    }

    /// At the next server it came to this, for those that were open.
    pub fn next(&mut self, next: Attempt) {
        let Attempt { outcomes, peer, trouble } = next;
        let was = &mut self.attempt;
        let is_final = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
        // Senders hear who refused; who answered last is of interest to us alone.
        let is_open_still = |place: usize| self.open.contains(&place);
        let keeps_peer =
            (0..).zip(&was.outcomes).any(|(n, its)| is_final(its) && !is_open_still(n));
        let mut answered = RecipientSet::default();
        let mut left = SmallVec::new();
        for (nth, (place, outcome)) in self.open.iter().copied().zip(outcomes).enumerate() {
            let says = peer.as_ref().is_some_and(|peer| peer.has_answered(nth));
            let said = was.peer.as_ref().is_some_and(|peer| peer.has_answered(place));
            if is_open(&outcome, peer.as_ref(), nth) {
                left.push(place);
            }
            if says {
                answered.insert(place);
            }
            // A server's own words tell more than that the next is not there; and one that lacks something
            // decides nothing for one that was away.
            let waits = matches!(was.outcomes[place], Outcome::Deferred(_));
            let is_less = match &outcome {
                Outcome::Deferred(_) => said,
                other => waits && is_of_server(other),
            };
            if says || !is_less {
                was.outcomes[place] = outcome;
            }
        }
        self.open = left;
        // The destination is there as long as one of its servers is.
        if was.trouble.is_some() {
            was.trouble = trouble;
        }
        was.peer = match (was.peer.take(), peer) {
            (Some(before), Some(peer)) => {
                let notifies = before.notifies && peer.notifies;
                let unsure = before.unsure || peer.unsure;
                let host = if keeps_peer {
                    answered = before.answered;
                    before.host
                } else {
                    answered.extend(&before.answered);
                    peer.host
                };
                Some(Peer { host, notifies, answered, unsure })
            }
            (None, Some(peer)) => Some(Peer { answered, ..peer }),
            (before, None) => before,
        };
    }

    /// One outcome for each recipient.
    pub fn finish(self) -> Attempt {
        self.attempt
    }
}

/// Whether another server may take a recipient. One that may have been delivered to waits: a second
/// copy so soon helps nobody.
fn is_open(outcome: &Outcome, peer: Option<&Peer>, place: usize) -> bool {
    let may_be_there = peer.is_some_and(|peer| peer.unsure && !peer.has_answered(place));
    let is_ours = !peer.is_some_and(|peer| peer.has_answered(place));
    // Another server may offer SMTPUTF8.
    matches!(outcome, Outcome::Deferred(_)) && !may_be_there || is_ours && is_of_server(outcome)
}

#[cfg(test)]
mod tests {
    use super::{super::lacking, *};
    use crate::mail::{Enhanced, Reply, SiteTrouble};

    /// `D`, `T`, `F` or `L`, which lacks something, for each recipient, in lower case where it is our word
    /// alone; `!` behind them:
    /// the server is in trouble, `?`: its replies were lost. Empty: no server was reached.
    fn attempt(text: &str, host: &str) -> Attempt {
        let letters = text.trim_end_matches(['!', '?']);
        let reply = |code| Reply::with_text(code, Enhanced(4, 0, 0), host.to_owned());
        let outcome = |letter: char| match letter.to_ascii_uppercase() {
            'D' => Outcome::Delivered(reply(250)),
            'T' => Outcome::Deferred(reply(451)),
            'L' => lacking::room((2, 1), false),
            _ => Outcome::Failed(reply(550)),
        };
        let bits = letters.chars().enumerate();
        let mut answered = RecipientSet::default();
        let upper = bits.filter(|(_, letter)| letter.is_uppercase());
        upper.for_each(|(place, _)| answered.insert(place));
        let is_reached = !text.contains('!') || !answered.is_empty();
        Attempt {
            outcomes: letters.chars().map(outcome).collect(),
            trouble: text.contains('!').then(|| SiteTrouble::deferred(reply(451))),
            peer: is_reached.then(|| Peer {
                host: host.into(),
                notifies: host == "a",
                answered,
                unsure: text.contains('?'),
            }),
        }
    }

    fn shown(attempt: &Attempt) -> String {
        let outcomes = attempt.outcomes.iter().map(|outcome| {
            let letter = match outcome {
                Outcome::Delivered(_) => 'D',
                Outcome::Deferred(_) => 'T',
                Outcome::Failed(_) => 'F',
            };
            if is_of_server(outcome) {
                return "L".to_owned();
            }
            format!("{letter}{}", outcome.reply().text)
        });
        let peer = attempt.peer.as_ref().map_or("-".into(), |peer| peer.host.clone());
        let trouble = if attempt.trouble.is_some() { "!" } else { "" };
        format!("{} {peer}{trouble}", outcomes.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_recipient_ends_where_it_was_taken_last() {
        // at the first server, those that are open, at the second, in the end
        let rows = [
            ("DTF", "1", "D", "Da Db Fa a"),
            ("TT", "0 1", "DT", "Db Tb b"),
            ("TT", "0 1", "FD", "Fb Db b"),
            ("tt!", "0 1", "DD", "Db Db b"),
            ("tt!", "0 1", "tt!", "Tb Tb -!"),
            ("DT", "1", "t!", "Da Ta a"),
            ("Tt!", "0 1", "tt!", "Ta Tb a!"),
            ("Dtt?", "", "", "Da Ta Ta a"),
            ("TDt?", "0", "D", "Db Da Ta b"),
            ("DD", "", "", "Da Da a"),
            // A server that lacks something settles it where no other was away.
            ("l", "0", "l", "L b"),
            ("ll", "0 1", "Dt!", "Db Tb b"),
            ("t!", "0", "l", "Ta b"),
            ("T", "0", "l", "Ta b"),
            ("tl", "0 1", "ll", "Ta L b"),
        ];
        for (first, open, second, want) in rows {
            let mut at = AtServers::first(attempt(first, "a"));
            let places: Vec<_> = at.open().iter().map(ToString::to_string).collect();
            assert_eq!(places.join(" "), open, "{first}");
            if !second.is_empty() {
                at.next(attempt(second, "b"));
            }
            assert_eq!(shown(&at.finish()), want, "{first} {second}");
        }
    }

    #[test]
    fn a_third_server_gets_what_two_did_not_take() {
        let mut at = AtServers::first(attempt("TTT", "a"));
        at.next(attempt("TDT", "b"));
        assert_eq!(at.open(), [0, 2]);
        at.next(attempt("DF", "c"));
        assert_eq!(at.open(), [0; 0]);
        let attempt = at.finish();
        assert_eq!(shown(&attempt), "Dc Db Fc c");
        let peer = attempt.peer.unwrap();
        assert_eq!((peer.answered, peer.notifies), (RecipientSet::from(0b111), false));
    }
}
