//! The content of a message, piece by piece.

use std::io;

use bytes::Bytes;
use relais_channels::mail::Content;
use tokio::{fs::File, io::AsyncReadExt};

/// Content that is read from its beginning to its end. Whoever reads lets others run between pieces.
pub(super) enum Pieces {
    Whole(Bytes),
    File { file: File, left: u64, piece: Vec<u8> },
}

impl Pieces {
    pub(super) async fn of(content: &Content) -> io::Result<Self> {
        Ok(match content {
            Content::Whole(octets) => Self::Whole(octets.clone()),
            Content::File { path, size } => {
                Self::File { file: File::open(path).await?, left: *size, piece: Vec::new() }
            }
        })
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        tokio::task::yield_now().await;
        match self {
            Self::Whole(rest) if rest.is_empty() => Ok(None),
            Self::Whole(rest) => Ok(Some(rest.split_to(rest.len().min(PIECE)))),
            Self::File { left: 0, .. } => Ok(None),
            Self::File { file, left, piece } => {
                piece.clear();
                let most = (*left).min(PIECE as u64);
                let read = file.take(most).read_to_end(piece).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= read as u64;
                Ok(Some(Bytes::copy_from_slice(piece)))
            }
        }
    }
}

/// Octets that are worked on at once.
const PIECE: usize = 128 << 10;
