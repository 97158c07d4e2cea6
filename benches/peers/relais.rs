//! relais, as a relay and as a store.

use relais_benches::Server;
use relais_tests::{Instance, Running, Settings};

/// SMTP in, LMTP out to a given port.
pub(crate) struct Relay(Engine);

/// LMTP in, Maildir out.
pub(crate) struct Store(Engine);

struct Engine {
    running: Running,
    instance: Instance,
}

impl Relay {
    pub(crate) fn start(sink: u16) -> Self {
        Self(Engine::start(Settings::standalone().deliver_to(sink)))
    }
}

impl Store {
    pub(crate) fn start() -> Self {
        Self(Engine::start(Settings::standalone()))
    }
}

impl Engine {
    fn start(settings: Settings) -> Self {
        let instance = Instance::new(settings);
        let running = instance.start();
        Self { running, instance }
    }
}

impl Server for Relay {
    fn name(&self) -> String {
        "relais".to_owned()
    }

    fn port(&self) -> u16 {
        self.0.instance.settings.smtp
    }

    fn pid(&self) -> u32 {
        self.0.running.pid()
    }
}

impl Server for Store {
    fn name(&self) -> String {
        "relais".to_owned()
    }

    fn port(&self) -> u16 {
        self.0.instance.settings.lmtp
    }

    fn pid(&self) -> u32 {
        self.0.running.pid()
    }
}
