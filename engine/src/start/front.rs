//! The front floor: services, and what stands behind their sessions.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use relais_actors::{
    actor::Mailbox,
    front::{
        admission::ClientAdmission,
        configured_service::BoundService,
        dispatcher::{Dispatcher, DispatcherParts},
        dns_lists::DnsLists,
        filters::FilterList,
        inherited::Inherited,
        listening::{ListenError, Listening},
        origin::OriginPolicy,
        queue_side::{AuthorPolicy, ChannelSwitches, DefaultHost, HoldLimits, QueueSide},
        rates::RateLimits,
        session::{Behind, SessionParts},
        switching::QueueSides,
        to_store::{RelayLogins, StoreSide},
    },
    metrics::Metrics,
    store::{Deliveries, Mailboxes, Store},
};
use relais_channels::{
    dns::Dns,
    server::{Dialect, Limits, SaslOffer, Setup, Setups, TlsOffer},
};
use relais_config::{
    self as config, Channel, Config, Directory, Service, channel, dispatcher::Program, tls::Insist,
};

use tokio_util::sync::CancellationToken;

use super::{
    delivery::DeliveryFloor, error::StartError, ground::GroundFloor, open_files::shares,
    storage::StorageFloor,
};

/// Sockets that listen and are not accepted from yet, and how many connections each service may
/// have.
pub(super) struct Doors(Vec<Door>);

/// The sockets of a service.
struct Door {
    service: Service,
    listening: Vec<Listening>,
    connections: usize,
    are_lent: bool,
}

/// The actors that strangers talk to.
#[derive(Clone)]
pub(crate) struct FrontFloor {
    pub(crate) dispatcher: Mailbox<Dispatcher>,
    pub(crate) store: Option<Mailbox<Store>>,
    /// Ends every session, wherever its peer is.
    pub(crate) give_up: CancellationToken,
    /// Where sessions deliver to, with a store.
    pub(crate) deliveries: Option<Deliveries>,
    /// Where each service listens: its name and its places.
    pub(crate) listening: Vec<(String, Vec<String>)>,
}

impl Doors {
    /// Binds every socket that is not `inherited`, so that the commonest mistake is told before
    /// anything else happens.
    pub(super) fn bind(config: &Config, mut inherited: Inherited) -> Result<Self, ListenError> {
        let services = config.dispatcher.enabled().zip(shares(config));
        let bind = |(service, connections): (&Service, usize)| {
            let before = inherited.left();
            let listening = Listening::bind(service, &config.data, &mut inherited)?;
            let are_lent = inherited.are_lent() && inherited.left() < before;
            Ok(Door { service: service.clone(), listening, connections, are_lent })
        };
        let doors = services.map(bind).collect::<Result<_, _>>()?;
        for place in inherited.places() {
            tracing::warn!(place, "no service is to listen on this socket that was handed over");
        }
        Ok(Self(doors))
    }
}

impl FrontFloor {
    /// Opens the store, and accepts connections: the queue is ready for what they bring.
    pub(super) fn open(
        doors: Doors,
        ground: &GroundFloor,
        below: &StorageFloor,
        delivery: &DeliveryFloor,
    ) -> Result<Self, StartError> {
        let store = open_store(&ground.config, &ground.metrics)?;
        let deliveries = store.as_ref().map(Store::deliveries);
        let (mut services, mut listening) = (Vec::new(), Vec::new());
        let give_up = CancellationToken::new();
        let makers =
            Makers { ground, below, delivery, deliveries: deliveries.as_ref(), give_up: &give_up };
        for Door { service, listening: sockets, connections, are_lent } in doors.0 {
            let places = sockets.iter().map(Listening::place).collect();
            listening.push((service.name.clone(), places));
            let session = makers.session_parts(&service)?;
            services.push(BoundService {
                service,
                listening: sockets,
                session,
                connections,
                are_lent,
            });
        }
        let parts = DispatcherParts {
            data: ground.config.data.clone(),
            placement: ground.placement.clone(),
            ground: ground.actors.clone(),
            metrics: ground.metrics.clone(),
        };
        let dispatcher = Dispatcher::new(services, parts);
        let dispatcher = ground.actors.start_vital("dispatcher", dispatcher);
        let store = store.map(|store| ground.actors.start_vital("store", store));
        Ok(Self { dispatcher, store, give_up, deliveries, listening })
    }
}

