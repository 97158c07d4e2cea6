//! Scripted servers at ports of this machine: what they say before the first message, and what comes
//! of it.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use relais_config::{
    Channel, Config,
    channel::Program,
    tls::{Insist, Tls},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::{
    client::{
        Outbound,
        connection::tests::{settings, short},
    },
    tls::{ClientFiles, ClientTls, ServerTls, TlsDemand},
    wire::proxy,
};

/// A certificate for `localhost`, signed by itself, and what a server makes of it.
fn certificate(folder: &Path) -> Arc<ServerTls> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("a.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("a.key"), key.serialize_pem()).unwrap();
    let tls = "admin: (), tls: (certificate: \"a.crt\", key: \"a.key\"),";
    let text = relais_config::STANDALONE.replace("admin: (listen: \"127.0.0.1:9225\"),", tls);
    let (config, _) = Config::parse("f", &text).unwrap();
    let tls: &Tls = config.tls.as_ref().unwrap();
    Arc::new(ServerTls::load(Some(tls), folder).unwrap())
}

/// Plays scripts, one for each connection, and returns what the client said on all of them. Lines of
/// a script are said when the client has said one; `TLS` shakes hands first, `PROXY` takes a header,
/// `...` waits a while.
async fn server(scripts: &[&str], tls: Arc<ServerTls>) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scripts: Vec<_> = scripts.iter().map(|script| (*script).to_owned()).collect();
    let played = tokio::spawn(async move {
        let mut heard = String::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            play(stream, &script, &tls, &mut heard).await;
            heard.push_str("--\r\n");
        }
        heard
    });
    (port, played)
}

async fn play(stream: TcpStream, script: &str, tls: &Arc<ServerTls>, heard: &mut String) {
    let mut stream: Box<dyn Duplex> = Box::new(stream);
    let (mut lines, mut greeted) = (script.lines().peekable(), false);
    while let Some(line) = lines.next() {
        match line {
            "TLS" => {
                let Ok((secured, _)) = tls.accept(stream).await else { return };
                stream = Box::new(secured);
                // There is no greeting behind STARTTLS.
                if greeted && !hear(&mut stream, heard).await {
                    return;
                }
            }
            "PROXY" => {
                let mut octets = Vec::new();
                while let Ok(proxy::HeaderProgress::Missing(_)) = proxy::header(&octets) {
                    octets.push(stream.read_u8().await.unwrap());
                }
                writeln!(heard, "{:?}\r", proxy::header(&octets)).unwrap();
            }
            "..." => tokio::time::sleep(SLOW).await,
            said => {
                let said = format!("{}\r\n", said.replace('|', "\r\n"));
                if stream.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
                if lines.peek() != Some(&"TLS") && !hear(&mut stream, heard).await {
                    return;
                }
                greeted = true;
            }
        }
    }
}

