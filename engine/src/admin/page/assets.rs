//! Files of the page. The path of each holds its digest, so that a browser may keep it for ever.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::header::CACHE_CONTROL,
    web::{self, ServiceConfig},
};
use ring::digest::{SHA256, digest};

/// A file.
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
    path: LazyLock<String>,
}

impl Asset {
    /// Where it is served.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

pub(super) static STYLE: Asset = Asset {
    name: "page.css",
    kind: "text/css; charset=utf-8",
    body: include_str!("static/page.css"),
    path: LazyLock::new(|| path(&STYLE)),
};

pub(super) static SCRIPT: Asset = Asset {
    name: "page.js",
    kind: "text/javascript; charset=utf-8",
    body: include_str!("static/page.js"),
    path: LazyLock::new(|| path(&SCRIPT)),
};

fn path(asset: &Asset) -> String {
    let digest = digest(&SHA256, asset.body.as_bytes());
    let first =
        digest.as_ref().iter().take(8).fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet));
    format!("/static/{first:016x}/{}", asset.name)
}

/// Whether one of them is served there.
pub(super) fn has(path: &str) -> bool {
    [&STYLE, &SCRIPT].iter().any(|asset| asset.path() == path)
}

/// Puts each in its place.
pub(super) fn configure(app: &mut ServiceConfig) {
    for asset in [&STYLE, &SCRIPT] {
        let serve = move || async move {
            HttpResponse::Ok()
                .content_type(asset.kind)
                .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
                .body(asset.body)
        };
        app.route(asset.path(), web::get().to(serve));
    }
}
