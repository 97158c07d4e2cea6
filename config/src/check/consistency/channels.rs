//! Channels: names, and what they refer to.

use crate::{
    check::{
        known::{Known, list},
        leads::transports,
    },
    file::reader::Reader,
    grammar::Transport,
    sections::{
        channel::{Channel, Program},
        config::Config,
        dispatcher,
        job_controller::DEFAULT_POOL,
        tls::{Insist, SaslSides, TlsSides},
    },
};

pub(crate) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    if config.channels.is_empty() && reader.is_sound("channels") {
        reader.mistake_at("channels", "there is no channel", "at least one is expected");
    }
    for (i, channel) in config.channels.iter().enumerate() {
        let path = |field: &str| format!("channels[{i}].{field}");
        is_unique(config, known, i, reader);
        has_pool(config, known, channel, &path("pool"), reader);
        for (field, name) in [
            ("tlsswitchchannel", &channel.tlsswitchchannel),
            ("saslswitchchannel", &channel.saslswitchchannel),
        ] {
            if let Some(name) = name {
                takes_sessions(config, known, name, &path(field), reader);
            }
        }
        for (field, transport) in transports(channel) {
            has_transport(config, known, transport, &path(field), reader);
            leaves(config, known, transport, &path(field), reader);
        }
        has_one_source_each(channel, &path("interface_address"), reader);
        has_credentials(config, channel, &path, reader);
        takes_our_own_mail(config, channel, &path("tls.server"), reader);
    }
    for (key, transport) in config.transport.iter() {
        has_transport(config, known, transport, &format!("transport[{key:?}]"), reader);
    }
    has_local_channel(config, reader);
}

fn is_unique(config: &Config, known: &Known<'_>, i: usize, reader: &mut Reader<'_>) {
    let channel = &config.channels[i];
    let earlier = |found: Option<usize>| found.filter(|first| *first < i);
    if !channel.name.is_empty()
        && earlier(known.channels.get(channel.name.as_str()).copied()).is_some()
    {
        let first = known.channels.get(channel.name.as_str()).copied().unwrap_or_default();
        let line = reader.line_of(&format!("channels[{first}].name"));
        let message = format!("there is a channel {:?} already, in line {line}", channel.name);
        reader.mistake_at(&format!("channels[{i}].name"), &message, "another name is expected");
    }
    if !channel.tag.is_empty()
        && let Some(first) = earlier(known.tag(&channel.tag))
    {
        let other = &config.channels[first];
        let message = format!("channel {:?} has the tag {:?} already", other.name, other.tag);
        reader.mistake_at(&format!("channels[{i}].tag"), &message, "another tag is expected");
    }
}

fn has_pool(
    config: &Config,
    known: &Known<'_>,
    channel: &Channel,
    path: &str,
    reader: &mut Reader<'_>,
) {
    let Some(controller) = &config.job_controller else {
        if channel.pool != DEFAULT_POOL && reader.is_sound("job_controller") {
            let message = "without a job_controller there are no pools, and no job is started";
            reader.warning_at(path, message, false);
        }
        return;
    };
    if reader.are_sound("job_controller.pools", "name")
        && !known.pools.contains(channel.pool.as_str())
    {
        let message = format!("no pool is called {:?}", channel.pool);
        let names = controller.pools.iter().map(|pool| pool.name.as_str());
        reader.mistake_at(path, &message, &list(&channel.pool, names));
    }
}

/// Connections come from one address of each family.
fn has_one_source_each(channel: &Channel, path: &str, reader: &mut Reader<'_>) {
    if let [first, second] = channel.interface_address[..]
        && first.is_ipv4() == second.is_ipv4()
    {
        let message = format!("{first} and {second} are of one family");
        reader.mistake_at(path, &message, "one address of IPv4 and one of IPv6 are expected");
    }
}

fn exists(config: &Config, known: &Known<'_>, name: &str, path: &str, reader: &mut Reader<'_>) {
    if !known.channels.contains_key(name) && reader.are_sound("channels", "name") {
        let names = config.channels.iter().map(|channel| channel.name.as_str());
        reader.mistake_at(path, &format!("no channel is called {name:?}"), &list(name, names));
    }
}

/// Sessions go on in channels of their own program alone.
fn takes_sessions(
    config: &Config,
    known: &Known<'_>,
    name: &str,
    path: &str,
    reader: &mut Reader<'_>,
) {
    if !reader.are_sound("channels", "name") {
        return;
    }
    let message = match known.channels.get(name) {
        Some(i) => {
            let program = config.channels[*i].program;
            if program == Program::Smtp || !reader.is_sound(&format!("channels[{i}].program")) {
                return;
            }
            format!("the program of channel {name} is {program:?}")
        }
        None => format!("no channel is called {name:?}"),
    };
    let fitting = config.channels.iter().filter(|its| its.program == Program::Smtp);
    let names = list(name, fitting.map(|its| its.name.as_str()));
    let accepted = format!("a channel of program Smtp is expected, {names}");
    reader.mistake_at(path, &message, &accepted);
}

