//! relais beside its peers: the same machine, the same run, the same load.
//!
//! Each server is driven in turn by Postfix's own `smtp-source`, several rounds alternating, and
//! the clock stops when the last message has arrived: in `smtp-sink -L` behind a relay, in the
//! Maildir behind a store. CPU is that of all processes of the server, those that have ended too;
//! source and sink are counted only in the line that shows the two alone ([`floor`]); beside the
//! stores, lines show the files alone ([`bare`]) and the least that a store does ([`least`]). Disks, limits and logging are each server's
//! defaults.
//!
//!     cargo run --release -p relais-benches --bin peers
//!     cargo run --release -p relais-benches --bin peers -- --lmtp-store
//!     cargo run --release -p relais-benches --bin peers -- --lmtp-store --recipients 20
//!     cargo run --release -p relais-benches --bin peers -- --lmtp-store --tls
//!     cargo run --release -p relais-benches --bin peers -- --tls
//!     cargo run --release -p relais-benches --bin peers -- --smtp-out
//!     cargo run --release -p relais-benches --bin peers -- --smtp-out --tls
//!     cargo run --release -p relais-benches --bin peers -- --smtp-out --dkim
//!     cargo run --release -p relais-benches --bin peers -- --against OLD/relais
//!
//! Wants Postfix and, for the store, Dovecot and Cyrus; as root it installs what is missing.

mod bare;
mod floor;
mod handshakes;
mod least;
mod postfix;
mod relais;
mod signed;
mod table;

use std::path::PathBuf;

use clap::Parser;
use relais_benches::{Load, Server, Sink, Source, packages};
use relais_tests::{Authority, ForeignStore, free_port};

use crate::{floor::Floor, least::Least, postfix::Postfix, relais::Build, table::Table};

/// Compares relais with Postfix as a relay, or with Dovecot and Cyrus as a store.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Options {
    /// Messages relais is given in each round; a peer gets a tenth.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Rounds, alternating between the servers.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Octets of a message.
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Connections at once.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// LMTP in, mailbox out, against Dovecot and Cyrus; else SMTP in, LMTP out, against Postfix.
    #[arg(long)]
    lmtp_store: bool,
    /// Recipients of a message for a store, each of which counts as a message.
    #[arg(long, default_value_t = 1, requires = "lmtp_store")]
    recipients: usize,
    /// SMTP in, SMTP out, against Postfix, and beside it LMTP out of ours. With `--tls`: TLS on both sides,
    /// and a connection for each message.
    #[arg(long, conflicts_with = "lmtp_store")]
    smtp_out: bool,
    /// Mail that leaves is signed by RSA-2048, beside the same unsigned and what the key alone costs.
    #[arg(long, requires = "smtp_out", conflicts_with = "tls")]
    dkim: bool,
    /// TLS before the greeting. Against Postfix: handshakes, and relaying over kept connections; with
    /// `--lmtp-store`, against Dovecot.
    #[arg(long)]
    tls: bool,
    /// Another build of the program, given the same in each round.
    #[arg(long, value_name = "PROGRAM", visible_alias = "beside")]
    against: Option<PathBuf>,
    /// Serves as [`least`] on this port, with its files in this folder.
    #[arg(long, num_args = 2, value_names = ["PORT", "FOLDER"], hide = true)]
    least: Option<Vec<String>>,
    /// Only the peer: what this machine does without us.
    #[arg(long)]
    peer_only: bool,
}

impl Options {
    /// The origin of the load.
    fn source(&self, lmtp: bool, keep: bool) -> Source {
        let Self { size, sessions, recipients, .. } = *self;
        Source { lmtp, keep, size, sessions, recipients, numbered: false }
    }

    /// The builds of relais that take part, this one first.
    fn builds(&self) -> Vec<Build<'_>> {
        let this = (!self.peer_only).then_some(Build::This);
        this.into_iter().chain(self.against.as_deref().map(Build::Other)).collect()
    }
}

fn main() {
    let options = Options::parse();
    if let Some([port, folder]) = options.least.as_deref() {
        return least::serve(port.parse().expect("a port"), folder.into());
    }
    packages::install(options.lmtp_store);
    if options.dkim {
        return signed::measure(&options);
    }
    if options.smtp_out {
        return if options.tls { smtp_out_over_tls(&options) } else { smtp_out(&options) };
    }
    match (options.lmtp_store, options.tls) {
        (true, false) => stores(&options),
        (true, true) => stores_over_tls(&options),
        (false, true) => over_tls(&options),
        (false, false) => relays(&options),
    }
}

/// SMTP in, durable queue, LMTP out.
fn relays(options: &Options) {
    let sink = Sink::start();
    let mut servers: Vec<Box<dyn Server>> = vec![Box::new(Postfix::start(sink.port))];
    for (place, build) in options.builds().into_iter().enumerate() {
        servers.insert(place, Box::new(relais::Relay::start(build, sink.port)));
    }
    let floor = Floor::start();
    for keep in [true, false] {
        let source = options.source(false, keep);
        let title = if keep { "kept connections" } else { "a connection per message" };
        let mut table = Table::new(&format!("SMTP in -> queue -> LMTP out, {title}"));
        for _ in 0..options.rounds {
            for server in &servers {
                let load = Load { source, messages: server.share(options.messages) };
                table.enter(&server.name(), load.through(server.as_ref(), &sink));
            }
            let load = Load { source, messages: options.messages };
            table.enter(&floor.name(), load.straight_into(&floor));
        }
        table.print();
    }
}