/// Takes a line, octet by octet: a handshake may follow. `false`: the client is gone.
async fn hear(stream: &mut Box<dyn Duplex>, heard: &mut String) -> bool {
    while let Ok(octet) = stream.read_u8().await {
        heard.push(char::from(octet));
        if octet == b'\n' {
            return true;
        }
    }
    false
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A channel that trusts the certificate of the tests.
fn channel(tls: Insist, sasl: Insist) -> Channel {
    let mut channel = Channel::new("out", "out", Program::Lmtp);
    channel.tls.client = tls;
    channel.tls.ca = Some("a.crt".into());
    channel.sasl.client = sasl;
    channel.sasl.credentials = Some("passwords".into());
    channel
}

/// Connects to scripts; the connection's protection, or the refusal.
async fn opened(folder: &Path, channel: &Channel, hop: &str, scripts: &[&str]) -> String {
    let (port, played) = server(scripts, certificate(folder)).await;
    let outcome = outbound(folder, channel, port, settings(false));
    let outcome = outcome.connect(&hop.parse().unwrap()).await;
    played.abort();
    shown(outcome).replace(&port.to_string(), "PORT")
}

fn outbound(folder: &Path, channel: &Channel, port: u16, settings: Settings) -> Outbound {
    let security =
        Arc::new(Security::load(channel, &Arc::default(), |file| folder.join(file)).unwrap());
    Outbound::new(Dialect::Lmtp, port, settings).protected(security)
}

fn shown(outcome: Result<Connection, SiteTrouble>) -> String {
    match outcome {
        Ok(connection) => connection.protection().map_or("in clear", |words| words).to_owned(),
        Err(trouble) => format!("{} {}", short(&trouble.outcome), trouble.reply().text),
    }
}

const STARTTLS: &str = "220 s LMTP\n250-s|250-STARTTLS|250 OK\n220 go\nTLS\n250-s|250 OK\n250 OK";
const VERIFIED: &str = "TLSv1.3 TLS_AES_256_GCM_SHA384, verified";
const DOUBTED: &str = "TLSv1.3 TLS_AES_256_GCM_SHA384, not verified";
const PLAIN: &str = "220 s LMTP\n250-s|250-PIPELINING|250 OK\n250 OK";
const SLOW: Duration = Duration::from_millis(300);

type Edit<'a> = &'a dyn Fn(&mut Channel);

#[tokio::test]
async fn tls_is_begun_as_the_channel_says() {
    let folder = tempfile::tempdir().unwrap();
    let refused = "220 s\n250-s|250 STARTTLS\n454 4.7.0 not now\n250 OK";
    let injected = "220 s\n250-s|250 STARTTLS\n220 go|250 injected\n250 OK";
    let implicit = "TLS\n220 s\n250-s|250 OK\n250 OK";
    let is_implicit = |channel: &mut Channel| channel.tls.implicit = true;
    let any = |channel: &mut Channel| channel.tls.verify = false;
    let named =
        |channel: &mut Channel| channel.tls.names = vec!["a.test".into(), "localhost".into()];
    let same = |_: &mut Channel| {};
    // policy, more of it, next hop, script, the beginning of what comes of it
    let rows: [(Insist, Edit<'_>, &str, &str, &str); 16] = [
        (Insist::Must, &same, "localhost", STARTTLS, VERIFIED),
        (Insist::May, &same, "localhost", STARTTLS, VERIFIED),
        (Insist::No, &same, "localhost", STARTTLS, "in clear"),
        (Insist::May, &same, "localhost", PLAIN, "in clear"),
        (Insist::May, &same, "localhost", refused, "in clear"),
        (
            Insist::Must,
            &same,
            "localhost",
            PLAIN,
            "T 4.7.4 localhost[127.0.0.1]:PORT does not offer",
        ),
        (
            Insist::Must,
            &same,
            "localhost",
            refused,
            "T 4.7.4 localhost[127.0.0.1]:PORT refuses STA",
        ),
        (Insist::Must, &same, "localhost", injected, "T 4.7.5 localhost[127.0.0.1]:PORT sent more"),
        (Insist::May, &same, "localhost", injected, "T 4.7.5 localhost[127.0.0.1]:PORT sent more"),
        (
            Insist::Must,
            &same,
            "[127.0.0.1]",
            STARTTLS,
            "T 4.7.5 TLS handshake with [127.0.0.1]:PORT: its certificate is for other names",
        ),
        (Insist::Must, &any, "[127.0.0.1]", STARTTLS, DOUBTED),
        (Insist::May, &same, "[127.0.0.1]", STARTTLS, DOUBTED),
        (Insist::Must, &named, "[127.0.0.1]", STARTTLS, VERIFIED),
        (Insist::Must, &is_implicit, "localhost", implicit, VERIFIED),
        (Insist::May, &is_implicit, "localhost", implicit, VERIFIED),
        (Insist::May, &is_implicit, "localhost", PLAIN, "T 4.7.5 TLS handshake with localhost"),
    ];
    for (insist, edit, hop, script, want) in rows {
        let mut channel = channel(insist, Insist::No);
        edit(&mut channel);
        // `localhost` may have an address of each family; one of them is where the server is.
        let shown = opened(folder.path(), &channel, hop, &[script, script]).await;
        assert!(shown.starts_with(want), "{insist:?} {hop} {script}: {shown}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_costs_no_mail_that_may_leave_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let broken = "220 s\n250-s|250 STARTTLS\n220 go\nno TLS at all";
    std::fs::write(folder.path().join("passwords"), "127.0.0.1 u:secret\n").unwrap();
    let rows = [
        (Insist::May, Insist::No, "in clear"),
        (Insist::May, Insist::May, "T 4.7.5 TLS handshake with"),
        (Insist::Must, Insist::No, "T 4.7.5 TLS handshake with"),
    ];
    for (tls, sasl, want) in rows {
        let channel = channel(tls, sasl);
        let shown = opened(folder.path(), &channel, "[127.0.0.1]", &[broken, PLAIN]).await;
        assert!(shown.starts_with(want), "{tls:?} {sasl:?}: {shown}");
    }
}

#[tokio::test]
async fn a_session_is_resumed_by_the_next_connection() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let script = format!("{STARTTLS}\n250 OK");
    let (port, _played) = server(&[&script, &script], tls).await;
    let client = ClientTls::load(ClientFiles {
        insists: true,
        ca: Some(folder.path().join("a.crt")),
        ..ClientFiles::default()
    });
    let client = client.unwrap();
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        for command in ["LHLO x\r\n", "STARTTLS\r\n"] {
            BufReader::new(&mut stream).read_line(&mut String::new()).await.unwrap();
            stream.write_all(command.as_bytes()).await.unwrap();
        }
        let mut last = String::new();
        while !last.contains("220 go") {
            last.push(char::from(stream.read_u8().await.unwrap()));
        }
        stream.read_exact(&mut [0; 2]).await.unwrap();
        let (mut stream, towards) =
            client.connect("localhost", &TlsDemand::default(), stream).await.unwrap();
        assert_eq!(towards.doubt, None);
        resumed.push(towards.resumed);
        // The tickets come behind the handshake.
        let line = b"LHLO x\r\n";
        stream.write_vectored(&[std::io::IoSlice::new(line)]).await.unwrap();
        stream.flush().await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"OK\r\n") {
            assert!(stream.read(&mut said).await.unwrap() > 0);
        }
        stream.close().await.unwrap();
    }
    assert_eq!(resumed, [false, true]);
}

#[tokio::test]
async fn the_dialogue_of_auth_ends_in_mail_or_in_a_reason_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("passwords"), "127.0.0.1 tim:secret\n").unwrap();
    let rows = [
        (
            "AUTH PLAIN LOGIN",
            "235 in",
            Insist::Must,
            "AUTH PLAIN as tim",
            "AUTH PLAIN AHRpbQBzZWNyZXQ=",
        ),
        ("AUTH=PLAIN", "235 in", Insist::Must, "AUTH PLAIN as tim", "AUTH PLAIN AHRpbQBzZWNyZXQ="),
        (
            "AUTH LOGIN",
            "334 VXNlciBOYW1lAA==\n334 UGFzc3dvcmQA\n235 in",
            Insist::May,
            "AUTH LOGIN as tim",
            "AUTH LOGIN|dGlt|c2VjcmV0",
        ),
        (
            "AUTH PLAIN CRAM-MD5",
            "334 PDFAcz4=\n235 in",
            Insist::May,
            "AUTH CRAM-MD5 as tim",
            "AUTH CRAM-MD5|dGltI",
        ),
        ("SIZE", "", Insist::May, "in clear", ""),
        ("SIZE", "", Insist::Must, "T 4.7.0 [127.0.0.1]:PORT does not offer AUTH", ""),
        (
            "AUTH GSSAPI",
            "",
            Insist::May,
            "T 4.7.0 [127.0.0.1]:PORT offers no mechanism that may be used (others only)",
            "",
        ),
        ("AUTH", "", Insist::May, "T 4.7.0 [127.0.0.1]:PORT offers no mechanism", ""),
        ("AUTH PLAIN", "535 5.7.8 wrong", Insist::May, "T 4.7.8 wrong", ""),
        ("AUTH PLAIN", "535 wrong", Insist::May, "T 4.7.8 wrong", ""),
        ("AUTH PLAIN", "454 4.7.0 later", Insist::May, "T 4.7.0 later", ""),
        ("AUTH PLAIN", "334 ", Insist::May, "T 4.7.0 AUTH PLAIN with", ""),
        ("AUTH LOGIN", "235 in", Insist::May, "T 4.7.0 AUTH LOGIN with", ""),
        ("AUTH LOGIN", "334 *", Insist::May, "T 4.7.0 AUTH LOGIN with", "AUTH LOGIN|*"),
        ("AUTH SCRAM-SHA-256", "235 in", Insist::May, "T 4.7.0 AUTH SCRAM-SHA-256 with", ""),
        (
            "AUTH SCRAM-SHA-256",
            "334 cj1vdGhlcixzPVcyMlosaT00MDk2",
            Insist::May,
            "T 4.7.0 AUTH SCRAM-SHA-256 with [127.0.0.1]:PORT: the server's nonce is not ours",
            "",
        ),
    ];
    for (auth, rest, insist, want, said) in rows {
        let channel = channel(Insist::No, insist);
        let script = format!("220 s\n250-s|250 {auth}\n{rest}");
        let (shown, heard) = heard_by(folder.path(), &channel, &script).await;
        assert!(shown.starts_with(want), "{auth} {rest}: {shown}");
        let heard = heard.replace("\r\n", "|");
        assert!(heard.contains(said), "{auth} {rest}: {heard}");
        assert!(!shown.contains("secret") && !shown.contains("c2VjcmV0"));
    }
}

