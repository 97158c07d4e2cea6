//! The content of a message on the standard input of a program.

use std::io;

use memchr::memchr;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    process::ChildStdin,
};

use crate::mail::Content;

/// Writes `head` and the content, and closes the pipe. A program may leave it before it has read
/// all. An error is one of reading the content: the pipe is still open then, so that the program
/// does not take a part for the whole.
pub(super) async fn feed(
    stdin: &mut Option<ChildStdin>,
    head: &[String],
    content: &Content,
    crlf: bool,
) -> io::Result<()> {
    if let Some(open) = stdin {
        write(open, head, content, crlf).await?;
    }
    *stdin = None;
    Ok(())
}

async fn write(
    stdin: &mut ChildStdin,
    head: &[String],
    content: &Content,
    crlf: bool,
) -> io::Result<()> {
    let end = if crlf { "\r\n" } else { "\n" };
    let head: String = head.iter().flat_map(|line| [line, end]).collect();
    if stdin.write_all(head.as_bytes()).await.is_err() {
        return Ok(());
    }
    let mut lines = LineFeeds::default();
    match content {
        Content::Whole(octets) => {
            for piece in octets.chunks(PIECE) {
                if !lines.write(stdin, piece, crlf).await {
                    return Ok(());
                }
            }
        }
        Content::File { path, size } => {
            let mut file = File::open(path).await?;
            let (mut piece, mut left) = (vec![0; PIECE], *size);
            while left > 0 {
                let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                let read = file.read(&mut piece[..most]).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= read as u64;
                if !lines.write(stdin, &piece[..read], crlf).await {
                    return Ok(());
                }
            }
        }
    }
    if lines.cr {
        // The program may have gone.
        let _ = stdin.write_all(b"\r").await;
    }
    Ok(())
}

/// Makes LF of CRLF, in whatever pieces content comes.
#[derive(Default)]
struct LineFeeds {
    /// A CR that may belong to an LF of the next piece.
    cr: bool,
    made: Vec<u8>,
}

impl LineFeeds {
    /// Writes a piece; `false`: nobody reads any more.
    async fn write(&mut self, stdin: &mut ChildStdin, piece: &[u8], crlf: bool) -> bool {
        if crlf {
            return stdin.write_all(piece).await.is_ok();
        }
        self.take(piece);
        stdin.write_all(&self.made).await.is_ok()
    }

    fn take(&mut self, mut rest: &[u8]) {
        self.made.clear();
        if rest.is_empty() {
            return;
        }
        if std::mem::take(&mut self.cr) && rest[0] != b'\n' {
            self.made.push(b'\r');
        }
        while let Some(at) = memchr(b'\r', rest) {
            self.made.extend_from_slice(&rest[..at]);
            match rest.get(at + 1) {
                Some(b'\n') => {}
                Some(_) => self.made.push(b'\r'),
                None => self.cr = true,
            }
            rest = &rest[at + 1..];
        }
        self.made.extend_from_slice(rest);
    }
}

/// Octets written at once.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_of_lines_lose_their_cr() {
        for text in ["a\r\nb\r\n", "\r\r\n\n\ra", "\r", "", "a\r\n\r\nb\rc\r"] {
            let mut want = text.replace("\r\n", "\n");
            for piece in 1..=text.len().max(1) {
                let mut lines = LineFeeds::default();
                let mut got = Vec::new();
                for piece in text.as_bytes().chunks(piece) {
                    lines.take(piece);
                    got.extend_from_slice(&lines.made);
                }
                if lines.cr {
                    got.push(b'\r');
                }
                assert_eq!(String::from_utf8(got).unwrap(), want, "{text:?} by {piece}");
            }
            want.clear();
        }
    }
}
