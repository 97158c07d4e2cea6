//! Many destinations at once, some of them dead: what the dead cost the living.
//!
//! Mail for each of many address literals is queued while the channel is stopped; then the channel is
//! started, and the time is taken until the living have all of theirs: once where they are alone, and
//! once among dead ones. Living is every address of 127.1.0.0/16, which one server listens to;
//! dead is every address of 198.18.0.0/16. In a network of its own, without a route there, these fail at
//! once; behind an interface that leads nowhere nobody answers, and each costs `connect_time`:
//!
//! ```sh
//! unshare -rn sh -c 'ip link set lo up; cargo run --release -p relais-benches --bin destinations'
//! unshare -rn sh -c 'ip link set lo up; ip link add dead type dummy; ip link set dead up;
//!     ip addr add 198.18.255.254/16 dev dead; cargo run --release -p relais-benches --bin destinations'
//! ```

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Output,
    time::{Duration, Instant},
};

use clap::Parser;
use relais_tests::{Dialogue, Instance, Settings, Sink, free_port, message, within};

/// Measures what dead destinations cost the living.
#[derive(Debug, Parser)]
struct Options {
    /// Destinations; of each kind 65,536 at most.
    #[arg(long, default_value_t = 10_000)]
    destinations: usize,
    /// So many of them are dead. Default: half.
    #[arg(long)]
    dead: Option<usize>,
    /// Messages for each of them.
    #[arg(long, default_value_t = 4)]
    messages: usize,
    /// Entries that the queue may have in memory. With fewer than there are, all begins with scans of the
    /// disk and with more connections for each destination, which are measured then, too.
    #[arg(long, default_value_t = 100_000)]
    max_messages: usize,
    /// Rounds; of each kind the fastest counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long the channel waits for a connection, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    connect_ms: u64,
}

/// The engine, and the server of the living.
struct Office {
    instance: Instance,
    sink: Sink,
}

impl Office {
    fn new(options: &Options) -> Self {
        let (port, connect) = (free_port(), options.connect_ms);
        let channel = format!(
            "(name: \"tcp_out\", tag: \"out-daemon\", program: Smtp, port: {port}, mx: NoDns, \
             private_addresses: true, pool: \"OUT\", maxjobs: 10, max_client_threads: 20, \
             connect_time: \"{connect}ms\", idle_time: \"0s\"),"
        );
        let settings = Settings::standalone()
            .edit("rewrite_rules: [", "rewrite_rules: [\n        (\"[]\", \"$U%[$L]@out-daemon\"),")
            .edit("max_messages: 100000", &format!("max_messages: {}", options.max_messages))
            .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
            .edit("program: Local),", &format!("program: Local),\n        {channel}"))
            .edit("pools: {", "pools: {\"OUT\": (job_limit: 10), ");
        let sink = Sink::at(SocketAddr::from(([0, 0, 0, 0], port)));
        Self { instance: Instance::new(settings), sink }
    }

    fn order(&self, subcommand: &str, args: &[&str]) -> Output {
        let output = self.instance.relais(subcommand, args);
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// Queues so many messages for each of these.
    fn fill(&self, hosts: &[Ipv4Addr], messages: usize) {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        for n in 0..messages {
            for (part, hosts) in hosts.chunks(RECIPIENTS).enumerate() {
                let to: Vec<String> = hosts.iter().map(|host| format!("bob@[{host}]")).collect();
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                let name = format!("m{n}-{part}");
                client.message("ann@relais.example", &to, &message(&name, SIZE)).expect(250);
            }
        }
    }

    /// How long the living wait for their mail.
    fn measure(&self, hosts: &[Ipv4Addr], messages: usize) -> Duration {
        let _running = self.instance.start();
        self.order("channel", &["stop", "tcp_out"]);
        self.fill(hosts, messages);
        let living = hosts.iter().filter(|host| host.is_loopback()).count() * messages;
        let (before, began) = (self.sink.total(), Instant::now());
        self.order("channel", &["start", "tcp_out"]);
        let arrived = within(PATIENCE, || self.sink.total() - before >= living);
        let took = began.elapsed();
        assert!(arrived, "{} of {living} arrived", self.sink.total() - before);
        self.order("queue", &["delete", "--all", "--yes"]);
        took
    }
}

fn main() {
    let options = Options::parse();
    let dead = options.dead.unwrap_or(options.destinations / 2).min(1 << 16);
    let living = (options.destinations - dead).min(1 << 16);
    let address = |first: [u8; 2], n: usize| {
        let [high, low] = u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
        Ipv4Addr::new(first[0], first[1], high, low)
    };
    let living: Vec<_> = (0..living).map(|n| address([127, 1], n)).collect();
    let dead: Vec<_> = (0..dead).map(|n| address([198, 18], n)).collect();
    let mixed = spread(&living, &dead);
    let office = Office::new(&options);
    let [mut alone, mut among] = [Duration::MAX; 2];
    for round in 1..=options.rounds {
        let took = [&living, &mixed].map(|hosts| office.measure(hosts, options.messages));
        println!("round {round}: alone {:.2} s, among dead {:.2} s", secs(took[0]), secs(took[1]));
        (alone, among) = (alone.min(took[0]), among.min(took[1]));
    }
    let messages = living.len() * options.messages;
    let rate = |took: Duration| messages as f64 / secs(took).max(1e-3);
    println!(
        "{} living destinations, {messages} messages, {} dead destinations beside them",
        living.len(),
        dead.len()
    );
    println!("alone       {:8.0}/s", rate(alone));
    println!("among dead  {:8.0}/s", rate(among));
    println!("share       {:8.0} % (90 % or more is good)", 100.0 * rate(among) / rate(alone));
}

/// Both, each as evenly spread as there are of it.
fn spread(living: &[Ipv4Addr], dead: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
    let mut dead_behind = 0;
    let mut mixed = Vec::with_capacity(living.len() + dead.len());
    for (n, host) in living.iter().enumerate() {
        mixed.push(*host);
        let up_to = dead.len() * (n + 1) / living.len();
        mixed.extend(&dead[dead_behind..up_to]);
        dead_behind = up_to;
    }
    mixed
}

fn secs(time: Duration) -> f64 {
    time.as_secs_f64()
}

const RECIPIENTS: usize = 500;
const SIZE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(900);
