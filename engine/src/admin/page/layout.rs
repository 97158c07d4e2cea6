//! The frame of every view, and the header of its answer.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    body::MessageBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, VARY},
    },
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{assets, parts::foreign, visitor::Visitor};
use crate::admin::{Nonsense, Unavailable, http_error::HttpError};

/// A view by its name and its place.
pub(super) struct View<'a> {
    pub(super) title: &'a str,
    /// The place in the menu: its path.
    pub(super) place: &'a str,
    pub(super) visitor: &'a Visitor,
}

impl View<'_> {
    /// The whole page.
    pub(super) fn page(&self, body: &Markup) -> Markup {
        let Self { title, place, visitor } = self;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " · relais" }
                    link rel="icon" href="data:,";
                    link rel="stylesheet" href=(assets::STYLE.path());
                    script src=(assets::SCRIPT.path()) {}
                }
                body {
                    a .skip href="#main" { "Skip to the content" }
                    header {
                        a .brand href="/" { "relais" }
                        nav aria-label="Views" { ul {
                            @for (path, name, key) in MENU {
                                li { a href=(path) data-key=(key)
                                    aria-current=[(path == *place).then_some("page")] { (name) } }
                            }
                        } }
                        div .tools {
                            button type="button" .needs-script data-do="help"
                                aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" { "?" }
                            button type="button" .needs-script data-do="theme"
                                aria-label="Light or dark" title="Light or dark (t)" { "◐" }
                            (visitor.badge())
                        }
                    }
                    main id="main" tabindex="-1" {
                        h1 { (title) }
                        (body)
                    }
                    (shortcuts())
                }
            }
        }
    }

    /// The page in two pieces: what stands before a body that is still to come, and behind it.
    pub(super) fn halves(&self) -> (String, String) {
        let mark = "\u{1}";
        let whole = self.page(&PreEscaped(mark.to_owned())).into_string();
        let (before, behind) = whole.split_once(mark).unwrap_or((&whole, ""));
        (before.to_owned(), behind.to_owned())
    }

    /// The answer to a request for it.
    pub(super) fn answer(&self, body: &Markup) -> HttpResponse {
        respond(StatusCode::OK, self.page(body).into_string())
    }
}

/// The dialog of the keyboard's shortcuts.
fn shortcuts() -> Markup {
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keyboard" }
            dl .keys {
                @for (_, name, key) in MENU { div { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } } }
                @for (key, what) in KEYS { div { dt { kbd { (key) } } dd { (what) } } }
            }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// Nobody keeps a copy of what waits.
pub(super) fn respond(code: StatusCode, page: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::build(code)
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "accept, cookie"))
        .body(page)
}

/// Why there is no view.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::admin) struct Trouble {
    pub(super) code: StatusCode,
    pub(super) words: String,
}

impl Trouble {
    pub(super) fn new(code: StatusCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

impl From<Unavailable> for Trouble {
    fn from(Unavailable(words): Unavailable) -> Self {
        Self { code: StatusCode::SERVICE_UNAVAILABLE, words }
    }
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        Self { code: error.status_code(), words: error.to_string() }
    }
}

impl From<Nonsense> for Trouble {
    fn from(Nonsense(words): Nonsense) -> Self {
        Self { code: StatusCode::BAD_REQUEST, words }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl ResponseError for Trouble {
    fn status_code(&self) -> StatusCode {
        self.code
    }

    fn error_response(&self) -> HttpResponse {
        let title = match self.code {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::SERVICE_UNAVAILABLE => "No answer",
            _ => "Refused",
        };
        let view = View { title, place: "", visitor: &Visitor::Unknown };
        let body = html! { p .bad role="alert" { (foreign(&self.words)) } };
        respond(self.code, view.page(&body).into_string())
    }
}

/// Path, name, and the key behind `g`.
const MENU: [(&str, &str, &str); 7] = [
    ("/", "Overview", "o"),
    ("/queue", "Queue", "q"),
    ("/channels", "Channels", "c"),
    ("/services", "Services", "s"),
    ("/hosts", "Hosts", "h"),
    ("/orders", "Orders", "r"),
    ("/directory", "Directory and TLS", "d"),
];

const KEYS: [(&str, &str); 6] = [
    ("/", "the filters of the queue"),
    ("j", "the next row"),
    ("k", "the row before"),
    ("Enter", "opens it"),
    ("t", "light or dark"),
    ("?", "this"),
];
