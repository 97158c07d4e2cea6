//! The operator and the order behind the words of a change.

/// The order behind words such as `held by order 7 of alice: TEXT`, or `deleted by bob`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrderedBy<'a> {
    /// The deed: `held`, `released`, ...
    pub done: &'static str,
    /// The number of the standing order, if it was one.
    pub order: Option<u64>,
    /// The operator, as far as that is known.
    pub operator: Option<&'a str>,
    /// The reason that was given; empty: none.
    pub reason: &'a str,
}

impl<'a> OrderedBy<'a> {
    /// Reads the words. `None`: no operator's order has such.
    pub fn of(words: &'a str) -> Option<Self> {
        let behind =
            |done: &'static str| Some((done, words.strip_prefix(done)?.strip_prefix(" by ")?));
        let (done, who) = DONE.into_iter().find_map(behind)?;
        let (who, reason) = who.split_once(": ").unwrap_or((who, ""));
        let Some((number, rest)) = numbered(who) else {
            let operator = (who != NOBODY).then_some(who);
            return Some(Self { done, order: None, operator, reason });
        };
        Some(Self { done, order: Some(number), operator: rest.strip_prefix(" of "), reason })
    }
}

/// The number in `order 7 of alice`, and what is behind it.
pub fn numbered(who: &str) -> Option<(u64, &str)> {
    let rest = who.strip_prefix("order ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// In place of an operator who gives no name.
pub const NOBODY: &str = "an operator";
/// The deeds of orders.
pub(crate) const DONE: [&str; 6] =
    ["held", "released", "to be tried now", "returned", "deleted", "routed again"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_order_operator_and_reason() {
        let by = |done, order, operator, reason| Some(OrderedBy { done, order, operator, reason });
        let rows = [
            ("held by bob: look: at it", by("held", None, Some("bob"), "look: at it")),
            ("released by an operator", by("released", None, None, "")),
            ("held by order 7 of uid 0: x", by("held", Some(7), Some("uid 0"), "x")),
            ("routed again by order 7: x", by("routed again", Some(7), None, "x")),
            ("held by order of the house", by("held", None, Some("order of the house"), "")),
            ("passes on as it is: too late", None),
            ("channel hold holds all its mail", None),
        ];
        for (words, want) in rows {
            assert_eq!(OrderedBy::of(words), want, "{words}");
        }
    }
}
