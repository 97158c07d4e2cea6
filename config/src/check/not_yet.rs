//! Which fields do something.
//!
//! A field that is given and does nothing is named, whatever its value: because what it asks for
//! is not there yet, or because its channel is not there for that. Every field of the file says
//! so in the table of its section: its row changes when the behaviour comes.

mod alone;
mod headers;
mod names;
mod shadowed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crate::{
    check::{
        consistency,
        known::Known,
        leads::literal_tags,
        roles::{NO_QUEUE, Roles, in_section, logs_in, takes_mail},
    },
    file::{
        reader::Reader,
        setting::{Need, Role},
    },
    sections::{
        channel::{Channel, Program},
        config::Config,
        dispatcher::{self, Service},
        settings::NEEDS,
        srs::SrsUse,
        tls::{DestinationTls, Insist},
    },
};

/// Warns about everything in `config` that will not be done.
pub(crate) fn warn(config: &Config, reader: &mut Reader<'_>) {
    let roles = Roles::of(config);
    warn_of_sections(reader);
    warn_of_services(config, reader);
    warn_of_channels(&roles, reader);
    // The warnings below speak of how parts fit together; mistakes come first.
    if reader.is_free_of_mistakes() {
        warn_of_queue(config, reader);
        warn_of_roles(&roles, reader);
        warn_of_pools(&roles, reader);
        shadowed::warn(config, reader);
        alone::warn(&roles, reader);
        headers::warn(&roles, reader);
        names::warn(&roles, reader);
        consistency::conversions::warn(config, reader);
    }
    warn_of_store(config, reader);
    warn_of_tls(&roles, reader);
    warn_of_signing(&roles, reader);
    warn_of_authentication(&roles, reader);
    warn_of_options(config, reader);
    consistency::mappings::warn(config, reader);
    warn_of_aliases(config, reader);
    warn_of_accounts(config, reader);
}

/// Fields outside of channels and services.
fn warn_of_sections(reader: &mut Reader<'_>) {
    for (field, need) in NEEDS.iter() {
        let listed = field.starts_with("channels.") || field.starts_with("dispatcher.");
        if let Need::Behaviour(message) = need
            && !listed
            && reader.is_given(field)
        {
            reader.warning_at(field, message, false);
        }
    }
}

/// Warns of sections that an engine without a queue has no use for: one word for the whole of each.
fn warn_of_queue(config: &Config, reader: &mut Reader<'_>) {
    if takes_mail(config) {
        return;
    }
    for (field, _) in NEEDS.iter().filter(|(_, need)| matches!(need, Need::Queue)) {
        let section = field.split('.').next().unwrap_or_default();
        let is_for_logins = section == "directory" && logs_in(config);
        if reader.is_given(section) && !is_for_logins {
            let message = format!(
                "{NO_QUEUE}: nothing comes of {section}, but for mail that waits in the queue from \
                 before"
            );
            reader.warning_at(section, &message, false);
        }
    }
}

fn warn_of_services(config: &Config, reader: &mut Reader<'_>) {
    for service in &config.dispatcher.services {
        let name = crate::file::source::shorten(&service.name);
        let path = |field: &str| format!("dispatcher.services[{name:?}].{field}");
        for (field, need) in in_section("dispatcher.services.") {
            if let Need::Behaviour(message) = need
                && reader.is_given(&path(field))
            {
                reader.warning_at(&path(field), message, false);
            }
        }
    }
}

/// Warns of what channels ask for that is not there yet.
fn warn_of_channels(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let not_yet: Vec<_> = in_section("channels.")
        .filter_map(|(field, need)| match need {
            Need::Behaviour(message) => Some((field, message)),
            _ => None,
        })
        .collect();
    for (i, channel) in roles.config.channels.iter().enumerate() {
        let path = |field: &str| format!("channels[{i}].{field}");
        for (field, message) in &not_yet {
            if reader.is_given(&path(field)) {
                reader.warning_at(&path(field), message, false);
            }
        }
        let runs_none = channel.program == Program::Pipe && roles.config.programs.is_empty();
        if runs_none && roles.destinations[i] {
            let message = "programs lists none: mail for this channel is refused for now (451)";
            reader.warning_at(&path("program"), message, false);
        }
    }
}

