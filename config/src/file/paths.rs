//! Paths of fields: `channels[3].pool`.

/// Whether the field `inner` is `outer` or a part of it.
pub(crate) fn lies_in(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| !outer.is_empty() && (rest.is_empty() || rest.starts_with(['.', '['])))
}

/// Where the default of a channel's or a service's field is written.
pub(crate) fn default_of(path: &str) -> Option<String> {
    for (list, defaults) in
        [("channels[", "channel_defaults"), ("dispatcher.services[", "dispatcher")]
    {
        if let Some((_, field)) = path.strip_prefix(list).and_then(|rest| rest.split_once("].")) {
            return Some(format!("{defaults}.{field}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_in_what_they_are_a_part_of() {
        for (inner, outer, want) in [
            ("a.b", "a", true),
            ("a[1].b", "a[1]", true),
            ("a", "a", true),
            ("ab", "a", false),
            ("a[11]", "a[1]", false),
            ("a", "", false),
        ] {
            assert_eq!(lies_in(inner, outer), want, "{inner} {outer}");
        }
    }
}
