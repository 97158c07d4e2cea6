//! The page: views of the engine for a browser, and orders from there.
//!
//! | request | answer | orders |
//! | --- | --- | --- |
//! | `GET /` of a browser | the overview | |
//! | `GET /queue?channel=&host=...` | what waits, with the filters of `relais queue list` | for what is chosen, or all that match |
//! | `GET /queue/ID` | one message: recipients, why it waits, route, history | for this message |
//! | `GET /channels` | channels, pools, limits | stop, start, set |
//! | `GET /services` | services and workers | stop, start, restart |
//! | `GET /hosts` | hosts in trouble, suspended, limited | suspend, resume |
//! | `GET /orders` | orders that stand | add, remove |
//! | `GET /directory` | directory, certificates, filters, partitions | |
//! | `GET /login`, `POST /login`, `POST /logout` | a session, by the token of `admin.token_file` | |
//! | `POST /order` | a preview with the number of messages, then what was done | |
//!
//! Where `admin.token_file` is set, whoever has not logged in gets the login alone by TCP.
//!
//! Every view is whole without a script; the script brings it up to date, and takes keys.

mod act;
mod assets;
mod channels;
mod directory;
mod gate;
mod hosts;
mod layout;
mod login;
mod message;
mod order_form;
mod orders;
mod overview;
mod parts;
mod plot;
mod queue;
mod services;
mod sessions;
mod visitor;

use actix_web::{
    ResponseError,
    web::{self, FormConfig, ServiceConfig},
};

use self::layout::Trouble;
use super::Console;

pub(crate) use gate::{Gate, read_token};
pub(super) use gate::{no_strangers, visitor_of};
pub(super) use overview::overview;
pub(super) use visitor::Visitor;

/// Puts every view in its place.
pub(super) fn configure<C: Console>(app: &mut ServiceConfig) {
    let wrong_form = FormConfig::default()
        .limit(MOST_OCTETS)
        .error_handler(|error, _| Trouble::new(error.status_code(), error.to_string()).into());
    app.app_data(wrong_form)
        .route("/queue", web::get().to(queue::list::<C>))
        .route("/queue/{id}", web::get().to(message::show::<C>))
        .route("/channels", web::get().to(channels::show::<C>))
        .route("/services", web::get().to(services::show::<C>))
        .route("/hosts", web::get().to(hosts::show::<C>))
        .route("/orders", web::get().to(orders::show::<C>))
        .route("/directory", web::get().to(directory::show::<C>))
        .route("/login", web::get().to(login::form))
        .route("/login", web::post().to(login::log_in))
        .route("/logout", web::post().to(login::log_out))
        .route("/order", web::post().to(act::order::<C>));
    assets::configure(app);
}

/// Of a form: a thousand ids of messages.
const MOST_OCTETS: usize = 64 << 10;

/// The policy that browsers keep the page to: nothing comes from elsewhere, and nothing stands in it.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
