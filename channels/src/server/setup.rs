//! The settings a server has before its first connection.

use std::{collections::HashMap, sync::Arc, time::Duration};

use relais_config::{Channel, channel::Program, tls::Insist};

use super::{Dialect, SessionLimits};
use crate::{tls::ServerTls, wire::content::ContentLimits};

/// The settings of a service's sessions, by the channel that the peer's mail comes in by.
#[derive(Debug)]
pub struct Setups {
    first: Setup,
    others: HashMap<Box<str>, Setup>,
}

/// The same for all sessions of a service whose mail comes in by one channel.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The protocol.
    pub dialect: Dialect,
    /// Our official host name, for the greeting.
    pub host: String,
    /// The bounds on every peer.
    pub limits: Limits,
    /// STARTTLS, and the certificates for it.
    pub tls: TlsOffer,
    /// AUTH.
    pub sasl: SaslOffer,
}

impl Setups {
    /// The settings of the service's own channel, and of others that a session may switch to, by name.
    pub fn new(first: Setup, others: HashMap<Box<str>, Setup>) -> Self {
        Self { first, others }
    }

    /// The settings of a channel; those of the service's own when it has no others by this name.
    pub fn of(&self, channel: Option<&str>) -> &Setup {
        channel.and_then(|name| self.others.get(name)).unwrap_or(&self.first)
    }
}

impl From<Setup> for Setups {
    fn from(first: Setup) -> Self {
        Self::new(first, HashMap::new())
    }
}

/// Whether AUTH is offered.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaslOffer {
    /// AUTH is refused, offered or insisted upon.
    pub server: Insist,
    /// Without TLS, too.
    pub without_tls: bool,
    /// SCRAM, too: the directory has keys for it.
    pub scram: bool,
}

/// Whether TLS is offered.
#[derive(Clone, Debug, Default)]
pub struct TlsOffer {
    /// STARTTLS is refused, offered or insisted upon.
    pub server: Insist,
    /// The certificates.
    pub certificates: Arc<ServerTls>,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// With the greeting.
    Greeting,
    /// The peer did not wait for the greeting.
    Early,
    /// With a handshake: the port is for TLS alone.
    Tls,
}

/// The bounds on a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Octets of a message.
    pub message_size: u64,
    /// Accepted recipients of a message.
    pub recipients: usize,
    /// Recipients that may be named for one message: with more, the message is refused for now.
    pub named_recipients: usize,
    /// The bounds on all of a session.
    pub session: SessionLimits,
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
    /// For the next octets of content.
    pub data_time: Duration,
    /// The slowest that content may come.
    pub data_rate: DataRate,
    /// Envelopes must be written as RFC 5321 and RFC 3461 say.
    pub strict_envelopes: bool,
    /// Octets above 127 in local parts.
    pub beyond_ascii: BeyondAscii,
    /// The peer is a relay of ours: `SIZE=` binds, else it is an estimate, and XDFLG is named.
    pub is_private: bool,
    /// Commands that come before the reply which they have to wait for end the session.
    pub forbid_pipelining: bool,
}

/// Octets above 127 in the local part of an address, which nobody may send without SMTPUTF8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BeyondAscii {
    /// The address is refused.
    Refused,
    /// Each is taken as `*`, as the original does.
    Asterisks,
}

/// The slowest that content may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataRate {
    /// Octets a second; 0 is no bound.
    pub octets: u64,
    /// The time over which they are counted.
    pub over: Duration,
}

impl Limits {
    /// The limits that a channel sets for what comes in by it.
    pub fn of(channel: &Channel) -> Self {
        Self {
            message_size: channel.sourceblocklimit,
            recipients: channel.recipientlimit,
            named_recipients: channel.recipientcutoff.unwrap_or(usize::MAX),
            session: SessionLimits {
                transactions: channel.transactionlimit.unwrap_or(usize::MAX),
                transactions_to_end: channel.disconnecttransactionlimit.unwrap_or(usize::MAX),
                recipients: channel.disconnectrecipientlimit.unwrap_or(usize::MAX),
                rejects: channel.disconnectrejectlimit.unwrap_or(usize::MAX),
                rejects_to_defer: channel.deferralrejectlimit.unwrap_or(usize::MAX),
                octets: channel.session_size.unwrap_or(u64::MAX),
                time: channel.session_time,
            },
            command_line: channel.commandlinelimit,
            content_line: channel.max_line,
            content: ContentLimits {
                header_size: channel.headersizelimit,
                header_fields: channel.headerfieldlimit,
                forbid_nul: channel.forbid_nul,
                header_form: channel.program == Program::Lmtp && channel.flagtransfer,
            },
            commands: channel.disconnectcommandlimit,
            bad_commands: channel.disconnectbadcommandlimit,
            command_time: channel.command_receive_time,
            data_time: channel.data_receive_time,
            data_rate: DataRate { octets: channel.min_data_rate, over: channel.min_data_rate_time },
            strict_envelopes: channel.strict_envelopes,
            beyond_ascii: if channel.program == Program::Smtp && channel.asterisk_8bit {
                BeyondAscii::Asterisks
            } else {
                BeyondAscii::Refused
            },
            is_private: channel.flagtransfer,
            forbid_pipelining: channel.forbid_unauth_pipelining,
        }
    }
}
