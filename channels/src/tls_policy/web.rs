//! HTTPS with strangers: policies of MTA-STS from the servers of their domains (RFC 8461 section 3.3), and
//! reports to those who want them (RFC 8460 section 5.4). Whatever a server says, it is bounded in octets
//! and in time, and sends us nowhere else.

use std::{fmt::Display, net::SocketAddr, path::Path, sync::Arc};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::handshake,
    header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{
    sts::is_host,
    sts_cache::{FETCH_TIME, FetchFault, StsSource},
};
use crate::{
    dns::{Dns, special},
    tls::{CertificateError, WebTls, secured_towards, towards_servers},
};

/// Asks name servers for records, and servers of HTTPS for the rest.
#[derive(Clone)]
pub struct Web {
    dns: Arc<Dns>,
    tls: WebTls,
    /// Servers on private addresses are asked, too.
    private: bool,
}

/// A place on the web where reports are sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebPlace {
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

/// The answer of a server.
struct Answered {
    status: StatusCode,
    kind: Vec<u8>,
    body: Result<Vec<u8>, FetchFault>,
}

impl WebPlace {
    /// Reads `https://host[:port]/path`; nothing else is a place, and neither is an address.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok().filter(|_| text.len() <= LONGEST_PLACE)?;
        let authority = uri.authority().filter(|its| !its.as_str().contains('@'))?;
        let host = authority.host().to_ascii_lowercase();
        let is_name = is_host(&host) && host.parse::<std::net::IpAddr>().is_err();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().contains(':') => return None,
            None => HTTPS,
        };
        let path = uri.path_and_query().map_or("/", |its| its.as_str()).to_owned();
        let is_place = uri.scheme_str() == Some("https") && is_name && port != 0;
        is_place.then_some(Self { host, port, path })
    }

    /// As requests name it: a port that is the usual one is left out.
    fn authority(&self) -> String {
        match self.port {
            HTTPS => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl Web {
    /// Judges servers by the authorities of this file, or those of the system. `private`: servers may
    /// be on loopback and private addresses.
    pub fn new(dns: Arc<Dns>, ca: Option<&Path>, private: bool) -> Result<Self, CertificateError> {
        Ok(Self { dns, tls: towards_servers(ca)?, private })
    }

    /// The same by other name servers.
    #[must_use]
    pub fn asking(&self, dns: Arc<Dns>) -> Self {
        Self { dns, tls: Arc::clone(&self.tls), private: self.private }
    }

    /// Hands a report over, packed by gzip. Any status but 2xx is a failure, redirects among them.
    pub async fn post_report(&self, place: &WebPlace, packed: Vec<u8>) -> Result<(), FetchFault> {
        let request = Request::post(place.path.as_str())
            .header(HOST, place.authority())
            .header(USER_AGENT, "relais")
            .header(CONTENT_TYPE, "application/tlsrpt+gzip")
            .body(Full::new(Bytes::from(packed)));
        let request = request.map_err(|error| failed(&error))?;
        let answered = self.ask((&place.host, place.port), request).await?;
        if answered.status.is_success() {
            return Ok(());
        }
        Err(failed(&format!("{} says {}", place.host, answered.status)))
    }

    async fn get(&self, host: &str, path: &str) -> Result<Vec<u8>, FetchFault> {
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, "relais")
            .header(ACCEPT, "text/plain")
            .body(Full::default());
        let answered = self.ask((host, HTTPS), request.map_err(|error| failed(&error))?).await?;
        // Redirects are none of a policy's server (RFC 8461 section 3.3).
        if answered.status != StatusCode::OK {
            return Err(failed(&format!("{host} says {}", answered.status)));
        }
        if !is_plain_text(&answered.kind) {
            return Err(failed(&format!("{host} sends no text/plain")));
        }
        answered.body
    }

    /// Asks the server of this name and port; all of it together has one time limit.
    async fn ask(
        &self,
        (host, port): (&str, u16),
        request: Request<Full<Bytes>>,
    ) -> Result<Answered, FetchFault> {
        let asked = async {
            let stream = self.connect(host, port).await?;
            let secured = secured_towards(&self.tls, host, stream).await;
            let stream = secured.map_err(|error| FetchFault::Certificate(error.to_string()))?;
            let shaken = handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) =
                shaken.map_err(|error| failed(&format!("{host}: {error}")))?;
            let answered = async {
                let response = sender.send_request(request).await;
                let response = response.map_err(|error| failed(&error))?;
                let status = response.status();
                let kind =
                    response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
                let kind = kind.to_vec();
                let body = Limited::new(response.into_body(), LARGEST).collect().await;
                let body = body.map(|body| body.to_bytes().to_vec());
                Ok(Answered { status, kind, body: body.map_err(|error| failed(&error)) })
            };
            tokio::select! {
                answer = answered => answer,
                // The answer is taken by the other; without one, the connection has ended.
                Err(error) = connection => Err(failed(&format!("{host}: {error}"))),
            }
        };
        let in_time = timeout(FETCH_TIME, asked).await;
        in_time.unwrap_or_else(|_elapsed| Err(failed(&format!("{host} does not answer in time"))))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchFault> {
        let addresses = self.dns.addresses(host).await;
        let addresses = addresses.map_err(|error| failed(&format!("{host}: {error}")))?.records;
        let mut fault = failed(&format!("{host} has no address that may be asked"));
        let allowed = addresses.into_iter().filter(|its| self.private || special(*its).is_none());
        for address in allowed.take(MOST_ADDRESSES) {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => fault = failed(&format!("connect to {host}[{address}]: {error}")),
            }
        }
        Err(fault)
    }
}

impl StsSource for Web {
    async fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.dns.texts(name).await.ok()
    }

    async fn policy(&self, domain: &str) -> Result<Vec<u8>, FetchFault> {
        self.get(&format!("mta-sts.{domain}"), "/.well-known/mta-sts.txt").await
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
/// Octets of an answer.
const LARGEST: usize = 64 << 10;
/// Addresses of a server that are tried.
const MOST_ADDRESSES: usize = 4;
/// Octets of the name of a place.
const LONGEST_PLACE: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_by_name_and_a_path() {
        let place = |host: &str, port, path: &str| WebPlace {
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        let rows = [
            ("https://a.test/v1?x=1", Some(place("a.test", 443, "/v1?x=1"))),
            ("https://A.test:8443", Some(place("a.test", 8443, "/"))),
            ("http://a.test/", None),
            ("https://u:p@a.test/", None),
            ("https://a.test:0/", None),
            ("https://a.test:99999/", None),
            ("https://192.0.2.1/", None),
            ("https://[2001:db8::1]/", None),
            ("https:///v1", None),
            ("https://a.test/\r\nX: y", None),
            ("a.test", None),
        ];
        for (text, want) in rows {
            assert_eq!(WebPlace::parse(text), want, "{text}");
        }
        assert_eq!(WebPlace::parse(&format!("https://a.test/{}", "a".repeat(2_000))), None);
    }
}
