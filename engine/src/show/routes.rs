//! Many routes, a line for each recipient that comes out.

use relais_actors::events::Printable;

use super::{Look, Table};
use crate::api::{RouteExplained, RouteResult};

/// Pages of them, so that a list of any length takes no memory to speak of.
pub struct Routes {
    look: Look,
    page: Vec<RouteExplained>,
    /// Of the columns so far.
    widths: Option<Vec<usize>>,
}

impl Routes {
    /// For a reader whose screen is like this.
    pub fn new(look: Look) -> Self {
        Self { look, page: Vec::new(), widths: None }
    }

    /// One more.
    pub fn add(&mut self, route: RouteExplained) {
        self.page.push(route);
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
        let mut table = Table::new(&["=ADDRESS", "2CHANNEL", "=TO", "=NEXT HOP", "1~REPLY"]);
        let routes: Vec<_> = self.page.drain(..).collect();
        for route in &routes {
            let RouteExplained { input, reply, results, .. } = route;
            if results.is_empty() {
                table.row([input, &"-", &"refused", &"-", reply]);
            }
            for result in results {
                table.row([input, &result.channel, &result.address, &result.next_hop, &""]);
            }
        }
        if let Some(widths) = self.widths.as_ref().filter(|_| self.look.width.is_none()) {
            table.below(widths);
        }
        self.widths = Some(table.widths());
        if table.is_narrow(self.look) { table.fit(self.look) } else { in_lines(&routes, self.look) }
    }
}

/// Each address, and below it what comes of it: for screens too narrow for columns.
fn in_lines(routes: &[RouteExplained], look: Look) -> String {
    let mut page = String::new();
    for RouteExplained { input, reply, results, .. } in routes {
        page += &look.fit(&format!("{}\n", Printable(input)));
        if results.is_empty() {
            page += &look.fit(&format!("  refused: {}\n", Printable(reply)));
        }
        for RouteResult { address, channel, next_hop, .. } in results {
            let (address, next_hop) = (Printable(address), Printable(next_hop));
            page += &look.fit(&format!("  => {address} by {channel} to {next_hop}\n"));
        }
    }
    page
}

/// Addresses that share their columns' widths.
const PAGE: usize = 500;
