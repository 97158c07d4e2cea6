//! Gives a conversation with a filter its socket and its clock.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout, timeout_at},
};

use super::{
    breach::Breach,
    command::FilterEvent,
    frames::Frames,
    macros::Macros,
    talk::{Decision, Heard, Talk},
};

/// A connection to a filter.
pub struct FilterLink {
    stream: Box<dyn FilterStream>,
    talk: Talk,
    frames: Frames,
    /// Octets that are still to be written.
    out: Vec<u8>,
    /// Values of the configuration.
    fixed: Macros,
}

/// How long a filter may take.
#[derive(Clone, Copy, Debug)]
pub struct FilterPatience {
    /// To take a connection, and to say what it wants.
    pub connect: Duration,
    /// To take and to answer a command.
    pub command: Duration,
    /// To take a part of the content, and to judge all of it. It begins anew when the filter says that it
    /// is at work, a dozen times at most.
    pub content: Duration,
}

/// A filter that is of no use for now.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be reached, or has closed.
    #[error("{0}")]
    Gone(#[from] io::Error),
    /// It took too long.
    #[error("no answer for {0:?}")]
    TimedOut(Duration),
    /// It said what makes no sense.
    #[error("{0}")]
    Breach(#[from] Breach),
}

pub(super) trait FilterStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> FilterStream for S {}

impl FilterError {
    /// The filter as a whole seems to be away, and not only this connection.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }
}

impl FilterLink {
    /// Connects to a TCP socket, `host:port`, and negotiates.
    pub async fn to_host(
        host: (&str, u16),
        patience: FilterPatience,
        fixed: Macros,
    ) -> Result<Self, FilterError> {
        let connect = async {
            let stream = TcpStream::connect(host).await?;
            // Commands are small and each waits for the one before.
            stream.set_nodelay(true)?;
            Self::negotiate(Box::new(stream), patience, fixed).await
        };
        limited(patience.connect, connect).await
    }

    /// Connects to a UNIX socket and negotiates.
    pub async fn to_socket(
        path: &Path,
        patience: FilterPatience,
        fixed: Macros,
    ) -> Result<Self, FilterError> {
        let connect = async {
            let stream = UnixStream::connect(path).await?;
            Self::negotiate(Box::new(stream), patience, fixed).await
        };
        limited(patience.connect, connect).await
    }

    pub(super) async fn negotiate(
        stream: Box<dyn FilterStream>,
        patience: FilterPatience,
        fixed: Macros,
    ) -> Result<Self, FilterError> {
        let mut link =
            Self { stream, talk: Talk::default(), frames: Frames::default(), out: vec![], fixed };
        Talk::offer(&mut link.out);
        link.flush(patience.connect).await?;
        loop {
            if let Some((command, data)) = link.frames.take().map_err(Breach::from)? {
                link.talk = Talk::agreed(command, data)?;
                return Ok(link);
            }
            link.read().await?;
        }
    }

    /// The conversation.
    pub fn talk(&self) -> &Talk {
        &self.talk
    }

    /// Tells the filter of an event and waits for what it decides. `changed` takes what it asks for
    /// before that: quarantine and, at the end of a message, changes.
    pub async fn ask<E, F>(
        &mut self,
        event: &FilterEvent<'_>,
        macros: &Macros,
        patience: Duration,
        mut changed: F,
    ) -> Result<Decision, E>
    where
        E: From<FilterError>,
        F: AsyncFnMut(Heard) -> Result<(), E>,
    {
        if let Some(decision) = self.talk.tell(event, (macros, &self.fixed), &mut self.out) {
            // An event without an answer may wait for one that has one.
            if self.out.len() >= FLUSH_AT {
                self.flush(patience).await?;
            }
            return Ok(decision);
        }
        self.flush(patience).await?;
        let end = Instant::now() + patience * MOST_WAITS;
        let mut words = 0;
        loop {
            let next = Instant::now() + patience;
            let limit = if next < end { (next, patience) } else { (end, patience * MOST_WAITS) };
            match self.hear(limit).await? {
                Heard::Decided(decision) if self.frames.is_empty() => return Ok(decision),
                Heard::Decided(_) => return Err(FilterError::from(Breach::Unasked).into()),
                Heard::Progress if words < MOST_WORDS => words += 1,
                Heard::Progress => return Err(FilterError::from(Breach::Endless).into()),
                heard => changed(heard).await?,
            }
        }
    }

    async fn hear(
        &mut self,
        (deadline, patience): (Instant, Duration),
    ) -> Result<Heard, FilterError> {
        loop {
            if let Some((command, data)) = self.frames.take().map_err(Breach::from)? {
                return Ok(self.talk.hear(command, data)?);
            }
            let read = timeout_at(deadline, self.read()).await;
            read.map_err(|_| FilterError::TimedOut(patience))??;
        }
    }

    /// The message at hand is over. The filter hears of it with what is told next.
    pub fn abort(&mut self) {
        self.talk.abort(&mut self.out);
    }

    /// The client has gone: the filter is told, if it listens.
    pub async fn quit(mut self) {
        self.talk.quit(&mut self.out);
        // It may have closed before.
        let _ = self.flush(PARTING).await;
        let _ = timeout(PARTING, self.stream.shutdown()).await;
    }

    /// The client has gone, and the connection is for another one, if the filter knows how.
    pub async fn free(mut self) -> Result<Self, Self> {
        if !self.talk.quit_for_another(&mut self.out) {
            return Err(self);
        }
        match self.flush(PARTING).await {
            Ok(()) => Ok(self),
            Err(_gone) => Err(self),
        }
    }

    async fn flush(&mut self, patience: Duration) -> Result<(), FilterError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(patience, self.stream.write_all(&self.out)).await;
        self.out.clear();
        self.out.shrink_to(FLUSH_AT);
        written.map_err(|_| FilterError::TimedOut(patience))?.map_err(FilterError::from)
    }

    async fn read(&mut self) -> Result<(), FilterError> {
        match self.stream.read_buf(self.frames.room()).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }
}

async fn limited(
    patience: Duration,
    connect: impl Future<Output = Result<FilterLink, FilterError>>,
) -> Result<FilterLink, FilterError> {
    timeout(patience, connect).await.unwrap_or(Err(FilterError::TimedOut(patience)))
}

/// Times that a filter has for one answer: each word of it that it is at work, and each change, begins
/// its time anew.
const MOST_WAITS: u32 = 12;
/// Words that it is at work, for one answer.
const MOST_WORDS: u32 = 100_000;
/// Octets that need no answer and are written all the same.
const FLUSH_AT: usize = 64 << 10;
/// How long a filter may take to hear that it is no longer needed.
const PARTING: Duration = Duration::from_secs(1);
