//! The channel that a client's mail would come in by, as operators are told it.

use std::net::IpAddr;

use relais_actors::{
    actor::Gone,
    router::{ChannelOfClient, RouterHandle, Step},
};
use relais_config::{Config, channel::Switch};

/// Where a client who connects to a service of a channel goes on.
pub(super) struct Switching {
    /// The channel that mail comes in by.
    pub(super) channel: String,
    /// How that was found; nothing where addresses of clients do not matter.
    pub(super) steps: Vec<Step>,
    /// And in a sentence.
    pub(super) verdict: Option<String>,
}

/// Asks the router as a session does. The error: it is gone.
pub(super) async fn switching(
    config: &Config,
    router: &RouterHandle,
    (channel, client): (&str, IpAddr),
) -> Result<Switching, Gone> {
    let own = config.channels.iter().find(|its| its.name == channel);
    let stays = channel.to_owned();
    if own.is_none_or(|own| own.switchchannel != Switch::Switch) {
        return Ok(Switching { channel: stays, steps: Vec::new(), verdict: None });
    }
    let ChannelOfClient { channel: other, trouble, steps } =
        router.explain_channel(client, channel).await?;
    let verdict = match (&other, trouble) {
        (Some(other), _) => format!("the client's address leads from {channel} to {other}"),
        (None, Some(reply)) => format!("the client stays with {channel}: {reply}"),
        (None, None) => format!("the client stays with {channel}"),
    };
    let channel = other.map_or(stays, |other| other.to_string());
    Ok(Switching { channel, steps, verdict: Some(verdict) })
}
