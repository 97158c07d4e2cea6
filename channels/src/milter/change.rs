//! The changes that a filter asks for at the end of a message, checked.

use super::{
    agreement::{
        ADD_HEADERS, ADD_RECIPIENTS, ADD_RECIPIENTS_ARGS, Agreement, CHANGE_BODY, CHANGE_HEADERS,
        CHANGE_SENDER, DELETE_RECIPIENTS,
    },
    breach::Breach,
    packet_reader::PacketReader,
};
use crate::mail::{Address, Notify, OriginalRecipient, Return, ReversePath, xtext};

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FilterChange {
    /// A field, `Name: text` and CRLF, behind all others.
    AddHeader(Vec<u8>),
    /// A field before the one that has so many before it.
    InsertHeader(usize, Vec<u8>),
    /// Another text for the n-th field (from 1) of this name. `None`: it goes.
    ChangeHeader {
        /// The name.
        name: Vec<u8>,
        /// Which of those that have it.
        nth: usize,
        /// The field in its place.
        field: Option<Vec<u8>>,
    },
    /// The next part of another body.
    ReplaceBody(Vec<u8>),
    /// One more recipient.
    AddRecipient(Box<NewRecipient>),
    /// Recipients whose address this is get nothing.
    DeleteRecipient(Address),
    /// Another sender.
    ChangeSender(Box<NewSender>),
}

/// A recipient that a filter adds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewRecipient {
    /// Its address.
    pub address: Address,
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT.
    pub original_recipient: Option<OriginalRecipient>,
    /// Parameters that mean nothing to us.
    pub ignored: String,
}

/// A sender that a filter sets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSender {
    /// Its address, or nothing.
    pub path: ReversePath,
    /// RET.
    pub returned: Option<Return>,
    /// ENVID.
    pub envelope_id: Option<String>,
    /// Parameters that mean nothing to us.
    pub ignored: String,
}

impl FilterChange {
    /// Reads a change; `None`: the command is none.
    pub(super) fn of(
        command: u8,
        data: &[u8],
        agreement: &Agreement,
    ) -> Result<Option<Self>, Breach> {
        let needed = match command {
            b'h' | b'i' => ADD_HEADERS,
            b'm' => CHANGE_HEADERS,
            b'b' => CHANGE_BODY,
            b'+' => ADD_RECIPIENTS,
            b'2' => ADD_RECIPIENTS_ARGS,
            b'-' => DELETE_RECIPIENTS,
            b'e' => CHANGE_SENDER,
            _ => return Ok(None),
        };
        // libmilter lets filters insert headers that may only change them, and the other way round.
        let may_edit = ADD_HEADERS | CHANGE_HEADERS;
        let needed = if needed & may_edit == 0 { needed } else { may_edit };
        if agreement.actions & needed == 0 {
            return Err(Breach::NotAgreed(command));
        }
        let mut words = PacketReader(data);
        let change = match command {
            b'h' => Self::AddHeader(read_field(&mut words, agreement)?),
            b'i' => {
                let index = position(words.next()?)?;
                Self::InsertHeader(index, read_field(&mut words, agreement)?)
            }
            b'm' => {
                let nth = position(words.next()?)?.max(1);
                let (name, text) = (words.text()?, words.text()?);
                check_name(name)?;
                let field = (!text.is_empty()).then(|| field(name, text, agreement));
                Self::ChangeHeader { name: name.to_vec(), nth, field }
            }
            b'b' => return Ok(Some(Self::ReplaceBody(data.to_vec()))),
            b'+' => Self::AddRecipient(Box::new(NewRecipient::of(words.text()?, b"")?)),
            b'2' => {
                let address = words.text()?;
                let parameters = if words.0.is_empty() { b"" } else { words.text()? };
                Self::AddRecipient(Box::new(NewRecipient::of(address, parameters)?))
            }
            b'-' => Self::DeleteRecipient(address(words.text()?)?),
            _ => {
                let path = words.text()?;
                let parameters = if words.0.is_empty() { b"" } else { words.text()? };
                Self::ChangeSender(Box::new(NewSender::of(path, parameters)?))
            }
        };
        if words.0.is_empty() { Ok(Some(change)) } else { Err(Breach::TooMuch(command)) }
    }

    /// Octets that it adds to what is kept of a message.
    pub fn size(&self) -> usize {
        let text = match self {
            Self::AddHeader(field) | Self::InsertHeader(_, field) => field.len(),
            Self::ChangeHeader { name, field, .. } => {
                name.len() + field.as_ref().map_or(0, Vec::len)
            }
            Self::ReplaceBody(_) => 0,
            Self::AddRecipient(_) | Self::DeleteRecipient(_) | Self::ChangeSender(_) => ADDRESS,
        };
        text + OVERHEAD
    }
}

impl NewRecipient {
    fn of(text: &[u8], parameters: &[u8]) -> Result<Self, Breach> {
        let mut new = Self {
            address: address(text)?,
            notify: Notify::default(),
            original_recipient: None,
            ignored: String::new(),
        };
        for (word, name, value) in parameters_of(parameters) {
            if name == b"NOTIFY" {
                new.notify = Notify::parse(value).ok_or(Breach::Parameter)?;
            } else if name == b"ORCPT" {
                let parsed = OriginalRecipient::parse(value).ok_or(Breach::Parameter)?;
                new.original_recipient = Some(parsed);
            } else {
                ignore(&mut new.ignored, word);
            }
        }
        Ok(new)
    }
}

