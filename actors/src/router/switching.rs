//! `switchchannel`: the channel that the address of a client leads to. The rewrite rules are asked
//! for the sender `postmaster@[client]` of an envelope, as the original asks them.

use std::{net::IpAddr, sync::Arc};

use relais_channels::mail::{Address, Reply};
use relais_config::{
    Channel,
    channel::{Program, Switch},
    facts::Facts,
};

use super::{
    refusal::Refusal,
    rewrite::{Purpose, Rewriter},
    routes::Routes,
    steps::{Step, Trace},
};
use crate::directory::Lookup;

/// Where a client's address leads to.
#[derive(Clone, Debug, Default)]
pub struct ChannelOfClient {
    /// Another channel than that of the service; nothing when the connection stays where it is.
    pub channel: Option<Arc<str>>,
    /// The directory cannot say; the connection stays where it is.
    pub trouble: Option<Reply>,
    /// How that was found, when somebody asks for it.
    pub steps: Vec<Step>,
}

/// The channel that mail of this client comes in by, where it is another than `source`.
pub(super) async fn channel_of_client(
    routes: &Routes,
    lookup: &impl Lookup,
    (client, source): (IpAddr, &str),
    mut trace: Trace,
) -> ChannelOfClient {
    let purpose = Purpose {
        envelope: true,
        forward: false,
        source,
        destination: None,
        reprocessed: false,
        facts: Facts::default(),
    };
    let rewritten = match sender_of(client) {
        Ok(sender) => Rewriter::new(routes, lookup, purpose, &mut trace).rewrite(sender).await,
        Err(refusal) => Err(refusal),
    };
    let (channel, trouble) = match rewritten {
        Ok(found) => (found.channel.filter(|n| is_left_for(source, &routes.channels[*n])), None),
        Err(failure @ Refusal::Lookup(_)) => (None, Some(failure.reply())),
        Err(_leads_nowhere) => (None, None),
    };
    let channel = channel.map(|n| Arc::clone(&routes.names[n].0));
    ChannelOfClient { channel, trouble, steps: trace.into_steps() }
}

fn sender_of(client: IpAddr) -> Result<Address, Refusal> {
    let text = match client.to_canonical() {
        IpAddr::V4(ip) => format!("postmaster@[{ip}]"),
        IpAddr::V6(ip) => format!("postmaster@[IPv6:{ip}]"),
    };
    Address::parse(&text).map_err(|_| Refusal::NoTarget(text))
}

/// Whether a connection of `source` may go on in this channel.
fn is_left_for(source: &str, channel: &Channel) -> bool {
    channel.program == Program::Smtp
        && channel.switchchannel != Switch::No
        && channel.name != source
}

#[cfg(test)]
mod tests {
    use relais_config::Config;

    use super::*;
    use crate::directory::LdifDirectory;

    const HEAD: &str = r#"(host: "mx.test", data: "/nonexistent", default_domain: "mx.test",
        dispatcher: (services: {"SMTP": (program: Smtp, channel: "in", ports: [2525])}),
        mappings: {"INTERNAL_IP": [("$(192.0.2.0/24)", "$Y"), ("${2001:db8::/32}", "$Y")]},
        job_controller: (), rewrite_rules: ["#;
    const TAIL: &str = r#"], channels: [
        (name: "l", tag: "mx.test", program: Local),
        (name: "in", tag: "in-daemon", program: Smtp, switchchannel: Switch),
        (name: "inner", tag: "inner-daemon", program: Smtp),
        (name: "closed", tag: "closed-daemon", program: Smtp, switchchannel: No),
    ])"#;

    async fn asked(rules: &str, client: &str) -> Option<String> {
        let (config, _) = Config::parse("f", &format!("{HEAD}{rules}{TAIL}"))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let routes = Routes::new(&config).unwrap();
        let directory = LdifDirectory::standalone().unwrap();
        let client = (client.parse().unwrap(), "in");
        let found = channel_of_client(&routes, &directory, client, Trace::default()).await;
        assert!(found.trouble.is_none() && found.steps.is_empty());
        found.channel.map(|name| name.to_string())
    }

    #[tokio::test]
    async fn the_address_of_a_client_leads_to_a_channel() {
        let sample = r#"("[]", "$E$R${INTERNAL_IP,$L}$U%[$L]@inner-daemon"),
            (".", "$U%$H@in-daemon")"#;
        let rows = [
            (sample, "192.0.2.7", Some("inner")),
            (sample, "::ffff:192.0.2.7", Some("inner")),
            (sample, "198.51.100.1", None),
            // Tables know addresses by their digits alone.
            (sample, "2001:db8::1", Some("inner")),
            (sample, "2001:db9::1", None),
            (r#"("[198.51.]", "$U%[198.51.$L]@inner-daemon")"#, "198.51.100.1", Some("inner")),
            (r#"("[198.51.]", "$U%[198.51.$L]@inner-daemon")"#, "198.52.100.1", None),
            // It is no recipient, and no address of a header.
            (r#"("[]", "$F$U%[$L]@inner-daemon")"#, "192.0.2.7", None),
            (r#"("[]", "$B$U%[$L]@inner-daemon")"#, "192.0.2.7", None),
            (r#"("[]", "$U%[$L]@inner-daemon$Min")"#, "192.0.2.7", Some("inner")),
            // Channels that are no others, or allow it not.
            (r#"("[]", "$U%[$L]@in-daemon")"#, "192.0.2.7", None),
            (r#"("[]", "$U%[$L]@closed-daemon")"#, "192.0.2.7", None),
            (r#"("[]", "$U%[$L]@mx.test")"#, "192.0.2.7", None),
            ("", "192.0.2.7", None),
        ];
        for (rules, client, want) in rows {
            assert_eq!(asked(rules, client).await.as_deref(), want, "{client}: {rules}");
        }
    }
}
