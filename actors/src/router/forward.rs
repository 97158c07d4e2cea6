//! `.forward`: whom an account of this machine has its mail sent on to.
//!
//! The file is the account's own: one that others can write, or that belongs to somebody else, is
//! left alone. Files of accounts are read when they are needed, on a thread that may wait.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::{accounts::Accounts, refusal::Refusal, tables::members_in};

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
    let owner = account.owner.user;
    let read = spawn_blocking(move || files.into_iter().find_map(|file| read(file, owner)));
    let text = match read.await {
        Ok(None) => return Ok(None),
        Ok(Some(Ok(text))) => text,
        Ok(Some(Err((file, error)))) => {
            warn!(file = %file.display(), %error, "a forward file cannot be read: mail waits");
            return Err(Refusal::Forward);
        }
        Err(_) => return Err(Refusal::Forward),
    };
    let members = members_in(&text);
    Ok((!members.is_empty()).then_some((account.name, members)))
}

/// `None`: there is no such file, or none that counts.
fn read(file: PathBuf, owner: u32) -> Option<Result<String, (PathBuf, io::Error)>> {
    let meta = match fs::metadata(&file) {
        Ok(meta) => meta,
        Err(error) => {
            let absent = [
                io::ErrorKind::NotFound,
                io::ErrorKind::NotADirectory,
                io::ErrorKind::PermissionDenied,
            ];
            return (!absent.contains(&error.kind())).then_some(Err((file, error)));
        }
    };
    let is_safe = meta.is_file() && [0, owner].contains(&meta.uid()) && meta.mode() & 0o022 == 0;
    if !is_safe {
        let file = file.display();
        warn!(%file, "a forward file that others may write, or that is none, is left alone");
        return None;
    }
    let mut text = String::new();
    let read = File::open(&file).and_then(|file| file.take(MAX_FORWARD).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        Err(error) => Some(Err((file, error))),
        Ok(_) if text.trim().is_empty() => None,
        Ok(_) => Some(Ok(text)),
    }
}

/// Octets of a forward file.
const MAX_FORWARD: u64 = 64 << 10;