/// The same for one connection, and what the client said.
async fn heard_by(folder: &Path, channel: &Channel, script: &str) -> (String, String) {
    let (port, played) = server(&[script], certificate(folder)).await;
    let outbound = outbound(folder, channel, port, settings(false));
    let outcome = outbound.connect(&"[127.0.0.1]".parse().unwrap()).await;
    (shown(outcome).replace(&port.to_string(), "PORT"), played.await.unwrap())
}

#[test]
fn the_strongest_mechanism_that_fits_is_chosen() {
    let all = "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL XOAUTH2";
    // offered; a password, a safe way, known otherwise, bound
    let rows = [
        (all, [true, true, true, true], Some(Mechanism::ScramSha256Plus)),
        (all, [true, true, true, false], Some(Mechanism::ScramSha256)),
        (all, [true, false, false, false], Some(Mechanism::ScramSha256)),
        ("PLAIN CRAM-MD5", [true, true, false, false], Some(Mechanism::CramMd5)),
        ("LOGIN PLAIN", [true, true, false, false], Some(Mechanism::Plain)),
        ("login", [true, true, false, false], Some(Mechanism::Login)),
        ("LOGIN PLAIN", [true, false, false, true], None),
        ("EXTERNAL", [true, true, true, true], None),
        (all, [false, true, true, true], Some(Mechanism::External)),
        (all, [false, true, false, true], None),
        ("PLAIN", [false, true, true, true], None),
        ("", [true, true, true, true], None),
    ];
    for (offered, [has_password, is_safe, is_known, is_bound], want) in rows {
        let its = Circumstances { has_password, has_token: false, is_safe, is_known, is_bound };
        assert_eq!(its.choose(Mechanisms::of(offered)), want, "{offered} {its:?}");
    }
}

