//! The settings a server has before its first connection.

use std::time::Duration;

use relais_config::Channel;

use super::Dialect;
use crate::wire::content::ContentLimits;

/// The same for all sessions of a service.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The protocol.
    pub dialect: Dialect,
    /// Our official host name, for the greeting.
    pub host: String,
    /// The bounds on every peer.
    pub limits: Limits,
}

/// The bounds on a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Octets of a message.
    pub message_size: u64,
    /// Accepted recipients of a message.
    pub recipients: usize,
    /// Octets of a command line, CRLF included.
    pub command_line: usize,
    /// Octets of a line of content, CRLF included.
    pub content_line: usize,
    /// The header, and octets that may not be.
    pub content: ContentLimits,
    /// Commands without a message handed over. Accepted recipients do not count: they have a
    /// limit of their own.
    pub commands: usize,
    /// Commands in error without a message handed over.
    pub bad_commands: usize,
    /// From the last reply to the end of the next command; also until the peer has read what we
    /// wrote.
    pub command_time: Duration,
    /// For each [`DATA_PROGRESS`] octets of content.
    pub data_time: Duration,
    /// Envelopes must be written as RFC 5321 and RFC 3461 say.
    pub strict_envelopes: bool,
    /// `SIZE=` binds, as in the dialogue of our own relays; else it is an estimate.
    pub size_binds: bool,
    /// Commands that come before the reply which they have to wait for end the session.
    pub forbid_pipelining: bool,
}

impl Limits {
    /// The limits that a channel sets for what comes in by it.
    pub fn of(channel: &Channel) -> Self {
        Self {
            message_size: channel.sourceblocklimit,
            recipients: channel.recipientlimit,
            command_line: channel.commandlinelimit,
            content_line: channel.max_line,
            content: ContentLimits {
                header_size: channel.headersizelimit,
                header_fields: channel.headerfieldlimit,
                forbid_nul: channel.forbid_nul,
            },
            commands: channel.disconnectcommandlimit,
            bad_commands: channel.disconnectbadcommandlimit,
            command_time: channel.command_receive_time,
            data_time: channel.data_receive_time,
            strict_envelopes: channel.strict_envelopes,
            size_binds: channel.flagtransfer,
            forbid_pipelining: channel.forbid_unauth_pipelining,
        }
    }
}

/// A peer that sends less than this within the time for data is told that it took too long: one
/// octet now and then does not hold a session for ever.
pub const DATA_PROGRESS: usize = 1_024;
