//! The content as the server at hand takes it: as it is, or converted where it has octets or lines that
//! the server does not take.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::Path,
};

use relais_config::channel::Downgrade;

use super::{
    lacking,
    line_ends::{self, LineEnds, Unsendable},
    offer::Offer,
    settings::Settings,
};
use crate::{
    mail::{Content, Enhanced, Outcome, Reply},
    mime::{Conversion, Converter, Demand, Survey, Unconvertible},
};

/// The content that is sent.
#[derive(Debug)]
pub(super) struct Rendition<'c> {
    pub(super) octets: Octets<'c>,
    /// Fields that stand in front of them: signatures.
    pub(super) head: Vec<u8>,
    /// Octets behind those fields.
    pub(super) size: u64,
    /// Some are above 127.
    pub(super) eight_bit: bool,
    pub(super) converted: Option<Converted>,
}

/// Where its octets are.
#[derive(Debug)]
pub(super) enum Octets<'c> {
    Whole(Cow<'c, [u8]>),
    File {
        path: &'c Path,
        /// Octets of the file.
        size: u64,
        /// Done on the way.
        conversion: Option<Conversion>,
    },
}

/// A message was given another encoding on its way to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Converted {
    /// Something in it is signed, and the signature may not hold any more.
    pub is_signed: bool,
}

/// A file that has been looked at.
struct Examined {
    size: u64,
    eight_bit: bool,
    conversion: Option<Conversion>,
}

/// The server that the content is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) offer: Offer,
    /// Its name for people.
    pub(super) peer: &'a str,
    pub(super) settings: &'a Settings,
}

/// The form in which this server takes content.
#[derive(Clone, Debug)]
struct Wants {
    demand: Demand,
    downgrade: Downgrade,
    /// The message was given SMTPUTF8, and the server, of this name, does not know it: octets above 127
    /// in its header have to go. With it, whether other servers may know it.
    ascii_header: Option<(String, bool)>,
}

/// As this server takes it; else the outcome for all of its recipients. `smtputf8`: it came with
/// SMTPUTF8.
pub(super) async fn render<'c>(
    content: &'c Content,
    Reader { offer, peer, settings }: Reader<'_>,
    smtputf8: bool,
) -> Result<Rendition<'c>, Outcome> {
    let lacks_smtputf8 = smtputf8 && !offer.smtputf8;
    let wants = Wants {
        demand: Demand {
            seven_bit: !offer.eight_bit,
            max_line: settings.max_line,
            ascii_header: lacks_smtputf8 && settings.downgrade == Downgrade::Convert,
        },
        downgrade: settings.downgrade,
        ascii_header: lacks_smtputf8.then(|| (peer.to_owned(), offer.others_may)),
    };
    match content {
        Content::Whole(octets) => render_whole(octets, &wants),
        Content::File { path, size } => {
            let file = path.clone();
            let length = *size;
            let examine = move || examine(&file, length, &wants);
            let examined = tokio::task::spawn_blocking(examine).await;
            // Ours never panics; and when the runtime ends, nothing more is sent.
            let Examined { size, eight_bit, conversion } =
                examined.map_err(|error| unreadable(&io::Error::other(error)))??;
            let converted = conversion.as_ref().map(|it| Converted { is_signed: it.is_signed });
            let octets = Octets::File { path, size: length, conversion };
            Ok(Rendition { octets, head: Vec::new(), size, eight_bit, converted })
        }
    }
}

