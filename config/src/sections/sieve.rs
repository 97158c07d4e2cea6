//! Sieve scripts: what they may cost, and those of the system.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::Maybe,
        kinds::{Count, Flag, Path, Size, Time},
    },
    language::{kinds::UserPath, user_file::UserFile},
};

section! {
    /// Sieve scripts (RFC 5228), carried out where mail comes into the queue, once it is known whom it is
    /// for: those of the system, of channels (`sourcefilter`, `destinationfilter`), and of users
    /// (`mailSieveRuleSource`, and `files`). A script that is broken or too much work leaves mail in the INBOX, and
    /// its owner is told of it once a day.
    pub struct Sieve {
        /// Users have scripts. `false`: their mail goes to the INBOX as if they had none.
        users: bool = true, Flag, queue;
        /// The file of each user's script, such as `sieve/$D/$U.sieve`: `$U` is the local part of the
        /// user's `mail`, `$D` its domain, `$M` the `uid`, all in lower case. It is carried out behind
        /// the one of the directory. A name that begins with a dot or has a slash or a control character in
        /// it has no file.
        files: Option<UserFile> = None, Maybe(UserPath), queue;
        /// The file of a script that sees all mail before those of users do.
        before: Option<PathBuf> = None, Maybe(Path), queue;
        /// The file of a script that sees all mail behind those of users.
        after: Option<PathBuf> = None, Maybe(Path), queue;
        /// Octets of one script at most.
        max_script_size: u64 = 64 << 10, Size(SCRIPT), queue;
        /// Octets of memory for compiled scripts, about: one takes nine times its text, and a kilobyte. Of
        /// more those go that no mail came for, and are compiled once more when some comes.
        memory: u64 = 2 << 30, Size(MEMORY), queue;
        /// Octets of a message's body that scripts look at.
        max_body: u64 = 64 << 10, Size(BODY), queue;
        /// Scripts of one recipient may take so long with one message. It is for the unforeseen: what they
        /// may do in steps ends within a few milliseconds.
        max_time: Duration = Duration::from_millis(250), Time(TIME), queue;
        /// Addresses that one message of a recipient may be redirected to.
        max_redirects: usize = 4, Count(0..=100), queue, unit("addresses");
    }
}

const SCRIPT: RangeInclusive<u64> = 1 << 10..=1 << 20;
const MEMORY: RangeInclusive<u64> = 16 << 20..=1 << 40;
const BODY: RangeInclusive<u64> = 0..=16 << 20;
const TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
