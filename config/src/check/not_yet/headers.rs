//! Settings about addresses in headers that do nothing without others.

use super::{Reader, Role, Roles};
use crate::sections::config::Config;

/// Warns of them.
pub(super) fn warn(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let config = roles.config;
    let reverses = config.reverse.is_given() || has_mapping(config);
    for (i, channel) in config.channels.iter().enumerate() {
        if roles.lacks(i, Role::Destination).is_some() {
            continue;
        }
        let mut tell = |field: &str, why: &str| {
            let path = format!("channels[{i}].{field}");
            if reader.is_given_itself(&path) {
                reader.warning_at(&path, &format!("{why}: nothing comes of {field}"), false);
            }
        };
        if channel.reverse && !reverses {
            tell("reverse", "there is no mapping REVERSE, and the section reverse names nothing");
        }
        let treats = channel.header_rules || channel.reverse && reverses || completes(config);
        for (field, is_set) in
            [("inner", channel.inner), ("rewrite_signed", channel.rewrite_signed)]
        {
            if is_set && !treats {
                tell(field, "no address of a header becomes another one here");
            }
        }
    }
    if config.reverse.is_given() && !config.reverse.channels {
        for key in config.reverse.database.own.keys().filter(|key| !key.contains('@')) {
            let message = "no address is that: user@domain is asked for";
            reader.warning_at(&format!("reverse.database[{key:?}]"), message, false);
        }
    }
    let mut reached =
        (0..config.channels.len()).filter(|i| roles.lacks(*i, Role::Destination).is_none());
    let given = config.reverse.is_given() && reader.is_given("reverse");
    if given && reached.all(|i| !config.channels[i].reverse) {
        let message = "no channel that mail leaves by has reverse: true: nothing is reversed";
        reader.warning_at("reverse", message, false);
    }
}

fn has_mapping(config: &Config) -> bool {
    config.mappings.keys().any(|name| name.eq_ignore_ascii_case("REVERSE"))
}

/// Addresses without a domain get one, whatever channel the mail is for.
fn completes(config: &Config) -> bool {
    config.channels.iter().any(|channel| channel.remotehost || channel.defaulthost.is_some())
}
