//! How full a mailbox is: the file `maildirsize` of Maildir++, shared with the IMAP server.
//!
//! Its first line holds the limits, each other line octets and messages that came or went. It is
//! an estimate that heals: whoever finds it too long, made for other limits, or over the limit,
//! counts anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use relais_config::store::Quota;

use super::maildir::write_file;
use crate::intake::XQuota;

/// What a mailbox may hold; `None` is without end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limit {
    /// Octets.
    pub size: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

/// Why a message was not counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is no room now.
    #[error("Quota Exceeded")]
    Exceeded,
    /// There will never be room.
    #[error("Message too large")]
    TooLarge,
    /// The file could not be read or written.
    #[error("maildirsize: {0}")]
    Io(#[from] io::Error),
}

/// What a mailbox holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Usage {
    size: i64,
    messages: i64,
}

impl Limit {
    /// What the relay said about the user, or what is configured where it said nothing.
    pub fn of(said: Option<XQuota>, default: Quota) -> Self {
        let Some(said) = said else {
            return Self { size: default.size, messages: default.messages };
        };
        let pick = |said: i64, default| match said {
            STORE_DEFAULT => default,
            said => u64::try_from(said).ok(),
        };
        Self {
            size: pick(said.size, default.size),
            messages: pick(said.messages, default.messages),
        }
    }