fn render_whole<'c>(octets: &'c [u8], wants: &Wants) -> Result<Rendition<'c>, Outcome> {
    let Wants { demand, downgrade, .. } = *wants;
    let eight_bit = !octets.is_ascii();
    if eight_bit && wants.ascii_header.is_some() {
        let mut header = HeaderOctets::default();
        header.feed(octets);
        wants.judge(&header)?;
    }
    let is_long = is_long(line_ends::check_whole(octets, demand.max_line))?;
    if is_long || eight_bit && demand.wants_ascii() {
        allow(downgrade, is_long, demand)?;
        let mut survey = Survey::new(demand);
        survey.feed(octets);
        let conversion = survey.finish().map_err(|error| unconvertible(error, demand))?;
        if conversion.changes_something() {
            let mut new = Vec::with_capacity(octets.len() + octets.len() / 4);
            let mut converter = Converter::new(&conversion);
            converter.feed(octets, &mut new);
            converter.finish(&mut new);
            line_ends::check_whole(&new, demand.max_line).map_err(refused)?;
            let (size, eight_bit) = (new.len() as u64, !new.is_ascii());
            let signed = Converted { is_signed: conversion.is_signed };
            let octets = Octets::Whole(Cow::Owned(new));
            return Ok(Rendition {
                octets,
                head: Vec::new(),
                size,
                eight_bit,
                converted: Some(signed),
            });
        }
    }
    let size = octets.len() as u64;
    let octets = Octets::Whole(Cow::Borrowed(octets));
    Ok(Rendition { octets, head: Vec::new(), size, eight_bit, converted: None })
}

/// Reads a file once, and where it is to be converted twice more: what is converted is not kept.
fn examine(path: &Path, size: u64, wants: &Wants) -> Result<Examined, Outcome> {
    let Wants { demand, downgrade, .. } = *wants;
    let (mut eight_bit, mut header) = (false, HeaderOctets::default());
    let mut line_ends = LineEnds::new(demand.max_line);
    let mut ends = Ok(());
    read(path, size, |piece| {
        eight_bit |= !piece.is_ascii();
        header.feed(piece);
        ends = ends.and_then(|()| line_ends.check(piece));
    })?;
    let is_long = is_long(ends.and_then(|()| line_ends.end()))?;
    wants.judge(&header)?;
    let as_it_is = Examined { size, eight_bit, conversion: None };
    if !(is_long || eight_bit && demand.wants_ascii()) {
        return Ok(as_it_is);
    }
    allow(downgrade, is_long, demand)?;
    let mut survey = Survey::new(demand);
    read(path, size, |piece| survey.feed(piece))?;
    let conversion = survey.finish().map_err(|error| unconvertible(error, demand))?;
    if !conversion.changes_something() {
        return Ok(as_it_is);
    }
    let (mut converter, mut out) = (Converter::new(&conversion), Vec::new());
    let (mut new_size, mut eight_bit) = (0, false);
    let mut line_ends = LineEnds::new(demand.max_line);
    let mut ends = Ok(());
    let mut count = |out: &mut Vec<u8>| {
        new_size += out.len() as u64;
        eight_bit |= !out.is_ascii();
        ends = ends.and_then(|()| line_ends.check(out));
        out.clear();
    };
    read(path, size, |piece| {
        converter.feed(piece, &mut out);
        count(&mut out);
    })?;
    converter.finish(&mut out);
    count(&mut out);
    ends.and_then(|()| line_ends.end()).map_err(refused)?;
    Ok(Examined { size: new_size, eight_bit, conversion: Some(conversion) })
}

impl Wants {
    /// Whether the header may go as it is, or is converted.
    fn judge(&self, header: &HeaderOctets) -> Result<(), Outcome> {
        match (&self.ascii_header, self.downgrade) {
            (Some((peer, others_may)), Downgrade::Bounce) if header.beyond_ascii => {
                Err(lacking::smtputf8((peer, *others_may), "the header"))
            }
            _ => Ok(()),
        }
    }
}

/// Looks whether the header of a message holds octets above 127, piece by piece.
#[derive(Debug, Default)]
struct HeaderOctets {
    beyond_ascii: bool,
    has_ended: bool,
    /// Octets of the line so far.
    line: usize,
}

impl HeaderOctets {
    fn feed(&mut self, mut piece: &[u8]) {
        while !self.has_ended && !piece.is_empty() {
            let (line, rest) = match memchr::memchr(b'\n', piece) {
                Some(end) => (&piece[..end], &piece[end + 1..]),
                None => (piece, &piece[piece.len()..]),
            };
            self.beyond_ascii |= !line.is_ascii();
            self.line += line.len();
            if line.len() < piece.len() {
                // Nothing but its CR.
                self.has_ended = self.line <= 1;
                self.line = 0;
            }
            piece = rest;
        }
    }
}

