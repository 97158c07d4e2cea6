//! How full a mailbox is: the file `maildirsize` of Maildir++, shared with the IMAP server.
//!
//! Its first line holds the limits, each other line bytes and messages that came or went. It is
//! an estimate that heals: whoever finds it too long, broken, impossible, or over the limit, counts
//! anew. A batch of deliveries has one [`Account`] for each mailbox: what is charged to it counts
//! at once for the deliveries behind it, and the file learns of what was placed, in one line.
//!
//! The first line is written while no other program has written its own: else that one stays. What is
//! refused goes by the relay's limit, or the configured one, whatever the line says.
//!
//! A fault of the file keeps no mail away, and neither does one that keeps the mailbox from being
//! counted: the operator is told, and the mail is taken, as by Dovecot.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use relais_config::store::Quota;
use rustix::fs::FileType;

use super::{dir::Dir, maildir::Maildir, quota_memory::QuotaMemory};
use crate::mail::XQuota;

/// The most that a mailbox may hold; `None` is without end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Limit {
    /// Bytes.
    pub size: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
    /// The directory says so, and the file is to say it too.
    pub said: bool,
}

/// Why a message was not counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is no room now.
    #[error("Quota Exceeded")]
    Exceeded,
    /// There will never be room.
    #[error("Message too large for the whole quota")]
    TooLarge,
    /// The mailbox could not be opened.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The contents of a mailbox, counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Usage {
    pub(super) size: i64,
    pub(super) messages: i64,
}

impl Limit {
    /// The relay's limit for the user, or the configured one where the relay said nothing.
    pub(super) fn of(said: Option<XQuota>, default: Quota) -> Self {
        let Some(said) = said else {
            return Self { size: default.size, messages: default.messages, said: false };
        };
        let pick = |said: i64, default| match said {
            STORE_DEFAULT => default,
            said => u64::try_from(said).ok(),
        };
        Self {
            size: pick(said.size, default.size),
            messages: pick(said.messages, default.messages),
            said: true,
        }
    }

    /// Whether there is no limit at all.
    pub(super) fn is_none(self) -> bool {
        self.size.is_none() && self.messages.is_none()
    }

    /// The first line of the file; a limit that is not there is not written, unless there is none.
    fn header(self) -> String {
        let size = self.size.map(|size| format!("{size}S"));
        let messages = self.messages.map(|messages| format!("{messages}C"));
        match [size, messages].into_iter().flatten().collect::<Vec<_>>().join(",") {
            // As Dovecot writes it.
            none if none.is_empty() => "0S".to_owned(),
            header => header,
        }
    }

    fn holds(self, usage: Usage) -> bool {
        let within = |used: i64, limit: Option<u64>| {
            limit.is_none_or(|limit| u64::try_from(used).is_ok_and(|used| used <= limit))
        };
        within(usage.size.max(0), self.size) && within(usage.messages.max(0), self.messages)
    }
}

/// The changes that a batch of deliveries makes to one mailbox.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The file's sum, once it was read; and whether counting anew is of no use.
    estimate: Option<(Usage, bool)>,
    /// Taken into account, and not given back.
    charged: Usage,
    /// Of that, what lies in the mailbox.
    placed: Usage,
    fault: Option<Fault>,
}

