//! Many routes, a line for each recipient that comes out.

use relais_actors::status::RouteExplained;

use super::{Look, Table};

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

    /// What has come, once it is enough for a page; else nothing.
    pub fn full_page(&mut self) -> String {
        if self.page.len() < PAGE { String::new() } else { self.last_page() }
    }

    /// What is left.
    pub fn last_page(&mut self) -> String {
        if self.page.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["=ADDRESS", "2CHANNEL", "=TO", "=NEXT HOP", "1~REPLY"]);
        for route in self.page.drain(..) {
            let RouteExplained { input, reply, results, .. } = route;
            if results.is_empty() {
                table.row([&input, &"-", &"refused", &"-", &reply]);
            }
            for result in results {
                table.row([&input, &result.channel, &result.address, &result.next_hop, &""]);
            }
        }
        if let Some(widths) = self.widths.as_ref().filter(|_| self.look.width.is_none()) {
            table.below(widths);
        }
        self.widths = Some(table.widths());
        table.fit(self.look)
    }
}

/// Addresses that share their columns' widths.
const PAGE: usize = 500;
