//! Listening services and how many workers serve them.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::file::{
    collections::{Few, List, Maybe, Named},
    form::{Form, Section},
    kinds::{Choice, Count, Mode, Parsed, Path, Text, Time, WAIT},
    names::ACCOUNT,
};

/// Every service, in name order.
#[derive(Clone, Debug, Default)]
pub struct Dispatcher {
    /// The dispatcher's own limits are already merged into each service.
    pub services: Vec<Service>,
}

/// One listening service.
#[derive(Clone, Debug)]
pub struct Service {
    /// The key in the file: `"SMTP"`.
    pub name: String,
    /// What its sessions speak.
    pub program: Program,
    /// The source channel of what arrives.
    pub channel: String,
    /// `None` is every interface.
    pub interface_address: Option<IpAddr>,
    /// Ports that speak in clear (and STARTTLS); 0 takes any free one.
    pub ports: Vec<u16>,
    /// Ports where TLS comes before the greeting.
    pub tls_ports: Vec<u16>,
    /// A UNIX socket instead of ports.
    pub socket: Option<PathBuf>,
    /// Who may connect to the socket, as permissions; default 0600.
    pub socket_mode: u32,
    /// Whose the socket is, by name or number; default is whoever runs the engine.
    pub socket_owner: Option<String>,
    /// The group of the socket, by name or number.
    pub socket_group: Option<String>,
    /// Workers and sessions.
    pub limits: Limits,
}

/// What the sessions of a service speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// SMTP server.
    Smtp,
    /// LMTP server into the store.
    Lmtp,
    /// LMTP server into UNIX mailboxes.
    LmtpNative,
}

/// Workers and sessions of a service; given on the dispatcher for all, on a service for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Workers kept alive; default 1.
    pub min_procs: usize,
    /// Workers at most; default 10.
    pub max_procs: usize,
    /// A worker with this many sessions is busy enough for another to be started; default 30.
    pub min_conns: usize,
    /// Sessions of one worker at most; default 50.
    pub max_conns: usize,
    /// Workers that may be shutting down at once; default 2.
    pub max_shutdown: usize,
    /// Age at which a worker is replaced; default 1 day.
    pub max_life_time: Duration,
    /// Sessions after which a worker is replaced; default 10,000.
    pub max_life_conns: u64,
    /// A worker without sessions for this long ends, down to `min_procs`; default 10 minutes.
    pub max_idle_time: Duration,
    /// How long ended workers stay in the statistics; default 0.
    pub historical_time: Duration,
    /// listen(2) backlog; default `max_procs` x `max_conns`, at least 5.
    pub backlog: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min_procs: 1,
            max_procs: 10,
            min_conns: 30,
            max_conns: 50,
            max_shutdown: 2,
            max_life_time: Duration::from_secs(86_400),
            max_life_conns: 10_000,
            max_idle_time: Duration::from_secs(600),
            historical_time: Duration::ZERO,
            backlog: None,
        }
    }
}

impl Limits {
    /// Sessions of all workers at most.
    pub fn connections(&self) -> usize {
        self.max_procs.saturating_mul(self.max_conns)
    }
}

impl Service {
    /// One that says nothing, with what the engine makes of that.
    pub(crate) fn by_default() -> Self {
        let limits = Limits { backlog: Some(500), ..Limits::default() };
        Self::blank(String::new(), limits)
    }

    fn blank(name: String, limits: Limits) -> Self {
        Self {
            name,
            program: Program::Smtp,
            channel: String::new(),
            interface_address: None,
            ports: Vec::new(),
            tls_ports: Vec::new(),
            socket: None,
            socket_mode: DEFAULT_SOCKET_MODE,
            socket_owner: None,
            socket_group: None,
            limits,
        }
    }
}

impl Section for Dispatcher {
    fn fields(&mut self, form: &mut impl Form) {
        let mut limits = Limits::default();
        form.read_only(&mut limits);
        let blank = move |name| Service::blank(name, limits.clone());
        let services = Named::new(blank, |service: &Service| &service.name);
        form.required(
            "services",
            r#"{"SMTP": (program: Smtp, channel: "tcp_local", ports: [25])}"#,
            services,
            &mut self.services,
        );
    }
}

impl Section for Service {
    fn fields(&mut self, form: &mut impl Form) {
        let expected = "an IP address is expected, such as \"127.0.0.1\" or \"::1\"";
        form.required("program", "Smtp", Choice(PROGRAMS), &mut self.program);
        form.required("channel", r#""tcp_local""#, Text, &mut self.channel);
        form.field("interface_address", Maybe(Parsed { expected }), &mut self.interface_address);
        let ports = || Few(List(Count(0..=65_535)), 100);
        form.field("ports", ports(), &mut self.ports);
        form.field("tls_ports", ports(), &mut self.tls_ports);
        form.field("socket", Maybe(Path), &mut self.socket);
        form.field("socket_mode", Mode, &mut self.socket_mode);
        form.field("socket_owner", Maybe(ACCOUNT), &mut self.socket_owner);
        form.field("socket_group", Maybe(ACCOUNT), &mut self.socket_group);
        self.limits.fields(form);
    }
}

impl Section for Limits {
    fn fields(&mut self, form: &mut impl Form) {
        let from_zero = || Time(Duration::ZERO..=*WAIT.0.end());
        form.field("min_procs", Count(1..=1_000), &mut self.min_procs);
        form.field("max_procs", Count(1..=1_000), &mut self.max_procs);
        form.field("min_conns", Count(1..=100_000), &mut self.min_conns);
        form.field("max_conns", Count(1..=100_000), &mut self.max_conns);
        form.field("max_shutdown", Count(0..=1_000), &mut self.max_shutdown);
        form.field("max_life_time", WAIT, &mut self.max_life_time);
        form.field("max_life_conns", Count(1..=u64::MAX), &mut self.max_life_conns);
        form.field("max_idle_time", WAIT, &mut self.max_idle_time);
        form.field("historical_time", from_zero(), &mut self.historical_time);
        form.field("backlog", Maybe(Count(1..=65_535)), &mut self.backlog);
    }
}

/// The engine's own user alone.
pub(crate) const DEFAULT_SOCKET_MODE: u32 = 0o600;
const PROGRAMS: &[(&str, Program)] =
    &[("Smtp", Program::Smtp), ("Lmtp", Program::Lmtp), ("LmtpNative", Program::LmtpNative)];
