//! Which of the addresses that an expansion looked up lead somewhere.
//!
//! An address that was looked up before is not looked up again, which is right for a duplicate and
//! ends every circle. Whoever stands in a circle and has no way out of it would get nothing, and
//! nobody would hear of it: they are found here, once all ways are known.

use std::collections::HashMap;

use relais_channels::mail::ErrorsTo;
use relais_config::grammar::table_key;

/// The addresses that were looked up, and who led to whom.
#[derive(Default)]
pub(super) struct Circles {
    /// By address, in the spelling that keys of tables have.
    known: HashMap<String, usize>,
    nodes: Vec<Node>,
}

struct Node {
    address: String,
    errors_to: Option<ErrorsTo>,
    /// Addresses that led here: the first one is the one that found it.
    from: Vec<usize>,
    /// To a way, or to a failure that is told of.
    leads: bool,
}

/// A member that leads only back to itself.
pub(super) struct Circular {
    /// As it was found.
    pub(super) address: String,
    /// Hears of it in the sender's place.
    pub(super) errors_to: Option<ErrorsTo>,
}

impl Circles {
    /// An address about to be looked up; `None` when it was before. Until [`Self::defer_to_members`]
    /// it counts as one that leads somewhere: it may fail, and is told of then.
    pub(super) fn enter(
        &mut self,
        address: &str,
        from: Option<usize>,
        errors_to: Option<&ErrorsTo>,
    ) -> Option<usize> {
        let key = table_key(address);
        if let Some(known) = self.known.get(&key) {
            self.nodes[*known].from.extend(from);
            return None;
        }
        let node = self.nodes.len();
        self.known.insert(key, node);
        self.nodes.push(Node {
            address: address.to_owned(),
            errors_to: errors_to.cloned(),
            from: from.into_iter().collect(),
            leads: true,
        });
        Some(node)
    }

    /// Whether `address` is that of `from` itself.
    pub(super) fn is_same(&self, address: &str, from: Option<usize>) -> bool {
        from.is_some() && self.known.get(&table_key(address)).copied() == from
    }

    /// It leads where its members lead.
    pub(super) fn defer_to_members(&mut self, node: usize) {
        self.nodes[node].leads = false;
    }

    /// The address led to a way, or to a failure that is told of.
    pub(super) fn mark_leading(&mut self, node: Option<usize>) {
        if let Some(node) = node {
            self.nodes[node].leads = true;
        }
    }

    /// The address with which it began; empty when nothing was looked up.
    pub(super) fn recipient(&self) -> &str {
        self.nodes.first().map_or("", |node| &node.address)
    }

    /// The members that lead only back to themselves, each where it is first named by one that leads
    /// somewhere. None when nobody leads anywhere: then it is the recipient itself that is in a circle.
    pub(super) fn circular(self) -> Vec<Circular> {
        let mut nodes = self.nodes;
        let mut reached: Vec<usize> = (0..nodes.len()).filter(|n| nodes[*n].leads).collect();
        while let Some(node) = reached.pop() {
            for from in std::mem::take(&mut nodes[node].from) {
                if !nodes[from].leads {
                    nodes[from].leads = true;
                    reached.push(from);
                }
            }
        }
        let leads: Vec<bool> = nodes.iter().map(|node| node.leads).collect();
        let first = |node: &Node| !node.leads && node.from.first().is_some_and(|from| leads[*from]);
        let circular = nodes.into_iter().filter(first);
        circular.map(|Node { address, errors_to, .. }| Circular { address, errors_to }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds the circular ones, given which address leads to which, and which have a way of their
    /// own.
    fn circular(edges: &[(&str, &[&str])], ends: &[&str]) -> Vec<String> {
        let mut circles = Circles::default();
        let mut pending = vec![(edges[0].0, None)];
        while let Some((address, from)) = pending.pop() {
            let Some(node) = circles.enter(address, from, None) else { continue };
            circles.defer_to_members(node);
            if ends.contains(&address) {
                circles.mark_leading(Some(node));
            }
            let led = edges.iter().find(|edge| edge.0 == address);
            let led = led.map_or(&[][..], |edge| edge.1);
            pending.extend(led.iter().rev().map(|to| (*to, Some(node))));
        }
        circles.circular().into_iter().map(|it| it.address).collect()
    }

    #[test]
    fn only_who_has_no_way_out_of_a_circle_is_named() {
        let none: [&str; 0] = [];
        assert_eq!(circular(&[("l", &["u", "x"]), ("u", &["u"])], &["x"]), ["u"]);
        // One's own mailbox, and a forward to oneself.
        assert_eq!(circular(&[("l", &["u", "x"]), ("u", &["u"])], &["u", "x"]), none);
        // Two lists in each other: both have members, or one is but another name of the other.
        assert_eq!(circular(&[("a", &["b", "x"]), ("b", &["a", "y"])], &["x", "y"]), none);
        assert_eq!(circular(&[("a", &["b", "x"]), ("b", &["a"])], &["x"]), none);
        // A circle of three beside somebody: once, by the name that the list has.
        let three: [(&str, &[&str]); 4] =
            [("l", &["p", "x"]), ("p", &["q"]), ("q", &["r"]), ("r", &["p"])];
        assert_eq!(circular(&three, &["x"]), ["p"]);
        assert_eq!(circular(&three, &["x", "r"]), none);
        // One name in three spellings.
        let spellings: [(&str, &[&str]); 2] =
            [("l", &["bö@ü.test", "x"]), ("bö@ü.test", &["BÖ@ü.test", "bo\u{308}@xn--tda.test"])];
        assert_eq!(circular(&spellings, &["x"]), ["bö@ü.test"]);
        // Nobody leads anywhere: that is the recipient's own refusal.
        assert_eq!(circular(&[("a", &["b"]), ("b", &["a"])], &[]), none);
    }
}
