//! Roles of channels: what each is there for, and so which of its settings do something.

use crate::{
    check::{
        known::Known,
        leads::{Tag, literal_tags, tags_of, transports},
    },
    file::{
        paths::lies_in,
        setting::{Need, Role},
    },
    grammar::Transport,
    language::rewrite::domain_entry,
    sections::{
        channel::{Channel, Program},
        config::Config,
        dispatcher,
        settings::NEEDS,
    },
};

/// Which roles each channel has.
pub(crate) struct Roles<'a> {
    pub(crate) config: &'a Config,
    /// Programs of the services that take mail in, by the channel's place.
    sources: Vec<(bool, bool)>,
    /// Rules, options, aliases or transports lead to it.
    pub(crate) destinations: Vec<bool>,
    local: Option<usize>,
    /// The engine itself puts mail there: what is held, what is to be routed again, and what is to be
    /// converted.
    own: [Option<usize>; 3],
}

impl<'a> Roles<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let known = Known::of(config);
        let mut sources = vec![(false, false); config.channels.len()];
        let destinations = destinations(config, &known);
        for service in config.dispatcher.enabled() {
            let is_smtp = service.program == dispatcher::Program::Smtp;
            // Addresses of clients lead where rules lead.
            for i in config.channels_of(service, |i| destinations[i]) {
                let (smtp, lmtp) = &mut sources[i];
                *(if is_smtp { smtp } else { lmtp }) = true;
            }
        }
        let first = |program| config.channels.iter().position(|c| c.program == program);
        let again = first(Program::Reprocess).or_else(|| first(Program::Process));
        let converts = first(Program::Conversion).filter(|_| converts(config));
        let (local, own) = (first(Program::Local), [first(Program::Hold), again, converts]);
        Self { config, sources, destinations, local, own }
    }

    /// Whether nothing at all comes of the `i`th channel.
    pub(crate) fn is_idle(&self, i: usize) -> bool {
        let channel = &self.config.channels[i];
        let first = |program| self.config.channels.iter().position(|c| c.program == program);
        // Notices come in by the first of program Process; that nothing switches is said there.
        let named = first(Program::Process) == Some(i)
            // It is there for what may come.
            || channel.program == Program::Bitbucket;
        let (smtp, lmtp) = self.sources[i];
        !(smtp || lmtp || named || self.local == Some(i) || self.is_destination(i))
    }

    fn is_destination(&self, i: usize) -> bool {
        self.destinations[i] || takes_mail(self.config) && self.own.contains(&Some(i))
    }

    /// The `i`th channel.
    pub(crate) fn channel(&self, i: usize) -> &Channel {
        &self.config.channels[i]
    }

    /// Whether recipients can be routed to the `i`th channel.
    pub(crate) fn is_reached(&self, i: usize) -> bool {
        self.lacks(i, Role::DestinationOrLocal).is_none()
    }

    /// Whether this field of the `i`th channel does something.
    pub(crate) fn is_in_force(&self, i: usize, field: &str) -> bool {
        self.why_idle(i, field).is_none()
    }

    /// Why this field of the `i`th channel does nothing, if it does nothing.
    pub(crate) fn why_idle(&self, i: usize, field: &str) -> Option<String> {
        let (_, need) = in_section("channels.").find(|(name, _)| *name == field)?;
        match need {
            Need::Role(role) => self.lacks(i, role),
            Need::Behaviour(why) => Some(why.to_owned()),
            Need::Nothing | Need::Queue => None,
        }
    }

    /// Why a field with this need does nothing for the `i`th channel.
    pub(crate) fn lacks(&self, i: usize, role: Role) -> Option<String> {
        let keeps =
            self.config.channels[i].program == Program::Local && self.config.native.is_some();
        if keeps && matches!(role, Role::Destination | Role::Served | Role::Delivering) {
            return (!takes_mail(self.config)).then(|| NO_QUEUE.to_owned());
        }
        self.lacks_for_others(i, role)
    }

    /// The same for a channel whose mail other machines, programs or channels have.
    fn lacks_for_others(&self, i: usize, role: Role) -> Option<String> {
        let (smtp, lmtp) = self.sources[i];
        let program = self.config.channels[i].program;
        let unless = |holds: bool, why: &str| (!holds).then(|| why.to_owned());
        let unreached = || {
            let why = if takes_mail(self.config) {
                "no rule and no option leads to this channel"
            } else {
                NO_QUEUE
            };
            unless(self.is_destination(i), why)
        };
        let connects = matches!(program, Program::Lmtp | Program::Smtp);
        match role {
            Role::Source => unless(smtp || lmtp, "no service takes mail in by this channel"),
            Role::SmtpSource => unless(smtp, "no SMTP service takes mail in by this channel"),
            Role::Switching => unless(
                smtp || self.is_destination(i) && self.config.switches_by_client(),
                "no SMTP service takes mail in by this channel, and no client's address leads to it",
            ),
            Role::Rewriting | Role::RewritingOrDestination if smtp => None,
            Role::Rewriting | Role::RewritingOrDestination
                if takes_mail(self.config) && puts_mail_in(program) =>
            {
                None
            }
            Role::Rewriting => {
                Some("no mail that is rewritten comes in by this channel".to_owned())
            }
            Role::LmtpSource => unless(lmtp, "no LMTP service takes mail in by this channel"),
            Role::Destination | Role::Connecting if program == Program::Local => {
                Some("mail for a channel of program Local goes on by others".to_owned())
            }
            Role::DestinationOrLocal if program == Program::Local => {
                unless(takes_mail(self.config), NO_QUEUE)
            }
            Role::Destination | Role::DestinationOrLocal | Role::RewritingOrDestination => {
                unreached()
            }
            Role::Connecting if connects => unreached(),
            Role::SourceOrDelivering if smtp || lmtp => None,
            Role::Served if serves_alone(program) => unreached(),
            Role::SmtpDelivering if program == Program::Lmtp => {
                Some("a channel of program Lmtp delivers by LMTP".to_owned())
            }
            Role::SmtpDelivering => self.lacks_for_others(i, Role::Delivering),
            Role::Served | Role::Delivering | Role::Connecting | Role::SourceOrDelivering => {
                match program {
                    Program::Lmtp | Program::Smtp => unreached(),
                    program => {
                        Some(format!("a channel of program {program:?} connects to no host"))
                    }
                }
            }
            Role::Local if !takes_mail(self.config) => Some(NO_QUEUE.to_owned()),
            Role::Local => unless(
                program == Program::Local,
                "only a channel of program Local has names of its own to look for",
            ),
        }
    }
}