/// Warns of settings that do nothing in a channel of this role. A setting of `channel_defaults` is
/// meant for the channels that it suits: it is named when it suits none.
fn warn_of_roles(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let by_role: Vec<_> = in_section("channels.")
        .filter_map(|(field, need)| match need {
            Need::Role(role) => Some((field, role)),
            _ => None,
        })
        .collect();
    for i in 0..roles.config.channels.len() {
        if roles.is_idle(i) {
            let program = roles.config.channels[i].program;
            let message = format!(
                "no service takes mail in by this channel, and nothing leads to it: nothing comes \
                 of a channel of program {program:?} here"
            );
            reader.warning_at(&format!("channels[{i}]"), &message, false);
        }
        let mut idle: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (field, role) in &by_role {
            if reader.is_given_itself(&format!("channels[{i}].{field}"))
                && let Some(why) = roles.lacks(i, *role)
            {
                idle.entry(why).or_default().push(field);
            }
        }
        for (why, fields) in idle {
            let place = format!("channels[{i}].{}", fields[0]);
            reader.warning_at(&place, &without_effect(&why, &fields), false);
        }
    }
    let mut idle: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (field, role) in &by_role {
        let place = format!("channel_defaults.{field}");
        let mut reasons = (0..roles.config.channels.len()).map(|i| roles.lacks(i, *role));
        if reader.is_given_itself(&place) && reasons.all(|why| why.is_some()) {
            idle.entry("it suits none of the channels".to_owned()).or_default().push(field);
        }
    }
    for (why, fields) in idle {
        let place = format!("channel_defaults.{}", fields[0]);
        reader.warning_at(&place, &without_effect(&why, &fields), false);
    }
}

fn without_effect(why: &str, fields: &[&str]) -> String {
    format!("{why}: nothing comes of {}", fields.join(", "))
}

/// Pools in which no job runs.
fn warn_of_pools(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    if !takes_mail(roles.config) {
        return;
    }
    let served = |i: &usize| roles.lacks(*i, Role::Served).is_none();
    let channels = &roles.config.channels;
    let used: HashSet<&str> =
        (0..channels.len()).filter(served).map(|i| channels[i].pool.as_str()).collect();
    for pool in roles.config.job_controller.iter().flat_map(|controller| &controller.pools) {
        let path = format!("job_controller.pools[{:?}]", crate::file::source::shorten(&pool.name));
        let is_default = pool.name == crate::sections::job_controller::DEFAULT_POOL;
        if !is_default && !used.contains(pool.name.as_str()) {
            let message = "no channel that jobs serve is in this pool: no job runs in it";
            reader.warning_at(&path, message, false);
        }
    }
}

fn warn_of_store(config: &Config, reader: &mut Reader<'_>) {
    let lmtp = |service: &Service| service.program == dispatcher::Program::Lmtp;
    if config.store.is_some() && !config.dispatcher.enabled().any(lmtp) {
        let message = "no service of program Lmtp delivers into the store: it is not used";
        reader.warning_at("store", message, false);
    }
    let unix = |service: &Service| service.program == dispatcher::Program::LmtpNative;
    let local = |channel: &Channel| channel.program == Program::Local;
    let is_used = config.dispatcher.enabled().any(unix)
        || takes_mail(config) && config.channels.iter().any(local);
    if config.native.is_some() && !is_used {
        let message = "no service of program LmtpNative and no channel of program Local delivers \
                       into UNIX mailboxes: it is not used";
        reader.warning_at("native", message, false);
    } else if reader.is_given("native.files.user")
        && config.native.as_ref().is_some_and(|native| native.files.folders.is_empty())
    {
        let message = "without folders no file is written with the rights of this account";
        reader.warning_at("native.files.user", message, false);
    }
}

/// A certificate that is shown to nobody.
fn warn_of_tls(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let config = roles.config;
    let from_the_start = config.dispatcher.services.iter().any(|its| !its.tls_ports.is_empty());
    let mut offered = (0..config.channels.len())
        .filter(|i| config.channels[*i].tls.server != Insist::No)
        .filter(|i| roles.lacks(*i, Role::Source).is_none());
    if config.tls.is_some() && !from_the_start && offered.next().is_none() {
        let message = "no service has tls_ports, and no channel of one has tls: (server: May): \
                       nobody is shown the certificate";
        reader.warning_at("tls", message, false);
    }
    warn_of_destinations(roles, reader);
}

