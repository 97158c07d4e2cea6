//! Destinations that cannot be talked to, and that can again.

use relais_channels::mail::Reply;
use tracing::{info, warn};

use super::Printable;
use crate::timestamp::Timestamp;

/// A destination could not be talked to and is left alone for a while.
#[derive(Clone, Copy, Debug)]
pub struct DestinationSuspended<'a> {
    /// The channel to it.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
    /// When it is tried again.
    pub until: Timestamp,
    /// The reply of the host, or ours in its place.
    pub reply: &'a Reply,
}

/// A destination in trouble could be talked to again.
#[derive(Clone, Copy, Debug)]
pub struct DestinationResumed<'a> {
    /// The channel to it.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
}

impl DestinationSuspended<'_> {
    /// Writes a line at `warn`.
    pub fn emit(self) {
        let Self { channel, host, until, reply } = self;
        let (host, reply) = (Printable(host), Printable(reply));
        warn!(channel, %host, %until, %reply, "destination suspended");
    }
}

impl DestinationResumed<'_> {
    /// Writes a line at `info`.
    pub fn emit(self) {
        let Self { channel, host } = self;
        info!(channel, host = %Printable(host), "destination resumed");
    }
}
