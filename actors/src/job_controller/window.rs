//! How many connections a destination may have: as many as it has shown that it can bear. Pure.

/// The bound on the connections of one destination. It starts small, grows with every connection
/// that gets an answer, and shrinks only when the destination cannot be talked to: what it says
/// about messages is no sign of being overloaded (postfix-lmtp 1.13).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window(usize);

impl Window {
    /// Connections at once.
    pub(super) fn size(self) -> usize {
        self.0
    }

    /// One of `connections` connections got an answer. A window that is not used does not grow: it
    /// would promise what nobody has tried.
    pub(super) fn answered(&mut self, connections: usize) {
        if self.0 < connections + INITIAL {
            self.0 += 1;
        }
    }

    /// One of `connections` connections could not talk to it: that was one too many.
    pub(super) fn troubled(&mut self, connections: usize) {
        self.0 = self.0.min(connections).saturating_sub(1).max(1);
    }
}

impl Default for Window {
    fn default() -> Self {
        Self(INITIAL)
    }
}

/// Before anything is known of a destination (Postfix's `initial_destination_concurrency`).
const INITIAL: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_doubles_while_its_threads_are_answered() {
        let (mut window, mut rounds) = (Window::default(), 0);
        while window.size() < 100 {
            // Each answer lets one more connection start at once.
            (0..window.size()).for_each(|_| window.answered(window.size()));
            rounds += 1;
        }
        assert_eq!(rounds, 5);
    }

    #[test]
    fn what_becomes_of_a_window() {
        // size, connections, answered, size then
        let rows = [
            ("room that nobody uses", 5, 0, true, 5),
            ("one message at a time", 5, 1, true, 6),
            ("and another", 6, 1, true, 6),
            ("all in use", 10, 10, true, 11),
            ("one of many fails", 20, 20, false, 19),
            ("the first beyond what a server allows", 40, 21, false, 20),
            ("the last one fails", 5, 1, false, 1),
            ("never below one", 1, 0, false, 1),
        ];
        for (name, size, connections, answered, want) in rows {
            let mut window = Window(size);
            let event = if answered { Window::answered } else { Window::troubled };
            event(&mut window, connections);
            assert_eq!(window.size(), want, "{name}");
        }
    }
}