impl NewSender {
    fn of(text: &[u8], parameters: &[u8]) -> Result<Self, Breach> {
        let text = std::str::from_utf8(unbracketed(text)).map_err(|_| Breach::Address)?;
        let path = ReversePath::parse(text).map_err(|_| Breach::Address)?;
        let mut new = Self { path, returned: None, envelope_id: None, ignored: String::new() };
        for (word, name, value) in parameters_of(parameters) {
            if name == b"RET" {
                new.returned = Some(Return::parse(value).ok_or(Breach::Parameter)?);
            } else if name == b"ENVID" {
                let decoded = xtext::decode(value).ok_or(Breach::Parameter)?;
                new.envelope_id = Some(decoded);
            } else {
                ignore(&mut new.ignored, word);
            }
        }
        Ok(new)
    }
}

/// Parameters of ESMTP: the word, its name in capitals, its value.
fn parameters_of(text: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>, &[u8])> {
    let words = text.split(|c| *c == b' ').filter(|word| !word.is_empty());
    words.map(|word| {
        let at = memchr::memchr(b'=', word).unwrap_or(word.len());
        (word, word[..at].to_ascii_uppercase(), word.get(at + 1..).unwrap_or_default())
    })
}

fn ignore(ignored: &mut String, word: &[u8]) {
    if ignored.len() < MOST_IGNORED {
        let gap = if ignored.is_empty() { "" } else { " " };
        ignored.push_str(gap);
        ignored.extend(word.escape_ascii().map(char::from).take(MOST_IGNORED));
    }
}

fn address(text: &[u8]) -> Result<Address, Breach> {
    let text = std::str::from_utf8(unbracketed(text)).map_err(|_| Breach::Address)?;
    Address::parse(text).map_err(|_| Breach::Address)
}

/// Filters give addresses with angle brackets or without.
fn unbracketed(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.strip_prefix(b"<").and_then(|inner| inner.strip_suffix(b">")).unwrap_or(text)
}

/// A number that libmilter keeps as an `int`.
fn position(number: u32) -> Result<usize, Breach> {
    i32::try_from(number).ok().and_then(|number| usize::try_from(number).ok()).ok_or(Breach::Index)
}

fn read_field(words: &mut PacketReader<'_>, agreement: &Agreement) -> Result<Vec<u8>, Breach> {
    let (name, text) = (words.text()?, words.text()?);
    check_name(name)?;
    Ok(field(name, text, agreement))
}

fn check_name(name: &[u8]) -> Result<(), Breach> {
    let is_name = |c: &u8| c.is_ascii_graphic() && *c != b':';
    let is_fit = !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(is_name);
    is_fit.then_some(()).ok_or(Breach::HeaderName)
}

/// A whole field, CRLF included. Each line behind the first begins with a blank, so that none is a field
/// of its own; control characters are blanks; lines are no longer than a line may be.
fn field(name: &[u8], text: &[u8], agreement: &Agreement) -> Vec<u8> {
    let mut field = Vec::with_capacity(name.len() + text.len() + 8);
    field.extend_from_slice(name);
    field.push(b':');
    if !agreement.keeps_blanks() {
        field.push(b' ');
    }
    let fit = |c: &u8| if c.is_ascii_control() && *c != b'\t' { b' ' } else { *c };
    for (n, line) in text.split(|c| *c == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line: Vec<u8> = line.iter().map(fit).collect();
        // A line of blanks would end the header for some readers.
        let is_blank = line.trim_ascii().is_empty();
        if n > 0 && !is_blank {
            continue_line(&mut field, &line);
        }
        if !is_blank {
            put_line(&mut field, &line);
        }
    }
    field.extend_from_slice(b"\r\n");
    field
}

/// Puts a text on the line at hand, and what has no room there on further ones.
fn put_line(field: &mut Vec<u8>, line: &[u8]) {
    let begin = memchr::memrchr(b'\n', field).map_or(0, |at| at + 1);
    let mut room = MAX_LINE.saturating_sub(field.len() - begin);
    let mut line = line;
    if line.len() > room {
        // No part of it may be blank.
        line = line.trim_ascii_end();
        let blanks = line.len() - line.trim_ascii_start().len();
        line = if blanks > MOST_BLANKS { line.trim_ascii_start() } else { line };
    }
    while line.len() > room {
        let (now, rest) = line.split_at(end_of_line(line, room));
        field.extend_from_slice(now);
        room = MAX_LINE - continue_line(field, rest);
        line = rest;
    }
    field.extend_from_slice(line);
}

/// Begins a line that continues a field; the octets that it has before the text.
fn continue_line(field: &mut Vec<u8>, text: &[u8]) -> usize {
    field.extend_from_slice(b"\r\n");
    let needs_blank = !matches!(text.first(), Some(b' ' | b'\t'));
    if needs_blank {
        field.push(b'\t');
    }
    usize::from(needs_blank)
}

/// Where a line of at most `most` octets may end: before its last blank, if there is text before it.
fn end_of_line(line: &[u8], most: usize) -> usize {
    let start = line.len() - line.trim_ascii_start().len();
    let blank = memchr::memrchr2(b' ', b'\t', &line[..most]);
    blank.filter(|at| *at > start).unwrap_or(most)
}

/// Octets of a line without its CRLF (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;
/// Blanks that a line may begin with.
const MOST_BLANKS: usize = 100;
/// Octets of a field's name; libmilter has no limit.
const MAX_NAME: usize = 255;
/// Octets that an address counts for, about as many as the longest.
const ADDRESS: usize = 1 << 10;
/// Octets of memory of a change itself.
const OVERHEAD: usize = 64;
/// Octets of parameters that are shown in the log.
const MOST_IGNORED: usize = 200;
