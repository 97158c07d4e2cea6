//! A look into one mailbox: its contents, the words of its quota file, and everything that is wrong
//! with it, which may be mended.

use std::{
    fmt,
    io::{self, Read},
};

use relais_config::store::Quota;
use rustix::fs::FileType;

use super::{
    MailboxName,
    dir::Dir,
    maildir::{self, FOLDER_MARK, SUBS, stated},
    quota,
    recovery::LOST,
};
use crate::clock;

/// How much is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Messages are counted by their names, where these tell sizes.
    Count,
    /// Each file is looked at.
    Check,
    /// The same, and what is wrong is mended. Nothing may be delivered meanwhile.
    Repair,
}

/// The contents of a mailbox.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Bytes of all messages.
    pub octets: u64,
    /// Messages.
    pub messages: u64,
    /// Folders beside the INBOX.
    pub folders: u64,
    /// The quota file, when there is one that can be read.
    pub quota_file: Option<QuotaFile>,
    /// Everything that is wrong, as far as it is listed.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
}

/// The words of `maildirsize`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QuotaFile {
    /// The limit of its first line: bytes.
    pub size: Option<u64>,
    /// The same: messages.
    pub messages: Option<u64>,
    /// The sum of its other lines: bytes.
    pub octets: i64,
    /// The same: messages.
    pub counted: i64,
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Where, relative to the Maildir; of [`MailboxFault::ElsewhereToo`] the other Maildir.
    pub place: String,
    /// What.
    pub fault: MailboxFault,
    /// It is well now.
    pub mended: bool,
}

/// A fault of a mailbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MailboxFault {
    /// A directory is missing.
    NoDirectory,
    /// Something else has the name of a directory.
    NotADirectory,
    /// A directory, link or special file lies among the messages.
    NoMessage,
    /// The size in the name of a message is wrong: bytes that it has.
    WrongSize(u64),
    /// The size with CRLF in the name of a message cannot be right.
    WrongWireSize,
    /// A message that somebody began to write, and never finished.
    LeftOver,
    /// The directory of a folder is not marked as one.
    NoFolderMark,
    /// The quota file is no file, or makes no sense.
    BadQuotaFile,
    /// The sum of the quota file is wrong: its bytes and messages.
    WrongSum(i64, i64),
    /// The mailbox lies in another partition, too: the first one counts.
    ElsewhereToo,
}

impl MailboxFault {
    /// A word for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoDirectory => "no_directory",
            Self::NotADirectory => "not_a_directory",
            Self::NoMessage => "no_message",
            Self::WrongSize(_) => "wrong_size",
            Self::WrongWireSize => "wrong_wire_size",
            Self::LeftOver => "left_over",
            Self::NoFolderMark => "no_folder_mark",
            Self::BadQuotaFile => "bad_quota_file",
            Self::WrongSum(..) => "wrong_sum",
            Self::ElsewhereToo => "in_two_partitions",
        }
    }
}

impl fmt::Display for MailboxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => f.write_str("the directory is missing"),
            Self::NotADirectory => f.write_str("something else has the name of a directory"),
            Self::NoMessage => f.write_str("no message, but a directory, a link or the like"),
            Self::WrongSize(is) => write!(f, "the name says another size than its {is} octets"),
            Self::WrongWireSize => f.write_str("the size with CRLF in the name cannot be right"),
            Self::LeftOver => f.write_str("a message that was begun days ago and never finished"),
            Self::NoFolderMark => f.write_str("the file maildirfolder is missing"),
            Self::BadQuotaFile => f.write_str("the quota file is broken"),
            Self::WrongSum(octets, messages) => {
                write!(f, "the quota file says {octets} octets in {messages} messages")
            }
            Self::ElsewhereToo => f.write_str(
                "the mailbox lies in two partitions: nobody sees what is here; move its mail and \
                 remove it",
            ),
        }
    }
}

