//! How far scripts may redirect one message, and which of its copies end nowhere. Pure.
//!
//! An address gets one copy, and a second one stops at "it goes there already". That holds only where
//! the first one ends somewhere: copies that wait for each other, or for an address that is gone, stay.

use std::collections::{HashMap, HashSet};

use relais_channels::mail::{Address, Enhanced, Reply};

use crate::router::Routes;

/// Addresses, in lower case, that the scripts of one recipient, and those behind it, redirect a message to;
/// and the copies, `C` each, that may have to stay.
#[derive(Debug)]
pub struct Redirects<C> {
    fates: HashMap<String, AddressEnding>,
    /// Copies of which nothing stays, and addresses that had a copy before them.
    relying: Vec<(C, Vec<String>)>,
}

/// The endings of all copies that are found for an address.
#[derive(Debug, Default)]
struct AddressEnding {
    /// One of them is in a mailbox, leaves, waits, is refused, or is thrown away.
    is_settled: bool,
    /// Where the others go on to.
    onward: Vec<String>,
}

/// The end of a copy where it is. Each copy has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// A mailbox, a folder or another host gets it, or it waits.
    Kept,
    /// The sender hears of it.
    Refused,
    /// Scripts want it so.
    ThrownAway,
    /// It is only redirected.
    Redirected {
        /// Addresses, in lower case, to which it goes on.
        onward: Vec<String>,
        /// Addresses, in lower case, that have a copy already.
        known: Vec<String>,
    },
}

/// The redirects of a copy, as they are followed.
#[derive(Debug, Default)]
pub struct Onward {
    onward: Vec<String>,
    known: Vec<String>,
}

/// The addresses, in lower case, that a message has come by, one behind the other, its own the last.
#[derive(Clone, Debug)]
pub struct RedirectChain(Vec<String>);

/// The way of a redirected copy.
#[derive(Debug)]
pub enum Redirected {
    /// The address is routed, and its scripts are carried out; the chain up to there.
    On(RedirectChain),
    /// The address gets a copy already, and no second one.
    Known,
    /// The address lies on the chain, or redirects are too many.
    TooFar,
}

impl RedirectChain {
    /// At the recipient itself.
    pub fn new(recipient: &str) -> Self {
        Self(vec![recipient.to_ascii_lowercase()])
    }
}

impl<C> Default for Redirects<C> {
    fn default() -> Self {
        Self { fates: HashMap::new(), relying: Vec::new() }
    }
}

impl<C> Redirects<C> {
    /// Goes on from the end of a chain to an address: 5 one behind the other at most, 20 of one recipient.
    pub fn follow(&mut self, chain: &RedirectChain, address: &str) -> Redirected {
        let folded = address.to_ascii_lowercase();
        let RedirectChain(chain) = chain;
        if chain.contains(&folded) || chain.len() > IN_A_ROW {
            return Redirected::TooFar;
        }
        if self.fates.contains_key(&folded) {
            return Redirected::Known;
        }
        if self.fates.len() >= MOST {
            return Redirected::TooFar;
        }
        self.fates.insert(folded.clone(), AddressEnding::default());
        Redirected::On(RedirectChain(chain.iter().cloned().chain([folded]).collect()))
    }

    /// The copy for this address waits.
    pub fn wait(&mut self, address: &str) {
        if let Some(fate) = self.fates.get_mut(&address.to_ascii_lowercase()) {
            fate.is_settled = true;
        }
    }

    /// The copy at the end of a chain ends so. `copy` says which one it is.
    pub fn end(&mut self, copy: C, RedirectChain(chain): &RedirectChain, ending: Ending) {
        let fate = chain.last().and_then(|address| self.fates.get_mut(address));
        match ending {
            Ending::Kept | Ending::Refused | Ending::ThrownAway => {
                if let Some(fate) = fate {
                    fate.is_settled = true;
                }
            }
            Ending::Redirected { onward, known } => {
                if let Some(fate) = fate {
                    fate.onward.extend(onward.into_iter().chain(known.iter().cloned()));
                }
                if !known.is_empty() {
                    self.relying.push((copy, known));
                }
            }
        }
    }

