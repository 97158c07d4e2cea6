//! relais, as a relay and as a store, in any build.

use std::path::{Path, PathBuf};

use relais_benches::Server;
use relais_tests::{DkimKey, Instance, Running, Settings};

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
    pub(crate) fn with_tls(certificate: &(PathBuf, PathBuf), port: u16, sink: u16) -> Self {
        let settings = Settings::standalone().deliver_to(sink);
        let smtp = settings.smtp;
        Self(Engine::start(
            Build::This,
            behind_tls(settings, "tcp_local", smtp, (certificate, port)),
        ))
    }
}

impl Relay {
    /// The same with SMTP out. The way there is the same.
    pub(crate) fn smtp_out(build: Build<'_>, sink: u16) -> Self {
        Self(Engine::start(build, smtp_out(sink)))
    }

    /// The same, signed by this key.
    pub(crate) fn signed(key: &DkimKey, sink: u16) -> Self {
        let settings = smtp_out(sink)
            .channel("tcp_lmtpcs", "dkim_sign: true")
            .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
            .section(&format!("dkim: (keys: [{}])", key.entry()));
        Self(Engine::start(Build::This, settings)).called("relais, signed")
    }

    /// The same with TLS on both sides: before the greeting on `port`, and by STARTTLS towards the sink, with
    /// a connection for each message.
    pub(crate) fn smtp_out_with_tls(
        certificate: &(PathBuf, PathBuf),
        authority: &Path,
        port: u16,
        sink: u16,
    ) -> Self {
        let fields = format!(
            "connection_messages: 1, tls: (client: Must, ca: {:?})",
            authority.display().to_string()
        );
        let settings = smtp_out(sink).channel("tcp_lmtpcs", &fields);
        let smtp = settings.smtp;
        let settings = behind_tls(settings, "tcp_local", smtp, (certificate, port));
        Self(Engine::start(Build::This, settings))
    }

    /// Called otherwise in the table.
    pub(crate) fn called(self, name: &'static str) -> Self {
        Self(Engine { name, ..self.0 })
    }
}

/// The channel that speaks LMTP speaks SMTP.
fn smtp_out(sink: u16) -> Settings {
    let lmtp = "tag: \"lmtpcs-daemon\",   program: Lmtp";
    Settings::standalone().deliver_to(sink).edit(lmtp, &lmtp.replace("Lmtp", "Smtp"))
}

impl Store {
    pub(crate) fn start(build: Build<'_>) -> Self {
        Self(Engine::start(build, Settings::standalone()))
    }

    /// The same, with TLS before the greeting on `port`.
    pub(crate) fn with_tls(certificate: &(PathBuf, PathBuf), port: u16) -> Self {
        let settings = Settings::standalone();
        let lmtp = settings.lmtp;
        let access = ("TCP|*|LMTP|".replace("LMTP", &lmtp.to_string()), format!("TCP|*|{port}|"));
        let settings = settings.edit(&access.0, &access.1);
        Self(Engine::start(
            Build::This,
            behind_tls(settings, "tcp_lmtpss", lmtp, (certificate, port)),
        ))
    }
}

/// The service on `clear` has `port` besides, with TLS before the greeting; its mail comes in by `channel`.
fn behind_tls(
    settings: Settings,
    channel: &str,
    clear: u16,
    ((certificate, key), port): (&(PathBuf, PathBuf), u16),
) -> Settings {
    let tls = format!(
        "tls: (certificate: {:?}, key: {:?})",
        certificate.display().to_string(),
        key.display().to_string()
    );
    let ports = format!("ports: [{clear}], tls_ports: [{port}]");
    settings
        .section(&tls)
        .channel(channel, "tls: (server: May)")
        .edit(&format!("ports: [{clear}]"), &ports)
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
