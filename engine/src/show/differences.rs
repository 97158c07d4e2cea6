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
            let (mut befores, mut afters) = (ends(before).into_iter(), ends(after).into_iter());
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
        for (sign, side, colour) in [("-", before, Colour::Red), ("+", after, Colour::Green)] {
            for end in ends(side) {
                let mut line = String::new();
                look.paint(&mut line, Some(colour), &format!("  {sign} {}", Printable(&end)));
                page += &look.fit(&format!("{line}\n"));
            }
        }
    }
    page
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
