//! The commands of a message, with the parameters that the server offers.

use std::io::Write;

use relais_config::grammar::is_nameable;

use super::{
    offer::Offer,
    outgoing::{Outgoing, OutgoingRcpt},
    policy::Stage,
};
use crate::mail::{Notify, TlsWish, unitext, xtext::Xtext};

/// Writes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commands<'a> {
    pub(super) delivery: &'a Outgoing<'a>,
    pub(super) offer: Offer,
}

impl Commands<'_> {
    /// Appends the command of this stage.
    pub(super) fn write(self, stage: Stage, out: &mut Vec<u8>) {
        match stage {
            Stage::Reset => out.extend_from_slice(b"RSET\r\n"),
            Stage::Mail => self.mail_from(out),
            Stage::Rcpt(i) => self.rcpt_to(&self.delivery.recipients[i], out),
            _ => out.extend_from_slice(b"DATA\r\n"),
        }
    }

    fn mail_from(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:<");
        out.extend_from_slice(self.delivery.sender.as_bytes());
        out.push(b'>');
        if self.offer.private || self.offer.size.is_some() {
            // Our store takes it for an upper bound: room for a line end that may be missing.
            let size = self.delivery.size_sent() + 2;
            let size = self.offer.size_limit().map_or(size, |limit| size.min(limit));
            push(out, format_args!(" SIZE={size}"));
        }
        if self.delivery.eight_bit && self.offer.eight_bit {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if self.offer.smtputf8 && self.delivery.wants_smtputf8() {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if self.delivery.tls == TlsWish::Required && self.offer.requiretls {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if self.offer.dsn {
            if let Some(returned) = self.delivery.returned {
                push(out, format_args!(" RET={returned}"));
            }
            if let Some(id) = self.delivery.envelope_id {
                push(out, format_args!(" ENVID={}", Xtext(id)));
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn rcpt_to(self, to: &OutgoingRcpt<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RCPT TO:<");
        out.extend_from_slice(to.address.as_bytes());
        out.push(b'>');
        if let Some(quota) = to.quota.filter(|_| self.offer.quota) {
            push(out, format_args!(" XQUOTA={quota}"));
        }
        if to.flags != 0 && self.offer.flags {
            push(out, format_args!(" XDFLG={}", to.flags));
        }
        if self.offer.dsn {
            notify(to, self.offer, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// NOTIFY and ORCPT (RFC 3461 section 5.2.1).
fn notify(to: &OutgoingRcpt<'_>, offer: Offer, out: &mut Vec<u8>) {
    if to.notify != Notify::Unsaid {
        push(out, format_args!(" NOTIFY={}", to.notify));
    }
    // RFC 6533 section 3: in characters to those who take them, else in ASCII.
    let written = |address: &str| {
        if offer.smtputf8 { unitext::keep(address) } else { unitext::encode(address) }
    };
    match to.original_recipient.map(|original| (original, original.unicode())) {
        Some((_, Some(unicode))) if offer.smtputf8 => {
            push(out, format_args!(" ORCPT=utf-8;{}", written(&unicode)));
        }
        Some((original, _)) => push(out, format_args!(" ORCPT={original}")),
        // One that does not fit is left out: what we call the recipient is better than nothing.
        None if to.original.is_empty() => {}
        None if !to.original.is_ascii() => {
            let original = written(to.original);
            if original.len() <= MAX_ORIGINAL_UTF8 {
                push(out, format_args!(" ORCPT=utf-8;{original}"));
            }
        }
        None if to.original.len() <= MAX_ORIGINAL => {
            push(out, format_args!(" ORCPT=rfc822;{}", Xtext(to.original)));
        }
        None => {}
    }
}

/// Whether an address can stand in a command line.
pub(super) fn is_sendable(address: &str) -> bool {
    address.bytes().all(|c| (b' '..=b'~').contains(&c))
        || !address.is_ascii() && is_nameable(address)
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

/// Octets. Each may take three in xtext, and a server takes 500 (RFC 3461 section 4.2).
const MAX_ORIGINAL: usize = 160;
/// Octets of one that is written in full; a server takes 500 with the type.
const MAX_ORIGINAL_UTF8: usize = 490;
