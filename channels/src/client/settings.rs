//! How a client talks: its name and its time limits.

use std::time::Duration;

use relais_config::channel::Downgrade;

use super::Progress;

/// A channel's settings for its connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in LHLO.
    pub host: String,
    /// For each address of the next hop.
    pub connect_time: Duration,
    /// For the greeting and for the reply to each command.
    pub command_time: Duration,
    /// For each 64 KiB of content.
    pub data_time: Duration,
    /// For each reply after the data.
    pub status_time: Duration,
    /// The server is one of ours: SIZE, XQUOTA and XDFLG need not be offered.
    pub private: bool,
    /// Octets of a line of content, CRLF included; no longer one is sent.
    pub max_line: usize,
    /// Content that a server does not take.
    pub downgrade: Downgrade,
    /// Recipients of one transaction.
    pub max_rcpt: usize,
    /// Told what the client waits for.
    pub progress: Progress,
}

impl Settings {
    /// As configured.
    pub fn of(host: &str, channel: &relais_config::Channel) -> Self {
        Self {
            host: host.to_owned(),
            connect_time: channel.connect_time,
            command_time: channel.command_transmit_time,
            data_time: DATA_TIME,
            status_time: channel.status_data_receive_time,
            private: channel.private,
            max_line: channel.max_line,
            downgrade: channel.downgrade,
            max_rcpt: channel.max_rcpt,
            progress: Progress::default(),
        }
    }
}

/// RFC 5321 section 4.5.3.2.5.
const DATA_TIME: Duration = Duration::from_secs(3 * 60);
