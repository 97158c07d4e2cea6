//! The store's mailboxes.

use std::fmt;

use relais_channels::{
    mail::{Address, XQuota},
    mailbox::{Census, Change, Depth, Finding, MailboxFault, MailboxName, QuotaFile},
};
use relais_config::store::Quota;
use serde::{Deserialize, Serialize};

use super::RouteResult;

/// Which mailboxes are listed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxFilter {
    /// Of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// `relais mailbox list --json`, a line each.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxListed {
    /// `user@domain`.
    pub mailbox: String,
    /// Its Maildir.
    pub path: String,
}

/// A partition whose mailboxes are not in the list, or not all: a line among those of the list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxesMissing {
    /// Its root.
    pub missing: String,
    /// Why.
    pub error: String,
}

/// A line of the engine's list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MailboxLine {
    /// A mailbox.
    Listed(MailboxListed),
    /// Some that are missing.
    Missing(MailboxesMissing),
}

impl fmt::Display for MailboxesMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mailboxes in {} are missing: {}", self.missing, self.error)
    }
}

/// Something that is to be done with a mailbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxOrder {
    /// What.
    #[serde(rename = "action")]
    pub kind: MailboxOrderKind,
    /// With which: an address, or a user of the default domain.
    pub mailbox: String,
    /// Its new name, for [`MailboxOrderKind::Rename`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The operator who orders it, for the log.
    #[serde(default)]
    pub by: String,
}

/// The kinds of [`MailboxOrder`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxOrderKind {
    /// Make it.
    Create,
    /// Tell its limits and its contents.
    Quota,
    /// Count it anew, and tell what is wrong with it.
    Check,
    /// The same, and mend it.
    Repair,
    /// Give it another name.
    Rename,
    /// Remove it with everything in it.
    Delete,
}

impl MailboxOrder {
    /// The mailboxes that it names: the one, and its new name. `Err`: why they are none, in words.
    pub fn names(
        &self,
        default_domain: &str,
    ) -> Result<(MailboxName, Option<MailboxName>), String> {
        let to = self.to.as_deref().map(|to| name_of(to, default_domain)).transpose()?;
        Ok((name_of(&self.mailbox, default_domain)?, to))
    }
}

impl MailboxOrderKind {
    /// How much is looked at; `None`: nothing is.
    pub fn depth(self) -> Option<Depth> {
        match self {
            Self::Quota => Some(Depth::Count),
            Self::Check => Some(Depth::Check),
            Self::Repair => Some(Depth::Repair),
            Self::Create | Self::Rename | Self::Delete => None,
        }
    }

    /// The change of a mailbox, and perhaps its new name. `Err`: it is none, in words.
    pub fn change(self, name: MailboxName, to: Option<MailboxName>) -> Result<Change, String> {
        match (self, to) {
            (Self::Rename, Some(to)) => Ok(Change::Rename { from: name, to }),
            (Self::Delete, None) => Ok(Change::Delete(name)),
            _ => Err("a new name is expected to rename a mailbox, and only then".to_owned()),
        }
    }
}

impl MailboxLimit {
    /// The limit that the directory has for a mailbox, by the ways that its mail takes: by the only one,
    /// or by the one that leads to the mailbox itself. Other ways lead to copies, or to others.
    pub fn of_ways(
        ways: &[RouteResult],
        mailbox: &MailboxName,
        default_domain: &str,
    ) -> Option<Self> {
        if let [only] = ways {
            return Self::of_directory(only.quota);
        }
        let leads_there = |way: &&RouteResult| {
            let address = Address::parse(&way.address).ok();
            let name = address.and_then(|its| MailboxName::of(&its, default_domain).ok());
            name.is_some_and(|name| name.address() == mailbox.address())
        };
        ways.iter().filter(leads_there).find_map(|way| Self::of_directory(way.quota))
    }

    fn of_directory(quota: Option<XQuota>) -> Option<Self> {
        // Below -1 the store's default is meant.
        let quota = quota.filter(|quota| quota.size >= -1 || quota.messages >= -1)?;
        let (size, messages) = (u64::try_from(quota.size).ok(), u64::try_from(quota.messages).ok());
        Some(Self { by: "directory".to_owned(), size, messages })
    }
}