/// The floors that the sessions of services stand on.
pub(super) struct Makers<'a> {
    pub(super) ground: &'a GroundFloor,
    pub(super) below: &'a StorageFloor,
    pub(super) delivery: &'a DeliveryFloor,
    /// Where sessions deliver to, with a store.
    pub(super) deliveries: Option<&'a Deliveries>,
    pub(super) give_up: &'a CancellationToken,
}

impl<'a> Makers<'a> {
    /// The parts of the sessions of a service.
    pub(super) fn session_parts(&self, service: &Service) -> Result<SessionParts, StartError> {
        let mailboxes = match service.program {
            Program::Smtp => None,
            Program::Lmtp => self.deliveries.cloned().map(Mailboxes::Store),
            Program::LmtpNative => self.ground.unix_mailboxes.clone().map(Mailboxes::Unix),
        };
        let behind = match (service.program, mailboxes) {
            (Program::Smtp, _) => Behind::Queue(self.queue_sides(service).into()),
            (_, Some(mailboxes)) => Behind::Store(self.store_side(service, mailboxes).into()),
            (_, None) => return Err(StartError::NoStore { service: service.name.clone() }),
        };
        let lists = DnsLists::of(&service.clients, &self.ground.config.dns.servers)?;
        let route_cache = self.delivery.router.cache.clone();
        Ok(SessionParts {
            service: service.name.as_str().into(),
            setups: Arc::new(self.setups(service)),
            tls_ports: service.tls_ports.as_slice().into(),
            behind,
            admission: Arc::new(ClientAdmission::new(service, route_cache, lists)),
            give_up: self.give_up.clone(),
            metrics: self.ground.metrics.clone(),
        })
    }