/// Looks into a mailbox; `None`: there is none.
pub(super) fn census(
    root: &Dir,
    mailbox: &MailboxName,
    depth: Depth,
    default: Quota,
) -> io::Result<Option<Census>> {
    let dir = match root.open(&mailbox.maildir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        dir => dir?,
    };
    let now = clock::now().as_secs();
    let now = now.cast_signed();
    let mut inspector = Inspector { root, dir: &dir, depth, now, census: Census::default() };
    inspector.folder("", &dir)?;
    let mut folders = Vec::new();
    dir.entries(|name, kind| {
        if name.starts_with('.') && matches!(kind, FileType::Directory | FileType::Unknown) {
            folders.push(name.to_owned());
        }
        // A user has a few dozen; an attacker has as many as memory is left for.
        if folders.len() > MAX_FOLDERS { Err(io::Error::other("too many folders")) } else { Ok(()) }
    })?;
    folders.sort_unstable();
    for name in folders {
        // A link is no folder of this mailbox.
        let Ok(folder) = dir.open(&name) else { continue };
        inspector.census.folders += 1;
        inspector.folder(&format!("{name}/"), &folder)?;
        inspector.mark(&name, &folder)?;
    }
    inspector.quota_file(default)?;
    Ok(Some(inspector.census))
}

struct Inspector<'a> {
    root: &'a Dir,
    dir: &'a Dir,
    depth: Depth,
    now: i64,
    census: Census,
}

impl Inspector<'_> {
    fn looks(&self) -> bool {
        self.depth != Depth::Count
    }

    fn mends(&self) -> bool {
        self.depth == Depth::Repair
    }

    fn found(&mut self, place: String, fault: MailboxFault, mended: bool) {
        if self.census.findings.len() < MAX_FINDINGS {
            self.census.findings.push(Finding { place, fault, mended });
        } else {
            self.census.more += 1;
        }
    }

    /// `path` is empty or ends in a slash.
    fn folder(&mut self, path: &str, dir: &Dir) -> io::Result<()> {
        for sub in SUBS {
            let place = format!("{path}{sub}");
            match dir.open(sub) {
                Ok(messages) if sub == "tmp" => self.left_overs(&place, &messages)?,
                Ok(messages) => self.messages(&place, &messages)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.looks() {
                        let mended = self.mends() && dir.make(sub).is_ok();
                        self.found(place, MailboxFault::NoDirectory, mended);
                    }
                }
                // Only a person can tell what it is there for.
                Err(_) => self.found(place, MailboxFault::NotADirectory, false),
            }
        }
        Ok(())
    }

    fn messages(&mut self, place: &str, dir: &Dir) -> io::Result<()> {
        let mut odd = Vec::new();
        let (mut octets, mut messages) = (0u64, 0u64);
        let looks = self.looks();
        dir.entries(|name, _| {
            let size = stated(name, ",S=").filter(|_| !looks);
            let (size, fault) = match size {
                Some(size) => (size, None),
                None => match dir.look(name)? {
                    // It was deleted between the two calls.
                    None => return Ok(()),
                    Some(its) if its.kind != FileType::RegularFile => {
                        (0, Some(MailboxFault::NoMessage))
                    }
                    Some(its) => (its.size, if looks { fault_of(name, its.size) } else { None }),
                },
            };
            octets = octets.saturating_add(size);
            messages += u64::from(fault != Some(MailboxFault::NoMessage));
            if let Some(fault) = fault {
                odd.push((name.to_owned(), fault));
            }
            Ok(())
        })?;
        self.census.octets = self.census.octets.saturating_add(octets);
        self.census.messages += messages;
        for (name, fault) in odd {
            let mended = self.mends() && self.mend(dir, &name, fault).is_ok();
            self.found(format!("{place}/{name}"), fault, mended);
        }
        Ok(())
    }

    fn mend(&self, dir: &Dir, name: &str, fault: MailboxFault) -> io::Result<()> {
        match fault {
            // Better no size than a wrong one.
            MailboxFault::WrongSize(_) | MailboxFault::WrongWireSize => {
                dir.rename(name, dir, &unsized_name(name))
            }
            _ => {
                let lost = self.root.make(LOST)?;
                // Names of messages are unique, and others get a number.
                let mut aside = name.to_owned();
                for number in 1.. {
                    if !lost.has(&aside)? {
                        break;
                    }
                    aside = format!("{}.{number}", name.get(..200).unwrap_or(name));
                }
                dir.rename(name, &lost, &aside)
            }
        }
    }

    fn left_overs(&mut self, place: &str, dir: &Dir) -> io::Result<()> {
        if !self.looks() {
            return Ok(());
        }
        let mut old = Vec::new();
        let now = self.now;
        dir.entries(|name, _| {
            let stale = |changed: i64| changed > 0 && now - changed > STALE;
            if dir
                .look(name)?
                .is_some_and(|its| its.kind == FileType::RegularFile && stale(its.changed))
            {
                old.push(name.to_owned());
            }
            Ok(())
        })?;
        for name in old {
            let mended = self.mends() && dir.remove(&name).is_ok();
            self.found(format!("{place}/{name}"), MailboxFault::LeftOver, mended);
        }
        Ok(())
    }

    fn mark(&mut self, name: &str, folder: &Dir) -> io::Result<()> {
        if self.looks() && !folder.has(FOLDER_MARK)? {
            let mended = self.mends() && folder.create(FOLDER_MARK).is_ok();
            self.found(name.to_owned(), MailboxFault::NoFolderMark, mended);
        }
        Ok(())
    }

    fn quota_file(&mut self, default: Quota) -> io::Result<()> {
        let mut text = Vec::new();
        let read = match self.dir.read(quota::FILE) {
            Ok(None) => return Ok(()),
            Ok(Some(file)) => {
                file.take(quota::MAX_FILE as u64 + 1).read_to_end(&mut text)?;
                quota::parse(&text)
            }
            Err(_) => None,
        };
        let said = read.map(|sum| {
            let (size, messages) = limits(sum.header);
            let (octets, counted) = (sum.usage.size, sum.usage.messages);
            (QuotaFile { size, messages, octets, counted }, sum.header.to_owned())
        });
        self.census.quota_file = said.as_ref().map(|(file, _)| *file);
        if !self.looks() {
            return Ok(());
        }
        let (octets, messages) =
            (self.census.octets.cast_signed(), self.census.messages.cast_signed());
        let fault = match &said {
            None => MailboxFault::BadQuotaFile,
            Some((file, _)) if (file.octets, file.counted) == (octets, messages) => return Ok(()),
            Some((file, _)) => MailboxFault::WrongSum(file.octets, file.counted),
        };
        let mended = self.mends() && {
            let header = said.map_or_else(|| header(default), |(_, header)| header);
            let text = format!("{header}\n{octets} {messages}\n");
            maildir::replace(self.dir, quota::FILE, text.as_bytes()).is_ok()
        };
        self.found(quota::FILE.to_owned(), fault, mended);
        Ok(())
    }
}

