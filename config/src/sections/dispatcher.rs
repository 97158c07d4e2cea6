//! Listening services and how many workers serve them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use crate::{
    file::{
        collections::{Few, List, Maybe, Named},
        form::Section,
        kinds::{Choice, Count, Flag, Mode, Parsed, Path, Text, Time, WAIT},
        names::{ACCOUNT, DOMAIN},
    },
    grammar::Network,
    sections::milters,
};

section! {
    /// Listening services and how many workers serve them.
    pub struct Dispatcher as its {
        /// Limits of services that do not say otherwise; already merged into each of them.
        limits: Limits = Limits::default() => above;
        /// The same for what clients may; already merged into each of them.
        clients: Clients = Clients::default() => above;
        /// Services by their names.
        services: Vec<Service> = Vec::new(), services(&its.limits, &its.clients),
            example(r#"{"SMTP": (program: Smtp, channel: "tcp_local", ports: [25])}"#);
    }
}

section! {
    /// A listening service.
    pub struct Service {
        /// The key in the file: `"SMTP"`.
        name: String = String::new();
        /// The protocol of its sessions.
        program: Program = Program::Smtp, Choice, example("Smtp");
        /// The source channel of what arrives.
        channel: String = String::new(), Text, example(r#""tcp_local""#);
        /// The address that its ports are on; without it they are on every interface.
        interface_address: Option<IpAddr> = None, Maybe(IP);
        /// Ports that speak in clear; 0 takes any free one.
        ports: Vec<u16> = Vec::new(), ports();
        /// Ports where TLS comes before the greeting.
        tls_ports: Vec<u16> = Vec::new(), tls_ports();
        /// A UNIX socket instead of ports.
        socket: Option<PathBuf> = None, Maybe(Path);
        /// Permissions of the socket: which accounts may connect.
        socket_mode: u32 = DEFAULT_SOCKET_MODE, Mode;
        /// Owner of the socket, by name or number; without it, the account that runs the engine.
        socket_owner: Option<String> = None, Maybe(ACCOUNT);
        /// The group of the socket, by name or number.
        socket_group: Option<String> = None, Maybe(ACCOUNT);
        /// Whether it listens; a service that is off is checked like the others.
        enable: bool = true, Flag;
        /// Filters that its sessions ask, by their names in `milters`, one after the other. Only services of
        /// program Smtp have any. Notices and other mail that begins here meets none.
        milters: Vec<String> = Vec::new(), milters::names();
        /// Workers and sessions.
        limits: Limits = Limits::default() => flat;
        /// The clients that may speak for others, and how often one may connect.
        clients: Clients = Clients::default() => flat;
    }
}

choice! {
    /// The protocol that the sessions of a service speak.
    pub enum Program {
        /// SMTP, into the queue.
        Smtp,
        /// LMTP, into the store.
        Lmtp,
        /// LMTP, into UNIX mailboxes.
        LmtpNative,
    }
}

section! {
    /// Workers and sessions of a service; given on the dispatcher for all, on a service for one.
    pub struct Limits {
        /// Workers kept alive.
        min_procs: usize = 1, Count(1..=1_000), unit("workers"), group("Workers and sessions");
        /// Workers at most.
        max_procs: usize = 10, Count(1..=1_000), unit("workers");
        /// A worker with this many sessions is busy enough for another to be started.
        min_conns: usize = 30, Count(1..=100_000), unit("sessions");
        /// Sessions of one worker at most.
        max_conns: usize = 50, Count(1..=100_000), unit("sessions");
        /// Workers that may be replaced at once: they take no new connections, finish their
        /// sessions and end. With 0, none is replaced.
        max_shutdown: usize = 2, Count(0..=1_000), unit("workers");
        /// Age at which a worker is replaced.
        max_life_time: Duration = Duration::from_secs(86_400), WAIT;
        /// Sessions after which a worker is replaced.
        max_life_conns: u64 = 10_000, Count(1..=u64::MAX), unit("sessions");
        /// A worker without sessions for this long ends, down to `min_procs`.
        max_idle_time: Duration = Duration::from_secs(600), WAIT;
        /// How long ended workers stay in the statistics.
        historical_time: Duration = Duration::ZERO, Time(Duration::ZERO..=*WAIT.0.end());
        /// Connections that the kernel keeps waiting, listen(2). Without it, `max_procs` x
        /// `max_conns`, at least 5.
        backlog: Option<u32> = None, Maybe(Count(1..=65_535)), unit("connections");
        /// How many workers a connection is handed to, one after the other, when they die before
        /// they take it; then it is answered with 421.
        max_handoffs: usize = 5, Count(1..=100), unit("workers");
    }
}

section! {
    /// Clients of a service: who may speak for others, and how often one may connect; given on the
    /// dispatcher for all, on a service for one.
    pub struct Clients {
        /// Networks of proxies that begin every connection with a header of the PROXY protocol, version
        /// 1 or 2: their client is the one that it names. A connection from there without such a header
        /// is closed.
        proxy_protocol: Vec<Network> = Vec::new(), networks(), group("Clients");
        /// Networks of clients that may say XCLIENT before they send mail, as Postfix's proxies do; from
        /// elsewhere it ends the session.
        xclient: Vec<Network> = Vec::new(), networks();
        /// Connections of one client at once; further ones get 421. A client is an address of IPv4, or
        /// the 64 bits of IPv6 that one host is given. 0 is no limit. Without it, 50 on a service of
        /// program Smtp, and no limit else.
        client_conns: Option<usize> = None, Maybe(Count(0..=1_000_000)), unit("connections");
        /// Connections from one network at once; further ones get 421.
        prefix_conns: Option<usize> = None, Maybe(Count(1..=1_000_000)), unit("connections");
        /// Bits of such a network of IPv4.
        prefix_ipv4: u32 = 24, Count(1..=32), unit("bits");
        /// Bits of such a network of IPv6.
        prefix_ipv6: u32 = 48, Count(1..=128), unit("bits");
        /// When less than a tenth is left of its workers' room, of open files or of memory, clients have
        /// 10 s for a command, one error ends a session, and block lists answer from the cache alone.
        stress: bool = true, Flag;
        /// Networks whose clients no limit of their number holds for; nor does one for those that
        /// `INTERNAL_IP` vouches for.
        unlimited_clients: Vec<Network> = loopback(), networks();
        /// DNS block lists, up to five. A client that no entry of `PORT_ACCESS` is about, and that
        /// `INTERNAL_IP` does not vouch for, is turned away when one of them lists its address.
        dns_verify_domain: Vec<String> = Vec::new(), Few(List(DOMAIN), 5);
        /// How long a client waits for the answers of all lists; what has not been answered by then
        /// lists nobody.
        dns_verify_time: Duration = Duration::from_secs(5),
            Time(Duration::from_millis(100)..=Duration::from_secs(60));
    }
}

impl Dispatcher {
    /// The services that are not off.
    pub fn enabled(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.enable)
    }
}

impl Limits {
    /// Sessions of all workers at most.
    pub fn connections(&self) -> usize {
        self.max_procs.saturating_mul(self.max_conns)
    }
}

impl Clients {
    /// Connections of one client at once, of a service of this program.
    pub fn connections(&self, program: Program) -> usize {
        match self.client_conns {
            Some(0) => usize::MAX,
            Some(most) => most,
            None if program == Program::Smtp => 50,
            None => usize::MAX,
        }
    }

    /// Whether no limit holds for this client.
    pub fn are_unlimited(&self, client: IpAddr) -> bool {
        self.unlimited_clients.iter().any(|network| network.contains(client))
    }
}

impl Service {
    /// One that says nothing, with what the engine makes of that.
    pub(crate) fn by_default() -> Self {
        let mut service = Self::blank();
        service.limits.backlog = Some(500);
        service
    }
}

/// `{"SMTP": (...)}`; services that do not say otherwise take these limits.
fn services(
    limits: &Limits,
    clients: &Clients,
) -> Named<Service, impl Fn(String) -> Service + use<>> {
    let (limits, clients) = (limits.clone(), clients.clone());
    let blank = move |name| Service {
        name,
        limits: limits.clone(),
        clients: clients.clone(),
        ..Service::blank()
    };
    Named::new(blank, |service| &service.name)
}

fn ports() -> Few<Count> {
    Few(List(Count(0..=65_535)), 100)
}

/// The number of the port says that TLS comes first: it has to be known.
fn tls_ports() -> Few<Count> {
    Few(List(Count(1..=65_535)), 100)
}

fn networks() -> Few<Parsed> {
    Few(List(NETWORK), 1_000)
}

/// Every machine's own addresses.
fn loopback() -> Vec<Network> {
    let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    local.iter().zip([8, 128]).map(|(address, bits)| Network::around(*address, bits)).collect()
}

const NETWORK: Parsed = Parsed {
    expected: "a network is expected, such as \"192.0.2.0/24\", \"2001:db8::/32\" or an address; \
               no bits may be set behind its prefix",
};
pub(crate) const IP: Parsed =
    Parsed { expected: "an IP address is expected, such as \"127.0.0.1\" or \"::1\"" };
/// The engine's own user alone.
pub(crate) const DEFAULT_SOCKET_MODE: u32 = 0o600;