/// Whether jobs of this program serve mail without a host to connect to.
fn serves_alone(program: Program) -> bool {
    !matches!(program, Program::Local | Program::Smtp | Program::Lmtp)
}

/// Whether parts of any mail are looked at.
pub(crate) fn converts(config: &Config) -> bool {
    let is_charset = |name: &String| name.eq_ignore_ascii_case("CHARSET-CONVERSION");
    !config.conversions.is_empty() || config.mappings.keys().any(is_charset)
}

/// Whether mail comes by channels of this program without a service.
pub(crate) fn puts_mail_in(program: Program) -> bool {
    matches!(program, Program::Local | Program::Process | Program::Reprocess | Program::Hold)
}

/// Whether this field, `tls` or `dispatcher.services.tls_ports`, never does anything yet.
pub(crate) fn never(field: &str) -> bool {
    why_never(field).is_some()
}

/// And why it does not. A part of such a field does not either.
pub(crate) fn why_never(field: &str) -> Option<&'static str> {
    NEEDS.iter().find_map(|(path, need)| match need {
        Need::Behaviour(why) if lies_in(field, path) => Some(*why),
        _ => None,
    })
}

impl Config {
    /// Whether mail comes into the queue.
    pub fn fills_queue(&self) -> bool {
        takes_mail(self)
    }
}

