//! An address that is to be forgotten: segments that name it are written anew without it.

use std::{fs, path::Path, sync::PoisonError};

use crate::{
    block::BlockBuilder,
    error::HistoryError,
    files::Files,
    index::{OpenIndex, Wanted},
    note::{Named, Note},
    reader::History,
    segment::{SegmentFile, SegmentReader},
    streams::LEVEL,
};

/// The records that were forgotten.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Forgotten {
    /// Records that are gone: the address was their sender or their only recipient, or stood in a text.
    pub records: u64,
    /// Records that have one recipient less.
    pub shortened: u64,
    /// Segments that were written anew.
    pub segments: u64,
}

/// An address that is to be forgotten.
pub struct Forgettable<'a> {
    /// Its spellings, as they may stand within texts.
    pub spellings: &'a [String],
    /// Whether an address is this one, however it is written.
    pub is_it: &'a dyn Fn(&str) -> bool,
}

impl Forgettable<'_> {
    fn is_in(&self, text: &str) -> bool {
        self.spellings.iter().any(|spelling| mentions(text, spelling)) || (self.is_it)(text)
    }
}

impl History {
    /// Forgets an address, whatever it stands in. Reads everything: takes seconds, and one waits for the
    /// other.
    pub fn forget(&self, address: &Forgettable<'_>) -> Result<Forgotten, HistoryError> {
        let spellings: Vec<_> = address.spellings.iter().map(|one| folded(one)).collect();
        let address = Forgettable { spellings: &spellings, is_it: address.is_it };
        let forgetting = self.desk.as_ref().map(|desk| &desk.shared.forgetting);
        let _alone = forgetting.map(|its| its.lock().unwrap_or_else(PoisonError::into_inner));
        let newest = match &self.desk {
            Some(desk) => {
                desk.seal()?;
                desk.find(&Wanted::default()).map(|newest| newest.number)
            }
            None => None,
        };
        let files = Files(self.folder());
        let mut forgotten = Forgotten::default();
        let numbers = if files.0.exists() { files.segments() } else { Ok(Vec::new()) };
        for number in numbers.map_err(HistoryError::at(&files.0))? {
            if newest.is_none_or(|newest| number < newest) {
                self.forget_in(&files, number, &address, &mut forgotten)?;
            }
        }
        Ok(forgotten)
    }

    fn forget_in(
        &self,
        files: &Files,
        number: u64,
        address: &Forgettable<'_>,
        forgotten: &mut Forgotten,
    ) -> Result<(), HistoryError> {
        let path = files.segment(number);
        // Its age or the size may have taken it meanwhile.
        let Ok(reader) = SegmentReader::open(&path) else { return Ok(()) };
        let mut is_named = false;
        reader.each(|_, block| {
            let read = block.each(|note, recipients| {
                let left = left_of(note, recipients, address);
                is_named |= left.is_none_or(|left| left.len() < recipients.len());
                !is_named
            });
            is_named |= read.is_err();
        });
        if !is_named {
            return Ok(());
        }
        let before = *forgotten;
        let (mut index, draft) = (OpenIndex::default(), path.with_extension("seg.new"));
        rewrite(&reader, &draft, address, (&mut index, forgotten))
            .map_err(HistoryError::at(&draft))?;
        if before == *forgotten {
            return fs::remove_file(&draft).map_err(HistoryError::at(&draft));
        }
        forgotten.segments += 1;
        let moving = self.desk.as_ref().map(|desk| &desk.shared.moving);
        let _alone = moving.map(|its| its.write().unwrap_or_else(PoisonError::into_inner));
        if !path.exists() {
            return fs::remove_file(&draft).map_err(HistoryError::at(&draft));
        }
        // Without its index a segment is read as it is.
        fs::remove_file(files.index(number)).map_err(HistoryError::at(&path))?;
        fs::rename(&draft, &path).map_err(HistoryError::at(&path))?;
        index.write(&files.index(number))?;
        let folder = fs::File::open(&files.0).and_then(|folder| folder.sync_all());
        folder.map_err(HistoryError::at(&files.0))
    }
}

fn rewrite(
    reader: &SegmentReader,
    draft: &Path,
    address: &Forgettable<'_>,
    (index, forgotten): (&mut OpenIndex, &mut Forgotten),
) -> std::io::Result<()> {
    let mut segment = SegmentFile::create(draft)?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut failed = Ok(());
    reader.each(|_, block| {
        let mut builder = BlockBuilder::default();
        // Notes behind damage are gone with it.
        let _ = block.each(|note, recipients| {
            if let Some(left) = left_of(note, recipients, address) {
                forgotten.shortened += u64::from(left.len() < recipients.len());
                builder.add(note, &left);
            } else {
                forgotten.records += 1;
            }
            true
        });
        if builder.notes > 0 && failed.is_ok() {
            let appended = segment.append(&builder, &mut compressor);
            failed = appended.map(|place| index.add(place, &builder.keys));
        }
    });
    failed?;
    segment.sync()
}

/// The recipients that a note has left; `None`: nothing of it is.
fn left_of<'a>(
    note: &Note<'_>,
    recipients: &[Named<'a>],
    address: &Forgettable<'_>,
) -> Option<Vec<Named<'a>>> {
    let names = |text: &str| !text.is_empty() && address.is_in(text);
    let texts = note.texts();
    let others = [note.peer_id, note.message_id];
    if texts.iter().chain(&others).any(|text| names(text)) {
        return None;
    }
    let is_other = |its: &&Named<'_>| !names(its.original) && !names(its.routed);
    let left: Vec<_> = recipients.iter().filter(is_other).copied().collect();
    (recipients.is_empty() || !left.is_empty()).then_some(left)
}

/// A text as addresses in it are compared: without regard to case, and to quotes.
fn folded(text: &str) -> String {
    text.to_lowercase().replace(['"', '\\'], "")
}

/// Whether a text names an address, given as folded, and not one that it is only a part of.
fn mentions(text: &str, address: &str) -> bool {
    if text.len() < address.len() {
        return false;
    }
    let text = folded(text);
    text.match_indices(address).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut behind = text[at + address.len()..].chars();
        let is_atom = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c);
        let goes_on = match behind.next() {
            Some('.') => behind.next().is_some_and(char::is_alphanumeric),
            Some(c) => c.is_alphanumeric() || c == '-',
            None => false,
        };
        !before.is_some_and(is_atom) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_as_a_whole() {
        for (text, want) in [
            ("ann@x.example", true),
            ("<Ann@X.example>: unknown", true),
            ("ann@x.example.", true),
            ("joann@x.example", false),
            ("ann@x.example.org", false),
            ("ann@x.example-y", false),
            ("sent to jo.ann@x.example, ann@x.example", true),
            ("ann@y.example", false),
            ("<\"ann\"@x.example> knows nobody", true),
        ] {
            assert_eq!(mentions(text, "ann@x.example"), want, "{text}");
        }
    }
}
