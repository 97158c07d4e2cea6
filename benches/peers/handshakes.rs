//! TLS handshakes: new connections, one after the other, by `openssl s_time`; what counts is the
//! server's CPU for each, not the client's, which takes longer.

use std::process::{Child, Command, Stdio};

use relais_benches::{Measured, Server, cpu};

/// Two clients for so many seconds, each handshake a full one.
pub(crate) fn measure(server: &dyn Server, port: u16, seconds: u64) -> Measured {
    let before = cpu::time_of(server.pid());
    let start = std::time::Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(port, seconds)).collect();
    let messages = clients.into_iter().map(handshakes).sum();
    let time = start.elapsed();
    let cpu = cpu::time_of(server.pid()).saturating_sub(before);
    Measured { messages, time, cpu }
}

fn client(port: u16, seconds: u64) -> Child {
    Command::new("openssl")
        .args(["s_time", "-connect", &format!("127.0.0.1:{port}"), "-new", "-tls1_3"])
        .args(["-time", &seconds.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl")
}

/// `123 connections in 5 real seconds, 0 bytes read per connection`.
fn handshakes(client: Child) -> usize {
    let output = client.wait_with_output().expect("a child of ours");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("real seconds"));
    let count = line.and_then(|line| line.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("s_time said:\n{text}"))
}

const CLIENTS: usize = 2;