fn has_transport(
    config: &Config,
    known: &Known<'_>,
    transport: &str,
    path: &str,
    reader: &mut Reader<'_>,
) {
    let Ok(transport) = transport.parse::<Transport>() else { return };
    if let Some(channel) = transport.channel() {
        exists(config, known, channel, path, reader);
    }
    let throws_away = |its: &Channel| its.program == Program::Bitbucket;
    if transport == Transport::Discard && !config.channels.iter().any(throws_away) {
        let message = "there is no channel that throws mail away";
        reader.mistake_at(path, message, "a channel of program Bitbucket is expected");
    }
}

/// The local channel hands on to another one.
fn leaves(
    config: &Config,
    known: &Known<'_>,
    transport: &str,
    path: &str,
    reader: &mut Reader<'_>,
) {
    let Ok(transport) = transport.parse::<Transport>() else { return };
    let Transport::To { channel, .. } = &transport else { return };
    let place = channel.as_deref().map(|name| known.channels.get(name));
    let is_local = |i: &usize| config.channels[*i].program == Program::Local;
    if place.flatten().is_some_and(is_local) {
        let message = "mail would come back to the local channel";
        reader.mistake_at(
            path,
            message,
            "another channel is expected, such as one of program Lmtp",
        );
    }
}

/// Certificates and passwords.
fn has_credentials(
    config: &Config,
    channel: &Channel,
    path: &impl Fn(&str) -> String,
    reader: &mut Reader<'_>,
) {
    if channel.tls.server != Insist::No && config.tls.is_none() && reader.is_sound("tls") {
        let accepted = "tls: (certificate: \"...\", key: \"...\") is expected beside channels";
        reader.mistake_at(&path("tls.server"), "there is no certificate for TLS", accepted);
    }
    protects_its_connections(&channel.tls, path, reader);
    let SaslSides { client, credentials, clear_passwords, .. } = &channel.sasl;
    if *client != Insist::No && credentials.is_none() {
        let message = "a client that authenticates needs credentials";
        let accepted = "credentials: \"FILE\" is expected beside client";
        reader.mistake_at(&path("sasl.client"), message, accepted);
    } else if *client == Insist::No && credentials.is_some() {
        let message = "the credentials are not used: client is No";
        reader.warning_at(&path("sasl.credentials"), message, false);
    }
    if *clear_passwords {
        let message = if *client == Insist::No {
            "nobody logs in: client is No"
        } else {
            "passwords may pass in clear: clear_passwords is for trusted networks"
        };
        reader.warning_at(&path("sasl.clear_passwords"), message, false);
    }
}

/// Warns of settings of TLS towards servers without TLS, and refuses halves of a pair.
fn protects_its_connections(
    tls: &TlsSides,
    path: &impl Fn(&str) -> String,
    reader: &mut Reader<'_>,
) {
    let TlsSides { client, implicit, verify, names, ca, certificate, key, .. } = tls;
    let said = [
        ("implicit", *implicit),
        ("verify", !*verify),
        ("names", !names.is_empty()),
        ("ca", ca.is_some()),
        ("certificate", certificate.is_some()),
        ("key", key.is_some()),
    ];
    let said: Vec<_> = said.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| *name).collect();
    if *client == Insist::No
        && let Some(first) = said.first()
    {
        let message =
            format!("no TLS is spoken, client is No: nothing comes of {}", said.join(", "));
        reader.warning_at(&path(&format!("tls.{first}")), &message, false);
    }
    if *client == Insist::Must && !*verify && !names.is_empty() {
        let message = "names are not looked at: verify is false";
        reader.warning_at(&path("tls.names"), message, false);
    }
    let missing = match (certificate, key) {
        (Some(_), None) => ("certificate", "key"),
        (None, Some(_)) => ("key", "certificate"),
        _ => return,
    };
    let message = format!("a {} needs a {}", missing.0, missing.1);
    let accepted = format!("{}: \"FILE\" is expected beside it", missing.1);
    reader.mistake_at(&path(&format!("tls.{}", missing.0)), &message, &accepted);
}

/// A store in the same process that takes no mail in clear takes none of a channel without TLS.
fn takes_our_own_mail(config: &Config, channel: &Channel, path: &str, reader: &mut Reader<'_>) {
    if channel.tls.server != Insist::Must {
        return;
    }
    let services = config.dispatcher.enabled().filter(|its| its.channel == channel.name);
    let lmtp = services.filter(|its| its.program == dispatcher::Program::Lmtp);
    let ports: Vec<u16> = lmtp.flat_map(|its| its.ports.iter().copied()).collect();
    let in_clear = |its: &&Channel| its.program == Program::Lmtp && its.tls.client == Insist::No;
    let mut ours = config.channels.iter().filter(in_clear);
    if let Some(client) =
        ours.find(|its| its.name != channel.name && ports.contains(&its.next_hop_port()))
    {
        let message = format!(
            "the service takes no mail in clear, and channel {} connects to port {} without TLS: \
             where that is this service, the mail waits",
            client.name,
            client.next_hop_port()
        );
        reader.warning_at(path, &message, false);
    }
}

fn has_local_channel(config: &Config, reader: &mut Reader<'_>) {
    let Some(first) = config.channels.first() else { return };
    let routes = !config.rewrite_rules.is_empty() && config.fills_queue();
    if routes && first.program != Program::Local && reader.is_sound("channels[0].program") {
        let message = "the first channel should be the one of program Local: addresses of this \
                       host belong to it";
        reader.warning_at("channels[0]", message, false);
    }
}
