//! The octets of a connection as a client, within their time: what is written, and the replies that are read.

use std::{
    future::Future,
    io::{self, IoSlice},
    mem,
    time::Duration,
};

use smallvec::SmallVec;
use tokio::time::{Instant, timeout, timeout_at};

use super::{policy::Lost, stream::Stream};
use crate::{
    mail::Reply,
    tls::{ClientTls, HandshakeRefused, TlsDemand, Towards},
    wire::replies::Replies,
};

/// A socket, and what has come of it and was not read yet.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: Stream,
    replies: Replies,
    /// The end of what goes on, whatever single limits say.
    deadline: Option<Instant>,
    /// Octets have come since we sent any.
    has_heard: bool,
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) lost: Lost,
    /// Octets at the end that the system did not take.
    pub(super) left: usize,
}

impl Unsent {
    /// It was not the last piece: the dot is not among what was taken.
    pub(super) fn amid(self) -> Self {
        Self { left: usize::MAX, ..self }
    }
}

impl From<Unsent> for Lost {
    fn from(unsent: Unsent) -> Self {
        unsent.lost
    }
}

impl Socket {
    /// Nothing has been said yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, replies: Replies::default(), deadline: None, has_heard: false }
    }

    /// All that is said from now on is over after this time.
    pub(super) fn bound(&mut self, time: Duration) {
        self.deadline = Some(Instant::now() + time);
    }

    /// Single limits hold alone.
    pub(super) fn unbound(&mut self) {
        self.deadline = None;
    }

    /// This time, or what is left.
    pub(super) fn limited(&self, limit: Duration) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.deadline.map_or(limit, |end| limit.min(left(end)))
    }

    /// The same behind TLS.
    pub(super) async fn secure(
        self,
        tls: &ClientTls,
        towards: (&str, &TlsDemand),
    ) -> Result<(Self, Towards), HandshakeRefused> {
        let Self { stream, .. } = self;
        let (stream, towards) = stream.secure(tls, towards).await?;
        Ok((Self { stream, ..self }, towards))
    }

    /// Open, with nothing to read. If there is something, a piece of it is gone.
    pub(super) fn is_silent(&mut self) -> bool {
        self.replies.is_empty() && self.stream.is_silent()
    }

    /// Octets that came though nothing is due.
    pub(super) fn unasked(&mut self) -> Option<Lost> {
        if self.replies.is_empty() {
            match self.stream.try_read(self.replies.room()) {
                Ok(0) => return Some(Lost::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(error.into()),
            }
        }
        Some(match self.replies.take() {
            Ok(Some(reply)) => Lost::Unasked(reply),
            Ok(None) => Lost::Piece,
            Err(garbled) => garbled.into(),
        })
    }

    /// Writes all of the slices, in as few calls as the system allows.
    pub(super) async fn write(&mut self, slices: &[&[u8]], limit: Duration) -> Result<(), Unsent> {
        let limit = self.limited(limit);
        let mut left = slices.iter().map(|slice| slice.len()).sum();
        let mut slices: SmallVec<[IoSlice<'_>; 4]> =
            slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut rest = slices.as_mut_slice();
        self.has_heard = false;
        let stream = &mut self.stream;
        let written = limited(limit, async {
            while left > 0 {
                match stream.write_vectored(rest).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    n => {
                        left -= n;
                        IoSlice::advance_slices(&mut rest, n);
                    }
                }
            }
            stream.flush().await
        })
        .await;
        written.map_err(|lost| Unsent { lost, left })
    }

    /// The next reply, all of it within `limit`.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, Lost> {
        let (mut deadline, limit) = (None, self.limited(limit));
        loop {
            if let Some(reply) = self.replies.take()? {
                return Ok(reply);
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
            if mem::replace(&mut self.has_heard, true) {
                self.stream.acknowledge();
            }
            let read = self.stream.read(self.replies.room());
            if timeout_at(deadline, read).await.map_err(|_| Lost::TimedOut)?? == 0 {
                return Err(Lost::Closed);
            }
        }
    }
}

async fn limited<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, Lost> {
    Ok(timeout(limit, work).await.map_err(|_| Lost::TimedOut)??)
}