    /// The first line of the file; a limit that is not there is not written.
    fn header(self) -> String {
        let size = self.size.map(|size| format!("{size}S"));
        let messages = self.messages.map(|messages| format!("{messages}C"));
        [size, messages].into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    fn holds(self, usage: Usage) -> bool {
        let within = |used: i64, limit: Option<u64>| {
            limit.is_none_or(|limit| u64::try_from(used).is_ok_and(|used| used <= limit))
        };
        within(usage.size.max(0), self.size) && within(usage.messages.max(0), self.messages)
    }
}

/// Counts a message of `size` octets into the mailbox at `maildir`. `bypass`: even if that is more
/// than it may hold.
pub(super) fn charge(maildir: &Path, limit: Limit, size: u64, bypass: bool) -> Result<(), Refused> {
    let message = Usage { size: size.cast_signed(), messages: 1 };
    if limit == Limit::default() {
        // Without a limit the file need not be there; where it is, it stays true.
        return Ok(append(maildir, message)?);
    }
    if !bypass && limit.size.is_some_and(|limit| size > limit) {
        return Err(Refused::TooLarge);
    }
    let estimate = read(maildir, limit)?;
    let after = |usage: Usage| Usage {
        size: usage.size.saturating_add(message.size),
        messages: usage.messages.saturating_add(1),
    };
    let fits = match estimate {
        Some((usage, exact)) if exact || limit.holds(after(usage)) => limit.holds(after(usage)),
        _ => limit.holds(after(recount(maildir, limit)?)),
    };
    if !fits && !bypass {
        return Err(Refused::Exceeded);
    }
    Ok(append(maildir, message)?)
}

/// Takes back what [`charge`] has counted.
pub(super) fn refund(maildir: &Path, size: u64) {
    // Failing here makes the mailbox look fuller than it is, until somebody counts anew.
    let _ = append(maildir, Usage { size: -size.cast_signed(), messages: -1 });
}

/// Adds a line, in one write, to a file that is there.
fn append(maildir: &Path, usage: Usage) -> io::Result<()> {
    let path = maildir.join(FILE);
    match OpenOptions::new().append(true).open(path) {
        Ok(mut file) => file.write_all(format!("{} {}\n", usage.size, usage.messages).as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The estimate, and whether it was counted so lately that counting anew is of no use. `None`:
/// there is none for these limits.
fn read(maildir: &Path, limit: Limit) -> io::Result<Option<(Usage, bool)>> {
    let mut file = match File::open(maildir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::with_capacity(MAX_FILE + 1);
    Read::by_ref(&mut file).take(MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    let Some((usage, lines)) = parse(&text, limit) else { return Ok(None) };
    let exact = lines == 1 && file.metadata()?.modified()?.elapsed().is_ok_and(|age| age < RECENT);
    Ok(Some((usage, exact)))
}

/// The sum of the lines, and their number.
fn parse(text: &[u8], limit: Limit) -> Option<(Usage, usize)> {
    if text.len() > MAX_FILE {
        return None;
    }
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    if lines.next()? != limit.header() {
        return None;
    }
    let (mut usage, mut count) = (Usage::default(), 0);
    for line in lines {
        let (size, messages) = line.trim().split_once(' ')?;
        usage.size = usage.size.saturating_add(size.parse().ok()?);
        usage.messages = usage.messages.saturating_add(messages.trim().parse().ok()?);
        count += 1;
    }
    Some((usage, count))
}

/// Looks at every message of every folder, and writes the file anew.
fn recount(maildir: &Path, limit: Limit) -> io::Result<Usage> {
    let mut usage = count(maildir)?;
    for entry in fs::read_dir(maildir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") && entry.file_type()?.is_dir() {
            let folder = count(&entry.path())?;
            usage.size += folder.size;
            usage.messages += folder.messages;
        }
    }
    let tmp = maildir.join("tmp/maildirsize.relais");
    let text = format!("{}\n{} {}\n", limit.header(), usage.size, usage.messages);
    write_file(&tmp, text.as_bytes())?;
    fs::rename(tmp, maildir.join(FILE))?;
    Ok(usage)
}

/// The messages of one folder.
fn count(dir: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for sub in ["new", "cur"] {
        let entries = match fs::read_dir(dir.join(sub)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // It may have been deleted between the two calls.
            let size = || entry.metadata().map_or(0, |file| file.len().cast_signed());
            usage.size += size_in(&entry.file_name().to_string_lossy()).unwrap_or_else(size);
            usage.messages += 1;
        }
    }
    Ok(usage)
}

/// `,S=octets`.
fn size_in(name: &str) -> Option<i64> {
    let (_, rest) = name.split_once(",S=")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

const FILE: &str = "maildirsize";
/// Octets beyond which the file is made anew; from the specification of Maildir++.
const MAX_FILE: usize = 5_120;
/// For so long nobody counts again; from the same place.
const RECENT: Duration = Duration::from_secs(15 * 60);
/// In XQUOTA: what the store has configured.
const STORE_DEFAULT: i64 = -2;

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(size: u64, messages: u64) -> Limit {
        Limit { size: Some(size), messages: Some(messages) }
    }

    fn mailbox(messages: &[(&str, usize)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        super::super::maildir::create(dir.path()).expect("room");
        super::super::maildir::create_folder(dir.path(), "Work").expect("room");
        for (name, size) in messages {
            fs::write(dir.path().join(name), vec![b'x'; *size]).expect("room");
        }
        dir
    }

    fn file(dir: &tempfile::TempDir) -> String {
        fs::read_to_string(dir.path().join(FILE)).unwrap_or_default()
    }

    #[test]
    fn the_first_message_counts_what_is_there() {
        let dir = mailbox(&[("cur/1.x,S=300:2,S", 5), ("new/2.x", 50), (".Work/new/3.x,S=7", 1)]);
        charge(dir.path(), limit(1_000, 10), 100, false).expect("room");
        assert_eq!(file(&dir), "1000S,10C\n357 3\n100 1\n");
        refund(dir.path(), 100);
        assert_eq!(file(&dir), "1000S,10C\n357 3\n100 1\n-100 -1\n");
    }

    #[test]
    fn limits_hold_at_the_edge_and_break_one_past_it() {
        let rows = [
            ("the last octet", limit(100, 10), 50, false, "ok"),
            ("one octet more", limit(100, 10), 51, false, "Quota Exceeded"),
            ("one octet more, bypassing", limit(100, 10), 51, true, "ok"),
            ("the last message", limit(1_000, 2), 1, false, "ok"),
            ("one message more", limit(1_000, 1), 1, false, "Quota Exceeded"),
            ("never", limit(100, 10), 101, false, "Message too large"),
            ("no limit", Limit::default(), 1 << 40, false, "ok"),
            ("messages only", Limit { size: None, messages: Some(2) }, 1 << 40, false, "ok"),
        ];
        for (name, limit, size, bypass, want) in rows {
            let dir = mailbox(&[("new/1.x,S=50", 50)]);
            let got = charge(dir.path(), limit, size, bypass);
            assert_eq!(got.map_or_else(|e| e.to_string(), |()| "ok".to_owned()), want, "{name}");
        }
    }

    #[test]
    fn what_others_removed_is_noticed_before_refusing() {
        let dir = mailbox(&[]);
        fs::write(dir.path().join(FILE), "100S,10C\n60 1\n30 1\n").expect("room");
        charge(dir.path(), limit(100, 10), 90, false).expect("the mailbox is empty");
        assert_eq!(file(&dir), "100S,10C\n0 0\n90 1\n");
    }

    #[test]
    fn a_file_that_is_too_long_or_broken_or_for_other_limits_is_made_anew() {
        let long = format!("100S,10C\n{}", "0 0\n".repeat(1_300));
        for before in [long.as_str(), "100S,10C\n7\n", "200S\n90 1\n", "", "\u{fffd}\n"] {
            let dir = mailbox(&[]);
            fs::write(dir.path().join(FILE), before).expect("room");
            charge(dir.path(), limit(100, 10), 10, false).expect("room");
            assert_eq!(file(&dir), "100S,10C\n0 0\n10 1\n");
        }
    }

    #[test]
    fn the_directory_may_speak_of_defaults_and_of_no_limit() {
        let default = Quota { size: Some(1), messages: Some(2) };
        let rows = [
            (None, limit(1, 2)),
            (Some(XQuota { size: 7, messages: 8 }), limit(7, 8)),
            (Some(XQuota { size: -2, messages: -1 }), Limit { size: Some(1), messages: None }),
        ];
        for (said, want) in rows {
            assert_eq!(Limit::of(said, default), want);
        }
    }
}
