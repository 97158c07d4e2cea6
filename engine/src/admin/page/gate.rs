//! The gate to orders: open to whoever came by `DATA/admin.sock`, and whoever has logged in over TLS with the
//! token of `admin.token_file`.

use std::{
    fs,
    future::{Ready, ready},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{ACCEPT, CACHE_CONTROL, COOKIE, LOCATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::Data,
};
use serde_json::json;

use super::{
    assets,
    layout::Trouble,
    sessions::{Sessions, secret},
    visitor::{Pass, Visitor},
};
use crate::admin::guard::{Arrived, Giver, Owner};

/// The means to tell who may give orders.
#[derive(Debug)]
pub(crate) struct Gate {
    token_file: Option<PathBuf>,
    socket_token: Option<String>,
    pub(super) sessions: Mutex<Sessions>,
}

impl Gate {
    /// A gate that lets in who shows the token of this file.
    pub(crate) fn new(token_file: Option<PathBuf>) -> Self {
        Self { token_file, socket_token: secret(), sessions: Mutex::default() }
    }

    /// The token as the file has it now. Without a setting there is none.
    pub(super) fn token(&self) -> io::Result<Option<String>> {
        self.token_file.as_deref().map(read_token).transpose()
    }

    /// Whether a login is offered.
    pub(super) fn takes_tokens(&self) -> bool {
        self.token_file.is_some()
    }

    fn visitor(&self, request: &HttpRequest) -> Visitor {
        match request.conn_data::<Arrived>() {
            Some(Arrived::Unix(_)) => {
                self.of_socket(request).map_or(Visitor::Reader, Visitor::Operator)
            }
            Some(Arrived::Tls { .. }) if self.takes_tokens() => {
                self.of_session(request).map_or(Visitor::Stranger, Visitor::Operator)
            }
            _ if self.takes_tokens() => Visitor::Stranger,
            _ => Visitor::Reader,
        }
    }

    fn of_socket(&self, request: &HttpRequest) -> Option<Pass> {
        let owner = Owner::extract(request).into_inner().ok()?;
        let form_token = self.socket_token.clone()?;
        let who = owner.uid().map_or_else(|| "the socket".to_owned(), |uid| format!("uid {uid}"));
        Some(Pass { giver: Giver::Owner(owner), who, form_token, has_session: false })
    }

    fn of_session(&self, request: &HttpRequest) -> Option<Pass> {
        let cookie = cookie(request)?;
        let token = self.token().ok().flatten()?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let form_token = sessions.find(cookie, &token, Instant::now())?.form_token.clone();
        let who = match request.peer_addr() {
            Some(peer) => format!("token from {}", peer.ip().to_canonical()),
            None => "token".to_owned(),
        };
        let giver = Giver::Token(request.peer_addr());
        Some(Pass { giver, who, form_token, has_session: true })
    }
}

/// Turns strangers away from everything but the login and what a monitor asks for.
pub(in crate::admin) async fn no_strangers(
    gate: Data<Gate>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = request.path();
    let is_open = OPEN.contains(&path) || assets::has(path);
    if is_open || gate.visitor(request.request()) != Visitor::Stranger {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let refusal = if accept.is_some_and(|accept| accept.contains("text/html")) {
        HttpResponse::SeeOther()
            .insert_header((LOCATION, "/login"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish()
    } else {
        let error = "log in first, with the token of admin.token_file, or ask DATA/admin.sock";
        HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, SCHEME))
            .json(json!({"error": error}))
    };
    Ok(request.into_response(refusal))
}

/// The visitor behind a request, as of now.
pub(in crate::admin) fn visitor_of(request: &HttpRequest) -> Visitor {
    let gate = request.app_data::<Data<Gate>>();
    gate.map_or(Visitor::Reader, |gate| gate.visitor(request))
}

/// The token of a file, without the blanks around it.
pub(crate) fn read_token(file: &Path) -> io::Result<String> {
    let token = fs::read_to_string(file)?.trim().to_owned();
    let is_token = (LEAST_TOKEN..=MOST_TOKEN).contains(&token.len())
        && token.bytes().all(|octet| octet.is_ascii_graphic());
    if is_token {
        return Ok(token);
    }
    let words =
        format!("a token is one word of {LEAST_TOKEN} to {MOST_TOKEN} visible ASCII characters");
    Err(io::Error::other(words))
}

/// The value of our cookie.
pub(super) fn cookie(request: &HttpRequest) -> Option<&str> {
    let lines = request.headers().get_all(COOKIE).filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// Refuses a form that this operator was not shown.
pub(super) fn check(operator: &Pass, shown: Option<&str>) -> Result<(), Trouble> {
    if operator.has_sent(shown) {
        return Ok(());
    }
    let words = "this form is not one of this session: load its page again, and send it from there";
    Err(Trouble::new(StatusCode::FORBIDDEN, words))
}

impl FromRequest for Visitor {
    type Error = Trouble;
    type Future = Ready<Result<Self, Trouble>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(visitor_of(request)))
    }
}

impl FromRequest for Pass {
    type Error = Trouble;
    type Future = Ready<Result<Self, Trouble>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match visitor_of(request) {
            Visitor::Operator(operator) => Ok(operator),
            Visitor::Stranger => Err(Trouble::new(StatusCode::FORBIDDEN, "log in first")),
            _ => Err(Trouble::new(
                StatusCode::FORBIDDEN,
                "orders are taken through DATA/admin.sock, or over TLS with the token of \
                 admin.token_file",
            )),
        })
    }
}

/// A cookie of this name is sent to the very host that set it, by TLS only.
pub(super) const NAME: &str = "__Host-relais";
/// Served to strangers, beside the files of the page.
const OPEN: [&str; 4] = ["/login", "/healthz", "/readyz", "/metrics"];
/// RFC 9110 section 15.5.2 wants a scheme named; browsers ask for no password by one they do not know.
const SCHEME: &str = "Session realm=\"relais\"";
const LEAST_TOKEN: usize = 20;
const MOST_TOKEN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_long_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let long = "x".repeat(MOST_TOKEN);
        for (text, want) in [
            ("0123456789abcdef0123\n", Some("0123456789abcdef0123")),
            ("  0123456789abcdef0123  ", Some("0123456789abcdef0123")),
            (&long, Some(&*long)),
            ("0123456789abcdef012", None),
            ("", None),
            ("0123456789 0123456789", None),
            ("0123456789\n0123456789", None),
            ("ééééééééééééééééééé", None),
            (&format!("{long}x"), None),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(read_token(&file).ok().as_deref(), want, "{text:?}");
        }
    }
}
