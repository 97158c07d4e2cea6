//! Errors on their way to a client: `{"error": "..."}`.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use relais_channels::mail::MessageId;
use serde_json::json;

use super::{MailboxDenied, Nonsense, Unavailable};

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct HttpError {
    code: StatusCode,
    error: String,
}

impl HttpError {
    pub(super) fn new(code: StatusCode, error: impl fmt::Display) -> Self {
        Self { code, error: error.to_string() }
    }
}

impl From<Unavailable> for HttpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, unavailable)
    }
}

impl From<Nonsense> for HttpError {
    fn from(nonsense: Nonsense) -> Self {
        Self::new(StatusCode::BAD_REQUEST, nonsense)
    }
}

impl From<MailboxDenied> for HttpError {
    fn from(denied: MailboxDenied) -> Self {
        let code = match denied {
            MailboxDenied::Nonsense(_) => StatusCode::BAD_REQUEST,
            MailboxDenied::Missing(_) => StatusCode::NOT_FOUND,
            MailboxDenied::Taken(_) => StatusCode::CONFLICT,
        };
        Self::new(code, denied)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        self.code
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.code).json(json!({"error": self.error}))
    }
}

/// The queue id in a path.
pub(super) fn message_id(text: &str) -> Result<MessageId, HttpError> {
    text.parse().map_err(|error| HttpError::new(StatusCode::BAD_REQUEST, error))
}
