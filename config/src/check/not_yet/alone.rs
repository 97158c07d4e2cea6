//! Settings that do nothing without another one beside them.

use super::{Insist, Program, Reader, Role, Roles, dispatcher, takes_mail};
use crate::{
    check::known::Known,
    file::source::shorten,
    sections::{config::Config, directory::Directory},
};

/// A setting of a channel of SMTP, and why it does nothing there, where it does nothing.
struct Dependent {
    field: &'static str,
    why: fn(&Sessions<'_>, usize) -> Option<String>,
}

/// How sessions of SMTP come to channels.
struct Sessions<'a> {
    roles: &'a Roles<'a>,
    /// Sessions begin there.
    homes: Vec<bool>,
    /// Sessions that begin there are behind TLS, whatever the channel itself offers.
    secured: Vec<bool>,
    /// Users are there once they have logged in.
    users: Vec<bool>,
}

impl<'a> Sessions<'a> {
    fn of(roles: &'a Roles<'a>) -> Self {
        let config = roles.config;
        let none = vec![false; config.channels.len()];
        let (mut homes, mut secured, mut users) = (none.clone(), none.clone(), none);
        let smtp = |its: &&dispatcher::Service| its.program == dispatcher::Program::Smtp;
        let offers_tls = |i: &usize| config.channels[*i].tls.server != Insist::No;
        for service in config.dispatcher.enabled().filter(smtp) {
            let leads = |i: usize| roles.destinations[i];
            // A proxy may name another client when TLS is there already.
            let proxied = !service.clients.xclient.is_empty()
                && config.channels_of(service, leads).iter().any(offers_tls);
            for i in config.homes_of(service, leads) {
                homes[i] = true;
                secured[i] |= proxied || !service.tls_ports.is_empty();
            }
        }
        let known = Known::of(config);
        for (i, channel) in config.channels.iter().enumerate() {
            if channel.sasl.server != Insist::No && roles.lacks(i, Role::SmtpSource).is_none() {
                let next = channel.saslswitchchannel.as_deref();
                users[next.and_then(|next| known.channels.get(next).copied()).unwrap_or(i)] = true;
            }
        }
        Self { roles, homes, secured, users }
    }

    /// Why TLS leads to no other channel.
    fn unsecured(&self, i: usize) -> Option<String> {
        let channel = self.roles.channel(i);
        if !self.homes[i] {
            return Some("TLS or a login led here, and TLS leads nowhere from here".to_owned());
        }
        // Users may ask for TLS in the channel that they have come to.
        let after = channel.saslswitchchannel.as_deref().filter(|_| self.logs_in(i));
        let mut named = self.roles.config.channels.iter().filter(|its| Some(&*its.name) == after);
        let offers = channel.tls.server != Insist::No
            || self.secured[i]
            || named.any(|its| its.tls.server != Insist::No);
        (!offers).then(|| {
            "tls.server is No here, and no service of this channel has tls_ports: there is no TLS"
                .to_owned()
        })
    }

    fn logs_in(&self, i: usize) -> bool {
        self.roles.channel(i).sasl.server != Insist::No
    }

    fn without_logins(&self, i: usize) -> Option<String> {
        (!self.logs_in(i)).then(|| "sasl.server is No here: nobody logs in".to_owned())
    }

    /// A server says whether a password is right, and does not give the keys that SCRAM needs.
    fn without_keys(&self) -> Option<String> {
        let is_remote = matches!(self.roles.config.directory, Some(Directory::Ldap(_)));
        is_remote.then(|| "users log in at the LDAP server, by their password".to_owned())
    }

    fn without_users(&self, i: usize) -> Option<String> {
        if self.users[i] {
            return None;
        }
        let next = self.roles.channel(i).saslswitchchannel.as_deref();
        Some(match next.filter(|_| self.logs_in(i)) {
            Some(next) => format!("who logs in here goes on in channel {next}"),
            None => "sasl.server is No here, and no saslswitchchannel leads users here".to_owned(),
        })
    }

    fn without_rates(&self, i: usize) -> Option<String> {
        let channel = self.roles.channel(i);
        let limits = [
            channel.client_messages_per_hour,
            channel.client_recipients_per_hour,
            channel.user_messages_per_hour,
            channel.user_recipients_per_hour,
        ];
        let none = limits.iter().all(Option::is_none);
        none.then(|| "none of the limits of an hour is set here".to_owned())
    }
}

