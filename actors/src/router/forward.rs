//! `.forward`: whom an account of this machine has its mail sent on to.
//!
//! The file is the account's own: one that others can write, or that belongs to somebody else, is
//! left alone. It is opened with the account's rights, wherever its name leads: what the account may not
//! read is nothing that it can forward by. Files of accounts are read when they are needed, on a thread
//! that may wait.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use relais_channels::mbox::{Owner, with_rights};
use rustix::fs::OFlags;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{accounts::Accounts, refusal::Refusal, tables::members_in};
use crate::seldom::Seldom;

/// The targets of the account with this local part, under its name; `None`: there is none, or it keeps
/// its mail.
pub(super) async fn targets(
    accounts: &Accounts,
    local: &str,
    delimiter: &str,
) -> Result<Option<(Box<str>, Vec<String>)>, Refusal> {
    let Some((account, detail)) = accounts.find(local, delimiter).await? else {
        return Ok(None);
    };
    let mut files = vec![PathBuf::from(&*account.home).join(".forward")];
    if !detail.is_empty() && !detail.contains(['/', '\0']) {
        files.insert(0, PathBuf::from(&*account.home).join(format!(".forward{detail}")));
    }
    let owner = account.owner;
    let read = spawn_blocking(move || files.into_iter().find_map(|file| read(file, owner)));
    let text = match read.await {
        Ok(None) => return Ok(None),
        Ok(Some(Ok(text))) => text,
        Ok(Some(Err((file, error)))) => {
            if let Some(times) = TOLD.times(&owner) {
                let file = file.display();
                warn!(
                    %file, %error, times,
                    "a forward file cannot be read, mail waits: this is told once an hour"
                );
            }
            return Err(Refusal::Forward);
        }
        Err(_) => return Err(Refusal::Forward),
    };
    let members = members_in(&text);
    Ok((!members.is_empty()).then_some((account.name, members)))
}

/// `None`: there is no such file, or none that counts.
fn read(file: PathBuf, owner: Owner) -> Option<Result<String, (PathBuf, io::Error)>> {
    // One look: what is checked is what is read. A pipe in its place makes nobody wait.
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let opened = options.open(&file)?;
        let meta = opened.metadata()?;
        Ok((opened, meta))
    };
    let (opened, meta) = match with_rights(owner, open) {
        Ok(both) => both,
        Err(error) => {
            let absent = [
                io::ErrorKind::NotFound,
                io::ErrorKind::NotADirectory,
                io::ErrorKind::PermissionDenied,
            ];
            return (!absent.contains(&error.kind())).then_some(Err((file, error)));
        }
    };
    let is_safe =
        meta.is_file() && [0, owner.user].contains(&meta.uid()) && meta.mode() & 0o022 == 0;
    if !is_safe {
        tell_of_unsafe(&file, owner);
        return None;
    }
    let mut text = String::new();
    match opened.take(MAX_FORWARD + 1).read_to_string(&mut text) {
        Err(error) => Some(Err((file, error))),
        // A part of it would lead to a part of the recipients.
        Ok(octets) if octets as u64 > MAX_FORWARD => {
            let why = format!("it is larger than {MAX_FORWARD} octets");
            Some(Err((file, io::Error::other(why))))
        }
        Ok(_) if text.trim().is_empty() => None,
        Ok(_) => Some(Ok(text)),
    }
}

/// Users may have as many such files as they like, and mail as often as they like.
fn tell_of_unsafe(file: &Path, owner: Owner) {
    if let Some(times) = TOLD.times(&owner) {
        let file = file.display();
        warn!(
            %file, times,
            "a forward file that others may write, or that is none, is left alone: this is told once \
             an hour"
        );
    }
}

/// Accounts whose files were told of.
static TOLD: LazyLock<Seldom> = LazyLock::new(Seldom::default);
/// Octets of a forward file.
const MAX_FORWARD: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use rustix::{
        fs::{CWD, Mode, mkfifoat},
        process::{getegid, geteuid},
    };

    use super::*;

    #[test]
    fn a_forward_file_is_what_its_account_may_read_as_a_whole_and_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| folder.path().join(name);
        let own = Owner { user: geteuid().as_raw(), group: getegid().as_raw() };
        fs::write(at("large"), "a@b.example\n".repeat(6_000)).unwrap();
        fs::write(at("sound"), "a@b.example\n").unwrap();
        mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        assert!(read(at("large"), own).is_some_and(|read| read.is_err()));
        assert!(read(at("sound"), own).is_some_and(|read| read.is_ok()));
        assert!(read(at("pipe"), own).is_none());
        assert!(read(at("none"), own).is_none());
        if !geteuid().is_root() {
            return;
        }
        let joe = Owner { user: 20_001, group: 20_001 };
        symlink(at("sound"), at("link")).unwrap();
        for (mode, is_read) in [(0o600, false), (0o644, true)] {
            fs::set_permissions(at("sound"), Permissions::from_mode(mode)).unwrap();
            for name in ["sound", "link"] {
                assert_eq!(read(at(name), joe).is_some(), is_read, "{name} {mode:o}");
            }
        }
    }
}
