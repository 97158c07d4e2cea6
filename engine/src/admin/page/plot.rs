//! Plots of the last hour and day, drawn as SVG.

use maud::{Markup, html};

use super::parts::grouped;

/// A line of a plot.
pub(super) struct Curve {
    /// The class of its colour.
    pub(super) class: &'static str,
    /// The word of its key.
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
}

/// A plot, its lines from the lowest to the uppermost.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    /// The unit of the values: `/s`.
    pub(super) unit: &'a str,
    pub(super) lines: &'a [Curve],
}

impl Plot<'_> {
    /// The picture, with its key and its figures in words.
    pub(super) fn figure(&self) -> Markup {
        let Self { title, unit, lines } = self;
        let most = lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max);
        let top = top_of(most);
        // The uppermost is told first.
        let words: Vec<_> = lines.iter().rev().map(|line| self.words(line)).collect();
        let steps = lines.iter().map(|line| line.values.len()).max().unwrap_or(1).max(2) - 1;
        html! {
            figure {
                figcaption {
                    b { (title) } span { "up to " (figure(top)) (unit) }
                }
                svg .plot role="img" aria-label={ (title) ": " (words.join("; ")) }
                    viewBox={ "0 0 " (steps) " " (HEIGHT) } preserveAspectRatio="none" {
                    path .axis d={ "M0 0H" (steps) "M0 " (HEIGHT / 2) "H" (steps) "M0 " (HEIGHT) "H" (steps) };
                    @for line in *lines { path class=(line.class) d=(path(&line.values, top)); }
                }
                figcaption {
                    @for (line, words) in lines.iter().rev().zip(&words) { span .key.(line.class) { (words) } }
                }
            }
        }
    }

    fn words(&self, line: &Curve) -> String {
        let now = line.values.last().copied().unwrap_or_default();
        let most = line.values.iter().copied().fold(0.0, f64::max);
        let unit = self.unit;
        format!("{} {}{unit} now, {}{unit} at most", line.name, figure(now), figure(most))
    }
}

/// `0`, `0.25`, `12.5`, `1,250`.
pub(super) fn figure(value: f64) -> String {
    if value >= 100.0 {
        #[expect(clippy::cast_sign_loss, reason = "a count, or a rate of one")]
        return grouped(value.round() as u64);
    }
    let digits = if value >= 10.0 { 1 } else { 2 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The next of 1, 2, 5, 10, 20, ... that is no less.
fn top_of(most: f64) -> f64 {
    let mut unit = 1.0;
    while unit < 1e15 {
        if let Some(top) =
            [1.0, 2.0, 5.0].map(|step| step * unit).into_iter().find(|top| *top >= most)
        {
            return top;
        }
        unit *= 10.0;
    }
    most
}

/// The way of a line: a point a step; those in the middle of a level stretch are left out.
fn path(values: &[f64], top: f64) -> String {
    use std::fmt::Write;
    let height = f64::from(HEIGHT);
    let y = |value: f64| ((1.0 - value / top) * height * 10.0).round() / 10.0;
    let ys: Vec<f64> = values.iter().map(|value| y(*value)).collect();
    let mut path = String::new();
    for (x, y) in ys.iter().enumerate() {
        let is = |at: Option<usize>| {
            at.and_then(|at| ys.get(at)).is_some_and(|other| (other - y).abs() < 0.05)
        };
        if is(x.checked_sub(1)) && is(Some(x + 1)) {
            continue;
        }
        let pen = if x == 0 { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{pen}{x} {y}");
    }
    path
}

/// Units of the picture from its foot to its top.
const HEIGHT: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_with_a_round_number() {
        for (most, top) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (7.0, 10.0),
            (120.0, 200.0),
            (1e6, 1e6),
        ] {
            assert!((top_of(most) - top).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn figures_are_as_long_as_they_tell_something() {
        for (value, want) in [
            (0.0, "0"),
            (0.254, "0.25"),
            (2.0, "2"),
            (12.34, "12.3"),
            (99.0, "99"),
            (1_250.4, "1,250"),
        ] {
            assert_eq!(figure(value), want);
        }
    }

    #[test]
    fn a_line_goes_from_step_to_step_and_level_stretches_cost_nothing() {
        assert_eq!(path(&[0.0, 1.0, 2.0], 2.0), "M0 100L1 50L2 0");
        assert_eq!(path(&[0.0; 360], 1.0), "M0 100L359 100");
        assert_eq!(path(&[1.0, 1.0, 1.0, 0.0], 1.0), "M0 0L2 0L3 100");
        assert_eq!(path(&[], 1.0), "");
        let lines = [Curve { class: "in", name: "in", values: vec![0.0, 3.0] }];
        let shown = Plot { title: "Mail", unit: "/s", lines: &lines }.figure().into_string();
        assert!(shown.contains("aria-label=\"Mail: in 3/s now, 3/s at most\""), "{shown}");
        assert!(shown.contains("up to 5/s") && shown.contains("d=\"M0 100L1 40\""), "{shown}");
    }
}
