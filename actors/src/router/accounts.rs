//! UNIX accounts of this machine: from a file in the form of passwd(5).

use std::collections::HashMap;

/// Accounts by name.
#[derive(Debug, Default)]
pub(super) struct Accounts(HashMap<Box<str>, Account>);

/// One account.
#[derive(Debug)]
pub(super) struct Account {
    /// The number of its user.
    pub(super) id: u32,
    pub(super) home: Box<str>,
}

impl Accounts {
    /// Accounts of a text; lines that name none are left out.
    pub(super) fn parse(text: &str) -> Self {
        let account = |line: &str| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, id, _, _, home, _] = fields[..] else { return None };
            let account = Account { id: id.parse().ok()?, home: home.into() };
            (!name.is_empty()).then(|| (name.into(), account))
        };
        Self(text.lines().filter_map(account).collect())
    }

    /// The account of a local part, and what of that is not its name: `+detail`.
    pub(super) fn find<'a>(&self, local: &'a str, delimiter: &str) -> Option<(&Account, &'a str)> {
        if let Some(account) = self.0.get(&*local.to_ascii_lowercase()) {
            return Some((account, ""));
        }
        let user = user_of(local, delimiter)?;
        let account = self.0.get(&*user.to_ascii_lowercase())?;
        Some((account, &local[user.len()..]))
    }
}

/// The user of `user+detail`; a delimiter at the beginning is part of the name.
pub(super) fn user_of<'a>(local: &'a str, delimiter: &str) -> Option<&'a str> {
    let at = local.find(delimiter).filter(|at| *at > 0 && !delimiter.is_empty())?;
    (!local.starts_with('"')).then_some(&local[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_detail() {
        let text = "joe:x:1001:1001:Joe,,,:/home/joe:/bin/sh\n# none\nbad:x:y:1:::\n+::::::\n";
        let accounts = Accounts::parse(text);
        let rows = [
            ("joe", Some((1001, ""))),
            ("Joe+Ext", Some((1001, "+Ext"))),
            ("joe-ext", None),
            ("bad", None),
            ("+joe", None),
        ];
        for (local, want) in rows {
            let found = accounts.find(local, "+").map(|(account, detail)| (account.id, detail));
            assert_eq!(found, want, "{local}");
        }
    }
}