/// Warns of what nobody looks at on the way to other servers.
fn warn_of_destinations(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let config = roles.config;
    let (mut dane, mut sts) = (false, false);
    for (i, channel) in config.channels.iter().enumerate() {
        let tls = &channel.tls;
        match roles.lacks(i, Role::Delivering) {
            Some(why) if !tls.policies.is_empty() => {
                let place = format!("channels[{i}].tls.policies");
                reader.warning_at(&place, &without_effect(&why, &["policies"]), false);
            }
            Some(_) => {}
            None => {
                let mut entries = tls.policies.values();
                dane |= tls.dane || entries.clone().any(DestinationTls::wants_dane);
                sts |= tls.mta_sts || entries.any(|entry| entry.mta_sts == Some(true));
            }
        }
    }
    let unused = [
        ("dns.trust_anchor", !dane, "no channel that delivers looks for DANE (tls: (dane: true))"),
        (
            "mta_sts",
            // Its authorities and addresses are those of places that reports go to, too.
            !sts && config.tls_reports.is_none(),
            "no channel that delivers has tls: (mta_sts: true), and there are no tls_reports",
        ),
    ];
    for (field, is_unused, why) in unused {
        if is_unused && reader.is_given(field) {
            let name = field.rsplit('.').next().unwrap_or_default();
            reader.warning_at(field, &without_effect(why, &[name]), false);
        }
    }
}

/// Keys that sign nothing, and channels without a key; addresses of ours that no sender is given, and
/// channels without such.
fn warn_of_signing(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let config = roles.config;
    let leaving = |is_asked: fn(&Channel) -> bool| {
        let leaves = |i: &usize| roles.lacks(*i, Role::Delivering).is_none();
        let all = (0..config.channels.len()).filter(leaves);
        all.filter(|i| is_asked(&config.channels[*i])).collect::<Vec<_>>()
    };
    let signing = leaving(|channel| channel.dkim_sign);
    let wrapping = leaving(|channel| channel.srs != SrsUse::Never);
    for (section, is_there, field, channels, idle) in [
        ("dkim", config.dkim.is_some(), "dkim_sign", signing, UNSIGNED),
        ("srs", config.srs.is_some(), "srs", wrapping, UNWRAPPED),
    ] {
        if is_there && channels.is_empty() {
            reader.warning_at(section, idle, false);
        }
        for i in channels.into_iter().filter(|_| !is_there) {
            let message = format!("there is no section {section}: nothing comes of {field}");
            reader.warning_at(&format!("channels[{i}].{field}"), &message, false);
        }
    }
}

const UNSIGNED: &str = "no channel that mail leaves by has dkim_sign: true: nothing is signed";
const UNWRAPPED: &str = "no channel that mail leaves by has srs: Needed or Always: no sender becomes \
                         another, though mail that comes back is still taken";

/// Passwords that nobody has, that nobody is asked for, or that pass in clear.
fn warn_of_authentication(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    let config = roles.config;
    let asks = |i: &usize| {
        let offers = config.channels[*i].sasl.server != Insist::No;
        offers && roles.lacks(*i, Role::Source).is_none()
    };
    let asking: Vec<_> = (0..config.channels.len()).filter(asks).collect();
    if asking.is_empty() && reader.is_given("authentication") {
        let message = "no channel of a service has sasl: (server: May): nobody logs in";
        reader.warning_at("authentication", message, false);
    }
    for i in asking {
        let path = |field: &str| format!("channels[{i}].sasl.{field}");
        let (channel, tls_first) = (&config.channels[i], |service: &Service| {
            // A store's socket needs no TLS.
            let is_open = service.socket.is_some() && service.program == dispatcher::Program::Smtp;
            service.ports.is_empty() && !is_open
        });
        if config.directory.is_none() {
            let message = "without a directory there are no users: nobody can log in";
            reader.warning_at(&path("server"), message, false);
        }
        let mut services =
            config.dispatcher.services.iter().filter(|its| its.channel == channel.name);
        if channel.sasl.without_tls {
            let message = "passwords may pass in clear: without_tls is for trusted networks";
            reader.warning_at(&path("without_tls"), message, false);
        } else if channel.tls.server == Insist::No && services.any(|its| !tls_first(its)) {
            let message = "AUTH is offered only behind TLS, which this channel does not offer: \
                           tls: (server: May) does";
            reader.warning_at(&path("server"), message, false);
        }
    }
}