/// SMTP in, durable queue, SMTP out; and LMTP out of ours, for its CPU.
fn smtp_out(options: &Options) {
    let (sink, lmtp_sink) = (Sink::smtp(), Sink::start());
    let mut servers: Vec<(Box<dyn Server>, &Sink)> = vec![
        (Box::new(Postfix::smtp_out(sink.port)), &sink),
        (
            Box::new(relais::Relay::start(Build::This, lmtp_sink.port).called("relais, LMTP out")),
            &lmtp_sink,
        ),
    ];
    for (place, build) in options.builds().into_iter().enumerate() {
        servers.insert(place, (Box::new(relais::Relay::smtp_out(build, sink.port)), &sink));
    }
    for keep in [true, false] {
        let source = options.source(false, keep);
        let title = if keep { "kept connections" } else { "a connection per message" };
        let mut table = Table::new(&format!("SMTP in -> queue -> SMTP out, {title}"));
        for _ in 0..options.rounds {
            for (server, sink) in &servers {
                let load = Load { source, messages: server.share(options.messages) };
                table.enter(&server.name(), load.through(server.as_ref(), sink));
            }
        }
        table.print();
    }
}

/// The same with TLS on both sides and new connections on both.
fn smtp_out_over_tls(options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let sink = Sink::smtp_with_tls(&certificate);
    let (relais, postfix) = (free_port(), free_port());
    let (its, file) = (&certificate, authority.file());
    let servers: [(Box<dyn Server>, u16); 2] = [
        (Box::new(relais::Relay::smtp_out_with_tls(its, &file, relais, sink.port)), relais),
        (Box::new(Postfix::smtp_out_with_tls(its, postfix, sink.port)), postfix),
    ];
    let source = options.source(false, false);
    let title =
        "SMTP in over TLS -> queue -> SMTP out over TLS, a connection per message on both sides";
    let mut table = Table::new(title);
    for _ in 0..options.rounds {
        for (server, port) in &servers {
            let load = Load { source, messages: server.share(options.messages) };
            table.enter(&server.name(), load.over_tls((*port, &file), server.as_ref(), &sink));
        }
    }
    table.print();
}

/// TLS before the greeting. What comes over it goes the same way as in clear.
fn over_tls(options: &Options) {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let (relais, postfix) = (free_port(), free_port());
    let servers: [(Box<dyn Server>, u16); 2] = [
        (Box::new(relais::Relay::with_tls(&certificate, relais, sink.port)), relais),
        (Box::new(Postfix::with_tls(&certificate, postfix, sink.port)), postfix),
    ];
    let mut table = Table::new("TLS 1.3 handshakes (each counts as a message)");
    for _ in 0..options.rounds {
        for (server, port) in &servers {
            table.enter(&server.name(), handshakes::measure(server.as_ref(), *port, SECONDS));
        }
    }
    table.print();
    let source = options.source(false, true);
    let mut table = Table::new("SMTP in over TLS -> queue -> LMTP out, kept connections");
    let authority = authority.file();
    for _ in 0..options.rounds {
        for (server, port) in &servers {
            let load = Load { source, messages: server.share(options.messages) };
            let at = (*port, authority.as_path());
            table.enter(&server.name(), load.over_tls(at, server.as_ref(), &sink));
        }
    }
    table.print();
}

/// Of handshakes, in each round.
const SECONDS: u64 = 5;

/// LMTP in, Maildir out.
fn stores(options: &Options) {
    let mut servers: Vec<Box<dyn Server>> =
        vec![Box::new(ForeignStore::dovecot()), Box::new(ForeignStore::cyrus())];
    if options.recipients == 1 {
        servers.push(Box::new(Least::start()));
    }
    for (place, build) in options.builds().into_iter().enumerate() {
        servers.insert(place, Box::new(relais::Store::start(build)));
    }
    let source = options.source(true, true);
    let each = match options.recipients {
        1 => String::new(),
        many => format!(", {many} recipients a message, each of which counts as one"),
    };
    for server in &servers {
        Load { source, messages: 1 }.make_mailboxes(server.as_ref());
    }
    let mut table = Table::new(&format!("LMTP in -> Maildir, kept connections{each}"));
    let files = bare::Files::new();
    for _ in 0..options.rounds {
        for server in &servers {
            let load = Load { source, messages: server.share(options.messages) };
            table.enter(&server.name(), load.until_answered(server.as_ref()));
        }
        let load = Load { source, messages: (options.messages / 10).max(1) };
        table.enter(bare::NAME, files.deliver(&load));
    }
    table.print();
}

/// The same with TLS before the greeting, which Cyrus has not.
fn stores_over_tls(options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let dovecot = ForeignStore::dovecot_with_certificate(&certificate, "");
    let (port, dovecots) = (free_port(), dovecot.tls_port);
    let servers: [(Box<dyn Server>, u16); 2] = [
        (Box::new(relais::Store::with_tls(&certificate, port)), port),
        (Box::new(dovecot), dovecots),
    ];
    let source = options.source(true, true);
    let mut table = Table::new("LMTP in over TLS -> Maildir, kept connections");
    let authority = authority.file();
    for _ in 0..options.rounds {
        for (server, port) in &servers {
            let load = Load { source, messages: server.share(options.messages) };
            let at = (*port, authority.as_path());
            table.enter(&server.name(), load.answered_over_tls(at, server.as_ref()));
        }
    }
    table.print();
}
