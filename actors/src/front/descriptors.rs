//! Open files: how many the process may have, and how many of them connections from outside may
//! take. What disk, operators and deliveries need is kept for them, and every service has a share
//! of its own: a flood of clients on one keeps nobody else from working.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The open files of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptors {
    /// As many as the process may have.
    pub limit: usize,
    /// Connections from outside that there may be at once.
    pub connections: usize,
}

impl Descriptors {
    /// Raises the limit of the process as far as the system lets it, and keeps `reserved` for what
    /// is no connection from outside.
    pub fn raise(reserved: usize) -> Self {
        let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: maximum, maximum };
        if current != maximum && setrlimit(Resource::Nofile, raised).is_ok() {
            current = maximum;
        }
        let limit = current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Self::within(limit, reserved)
    }

    /// With a limit of so many open files. However low it is, half of it is for connections.
    fn within(limit: usize, reserved: usize) -> Self {
        let reserved = reserved.min(limit / 2);
        Self { limit, connections: (limit - reserved) / EACH }
    }

    /// Divides the connections between services that want so many each. Who wants little gets it
    /// all; the others get the same.
    pub fn shares(&self, wanted: &[usize]) -> Vec<usize> {
        let mut by_size: Vec<_> = wanted.iter().copied().enumerate().collect();
        by_size.sort_by_key(|(_, wanted)| *wanted);
        let (mut left, mut shares) = (self.connections, vec![0; wanted.len()]);
        for (served, (i, wanted)) in by_size.into_iter().enumerate() {
            shares[i] = wanted.min((left / (shares.len() - served)).max(1));
            left = left.saturating_sub(shares[i]);
        }
        shares
    }
}

/// A connection has its socket, and a file when its message is large.
const EACH: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_is_not_reserved_and_at_least_half() {
        // limit, reserved, connections
        let rows =
            [(1_024, 500, 262), (1_000_000, 500, 499_750), (256, 500, 64), (3, 0, 1), (0, 9, 0)];
        for (limit, reserved, connections) in rows {
            assert_eq!(Descriptors::within(limit, reserved).connections, connections, "{limit}");
        }
    }

    #[test]
    fn who_wants_little_gets_it_and_nobody_gets_nothing() {
        // connections, wanted, shares
        let rows: [(usize, &[usize], &[usize]); 5] = [
            (1_000, &[500, 500], &[500, 500]),
            (100, &[500, 500], &[50, 50]),
            (100, &[500, 10, 500], &[45, 10, 45]),
            (0, &[500, 500], &[1, 1]),
            (7, &[], &[]),
        ];
        for (connections, wanted, shares) in rows {
            let descriptors = Descriptors { limit: 0, connections };
            assert_eq!(descriptors.shares(wanted), shares, "{connections} {wanted:?}");
        }
    }
}