/// Whether mail comes into the queue; without any service that is said, and enough.
pub(crate) fn takes_mail(config: &Config) -> bool {
    let mut programs = config.dispatcher.enabled().map(|service| service.program);
    config.dispatcher.services.is_empty()
        || programs.any(|program| program == dispatcher::Program::Smtp)
}

/// Whether clients of a service may log in: the directory is there for that, too.
pub(crate) fn logs_in(config: &Config) -> bool {
    let mut services = config.dispatcher.enabled();
    services.any(|service| {
        let mut own = config.channels.iter().filter(|channel| channel.name == service.channel);
        own.any(|channel| channel.sasl.server != crate::tls::Insist::No)
    })
}

/// The channels that recipients can be routed to.
fn destinations(config: &Config, known: &Known<'_>) -> Vec<bool> {
    let mut reached = vec![false; config.channels.len()];
    if !takes_mail(config) {
        return reached;
    }
    let mut reach = |i: Option<usize>| {
        if let Some(i) = i {
            reached[i] = true;
        }
    };
    let entry = |(pattern, template): (&String, &String)| domain_entry(pattern, template).ok();
    let more: Vec<_> = config.domain_database.iter().filter_map(entry).collect();
    let tags: Vec<Tag> = config.rewrite_rules.iter().chain(&more).flat_map(tags_of).collect();
    for tag in &tags {
        if let Tag::Named(tag) = tag {
            reach(known.tag(tag));
        }
    }
    let aliases = config.aliases.values().chain(config.virtual_alias.values()).flatten();
    let texts = config.delivery_options.iter().map(|option| &option.text).chain(aliases);
    for tag in texts.flat_map(|text| literal_tags(text)) {
        reach(known.tag(tag));
    }
    let own = config.channels.iter().flat_map(transports).map(|(_, transport)| transport);
    for transport in config.transport.values().map(String::as_str).chain(own) {
        let transport = transport.parse::<Transport>().ok();
        let name = transport.as_ref().and_then(Transport::channel);
        reach(name.and_then(|name| known.channels.get(name)).copied());
    }
    let origin =
        config.mappings.iter().filter(|(name, _)| name.eq_ignore_ascii_case("ORIGIN_ACCESS"));
    for (_, channel) in origin.flat_map(|(_, table)| table.diversions()) {
        for (i, its) in config.channels.iter().enumerate() {
            if its.program.takes_diverted() && channel.is_none_or(|name| its.name == name) {
                reach(Some(i));
            }
        }
    }
    // Commands of aliases, and those of users' own files.
    let runs = config.aliases.values().flatten().any(|its| its.trim_start().starts_with('|'));
    let forwards = |channel: &Channel| {
        let keeps = channel.program == Program::Local && config.native.is_some();
        keeps || channel.mailbox_transport.is_some() || channel.fallback_transport.is_some()
    };
    if !config.programs.is_empty() && (runs || config.channels.iter().any(forwards)) {
        reach(config.channels.iter().position(|channel| channel.program == Program::Pipe));
    }
    let Config { transport, virtual_alias, aliases, .. } = config;
    let in_files = transport.file.is_some()
        || virtual_alias.file.is_some()
        || aliases.file.is_some()
        || config.domain_database.file.is_some();
    if in_files || tags.contains(&Tag::Open) {
        reached.fill(true);
    }
    reached
}

/// The settings of a section, and when something comes of them.
pub(crate) fn in_section(section: &str) -> impl Iterator<Item = (&'static str, Need)> {
    NEEDS.iter().filter_map(move |(path, need)| Some((path.strip_prefix(section)?, *need)))
}

/// Why nothing comes of what has to do with the queue.
pub(crate) const NO_QUEUE: &str = "no service of program Smtp takes mail in";
