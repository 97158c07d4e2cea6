//! Reasons of changes that are the engine's own. All others are words of operators, which not everybody may
//! read.

pub(super) const NOT_TOLD_NOW: &str =
    "its sender cannot be told now: it is returned once more in a while";
pub(super) const UNREADABLE: &str = "its record cannot be read";
pub(super) const SENDER_TOLD: &str = "its sender has been told";
pub(super) const SENDER_NOT_TOLD: &str = "its sender could not be told";
pub(super) const BEYOND: &str = "it was due beyond the longest wait of its channel";
pub(super) const STILL_NOWHERE: &str = "a notice that has nowhere to go still";
pub(super) const DEAD: &str = "a notice that failed itself, and that the postmaster cannot get";
/// A notice has nowhere to go.
pub(crate) const NOWHERE: &str = "a notice that has nowhere to go";
/// A piece of a message leaves as it is.
pub(crate) const PASSES_ON: &str = "passes on as it is";
/// A piece of a message is there already, or is part of one now.
pub(crate) const SAME_PIECE: &str = "the same piece as";
pub(crate) const PUT_TOGETHER: &str = "put together";
pub(crate) const PIECES_REMOVED: &str = "its pieces are removed";
/// The start of the engine takes up the routing that its end broke off.
pub const ROUTED_AGAIN: &str = "routed again";

/// Whether a reason is the engine's own. Replies and ids may stand behind it.
pub fn is_own_reason(words: &str) -> bool {
    words == ROUTED_AGAIN || OWN.iter().any(|own| words.starts_with(own))
}

/// None of these begins words of an operator: those begin with what was done, or with `order`.
const OWN: [&str; 12] = [
    NOT_TOLD_NOW,
    UNREADABLE,
    SENDER_TOLD,
    SENDER_NOT_TOLD,
    BEYOND,
    STILL_NOWHERE,
    DEAD,
    NOWHERE,
    PASSES_ON,
    SAME_PIECE,
    PUT_TOGETHER,
    PIECES_REMOVED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_operators_are_not_the_engines() {
        let rows = [
            ("routed again", true),
            ("routed again by bob: x", false),
            ("held by bob: look at it", false),
            ("to be tried now by bob", false),
            ("returned by bob: x; held in place, as the engine stopped", false),
            ("order 7 of bob until 2026-01-01T00:00:00.000Z: x", false),
            ("a notice that has nowhere to go still: 550 5.1.1 no", true),
            ("passes on as it is: it is too late", true),
            ("its record cannot be read", true),
            ("something new", false),
            ("", false),
        ];
        for (words, want) in rows {
            assert_eq!(is_own_reason(words), want, "{words}");
        }
        assert!(crate::events::DONE.iter().all(|done| !is_own_reason(&format!("{done} by x"))));
    }
}
