//! The whole file.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    file::{
        collections::{List, Maybe, Table},
        form::Nested,
        kinds::{self, Count, Text, Time},
        names::{DOMAIN, TRANSPORT},
    },
    language::{
        delivery_option::DeliveryOption,
        kinds::{Delivery, Mapping, Rule},
        mapping::MappingTable,
        rewrite::RewriteRule,
    },
    sections::{
        admin::Admin,
        authentication::Authentication,
        autoreply::Autoreply,
        channel::{Channel, ChannelDefaults, Channels, Program, Switch},
        conversions::{ConversionEntry, conversions},
        directory::{AnyDirectory, Directory},
        dispatcher::{self, Dispatcher, Service},
        dkim::Dkim,
        dns::Dns,
        entries::{OrFile, TableOrFile},
        events::Events,
        history::History,
        job_controller::JobController,
        milters::{ListedMilter, milters},
        notary::Notary,
        programs::{ListedProgram, programs},
        reversal::{Forwarding, Reversal},
        sieve::Sieve,
        spool::Spool,
        srs::Srs,
        store::{Native, Store},
        tls::{Insist, MtaSts, Tls, TlsReporting},
    },
};

section! {
    /// The whole file, checked, every default filled in.
    pub struct Config as its {
        /// Official host name: banners, `Received:`, notices.
        host: String = String::new(), DOMAIN, example(r#""mail.example.org""#);
        /// Spool, queue index, store and admin socket lie below this folder; a relative one lies
        /// beside the file, or in the working folder where there is none.
        data: PathBuf = PathBuf::new(), kinds::Path, example(r#""/var/lib/relais""#);
        /// The domain whose users are stored without `@domain`.
        default_domain: String = String::new(), DOMAIN, example(r#""example.org""#);
        /// Listening services and how many workers serve them.
        dispatcher: Dispatcher = Dispatcher::default(), Nested::new(),
            example("(services: {...})");
        /// Name servers that are asked.
        dns: Dns = Dns::default(), Nested::new();
        /// Certificate and key for every service that offers TLS.
        tls: Option<Tls> = None, Maybe(Nested::new());
        /// Keys that sign mail which leaves, and what they sign.
        dkim: Option<Dkim> = None, Maybe(Nested::new());
        /// Addresses of ours that stand for senders of mail which is forwarded.
        srs: Option<Srs> = None, Maybe(Nested::new());
        /// Policies of MTA-STS, as a client of other mail servers.
        mta_sts: MtaSts = MtaSts::default(), Nested::new();
        /// Reports of TLS to others; without it none is sent.
        tls_reports: Option<TlsReporting> = None, Maybe(Nested::new());
        /// The cost of failures of AUTH.
        authentication: Authentication = Authentication::default(), Nested::new();
        /// Mapping tables by name: `PORT_ACCESS`, `INTERNAL_IP`, ...
        mappings: BTreeMap<String, MappingTable> = BTreeMap::new(), Table(Mapping);
        /// The general database: `$(key)` in rewrite rules, `${key}` in mappings. It may be a file:
        /// a key, a blank and a value in each line.
        general: TableOrFile<String> = TableOrFile::none(), OrFile(Table(Text));
        /// Rewrite rules: the most specific pattern is tried first, and those of one pattern in the
        /// order of the file.
        rewrite_rules: Vec<RewriteRule> = Vec::new(), List(Rule), queue;
        /// More rewrite rules, asked for each probe behind the rules of the file: pattern to template,
        /// patterns without asterisks alone. It may be a file. (The original: the domain database.)
        domain_database: TableOrFile<String> = TableOrFile::none(), OrFile(Table(Text)), queue;
        /// Settings of channels that do not say otherwise; already merged into each of them.
        channel_defaults: ChannelDefaults = ChannelDefaults::blank() => above;
        /// Channels, in the order of the file.
        channels: Vec<Channel> = Vec::new(), List(Channels(its.channel_defaults.clone())),
            example(r#"[(name: "l", tag: "mail.example.org", program: Local), ...]"#);
        /// Pools and limits of delivery; absent on a store without an MTA.
        job_controller: Option<JobController> = None, Maybe(Nested::new());
        /// Where users, groups and domains are looked up.
        directory: Option<Directory> = None, Maybe(AnyDirectory);
        /// `DELIVERY_OPTIONS` in order; the first is the default of users, the second of groups. Each is
        /// flags, a value of `mailDeliveryOption`, `=` and a template: `**` (forwarding addresses), `*`
        /// (members of a group), or an address with `$M` (uid), `$A` `$U` `$D` (address, its parts),
        /// `$S` (subaddress), `$I` (domain, unless it is the default one), `$X` (mail host), `$P`
        /// (`mailProgramDeliveryInfo`), `$F` (`mailDeliveryFileURL`), `$E` `$G` (the first and the second
        /// of `spare_attributes`, `$3E` the third). A number picks a character (`$0M`, `$0U`, `$0A`) or a label (`$0X`;
        /// `$0H` of the address's domain, `$0J` of `$I`). `$1S` and `$1I` may be absent, and take with them the character
        /// before (`$2S`), behind (`$3S`) or both (`$4S`). Flags: `*` for users, `&` for groups, `#`
        /// whatever the mail host is, `^` only between `vacationStartDate` and `vacationEndDate`, `!` an
        /// automatic reply, `/` held, `@` or `$` by the reprocess channel.
        delivery_options: Vec<DeliveryOption> = Vec::new(), List(Delivery), queue;
        /// Attributes of users and groups that nothing else has a use for: delivery options insert their
        /// values by `$E`, `$G` and a number, as the original does with `LDAP_SPARE_1` and so on.
        spare_attributes: Vec<String> = Vec::new(), List(Text), queue;
        /// Programs that mail may be handed to, by their labels: by channels of program `Pipe`, for
        /// users whose delivery option leads there, and for `|label` or `|command` in aliases, `.forward`
        /// and lists. What is not listed here is never run.
        programs: Vec<ListedProgram> = Vec::new(), programs();
        /// The table of conversions, by which the channel of program `Conversion` removes and changes parts of
        /// mail: entries in order. (The original: the file `conversions`.) Mail goes by that channel if an entry is for its
        /// channels; where there is a table `CONVERSIONS`, that says which mail does.
        conversions: Vec<ConversionEntry> = Vec::new(), conversions();
        /// Filters that mail is shown to while it comes in, by their names. A service or a channel asks those
        /// that its `milters` names.
        milters: Vec<ListedMilter> = Vec::new(), milters();
        /// Postfix transport(5): `user+detail@domain`, `user@domain`, `domain`, `.parent` or `*` to
        /// `channel:nexthop`, `error:text`, `retry:text` or `discard:`. All but `*` make a domain ours.
        /// It may be a file, in the form of transport(5).
        transport: TableOrFile<String> = TableOrFile::none(), OrFile(Table(TRANSPORT)), queue;
        /// Postfix virtual(5): `user+detail@domain`, `user@domain`, `user+detail`, `user` or `@domain` to
        /// addresses, before anything else is asked. An entry makes the address ours, one for `domain`
        /// alone the whole domain. It may be a file, in the form of virtual(5).
        virtual_alias: TableOrFile<Vec<String>> = TableOrFile::none(), OrFile(Table(List(Text))), queue;
        /// Aliases: name to addresses, `:include:/file`, `\\user`, `|label` or `|command` of one of
        /// `programs`, or `/file` to append to, in one of the folders of `native.files`. They may be a
        /// file, in the form of aliases(5) or of the original. A list of the original has `<file`
        /// first, named parameters such as `[AUTH_LIST] staff.txt`, and addresses behind them.
        aliases: TableOrFile<Vec<String>> = TableOrFile::none(), OrFile(Table(List(Text))), queue;
        /// Whether aliases are asked before the directory, as Postfix does, and not behind it, as the
        /// original does.
        aliases_first: bool = false, kinds::Flag, queue;
        /// Addresses that mail is from, as others are to see them.
        reverse: Reversal = Reversal::default(), Nested::new();
        /// Addresses that mail is for, as they are to be instead.
        forward: Forwarding = Forwarding::default(), Nested::new();
        /// Our mailboxes; absent on a relay that keeps none.
        store: Option<Store> = None, Maybe(Nested::new());
        /// UNIX mailboxes of this machine.
        native: Option<Native> = None, Maybe(Nested::new());
        /// UNIX accounts, in the form of passwd(5), for `native` and for a local channel with
        /// `mailbox_transport` or `fallback_transport`: their `.forward` is heeded, and the latter is for
        /// names without one. Where it is `/etc/passwd`, the system is asked for names that the file has
        /// not (NSS: LDAP, SSSD and the like).
        accounts: PathBuf = PathBuf::from("/etc/passwd"), kinds::Path;
        /// How notices to senders are written.
        notary: Notary = Notary::default(), Nested::new();
        /// How often users who are away answer.
        autoreply: Autoreply = Autoreply::default(), Nested::new();
        /// Sieve scripts.
        sieve: Sieve = Sieve::default(), Nested::new();
        /// A message with more `Received:` lines than this goes in a circle and is held.
        max_received_lines: usize = 50, Count(1..=1_000), queue, unit("lines");
        /// The same for the lines that we wrote ourselves.
        max_local_received_lines: usize = 10, Count(1..=1_000), queue, unit("lines");
        /// How long clients and next hops may delay the end of the engine.
        max_shutdown: Duration = Duration::from_secs(8),
            Time(Duration::ZERO..=Duration::from_secs(600));
        /// Whether files that this one names are looked at every 10 s and taken anew when they have
        /// changed: the LDIF of the directory, tables, certificates and keys. A bad one leaves the one
        /// before in force.
        watch: bool = true, kinds::Flag;
        /// How messages are kept safe while they wait.
        spool: Spool = Spool::default(), Nested::new();
        /// The delivery history.
        history: History = History::default(), Nested::new();
        /// Events of mail, told to others.
        events: Events = Events::default(), Nested::new();
        /// The operator's endpoint.
        admin: Admin = Admin::default(), Nested::new();
    }
}

impl Config {
    /// Where a path of the file leads: relative ones lie below [`Config::data`].
    pub fn path(&self, path: &Path) -> PathBuf {
        self.data.join(path)
    }

    /// The channels that mail of a service may come in by, by their places: its own, and those that
    /// sessions switch to. `leads` says whether addresses of clients may lead to a channel.
    pub fn channels_of(&self, service: &Service, leads: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found = self.homes_of(service, leads);
        if service.program != dispatcher::Program::Smtp {
            return found;
        }
        let places = self.channels.iter().enumerate().map(|(i, its)| (its.name.as_str(), i));
        let places: HashMap<&str, usize> = places.collect();
        let mut is_found = vec![false; self.channels.len()];
        for i in &found {
            is_found[*i] = true;
        }
        let mut at = 0;
        while let Some(channel) = found.get(at).map(|i| &self.channels[*i]) {
            for name in [&channel.tlsswitchchannel, &channel.saslswitchchannel] {
                let next = name.as_deref().and_then(|name| places.get(name));
                if let Some(next) = next.filter(|next| !is_found[**next]) {
                    is_found[*next] = true;
                    found.push(*next);
                }
            }
            at += 1;
        }
        found
    }

    /// Whether rules or mapping tables ask for facts about the origin of mail (`$:(spf=fail)`).
    pub fn asks_facts(&self) -> bool {
        self.rewrite_rules.iter().any(RewriteRule::asks_facts)
            || self.mappings.values().any(MappingTable::asks_facts)
    }

    /// The characters between a user and a subaddress, as the local channel has them.
    pub fn recipient_delimiter(&self) -> &str {
        let local = self.channels.iter().find(|channel| channel.program == Program::Local);
        local.map_or("+", |local| &local.recipient_delimiter)
    }

    /// The service that strangers bring mail by: of those of program Smtp that listen on a port, one
    /// that asks for no login, for no TLS and for no proxy, the lowest port first.
    pub fn front_service(&self) -> Option<&Service> {
        let smtp = |its: &&Service| its.program == dispatcher::Program::Smtp;
        self.dispatcher.enabled().filter(smtp).min_by_key(|its| {
            let channel = self.channels.iter().find(|channel| channel.name == its.channel);
            let insists = channel.is_some_and(|channel| {
                channel.sasl.server == Insist::Must || channel.tls.server == Insist::Must
            });
            let is_asked = insists || !its.clients.proxy_protocol.is_empty();
            (is_asked, its.ports.iter().min().map_or(u32::MAX, |port| u32::from(*port)))
        })
    }

    /// The channels that sessions of a service begin in: its own, and those that addresses of clients
    /// lead to.
    pub(crate) fn homes_of(&self, service: &Service, leads: impl Fn(usize) -> bool) -> Vec<usize> {
        let Some(own) = self.channels.iter().rposition(|its| its.name == service.channel) else {
            return Vec::new();
        };
        let mut found = vec![own];
        let is_smtp = service.program == dispatcher::Program::Smtp;
        if is_smtp && self.channels[own].switchchannel == Switch::Switch {
            found.extend(self.channels.iter().enumerate().filter_map(|(i, its)| {
                let may = its.program == Program::Smtp && its.switchchannel != Switch::No;
                (i != own && may && leads(i)).then_some(i)
            }));
        }
        found
    }

    /// Whether addresses of clients lead from the channel of some service to another.
    pub(crate) fn switches_by_client(&self) -> bool {
        self.dispatcher.enabled().filter(|its| its.program == dispatcher::Program::Smtp).any(
            |its| {
                let mut named = self.channels.iter().filter(|channel| channel.name == its.channel);
                named.any(|channel| channel.switchchannel == Switch::Switch)
            },
        )
    }

    /// Says where the data directory lies: beside the file, unless it is given otherwise.
    pub(crate) fn place_data(&mut self, folder: Option<&Path>, data: Option<&Path>) {
        if let Some(data) = data {
            data.clone_into(&mut self.data);
        } else if let Some(folder) = folder
            && self.data.is_relative()
            && !self.data.as_os_str().is_empty()
        {
            let beside = folder.join(&self.data);
            self.data = std::path::absolute(&beside).unwrap_or(beside);
        }
    }
}
