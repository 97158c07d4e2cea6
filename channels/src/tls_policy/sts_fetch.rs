//! Policies of MTA-STS from the servers of their domains, over HTTPS (RFC 8461 section 3.3).

use std::{fmt::Display, net::SocketAddr, path::Path, sync::Arc};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::handshake,
    header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::sts_cache::{FETCH_TIME, FetchFault, StsSource};
use crate::{
    dns::{Dns, special},
    tls::{CertificateError, WebTls, secured_towards, towards_servers},
};

/// Fetches records from name servers and policies from the web.
pub struct Web {
    dns: Arc<Dns>,
    tls: WebTls,
    /// Servers on private addresses are asked, too.
    private: bool,
    port: u16,
}

impl Web {
    /// Judges servers by the authorities of this file, or those of the system. `private`: policies may
    /// lie on loopback and private addresses.
    pub fn new(dns: Arc<Dns>, ca: Option<&Path>, private: bool) -> Result<Self, CertificateError> {
        Ok(Self { dns, tls: towards_servers(ca)?, private, port: HTTPS })
    }

    /// The same by other name servers.
    #[must_use]
    pub fn asking(&self, dns: Arc<Dns>) -> Self {
        Self { dns, tls: Arc::clone(&self.tls), private: self.private, port: self.port }
    }

    async fn get(&self, host: &str, path: &str) -> Result<Vec<u8>, FetchFault> {
        let addresses = self.dns.addresses(host).await;
        let addresses = addresses.map_err(|error| failed(&format!("{host}: {error}")))?.records;
        let mut fault = failed(&format!("{host} has no address that may be asked"));
        let allowed = addresses.into_iter().filter(|its| self.private || special(*its).is_none());
        for address in allowed.take(MOST_ADDRESSES) {
            match TcpStream::connect(SocketAddr::new(address, self.port)).await {
                Ok(stream) => return self.ask(stream, host, path).await,
                Err(error) => fault = failed(&format!("connect to {host}[{address}]: {error}")),
            }
        }
        Err(fault)
    }

    async fn ask(&self, stream: TcpStream, host: &str, path: &str) -> Result<Vec<u8>, FetchFault> {
        let secured = secured_towards(&self.tls, host, stream).await;
        let stream = secured.map_err(|error| FetchFault::Certificate(error.to_string()))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&format!("{host}: {error}")))?;
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, "relais")
            .header(ACCEPT, "text/plain")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(&error))?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
            // Redirects are none of a policy's server (RFC 8461 section 3.3).
            if response.status() != StatusCode::OK {
                return Err(failed(&format!("{host} says {}", response.status())));
            }
            let kind =
                response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
            if !is_plain_text(kind) {
                return Err(failed(&format!("{host} sends no text/plain")));
            }
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            Ok(body.map_err(|error| failed(&error))?.to_bytes().to_vec())
        };
        tokio::select! {
            answer = answered => answer,
            // The answer is taken by the other; without one, the connection has ended.
            Err(error) = connection => Err(failed(&format!("{host}: {error}"))),
        }
    }
}

impl StsSource for Web {
    async fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.dns.texts(name).await.ok()
    }

    async fn policy(&self, domain: &str) -> Result<Vec<u8>, FetchFault> {
        let host = format!("mta-sts.{domain}");
        let fetched = timeout(FETCH_TIME, self.get(&host, "/.well-known/mta-sts.txt")).await;
        fetched.unwrap_or_else(|_elapsed| Err(failed(&format!("{host} does not answer in time"))))
    }
}

fn is_plain_text(kind: &[u8]) -> bool {
    let kind = kind.split(|octet| *octet == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/plain")
}

fn failed(why: &dyn Display) -> FetchFault {
    FetchFault::Failed(why.to_string())
}

const HTTPS: u16 = 443;
/// Octets of a policy.
const LARGEST: usize = 64 << 10;
/// Addresses of its server that are tried.
const MOST_ADDRESSES: usize = 4;
