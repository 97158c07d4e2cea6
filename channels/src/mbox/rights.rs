//! The rights of an account, for one thread and for a while.
//!
//! Users and groups belong to threads on Linux: the system calls made here change this one alone. The
//! engine's own user stays its real and saved one, so that nobody else may signal it meanwhile.

use std::io;

use rustix::{
    process::{Gid, Uid, geteuid, getgroups},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::place::Owner;

/// Whether this process can have the rights of an account, or has them anyway.
pub(super) fn are_had(owner: Owner) -> bool {
    let own = geteuid();
    own.is_root() || own.as_raw() == owner.user
}

/// Does this with the rights of an account, on this thread.
pub fn with_rights<T>(owner: Owner, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _acting = Acting::of(owner)?;
    work()
}

/// While this lives, its thread has the rights of an account. An engine that is not root has those of
/// its own all the time.
#[derive(Debug)]
pub(super) struct Acting(Option<Vec<Gid>>);

impl Acting {
    /// Takes on the rights of `owner`.
    pub(super) fn of(owner: Owner) -> io::Result<Self> {
        if !geteuid().is_root() || owner.user == 0 {
            return Ok(Self(None));
        }
        let before = getgroups()?;
        let group = Gid::from_raw(owner.group);
        // From here on, dropping it goes back.
        let acting = Self(Some(before));
        set_thread_groups(&[group])?;
        set_thread_res_gid(None, group, None)?;
        set_thread_res_uid(None, Uid::from_raw(owner.user), None)?;
        Ok(acting)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        let Some(groups) = self.0.take() else { return };
        let back = set_thread_res_uid(None, Uid::ROOT, None)
            .and_then(|()| set_thread_res_gid(None, Gid::ROOT, None))
            .and_then(|()| set_thread_groups(&groups));
        if let Err(error) = back {
            // The saved user is root's: the system lets us. A thread that stays somebody else's has
            // fewer rights than before, and each append says so.
            tracing::error!(%error, "a thread cannot have its own rights again");
        }
    }
}