#[test]
fn a_token_goes_before_a_password_and_nowhere_in_clear() {
    // offered, a password, a safe way, the mechanism
    let rows = [
        ("PLAIN XOAUTH2 OAUTHBEARER", true, true, Some(Mechanism::OauthBearer)),
        ("PLAIN xoauth2", true, true, Some(Mechanism::Xoauth2)),
        ("PLAIN XOAUTH2", false, false, None),
        ("CRAM-MD5 XOAUTH2", true, false, Some(Mechanism::CramMd5)),
        ("PLAIN", true, true, Some(Mechanism::Plain)),
        ("PLAIN", false, true, None),
    ];
    for (offered, has_password, is_safe, want) in rows {
        let (is_known, is_bound) = (false, false);
        let its = Circumstances { has_password, has_token: true, is_safe, is_known, is_bound };
        assert_eq!(its.choose(Mechanisms::of(offered)), want, "{offered} {its:?}");
    }
}

#[test]
fn passwords_need_a_good_certificate_over_smtp() {
    let towards = |doubt: Option<&str>| Towards {
        version: "TLSv1.3",
        cipher: "",
        resumed: false,
        doubt: doubt.map(str::to_owned),
        doubt_kind: None,
        binding: None,
    };
    let (good, doubted) = (towards(None), towards(Some("it is signed by no authority")));
    // dialect, in clear, a doubtful certificate, a good one
    for (dialect, want) in
        [(Dialect::Lmtp, [false, true, true]), (Dialect::Smtp, [false, false, true])]
    {
        let got = [None, Some(&doubted), Some(&good)].map(|its| hides_passwords(dialect, its));
        assert_eq!(got, want, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_token_is_shown_and_a_refusal_heard_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("passwords"), "[127.0.0.1] tim@a.test:\n").unwrap();
    std::fs::write(folder.path().join("token"), "{\"access_token\": \"secret\"}\n").unwrap();
    let mut channel = channel(Insist::No, Insist::Must);
    channel.sasl.token_file = Some("token".into());
    // `user=tim@a.test^Aauth=Bearer secret^A^A`, and the same as the RFC has it.
    let older = BASE64_STANDARD.encode("user=tim@a.test\x01auth=Bearer secret\x01\x01");
    let newer = BASE64_STANDARD.encode("n,a=tim@a.test,\x01auth=Bearer secret\x01\x01");
    let refused = "334 eyJzdGF0dXMiOiI0MDEifQ==\n535 5.7.8 bad token\n221 bye";
    // offered, the rest of the script, what comes of it, what is said
    let rows = [
        ("XOAUTH2", "235 in", "AUTH XOAUTH2 as tim@a.test", format!("AUTH XOAUTH2 {older}|")),
        ("OAUTHBEARER", "235 in", "AUTH OAUTHBEARER as", format!("AUTH OAUTHBEARER {newer}|")),
        ("XOAUTH2", refused, "T 4.7.8 bad token", format!("{older}||")),
        ("OAUTHBEARER", refused, "T 4.7.8 bad token", format!("{newer}|AQ==|")),
    ];
    for (offered, rest, want, said) in rows {
        let script = format!("220 s\n250-s|250 AUTH {offered}\n{rest}");
        let (shown, heard) = heard_by(folder.path(), &channel, &script).await;
        assert!(shown.starts_with(want), "{offered} {rest}: {shown}");
        let heard = heard.replace("\r\n", "|");
        assert!(heard.contains(&said), "{offered} {rest}: {heard}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    std::fs::write(folder.path().join("token"), "").unwrap();
    let script = "220 s\n250-s|250 AUTH XOAUTH2\n235 in";
    let (shown, heard) = heard_by(folder.path(), &channel, script).await;
    assert!(shown.ends_with("/token: it holds no token"), "{shown}");
    assert!(!heard.contains("AUTH"), "{heard}");
}

#[tokio::test]
async fn what_was_offered_in_clear_counts_no_more_behind_tls() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("passwords"), "localhost tim:secret\n").unwrap();
    let script = "220 s\n250-s|250-AUTH PLAIN|250 STARTTLS\n220 go\nTLS\n250-s|250 OK\n250 OK";
    let channel = channel(Insist::Must, Insist::Must);
    let shown = opened(folder.path(), &channel, "localhost", &[script, script]).await;
    assert!(shown.contains("does not offer AUTH"), "{shown}");
}

#[tokio::test]
async fn passwords_that_nobody_can_read_let_mail_wait() {
    let folder = tempfile::tempdir().unwrap();
    let want = [
        (Insist::May, "T 4.3.5 passwords of"),
        (Insist::Must, "T 4.3.5 passwords of"),
        (Insist::No, "in clear"),
    ];
    for (insist, want) in want {
        let channel = channel(Insist::No, insist);
        let shown = opened(folder.path(), &channel, "[127.0.0.1]", &[PLAIN]).await;
        assert!(shown.starts_with(want), "{insist:?}: {shown}");
    }
    std::fs::write(folder.path().join("passwords"), "elsewhere.test tim:secret\n").unwrap();
    for (insist, want) in [(Insist::May, "in clear"), (Insist::Must, "T 4.7.0 sasl.credentials")] {
        let channel = channel(Insist::No, insist);
        let shown = opened(folder.path(), &channel, "[127.0.0.1]", &[PLAIN]).await;
        assert!(shown.starts_with(want), "{insist:?}: {shown}");
    }
}

#[tokio::test]
async fn a_server_that_lets_us_wait_at_every_step_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let script = "...\n220 s\n...\n250-s|250-STARTTLS|250 OK\n...\n220 go\nTLS\n...\n250 s\n250 OK";
    for (greeting, want) in [(700, "T 4.4.2 timed out with"), (10_000, VERIFIED)] {
        let (port, _played) = server(&[script], certificate(folder.path())).await;
        let channel = channel(Insist::Must, Insist::No);
        let mut settings = settings(false);
        settings.limits.greeting = Duration::from_millis(greeting);
        let outbound = outbound(folder.path(), &channel, port, settings);
        let shown = shown(outbound.connect(&"localhost".parse().unwrap()).await);
        assert!(shown.starts_with(want), "{greeting}: {shown}");
    }
}

