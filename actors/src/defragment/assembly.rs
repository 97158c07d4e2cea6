//! Reads pieces from the spool, and writes the message that they make.

use std::io;

use bytes::Bytes;
use relais_channels::{
    mail::{Content, Envelope, Fragments, TlsWish},
    mime::{Reassembly, Unassemblable},
};
use relais_storage::{
    Draft, NewContent, Place, ScannedEntry, Storage, StorageError, open_recipients,
};
use ring::digest::{Context, Digest, SHA256};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt},
};

use super::gathering::{EntryKey, PassedOn};
use crate::queue::PUT_TOGETHER;

/// Why a message was not put together.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unassembled {
    /// Its pieces pass on.
    #[error("{0}")]
    PassOn(PassedOn),
    /// Not now.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Not now.
    #[error("a piece cannot be read: {0}")]
    Read(#[from] io::Error),
}

impl From<Unassemblable> for Unassembled {
    fn from(_: Unassemblable) -> Self {
        Self::PassOn(PassedOn::Unassemblable)
    }
}

/// The message that pieces make, as it goes into the spool: it lacks its id.
pub(super) struct Assembled {
    pub(super) envelope: Envelope,
    pub(super) content: NewContent,
}

/// A message as far as it has been written.
struct Output<'s> {
    storage: &'s Storage,
    /// Octets that are kept in memory.
    large: u64,
    /// Octets at most.
    limit: u64,
    octets: Vec<u8>,
    draft: Option<Draft>,
}

/// Puts pieces together, in this order. Of a message larger than `large` no more is in memory than a
/// header and a piece of a file; one larger than `limit` is none.
pub(super) async fn assemble(
    storage: &Storage,
    pieces: &[ScannedEntry],
    (large, limit): (u64, u64),
) -> Result<Assembled, Unassembled> {
    let mut output = Output { storage, large, limit, octets: Vec::new(), draft: None };
    let (mut reassembly, mut whole) = (Reassembly::default(), None);
    for piece in pieces {
        let (envelope, content) = storage.read(piece.place).await?;
        reassembly.begin_piece(&mut output.octets);
        let mut source = opened(&content).await?;
        let mut read = Vec::new();
        loop {
            read.clear();
            if (&mut source).take(PIECE).read_to_end(&mut read).await? == 0 {
                break;
            }
            reassembly.feed(&read, &mut output.octets)?;
            output.write_out().await?;
        }
        match &mut whole {
            None => whole = Some(envelope_of(&envelope, piece, pieces)),
            Some(whole) => {
                whole.eight_bit |= envelope.eight_bit;
                whole.smtputf8 |= envelope.smtputf8;
                if envelope.tls == TlsWish::Required {
                    whole.tls = TlsWish::Required;
                }
            }
        }
    }
    reassembly.finish(&mut output.octets);
    output.write_out().await?;
    let envelope = whole.ok_or(Unassembled::PassOn(PassedOn::Unassemblable))?;
    Ok(Assembled { envelope, content: output.finish() })
}

/// The envelope of the first piece, for a message of its own, which is held until its pieces are settled.
fn envelope_of(first: &Envelope, entry: &ScannedEntry, pieces: &[ScannedEntry]) -> Envelope {
    let own = first.entries.get(usize::from(entry.entry)).cloned();
    let own = own.map(|mut its| {
        let open = open_recipients(entry.state.open());
        its.recipients =
            open.filter_map(|index| its.recipients.get(usize::from(index)).cloned()).collect();
        its
    });
    let pieces: Vec<EntryKey> = pieces.iter().map(|piece| (piece.id, piece.entry)).collect();
    Envelope {
        held: Some(format!("{PUT_TOGETHER} from {} pieces, which are removed first", pieces.len())),
        fragments: Some(Fragments::Whole { pieces }.into()),
        rerouted: None,
        entries: own.into_iter().collect(),
        ..first.clone()
    }
}

impl Output<'_> {
    /// Writes to a file what is too much for memory.
    async fn write_out(&mut self) -> Result<(), Unassembled> {
        let written = self.draft.as_ref().map_or(0, Draft::size);
        if written + self.octets.len() as u64 > self.limit {
            return Err(Unassembled::PassOn(PassedOn::TooLarge));
        }
        if self.octets.len() as u64 > self.large || self.draft.is_some() {
            let draft = self.draft.get_or_insert_with(|| self.storage.draft());
            draft.write(&self.octets).await?;
            self.octets.clear();
        }
        Ok(())
    }

    fn finish(self) -> NewContent {
        match self.draft {
            Some(draft) => NewContent::Blob(draft),
            None => NewContent::Whole(self.octets.into()),
        }
    }
}

/// The digest of the body of a piece: two of one number are the same where it is.
pub(super) async fn body_digest(storage: &Storage, place: Place) -> Result<Digest, Unassembled> {
    let (_, content) = storage.read(place).await?;
    let mut source = opened(&content).await?;
    let (mut digest, mut read, mut last) = (Context::new(&SHA256), Vec::new(), [0, 0, b'\n']);
    let mut is_body = false;
    loop {
        read.clear();
        if (&mut source).take(PIECE).read_to_end(&mut read).await? == 0 {
            return Ok(digest.finish());
        }
        let mut body = 0;
        while !is_body && body < read.len() {
            last = [last[1], last[2], read[body]];
            body += 1;
            is_body = last == *b"\n\r\n";
        }
        digest.update(&read[body..]);
    }
}

async fn opened(content: &Content) -> io::Result<Box<dyn AsyncRead + Unpin>> {
    Ok(match content {
        Content::Whole(octets) => Box::new(io::Cursor::new(Bytes::clone(octets))),
        Content::File { path, .. } => Box::new(File::open(path).await?),
    })
}

/// Octets that are read at once.
const PIECE: u64 = 256 << 10;
