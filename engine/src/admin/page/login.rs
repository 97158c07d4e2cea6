//! Logging in and out with the token of `admin.token_file`, over TLS.

use std::{net::IpAddr, sync::PoisonError, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
    },
    web::{Data, Form},
};
use maud::{Markup, html};
use serde::Deserialize;
use tracing::{error, info, warn};

use super::{
    gate::{Gate, NAME, check, cookie},
    layout::{Trouble, View, respond},
    sessions::{LIFE, is_same},
    visitor::{FIELD, Pass, Visitor},
};
use crate::admin::guard::Arrived;

/// The token that somebody shows.
#[derive(Deserialize)]
pub(super) struct TokenShown {
    token: String,
}

/// The form, or how orders are given from here.
pub(super) async fn form(visitor: Visitor) -> HttpResponse {
    view(&visitor, None)
}

fn view(visitor: &Visitor, wrong: Option<&str>) -> HttpResponse {
    let body = match visitor {
        Visitor::Operator(operator) => {
            html! { p { "Orders are taken from you: " (operator.who) "." } }
        }
        Visitor::Stranger => token_form(wrong),
        Visitor::Reader | Visitor::Unknown => how(),
    };
    let view = View { title: "Log in", place: "/login", visitor };
    let code = if wrong.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    respond(code, view.page(&body).into_string())
}

fn token_form(wrong: Option<&str>) -> Markup {
    html! {
        form method="post" action="/login" .card {
            @if let Some(wrong) = wrong { p .bad role="alert" { (wrong) } }
            label for="token" { "The token in the file of " code { "admin.token_file" } }
            input id="token" name="token" type="password" autocomplete="current-password" required;
            button .main { "Log in" }
        }
    }
}

fn how() -> Markup {
    html! {
        p { "From here one may look. Orders are taken" }
        ul {
            li { "through the socket, by whoever may open it: "
                code { "ssh -L 9226:DATA/admin.sock HOST" } ", and then "
                code { "http://localhost:9226/" } " in the browser here" }
            li { "over TLS with a token: " code { "admin: (listen: ..., tls: true, token_file: ...)" } }
        }
    }
}

/// Begins a session.
pub(super) async fn log_in(
    request: HttpRequest,
    visitor: Visitor,
    gate: Data<Gate>,
    Form(TokenShown { token }): Form<TokenShown>,
) -> Result<HttpResponse, Trouble> {
    let Some(from) = comes_from(&request).filter(|_| gate.takes_tokens()) else {
        return Err(Trouble::new(StatusCode::FORBIDDEN, "a token is taken over TLS only"));
    };
    let now = Instant::now();
    let mut sessions = gate.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    if !sessions.may_try(from, now) {
        let words = "too many wrong tokens; wait a minute";
        return Err(Trouble::new(StatusCode::TOO_MANY_REQUESTS, words));
    }
    let known = match gate.token() {
        Ok(Some(known)) => known,
        Ok(None) => return Err(Trouble::new(StatusCode::FORBIDDEN, "no token is configured")),
        Err(error) => {
            error!(%error, "admin.token_file cannot be read: nobody can log in");
            let words = "the token cannot be read; the log says why";
            return Err(Trouble::new(StatusCode::SERVICE_UNAVAILABLE, words));
        }
    };
    if !is_same(&known, token.trim()) {
        sessions.failed(from, now);
        warn!(client = %from, "a login with a wrong token was refused");
        return Ok(view(&visitor, Some("That is not the token.")));
    }
    let Some(id) = sessions.open(&known, now) else {
        let words = "no random numbers are to be had";
        return Err(Trouble::new(StatusCode::SERVICE_UNAVAILABLE, words));
    };
    info!(client = %from, "an operator has logged in with the token");
    Ok(go_on(&id, LIFE.as_secs()))
}

/// Ends a session.
pub(super) async fn log_out(
    request: HttpRequest,
    operator: Pass,
    gate: Data<Gate>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<HttpResponse, Trouble> {
    let shown = fields.iter().find(|(name, _)| name == FIELD);
    check(&operator, shown.map(|(_, value)| value.as_str()))?;
    if let Some(id) = cookie(&request) {
        gate.sessions.lock().unwrap_or_else(PoisonError::into_inner).close(id);
    }
    Ok(go_on("", 0))
}

fn go_on(id: &str, seconds: u64) -> HttpResponse {
    let cookie =
        format!("{NAME}={id}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HttpResponse::SeeOther()
        .insert_header((LOCATION, "/"))
        .insert_header((SET_COOKIE, cookie))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}

/// The client of a connection by TLS.
fn comes_from(request: &HttpRequest) -> Option<IpAddr> {
    let by_tls = matches!(request.conn_data::<Arrived>(), Some(Arrived::Tls { .. }));
    Some(request.peer_addr().filter(|_| by_tls)?.ip().to_canonical())
}
