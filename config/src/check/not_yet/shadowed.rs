//! Fields that another field puts out of force.

use std::collections::HashMap;

use crate::{
    file::{reader::Reader, source::shorten},
    grammar::{NextHop, NextHops},
    sections::{
        admin::Audit,
        channel::{Channel, Copies, MAX_ADDRSPERFILE, Program},
        config::Config,
    },
};

/// A field of a channel that another one of the same channel puts out of force.
struct Shadow {
    field: &'static str,
    by: fn(&Channel) -> bool,
    message: &'static str,
}

/// Warns of them.
pub(super) fn warn(config: &Config, reader: &mut Reader<'_>) {
    for Shadow { field, by, message } in SHADOWS {
        let shadowed = |channel: &Channel| by(channel);
        for (i, _) in config.channels.iter().enumerate().filter(|(_, its)| shadowed(its)) {
            let path = format!("channels[{i}].{field}");
            if reader.is_given_itself(&path) {
                reader.warning_at(&path, message, false);
            }
        }
        let default = format!("channel_defaults.{field}");
        if reader.is_given_itself(&default) && config.channels.iter().all(shadowed) {
            reader.warning_at(&default, message, false);
        }
    }
    warn_of_pools(config, reader);
    warn_of_aliases(config, reader);
    if reader.is_given("admin.names") && config.admin.listen.is_none() {
        let message = "without admin.listen nobody comes by a name: the names are not used";
        reader.warning_at("admin.names", message, false);
    }
    for path in ["admin.audit_size", "admin.audit_files"] {
        if reader.is_given(path) && config.admin.audit == Audit::Off {
            let message = "with admin.audit: Off nothing is written down: this is not used";
            reader.warning_at(path, message, false);
        }
    }
    if reader.is_given("admin.tls") && config.admin.listen.is_none() {
        let message = "without admin.listen there is nothing that TLS is spoken on";
        reader.warning_at("admin.tls", message, false);
    }
    if reader.is_given("admin.token_file") && !(config.admin.tls && config.admin.listen.is_some()) {
        let message =
            "a token is taken over TLS only: without admin.listen and admin.tls nobody can log in";
        reader.warning_at("admin.token_file", message, false);
    }
    if reader.is_given("admin.recent") && !config.fills_queue() {
        let message = "no mail comes into the queue: no recipients are written down";
        reader.warning_at("admin.recent", message, false);
    }
}

/// A default of pools that say all themselves what it is for.
fn warn_of_pools(config: &Config, reader: &mut Reader<'_>) {
    let Some(controller) = &config.job_controller else { return };
    let path = "job_controller.keep_last_slot";
    let own = |name: &str| format!("job_controller.pools[{:?}].keep_last_slot", shorten(name));
    if reader.is_given_itself(path)
        && controller.pools.iter().all(|pool| reader.is_given_itself(&own(&pool.name)))
    {
        let message = "every pool says itself whether its last slot is kept free: this is not used";
        reader.warning_at(path, message, false);
    }
}

/// Names are compared without case; the last of one name is used.
fn warn_of_aliases(config: &Config, reader: &mut Reader<'_>) {
    let mut names: HashMap<String, &str> = HashMap::new();
    for name in config.aliases.keys() {
        let Some(before) = names.insert(name.to_ascii_lowercase(), name) else { continue };
        let message = format!(
            "there is an alias {:?} too, and case does not matter: that one is used, and this is not",
            shorten(name)
        );
        reader.warning_at(&format!("aliases[{:?}]", shorten(before)), &message, false);
    }
}

/// Whether every place in `daemon` has a port of its own, or needs none.
fn names_port(channel: &Channel) -> bool {
    let hops = channel.daemon.as_deref().and_then(|daemon| daemon.parse::<NextHops>().ok());
    hops.is_some_and(|hops| {
        hops.iter().all(|hop| match hop {
            NextHop::Host { port, .. } | NextHop::Ip { port, .. } => port.is_some(),
            NextHop::Unix(_) => true,
        })
    })
}

fn connects(channel: &Channel) -> bool {
    matches!(channel.program, Program::Lmtp | Program::Smtp)
}

const SHADOWS: &[Shadow] = &[
    Shadow {
        field: "daemon",
        by: |channel| channel.multigate && channel.daemon.is_some(),
        message: "multigate connects to the host of the route: daemon is not used",
    },
    Shadow {
        field: "port",
        by: |channel| !channel.multigate && names_port(channel) && channel.port.is_some(),
        message: "daemon says where to connect to, port and all: this port is not used",
    },
    Shadow {
        field: "connectcanonical",
        by: |channel| channel.fixed_hosts().is_some() && channel.connectcanonical,
        message: "daemon says where to connect to, whatever the address: connectcanonical is not used",
    },
    Shadow {
        field: "multigate",
        by: |channel| channel.multigate && !connects(channel),
        message: "a channel of this program connects to no host: multigate only keeps strangers \
                  from sending mail to it",
    },
    Shadow {
        field: "copies",
        by: |channel| channel.program == Program::Pipe && channel.copies != Copies::Single,
        message: "a program is run for each recipient by itself, whatever copies says",
    },
    Shadow {
        field: "addrsperfile",
        by: |channel| channel.program == Program::Pipe || channel.copies == Copies::Single,
        message: "an entry is made of each recipient: addrsperfile is not used",
    },
    Shadow {
        field: "max_rcpt",
        by: |channel| channel.copies == Copies::Single && channel.most_recipients() > 1,
        message: "copies: Single makes an entry of each recipient: max_rcpt is not used",
    },
    Shadow {
        field: "max_rcpt",
        by: |channel| {
            channel.copies != Copies::Single
                && channel.addrsperfile < MAX_ADDRSPERFILE
                && channel.most_recipients() > channel.addrsperfile
        },
        message: "entries of less than 64 recipients are not joined: max_rcpt, which is larger than \
                  addrsperfile, is not used",
    },
    Shadow {
        field: "backoff",
        by: |channel| {
            channel.urgentbackoff.is_some()
                && channel.normalbackoff.is_some()
                && channel.nonurgentbackoff.is_some()
        },
        message: "urgentbackoff, normalbackoff and nonurgentbackoff stand above it, and all are \
                  given: backoff is not used",
    },
    Shadow {
        field: "notices",
        by: |channel| {
            channel.urgentnotices.is_some()
                && channel.normalnotices.is_some()
                && channel.nonurgentnotices.is_some()
        },
        message: "urgentnotices, normalnotices and nonurgentnotices stand above it, and all are \
                  given: notices is not used",
    },
];
