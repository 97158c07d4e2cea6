//! Another configuration for the actors of a running engine: all that can fail is done beside what
//! is in force, then each actor is told.

use std::sync::Arc;

use relais_actors::{
    actor::{Adopt, Gone},
    delivery::programs::Programs,
    directory::Source,
    front::{configured_service::AdoptedService, dispatcher::BindNew, filters::Filters},
    job_controller::{Adopted, PoolOutlets, PoolPart},
    metrics::{Labels, ServerMeters},
    queue::SetMaxMessages,
    rerouting::Rerouter,
    router::Routes,
};
use relais_channels::{
    authenticity::{Authenticity, KeyFileFault},
    client::{Finders, Securities},
    dsn::Templates,
    tls::{ServerTls, TlsError},
    tls_policy::{TlsPolicies, TlsReports},
};
use relais_config::{Config, dispatcher::Service};

use super::{
    delivery::{
        DeliveryFloor, job_parts, notary_parts, notice_templates, pool, pools, restore_limits,
        sieve_runner,
    },
    error::StartError,
    front::{FrontFloor, Makers},
    ground::{ACTORS, GroundFloor},
    open_files::shares,
    storage::StorageFloor,
};
use crate::state::history;

/// The floors of an engine that runs.
#[derive(Clone)]
pub struct Floors {
    pub(crate) ground: GroundFloor,
    pub(crate) storage: StorageFloor,
    pub(crate) delivery: DeliveryFloor,
    pub(crate) front: FrontFloor,
}

/// A configuration, and the parts of it that could have failed.
pub struct NewConfig {
    config: Arc<Config>,
    routes: Arc<Routes>,
    directory: Source,
    templates: Arc<Templates>,
    certificates: ServerTls,
    programs: Arc<Programs>,
    policies: Arc<TlsPolicies>,
    securities: Securities,
    authenticity: Authenticity,
    finders: Finders,
}

/// Why a configuration is not put in force. The one before it still is.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A part cannot be made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine is ending.
    #[error("a part of the engine has ended")]
    Gone(#[from] Gone),
}

impl NewConfig {
    /// Reads the files that the configuration names, and makes its routes. Takes a while.
    pub fn of(
        config: Arc<Config>,
        servers: &ServerMeters,
        tls_reports: &Arc<TlsReports>,
    ) -> Result<Self, StartError> {
        let routes = Arc::new(Routes::new(&config)?);
        let directory = Source::open(&config, servers)?;
        let templates = Arc::new(notice_templates(&config)?);
        let certificates = ServerTls::load(config.tls.as_ref(), &config.data)?;
        let programs = Arc::new(Programs::open(&config).map_err(StartError::from)?);
        let policies = Arc::new(TlsPolicies::of(&config, tls_reports)?);
        let securities = Securities::load(&config, &policies)?;
        let authenticity = Authenticity::load(&config)?;
        let finders = Finders::of(&config).map_err(StartError::from)?;
        Ok(Self {
            config,
            routes,
            directory,
            templates,
            certificates,
            programs,
            policies,
            securities,
            authenticity,
            finders,
        })
    }
}

impl Floors {
    /// The meters of LDAP servers.
    pub(crate) fn directory_servers(&self) -> ServerMeters {
        self.ground.metrics.directory_servers.clone()
    }

    /// The results of TLS with others.
    pub fn tls_reports(&self) -> Arc<TlsReports> {
        Arc::clone(&self.ground.tls_reports)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.ground.config
    }

    /// Its rules and tables.
    pub fn routes(&self) -> Arc<Routes> {
        self.delivery.router.cache.routes()
    }

    /// Entries that wait in a channel.
    pub fn entries_of(&self, channel: &str) -> u64 {
        self.storage.storage.counts_of(channel).total()
    }

    /// Puts a configuration in force, or leaves all as it is. Called on the system's own thread.
    pub async fn adopt(&mut self, prepared: NewConfig) -> Result<(), AdoptError> {
        let NewConfig { config, routes, directory, templates, certificates, .. } = prepared;
        let NewConfig { programs, policies, securities, authenticity, finders, .. } = prepared;
        let was = self.ground.config.clone();
        let channels = Arc::new(self.ground.channels.replaced_by(&config));
        let filters = Filters::of(&config, &self.ground.filters, &self.ground.metrics);
        let ground = GroundFloor { config, channels, filters, ..self.ground.clone() };
        let services: Vec<_> = ground.config.dispatcher.enabled().cloned().collect();
        let services = self.services(&ground, services)?;
        let bind = BindNew(services.iter().map(|its| its.service.clone()).collect());
        self.front.dispatcher.ask(bind).await?.map_err(StartError::Listen)?;
        // Nothing below can fail.
        ground.metrics.add(&Labels::of(&ground.config, &ACTORS));
        ground.filters.show(&ground.metrics);
        ground.history.adopt(history::settings(&ground.config));
        ground.events.adopt(relais_events::Settings::of(&ground.config));
        ground.certificates.follow(&certificates);
        self.delivery.authenticator.adopt(&ground.config);
        if let Some(mailboxes) = &ground.unix_mailboxes {
            mailboxes.adopt(&ground.config);
        }
        ground.metrics.certificates.show(&ground.certificates.certificates());
        self.ground = ground;
        (self.delivery.programs, self.delivery.securities) = (programs, securities);
        self.delivery.authenticity = authenticity;
        self.delivery.finders = finders;
        self.delivery.report_tls(&self.ground, &self.storage, &policies);
        self.adopt_queue(&was).await?;
        let DeliveryFloor { router, rerouter, .. } = &self.delivery;
        let floors = (&self.ground, &self.storage);
        let parts = notary_parts(floors, router, &rerouter.sieve, templates);
        self.delivery.notary.ask(Adopt(parts)).await?;
        self.delivery.directory.adopt(directory).await?;
        self.delivery.router.adopt(routes).await?;
        self.front.dispatcher.ask(Adopt(services)).await?;
        Ok(())
    }

