//! Accounts of this machine, by name, else by number: there are accounts whose names are numbers.

use nix::unistd::{Group, Uid, User};

/// The account that a setting names.
pub(crate) fn user(name: &str) -> nix::Result<Option<User>> {
    match User::from_name(name)? {
        None => number(name).map_or(Ok(None), |number| User::from_uid(Uid::from_raw(number))),
        found => Ok(found),
    }
}

/// The number of a user, who need not have an account.
pub(crate) fn user_id(name: &str) -> nix::Result<Option<u32>> {
    let found = User::from_name(name)?;
    Ok(found.map(|user| user.uid.as_raw()).or_else(|| number(name)))
}

/// The number of a group, which need not have a name.
pub(crate) fn group_id(name: &str) -> nix::Result<Option<u32>> {
    let found = Group::from_name(name)?;
    Ok(found.map(|group| group.gid.as_raw()).or_else(|| number(name)))
}

fn number(name: &str) -> Option<u32> {
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_before_a_number() {
        let root = |name| user(name).map(|found| found.map(|user| user.uid.as_raw()));
        assert_eq!((root("root"), root("0")), (Ok(Some(0)), Ok(Some(0))));
        assert_eq!((root("no-such-user"), root("4000000001")), (Ok(None), Ok(None)));
        assert_eq!((user_id("root"), group_id("root")), (Ok(Some(0)), Ok(Some(0))));
        let unnamed = Ok(Some(4_000_000_001));
        assert_eq!((user_id("4000000001"), group_id("4000000001")), (unnamed, unnamed));
        assert_eq!((user_id("no-such-user"), group_id("-1")), (Ok(None), Ok(None)));
    }
}
