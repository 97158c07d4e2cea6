//! The message that is coming in, as far as its session knows it.

use super::{Dialect, replies::TOO_BIG};
use crate::{
    mail::{Enhanced, Reply},
    wire::{
        content::{ContentCheck, ContentFault, ContentLimits},
        text::{Text, TextFault},
    },
};

/// From MAIL to the reply to its data.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Octets, as MAIL said.
    pub(super) announced: Option<u64>,
    /// Recipients that were named.
    pub(super) named: usize,
    /// Accepted ones.
    pub(super) recipients: usize,
    /// Octets of content.
    pub(super) received: u64,
    check: ContentCheck,
    /// The lines so far of a message that comes in chunks.
    pub(super) chunked: Option<Text>,
    /// Why the message will not be taken; the content is swallowed.
    pub(super) refusal: Option<Reply>,
}

impl Transaction {
    /// One whose sender has been named.
    pub(super) fn new(announced: Option<u64>, limits: ContentLimits) -> Self {
        Self {
            announced,
            named: 0,
            recipients: 0,
            received: 0,
            check: ContentCheck::new(limits),
            chunked: None,
            refusal: None,
        }
    }

    /// Takes note of a piece of content.
    pub(super) fn receive(&mut self, content: &[u8]) {
        self.received += content.len() as u64;
        if self.refusal.is_none() {
            self.check.feed(content);
        }
    }

    /// Refuses the message if what came of it so far must not be.
    pub(super) fn judge(&mut self, fault: Option<TextFault>, limit: u64, dialect: Dialect) {
        if self.refusal.is_some() {
            return;
        }
        self.refusal = match fault {
            Some(fault @ (TextFault::BareCr | TextFault::BareLf)) => match dialect {
                Dialect::Lmtp => {
                    let known =
                        if fault == TextFault::BareLf { "message contains nl: " } else { "" };
                    Some(damaged(format!("{known}{fault}")))
                }
                Dialect::Smtp => Some(Reply::with_text(550, Enhanced(5, 6, 11), fault.to_string())),
            },
            Some(fault @ TextFault::LongLine(_)) => {
                Some(Reply::with_text(550, Enhanced(5, 6, 0), fault.to_string()))
            }
            None if self.received > limit => Some(TOO_BIG.clone()),
            None => self.check.fault().map(|fault| refusal(fault, dialect)),
        };
    }

    /// Whether the CRLF of the last line is missing and has to be added. Not twice.
    pub(super) fn end_last_line(&mut self, dialect: Dialect) -> bool {
        let Some(text) = &mut self.chunked else { return false };
        text.finish();
        let (fault, missing) = (text.fault(), !text.at_line_start());
        self.judge(fault, u64::MAX, dialect);
        if let (true, None, Some(text)) = (missing, &self.refusal, &mut self.chunked) {
            text.scan(b"\r\n");
            return true;
        }
        false
    }
}

/// The refusal of octets that no message may have, as Table 16-1 of the original's store says it.
fn damaged(words: String) -> Reply {
    Reply::with_text(560, Enhanced(5, 6, 0), words)
}

fn refusal(fault: ContentFault, dialect: Dialect) -> Reply {
    let (code, enhanced) = match fault {
        ContentFault::Nul if dialect == Dialect::Lmtp => {
            return damaged(format!("message contains null: {fault}"));
        }
        ContentFault::LargeHeader(_) => (552, Enhanced(5, 3, 4)),
        ContentFault::ManyFields(_) | ContentFault::Nul => (550, Enhanced(5, 6, 0)),
    };
    Reply::with_text(code, enhanced, fault.to_string())
}
