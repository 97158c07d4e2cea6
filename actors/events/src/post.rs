//! Posts to a web server that the operator names. Whatever it says is bounded, and sends us nowhere else.

use std::{
    fmt::Write as _,
    io,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use relais_channels::tls::{CertificateError, WebTls, secured_towards, towards_servers};
use relais_config::grammar::{WebUrl, is_unprintable};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::{AbortHandle, spawn},
    time::timeout,
};

use crate::{
    batch::Batch,
    otlp,
    settings::{Format, HookSettings},
    signature::{SecretError, read_secrets, read_token, signature},
};

/// The answer to a post.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// How long the server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// The status, and the beginning of what it says.
    pub(crate) words: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("token_file: {0}")]
    Token(#[source] SecretError),
    #[error("secret_file: {0}")]
    Secret(#[source] SecretError),
    #[error("ca: {0}")]
    Authorities(#[from] CertificateError),
    #[error("the address of {host}: {why}")]
    Address { host: String, why: io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("connect: {0}")]
    Connect(#[source] io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("no request can be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// A connection that is kept between posts.
#[derive(Debug, Default)]
pub(crate) struct Poster {
    tls: Option<WebTls>,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Poster {
    /// Posts a batch; all of it together has one time limit.
    pub(crate) async fn post(
        &mut self,
        settings: &HookSettings,
        batch: &Batch,
    ) -> Result<Answer, PostError> {
        let limit = settings.timeout;
        let answered = timeout(limit, self.post_now(settings, batch)).await;
        let answered = answered.unwrap_or(Err(PostError::Timeout(limit)));
        if answered.is_err() {
            self.kept = None;
        }
        answered
    }

    async fn post_now(
        &mut self,
        settings: &HookSettings,
        batch: &Batch,
    ) -> Result<Answer, PostError> {
        let headers = headers(settings, batch)?;
        let body = match settings.format {
            Format::Events => Bytes::copy_from_slice(&batch.body),
            Format::Spans => Bytes::from(otlp::request(&batch.body)),
        };
        let request = || {
            let mut request = Request::post(settings.url.target.as_str());
            if let Some(all) = request.headers_mut() {
                all.extend(headers.clone());
            }
            request.body(Full::new(body.clone()))
        };
        if let Some(mut kept) = self.kept.take()
            && kept.sender.ready().await.is_ok()
        {
            match kept.sender.send_request(request()?).await {
                Ok(response) => return Ok(self.answer(kept, response).await),
                // The server has closed it meanwhile: that is no failure.
                Err(error) if error.is_canceled() || error.is_incomplete_message() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut kept = self.connect(settings).await?;
        let response = kept.sender.send_request(request()?).await?;
        Ok(self.answer(kept, response).await)
    }

    async fn connect(&mut self, settings: &HookSettings) -> Result<Kept, PostError> {
        let WebUrl { host, port, is_secure, .. } = &settings.url;
        let found = lookup_host((host.as_str(), *port)).await;
        let found = found.map_err(|why| PostError::Address { host: host.clone(), why })?;
        let mut fault = PostError::NoAddress(host.clone());
        let mut connected = None;
        for address in found.take(MOST_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => fault = PostError::Connect(error),
            }
        }
        let stream = connected.ok_or(fault)?;
        if !is_secure {
            return shaken(stream).await;
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => self.tls.insert(towards_servers(settings.ca.as_deref())?).clone(),
        };
        let stream = secured_towards(&tls, host, stream).await.map_err(PostError::Tls)?;
        shaken(stream).await
    }

    /// Reads an answer as far as need be, and keeps the connection where that is all of it.
    async fn answer(&mut self, kept: Kept, response: Response<Incoming>) -> Answer {
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let mut words = status.to_string();
        if status.is_redirection() {
            words += ": redirects are not followed";
        }
        let is_told = !status.is_success() && !status.is_redirection();
        let (mut body, mut read) = (response.into_body(), 0);
        loop {
            match body.frame().await {
                None => {
                    self.kept = Some(kept);
                    break;
                }
                Some(Ok(frame)) => {
                    let octets = frame.data_ref().map_or(&[][..], |data| data);
                    if read == 0 && is_told && !octets.is_empty() {
                        add_beginning(&mut words, octets);
                    }
                    read += octets.len();
                    if read > MOST_ANSWERED {
                        break;
                    }
                }
                // The status is what counts.
                Some(Err(_)) => break,
            }
        }
        Answer { status, retry_after, words }
    }

    /// The next post has a connection of its own, and reads the authorities again.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

async fn shaken<S>(stream: S) -> Result<Kept, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_ANSWERED).max_headers(MOST_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // The sender says, too, how it ends.
    let driver = spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Kept { sender, driver })
}

fn headers(settings: &HookSettings, batch: &Batch) -> Result<HeaderMap, PostError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let timestamp = now.map_or(0, |now| now.as_secs());
    let id = batch.id();
    let mut lines = vec![
        (HOST.as_str(), settings.url.authority()),
        (USER_AGENT.as_str(), concat!("relais/", env!("CARGO_PKG_VERSION")).to_owned()),
        (CONTENT_TYPE.as_str(), "application/json".to_owned()),
    ];
    if settings.format == Format::Events {
        lines.push(("webhook-id", id.clone()));
        lines.push(("webhook-timestamp", timestamp.to_string()));
    }
    if let Some(file) = &settings.secret_file {
        let keys = read_secrets(file).map_err(PostError::Secret)?;
        lines.push(("webhook-signature", signature(&keys, &id, timestamp, &batch.body)));
    }
    if let Some(file) = &settings.token_file {
        let token = read_token(file).map_err(PostError::Token)?;
        lines.push((AUTHORIZATION.as_str(), format!("Bearer {token}")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = name.parse::<hyper::header::HeaderName>().map_err(hyper::http::Error::from)?;
        let mut value =
            value.parse::<hyper::header::HeaderValue>().map_err(hyper::http::Error::from)?;
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Adds the first words of an answer, fit for a line of log.
fn add_beginning(words: &mut String, octets: &[u8]) {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(4 * MOST_SHOWN)]);
    let plain = text.trim().chars().map(|c| if is_unprintable(c) { ' ' } else { c });
    let plain: String = plain.take(MOST_SHOWN).collect();
    // Writing to a string cannot fail.
    let _ = write!(words, ": {plain}");
}

/// Addresses of a server that are tried.
const MOST_ADDRESSES: usize = 4;
/// Octets of an answer, and of its head.
const MOST_ANSWERED: usize = 64 << 10;
const MOST_HEADERS: usize = 64;
/// Characters of an answer that are shown.
const MOST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_two_ways_when_to_come_again() {
        let now = httpdate::parse_http_date("Tue, 01 Dec 2026 00:00:00 GMT").unwrap();
        for (text, want) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("Tue, 01 Dec 2026 00:01:00 GMT", Some(60)),
            ("Mon, 30 Nov 2026 00:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now).map(|its| its.as_secs()), want, "{text}");
        }
    }
}
