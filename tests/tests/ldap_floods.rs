//! An LDAP server that sends what it likes: more than is taken, no end, no LDAP at all. Memory stays bounded, replies come in time, and other mail flows.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Settings, within};

/// Answers to a search, given its number, until the client goes away.
type Flood = fn(u8, &mut TcpStream) -> std::io::Result<()>;

/// Searches that any server of a test was asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// A server of this kind; it lives as long as the test.
fn server(flood: Flood) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            thread::spawn(move || {
                let mut request = [0; 4_096];
                while let Ok(length @ 1..) = client.read(&mut request) {
                    // `30 LL 02 01 ID` or `30 81 LL 02 01 ID`; a test makes no more than 255.
                    let at = request[..length].windows(2).position(|pair| pair == [2, 1]);
                    let id = at.and_then(|at| request.get(at + 2)).copied().unwrap_or_default();
                    ASKED.fetch_add(1, Ordering::Relaxed);
                    if flood(id, &mut client).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// An element with this content, its length in five octets.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x84][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

/// A message of this operation.
fn said(id: u8, operation: u8, content: &[u8]) -> Vec<u8> {
    element(0x30, &[&[2, 1, id][..], &element(operation, content)].concat())
}

/// An entry `o=abc` with these attributes.
fn entry(id: u8, attributes: &[u8]) -> Vec<u8> {
    said(id, 0x64, &[b"\x04\x05o=abc", &element(0x30, attributes)[..]].concat())
}

fn sends_for_ever(octets: &[u8], client: &mut TcpStream) -> std::io::Result<()> {
    let many = octets.repeat((64 << 10) / octets.len() + 1);
    loop {
        client.write_all(&many)?;
    }
}

/// Twice what is taken.
fn announces_too_much(id: u8, client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(&said(id, 0x79, &vec![4; 2 << 20]))
}

fn sends_entries_for_ever(id: u8, client: &mut TcpStream) -> std::io::Result<()> {
    sends_for_ever(&entry(id, b""), client)
}

fn sends_strangers_for_ever(_: u8, client: &mut TcpStream) -> std::io::Result<()> {
    sends_for_ever(&entry(0x7f, b""), client)
}

/// A few elements more in each other than an answer has.
fn nests(id: u8, client: &mut TcpStream) -> std::io::Result<()> {
    let body = (0..40).fold(Vec::new(), |inside, _| element(0x30, &inside));
    client.write_all(&said(id, 0x79, &body))
}

/// More elements than an octet of eight may begin.
fn sends_crumbs(id: u8, client: &mut TcpStream) -> std::io::Result<()> {
    let values = element(0x31, &b"\x04\x00".repeat(140_000));
    client.write_all(&entry(id, &element(0x30, &[b"\x04\x01a", &values[..]].concat())))
}

fn says_nothing(_: u8, client: &mut TcpStream) -> std::io::Result<()> {
    client.flush()
}

fn trickles(id: u8, client: &mut TcpStream) -> std::io::Result<()> {
    for octet in said(id, 0x79, &vec![4; 100_000]) {
        client.write_all(&[octet])?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn speaks_http(_: u8, client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
}

/// An engine that asks this server, and knows a domain without asking.
fn asking(flood: Flood) -> Instance {
    let directory = format!(
        "directory: Ldap(servers: [\"ldap://127.0.0.1:{}\"], user_base: \"dc=siroe,dc=com\", \
         timeout: \"3s\", max_connections: 2, max_answer: \"1MiB\")",
        server(flood)
    );
    let rules = "rewrite_rules: [(\"other.test\", \"$U%other.test@bitbucket\"),";
    Instance::new(
        Settings::standalone()
            .edit("directory: Ldif()", &directory)
            .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
            .edit("rewrite_rules: [", rules)
            .edit("(\"$*\",    \"$A$E$F", "(\".\",    \"$A$E$F"),
    )
}

fn ask(instance: &Instance, recipient: &str) -> (String, Duration) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    let begun = Instant::now();
    let reply = client.ask(&format!("RCPT TO:<{recipient}>"));
    (reply.text, begun.elapsed())
}

/// Twenty recipients wait for this server. `want`: the words of the log about it.
fn is_withstood(flood: Flood, want: &str) {
    let instance = asking(flood);
    let mut running = instance.start();
    let before = running.memory().peak;
    let asked = ASKED.load(Ordering::Relaxed);
    let rounds = Instant::now();
    while rounds.elapsed() < Duration::from_secs(5) {
        let replies = thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..20).map(|_| scope.spawn(|| ask(&instance, "u@siroe.com"))).collect();
            let (reply, waited) = ask(&instance, "x@other.test");
            assert!(reply.starts_with("250"), "{reply}");
            assert!(waited < Duration::from_millis(800), "{waited:?} for other mail");
            waiting.into_iter().map(|asked| asked.join().expect("a reply")).collect::<Vec<_>>()
        });
        for (reply, waited) in replies {
            assert!(reply.starts_with("451 4"), "{reply}");
            assert!(waited < Duration::from_millis(3_900), "{waited:?}");
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert!(ASKED.load(Ordering::Relaxed) > asked, "nobody asked the server");
    let told = || {
        let log = instance.log();
        log.lines().filter(|line| line.contains("an LDAP server")).collect::<Vec<_>>().join("\n")
    };
    assert!(within(Duration::from_secs(20), || told().contains(want)), "{want}: {}", told());
    let grown = running.memory().peak.saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more memory", grown >> 20);
    assert_eq!(running.exited(), None);
}

#[test]
fn a_message_that_is_too_long_is_not_waited_for() {
    is_withstood(announces_too_much, "the server announced a message of 2097");
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_left_alone() {
    is_withstood(says_nothing, "no answer in");
}

#[test]
fn an_answer_that_never_comes_to_its_end_is_cut_off() {
    is_withstood(sends_entries_for_ever, "has more than 1000 messages");
    is_withstood(sends_strangers_for_ever, "on and on what nobody asked for");
    is_withstood(trickles, "no answer in");
}

#[test]
fn what_no_server_says_does_not_come_to_the_library() {
    is_withstood(nests, "lie in each other more than");
    is_withstood(sends_crumbs, "a message of more than");
    is_withstood(speaks_http, "is no message of LDAP");
}