/// Flags of options that are not heeded.
fn warn_of_options(config: &Config, reader: &mut Reader<'_>) {
    if !takes_mail(config) {
        return;
    }
    let known = Known::of(config);
    let again = [Program::Reprocess, Program::Process];
    let reprocesses = config.channels.iter().any(|channel| again.contains(&channel.program));
    for (i, option) in config.delivery_options.iter().enumerate() {
        let leads_to = |program| {
            let channels = literal_tags(&option.text).filter_map(|tag| known.tag(tag));
            channels.into_iter().any(|channel| config.channels[channel].program == program)
        };
        let (held, answers) = (leads_to(Program::Hold), leads_to(Program::Bitbucket));
        if answers && option.name.eq_ignore_ascii_case("autoreply") && !option.flags.autoreply() {
            let message = "without the flag ! nobody is answered: the channel throws the mail away";
            reader.warning_at(&format!("delivery_options[{i}]"), message, false);
        }
        for flag in option.flags.characters() {
            let message = match flag {
                '!' if !answers => {
                    "the flag ! answers where the template leads to a channel of program Bitbucket, \
                     and only there"
                }
                '@' | '$' if !reprocesses => {
                    "the flags @ and $ have the reprocess channel apply an option later: there is \
                     no channel of program Reprocess or Process, and it is applied at once"
                }
                '/' if !held => {
                    "the flag / is not there yet: mail is held where the template \
                                 leads to a channel of program Hold, and only there"
                }
                _ => continue,
            };
            reader.warning_at(&format!("delivery_options[{i}]"), message, false);
        }
    }
}

/// Plain addresses and commands of listed programs work; other commands and files do not.
fn warn_of_aliases(config: &Config, reader: &mut Reader<'_>) {
    if !takes_mail(config) {
        return;
    }
    let is_there = |program| config.channels.iter().any(|channel| channel.program == program);
    let (local, runs) = (is_there(Program::Local), is_there(Program::Pipe));
    if !config.aliases.is_absent() && !local {
        let message = "there is no channel of program Local: no alias is looked at";
        reader.warning_at("aliases", message, false);
    }
    let folders = config.native.iter().flat_map(|native| &native.files.folders);
    let folders: Vec<_> = folders.map(|folder| config.path(folder)).collect();
    let lists_folder_of = |file: &str| {
        let inside = |folder: &std::path::PathBuf| std::path::Path::new(file).starts_with(folder);
        folders.iter().any(inside)
    };
    for (name, values) in config.aliases.iter() {
        let name = crate::file::source::shorten(name);
        for (i, value) in values.iter().enumerate() {
            let value = value.trim_matches([' ', '"']);
            let command = value.strip_prefix('|');
            let is_listed =
                |command| config.programs.iter().any(|program| program.is_meant_by(command));
            let why = match command {
                Some(command) if !is_listed(command) => "programs does not list this command",
                Some(_) if !runs => "there is no channel of program Pipe to run it",
                None if value.starts_with('/')
                    && value != "/dev/null"
                    && !lists_folder_of(value) =>
                {
                    "native.files lists no folder that this file lies in"
                }
                _ => continue,
            };
            let message = format!("{why}: mail for this name is refused for now (451)");
            reader.warning_at(&format!("aliases[{name:?}][{i}]"), &message, false);
        }
    }
}

/// Accounts that nobody asks for.
fn warn_of_accounts(config: &Config, reader: &mut Reader<'_>) {
    let hands_on = |channel: &Channel| {
        let known = channel.mailbox_transport.is_some() || channel.fallback_transport.is_some();
        channel.program == Program::Local && known
    };
    let is_asked = config.native.is_some() || config.channels.iter().any(hands_on);
    if reader.is_given("accounts") && !is_asked {
        let message = "without native, and without a channel of program Local that has \
                       mailbox_transport or fallback_transport, no account is looked for";
        reader.warning_at("accounts", message, false);
    }
}
