//! Addresses that two configurations route in different ways.

use std::iter;

use relais_actors::events::Printable;

use super::{Colour, Look, Table};
use crate::api::{RouteDifference, RouteExplained};

/// Pages of them, so that a list of any length takes no memory to speak of.
pub struct Differences {
    look: Look,
    page: Vec<RouteDifference>,
    /// Of the columns so far.
    widths: Option<Vec<usize>>,
}

impl Differences {
    /// For a reader whose screen is like this.
    pub fn new(look: Look) -> Self {
        Self { look, page: Vec::new(), widths: None }
    }

    /// One more.
    pub fn add(&mut self, difference: RouteDifference) {
        self.page.push(difference);
    }

    /// The rows that have come, once they are enough for a page; else nothing.
    pub fn full_page(&mut self) -> String {
        if self.page.len() < PAGE { String::new() } else { self.last_page() }
    }

    /// The rows that are left.
    pub fn last_page(&mut self) -> String {
        if self.page.is_empty() {
            return String::new();
        }
        let page = std::mem::take(&mut self.page);
        let mut table = Table::new(&["=ADDRESS", "=BEFORE", "=AFTER"]);
        for RouteDifference { input, before, after, .. } in &page {
            let (befores, afters) = changed(before, after);
            let (mut befores, mut afters) = (befores.into_iter(), afters.into_iter());
            let mut address = input.as_str();
            // Several ways stand below each other.
            let rows = iter::from_fn(|| match (befores.next(), afters.next()) {
                (None, None) => None,
                (before, after) => Some((before.unwrap_or_default(), after.unwrap_or_default())),
            });
            for (was, is) in rows {
                table.row([&address, &was, &is]);
                if !after.accepted {
                    table.mark(2, Colour::Red);
                } else if !before.accepted {
                    table.mark(2, Colour::Green);
                }
                address = "";
            }
        }
        if let Some(widths) = self.widths.as_ref().filter(|_| self.look.width.is_none()) {
            table.below(widths);
        }
        self.widths = Some(table.widths());
        if self.look.width.is_none() || table.is_narrow(self.look) {
            table.fit(self.look)
        } else {
            in_lines(&page, self.look)
        }
    }
}

/// Each address, and below it the ways before and after: for screens too narrow for columns.
fn in_lines(differences: &[RouteDifference], look: Look) -> String {
    let mut page = String::new();
    for RouteDifference { input, before, after, .. } in differences {
        page += &look.fit(&format!("{}\n", Printable(input)));
        let (befores, afters) = changed(before, after);
        for (sign, ends, colour) in [("-", befores, Colour::Red), ("+", afters, Colour::Green)] {
            for end in ends {
                let mut line = String::new();
                look.paint(&mut line, Some(colour), &format!("  {sign} {}", Printable(&end)));
                page += &look.fit(&format!("{line}\n"));
            }
        }
    }
    page
}

/// The ends that only one of two routes has.
fn changed(before: &RouteExplained, after: &RouteExplained) -> (Vec<String>, Vec<String>) {
    let (befores, afters) = (ends(before), ends(after));
    let only = |of: &[String], other: &[String]| {
        of.iter().filter(|end| !other.contains(end)).cloned().collect()
    };
    (only(&befores, &afters), only(&afters, &befores))
}

/// Each end of a route in a few words.
fn ends(route: &RouteExplained) -> Vec<String> {
    if route.results.is_empty() {
        return vec![route.reply.clone()];
    }
    let end = |result: &crate::api::RouteResult| {
        let limit = result.size_limit.map(|octets| format!(", at most {octets} octets"));
        let quota = result.quota.map(|quota| format!(", quota {quota}"));
        format!(
            "{} {} {}{}{}",
            result.channel,
            result.next_hop,
            result.address,
            quota.unwrap_or_default(),
            limit.unwrap_or_default()
        )
    };
    route.results.iter().map(end).collect()
}

/// Addresses that share their columns' widths.
const PAGE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RouteResult;

    fn explained(results: &[(&str, &str)]) -> RouteExplained {
        let result = |(channel, address): &(&str, &str)| RouteResult {
            channel: (*channel).to_owned(),
            address: (*address).to_owned(),
            next_hop: "host:25".to_owned(),
            ..RouteResult::default()
        };
        RouteExplained {
            input: "team@relais.example".to_owned(),
            accepted: !results.is_empty(),
            reply: "550 5.1.1 nobody".to_owned(),
            results: results.iter().map(result).collect(),
            ..RouteExplained::default()
        }
    }

    #[test]
    fn only_ends_that_differ_are_shown() {
        let before = explained(&[("a", "alice"), ("a", "bob")]);
        let rows = [
            (&[("b", "alice"), ("a", "bob")][..], "a host:25 alice  b host:25 alice\n"),
            (&[("a", "bob")], "a host:25 alice  \n"),
            (&[], "a host:25 alice  550 5.1.1 nobody\n                     a host:25 bob    \n"),
        ];
        for (after, want) in rows {
            let after = explained(after);
            let difference = RouteDifference::between(None, before.clone(), after.clone());
            let mut all = Differences::new(Look::PLAIN);
            all.add(difference.unwrap());
            let page = all.last_page();
            let trimmed: Vec<_> = page.lines().skip(1).map(str::trim_end).collect();
            let want = format!("team@relais.example  {want}");
            let want: Vec<_> = want.lines().map(str::trim_end).collect();
            assert_eq!(trimmed, want, "{page}");
            let mut narrow = Differences::new(Look { width: Some(30), colour: false });
            narrow.add(RouteDifference::between(None, before.clone(), after).unwrap());
            let page = narrow.last_page();
            assert!(page.contains("\n  - a host:25 alice\n"), "{page}");
            assert!(page.lines().all(|line| line.chars().count() <= 30), "{page}");
        }
    }
}
