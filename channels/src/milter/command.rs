//! Commands to filters, as octets.

use std::net::SocketAddr;

use super::{
    agreement::{
        Agreement, NO_BODY, NO_CONNECT, NO_DATA, NO_EOH, NO_HEADERS, NO_HELO, NO_MAIL, NO_RCPT,
        NR_BODY, NR_CONNECT, NR_DATA, NR_EOH, NR_HEADER, NR_HELO, NR_MAIL, NR_RCPT,
    },
    frames::put_frame,
    stage::MacroStage,
};

/// An event in a session.
#[derive(Clone, Copy, Debug)]
pub enum FilterEvent<'a> {
    /// A client has connected.
    Connect(&'a Client),
    /// It said this name in HELO or EHLO.
    Helo(&'a str),
    /// MAIL: the sender in angle brackets, and parameters.
    Mail(&'a [String]),
    /// RCPT: the recipient in angle brackets, and parameters.
    Rcpt(&'a [String]),
    /// DATA.
    Data,
    /// A field of the header: name, and all that stands behind its colon without the CRLF at its end.
    Header(&'a [u8], &'a [u8]),
    /// The header is complete.
    EndOfHeader,
    /// A part of the body, at most [`PIECE`](super::PIECE) octets.
    Body(&'a [u8]),
    /// The message is complete.
    EndOfMessage,
}

/// A client as filters see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Its name, or its address in square brackets.
    pub name: String,
    /// Its address and port.
    pub address: SocketAddr,
}

/// How one kind of event is told.
pub(super) struct EventManner {
    pub(super) command: u8,
    /// The macros that go before it.
    pub(super) stage: Option<MacroStage>,
    /// The flag that says that the filter does not want it.
    unwanted: u32,
    /// The flag that says that the filter does not answer it.
    unanswered: u32,
}

impl FilterEvent<'_> {
    pub(super) fn manner(&self) -> EventManner {
        let (command, stage, unwanted, unanswered) = match self {
            Self::Connect(_) => (b'C', Some(MacroStage::Connect), NO_CONNECT, NR_CONNECT),
            Self::Helo(_) => (b'H', Some(MacroStage::Helo), NO_HELO, NR_HELO),
            Self::Mail(_) => (b'M', Some(MacroStage::Mail), NO_MAIL, NR_MAIL),
            Self::Rcpt(_) => (b'R', Some(MacroStage::Rcpt), NO_RCPT, NR_RCPT),
            Self::Data => (b'T', Some(MacroStage::Data), NO_DATA, NR_DATA),
            Self::Header(..) => (b'L', None, NO_HEADERS, NR_HEADER),
            Self::EndOfHeader => (b'N', Some(MacroStage::EndOfHeader), NO_EOH, NR_EOH),
            Self::Body(_) => (b'B', None, NO_BODY, NR_BODY),
            Self::EndOfMessage => (b'E', Some(MacroStage::EndOfMessage), 0, 0),
        };
        EventManner { command, stage, unwanted, unanswered }
    }

    /// Appends the packet.
    pub(super) fn put(&self, out: &mut Vec<u8>, agreement: &Agreement) {
        let most = agreement.most_data();
        put_frame(out, self.manner().command, |out| match self {
            Self::Connect(client) => put_client(out, client),
            Self::Helo(name) => put_text(out, name.as_bytes()),
            Self::Mail(words) | Self::Rcpt(words) => {
                words.iter().for_each(|word| put_text(out, word.as_bytes()));
            }
            Self::Header(name, value) => {
                let value = if agreement.keeps_blanks() {
                    value
                } else {
                    value.strip_prefix(b" ").unwrap_or(value)
                };
                put_text(out, name);
                put_value(out, value, most.saturating_sub(name.len() + 2));
            }
            Self::Body(octets) => out.extend_from_slice(&octets[..octets.len().min(most)]),
            Self::Data | Self::EndOfHeader | Self::EndOfMessage => {}
        });
    }
}

impl EventManner {
    pub(super) fn is_wanted(&self, agreement: &Agreement) -> bool {
        self.unwanted == 0 || !agreement.has(self.unwanted)
    }

    pub(super) fn is_answered(&self, agreement: &Agreement) -> bool {
        self.unanswered == 0 || !agreement.has(self.unanswered)
    }

    /// Whether filters of this version may be sent its macros.
    pub(super) fn has_macros(&self, agreement: &Agreement) -> bool {
        match self.stage {
            Some(MacroStage::Data) => agreement.version >= 4,
            Some(MacroStage::EndOfHeader) => agreement.version >= 6,
            stage => stage.is_some(),
        }
    }
}

/// A command without data.
pub(super) fn put_bare(out: &mut Vec<u8>, command: u8) {
    put_frame(out, command, |_| {});
}

fn put_client(out: &mut Vec<u8>, client: &Client) {
    put_text(out, client.name.as_bytes());
    out.push(if client.address.is_ipv4() { b'4' } else { b'6' });
    out.extend_from_slice(&client.address.port().to_be_bytes());
    put_text(out, client.address.ip().to_string().as_bytes());
}

/// A text and its NUL, which it cannot hold itself.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().filter(|c| **c != 0));
    out.push(0);
}

/// A field's text as filters get it: lines are parted by LF. Longer ones than a packet may hold are cut
/// off: libmilter closes the connection over them.
fn put_value(out: &mut Vec<u8>, value: &[u8], most: usize) {
    let (start, mut rest) = (out.len(), value);
    while let Some(at) = memchr::memchr(b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if !rest.starts_with(b"\n") {
            out.push(b'\r');
        }
    }
    out.extend_from_slice(rest);
    for c in &mut out[start..] {
        if *c == 0 {
            *c = b' ';
        }
    }
    out.truncate(start + most);
    out.push(0);
}

pub(super) const ABORT: u8 = b'A';
pub(super) const QUIT: u8 = b'Q';
/// QUIT, and another client follows on the same connection.
pub(super) const QUIT_NC: u8 = b'K';
