//! A service as the configuration has it, whether it runs or not: what the dispatcher keeps of it.

use relais_config::dispatcher;

use super::{
    control::ServiceState,
    listening::Listening,
    service::{Service, Settings},
    session::SessionParts,
};
use crate::actor::{Adopt, Mailbox};

/// A service with its sockets bound; nothing is accepted yet.
pub struct BoundService {
    /// From the configuration.
    pub service: dispatcher::Service,
    /// Bound sockets.
    pub listening: Vec<Listening>,
    /// The parts that its sessions need.
    pub session: SessionParts,
    /// Connections at most.
    pub connections: usize,
    /// The sockets stay with the service manager.
    pub are_lent: bool,
}

/// A service of another configuration.
pub struct AdoptedService {
    /// As it stands there.
    pub service: dispatcher::Service,
    /// The parts that its sessions need.
    pub session: SessionParts,
    /// Connections at most.
    pub connections: usize,
}

/// A service of the configuration, whether it runs or not.
pub(super) struct ConfiguredService {
    pub(super) bound: BoundService,
    /// Ports as the file has them; the system chooses one for 0.
    ports: Vec<u16>,
    /// The configuration in force has it no more.
    pub(super) is_gone: bool,
    /// None while it is stopped.
    pub(super) service: Option<Mailbox<Service>>,
    /// Services that were stopped here and finish their sessions.
    pub(super) ending: Vec<(u32, Mailbox<Service>)>,
    /// Counts the services that were started here by an operator: each has its own name for the
    /// watch.
    pub(super) generation: u32,
}

impl ConfiguredService {
    /// A port that the system chose is kept from now on.
    pub(super) fn new(bound: BoundService) -> Self {
        let ports = bound.service.ports.clone();
        let (service, ending) = (None, Vec::new());
        let mut its = Self { bound, ports, is_gone: false, service, ending, generation: 0 };
        its.keep_ports();
        its
    }

    /// Goes on where another one of this name was: its sessions end, and its names are not given
    /// again.
    pub(super) fn in_place_of(self, ending: Vec<(u32, Mailbox<Service>)>, generation: u32) -> Self {
        Self { ending, generation, ..self }
    }

    /// Keeps the ports on which the sockets are.
    pub(super) fn keep_ports(&mut self) {
        let ports = self.bound.service.ports.iter_mut();
        for (port, listening) in ports.zip(&self.bound.listening) {
            *port = listening.port().unwrap_or(*port);
        }
    }

    /// Takes the settings of another configuration. Sockets stay where they are until the service
    /// is stopped and started.
    pub(super) fn adopt(&mut self, adopted: AdoptedService) {
        let AdoptedService { mut service, session, connections } = adopted;
        if service.ports == self.ports {
            service.ports.clone_from(&self.bound.service.ports);
        } else {
            self.ports.clone_from(&service.ports);
        }
        let limits = service.limits.clone();
        self.bound.service = service;
        self.bound.session = session.clone();
        self.bound.connections = connections;
        if let Some(service) = &self.service {
            service.tell(Adopt(Settings { limits, session, connections }));
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.bound.service.name
    }

    /// The name of the service that runs here, for the watch.
    pub(super) fn watched(&self) -> String {
        match self.generation {
            0 => self.name().to_owned(),
            generation => format!("{}+{generation}", self.name()),
        }
    }

    pub(super) fn state(&self) -> ServiceState {
        if self.service.is_some() { ServiceState::Running } else { ServiceState::Stopped }
    }
}