/// The mailbox that an operator names; a folder is none.
fn name_of(text: &str, default_domain: &str) -> Result<MailboxName, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{text:?} names no mailbox: {error}");
    let address = Address::parse(text).map_err(|error| wrong(&error))?;
    let name = MailboxName::of(&address, default_domain).map_err(|error| wrong(&error))?;
    match name.folder() {
        Some(folder) => Err(wrong(&format_args!("{folder:?} is a folder in one"))),
        None => Ok(name),
    }
}

/// The answer to a [`MailboxOrder`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxAnswer {
    /// `user@domain`.
    pub mailbox: String,
    /// Its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Something was changed: it was made, renamed, deleted, mended.
    #[serde(default)]
    pub changed: bool,
    /// Its contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<MailboxUsage>,
    /// Limits, and who says so; the first is the one that counts. Absent: nobody was asked; empty:
    /// nobody sets any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<MailboxLimit>>,
    /// The sum of its quota file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_file: Option<MailboxUsage>,
    /// Its faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<MailboxFinding>,
    /// Findings beyond those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

/// Contents of a mailbox.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxUsage {
    /// Octets of all messages.
    pub size: i64,
    /// Messages.
    pub messages: i64,
}

/// Limits of a mailbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxLimit {
    /// The source: `directory`, `maildirsize` (the last word of a relay or of the IMAP server),
    /// `store.default_quota`.
    pub by: String,
    /// Octets; absent: no limit.
    pub size: Option<u64>,
    /// Messages; absent: no limit.
    pub messages: Option<u64>,
}

/// Something that is wrong with a mailbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailboxFinding {
    /// Where, relative to its Maildir.
    pub place: String,
    /// A word for it: `no_directory`, `not_a_directory`, `no_message`, `wrong_size`,
    /// `wrong_wire_size`, `left_over`, `no_folder_mark`, `bad_quota_file`, `wrong_sum`,
    /// `in_two_partitions`.
    pub fault: String,
    /// In a sentence.
    pub text: String,
    /// It is well now.
    pub mended: bool,
}

impl MailboxAnswer {
    /// The answer of one look into a mailbox. `directory`: its limits, where it says any.
    pub fn looked(
        mailbox: String,
        kind: MailboxOrderKind,
        census: Census,
        directory: Option<MailboxLimit>,
        default: Quota,
    ) -> Self {
        let usage = |size, messages| Some(MailboxUsage { size, messages });
        let Census { octets, messages, quota_file, findings, more, .. } = census;
        let limits =
            (kind == MailboxOrderKind::Quota).then(|| limits_of(directory, quota_file, default));
        let is_count = kind == MailboxOrderKind::Quota;
        Self {
            mailbox,
            changed: findings.iter().any(|finding| finding.mended),
            usage: usage(octets.cast_signed(), messages.cast_signed()),
            limits,
            quota_file: quota_file
                .filter(|_| is_count)
                .and_then(|file| usage(file.octets, file.counted)),
            findings: findings.iter().map(MailboxFinding::of).collect(),
            more,
            ..Self::default()
        }
    }

    /// The findings that are still so.
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.mended).count()
    }
}

impl MailboxFinding {
    fn of(finding: &Finding) -> Self {
        let fault: MailboxFault = finding.fault;
        Self {
            place: finding.place.clone(),
            fault: fault.name().to_owned(),
            text: fault.to_string(),
            mended: finding.mended,
        }
    }
}

fn limits_of(
    directory: Option<MailboxLimit>,
    file: Option<QuotaFile>,
    default: Quota,
) -> Vec<MailboxLimit> {
    let limit = |by: &str, size, messages| MailboxLimit { by: by.to_owned(), size, messages };
    // Where nobody said anything else, the file repeats the store's own limit.
    let said = file.filter(|file| {
        let is_limit = file.size.is_some() || file.messages.is_some();
        is_limit && (file.size, file.messages) != (default.size, default.messages)
    });
    let file = said.map(|file| limit("maildirsize", file.size, file.messages));
    let default = (default != Quota::default())
        .then(|| limit("store.default_quota", default.size, default.messages));
    [directory, file, default].into_iter().flatten().collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
