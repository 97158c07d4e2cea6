//! How far scripts may redirect one message. Pure.

use std::collections::HashSet;

use relais_channels::mail::{Address, Enhanced, Reply};

use crate::router::Routes;

/// Addresses, in lower case, that the scripts of one recipient, and those behind it, redirect a message to.
#[derive(Debug, Default)]
pub struct Redirects(HashSet<String>);

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

impl Redirects {
    /// Goes on from the end of a chain to an address: 5 one behind the other at most, 20 of one recipient.
    pub fn follow(&mut self, chain: &RedirectChain, address: &str) -> Redirected {
        let folded = address.to_ascii_lowercase();
        let RedirectChain(chain) = chain;
        if chain.contains(&folded) || chain.len() > IN_A_ROW || self.0.len() >= MOST {
            return Redirected::TooFar;
        }
        if !self.0.insert(folded.clone()) {
            return Redirected::Known;
        }
        Redirected::On(RedirectChain(chain.iter().cloned().chain([folded]).collect()))
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
const MALFORMED: Reply = Reply::new(553, Enhanced(5, 1, 3), "malformed address");

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(redirects: &mut Redirects, chain: &RedirectChain, to: &str) -> Option<RedirectChain> {
        match redirects.follow(chain, to) {
            Redirected::On(chain) => Some(chain),
            Redirected::Known | Redirected::TooFar => None,
        }
    }

    #[test]
    fn redirects_end_in_circles_behind_each_other_and_in_number() {
        let mut redirects = Redirects::default();
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

        let mut redirects = Redirects::default();
        let chain = RedirectChain::new("ann@a.test");
        let all = (0..2 * MOST)
            .filter(|n| follow(&mut redirects, &chain, &format!("u{n}@a.test")).is_some());
        assert_eq!(all.count(), MOST);
    }
}
