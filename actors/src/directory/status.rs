//! The status of users, groups and their domains.

use super::{
    entry::{Domain, Entry, Kind},
    refusal::EntryError,
};

/// The status of an entry that takes mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntryStatus {
    /// Mail is delivered.
    Active,
    /// Mail is kept in the hold channel.
    Held,
}

/// Goes through the chain of statuses, domain first; the first that is not `active` decides. A
/// missing one is active, an unknown one inactive; and `hold` is active for what was `released`.
pub(super) fn status(
    kind: Kind,
    entry: &Entry,
    domain: &Domain,
    released: bool,
) -> Result<EntryStatus, EntryError> {
    let own: &[&str] = match kind {
        Kind::User => &["inetuserstatus", "mailuserstatus"],
        Kind::Group => &["inetmailgroupstatus"],
    };
    let chain = [(&*domain.entry, "inetdomainstatus"), (&*domain.entry, "maildomainstatus")]
        .into_iter()
        .chain(own.iter().map(|name| (entry, *name)));
    for (entry, name) in chain {
        let value = entry.first(name).unwrap_or("active").to_ascii_lowercase();
        // `hold` and `overquota` are said of mail, not of the whole account.
        let of_mail = name.starts_with("mail") || name == "inetmailgroupstatus";
        match value.as_str() {
            "active" => {}
            "hold" if of_mail && released => {}
            "hold" if of_mail => return Ok(EntryStatus::Held),
            "overquota" if of_mail => return Err(EntryError::OverQuota),
            "disabled" if of_mail => return Err(EntryError::Disabled(kind)),
            "deleted" => return Err(EntryError::Deleted),
            "removed" if of_mail => return Err(EntryError::Deleted),
            _ => return Err(EntryError::Inactive(kind)),
        }
    }
    Ok(EntryStatus::Active)
}

/// Whether an entry is a user who may log in. `hold` and `overquota` are said of mail that comes in.
pub fn may_log_in(entry: &Entry, domain: &Domain) -> bool {
    let status = || status(Kind::User, entry, domain, true);
    let is_user = Kind::of(entry) == Some(Kind::User);
    is_user && matches!(status(), Ok(_) | Err(EntryError::OverQuota))
}

/// The values that are known of each status; any other counts as inactive.
pub(crate) const VALUES: [(&str, &[&str]); 3] = [
    ("inetuserstatus", &["active", "inactive", "deleted"]),
    (
        "mailuserstatus",
        &["active", "inactive", "disabled", "deleted", "removed", "hold", "overquota"],
    ),
    (
        "inetmailgroupstatus",
        &["active", "inactive", "disabled", "deleted", "removed", "hold", "overquota"],
    ),
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_first_status_that_is_not_active_decides() {
        use EntryError::{Deleted, Disabled, Inactive, OverQuota};
        let user = Kind::User;
        let (inactive, disabled) = (Err(Inactive(user)), Err(Disabled(user)));
        // inetDomainStatus, mailDomainStatus, inetUserStatus, mailUserStatus
        let rows = [
            (["", "", "", ""], Ok(EntryStatus::Active)),
            (["active", "Active", "ACTIVE", "active"], Ok(EntryStatus::Active)),
            (["inactive", "deleted", "", ""], inactive.clone()),
            (["deleted", "inactive", "", ""], Err(Deleted)),
            (["", "disabled", "", "hold"], disabled.clone()),
            (["", "", "", "disabled"], disabled),
            (["", "hold", "", ""], Ok(EntryStatus::Held)),
            (["", "", "", "hold"], Ok(EntryStatus::Held)),
            (["", "", "hold", ""], inactive.clone()),
            (["", "", "", "overquota"], Err(OverQuota)),
            (["", "", "", "removed"], Err(Deleted)),
            (["", "", "deleted", "active"], Err(Deleted)),
            (["", "", "", "on holiday"], inactive),
        ];
        for (statuses, want) in rows {
            let (mut organization, mut entry) = (Entry::new("o=x"), Entry::new("uid=x"));
            let set = |entry: &mut Entry, name: &str, value: &str| {
                if !value.is_empty() {
                    entry.add(name, value);
                }
            };
            set(&mut organization, "inetDomainStatus", statuses[0]);
            set(&mut organization, "mailDomainStatus", statuses[1]);
            set(&mut entry, "inetUserStatus", statuses[2]);
            set(&mut entry, "mailUserStatus", statuses[3]);
            let entry_of = Arc::new(organization);
            let domain = Domain { name: "x".to_owned(), base: "o=x".to_owned(), entry: entry_of };
            assert_eq!(status(Kind::User, &entry, &domain, false), want, "{statuses:?}");
            let released = status(Kind::User, &entry, &domain, true);
            let want = want.map(|_| EntryStatus::Active);
            assert_eq!(released, want, "{statuses:?}, released");
        }
    }
}
