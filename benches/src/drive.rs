//! `smtp-source` on one side, `smtp-sink` on the other, and a clock.

use std::{
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use relais_tests::{free_port, is_root};

use crate::{cpu, source::Source, tls_sink, tls_source::TlsSource};

/// A server that takes mail on one port; dropping it stops it.
pub trait Server {
    /// As it is called in the table.
    fn name(&self) -> String;
    /// Where it takes mail.
    fn port(&self) -> u16;
    /// Its oldest process.
    fn pid(&self) -> u32;
    /// How many messages of a load it is given, of `messages` asked for.
    fn share(&self, messages: usize) -> usize {
        messages
    }
}

/// The load that one server is given in one round.
pub struct Load {
    /// How.
    pub source: Source,
    /// How many.
    pub messages: usize,
}

/// The result of a round.
#[derive(Clone, Copy)]
pub struct Measured {
    /// How many; one with several recipients counts once for each.
    pub messages: usize,
    /// Until the last of them.
    pub time: Duration,
    /// Of the server.
    pub cpu: Duration,
}

/// A running `smtp-sink`, whose counter is read as it prints it, or a sink with TLS.
pub struct Sink {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    arrived: Arc<AtomicUsize>,
    child: Option<Child>,
}

impl Load {
    /// Until `sink` has it all.
    pub fn through(&self, server: &dyn Server, sink: &Sink) -> Measured {
        self.through_to(RECIPIENTS[0], server, sink)
    }

    /// The same, to this recipient.
    pub fn through_to(&self, to: &str, server: &dyn Server, sink: &Sink) -> Measured {
        self.until_delivered(server, sink, || {
            self.run(server.port(), to, self.source.sessions, self.messages)();
        })
    }

    /// The same over connections of TLS to this port of the server.
    pub fn over_tls(
        &self,
        (port, authority): (u16, &Path),
        server: &dyn Server,
        sink: &Sink,
    ) -> Measured {
        let source = TlsSource::new(port, authority, RECIPIENTS[0], self.source);
        self.until_delivered(server, sink, || source.run(self.source.sessions, self.messages))
    }

    /// The same until every message was answered; some mailboxes share the load.
    pub fn answered_over_tls(
        &self,
        (port, authority): (u16, &Path),
        server: &dyn Server,
    ) -> Measured {
        let (sessions, messages) =
            (self.source.sessions / RECIPIENTS.len(), self.messages / RECIPIENTS.len());
        let sources = RECIPIENTS.map(|to| TlsSource::new(port, authority, to, self.source));
        self.measure(server, || {
            thread::scope(|threads| {
                for source in &sources {
                    threads.spawn(|| source.run(sessions, messages));
                }
            });
        })
    }

    /// The time until the server has taken it all, and the CPU until `sink` has it.
    pub fn into_queue(&self, server: &dyn Server, sink: &Sink) -> Measured {
        let mut taken = Duration::ZERO;
        let measured = self.until_delivered(server, sink, || {
            let start = Instant::now();
            self.run(server.port(), RECIPIENTS[0], self.source.sessions, self.messages)();
            taken = start.elapsed();
        });
        Measured { time: taken, ..measured }
    }

    /// Until the source has sent it all.
    pub fn straight_into(&self, server: &dyn Server) -> Measured {
        let Source { sessions, .. } = self.source;
        self.measure(server, || self.run(server.port(), RECIPIENTS[0], sessions, self.messages)())
    }

    /// One message for each mailbox, one after the other: a store makes it then. Cyrus refuses one of two
    /// first messages that come at once.
    pub fn make_mailboxes(&self, server: &dyn Server) {
        for to in RECIPIENTS {
            self.run(server.port(), to, 1, 1)();
        }
    }

    /// Until every message was answered; some mailboxes share the load.
    pub fn until_answered(&self, server: &dyn Server) -> Measured {
        let (sessions, messages) =
            (self.source.sessions / RECIPIENTS.len(), self.messages / RECIPIENTS.len());
        self.measure(server, || {
            let waits = RECIPIENTS.map(|to| self.run(server.port(), to, sessions, messages));
            for wait in waits {
                wait();
            }
        })
    }

    /// From the first of what `send` sends to the arrival of the last.
    fn until_delivered(&self, server: &dyn Server, sink: &Sink, send: impl FnOnce()) -> Measured {
        let before = sink.arrived();
        self.measure(server, || {
            send();
            self.delivered(server, sink, before);
        })
    }

    fn delivered(&self, server: &dyn Server, sink: &Sink, before: usize) {
        let end = Instant::now() + PATIENCE;
        while sink.arrived() < before + self.messages {
            assert!(Instant::now() < end, "{} does not deliver", server.name());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn measure(&self, server: &dyn Server, work: impl FnOnce()) -> Measured {
        let cpu = cpu::time_of(server.pid());
        let start = Instant::now();
        work();
        let time = start.elapsed();
        let cpu = cpu::time_of(server.pid()).saturating_sub(cpu);
        Measured { messages: self.messages * self.source.recipients, time, cpu }
    }

    /// Starts a source, and returns what waits for it.
    fn run(&self, port: u16, to: &str, sessions: usize, messages: usize) -> impl FnOnce() + use<> {
        let mut command = Command::new("/usr/sbin/smtp-source");
        command.args(self.source.lmtp.then_some("-L")).args(self.source.keep.then_some("-d"));
        command.args(self.source.numbered.then_some("-N"));
        let mut child = command
            .args(["-s", &sessions.to_string(), "-m", &messages.to_string()])
            .args(["-l", &self.source.size.to_string(), "-r", &self.source.recipients.to_string()])
            .args(["-f", "sender@sender.example", "-t", to])
            .arg(format!("127.0.0.1:{port}"))
            .spawn()
            .expect("smtp-source runs");
        move || {
            let status = child.wait().expect("a child of ours");
            assert!(status.success(), "smtp-source was refused: {status}");
        }
    }
}

impl Measured {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }

    /// CPU microseconds for each message.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }
}

impl Sink {
    /// Takes LMTP on a free port.
    pub fn start() -> Self {
        Self::on(free_port())
    }

    /// Takes LMTP on this port.
    pub fn on(port: u16) -> Self {
        Self::counting(port, &["-L"])
    }

    /// Takes SMTP on a free port.
    pub fn smtp() -> Self {
        Self::counting(free_port(), &[])
    }

    /// Takes SMTP, and offers STARTTLS with this certificate and its key.
    pub fn smtp_with_tls((certificate, key): &(PathBuf, PathBuf)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a socket of ours").port();
        let arrived = Arc::new(AtomicUsize::new(0));
        let (counter, certificate, key) = (Arc::clone(&arrived), certificate.clone(), key.clone());
        thread::spawn(move || tls_sink::serve(listener, (&certificate, &key), counter));
        Self { port, arrived, child: None }
    }

    fn counting(port: u16, options: &[&str]) -> Self {
        let mut command = Command::new("/usr/sbin/smtp-sink");
        command.args(is_root().then_some(["-u", "nobody"]).iter().flatten());
        let mut child = command
            .arg("-c")
            .args(options)
            .args([&format!("127.0.0.1:{port}"), "1000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("smtp-sink runs");
        let arrived = Arc::new(AtomicUsize::new(0));
        let counter = child.stdout.take().expect("a pipe");
        let told = Arc::clone(&arrived);
        thread::spawn(move || follow(counter, &told));
        Self { port, arrived, child: Some(child) }
    }

    /// Messages so far.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Acquire)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads `sess=20 quit=0 mesg=1234 max=20`, each ended by a CR.
fn follow(mut counter: impl Read, arrived: &AtomicUsize) {
    let mut pending = String::new();
    let mut chunk = [0; 8 << 10];
    while let Ok(length @ 1..) = counter.read(&mut chunk) {
        pending.push_str(&String::from_utf8_lossy(&chunk[..length]));
        let Some((whole, rest)) = pending.rsplit_once('\r') else { continue };
        let last = whole.rsplit('\r').next().unwrap_or_default();
        let count = last.split_whitespace().find_map(|field| field.strip_prefix("mesg="));
        if let Some(count) = count.and_then(|count| count.parse().ok()) {
            arrived.store(count, Ordering::Release);
        }
        pending = rest.to_owned();
    }
}

const RECIPIENTS: [&str; 4] =
    ["alice@relais.example", "bob@relais.example", "carol@relais.example", "dave@relais.example"];
const PATIENCE: Duration = Duration::from_secs(600);