#[tokio::test]
async fn the_header_of_a_proxy_comes_first_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut channel = channel(Insist::No, Insist::No);
    channel.proxy_header = true;
    let (shown, heard) = heard_by(folder.path(), &channel, &format!("PROXY\n{PLAIN}")).await;
    assert_eq!(shown, "in clear");
    let header = heard.lines().next().unwrap();
    assert!(header.contains("From { client: 127.0.0.1:"), "{header}");
}

#[tokio::test]
async fn smtp_is_protected_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("passwords"), "localhost tim:secret\n").unwrap();
    let script = "220 s\n250-s|250 STARTTLS\n220 go\nTLS\n250-s|250 AUTH PLAIN\n235 in\n250 OK";
    let (port, _played) = server(&[script], certificate(folder.path())).await;
    let channel = channel(Insist::Must, Insist::Must);
    let security = Arc::new(
        Security::load(&channel, &Arc::default(), |file| folder.path().join(file)).unwrap(),
    );
    let outbound = Outbound::new(Dialect::Smtp, port, settings(false)).protected(security);
    let shown = shown(outbound.connect(&"localhost".parse().unwrap()).await);
    assert_eq!(shown, format!("{VERIFIED}; AUTH PLAIN as tim"));
}

#[tokio::test]
async fn authorities_that_change_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let channel = channel(Insist::Must, Insist::No);
    let security = Arc::new(
        Security::load(&channel, &Arc::default(), |file| folder.path().join(file)).unwrap(),
    );
    let mut said = Vec::new();
    // The server of that certificate, one of another, and one of a third whose file nobody can read.
    for spoil in [None, None, Some("no certificate")] {
        let tls = if said.is_empty() { Arc::clone(&tls) } else { certificate(folder.path()) };
        if let Some(text) = spoil {
            std::fs::write(folder.path().join("a.crt"), text).unwrap();
        }
        let (port, _played) = server(&[STARTTLS], tls).await;
        let outbound = Outbound::new(Dialect::Lmtp, port, settings(false));
        let outbound = outbound.protected(Arc::clone(&security));
        said.push(shown(outbound.connect(&"localhost".parse().unwrap()).await));
    }
    assert_eq!(said[..2], [VERIFIED, VERIFIED]);
    assert!(said[2].starts_with("T 4.7.5 "), "{}", said[2]);
}