    /// Once all copies have ended: those that stay, since an address that had a copy before them lets
    /// nothing through; and that address.
    pub fn stranded(self) -> Vec<(C, String)> {
        let mut reached: HashSet<&str> = HashSet::new();
        loop {
            let gets_through = |fate: &AddressEnding| {
                fate.is_settled || fate.onward.iter().any(|to| reached.contains(&**to))
            };
            let more = self.fates.iter().filter(|(_, fate)| gets_through(fate));
            let more: HashSet<&str> = more.map(|(address, _)| &**address).collect();
            if more.len() == reached.len() {
                break;
            }
            reached = more;
        }
        let stranded = self.relying.into_iter().filter_map(|(copy, known)| {
            let nowhere = known.into_iter().find(|address| !reached.contains(&**address))?;
            Some((copy, nowhere))
        });
        stranded.collect()
    }
}

impl Onward {
    /// A copy goes on to this address.
    pub fn goes(&mut self, address: &str) {
        self.onward.push(address.to_ascii_lowercase());
    }

    /// This address has a copy already.
    pub fn is_known(&mut self, address: &str) {
        self.known.push(address.to_ascii_lowercase());
    }

    /// The end of a copy of which something stays where it is, or nothing, and that is refused, or not.
    pub fn ending(self, stays: bool, is_refused: bool) -> Ending {
        let Self { onward, known } = self;
        match (stays, is_refused) {
            (true, _) => Ending::Kept,
            (false, true) => Ending::Refused,
            (false, false) if onward.is_empty() && known.is_empty() => Ending::ThrownAway,
            (false, false) => Ending::Redirected { onward, known },
        }
    }
}

/// The address that a script redirects to. An error: it is none, or one that no stranger may write to.
pub fn redirect_target(routes: &Routes, address: &str) -> Result<Address, Reply> {
    let address = Address::parse(address).map_err(|_| MALFORMED)?;
    let is_channel = address.domain().is_some_and(|domain| routes.is_name_of_channel(domain));
    if address.route().next().is_some() || is_channel {
        return Err(INTERNAL);
    }
    Ok(address)
}

/// Redirects one behind the other.
const IN_A_ROW: usize = 5;
/// Addresses that all scripts on the way together redirect to.
const MOST: usize = 20;
/// The reply for [`Redirected::TooFar`], which no client reads.
pub const CIRCLE: Reply = Reply::new(554, Enhanced(5, 4, 6), "scripts redirect it in a circle");
const INTERNAL: Reply =
    Reply::new(550, Enhanced(5, 7, 1), "scripts redirect to addresses of users and of others only");
/// The reply for an address behind which nobody is, such as a list without members.
pub(super) const NOBODY: Reply =
    Reply::new(550, Enhanced(5, 1, 1), "nobody is behind this address");