/// Warns of them.
pub(super) fn warn(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let sessions = Sessions::of(roles);
    let channels = 0..roles.config.channels.len();
    // Of other channels that is said already.
    let of_smtp: Vec<_> =
        channels.filter(|i| roles.lacks(*i, Role::SmtpSource).is_none()).collect();
    for Dependent { field, why } in DEPENDENT {
        let mut reasons = Vec::new();
        for i in &of_smtp {
            let Some(why) = why(&sessions, *i) else { continue };
            let path = format!("channels[{i}].{field}");
            if reader.is_given_itself(&path) {
                reader.warning_at(&path, &format!("{why}: nothing comes of {field}"), false);
            }
            reasons.push(why);
        }
        // A default is for the channels that it suits.
        let default = format!("channel_defaults.{field}");
        if reader.is_given_itself(&default) && reasons.len() == of_smtp.len() && !reasons.is_empty()
        {
            let message = format!("it suits none of the channels: nothing comes of {field}");
            reader.warning_at(&default, &message, false);
        }
    }
    warn_of_sockets(roles.config, reader);
    warn_of_pieces(roles, reader);
    warn_of_scripts(roles.config, reader);
}

/// Files of scripts are files of users.
fn warn_of_scripts(config: &Config, reader: &mut Reader<'_>) {
    let why = if !config.sieve.users {
        "users is false: no script of a user is carried out"
    } else if config.directory.is_none() {
        "there is no directory, and so no user"
    } else {
        return;
    };
    if takes_mail(config) && reader.is_given("sieve.files") {
        reader.warning_at("sieve.files", &format!("{why}: nothing comes of files"), false);
    }
}

/// Pieces of messages wait where the channel says so, and leaves mail to others.
fn warn_of_pieces(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    for (i, channel) in roles.config.channels.iter().enumerate() {
        if !roles.is_reached(i) {
            continue;
        }
        let goes_on = [Program::Process, Program::Reprocess, Program::Hold, Program::Conversion];
        let (field, why) = if goes_on.contains(&channel.program) && channel.defragment {
            ("defragment", "its mail goes on to another channel, which says so")
        } else if !channel.defragment {
            ("defragment_for", "defragment is false here: no pieces wait")
        } else {
            continue;
        };
        let path = format!("channels[{i}].{field}");
        if reader.is_given_itself(&path) {
            reader.warning_at(&path, &format!("{why}: nothing comes of {field}"), false);
        }
    }
}

/// Clients of a socket have no address.
fn warn_of_sockets(config: &Config, reader: &mut Reader<'_>) {
    let services = &config.dispatcher.services;
    for field in OF_ADDRESSES {
        let message = format!("nobody is asked at a socket who he is: nothing comes of {field}");
        for service in services.iter().filter(|its| its.socket.is_some()) {
            let path = format!("dispatcher.services[{:?}].{field}", shorten(&service.name));
            if reader.is_given_itself(&path) {
                reader.warning_at(&path, &message, false);
            }
        }
        let default = format!("dispatcher.{field}");
        let no_ports = !services.is_empty() && services.iter().all(|its| its.socket.is_some());
        if no_ports && reader.is_given_itself(&default) {
            reader.warning_at(&default, &message, false);
        }
    }
}

const DEPENDENT: &[Dependent] = &[
    Dependent { field: "tlsswitchchannel", why: |its, i| its.unsecured(i) },
    Dependent { field: "saslswitchchannel", why: |its, i| its.without_logins(i) },
    Dependent {
        field: "sasl.without_tls",
        why: |its, i| its.without_logins(i).filter(|_| its.roles.channel(i).sasl.without_tls),
    },
    Dependent {
        field: "sasl.scram",
        why: |its, i| {
            let is_asked = its.roles.channel(i).sasl.scram;
            its.without_logins(i).or_else(|| its.without_keys()).filter(|_| is_asked)
        },
    },
    Dependent {
        field: "sender_must_match",
        why: |its, i| {
            let is_plain = !its.roles.channel(i).submit;
            is_plain.then(|| "the channel has no submit: true".to_owned())
        },
    },
    Dependent {
        field: "bangoverpercent",
        why: |its, i| {
            let channel = its.roles.channel(i);
            let both = channel.percentonly && channel.bangoverpercent;
            both.then(|| "percentonly is true here: no bang names a host".to_owned())
        },
    },
    Dependent { field: "user_messages_per_hour", why: |its, i| its.without_users(i) },
    Dependent { field: "user_recipients_per_hour", why: |its, i| its.without_users(i) },
    Dependent { field: "beyond_rates", why: |its, i| its.without_rates(i) },
];
/// Settings of a service that have to do with the address of a client.
const OF_ADDRESSES: &[&str] = &[
    "proxy_protocol",
    "xclient",
    "client_conns",
    "prefix_conns",
    "prefix_ipv4",
    "prefix_ipv6",
    "unlimited_clients",
    "dns_verify_domain",
    "dns_verify_time",
];
