//! Rules about replies: those that nothing comes of.

use crate::{
    file::reader::Reader,
    sections::{
        channel::Channel,
        destinations::{Becomes, ReplyRule},
    },
};

/// Warns of rules that do nothing, and of those that an earlier one hides. `place`: of a field of the
/// channel.
pub(super) fn check(channel: &Channel, place: &impl Fn(&str) -> String, reader: &mut Reader<'_>) {
    let rules = &channel.destinations.replies;
    let is_sound =
        |i: usize| reader.is_sound(&place(&format!("destinations.replies[{i}].pattern")));
    if !(0..rules.len()).all(is_sound) {
        return;
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = |field: &str| place(&format!("destinations.replies[{i}].{field}"));
        if rule.says_nothing() {
            let message = "the rule leads to nothing: slow_down, suspend or becomes would";
            reader.warning_at(&path("pattern"), message, false);
            continue;
        }
        if let Some(words) = becomes_what_it_is(rule) {
            reader.warning_at(&path("becomes"), words, false);
        }
        if rule.slow_down.is_none() && reader.is_given_itself(&path("lasts")) {
            let message = "without slow_down nothing is slowed down for this time";
            reader.warning_at(&path("lasts"), message, false);
        }
        let hides = |first: &&ReplyRule| first.pattern.covers(&rule.pattern);
        if let Some(first) = rules[..i].iter().find(hides) {
            let message = format!(
                "the rule is never reached: all that it means is meant by {:?} before it",
                first.pattern.to_string()
            );
            reader.warning_at(&path("pattern"), &message, false);
        }
    }
}

/// The words about `becomes`, if the replies are that by themselves.
fn becomes_what_it_is(rule: &ReplyRule) -> Option<&'static str> {
    let class = match rule.becomes {
        Becomes::Itself => return None,
        Becomes::Temporary => 4,
        Becomes::Permanent => 5,
    };
    let words = "the replies that are meant are that by their code already";
    rule.pattern.is_of_class(class).then_some(words)
}
