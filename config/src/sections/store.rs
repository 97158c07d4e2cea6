//! Mailboxes that this machine holds.

use std::path::PathBuf;

use crate::file::{
    collections::Maybe,
    form::{Form, Nested, Section},
    kinds::{Choice, Count, Path, Size},
};

/// Maildir++ mailboxes at `path/<domain>/<uid>/Maildir`.
#[derive(Clone, Debug)]
pub struct Store {
    /// Root of the partition.
    pub path: PathBuf,
    /// Which mailboxes come into being by a delivery.
    pub autocreate: Autocreate,
    /// For mailboxes whose sender named no quota.
    pub default_quota: Quota,
}

/// Which mailboxes come into being by a delivery.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Autocreate {
    /// None: an unknown user is `511 5.1.1`.
    #[default]
    No,
    /// The INBOX of any user that the relay names; an unknown folder falls back to it.
    Inbox,
    /// The INBOX and any `+folder`.
    All,
}

/// `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// Octets of all messages together.
    pub size: Option<u64>,
    /// Number of messages.
    pub messages: Option<u64>,
}

/// UNIX mailboxes of this machine.
#[derive(Clone, Debug)]
pub struct Native {
    /// One mbox per user lies here.
    pub path: PathBuf,
}

impl Store {
    /// No path yet, and every default.
    pub(crate) fn blank() -> Self {
        Self {
            path: PathBuf::new(),
            autocreate: Autocreate::default(),
            default_quota: Quota::default(),
        }
    }
}

impl Native {
    pub(crate) fn blank() -> Self {
        Self { path: PathBuf::new() }
    }
}

impl Section for Store {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("path", r#""store""#, Path, &mut self.path);
        form.field("autocreate", Choice(AUTOCREATE), &mut self.autocreate);
        form.field("default_quota", Nested(Quota::default), &mut self.default_quota);
    }
}

impl Section for Quota {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("size", Maybe(Size(0..=u64::MAX)), &mut self.size);
        form.field("messages", Maybe(Count(0..=u64::MAX)), &mut self.messages);
    }
}

impl Section for Native {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("path", r#""store""#, Path, &mut self.path);
    }
}

const AUTOCREATE: &[(&str, Autocreate)] =
    &[("No", Autocreate::No), ("Inbox", Autocreate::Inbox), ("All", Autocreate::All)];