/// A fault that a name has for a message of so many bytes.
fn fault_of(name: &str, size: u64) -> Option<MailboxFault> {
    if stated(name, ",S=").is_some_and(|said| said != size) {
        return Some(MailboxFault::WrongSize(size));
    }
    // A line end grows by at most one octet, and each has one.
    let possible = size..=size.saturating_mul(2);
    stated(name, ",W=").filter(|said| !possible.contains(said)).map(|_| MailboxFault::WrongWireSize)
}

/// The name without the sizes that it tells.
fn unsized_name(name: &str) -> String {
    let (base, flags) = name.split_at(name.find(':').unwrap_or(name.len()));
    let fields =
        base.split(',').filter(|field| !field.starts_with("S=") && !field.starts_with("W="));
    fields.collect::<Vec<_>>().join(",") + flags
}

/// The limits of a quota file's first line.
fn limits(header: &str) -> (Option<u64>, Option<u64>) {
    let number = |unit: char| {
        let fields = header.split(',').filter_map(|field| field.trim().strip_suffix(unit));
        fields.filter_map(|number| number.parse().ok()).find(|number| *number > 0)
    };
    (number('S'), number('C'))
}

fn header(Quota { size, messages }: Quota) -> String {
    let size = size.map(|size| format!("{size}S"));
    let messages = messages.map(|messages| format!("{messages}C"));
    let header: Vec<_> = [size, messages].into_iter().flatten().collect();
    if header.is_empty() { "0S".to_owned() } else { header.join(",") }
}

/// Findings of one mailbox that are listed.
const MAX_FINDINGS: usize = 1_000;
/// Folders of one mailbox.
const MAX_FOLDERS: usize = 100_000;
/// Seconds after which nobody goes on writing a message; from the specification of Maildir.
const STALE: i64 = 36 * 3_600;