/// A fault, and the remedy.
type Fault = (&'static str, io::Error);

impl Account {
    /// Counts a message of `size` bytes. `bypass`: even if that is more than the mailbox may hold.
    pub(super) fn charge(
        &mut self,
        maildir: &Maildir,
        (limit, memory): (Limit, &mut QuotaMemory),
        size: u64,
        bypass: bool,
    ) -> Result<(), Refused> {
        let message = Usage::message(size);
        if !limit.is_none() {
            if !bypass && limit.size.is_some_and(|limit| size > limit) {
                return Err(Refused::TooLarge);
            }
            let fits = self.fits(maildir, (limit, memory), message);
            if !fits && !bypass {
                return Err(Refused::Exceeded);
            }
        }
        self.charged = self.charged.plus(message);
        Ok(())
    }

    fn fits(
        &mut self,
        maildir: &Maildir,
        (limit, memory): (Limit, &mut QuotaMemory),
        message: Usage,
    ) -> bool {
        let known = self.estimate.or_else(|| {
            let read = read(maildir, limit, memory);
            read.unwrap_or_else(|error| self.unusable(error))
        });
        let Some((usage, exact)) = known.or_else(|| self.recount(maildir, limit, memory)) else {
            return true;
        };
        self.estimate = Some((usage, exact));
        let after = |usage: Usage| usage.plus(self.charged).plus(message);
        if limit.holds(after(usage)) || (exact && is_possible(maildir, usage)) {
            return limit.holds(after(usage));
        }
        let Some((usage, exact)) = self.recount(maildir, limit, memory) else { return true };
        // The messages of this batch in their places are counted with the rest.
        self.charged = self.charged.minus(self.placed);
        self.placed = Usage::default();
        self.estimate = Some((usage, exact));
        limit.holds(usage.plus(self.charged).plus(message))
    }

    /// `None`: the mailbox cannot be counted.
    fn recount(
        &mut self,
        maildir: &Maildir,
        limit: Limit,
        memory: &mut QuotaMemory,
    ) -> Option<(Usage, bool)> {
        let usage = match count_all(maildir) {
            Ok(usage) => usage,
            Err(error) => {
                self.fault = Some((UNCOUNTED, error));
                return None;
            }
        };
        let mut written = write(maildir, (limit, memory), usage);
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::IsADirectory
            && maildir.dir.rename(FILE, &maildir.dir, ASIDE).is_ok()
        {
            self.fault = Some((SET_ASIDE, io::ErrorKind::IsADirectory.into()));
            written = write(maildir, (limit, memory), usage);
        }
        if let Err(error) = written {
            self.unusable::<()>(error);
        }
        Some((usage, true))
    }

    fn unusable<T>(&mut self, error: io::Error) -> Option<T> {
        self.fault = Some((UNUSABLE, error));
        None
    }

    /// The fault since this was last asked.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// A message that was charged lies in the mailbox.
    pub(super) fn placed(&mut self, size: u64) {
        self.placed = self.placed.plus(Usage::message(size));
    }

    /// A message that lay in the mailbox was removed before anybody counted it.
    pub(super) fn removed(&mut self, size: u64) {
        self.placed = self.placed.minus(Usage::message(size));
    }

    /// A message that was charged will not lie there.
    pub(super) fn refund(&mut self, size: u64) {
        self.charged = self.charged.minus(Usage::message(size));
    }

    /// Adds what was placed to the file, in one write, if it is there.
    pub(super) fn close(&mut self, maildir: &Maildir, memory: &mut QuotaMemory) -> io::Result<()> {
        let placed = std::mem::take(&mut self.placed);
        self.charged = self.charged.minus(placed);
        if placed == Usage::default() {
            return Ok(());
        }
        if let Some((usage, _)) = &mut self.estimate {
            *usage = usage.plus(placed);
        }
        let mut file = match maildir.dir.append(FILE) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            // It is none of ours: whoever has a limit counts anew.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
            Err(error) => return Err(error),
        };
        file.write_all(format!("{} {}\n", placed.size, placed.messages).as_bytes())?;
        if self.estimate.is_none() && file.size()? > MAX_FILE as u64 {
            // Nobody has a limit here, so nobody would ever make it shorter.
            write(maildir, (Limit::default(), memory), count_all(maildir)?)?;
        }
        Ok(())
    }
}

impl Usage {
    fn message(size: u64) -> Self {
        Self { size: i64::try_from(size).unwrap_or(i64::MAX), messages: 1 }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            size: self.size.saturating_add(other.size),
            messages: self.messages.saturating_add(other.messages),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            size: self.size.saturating_sub(other.size),
            messages: self.messages.saturating_sub(other.messages),
        }
    }

    /// Whether a mailbox can hold this: every message has a byte.
    fn makes_sense(self) -> bool {
        self.messages >= 0 && self.size >= self.messages && (self.messages > 0 || self.size == 0)
    }
}

