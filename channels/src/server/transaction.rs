//! The message that is coming in, as far as its session knows it.

use super::{Dialect, MailFrom, replies::TOO_BIG};
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
    /// MAIL asked for SMTPUTF8.
    pub(super) smtputf8: bool,
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
    pub(super) fn new(from: &MailFrom, limits: ContentLimits) -> Self {
        Self {
            announced: from.size,
            smtputf8: from.smtputf8,
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

    /// Whether more has come than MAIL said.
    pub(super) fn exceeds_announced(&self) -> bool {
        self.announced.is_some_and(|size| self.received > size)
    }

    /// Refuses the message if what came of it so far must not be.
    pub(super) fn judge(&mut self, fault: Option<TextFault>, limit: u64, dialect: Dialect) {
        if self.refusal.is_some() {
            return;
        }
        self.refusal = match fault {
            Some(TextFault::BareCr | TextFault::BareLf) if dialect == Dialect::Lmtp => {
                Some(BARE_LINE_END)
            }
            Some(fault @ (TextFault::BareCr | TextFault::BareLf)) => {
                Some(Reply::with_text(550, Enhanced(5, 6, 11), fault.to_string()))
            }
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

fn refusal(fault: ContentFault, dialect: Dialect) -> Reply {
    let (code, enhanced) = match (fault, dialect) {
        (ContentFault::Nul, Dialect::Lmtp) => return NUL,
        (ContentFault::BadHeader, Dialect::Lmtp) => return BAD_HEADER,
        (ContentFault::NoBlankLine, Dialect::Lmtp) => return NO_BLANK_LINE,
        (ContentFault::LargeHeader(_), _) => (552, Enhanced(5, 3, 4)),
        (
            ContentFault::ManyFields(_)
            | ContentFault::Nul
            | ContentFault::BadHeader
            | ContentFault::NoBlankLine,
            _,
        ) => (550, Enhanced(5, 6, 0)),
    };
    Reply::with_text(code, enhanced, fault.to_string())
}

// The original's store says these so (table 16-1).
const NUL: Reply = Reply::new(560, Enhanced(5, 6, 0), "message contains null");
const BARE_LINE_END: Reply = Reply::new(560, Enhanced(5, 6, 0), "message contains nl");
const BAD_HEADER: Reply = Reply::new(560, Enhanced(5, 6, 0), "message has bad header");
const NO_BLANK_LINE: Reply = Reply::new(560, Enhanced(5, 6, 0), "message has no blank line");
