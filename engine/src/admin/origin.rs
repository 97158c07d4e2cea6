//! Which requests a browser sends in the name of another site.
//!
//! Whoever forwards the socket to a port of his own machine (`ssh -L`) lets every site that his browser
//! shows reach it. Browsers say which site a request comes from: in `Sec-Fetch-Site` where they are
//! connected by TLS or to `localhost`, else in `Origin`, at least of requests that change something.
//! Programs send neither.

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HOST, ORIGIN},
    },
    middleware::Next,
};
use serde_json::json;

/// The lines of a request that tell where it comes from.
#[derive(Clone, Copy, Debug, Default)]
struct RequestSource<'a> {
    /// It asks for a look and changes nothing.
    is_look: bool,
    /// `Sec-Fetch-Site`.
    site: Option<&'a str>,
    /// `Sec-Fetch-Mode`.
    mode: Option<&'a str>,
    origin: Option<&'a str>,
    host: Option<&'a str>,
}

impl RequestSource<'_> {
    /// Whether another site is behind it. A link that leads here may be followed.
    fn is_foreign(self) -> bool {
        match (self.site, self.origin) {
            (Some("same-origin" | "none"), _) | (None, None) => false,
            (Some(_), _) => !(self.is_look && self.mode == Some("navigate")),
            (None, Some(origin)) => {
                let host = origin.split_once("://").map(|(_, host)| host);
                !host.zip(self.host).is_some_and(|(of, ours)| of.eq_ignore_ascii_case(ours))
            }
        }
    }
}

/// Turns requests away that a browser sends in the name of another site.
pub(super) async fn same_site_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let headers = request.headers();
    let line = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let source = RequestSource {
        is_look: request.method().is_safe(),
        site: line("sec-fetch-site"),
        mode: line("sec-fetch-mode"),
        origin: line(ORIGIN.as_str()),
        host: line(HOST.as_str()),
    };
    if source.is_foreign() {
        let error = "a browser asks this in the name of another site: open the page itself, as \
                     http://localhost:PORT where the socket is forwarded";
        let refusal = { HttpResponse::build(StatusCode::FORBIDDEN) }.json(json!({"error": error}));
        return Ok(request.into_response(refusal));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_sites_are_foreign_but_for_links() {
        let ours = Some("localhost:9226");
        // asks for a look, Sec-Fetch-Site, Sec-Fetch-Mode, Origin, is foreign
        let rows = [
            (true, None, None, None, false),
            (false, None, None, None, false),
            (false, Some("same-origin"), Some("navigate"), Some("null"), false),
            (true, Some("none"), Some("navigate"), None, false),
            (true, Some("cross-site"), Some("navigate"), None, false),
            (true, Some("cross-site"), Some("no-cors"), None, true),
            (true, Some("same-site"), Some("cors"), Some("http://localhost:3000"), true),
            (false, Some("same-site"), Some("navigate"), Some("http://localhost:3000"), true),
            (false, Some("cross-site"), Some("navigate"), Some("https://evil.example"), true),
            (false, Some("?"), None, None, true),
            (false, None, None, Some("http://LOCALHOST:9226"), false),
            (false, None, None, Some("http://localhost:3000"), true),
            (false, None, None, Some("https://evil.example"), true),
            (false, None, None, Some("null"), true),
            (true, None, None, Some("null"), true),
        ];
        for (is_look, site, mode, origin, want) in rows {
            let source = RequestSource { is_look, site, mode, origin, host: ours };
            assert_eq!(source.is_foreign(), want, "{source:?}");
        }
        let without_host = RequestSource { origin: Some("http://a"), ..RequestSource::default() };
        assert!(without_host.is_foreign());
    }
}
