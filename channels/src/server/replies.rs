//! The server's own words that are always the same.

use std::borrow::Cow;

use crate::mail::{Enhanced, Reply};

pub(super) const OK: Reply = Reply::new(250, Enhanced(2, 0, 0), "OK");
pub(super) const SENDER_OK: Reply = Reply::new(250, Enhanced(2, 1, 0), "OK");
pub(super) const RECIPIENT_OK: Reply = Reply::new(250, Enhanced(2, 1, 5), "OK");
pub(super) const VRFY: Reply = Reply::new(252, Enhanced(2, 5, 0), "not verified, send and see");
pub(super) const GO_AHEAD: Reply =
    Reply { code: 354, enhanced: None, text: Cow::Borrowed("end with <CRLF>.<CRLF>") };
pub(super) static NO_RESULT: Reply = Reply::new(451, Enhanced(4, 3, 0), "no result, try again");
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    Reply::new(452, Enhanced(4, 5, 3), "too many recipients");
pub(super) static TOO_MANY_NAMED: Reply =
    Reply::new(451, Enhanced(4, 5, 3), "too many recipients were named for one message");
pub(super) const DEFERRED: Reply =
    Reply::new(450, Enhanced(4, 7, 0), "too many recipients were refused, try again later");
pub(super) static TOO_MANY_TRANSACTIONS: Reply =
    Reply::new(450, Enhanced(4, 5, 3), "too many transactions, open another session");
pub(super) const BARE_IN_COMMAND: Reply =
    Reply::new(550, Enhanced(5, 6, 11), "a CR or LF of its own, lines end with CRLF");
/// As the original says it, without enhanced code.
pub(super) const MORE_THAN_ANNOUNCED: Reply =
    Reply { code: 500, enhanced: None, text: Cow::Borrowed("message too big") };
pub(super) const OUT_OF_TURN: Reply =
    Reply::new(554, Enhanced(5, 5, 0), "wait for the reply before you send more, closing");
/// To a client that asks for something that is not offered.
pub const NOT_OFFERED: Reply = Reply::new(502, Enhanced(5, 5, 1), "not offered here");
pub(super) const GO_SECURE: Reply = Reply::new(220, Enhanced(2, 0, 0), "ready to start TLS");
pub(super) const TLS_FIRST: Reply = Reply::new(530, Enhanced(5, 7, 0), "STARTTLS first");
pub(super) const TLS_TWICE: Reply = Reply::new(503, Enhanced(5, 5, 1), "TLS is in use already");
pub(super) const NO_CERTIFICATE: Reply =
    Reply::new(454, Enhanced(4, 7, 0), "TLS is not available for now");
pub(super) const NOT_TRUSTED: Reply =
    Reply::new(550, Enhanced(5, 7, 1), "you cannot speak for others here, closing");
pub(super) const TOO_LATE: Reply =
    Reply::new(503, Enhanced(5, 5, 1), "XCLIENT has to come before MAIL");
pub(super) const AUTH_OK: Reply = Reply::new(235, Enhanced(2, 7, 0), "authenticated");
pub(super) const AUTH_FIRST: Reply = Reply::new(530, Enhanced(5, 7, 0), "AUTH first");
pub(super) const AUTH_TWICE: Reply = Reply::new(503, Enhanced(5, 5, 1), "AUTH was already done");
pub(super) const AUTH_IN_MAIL: Reply = Reply::new(503, Enhanced(5, 5, 1), "not within a message");
pub(super) const AUTH_NEEDS_TLS: Reply = Reply::new(538, Enhanced(5, 7, 11), "STARTTLS first");
pub(super) const AUTH_UNKNOWN: Reply = Reply::new(504, Enhanced(5, 5, 4), "no such mechanism here");
pub(super) const AUTH_CANCELLED: Reply = Reply::new(501, Enhanced(5, 7, 0), "cancelled");
pub(super) const AUTH_BAD_BASE64: Reply = Reply::new(501, Enhanced(5, 5, 2), "that is no base64");
pub(super) const HELLO_FIRST: Reply = Reply::new(503, Enhanced(5, 5, 1), "say who you are first");
pub(super) const MAIL_FIRST: Reply = Reply::new(503, Enhanced(5, 5, 1), "MAIL first");
pub(super) const NESTED_MAIL: Reply = Reply::new(503, Enhanced(5, 5, 1), "MAIL was already said");
pub(super) const IN_CHUNKS: Reply =
    Reply::new(503, Enhanced(5, 5, 1), "the message is coming by BDAT");
pub(super) static TOO_BIG: Reply = Reply::new(552, Enhanced(5, 3, 4), "the message is too big");