    /// Puts other rules and tables in force.
    pub async fn adopt_routes(&self, routes: Arc<Routes>) -> Result<(), Gone> {
        self.delivery.router.adopt(routes).await
    }

    /// Reads the directory's file again.
    pub async fn adopt_directory(&self, directory: Source) -> Result<(), Gone> {
        self.delivery.directory.adopt(directory).await?;
        // Answers that were made from the file before are forgotten.
        self.delivery.router.adopt(self.routes()).await
    }

    /// Reads certificates and keys again; after an error those of before are in force.
    pub fn adopt_certificates(&self) -> Result<(), TlsError> {
        let GroundFloor { config, certificates, metrics, .. } = &self.ground;
        certificates.adopt(config.tls.as_ref(), &config.data)?;
        metrics.certificates.show(&certificates.certificates());
        Ok(())
    }

    /// Reads the keys that sign again; after an error those of before are in force.
    pub fn adopt_signing_keys(&self) -> Result<(), KeyFileFault> {
        self.delivery.authenticity.adopt(&self.ground.config)
    }

    fn services(
        &self,
        ground: &GroundFloor,
        services: Vec<Service>,
    ) -> Result<Vec<AdoptedService>, StartError> {
        let makers = Makers {
            ground,
            below: &self.storage,
            delivery: &self.delivery,
            deliveries: self.front.deliveries.as_ref(),
            give_up: &self.front.give_up,
        };
        let shares = shares(&ground.config);
        let adopted = services.into_iter().zip(shares).map(|(service, connections)| {
            let session = makers.session_parts(&service)?;
            Ok(AdoptedService { service, session, connections })
        });
        adopted.collect()
    }

    /// Tells the queue and all that deliver: they hear of new channels before anybody brings mail for
    /// them.
    async fn adopt_queue(&mut self, was: &Config) -> Result<(), Gone> {
        let Self { ground, storage, delivery, .. } = self;
        let (config, channels) = (&ground.config, &ground.channels);
        delivery.queue.ask(Adopt(channels.clone())).await?;
        delivery.defragmenter.ask(Adopt(channels.clone())).await?;
        let sieve = sieve_runner(ground, storage, Some(&delivery.rerouter.sieve));
        delivery.rerouter =
            Rerouter { channels: channels.clone(), sieve, ..delivery.rerouter.clone() };
        let parts = job_parts(ground, storage, delivery);
        for (_, pool) in &delivery.pools {
            pool.ask(Adopt(parts.clone())).await?;
        }
        let mut adopted = Adopted {
            channels: channels.clone(),
            added: Vec::new(),
            limits: Vec::new(),
            keep_last: Vec::new(),
        };
        let limits_before = pools(was);
        for its in config.job_controller.iter().flat_map(|controller| &controller.pools) {
            let (name, job_limit) = (its.name.clone(), its.job_limit.get());
            adopted.keep_last.push((name.clone(), its.keep_last_slot));
            if !delivery.pools.iter().any(|(known, _)| *known == name) {
                let mailbox = pool(its, &delivery.queue, &parts);
                let (outlets, keeps_last_slot) = (PoolOutlets::of(&mailbox), its.keep_last_slot);
                adopted.added.push(PoolPart {
                    name: name.clone(),
                    job_limit,
                    keeps_last_slot,
                    outlets,
                });
                delivery.pools.push((name, mailbox));
            } else if !limits_before.contains(&(name.clone(), job_limit)) {
                adopted.limits.push((name, job_limit));
            }
        }
        delivery.controller.ask(Adopt(adopted)).await?;
        let most = |config: &Config| config.job_controller.as_ref().map(|its| its.max_messages);
        if let Some(messages) = most(config).filter(|_| most(was) != most(config)) {
            delivery.queue.ask(SetMaxMessages(messages)).await?;
        }
        restore_limits(config, channels, &delivery.queue, &delivery.controller);
        Ok(())
    }
}
