//! relais, as a relay and as a store, in any build.

use std::path::{Path, PathBuf};

use relais_benches::Server;
use relais_tests::{Instance, Running, Settings};

/// Which build of the program takes part.
#[derive(Clone, Copy)]
pub(crate) enum Build<'a> {
    /// This work tree's.
    This,
    /// Another one: an earlier release, say.
    Other(&'a Path),
}

/// SMTP in, LMTP out to a given port.
pub(crate) struct Relay(Engine);

/// LMTP in, Maildir out.
pub(crate) struct Store(Engine);

struct Engine {
    name: &'static str,
    running: Running,
    instance: Instance,
}

impl Relay {
    pub(crate) fn start(build: Build<'_>, sink: u16) -> Self {
        Self(Engine::start(build, Settings::standalone().deliver_to(sink)))
    }
}

impl Relay {
    /// The same, with TLS before the greeting on `port`.
    pub(crate) fn with_tls((certificate, key): &(PathBuf, PathBuf), port: u16, sink: u16) -> Self {
        let settings = Settings::standalone().deliver_to(sink);
        let smtp = settings.smtp;
        let tls = format!(
            "tls: (certificate: {:?}, key: {:?})",
            certificate.display().to_string(),
            key.display().to_string()
        );
        let ports = format!("ports: [{smtp}], tls_ports: [{port}]");
        let settings = settings
            .section(&tls)
            .channel("tcp_local", "tls: (server: May)")
            .edit(&format!("ports: [{smtp}]"), &ports);
        Self(Engine::start(Build::This, settings))
    }
}

impl Store {
    pub(crate) fn start(build: Build<'_>) -> Self {
        Self(Engine::start(build, Settings::standalone()))
    }
}

impl Engine {
    fn start(build: Build<'_>, settings: Settings) -> Self {
        let instance = Instance::new(settings);
        let (name, instance) = match build {
            Build::This => ("relais", instance),
            Build::Other(program) => ("the other build", instance.running(program)),
        };
        let running = instance.start();
        Self { name, running, instance }
    }
}

impl Server for Relay {
    fn name(&self) -> String {
        self.0.name.to_owned()
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
        self.0.name.to_owned()
    }

    fn port(&self) -> u16 {
        self.0.instance.settings.lmtp
    }

    fn pid(&self) -> u32 {
        self.0.running.pid()
    }
}
