//! UNIX accounts of this machine: from a file in the form of passwd(5), and from the system.

use relais_channels::mbox::{Accounts as SystemAccounts, ByAccountName, UnixAccount, accounts_in};

use super::refusal::Refusal;

/// Accounts by name.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    own: ByAccountName,
    /// Asked for those that are not there.
    system: Option<SystemAccounts>,
}

impl Accounts {
    /// Accounts of a text; lines that name none are left out.
    pub(super) fn parse(text: &str) -> Self {
        Self { own: accounts_in(text), system: None }
    }

    /// These, and those of the system.
    pub(super) fn and(self, system: SystemAccounts) -> Self {
        Self { system: Some(system), ..self }
    }

    /// The account of a local part, and what of that is not its name: `+detail`.
    pub(super) async fn find<'a>(
        &self,
        local: &'a str,
        delimiter: &str,
    ) -> Result<Option<(UnixAccount, &'a str)>, Refusal> {
        if let Some(account) = self.of(local).await? {
            return Ok(Some((account, "")));
        }
        let Some(user) = user_of(local, delimiter) else { return Ok(None) };
        Ok(self.of(user).await?.map(|account| (account, &local[user.len()..])))
    }

    async fn of(&self, name: &str) -> Result<Option<UnixAccount>, Refusal> {
        if let Some(account) = self.own.get(&*name.to_ascii_lowercase()) {
            return Ok(Some(account.clone()));
        }
        let Some(system) = &self.system else { return Ok(None) };
        Ok(system.find(name).await?)
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

    #[tokio::test]
    async fn accounts_are_found_by_name_and_detail() {
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
            let found = accounts.find(local, "+").await.unwrap();
            let found = found.map(|(account, detail)| (account.owner.user, detail));
            assert_eq!(found, want, "{local}");
        }
    }
}
