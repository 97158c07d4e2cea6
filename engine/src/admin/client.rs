//! Asks a running engine, over its UNIX socket.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use memchr::memchr_iter;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{names::BY_SOCKET, socket};

/// One engine, by its data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
    socket: PathBuf,
    /// Words for orders whose body has no place for them: `by=NAME&reason=TEXT`.
    words: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no engine is running on {} ({why})", .data.display())]
    NotRunning {
        /// The data directory, absolute.
        data: PathBuf,
        /// The thing that was found in place of an engine.
        why: &'static str,
    },
    /// The socket belongs to somebody else.
    #[error("not allowed to use {}: act as the engine's user or as root", .socket.display())]
    NotAllowed {
        /// Its file.
        socket: PathBuf,
    },
    /// The engine knows of no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The engine refused, or could not answer.
    #[error("the engine answered {code}: {error}")]
    Refused {
        /// Of HTTP.
        code: u16,
        /// In its words.
        error: String,
    },
    /// The answer broke off or made no sense.
    #[error("the engine's answer is unusable: {0}")]
    Unusable(String),
}

impl Client {
    /// The engine that runs on `data`, if one does.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), socket: socket::path(data), words: String::new() }
    }

    /// The engine behind this socket.
    pub fn of_socket(socket: &Path) -> Self {
        let data = socket.parent().unwrap_or(socket).to_owned();
        Self { data, socket: socket.to_owned(), words: String::new() }
    }

    /// The same for orders, and who gives them, and why.
    #[must_use]
    pub fn ordered(self, by: &str, reason: Option<&str>) -> Self {
        let by = (!by.is_empty()).then_some(("by", by));
        let words: Vec<_> = by.into_iter().chain(reason.map(|reason| ("reason", reason))).collect();
        // Texts can always be escaped.
        Self { words: serde_urlencoded::to_string(words).unwrap_or_default(), ..self }
    }

    /// Asks for one JSON value.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        value(self.request(Method::GET, path, None).await?).await
    }

    /// Asks for something to be done, described by `what`, and for one JSON value about it.
    pub async fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &impl Serialize,
    ) -> Result<T, ClientError> {
        let what = serde_json::to_vec(what).map_err(unusable)?;
        value(self.request(Method::POST, path, Some(what)).await?).await
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str) -> Result<(), ClientError> {
        self.request(Method::POST, path, None).await.map(drop)
    }

    /// Asks for lines of JSON, and hands each over as it comes. `each` ends the listing by
    /// returning an error, which is passed on.
    pub async fn lines<E: From<ClientError>>(
        &self,
        path: &str,
        each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        each_line(self.request(Method::GET, path, None).await?, each).await
    }

    /// The same for something that is to be done.
    pub async fn order_lines<E: From<ClientError>>(
        &self,
        path: &str,
        what: &impl Serialize,
        each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let what = serde_json::to_vec(what).map_err(unusable)?;
        each_line(self.request(Method::POST, path, Some(what)).await?, each).await
    }

    /// Asks for octets, and hands them over as they come. `each` ends it by saying that it has
    /// seen enough.
    pub async fn octets<E: From<ClientError>>(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut body = self.request(Method::GET, path, None).await?.into_body();
        while let Some(frame) = in_time(body.frame()).await? {
            let Ok(octets) = frame.map_err(unusable)?.into_data() else { continue };
            if each(&octets)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        what: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.connect().await?;
        let with_words = format!("{path}?{}", self.words);
        let says = method == Method::POST && !self.words.is_empty();
        let request = Request::builder()
            .method(method)
            .uri(if says { &with_words } else { path })
            .header("host", BY_SOCKET)
            .header("content-type", "application/json")
            .body(Full::<Bytes>::new(what.unwrap_or_default().into()))
            .map_err(unusable)?;
        let response = in_time(sender.send_request(request)).await?.map_err(unusable)?;
        let code = response.status();
        if code.is_success() {
            return Ok(response);
        }
        let body = in_time(response.into_body().collect()).await?.map_err(unusable)?.to_bytes();
        let error = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let error = error.and_then(|value| value["error"].as_str().map(str::to_owned));
        let error = error.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        match code {
            StatusCode::NOT_FOUND => Err(ClientError::NotFound(error)),
            code => Err(ClientError::Refused { code: code.as_u16(), error }),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let socket = &self.socket;
        let not_running = |why| ClientError::NotRunning { data: absolute(&self.data), why };
        let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => not_running("no admin.sock"),
            io::ErrorKind::ConnectionRefused => not_running("its admin.sock is left over"),
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { socket: socket.clone() },
            _ => unusable(format_args!("{}: {error}", socket.display())),
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(unusable)?;
        // Ends with the sender; what goes wrong in it is seen there.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

async fn value<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let octets = in_time(response.into_body().collect()).await?.map_err(unusable)?.to_bytes();
    serde_json::from_slice(&octets).map_err(unusable)
}

async fn each_line<E: From<ClientError>>(
    response: Response<Incoming>,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut body = response.into_body();
    // The beginning of a line whose end is still to come.
    let mut rest = Vec::new();
    let mut whole = |line: &[u8]| if line.is_empty() { Ok(()) } else { each(line) };
    while let Some(frame) = in_time(body.frame()).await? {
        let Ok(octets) = frame.map_err(unusable)?.into_data() else { continue };
        let mut from = 0;
        for end in memchr_iter(b'\n', &octets) {
            let line = &octets[from..end];
            if rest.is_empty() {
                whole(line)?;
            } else {
                rest.extend_from_slice(line);
                whole(&rest)?;
                rest.clear();
            }
            from = end + 1;
        }
        rest.extend_from_slice(&octets[from..]);
        if rest.len() > MAX_LINE {
            return Err(unusable("a line is too long").into());
        }
    }
    Ok(())
}

/// `path?query`, with everything in its place escaped.
pub fn with_query(path: &str, query: &impl Serialize) -> String {
    match serde_urlencoded::to_string(query) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

fn unusable(error: impl std::fmt::Display) -> ClientError {
    ClientError::Unusable(error.to_string())
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, ClientError> {
    let late = |_| unusable(format_args!("nothing came within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, answer).await.map_err(late)
}

/// For one piece of an answer; longer than the engine takes to give up by itself.
const PATIENCE: Duration = Duration::from_secs(65);
/// An entry with 64 recipients of the longest kind, and their replies.
const MAX_LINE: usize = 1 << 20;
