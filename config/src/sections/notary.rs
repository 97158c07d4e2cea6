//! Notices to senders: who signs them, in which language, and how much of the message comes back.

use std::path::PathBuf;

use crate::file::{
    collections::Maybe,
    form::{Form, Section},
    kinds::{Choice, Formed, Path, Size},
    names::is_mailbox,
};

/// How delivery status notifications (RFC 3464) are written. When they are sent is a matter of the
/// channels: `notices`, `sendpost`, `warnpost`.
#[derive(Clone, Debug)]
pub struct Notary {
    /// Who signs, and who gets the copies that `sendpost` and `warnpost` ask for; default
    /// `postmaster@` the default domain.
    pub postmaster: Option<String>,
    /// The language of senders who name none in `Accept-Language` or the like; default `"en"`.
    pub language: String,
    /// A folder of texts that stand above the built-in ones: `<language>/return_failed.txt`, ...
    pub templates: Option<PathBuf>,
    /// A message of more octets comes back as its header alone, whatever the sender asked for;
    /// default 64 KiB. (The original: `CONTENT_RETURN_BLOCK_LIMIT`.)
    pub content_return_limit: u64,
    /// What becomes of a notice that is refused itself; default `Postmaster`.
    pub double_bounces: DoubleBounces,
}

/// What becomes of a notice of ours that is refused itself, or waits for too long.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DoubleBounces {
    /// The postmaster gets it; one that even the postmaster does not get is held.
    #[default]
    Postmaster,
    /// It ends, with a warning in the log. (The channels' `sendpost` still has its say.)
    Log,
}

impl Default for Notary {
    fn default() -> Self {
        Self {
            postmaster: None,
            language: "en".to_owned(),
            templates: None,
            content_return_limit: 64 << 10,
            double_bounces: DoubleBounces::default(),
        }
    }
}

impl Section for Notary {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("postmaster", Maybe(MAILBOX), &mut self.postmaster);
        form.field("language", LANGUAGE, &mut self.language);
        form.field("templates", Maybe(Path), &mut self.templates);
        let most = 0..=16 << 20;
        form.field("content_return_limit", Size(most), &mut self.content_return_limit);
        form.field("double_bounces", Choice(DOUBLE_BOUNCES), &mut self.double_bounces);
    }
}

const DOUBLE_BOUNCES: &[(&str, DoubleBounces)] =
    &[("Postmaster", DoubleBounces::Postmaster), ("Log", DoubleBounces::Log)];

const MAILBOX: Formed = Formed {
    is: is_mailbox,
    expected: "an address is expected, such as \"postmaster@example.org\"",
};

const LANGUAGE: Formed = Formed {
    is: |text| {
        let letters = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
        };
        text.len() <= 35 && text.split('-').all(letters)
    },
    expected: "a language tag is expected, such as \"en\" or \"pt-BR\"",
};
