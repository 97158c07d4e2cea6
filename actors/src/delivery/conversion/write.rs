//! The message with its changes.

use relais_channels::mime::parts::{BodyEncoder, PartPiece, PartSplitter};
use relais_storage::{Draft, NewContent};
use tokio::{fs::File, io::AsyncReadExt};

use super::{
    entry::{NotNow, ToConvert},
    pieces::Pieces,
    work::{Change, ChangedBody, Changes},
};

/// New content: in memory as long as it is small.
struct ContentWriter<'w> {
    its: &'w ToConvert<'w>,
    octets: Vec<u8>,
    draft: Option<Draft>,
    /// A wanted part is at hand, and its body goes.
    drops: bool,
    last: u8,
}

/// Writes a message anew. Everything that does not change is as it was, to the octet.
pub(super) async fn anew(its: &ToConvert<'_>, changes: Changes) -> Result<NewContent, NotNow> {
    let Changes { mut parts, room } = changes;
    let wanted: Vec<usize> = parts.keys().copied().collect();
    let mut splitter = PartSplitter::new(|entity| wanted.binary_search(&entity).is_ok());
    let mut writer =
        ContentWriter { its, octets: Vec::new(), draft: None, drops: false, last: b'\n' };
    let mut pieces = Pieces::of(its.content).await?;
    loop {
        let piece = pieces.next().await?;
        let Some(piece) = piece else { break };
        for piece in splitter.feed(&piece) {
            writer.take(piece, &mut |entity| parts.remove(&entity)).await?;
        }
    }
    for piece in splitter.finish() {
        writer.take(piece, &mut |entity| parts.remove(&entity)).await?;
    }
    drop(room);
    writer.finish().await
}

impl ContentWriter<'_> {
    async fn take(
        &mut self,
        piece: PartPiece,
        change: &mut impl FnMut(usize) -> Option<Change>,
    ) -> Result<(), NotNow> {
        match piece {
            PartPiece::Body(_) if self.drops => Ok(()),
            PartPiece::Rest(octets) | PartPiece::Body(octets) => self.put(&octets).await,
            PartPiece::Begin { entity, header, is_message } => match change(entity) {
                Some(change) => self.begin(change, (&header, is_message)).await,
                None => self.put(&header).await,
            },
            PartPiece::End { owes_line_end } => {
                let drops = std::mem::take(&mut self.drops);
                let owes = drops && owes_line_end && self.last != b'\n';
                if owes { self.put(b"\r\n").await } else { Ok(()) }
            }
        }
    }

    async fn begin(
        &mut self,
        Change { mut edit, body }: Change,
        (header, is_message): (&[u8], bool),
    ) -> Result<(), NotNow> {
        let mut encoder = match &body {
            ChangedBody::Same => return self.put(&edit.apply(header, is_message)).await,
            ChangedBody::Text(_) => BodyEncoder::of("text"),
            ChangedBody::File { kind, .. } => BodyEncoder::of(kind),
        };
        self.drops = true;
        edit.encoding = Some(encoder.name());
        self.put(&edit.apply(header, is_message)).await?;
        let mut made = Vec::new();
        match body {
            ChangedBody::Text(text) => encoder.feed(text.as_bytes(), &mut made),
            ChangedBody::File { path, .. } => {
                let (mut file, mut piece) = (File::open(path).await?, vec![0; 64 << 10]);
                while let read @ 1.. = file.read(&mut piece).await? {
                    encoder.feed(&piece[..read], &mut made);
                    self.put(&made).await?;
                    made.clear();
                }
            }
            ChangedBody::Same => {}
        }
        encoder.finish(&mut made);
        self.put(&made).await
    }

    async fn put(&mut self, octets: &[u8]) -> Result<(), NotNow> {
        self.last = octets.last().copied().unwrap_or(self.last);
        self.octets.extend_from_slice(octets);
        if self.octets.len() > MOST_IN_MEMORY {
            self.spill().await?;
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<(), NotNow> {
        let draft = self.draft.get_or_insert_with(|| self.its.parts.storage.draft());
        draft.write(&self.octets).await?;
        self.octets.clear();
        Ok(())
    }

    async fn finish(mut self) -> Result<NewContent, NotNow> {
        if self.draft.is_some() {
            self.spill().await?;
        }
        Ok(match self.draft {
            Some(draft) => NewContent::Blob(draft),
            None => NewContent::Whole(self.octets.into()),
        })
    }
}

/// Octets of new content that are held in memory.
const MOST_IN_MEMORY: usize = 512 << 10;
