//! Automatic replies of users who are away.

use crate::file::kinds::Count;

section! {
    /// Automatic replies of users who are away, by delivery options with the flag `!`. When and what a
    /// user answers stands in the directory.
    pub struct Autoreply {
        /// Replies of one user in an hour at most: whoever forges senders has no more sent in the user's
        /// name. Senders beyond them get none, which is counted (`relais_autoreplies_total`, `limited`)
        /// and logged once an hour.
        max_per_hour: usize = 100, Count(1..=1_000_000), queue, unit("replies");
    }
}
