//! How users prove who they are, and what failures cost.

use std::time::Duration;

use crate::file::kinds::{Count, PATIENCE, WAIT};

section! {
    /// How AUTH deals with failures. Users are those of the directory: `userPassword` holds
    /// `{SSHA}`, `{SSHA256}`, `{SSHA512}`, `{CRYPT}` with `$5$`, `$6$` or `$y$`, `{ARGON2}`, or
    /// `{SCRAM-SHA-256}`.
    pub struct Authentication {
        /// A failed attempt is answered so long after it began, whether there is such a user or not;
        /// with each further failure of a client twice as long, up to 16 times.
        failure_time: Duration = Duration::from_secs(1), PATIENCE;
        /// Failures of one client address within `failure_window`, after which nobody is let in from
        /// there.
        max_failures: usize = 20, Count(1..=1_000_000), unit("failures");
        /// Failures of one user within `failure_window`, after which that user is let in only from
        /// addresses that the user has been let in from before.
        max_user_failures: usize = 100, Count(1..=1_000_000), unit("failures");
        /// How long failures count.
        failure_window: Duration = Duration::from_secs(600), WAIT;
    }
}