    fn channel(&self, name: &str) -> Option<&'a Channel> {
        self.ground.config.channels.iter().find(|channel| channel.name == name)
    }

    /// A value made of each channel that sessions of a service may switch to, by name.
    fn of_others<T>(&self, service: &Service, make: impl Fn(&str) -> T) -> HashMap<Box<str>, T> {
        let config = &self.ground.config;
        let found = config.channels_of(service, |_| true).into_iter();
        let names = found.map(|i| config.channels[i].name.as_str());
        let others = names.filter(|name| *name != service.channel);
        others.map(|name| (name.into(), make(name))).collect()
    }

    fn queue_sides(&self, service: &Service) -> QueueSides {
        let others = self.of_others(service, |name| Arc::new(self.side_of(service, name)));
        QueueSides::new(self.side_of(service, &service.channel), others)
    }

    fn side_of(&self, service: &Service, channel: &str) -> QueueSide {
        let Self { ground, below, delivery, .. } = self;
        let config = &ground.config;
        let its = self.channel(channel);
        let submits = its.filter(|channel| channel.submit);
        QueueSide {
            service: service.name.as_str().into(),
            host: config.host.as_str().into(),
            default_domain: config.default_domain.as_str().into(),
            source_channel: channel.into(),
            router: delivery.router.clone(),
            storage: below.storage.clone(),
            ids: below.ids.clone(),
            channels: ground.channels.clone(),
            large_message: config.spool.large_message,
            large_messages: ground.large_messages.clone(),
            hold: self.hold_limits(channel),
            rates: self.rate_limits(service, channel),
            authenticator: Arc::clone(&delivery.authenticator),
            submission: submits
                .map(|channel| AuthorPolicy { sender_must_match: channel.sender_must_match }),
            origin: self.origin_policy(its),
            keeps_results: its.is_some_and(|channel| channel.verify.keep_results),
            srs: delivery.authenticity.srs.clone(),
            default_host: its.map(DefaultHost::new).unwrap_or_default(),
            asterisks: its.is_some_and(|channel| channel.asterisk_8bit),
            dns: Dns::shared(&config.dns.servers).ok(),
            sieve: Arc::clone(&delivery.rerouter.sieve),
            filters: self.filters_of(service, its),
            switches: its.map(ChannelSwitches::of).unwrap_or_default(),
            standing: ground.standing.clone(),
            recent: Arc::clone(&ground.recent),
            metrics: ground.metrics.clone(),
        }
    }

    fn filters_of(&self, service: &Service, channel: Option<&Channel>) -> FilterList {
        let own = channel.and_then(|channel| channel.milters.as_ref());
        let most = channel.map_or(0, |channel| channel.sourceblocklimit);
        self.ground.filters.list(own.unwrap_or(&service.milters), most)
    }

    fn origin_policy(&self, channel: Option<&Channel>) -> Option<OriginPolicy> {
        let config = &self.ground.config;
        let verify = channel?.verify.clone();
        let asks_spf = verify.checks_spf() || config.asks_facts();
        if !verify.is_on() && !asks_spf {
            return None;
        }
        let verifier = self.delivery.authenticity.verifier.clone()?;
        Some(OriginPolicy { verifier, verify, asks_spf, host: config.host.as_str().into() })
    }

    fn store_side(&self, service: &Service, mailboxes: Mailboxes) -> StoreSide {
        let Self { ground, below, delivery, .. } = self;
        let channel = self.channel(&service.channel);
        StoreSide {
            service: service.name.as_str().into(),
            host: ground.config.host.as_str().into(),
            source_channel: service.channel.as_str().into(),
            mailboxes,
            default_domain: ground.config.default_domain.as_str().into(),
            flag_transfer: channel.is_some_and(|channel| channel.flagtransfer),
            trace: channel.is_some_and(Channel::traces),
            ids: below.ids.clone(),
            large_messages: ground.large_messages.clone(),
            logins: channel.filter(|channel| channel.sasl.server != Insist::No).map(|_| {
                RelayLogins {
                    authenticator: Arc::clone(&delivery.authenticator),
                    route_cache: Arc::clone(&delivery.router.cache),
                }
            }),
            metrics: ground.metrics.clone(),
        }
    }

    fn hold_limits(&self, channel: &str) -> HoldLimits {
        let config = &self.ground.config;
        HoldLimits {
            received_lines: config.max_received_lines,
            received_here_lines: config.max_local_received_lines,
            recipients: self.channel(channel).and_then(|channel| channel.holdlimit),
        }
    }

    fn setups(&self, service: &Service) -> Setups {
        let others = self.of_others(service, |name| self.setup_of(service, name));
        Setups::new(self.setup_of(service, &service.channel), others)
    }

    fn rate_limits(&self, service: &Service, channel: &str) -> RateLimits {
        let blank = Channel::new(channel, channel, channel::Program::Smtp);
        let channel = self.channel(channel).unwrap_or(&blank);
        RateLimits::new(self.ground.rates.clone(), channel, &service.clients)
    }

    fn setup_of(&self, service: &Service, channel: &str) -> Setup {
        let dialect = match service.program {
            Program::Smtp => Dialect::Smtp,
            Program::Lmtp | Program::LmtpNative => Dialect::Lmtp,
        };
        // The configuration was checked: a service's channel is there.
        let blank = Channel::new(channel, channel, channel::Program::Smtp);
        let channel = self.channel(channel).unwrap_or(&blank);
        let certificates = Arc::clone(&self.ground.certificates);
        let config = &self.ground.config;
        Setup {
            dialect,
            host: config.host.clone(),
            limits: Limits::of(channel),
            tls: TlsOffer { server: channel.tls.server, certificates },
            sasl: SaslOffer {
                server: channel.sasl.server,
                without_tls: channel.sasl.without_tls,
                // A server that tells whether a password is right does not tell its keys.
                scram: channel.sasl.scram && !matches!(config.directory, Some(Directory::Ldap(_))),
            },
        }
    }
}

fn open_store(config: &Config, metrics: &Metrics) -> Result<Option<Store>, StartError> {
    let Some(store) = absolute_store(config) else { return Ok(None) };
    let known = config.data.join(KNOWN_STORES);
    Ok(Some(Store::open(&store, &config.host, &known, metrics)?))
}

/// The store of a configuration, with absolute paths: these are remembered, wherever the engine is
/// started from.
pub(crate) fn absolute_store(config: &Config) -> Option<config::Store> {
    let store = config.store.as_ref()?;
    let absolute = |path: &PathBuf| {
        let path = config.path(path);
        std::path::absolute(&path).unwrap_or(path)
    };
    let others = store.partitions.iter().map(|(name, path)| (name.clone(), absolute(path)));
    let partitions = others.collect();
    Some(config::Store { path: absolute(&store.path), partitions, ..store.clone() })
}

/// In the data directory: the partitions that have been there.
pub(crate) const KNOWN_STORES: &str = "stores";