/// The estimate, and whether it was counted so lately that counting anew is of no use. `None`:
/// there is none that makes sense.
fn read(
    maildir: &Maildir,
    limit: Limit,
    memory: &mut QuotaMemory,
) -> io::Result<Option<(Usage, bool)>> {
    let Some((text, age)) = text_of(maildir)? else { return Ok(None) };
    let Some(Sum { usage, lines, header, rest }) = parse(&text) else { return Ok(None) };
    let own = limit.header();
    if header == own {
        memory.wrote(header);
    } else if limit.said && memory.has_written(header) {
        // Other limits make the sum no less true.
        // The line of nothing keeps a sum that was counted long ago from looking fresh.
        let text = format!("{own}\n{}\n0 0\n", rest.trim_end());
        maildir.replace(FILE, text.as_bytes())?;
        memory.wrote(&own);
    }
    let exact = lines == 1 && age.is_some_and(|age| age < RECENT);
    Ok(Some((usage, exact)))
}

/// The file, one octet more than it may have at most, and how old it is. `None`: there is none.
fn text_of(maildir: &Maildir) -> io::Result<Option<(Vec<u8>, Option<Duration>)>> {
    let file = match maildir.dir.read(FILE) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        file => file?,
    };
    let Some(mut file) = file else { return Ok(None) };
    let mut text = Vec::with_capacity(512);
    Read::by_ref(&mut file).take(MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    Ok(Some((text, file.age()?)))
}

/// The contents of the file.
pub(super) struct Sum<'a> {
    pub(super) usage: Usage,
    /// How many lines make the sum.
    lines: usize,
    pub(super) header: &'a str,
    /// Everything behind the header.
    rest: &'a str,
}

/// `None`: it is too long, broken, or says what cannot be.
pub(super) fn parse(text: &[u8]) -> Option<Sum<'_>> {
    if text.len() > MAX_FILE {
        return None;
    }
    let (header, rest) = std::str::from_utf8(text).ok()?.split_once('\n')?;
    let (mut usage, mut lines) = (Usage::default(), 0);
    for line in rest.lines() {
        let (size, messages) = line.trim().split_once(' ')?;
        usage.size = usage.size.checked_add(size.parse().ok()?)?;
        usage.messages = usage.messages.checked_add(messages.trim().parse().ok()?)?;
        lines += 1;
    }
    (lines > 0 && usage.makes_sense()).then_some(Sum { usage, lines, header, rest })
}

/// Whether the mailbox's file system can hold so much: what it cannot was not counted.
fn is_possible(maildir: &Maildir, usage: Usage) -> bool {
    // Some network file systems do not tell.
    let all = maildir.dir.capacity().unwrap_or_default();
    all == 0 || u64::try_from(usage.size).is_ok_and(|size| size <= all)
}

/// Looks at every message of every folder.
fn count_all(maildir: &Maildir) -> io::Result<Usage> {
    let mut usage = count(&maildir.dir)?;
    maildir.dir.entries(|name, kind| {
        if name.starts_with('.') && matches!(kind, FileType::Directory | FileType::Unknown) {
            // A link is no folder of this mailbox.
            if let Ok(folder) = maildir.dir.open(name) {
                usage = usage.plus(count(&folder)?);
            }
        }
        Ok(())
    })?;
    Ok(usage)
}

/// Makes the file anew; a first line of another program stays.
fn write(
    maildir: &Maildir,
    (limit, memory): (Limit, &mut QuotaMemory),
    usage: Usage,
) -> io::Result<()> {
    let before = text_of(maildir).ok().flatten();
    let before = before.as_ref().and_then(|(text, _)| definition(text));
    let theirs = before.filter(|header| !memory.has_written(header));
    let own = limit.header();
    let header = theirs.unwrap_or(&own);
    let text = format!("{header}\n{} {}\n", usage.size, usage.messages);
    maildir.replace(FILE, text.as_bytes())?;
    if theirs.is_none() {
        memory.wrote(&own);
    }
    Ok(())
}

