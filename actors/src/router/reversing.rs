//! The settings of address reversal.

use relais_channels::mail::AddressSide;
use relais_config::Reversal;

/// How addresses are reversed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct Reversing {
    /// The name of the mapping in the file.
    pub(super) mapping: Option<String>,
    /// The directory is asked.
    pub(super) directory: bool,
    database: bool,
    /// Probes name the channels, too.
    pub(super) by_channel: bool,
    /// Senders of envelopes are reversed.
    pub(super) envelope: bool,
    /// Recipients in headers are reversed as well.
    all: bool,
}

impl Reversing {
    pub(super) fn of(settings: &Reversal, mapping: Option<String>) -> Self {
        let Reversal { directory, channels, envelope, all, .. } = *settings;
        let database = !settings.database.is_absent();
        Self { mapping, directory, database, by_channel: channels, envelope, all }
    }

    /// Whether there is anything to reverse by.
    pub(super) fn is_on(&self) -> bool {
        self.mapping.is_some() || self.directory || self.database
    }

    /// Whether header addresses of this side are reversed.
    pub(super) fn concerns(&self, side: AddressSide) -> bool {
        self.all || side == AddressSide::Backward
    }
}
