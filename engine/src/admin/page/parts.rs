//! Small pieces that views are made of.

use std::time::Duration;

use maud::{Markup, Render, display, html};
use relais_actors::{events::Printable, timestamp::Timestamp};
pub(super) use relais_config::units::grouped;
use serde::Serialize;

use crate::show::{Size, Span};

/// A table that scrolls within itself. A head that begins with `>` is one of figures, which are aligned
/// to the right; without heads there is none.
pub(super) fn table(caption: &str, heads: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div .scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption .unseen { (caption) }
                thead { tr {
                    @for head in heads {
                        @match head.strip_prefix('>') {
                            Some(head) => th scope="col" .figure { (head) },
                            None => th scope="col" { (head) },
                        }
                    }
                } }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// A part of a view, under a heading. The head of its table is said to be that of the section.
pub(super) fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            (body)
        }
    }
}

/// A figure with its name and its unit.
pub(super) fn tile(name: &str, figure: &impl Render, unit: &str) -> Markup {
    html! {
        div .tile { dt { (name) } dd { b { (figure) } @if !unit.is_empty() { " " span { (unit) } } } }
    }
}

/// A cell of a count: with separators, and sortable.
pub(super) fn count(number: u64) -> Markup {
    html! { td .figure .none[number == 0] data-sort=(number) { (grouped(number)) } }
}

/// A cell of octets.
pub(super) fn octets(number: u64) -> Markup {
    html! { td .figure data-sort=(number) { (display(Size(number))) } }
}

/// A cell of the time that has passed since.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> Markup {
    let Some(since) = since else { return html! { td .figure .none data-sort="-1" { "–" } } };
    let passed = since.until(now);
    html! {
        td .figure data-sort=(passed.as_secs()) {
            time datetime=(display(since)) title=(display(since)) { (display(Span(passed))) }
        }
    }
}

/// A cell of so many seconds.
pub(super) fn seconds(seconds: Option<u64>) -> Markup {
    let Some(seconds) = seconds else {
        return html! { td .figure .none data-sort="-1" { "–" } };
    };
    let age = Span(Duration::from_secs(seconds));
    html! { td .figure data-sort=(seconds) { (display(age)) } }
}

/// A point in time that is still to come, or has been.
pub(super) fn moment(at: Option<Timestamp>, now: Timestamp) -> Markup {
    let Some(at) = at else { return html! { td .figure .none data-sort="0" { "–" } } };
    let words = crate::show::Relative { time: Some(at), now };
    html! {
        td .figure data-sort=(at.0) {
            time datetime=(display(at)) title=(display(at)) { (display(words)) }
        }
    }
}

/// A cell of text that somebody else chose.
pub(super) fn text(text: &str) -> Markup {
    html! { td .text { (foreign(text)) } }
}

/// Text that somebody else chose, without what would turn or hide the text around it.
pub(super) fn foreign(text: &str) -> impl Render + '_ {
    display(Printable(text))
}

/// A word for a state, in a colour that says the same.
pub(super) fn badge(word: &str) -> Markup {
    let mood = match word {
        "running" | "ready" | "delivered" | "up" | "active" | "good" => "good",
        "delayed" | "held" | "suspended" | "limited" | "draining" | "starting" | "retiring"
        | "ending" => "fair",
        "stopped" | "failed" | "down" | "lost" | "away" | "bad" => "bad",
        _ => "plain",
    };
    html! { span class={ "badge " (mood) } { (word) } }
}

/// The queue browser with these filters.
pub(super) fn queue_link(filters: &impl Serialize) -> String {
    match serde_urlencoded::to_string(filters) {
        Ok(filters) if !filters.is_empty() => format!("/queue?{filters}"),
        _ => "/queue".to_owned(),
    }
}

/// Words in place of an empty table.
pub(super) fn nothing(words: &str) -> Markup {
    html! { p .empty { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_escaped_and_turns_nothing_around() {
        let shown = text("<script>\u{202e}\"&\u{7}").into_string();
        assert_eq!(shown, "<td class=\"text\">&lt;script&gt;?&quot;&amp;?</td>");
        assert_eq!(queue_link(&[("host", "a&b=c")]), "/queue?host=a%26b%3Dc");
        assert_eq!(queue_link(&[("", ""); 0]), "/queue");
    }
}
