//! The UNIX socket through which operators reach the engine.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

/// Where the socket of an engine is.
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Listens on `DATA/admin.sock`, for the owner alone, in the place of one that was left over.
/// The caller holds the lock of the data directory: no other engine listens there.
///
/// The socket is born in a folder that nobody else may enter, so that there is no moment in
/// which others could connect to it.
pub(super) fn bind(data: &Path) -> io::Result<UnixListener> {
    match give_birth(data) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            tracing::warn!(
                %error,
                "no room for the admin socket: the spool's reserve goes, so that the queue can drain"
            );
            // Two inodes, where they are what is missing. The spool takes its reserve again.
            for path in [path(data), data.join("spool").join("reserve")] {
                let _ = fs::remove_file(path);
            }
            give_birth(data)
        }
        bound => bound,
    }
}

fn give_birth(data: &Path) -> io::Result<UnixListener> {
    let born = birthplace(data, std::process::id());
    let nursery = born.parent().unwrap_or(data);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(nursery)?;
    let bound = (|| {
        // Left over by a process of the same number.
        let _ = fs::remove_file(&born);
        let listener = UnixListener::bind(&born)?;
        fs::set_permissions(&born, Permissions::from_mode(0o600))?;
        fs::rename(&born, path(data))?;
        Ok(listener)
    })();
    let _ = fs::remove_dir_all(nursery);
    bound
}

/// Where the socket of the engine in this process is bound, before it is moved to its place.
pub(crate) fn birthplace(data: &Path, process: u32) -> PathBuf {
    data.join(format!(".admin-{process}")).join("s")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_socket_is_for_its_owner_and_replaces_one_that_was_left_over() {
        let data = tempfile::tempdir().unwrap();
        drop(bind(data.path()).unwrap());
        assert!(UnixStream::connect(path(data.path())).is_err(), "left over, nobody listens");
        let _listener = bind(data.path()).unwrap();
        assert!(UnixStream::connect(path(data.path())).is_ok());
        let mode = fs::metadata(path(data.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
