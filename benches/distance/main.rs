//! A server that is far away: what a message costs by DATA and by BDAT, on a connection of its own and on a
//! kept one.
//!
//! Mail is queued while the channel is stopped; then the channel is started with one connection at a
//! time, and the time is taken until the queue is empty. The server is a Postfix (Debian package, started by
//! root), behind a proxy that holds up every octet in both directions. In a network of its own:
//!
//! ```sh
//! unshare -n sh -c 'ip link set lo up; cargo run --release -p relais-benches --bin distance'
//! ```

use std::{
    io,
    net::{Ipv4Addr, TcpListener as Listener},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use relais_tests::{Dialogue, Instance, Receiver, Settings, message, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{sleep, sleep_until},
};

/// Measures what distance costs.
#[derive(Debug, Parser)]
struct Options {
    /// The round trip, in milliseconds.
    #[arg(long, default_value_t = 20)]
    round_trip_ms: u64,
    /// Messages of each measurement.
    #[arg(long, default_value_t = 40)]
    messages: usize,
    /// Octets of a message; several with commas between them.
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 20_000, 60_000])]
    sizes: Vec<usize>,
}

fn main() {
    let options = Options::parse();
    let postfix = Receiver::postfix("");
    let port = hold_up(postfix.port, Duration::from_millis(options.round_trip_ms) / 2);
    println!("{} ms away, one connection at a time", options.round_trip_ms);
    for size in &options.sizes {
        for (kept, fields) in [("new", "connection_messages: 1,"), ("kept", "")] {
            for chunking in ["Never", "WhenItPays"] {
                let fields =
                    format!("{fields} chunking: {chunking}, maxjobs: 1, max_client_threads: 1");
                let took = measure(port, &fields, options.messages, *size);
                let each = took.as_secs_f64() / options.messages as f64;
                println!(
                    "{size:7} octets, {kept:4}, chunking: {chunking:10} {:7.1} ms {:7.1}/s",
                    1e3 * each,
                    1.0 / each
                );
            }
        }
    }
}

/// How long so many messages of this size take to leave to this port.
fn measure(port: u16, fields: &str, messages: usize, size: usize) -> Duration {
    let place = format!("[127.0.0.1]:{port}");
    let instance = Instance::new(Settings::standalone().smtp_out(&place, fields));
    let _running = instance.start();
    let order = |what: &str| {
        let output = instance.relais("channel", &[what, "tcp_out"]);
        assert!(output.status.success(), "{output:?}");
    };
    order("stop");
    let mut client = Dialogue::open(instance.settings.smtp);
    for n in 0..messages {
        let content = message(&format!("m{n}"), size);
        client.message("alice@relais.example", &["bob@remote.test"], &content).expect(250);
    }
    let began = Instant::now();
    order("start");
    let gone = within(PATIENCE, || instance.metric("relais_queue_stored") < 0.5);
    assert!(gone, "{} are left", instance.queue().len());
    began.elapsed()
}

/// A port behind which this one is so far away, in one direction.
fn hold_up(port: u16, delay: Duration) -> u16 {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let own = listener.local_addr().expect("an address").port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    thread::spawn(move || runtime.block_on(accept(listener, port, delay)));
    own
}

async fn accept(listener: Listener, port: u16, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        // A connection ends when one of its ends does.
        tokio::spawn(async move {
            // SYN and its answer.
            sleep(2 * delay).await;
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(
                carry(from_client, to_server, delay),
                carry(from_server, to_client, delay)
            )
        });
    }
}

async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, delay: Duration) -> io::Result<()> {
    let (held, due) = mpsc::unbounded_channel();
    let deliver = tokio::spawn(deliver(to, due));
    loop {
        let mut octets = Vec::with_capacity(PIECE);
        if from.read_buf(&mut octets).await? == 0 {
            break;
        }
        // The proxy is no part of the way: its system must not hold up the server.
        from.as_ref().set_quickack(true)?;
        if held.send((tokio::time::Instant::now() + delay, octets)).is_err() {
            break;
        }
    }
    drop(held);
    deliver.await.map_err(io::Error::other)?
}

async fn deliver(
    mut to: OwnedWriteHalf,
    mut due: mpsc::UnboundedReceiver<(tokio::time::Instant, Vec<u8>)>,
) -> io::Result<()> {
    while let Some((at, octets)) = due.recv().await {
        sleep_until(at).await;
        to.write_all(&octets).await?;
    }
    to.shutdown().await
}

/// Octets that are carried at once.
const PIECE: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(120);
