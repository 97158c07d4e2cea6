//! The whole file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    file::{
        collections::{List, Maybe, Table},
        form::{Form, Nested, Section},
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
        channel::Channel,
        channel_fields::{Channels, Defaults},
        directory::{AnyDirectory, Directory},
        dispatcher::Dispatcher,
        job_controller::JobController,
        notary::Notary,
        spool::Spool,
        store::{Native, Store},
        tls::{self, Tls},
    },
};

/// The whole file, checked, every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Official host name: banners, `Received:`, DSNs.
    pub host: String,
    /// Spool, queue index, store and admin socket lie below this folder; a relative one lies beside
    /// the file, or in the working folder where there is none.
    pub data: PathBuf,
    /// The domain whose users are stored without `@domain`.
    pub default_domain: String,
    /// Listening services and how many workers serve them.
    pub dispatcher: Dispatcher,
    /// Certificate and key for every service that offers TLS.
    pub tls: Option<tls::Tls>,
    /// Mapping tables by name: `PORT_ACCESS`, `INTERNAL_IP`, ...
    pub mappings: BTreeMap<String, MappingTable>,
    /// The general database: `$(key)` in rewrite rules, `${key}` in mappings.
    pub general: BTreeMap<String, String>,
    /// Rewrite rules in file order.
    pub rewrite_rules: Vec<RewriteRule>,
    /// Channels in file order, `channel_defaults` merged in.
    pub channels: Vec<Channel>,
    /// Pools and limits of delivery; absent on a store without an MTA.
    pub job_controller: Option<JobController>,
    /// Where users, groups and domains are looked up.
    pub directory: Option<Directory>,
    /// `DELIVERY_OPTIONS` in order; the first is the default of users, the second of groups.
    pub delivery_options: Vec<DeliveryOption>,
    /// Postfix transport(5): pattern to `transport:nexthop`.
    pub transport: BTreeMap<String, String>,
    /// Postfix virtual(5).
    pub virtual_alias: BTreeMap<String, Vec<String>>,
    /// Alias file: name to addresses, commands or files.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Our mailboxes; absent on a relay that keeps none.
    pub store: Option<Store>,
    /// UNIX mailboxes of this machine.
    pub native: Option<Native>,
    /// How notices to senders are written.
    pub notary: Notary,
    /// A message with more `Received:` lines than this goes in a circle and is held; default 50.
    pub max_received_lines: usize,
    /// The same for the lines that we wrote ourselves; default 10.
    pub max_local_received_lines: usize,
    /// How messages are kept safe while they wait.
    pub spool: Spool,
    /// The operator's endpoint.
    pub admin: Admin,
    /// How long clients and next hops may delay the end of the engine; 0 to 10 minutes, default 8
    /// seconds.
    pub max_shutdown: Duration,
}

impl Config {
    /// Where a path of the file leads: relative ones lie below [`Config::data`].
    pub fn path(&self, path: &Path) -> PathBuf {
        self.data.join(path)
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

    /// Nothing but defaults.
    pub(crate) fn blank() -> Self {
        Self {
            host: String::new(),
            data: PathBuf::new(),
            default_domain: String::new(),
            dispatcher: Dispatcher::default(),
            tls: None,
            mappings: BTreeMap::new(),
            general: BTreeMap::new(),
            rewrite_rules: Vec::new(),
            channels: Vec::new(),
            job_controller: None,
            directory: None,
            delivery_options: Vec::new(),
            transport: BTreeMap::new(),
            virtual_alias: BTreeMap::new(),
            aliases: BTreeMap::new(),
            store: None,
            native: None,
            notary: Notary::default(),
            max_received_lines: 50,
            max_local_received_lines: 10,
            max_shutdown: Duration::from_secs(8),
            spool: Spool::default(),
            admin: Admin::default(),
        }
    }
}

impl Section for Config {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("host", r#""mail.example.org""#, DOMAIN, &mut self.host);
        form.required("data", r#""/var/lib/relais""#, kinds::Path, &mut self.data);
        form.required("default_domain", r#""example.org""#, DOMAIN, &mut self.default_domain);
        form.required(
            "dispatcher",
            "(services: {...})",
            Nested(Dispatcher::default),
            &mut self.dispatcher,
        );
        form.field("tls", Maybe(Nested(Tls::blank)), &mut self.tls);
        form.field("mappings", Table(Mapping), &mut self.mappings);
        form.field("general", Table(Text), &mut self.general);
        form.field("rewrite_rules", List(Rule), &mut self.rewrite_rules);
        let mut defaults = Defaults::none();
        form.read_only(&mut defaults);
        form.required(
            "channels",
            r#"[(name: "l", tag: "mail.example.org", program: Local), ...]"#,
            List(Channels::new(defaults)),
            &mut self.channels,
        );
        let controller = Maybe(Nested(JobController::blank));
        form.field("job_controller", controller, &mut self.job_controller);
        form.field("directory", Maybe(AnyDirectory), &mut self.directory);
        form.field("delivery_options", List(Delivery), &mut self.delivery_options);
        form.field("transport", Table(TRANSPORT), &mut self.transport);
        form.field("virtual_alias", Table(List(Text)), &mut self.virtual_alias);
        form.field("aliases", Table(List(Text)), &mut self.aliases);
        form.field("store", Maybe(Nested(Store::blank)), &mut self.store);
        form.field("native", Maybe(Nested(Native::blank)), &mut self.native);
        form.field("notary", Nested(Notary::default), &mut self.notary);
        let lines = || Count(1..=1_000);
        form.field("max_received_lines", lines(), &mut self.max_received_lines);
        form.field("max_local_received_lines", lines(), &mut self.max_local_received_lines);
        let up_to = Duration::from_secs(600);
        form.field("max_shutdown", Time(Duration::ZERO..=up_to), &mut self.max_shutdown);
        form.field("spool", Nested(Spool::default), &mut self.spool);
        form.field("admin", Nested(Admin::default), &mut self.admin);
    }
}
