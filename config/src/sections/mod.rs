//! The sections of the file, one module each: a table of settings, and what belongs to it.

#[macro_use]
mod table;

pub mod admin;
pub mod authentication;
pub(crate) mod autoreply;
pub mod channel;
pub(crate) mod config;
pub mod conversions;
pub mod destinations;
pub mod directory;
pub mod dispatcher;
pub mod dkim;
pub mod dns;
pub(crate) mod entries;
pub mod events;
pub(crate) mod history;
pub mod job_controller;
pub mod milters;
pub mod notary;
pub(crate) mod programs;
pub(crate) mod reversal;
pub(crate) mod settings;
pub(crate) mod sieve;
pub mod spool;
pub mod srs;
pub mod store;
pub mod tls;
pub mod verify;

use crate::file::form::Section;

/// Sections that say everything by default.
macro_rules! complete_by_default {
    ($($section:ty),*) => {$(
        impl Default for $section {
            fn default() -> Self {
                Self::blank()
            }
        }
    )*};
}

complete_by_default!(
    admin::Admin,
    authentication::Authentication,
    autoreply::Autoreply,
    sieve::Sieve,
    destinations::Destinations,
    directory::Cache,
    directory::UrlCache,
    dispatcher::Clients,
    dispatcher::Dispatcher,
    dispatcher::Limits,
    dns::Dns,
    events::Events,
    history::History,
    notary::Notary,
    reversal::Forwarding,
    reversal::Reversal,
    spool::Spool,
    store::NativeFiles,
    store::Quota,
    store::Store,
    tls::MtaSts,
    tls::SaslSides,
    tls::TlsSides,
    verify::Verify
);
