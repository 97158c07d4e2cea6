//! Under which names the endpoint answers.
//!
//! A page in a browser may be shown from a name that its owner lets point to 127.0.0.1 afterwards
//! (DNS rebinding): the browser then lets that page read what we answer. So the name in `Host` has to
//! be one that is ours. An address cannot be made to point elsewhere; of these, the loopback ones
//! and the one that was connected to are ours.

use std::net::IpAddr;

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::HOST},
    middleware::Next,
    web::Data,
};
use serde_json::json;

use super::guard::Arrived;

/// The names of the configuration: `host` and `admin.names`.
#[derive(Clone, Debug, Default)]
pub struct HostNames(pub Vec<String>);

impl HostNames {
    /// Whether a request for `host`, which may end with a port, that came to `local` is for us.
    fn know(&self, host: &str, local: Option<IpAddr>) -> bool {
        let name = without_port(host.trim());
        let name = name.strip_suffix('.').unwrap_or(name);
        let literal = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = literal.parse::<IpAddr>() {
            let address = address.to_canonical();
            return address.is_loopback() || local.is_some_and(|own| own.to_canonical() == address);
        }
        let own = self.0.iter().map(String::as_str).chain(["localhost"]);
        own.into_iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// `[::1]:80`, `host:80`, `host`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|c| c.is_ascii_digit())
                && (name.ends_with(']') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    }
}

/// Turns requests away whose `Host` is not ours, by the socket, too: `ssh -L` lets browsers reach it. Those
/// without one come from no browser.
pub(super) async fn known_only(
    names: Data<HostNames>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let arrived = request.conn_data::<Arrived>().copied();
    if let Some(arrived) = arrived {
        let local = match arrived {
            Arrived::Tcp { local } | Arrived::Tls { local } => local,
            Arrived::Unix(_) => None,
        };
        let is_own = |host: &str| {
            matches!(arrived, Arrived::Unix(_)) && host.eq_ignore_ascii_case(BY_SOCKET)
        };
        let asked = request.headers().get_all(HOST).map(|host| host.to_str().unwrap_or_default());
        let in_target = request.uri().host();
        let stranger =
            asked.chain(in_target).find(|host| !is_own(host) && !names.know(host, local));
        if let Some(stranger) = stranger {
            let name: String = without_port(stranger).chars().take(MOST_SHOWN).collect();
            let error = format!(
                "this endpoint is not called {name:?}: ask by its address, or have the name added to \
                 admin.names"
            );
            let refusal = HttpResponse::build(StatusCode::MISDIRECTED_REQUEST);
            let refusal = { refusal }.json(json!({"error": error}));
            return Ok(request.into_response(refusal));
        }
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// The name by which programs ask through the socket.
pub(super) const BY_SOCKET: &str = "relais";
const MOST_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_of_ours_are_known() {
        let names = HostNames(vec!["mail.example.org".to_owned(), "relais.svc".to_owned()]);
        let local = Some(IpAddr::from([192, 0, 2, 7]));
        for (host, known) in [
            ("localhost", true),
            ("LOCALHOST:9225", true),
            ("127.0.0.1:9225", true),
            ("127.8.0.1", true),
            ("[::1]:9225", true),
            ("[::1]", true),
            ("::1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("192.0.2.7:9225", true),
            ("192.0.2.8:9225", false),
            ("mail.example.org.:9225", true),
            ("Relais.svc", true),
            ("evil.example", false),
            ("evil.example:9225", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:9225@evil.example", false),
            ("", false),
            ("0x7f.1", false),
        ] {
            assert_eq!(names.know(host, local), known, "{host}");
        }
    }
}
