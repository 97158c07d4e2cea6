//! Parts of the notary.

use std::{path::PathBuf, sync::Arc};

use relais_channels::{dsn::Templates, mail::MessageIds};
use relais_config::notary::DoubleBounces;
use relais_storage::Storage;

use crate::{channel_table::Channels, metrics::Metrics, router::RouterHandle, sieve::SieveRunner};

/// The parts that the notary works with.
#[derive(Clone)]
pub struct NotaryParts {
    /// Our official name.
    pub host: Arc<str>,
    /// The address that signs notices, and gets copies.
    pub postmaster: Arc<str>,
    /// The language of those who name none.
    pub language: Arc<str>,
    /// Messages of more octets come back as their header.
    pub content_return_limit: u64,
    /// The end of notices that are refused themselves.
    pub double_bounces: DoubleBounces,
    /// The words.
    pub templates: Arc<Templates>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where messages are.
    pub storage: Storage,
    /// Where a sender lives.
    pub router: RouterHandle,
    /// Scripts of those who are told.
    pub sieve: Arc<SieveRunner>,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The file that says up to when the rounds have dealt with everything, and whom they warned since.
    pub progress: PathBuf,
}
