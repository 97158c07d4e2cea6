//! A source that speaks TLS before the greeting, which `smtp-source` does not. It says what that says,
//! SMTP or LMTP, a command at a time. Its CPU is nobody's: only the server's is counted.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use relais_tests::message;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::source::Source;

/// Where messages go, and what they are.
#[derive(Clone)]
pub(crate) struct TlsSource {
    server: SocketAddr,
    connector: TlsConnector,
    /// The line of `LHLO` or `HELO`.
    hello: &'static str,
    /// One connection for many messages.
    keep: bool,
    recipients: Arc<[String]>,
    /// To the dot: one, over LMTP one for each recipient.
    replies: usize,
    content: Arc<[u8]>,
}

impl TlsSource {
    /// To this port of 127.0.0.1, whose certificate this authority has signed, called as `source` says.
    pub(crate) fn new(port: u16, authority: &Path, recipient: &str, source: Source) -> Self {
        let recipients: Arc<[String]> = match source.recipients {
            1 => [recipient.to_owned()].into(),
            // As `smtp-source -r` names them.
            many => (1..=many).map(|number| format!("{number}{recipient}")).collect(),
        };
        Self {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            connector: connector(authority),
            hello: if source.lmtp { "LHLO source.example\r\n" } else { "HELO source.example\r\n" },
            keep: source.keep,
            replies: if source.lmtp { recipients.len() } else { 1 },
            recipients,
            content: [message("tls", source.size), b".\r\n".to_vec()].concat().into(),
        }
    }

    /// Sends so many messages over so many connections, and waits for the last answer.
    pub(crate) fn run(&self, sessions: usize, messages: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let begun = Arc::new(AtomicUsize::new(0));
        runtime.expect("a runtime").block_on(async {
            let mut all = JoinSet::new();
            for _ in 0..sessions {
                let (source, begun) = (self.clone(), begun.clone());
                all.spawn(async move {
                    let mut session = Session::open(&source).await;
                    let mut sent = 0;
                    while begun.fetch_add(1, Relaxed) < messages {
                        if !source.keep && sent > 0 {
                            session.say(b"QUIT\r\n", "2").await;
                            session = Session::open(&source).await;
                        }
                        session.send(&source).await;
                        sent += 1;
                    }
                    session.say(b"QUIT\r\n", "2").await;
                });
            }
            while let Some(ended) = all.join_next().await {
                ended.expect("a session that was not refused");
            }
        });
    }
}

/// A connection.
struct Session {
    peer: BufReader<TlsStream<TcpStream>>,
    line: String,
}

impl Session {
    async fn open(source: &TlsSource) -> Self {
        let socket = TcpStream::connect(source.server).await.expect("it listens");
        socket.set_nodelay(true).expect("a socket of ours");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = source.connector.connect(name, socket).await.expect("a handshake");
        let mut session = Self { peer: BufReader::new(stream), line: String::new() };
        session.reply("2").await;
        session.say(source.hello.as_bytes(), "2").await;
        session
    }

    async fn send(&mut self, source: &TlsSource) {
        self.say(b"MAIL FROM:<sender@sender.example>\r\n", "2").await;
        for recipient in source.recipients.iter() {
            self.say(format!("RCPT TO:<{recipient}>\r\n").as_bytes(), "2").await;
        }
        self.say(b"DATA\r\n", "3").await;
        self.say(&source.content, "2").await;
        for _ in 1..source.replies {
            self.reply("2").await;
        }
    }

    async fn say(&mut self, octets: &[u8], want: &str) {
        self.peer.write_all(octets).await.expect("it reads");
        self.peer.flush().await.expect("it reads");
        self.reply(want).await;
    }

    /// Its last line.
    async fn reply(&mut self, want: &str) {
        loop {
            self.line.clear();
            self.peer.read_line(&mut self.line).await.expect("a reply");
            assert!(self.line.starts_with(want), "refused: {}", self.line);
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}

fn connector(authority: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).expect("a certificate");
    roots.add(certificate).expect("of an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of the provider")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