const MALFORMED: Reply = Reply::new(553, Enhanced(5, 1, 3), "malformed address");

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn follow(
        redirects: &mut Redirects<()>,
        chain: &RedirectChain,
        to: &str,
    ) -> Option<RedirectChain> {
        match redirects.follow(chain, to) {
            Redirected::On(chain) => Some(chain),
            Redirected::Known | Redirected::TooFar => None,
        }
    }

    #[test]
    fn redirects_end_in_circles_behind_each_other_and_in_number() {
        let mut redirects = Redirects::<()>::default();
        let mut chain = RedirectChain::new("Ann@a.test");
        assert!(matches!(redirects.follow(&chain, "ANN@a.test"), Redirected::TooFar));
        for n in 0..IN_A_ROW {
            let to = format!("u{n}@a.test");
            chain = follow(&mut redirects, &chain, &to).expect("it goes on");
            assert!(matches!(redirects.follow(&chain, &to), Redirected::TooFar), "{to}");
            let first = RedirectChain::new("ann@a.test");
            assert!(matches!(redirects.follow(&first, &to), Redirected::Known), "{to}");
        }
        assert!(matches!(redirects.follow(&chain, "one@more.test"), Redirected::TooFar));

        let mut redirects = Redirects::<()>::default();
        let chain = RedirectChain::new("ann@a.test");
        let all = (0..2 * MOST)
            .filter(|n| follow(&mut redirects, &chain, &format!("u{n}@a.test")).is_some());
        assert_eq!(all.count(), MOST);
    }

    /// The actions of a user's script.
    #[derive(Clone, Debug, Default)]
    struct Script {
        keeps: bool,
        refuses: bool,
        to: Vec<String>,
    }

    /// `a: keep b c` a line.
    fn scripts(text: &str) -> HashMap<String, Script> {
        let script = |line: &str| {
            let (user, does) = line.split_once(':').unwrap();
            let mut script = Script::default();
            for word in does.split_whitespace() {
                match word {
                    "keep" => script.keeps = true,
                    "refuse" => script.refuses = true,
                    to => script.to.push(to.to_owned()),
                }
            }
            (user.trim().to_owned(), script)
        };
        text.split(';').map(script).collect()
    }

    /// Where copies for these members end, in order. Of other addresses `out` takes mail, `later` is not
    /// known now, and nobody else is there.
    fn ends(scripts: &HashMap<String, Script>, members: &[&str]) -> Vec<String> {
        let mut redirects = Redirects::default();
        let mut pending: VecDeque<RedirectChain> =
            members.iter().map(|member| RedirectChain::new(member)).collect();
        let mut ends = Vec::new();
        while let Some(chain) = pending.pop_front() {
            let at = chain.0.last().unwrap().clone();
            let Some(script) = scripts.get(&at) else {
                ends.push(at.clone());
                redirects.end(at, &chain, Ending::Kept);
                continue;
            };
            let (mut stays, mut onward) = (script.keeps, Onward::default());
            for to in &script.to {
                match redirects.follow(&chain, to) {
                    Redirected::Known => onward.is_known(to),
                    Redirected::On(chain) if scripts.contains_key(to) || to == "out" => {
                        onward.goes(to);
                        pending.push_back(chain);
                    }
                    Redirected::On(_) if to == "later" => {
                        onward.goes(to);
                        redirects.wait(to);
                        ends.push("later".to_owned());
                    }
                    Redirected::On(_) | Redirected::TooFar => stays = true,
                }
            }
            let ending = onward.ending(stays, script.refuses);
            match &ending {
                Ending::Kept => ends.push(at.clone()),
                Ending::Refused => ends.push(format!("{at} refuses")),
                Ending::ThrownAway => ends.push(format!("{at} discards")),
                Ending::Redirected { .. } => {}
            }
            redirects.end(at, &chain, ending);
        }
        ends.extend(redirects.stranded().into_iter().map(|(at, _)| at));
        ends.sort();
        ends
    }

    #[test]
    fn each_copy_ends_somewhere() {
        // scripts, members, where copies end
        let rows: [(&str, &[&str], &[&str]); 14] = [
            ("a: b c; b: c; c: b", &["a"], &["b", "c"]),
            ("a: gone; b: gone", &["a", "b"], &["a", "b"]),
            ("a: b; b: c; c: a", &["a"], &["c"]),
            ("a: b c d; b: c; c: d; d: b", &["a"], &["b", "c", "d"]),
            ("a: b; b: a", &["a", "b"], &["a", "b"]),
            ("a: c; b: c; c: keep", &["a", "b"], &["c"]),
            ("a: c; b: c; c:", &["a", "b"], &["c discards"]),
            ("a: c; b: c; c: refuse", &["a", "b"], &["c refuses"]),
            ("a: out; b: out", &["a", "b"], &["out"]),
            ("a: later; b: later", &["a", "b"], &["later"]),
            ("a: c; b: c; c: d; d: gone", &["a", "b"], &["d"]),
            ("a: b c; b: c; c: b out", &["a"], &["out"]),
            ("a: b c; b: c keep; c: b", &["a"], &["b"]),
            ("a: gone out; b: gone out", &["a", "b"], &["a", "b", "out"]),
        ];
        for (text, members, want) in rows {
            assert_eq!(ends(&scripts(text), members), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_copy_is_lost_or_ends_twice_in_a_mailbox(
            does in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0..9_usize, 0..4)), 1..7),
            members in prop::collection::hash_set(0..7_usize, 1..4),
        ) {
            let name = |n: usize| match n {
                7 => "gone".to_owned(),
                8 => "out".to_owned(),
                n => format!("u{n}"),
            };
            let all: HashMap<String, Script> = does.iter().enumerate().map(|(n, (keeps, to))| {
                let to = to.iter().map(|to| name(*to)).collect();
                (name(n), Script { keeps: *keeps, refuses: false, to })
            }).collect();
            let members: Vec<String> = members.into_iter().map(name).collect();
            for member in &members {
                let ends = ends(&all, &[member]);
                prop_assert!(!ends.is_empty(), "{all:?} {member}");
                // The recipient's own address is not among those that a copy goes to once.
                let once: HashSet<&String> = ends.iter().collect();
                prop_assert_eq!(once.len(), ends.len(), "{:?} {}: {:?}", all, member, ends);
            }
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            prop_assert!(ends(&all, &members).len() <= members.len() + MOST);
        }
    }
}
