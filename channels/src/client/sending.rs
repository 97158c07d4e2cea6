//! The content of a message on its way, in pieces, each within its time.

use std::{io, mem, path::Path};

use smallvec::SmallVec;
use tokio::{fs::File, io::AsyncReadExt};

use super::{
    line_ends::LineEnds,
    policy::Lost,
    rendition::{Octets, refused, unreadable},
    settings::Settings,
    socket::{Socket, Unsent},
};
use crate::{
    mail::Outcome,
    mime::{Conversion, Converter},
    wire::stuff::Stuffer,
};

/// Pieces of content; more than a few only where many lines begin with a dot.
type Slices<'a> = SmallVec<[&'a [u8]; 4]>;

/// Why the content did not reach its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing more can be sent.
    Sending(Unsent),
    /// It is of no use to send it: our side's fault, and the whole message's fate.
    Content(Outcome),
    /// The peer answers, or closes, while there is more to come.
    Early(Lost),
}

/// Sends content.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) socket: &'a mut Socket,
    pub(super) settings: &'a Settings,
}

impl Sending<'_> {
    /// Sends the content, its dot, and what may follow it at once.
    pub(super) async fn send(
        &mut self,
        (head, octets): (&[u8], &Octets<'_>),
        behind: &[u8],
    ) -> Result<(), Broken> {
        match octets {
            Octets::Whole(octets) => self.send_whole((head, octets), behind).await,
            Octets::File { path, size, conversion } => {
                if !head.is_empty() {
                    let sent = self.socket.write(&[head], self.settings.data_time).await;
                    sent.map_err(|unsent| Broken::Sending(unsent.amid()))?;
                }
                self.send_file(path, *size, conversion.as_ref(), behind).await
            }
        }
    }

    /// No line of the `head` begins with a dot, and the last has its end.
    async fn send_whole(
        &mut self,
        (mut head, octets): (&[u8], &[u8]),
        behind: &[u8],
    ) -> Result<(), Broken> {
        let mut stuffer = Stuffer::new();
        let (pieces, last) = octets.split_at((octets.len().max(1) - 1) / PIECE * PIECE);
        let mut slices = Slices::new();
        for piece in pieces.chunks(PIECE) {
            slices.clear();
            slices.push(mem::take(&mut head));
            slices.extend(stuffer.feed(piece));
            let sent = self.socket.write(&slices, self.settings.data_time).await;
            sent.map_err(|unsent| Broken::Sending(unsent.amid()))?;
            self.still_listens()?;
        }
        slices.clear();
        slices.push(head);
        slices.extend(stuffer.feed(last));
        slices.extend([stuffer.finish(), behind]);
        self.socket.write(&slices, self.settings.data_time).await.map_err(Broken::Sending)
    }

    async fn send_file(
        &mut self,
        path: &Path,
        size: u64,
        conversion: Option<&Conversion>,
        behind: &[u8],
    ) -> Result<(), Broken> {
        let unreadable = |error: io::Error| Broken::Content(unreadable(&error));
        let mut converter = conversion.map(Converter::new);
        let mut made = Vec::new();
        let mut file = File::open(path).await.map_err(unreadable)?.take(size);
        let (mut stuffer, mut line_ends) = (Stuffer::new(), LineEnds::new(self.settings.max_line));
        let mut piece = Vec::with_capacity(PIECE);
        let mut left = size;
        while left > 0 {
            piece.clear();
            while piece.len() < PIECE && file.read_buf(&mut piece).await.map_err(unreadable)? > 0 {}
            if piece.is_empty() {
                return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
            }
            left -= piece.len() as u64;
            if let Some(mut at_work) = converter.take() {
                made.clear();
                at_work.feed(&piece, &mut made);
                if left > 0 {
                    converter = Some(at_work);
                } else {
                    at_work.finish(&mut made);
                }
                std::mem::swap(&mut piece, &mut made);
            }
            line_ends.check(&piece).map_err(|error| Broken::Content(refused(error)))?;
            let slices: Slices<'_> = stuffer.feed(&piece).collect();
            let sent = self.socket.write(&slices, self.settings.data_time).await;
            sent.map_err(|unsent| Broken::Sending(unsent.amid()))?;
            self.still_listens()?;
        }
        line_ends.end().map_err(|error| Broken::Content(refused(error)))?;
        let end = stuffer.finish();
        self.socket.write(&[end, behind], self.settings.data_time).await.map_err(Broken::Sending)
    }

    /// The peer has nothing to say while the content is on its way. Whatever it says is about
    /// something else than all of the message.
    fn still_listens(&mut self) -> Result<(), Broken> {
        self.socket.unasked().map_or(Ok(()), |lost| Err(Broken::Early(lost)))
    }
}

/// Octets of content sent at once.
const PIECE: usize = 64 << 10;
