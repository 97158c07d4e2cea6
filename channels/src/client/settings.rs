//! How a client talks: its name and its time limits.

use std::time::Duration;

use relais_config::channel::{Chunking, Downgrade};

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
    /// Whether content may go in one chunk with its commands.
    pub chunking: Chunking,
    /// Recipients of one transaction.
    pub max_rcpt: usize,
    /// Of a whole connection.
    pub limits: ConnectionLimits,
    /// Told what the client waits for.
    pub progress: Progress,
}

/// Limits of a connection beside those of single commands.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// All that comes before the first message.
    pub greeting: Duration,
    /// From MAIL to the end of data, and a second for each KiB.
    pub transaction: Duration,
    /// Age of a connection at which it takes no more messages.
    pub age: Duration,
    /// Messages of a connection.
    pub messages: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(5 * 60),
            transaction: Duration::from_secs(60 * 60),
            age: Duration::from_secs(5 * 60),
            messages: usize::MAX,
        }
    }
}

impl Settings {
    /// As configured.
    pub fn of(host: &str, channel: &relais_config::Channel) -> Self {
        Self {
            host: host.to_owned(),
            connect_time: channel.connect_time,
            command_time: channel.command_transmit_time,
            data_time: channel.data_transmit_time,
            status_time: channel.status_data_receive_time,
            private: channel.private,
            max_line: channel.max_line,
            downgrade: channel.downgrade,
            chunking: channel.chunking,
            max_rcpt: channel.most_recipients(),
            limits: ConnectionLimits {
                greeting: channel.greeting_time,
                transaction: channel.transaction_time,
                age: channel.connection_time,
                messages: channel.connection_messages.unwrap_or(usize::MAX),
            },
            progress: Progress::default(),
        }
    }
}