pub(super) fn read(path: &Path, size: u64, mut each: impl FnMut(&[u8])) -> Result<(), Outcome> {
    let mut file = File::open(path).map_err(|error| unreadable(&error))?.take(size);
    let (mut piece, mut left) = (vec![0; PIECE], size);
    while left > 0 {
        match file.read(&mut piece) {
            Ok(0) => return Err(unreadable(&io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                left -= count as u64;
                each(&piece[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(())
}

/// Whether a line is too long. What has a bare CR or LF is never sent.
fn is_long(checked: Result<(), Unsendable>) -> Result<bool, Outcome> {
    match checked {
        Ok(()) => Ok(false),
        Err(Unsendable::LongLine(_)) => Ok(true),
        Err(bare @ Unsendable::Bare) => Err(refused(bare)),
    }
}

fn allow(downgrade: Downgrade, is_long: bool, demand: Demand) -> Result<(), Outcome> {
    match (downgrade, is_long) {
        (Downgrade::Convert, _) => Ok(()),
        (Downgrade::Bounce, true) => Err(refused(Unsendable::LongLine(demand.max_line))),
        (Downgrade::Bounce, false) => Err(failed(Enhanced(5, 6, 3), SEVEN_BIT.to_owned())),
    }
}

fn unconvertible(error: Unconvertible, demand: Demand) -> Outcome {
    match error {
        Unconvertible::LongLine(_) => refused(Unsendable::LongLine(demand.max_line)),
        other => failed(Enhanced(5, 6, 3), format!("{NOT_CONVERTED}: {other}")),
    }
}

pub(super) fn refused(unsendable: Unsendable) -> Outcome {
    let detail = if unsendable == Unsendable::Bare { 11 } else { 0 };
    failed(Enhanced(5, 6, detail), unsendable.to_string())
}

fn failed(enhanced: Enhanced, text: String) -> Outcome {
    Outcome::Failed(Reply::with_text(550, enhanced, text))
}

pub(super) fn unreadable(error: &io::Error) -> Outcome {
    let text = format!("cannot read the message from the spool: {error}");
    Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), text))
}

/// Octets that are read at once.
const PIECE: usize = 64 << 10;
const SEVEN_BIT: &str = "the message holds octets above 127, which the server does not take, and it is not \
                         converted (downgrade: Bounce)";
const NOT_CONVERTED: &str = "the message cannot be converted to what the server takes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_converted_has_whole_line_ends() {
        let demand = Demand { seven_bit: false, max_line: 1_000, ascii_header: true };
        let ascii_header = Some(("mx.example".to_owned(), false));
        let wants = Wants { demand, downgrade: Downgrade::Convert, ascii_header };
        let content = "From: a@b.test (ü \\\r\n \\\r\n x)\r\n\r\nx\r\n";
        let rendition = render_whole(content.as_bytes(), &wants).expect("it can be sent");
        let Octets::Whole(octets) = rendition.octets else { panic!("no file") };
        assert_eq!(
            String::from_utf8_lossy(&octets),
            "From: a@b.test (=?UTF-8?Q?=C3=BC?=   x)\r\n\r\nx\r\n"
        );
    }

    #[test]
    fn the_end_of_a_header_is_found_piece_by_piece() {
        // content, whether its header is beyond ASCII
        let rows = [
            ("Subject: ü\r\n\r\nx\r\n", true),
            ("Subject: x\r\n\r\nx\r\n", false),
            ("A: x\r\n\r\nü", false),
            ("A: x\n\nü", false),
            ("\r\nü", false),
            ("A: x\r\n ü", true),
            ("A: x\r\n \r\n ü\r\n\r\n", true),
            ("", false),
        ];
        for (content, want) in rows {
            for piece in 1..=content.len().max(1) {
                let mut header = HeaderOctets::default();
                content.as_bytes().chunks(piece).for_each(|piece| header.feed(piece));
                assert_eq!(header.beyond_ascii, want, "{content:?} by {piece}");
            }
        }
    }
}