/// The first line of the file, if it names limits: `1000S,10C`.
fn definition(text: &[u8]) -> Option<&str> {
    let line = text.split(|c| *c == b'\n').next()?;
    let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= LONGEST_DEFINITION)?;
    let is_limit = |word: &str| {
        let (digits, kind) = word.split_at_checked(word.len().checked_sub(1)?)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        Some(is_number && kind.bytes().all(|c| c.is_ascii_uppercase()))
    };
    line.split(',').all(|word| is_limit(word) == Some(true)).then_some(line)
}

/// The messages of one folder.
fn count(dir: &Dir) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for sub in ["new", "cur"] {
        let sub = match dir.open(sub) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            sub => sub?,
        };
        sub.entries(|name, _| {
            // It may have been deleted between the two calls.
            let size = || sub.size(name).map_or(0, u64::cast_signed);
            let size = size_in(name).unwrap_or_else(size);
            usage = usage.plus(Usage { size, messages: 1 });
            Ok(())
        })?;
    }
    Ok(usage)
}

/// `,S=bytes`.
fn size_in(name: &str) -> Option<i64> {
    let (_, rest) = name.split_once(",S=")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok().filter(|size| *size > 0)
}

pub(super) const FILE: &str = "maildirsize";
/// The new name of a directory that had the file's.
const ASIDE: &str = "maildirsize.aside";
const SET_ASIDE: &str = "the quota file was set aside as maildirsize.aside and another one begun";
const UNUSABLE: &str = "the quota file cannot be used: the mailbox is counted anew each time";
const UNCOUNTED: &str = "a mailbox cannot be counted: its mail is taken whatever its quota";
/// Bytes beyond which the file is rewritten; from the specification of Maildir++.
pub(super) const MAX_FILE: usize = 5_120;
/// Bytes of a first line; two limits of 20 digits have fewer.
const LONGEST_DEFINITION: usize = 100;
/// For so long nobody counts again; from the same place.
const RECENT: Duration = Duration::from_secs(15 * 60);
/// In XQUOTA: what the store has configured.
const STORE_DEFAULT: i64 = -2;

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs};

    use super::*;

    struct Mailbox {
        dir: tempfile::TempDir,
        maildir: Maildir,
        memory: RefCell<QuotaMemory>,
    }

    fn limit(size: u64, messages: u64) -> Limit {
        Limit { size: Some(size), messages: Some(messages), said: true }
    }

    fn mailbox(messages: &[(&str, usize)]) -> Mailbox {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Dir::root(dir.path()).expect("a directory");
        let maildir = Maildir::make(&root, "Maildir").expect("room");
        maildir.make_folder("Work").expect("room");
        for (name, size) in messages {
            fs::write(dir.path().join("Maildir").join(name), vec![b'x'; *size]).expect("room");
        }
        Mailbox { dir, maildir, memory: RefCell::default() }
    }

    impl Mailbox {
        /// A delivery of its own.
        fn charge(&self, limit: Limit, size: u64, bypass: bool) -> String {
            let mut account = Account::default();
            let memory = &mut *self.memory.borrow_mut();
            let charged = account.charge(&self.maildir, (limit, memory), size, bypass);
            if charged.is_ok() {
                account.placed(size);
            }
            account.close(&self.maildir, memory).expect("room");
            charged.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
        }

        fn file(&self) -> String {
            fs::read_to_string(self.dir.path().join("Maildir").join(FILE)).unwrap_or_default()
        }

        fn set(&self, text: &str) {
            fs::write(self.dir.path().join("Maildir").join(FILE), text).expect("room");
        }
    }

    #[test]
    fn the_first_message_counts_what_is_there() {
        let mailbox =
            mailbox(&[("cur/1.x,S=300:2,S", 5), ("new/2.x", 50), (".Work/new/3.x,S=7", 1)]);
        assert_eq!(mailbox.charge(limit(1_000, 10), 100, false), "ok");
        assert_eq!(mailbox.file(), "1000S,10C\n357 3\n100 1\n");
    }

    #[test]
    fn limits_hold_at_the_edge_and_break_one_past_it() {
        let rows = [
            ("the last byte", limit(100, 10), 50, false, "ok"),
            ("one byte more", limit(100, 10), 51, false, "Quota Exceeded"),
            ("one byte more, bypassing", limit(100, 10), 51, true, "ok"),
            ("the last message", limit(1_000, 2), 1, false, "ok"),
            ("one message more", limit(1_000, 1), 1, false, "Quota Exceeded"),
            ("never", limit(100, 10), 101, false, "Message too large for the whole quota"),
            ("no limit", Limit::default(), 1 << 40, false, "ok"),
            ("messages only", Limit { size: None, ..limit(0, 2) }, 1 << 40, false, "ok"),
        ];
        for (name, limit, size, bypass, want) in rows {
            let mailbox = mailbox(&[("new/1.x,S=50", 50)]);
            assert_eq!(mailbox.charge(limit, size, bypass), want, "{name}");
        }
    }

    #[test]
    fn what_a_batch_has_charged_counts_before_it_is_placed() {
        let mailbox = mailbox(&[]);
        let mut account = Account::default();
        let mut memory = QuotaMemory::default();
        let mut charge =
            |size| account.charge(&mailbox.maildir, (limit(100, 10), &mut memory), size, false);
        charge(60).expect("room");
        // Over the limit, and nothing is in the mailbox yet: counting anew changes nothing.
        assert!(matches!(charge(60), Err(Refused::Exceeded)));
        charge(40).expect("room");
        assert!(matches!(charge(1), Err(Refused::Exceeded)));
        account.refund(40);
        account.placed(60);
        account.close(&mailbox.maildir, &mut memory).expect("room");
        assert_eq!(mailbox.file(), "100S,10C\n0 0\n60 1\n");
        let charged = account.charge(&mailbox.maildir, (limit(100, 10), &mut memory), 40, false);
        charged.expect("room");
        account.close(&mailbox.maildir, &mut memory).expect("room");
        assert_eq!(mailbox.file(), "100S,10C\n0 0\n60 1\n");
    }

    #[test]
    fn what_others_removed_is_noticed_before_refusing() {
        let mailbox = mailbox(&[]);
        mailbox.set("100S,10C\n60 1\n30 1\n");
        assert_eq!(mailbox.charge(limit(100, 10), 90, false), "ok");
        assert_eq!(mailbox.file(), "100S,10C\n0 0\n90 1\n");
    }

    #[test]
    fn a_file_that_is_too_long_or_broken_or_impossible_is_made_anew() {
        let long = format!("100S,10C\n{}", "0 0\n".repeat(1_300));
        let rows = [
            ("too long", long.as_str()),
            ("broken", "100S,10C\n7\n"),
            ("empty", ""),
            ("without a sum", "100S,10C\n"),
            ("no text", "\u{fffd}\n"),
            ("negative bytes", "100S,10C\n-90000 3\n"),
            ("negative messages", "100S,10C\n90 -3\n"),
            ("bytes without a message", "100S,10C\n50 0\n"),
            ("more messages than bytes", "100S,10C\n5 6\n"),
            ("a sum without end", "100S,10C\n9223372036854775807 1\n1 1\n"),
            ("more than the disk holds", "100S,10C\n9223372036854775807 1\n"),
        ];
        for (name, before) in rows {
            let mailbox = mailbox(&[]);
            mailbox.set(before);
            assert_eq!(mailbox.charge(limit(100, 10), 10, false), "ok", "{name}");
            assert_eq!(mailbox.file(), "100S,10C\n0 0\n10 1\n", "{name}");
        }
    }

    #[test]
    fn other_limits_in_the_file_are_no_reason_to_count_anew() {
        let header = |said, is_ours: bool| {
            let mailbox = mailbox(&[]);
            mailbox.set("200S\n90 1\n");
            if is_ours {
                mailbox.memory.borrow_mut().wrote("200S");
            }
            let limit = Limit { said, ..limit(100, 10) };
            assert_eq!(mailbox.charge(limit, 10, false), "ok");
            mailbox.file()
        };
        // The directory's word is passed on to the IMAP server; a default is not.
        assert_eq!(header(true, true), "100S,10C\n90 1\n0 0\n10 1\n");
        assert_eq!(header(false, true), "200S\n90 1\n10 1\n");
        // Another program's word stays.
        assert_eq!(header(true, false), "200S\n90 1\n10 1\n");
    }

    #[test]
    fn another_programs_first_line_stays_when_the_mailbox_is_counted_anew() {
        for (first, want) in [
            ("5000S", "5000S"),
            ("5000S,7C", "5000S,7C"),
            ("0S", "0S"),
            ("", "100S,10C"),
            ("quota", "100S,10C"),
            ("5000", "100S,10C"),
            ("S", "100S,10C"),
            ("-5S", "100S,10C"),
        ] {
            let mailbox = mailbox(&[("new/1.x,S=50", 50)]);
            mailbox.set(&format!("{first}\nbroken\n"));
            assert_eq!(mailbox.charge(limit(100, 10), 50, false), "ok", "{first:?}");
            assert_eq!(mailbox.file(), format!("{want}\n50 1\n50 1\n"), "{first:?}");
            assert_eq!(mailbox.charge(limit(100, 10), 51, false), "Quota Exceeded", "{first:?}");
            // Of two limits that the relay names, the second replaces this store's first.
            let own = want == "100S,10C";
            assert_eq!(mailbox.charge(limit(200, 10), 1, false), "ok", "{first:?}");
            let now = if own { "200S,10C" } else { want };
            assert!(mailbox.file().starts_with(&format!("{now}\n")), "{first:?}");
        }
    }

    #[test]
    fn a_limit_holds_although_the_file_cannot_be_kept() {
        for odd in ["tmp", "maildirsize.aside"] {
            let mailbox = mailbox(&[("new/1.x,S=50", 50)]);
            let path = mailbox.dir.path().join("Maildir");
            // A directory that cannot be set aside, for what has its name is no directory.
            fs::create_dir(path.join(FILE)).expect("room");
            let _ = fs::remove_dir(path.join(odd));
            fs::write(path.join(odd), "no directory").expect("room");
            assert_eq!(mailbox.charge(limit(100, 10), 50, false), "ok", "{odd}");
            assert_eq!(mailbox.charge(limit(100, 10), 51, false), "Quota Exceeded", "{odd}");
            let mut account = Account::default();
            let limit = (limit(100, 10), &mut QuotaMemory::default());
            account.charge(&mailbox.maildir, limit, 1, false).expect("room");
            assert_eq!(account.take_fault().map(|fault| fault.0), Some(UNUSABLE), "{odd}");
        }
    }

    #[test]
    fn without_a_limit_the_file_stays_short_all_the_same() {
        let mailbox = mailbox(&[("new/1.x,S=50", 50)]);
        mailbox.set(&format!("0S\n{}", "1 1\n".repeat(1_300)));
        assert_eq!(mailbox.charge(Limit::default(), 10, false), "ok");
        assert!(mailbox.file().ends_with("\n50 1\n"), "{}", mailbox.file());
    }

    #[test]
    fn the_directory_may_speak_of_defaults_and_of_no_limit() {
        let default = Quota { size: Some(1), messages: Some(2) };
        let rows = [
            (None, Limit { said: false, ..limit(1, 2) }),
            (Some(XQuota { size: 7, messages: 8 }), limit(7, 8)),
            (Some(XQuota { size: -2, messages: -1 }), Limit { messages: None, ..limit(1, 0) }),
        ];
        for (said, want) in rows {
            assert_eq!(Limit::of(said, default), want);
        }
    }
}
