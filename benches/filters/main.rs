//! Users with Sieve scripts beside users without: what scripts cost a relay.
//!
//! Many users, each with a script of its own, get one message after the other by SMTP; the relay hands
//! them to an LMTP server. Every script has been compiled before it counts. CPU is the relay's.
//!
//! ```sh
//! cargo run --release -p relais-benches --bin filters
//! ```

use std::fmt::Write;

use clap::Parser;
use relais_benches::{Load, Measured, Server, Sink, Source};
use relais_tests::{Instance, Ldif, Running, Settings, scripts};

/// Measures what users' scripts cost.
#[derive(Debug, Parser)]
struct Options {
    /// Users; each gets a message in each round.
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// Rules of each script.
    #[arg(long, default_value_t = 20)]
    rules: usize,
    /// Rounds; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct Relay {
    name: &'static str,
    running: Running,
    instance: Instance,
}

impl Relay {
    fn start(name: &'static str, options: &Options, rules: usize, sink: u16) -> Self {
        let mut ldif = Ldif::file().domain("relais.example", "");
        for user in 0..=options.users {
            let own = if rules == 0 { Vec::new() } else { vec![script(user, rules)] };
            ldif = ldif.user(
                &format!("{user}user"),
                "relais.example",
                &format!("mailHost: localhost{}", scripts(&own)),
            );
        }
        let instance = ldif.instance(Settings::standalone().deliver_to(sink));
        let running = instance.start();
        Self { name, running, instance }
    }
}

/// A script of so many rules, no two alike, in which none is met.
fn script(user: usize, rules: usize) -> String {
    let mut text = String::from("require \"fileinto\";");
    for rule in 0..rules {
        let folder = format!("F{user}-{rule}");
        // Writing to a string cannot fail.
        let _ = match rule % 4 {
            0 => write!(
                text,
                " if header :contains \"subject\" \"topic {folder}\" {{ fileinto \"{folder}\"; stop; }}"
            ),
            1 => write!(
                text,
                " if address :is \"from\" \"someone{rule}@{user}.example\" {{ fileinto \"{folder}\"; stop; }}"
            ),
            2 => write!(
                text,
                " if header :matches \"list-id\" \"*<{folder}.*>\" {{ fileinto \"{folder}\"; stop; }}"
            ),
            _ => write!(
                text,
                " if anyof (size :over {}M, exists \"x-{folder}\") {{ fileinto \"{folder}\"; stop; }}",
                rule + 1
            ),
        };
    }
    text
}

impl Server for Relay {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn port(&self) -> u16 {
        self.instance.settings.smtp
    }

    fn pid(&self) -> u32 {
        self.running.pid()
    }
}

fn main() {
    let options = Options::parse();
    let sink = Sink::start();
    let plain = Relay::start("without scripts", &options, 0, sink.port);
    let scripted = Relay::start("with scripts", &options, options.rules, sink.port);
    let source = Source {
        lmtp: false,
        keep: true,
        size: 4_000,
        sessions: 20,
        recipients: 1,
        numbered: true,
    };
    let load = Load { source, messages: options.users };
    let servers = [&plain, &scripted];
    for server in servers {
        load.through_to("user@relais.example", server, &sink);
    }
    let mut all: [Vec<Measured>; 2] = Default::default();
    for _ in 0..options.rounds {
        for (server, measured) in servers.iter().zip(&mut all) {
            let it = load.through_to("user@relais.example", *server, &sink);
            println!("{:16} {:8.0}/s {:6.1} us", server.name(), it.rate(), it.cost());
            measured.push(it);
        }
    }
    let median = |of: fn(&Measured) -> f64, all: &[Measured]| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [cpu, rate] = [Measured::cost as fn(&Measured) -> f64, Measured::rate]
        .map(|of| median(of, &all[1]) / median(of, &all[0]));
    println!(
        "{} users, {} rules each: CPU {cpu:.2} x, rate {rate:.2} x (CPU 1.25 x or less is good)",
        options.users, options.rules
    );
}
