//! TLS that fails, told to others ([`relais_events`]).

use std::net::IpAddr;

use relais_channels::{tls::HandshakeFailure, tls_policy::TlsFailure};
use relais_config::EventKind;
use relais_events::Event;

use super::printable::printable;
use crate::{metrics::Metrics, timestamp::Timestamp};

/// Tells that no TLS came of a client's handshake; of each address and cause once a minute, with how often it
/// happened since.
pub(super) fn tell_client_tls(
    service: &str,
    client: Option<IpAddr>,
    failure: &HandshakeFailure,
    metrics: &Metrics,
) {
    if !metrics.events.tap.wants(EventKind::TlsFailure) {
        return;
    }
    let cause = failure.reason.name();
    let Some(times) = metrics.events.tls_failures.times(&(service, client, cause)) else { return };
    let peer = client.map(|client| client.to_string()).unwrap_or_default();
    metrics.events.tap.tell(&Event {
        service: service.into(),
        peer: peer.into(),
        cause: cause.into(),
        reason: printable(&failure.words),
        times: (times > 1).then_some(times),
        ..Event::new(EventKind::TlsFailure, Timestamp::now().to_string())
    });
}

/// Tells that TLS with a server came to nothing, or that it gets no mail for want of it; of each server and
/// cause once a minute, with how often it happened since.
pub fn tell_server_tls(failure: &TlsFailure<'_>, metrics: &Metrics) {
    if !metrics.events.tap.wants(EventKind::TlsFailure) {
        return;
    }
    let TlsFailure { channel, host, peer, cause, words } = *failure;
    let Some(times) = metrics.events.tls_failures.times(&(channel, peer, cause)) else { return };
    metrics.events.tap.tell(&Event {
        channel: channel.into(),
        host: printable(host),
        peer: printable(peer),
        cause: cause.into(),
        reason: printable(words),
        times: (times > 1).then_some(times),
        ..Event::new(EventKind::TlsFailure, Timestamp::now().to_string())
    });
}
