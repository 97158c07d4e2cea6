//! The endpoint on a socket and on TCP, with a console behind it that answers by heart.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use relais_config::admin::Admin;

use super::{client::Client, connections::MAX_CONNECTIONS, fake::Fake, server::REQUEST_TIME, *};
use crate::api::{QueuedEntry, Status};

/// An endpoint on a socket and on TCP, and what is behind it.
struct Served {
    fake: Fake,
    endpoint: Endpoint,
    data: tempfile::TempDir,
}

fn serve() -> Served {
    serve_with(None)
}

fn serve_with(token_file: Option<PathBuf>) -> Served {
    let (fake, data) = (Fake::default(), tempfile::tempdir().unwrap());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let audit = AuditLog::new(data.path(), &Admin::default());
    let offer = Offer { listen: Some(any), token_file, ..Offer::default() };
    let endpoint = Endpoint::start(fake.clone(), data.path(), offer, audit).unwrap();
    Served { fake, endpoint, data }
}

impl Served {
    fn tcp(&self, request: &str) -> String {
        let address = self.endpoint.places[1].strip_prefix("http://").unwrap();
        talk(TcpStream::connect(address).unwrap(), request)
    }

    fn unix(&self, request: &str) -> String {
        talk(UnixStream::connect(socket::path(self.data.path())).unwrap(), request)
    }
}

fn talk(stream: impl Read + Write, request: &str) -> String {
    let rest = "HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    talk_raw(stream, &format!("{request} {rest}"))
}

fn talk_raw(mut stream: impl Read + Write, request: &str) -> String {
    // A server that has read enough answers and closes while we still write.
    let _ = write!(stream, "{request}");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn every_page_answers_on_both_sides_and_changes_on_one_only() {
    let served = serve();
    // request, by TCP, by the socket, what the answer holds
    let rows = [
        ("GET /", "200", "200", "SERVICE"),
        ("GET /metrics", "200", "200", "content-type: text/plain; version=0.0.4"),
        ("HEAD /metrics", "200", "200", "content-type: text/plain; version=0.0.4"),
        ("HEAD /readyz", "200", "200", "content-length: 6"),
        ("HEAD /api/v1/stop", "405", "405", ""),
        ("GET /healthz", "200", "200", "alive"),
        ("GET /readyz", "200", "200", "ready"),
        ("GET /api/v1/status", "200", "200", "\"max_messages\":100"),
        ("GET /api/v1/overview", "200", "200", "\"failures\":4"),
        ("GET /api/v1/series", "200", "200", "\"span\":\"hour\",\"step_seconds\":10"),
        ("GET /api/v1/series?span=day", "200", "200", "\"span\":\"day\""),
        ("GET /api/v1/series?span=week", "400", "400", "{\"error\":"),
        ("GET /api/v1/counters", "200", "200", "\"tcp_local\":{\"received\":{\"messages\":"),
        ("GET /api/v1/certificates", "200", "200", "[]"),
        ("GET /api/v1/audit", "403", "200", ""),
        ("GET /api/v1/orders", "200", "200", "\"orders\":[]"),
        ("POST /api/v1/orders", "403", "400", ""),
        ("POST /api/v1/orders/7/remove", "403", "400", ""),
        ("GET /api/v1/queue", "200", "200", "application/x-ndjson"),
        ("GET /api/v1/queue?state=lost", "400", "400", "{\"error\":"),
        ("GET /api/v1/queue?chanel=x", "400", "400", "unknown field `chanel`"),
        ("GET /api/v1/queue?channel=x", "400", "400", "there is no channel"),
        ("GET /api/v1/queue?to=", "400", "400", "must not be empty"),
        ("GET /api/v1/queue/summary", "200", "200", "\"hosts\":["),
        ("GET /api/v1/queue/0000000000001", "200", "200", "\"header\":["),
        ("GET /api/v1/queue/0000000000ZZZ", "400", "400", "is not a queue id"),
        ("GET /api/v1/queue/VVVV000000000", "400", "400", "is not a queue id"),
        ("GET /api/v1/queue/0VVV000000000", "404", "404", "no message 0VVV000000000"),
        ("GET /api/v1/route?address=a%40b", "200", "200", "\"input\":\"a@b\""),
        ("GET /api/v1/route?address=a%40b&scripts=true", "403", "200", ""),
        ("GET /api/v1/access?client=192.0.2.7", "200", "200", "\"client\":\"192.0.2.7\""),
        ("GET /api/v1/access?client=x", "400", "400", "invalid IP address"),
        ("GET /api/v1/mapping?table=T&input=x", "200", "200", "\"table\":\"T\""),
        ("GET /api/v1/test?stage=rewrite&input=a", "403", "200", ""),
        ("GET /api/v1/test?stage=other&input=a", "403", "400", ""),
        ("GET /api/v1/mapping?table=T", "400", "400", "missing field `input`"),
        ("GET /api/v1/route", "400", "400", "missing field `address`"),
        ("GET /api/v1/trace?name=a%40b", "403", "200", ""),
        ("GET /api/v1/trace?name=", "403", "400", ""),
        ("GET /api/v1/trace?name=a&since=x", "403", "400", ""),
        ("POST /api/v1/trace/forget", "403", "400", ""),
        ("GET /api/v1/mailboxes", "403", "200", ""),
        ("GET /api/v1/mailboxes?domian=x", "403", "400", ""),
        ("POST /api/v1/mailboxes", "403", "400", ""),
        ("POST /api/v1/routes", "403", "400", ""),
        ("GET /api/v1/stop", "405", "405", ""),
        ("GET /api/v1/parts", "404", "404", ""),
        ("GET /nowhere", "404", "404", "no such page"),
        ("POST /api/v1/stop", "403", "202", ""),
    ];
    for (request, by_tcp, by_unix, holds) in rows {
        for (answer, want) in [(served.tcp(request), by_tcp), (served.unix(request), by_unix)] {
            assert_eq!(code(&answer), want, "{request}: {answer}");
            assert!(answer.contains(holds), "{request}: {answer}");
        }
    }
    assert_eq!(served.fake.0.stops.load(Relaxed), 1, "the refused one did nothing");
}

#[test]
fn where_operators_log_in_strangers_see_the_login_and_what_monitors_ask_for() {
    let served = serve_with(Some(PathBuf::from("/nowhere/token")));
    // request, by TCP, by the socket
    let rows = [
        ("GET /login", "200", "200"),
        ("GET /metrics", "200", "200"),
        ("HEAD /healthz", "200", "200"),
        ("GET /readyz", "200", "200"),
        ("GET /", "401", "200"),
        ("GET /queue", "401", "200"),
        ("GET /queue?search=long", "401", "200"),
        ("GET /queue/0000000000001", "401", "200"),
        ("GET /login/../queue", "401", ""),
        ("GET /%71ueue", "401", ""),
        ("GET /channels", "401", "200"),
        ("GET /hosts", "401", "200"),
        ("GET /api/v1/status", "401", "200"),
        ("GET /api/v1/queue", "401", "200"),
        ("GET /api/v1/route?address=a%40b", "401", "200"),
        ("GET /api/v1/live", "401", ""),
        ("GET /nowhere", "401", "404"),
        ("POST /order", "401", ""),
        ("POST /api/v1/stop", "401", ""),
    ];
    for (request, by_tcp, by_unix) in rows {
        let answer = served.tcp(request);
        assert_eq!(code(&answer), by_tcp, "{request}: {answer}");
        if !by_unix.is_empty() {
            assert_eq!(code(&served.unix(request)), by_unix, "{request}");
        }
    }
    let login = served.tcp("GET /login");
    let (_, style) = login.split_once("stylesheet\" href=\"").unwrap();
    let style = style.split('"').next().unwrap();
    assert_eq!(code(&served.tcp(&format!("GET {style}"))), "200");
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let head = "GET /queue HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\
                cookie: __Host-relais=0\r\nconnection: close\r\n\r\n";
    let answer = talk_raw(TcpStream::connect(address).unwrap(), head);
    assert_eq!(code(&answer), "303", "{answer}");
    assert!(answer.contains("location: /login"), "{answer}");
    assert_eq!(served.fake.0.stops.load(Relaxed), 0);
}

#[test]
fn strangers_by_tcp_do_not_keep_the_socket_from_its_owner() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let connect = |_| TcpStream::connect(address).unwrap();
    let _strangers: Vec<_> = (0..MAX_CONNECTIONS + 16).map(connect).collect();
    // The last of them has been accepted, or waits for a place.
    std::thread::sleep(Duration::from_millis(300));
    let unix = UnixStream::connect(socket::path(served.data.path())).unwrap();
    unix.set_read_timeout(Some(REQUEST_TIME / 2)).unwrap();
    assert_eq!(code(&talk(unix, "POST /api/v1/stop")), "202");
}

#[test]
fn readiness_says_why_not() {
    let served = serve();
    served.fake.0.not_ready.lock().unwrap().replace("recovering the spool".to_owned());
    let answer = served.tcp("GET /readyz");
    assert_eq!(code(&answer), "503");
    assert!(answer.ends_with("recovering the spool\n"));
    assert_eq!(code(&served.tcp("GET /healthz")), "200");
    assert_eq!(code(&served.tcp("GET /metrics")), "200");
}

/// A stream of events, behind the head of its answer.
fn stream(served: &Served) -> std::io::BufReader<UnixStream> {
    let mut stream = UnixStream::connect(socket::path(served.data.path())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    std::io::BufReader::new(stream)
}

fn line_with(lines: impl std::io::BufRead, wanted: &str) -> String {
    lines.lines().map_while(Result::ok).find(|line| line.contains(wanted)).unwrap_or_default()
}

#[actix_rt::test]
async fn a_stream_tells_at_once_and_again_and_ends_with_the_endpoint() {
    let served = serve();
    let mut events = stream(&served);
    assert_eq!(line_with(&mut events, "HTTP"), "HTTP/1.1 200 OK");
    assert_eq!(line_with(&mut events, "event-stream"), "content-type: text/event-stream");
    for _ in 0..2 {
        assert_eq!(line_with(&mut events, "event:"), "event: overview");
        let data = line_with(&mut events, "data:");
        let data = data.strip_prefix("data: ").unwrap();
        let overview: crate::api::Overview = serde_json::from_str(data).unwrap();
        assert_eq!(overview, fake_overview::overview());
    }
    let begin = std::time::Instant::now();
    served.endpoint.stop().await;
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(700), "it held up the end for {took:?}");
}

#[actix_rt::test]
async fn streams_are_few_and_one_that_ends_makes_room() {
    let served = serve();
    let begun = |mut events: std::io::BufReader<UnixStream>| {
        let head = line_with(&mut events, "HTTP");
        (code(&head).to_owned(), events)
    };
    let open: Vec<_> = (0..16).map(|_| begun(stream(&served))).collect();
    assert!(open.iter().all(|(code, _)| code == "200"));
    assert_eq!(begun(stream(&served)).0, "503");
    assert_eq!(code(&served.unix("GET /healthz")), "200", "the others are still served");
    drop(open);
    let mut again = String::new();
    for _ in 0..100 {
        again = begun(stream(&served)).0;
        if again == "200" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(again, "200");
}

#[test]
fn only_names_of_ours_are_answered_by_tcp() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let request = |stream: TcpStream, target: &str, host: &str| {
        let head = format!("GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        code(&talk_raw(stream, &head)).to_owned()
    };
    for (target, host, want) in [
        ("/api/v1/status", "host: localhost\r\n", "200"),
        ("/api/v1/status", "host: 127.0.0.1:9225\r\n", "200"),
        ("/api/v1/status", "host: evil.example:9225\r\n", "421"),
        ("/healthz", "host: evil.example\r\n", "421"),
        ("/metrics", "host: localhost\r\nhost: evil.example\r\n", "400"),
        ("http://evil.example/metrics", "host: localhost\r\n", "421"),
        ("/metrics", "host: \r\n", "421"),
    ] {
        let tcp = TcpStream::connect(address).unwrap();
        assert_eq!(request(tcp, target, host), want, "{target} {host:?}");
    }
    let unix = UnixStream::connect(socket::path(served.data.path())).unwrap();
    let head = "GET /healthz HTTP/1.1\r\nhost: relais\r\nconnection: close\r\n\r\n";
    assert_eq!(code(&talk_raw(unix, head)), "200");
}

#[test]
fn a_browser_gets_the_page_and_gives_orders_by_forms_of_its_session_only() {
    let served = serve();
    served.fake.0.entries.store(3, Relaxed);
    let ask = |head: &str, body: &str| {
        let unix = UnixStream::connect(socket::path(served.data.path())).unwrap();
        let request = format!(
            "{head}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        talk_raw(unix, &request)
    };
    let get = |path: &str| ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost:9226"), "");
    for (path, holds) in [
        ("/queue", "/queue/0000000000001"),
        ("/queue?channel=x", "there is no channel"),
        ("/queue/0000000000001", "could not be talked to"),
        ("/queue/0VVV000000000", "There is no message"),
        ("/channels", "tcp_lmtpcs"),
        ("/services", "SMTP/1"),
        ("/hosts", "connection refused"),
        ("/directory", "no certificate"),
        ("/login", "Orders are taken from you"),
    ] {
        let page = get(path);
        assert!(page.contains("<!DOCTYPE html>") && page.contains(holds), "{path}: {page}");
        assert!(page.contains("content-security-policy: default-src 'none'"), "{path}: {page}");
        assert!(!page.contains(" style=") && !page.contains("<script>"), "{path}: {page}");
    }
    let page = ask("GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html, */*;q=0.8", "");
    assert!(page.contains("store1.example could not be talked to"), "{page}");

    let page = get("/queue");
    let (_, token) = page.split_once("form_token\" value=\"").unwrap();
    let token = &token[..64];
    let order = "order=hold&scope=all&confirmed=yes";
    let post = "POST /order HTTP/1.1\r\nhost: localhost:9226";
    let with_token = format!("form_token={token}&{order}");
    let wrong = format!("form_token={}&{order}", "0".repeat(64));
    for (head, body, want) in [
        (post.to_owned(), order, "403"),
        (post.to_owned(), wrong.as_str(), "403"),
        (format!("{post}\r\nsec-fetch-site: cross-site"), with_token.as_str(), "403"),
        (format!("{post}\r\norigin: http://localhost:3000"), &with_token, "403"),
        ("POST /order HTTP/1.1\r\nhost: evil.example:9226".to_owned(), &with_token, "421"),
        (format!("{post}\r\nsec-fetch-site: same-origin\r\norigin: null"), &with_token, "200"),
        (format!("{post}\r\norigin: http://localhost:9226"), &with_token, "200"),
    ] {
        let before = served.fake.0.ordered.load(Relaxed);
        let answer = ask(&head, body);
        assert_eq!(code(&answer), want, "{head}: {answer}");
        let done = served.fake.0.ordered.load(Relaxed) - before;
        assert_eq!(done, if want == "200" { 3 } else { 0 }, "{head}");
    }
    let shown = ask(post, &with_token.replace("&confirmed=yes", ""));
    assert!(shown.contains("hold 3 entries") && shown.contains("Do it"), "{shown}");
    assert_eq!(served.fake.0.ordered.load(Relaxed), 6, "a preview does nothing");
    let foreign = "POST /api/v1/stop HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: cross-site";
    assert_eq!(code(&ask(foreign, "")), "403");
    assert_eq!(code(&served.tcp("GET /queue")), "200");
    assert!(!served.tcp("GET /queue").contains("form_token"), "readers get no forms");
    assert_eq!(code(&served.tcp("POST /order")), "403");
    assert_eq!(code(&served.tcp("POST /login")), "415", "it is no form");
    assert_eq!(served.fake.0.stops.load(Relaxed), 0);
}

#[test]
fn the_format_of_metrics_is_the_one_that_is_asked_for() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let by_text = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.2";
    for (accept, open) in [
        (prometheus, true),
        (by_text, false),
        ("*/*", false),
        ("text/html", false),
        ("application/openmetrics-text", true),
        ("application/openmetrics-text;q=0", false),
        ("application/openmetrics-text;q=0, */*", false),
        ("application/openmetrics-text;q=0.001", true),
        ("application/openmetrics-text; version=2.0.0, text/plain", false),
        ("application/vnd.google.protobuf", false),
        ("?;;,q=", false),
    ] {
        let stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\
             connection: close\r\n\r\n"
        );
        let answer = talk_raw(stream, &head);
        assert_eq!(code(&answer), "200", "{accept}");
        assert_eq!(answer.contains("application/openmetrics-text; version=1.0.0"), open);
        assert!(answer.ends_with("# EOF\n"), "{accept}");
    }
}

#[test]
fn a_head_that_never_ends_is_refused() {
    let served = serve();
    let answer = served.tcp(&format!("GET /{}", "x".repeat(1 << 20)));
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(code(&served.tcp("GET /healthz")), "200", "the others are still served");
}

#[actix_rt::test]
async fn a_long_listing_comes_whole_and_in_order() {
    let served = serve();
    served.fake.0.entries.store(20_000, Relaxed);
    let client = Client::new(served.data.path());
    let mut ids = Vec::new();
    let each = |line: &[u8]| {
        let entry: QueuedEntry = serde_json::from_slice(line).unwrap();
        ids.push(entry.id);
        Ok::<(), client::ClientError>(())
    };
    client.lines("/api/v1/queue", each).await.unwrap();
    assert_eq!(ids.len(), 20_000);
    assert!(ids.is_sorted());
    assert!(served.fake.0.largest_page.load(Relaxed) <= 4_096, "memory is bounded");
    for (limit, want) in [(0, 0), (1, 1), (256, 256), (257, 257)] {
        let mut count = 0;
        let each = |_: &[u8]| {
            count += 1;
            Ok::<(), client::ClientError>(())
        };
        client.lines(&format!("/api/v1/queue?limit={limit}"), each).await.unwrap();
        assert_eq!(count, want, "limit {limit}");
    }
}

#[actix_rt::test]
async fn a_listing_that_breaks_off_is_not_taken_for_whole() {
    let served = serve();
    served.fake.0.entries.store(1_000, Relaxed);
    served.fake.0.break_at.store(500, Relaxed);
    let client = Client::new(served.data.path());
    let each = |_: &[u8]| Ok::<(), client::ClientError>(());
    let error = client.lines("/api/v1/queue", each).await.unwrap_err();
    assert!(matches!(error, client::ClientError::Unusable(_)), "{error}");
}

#[actix_rt::test]
async fn the_client_says_when_nothing_runs() {
    let served = serve();
    let client = Client::new(served.data.path());
    client.get::<Status>("/api/v1/status").await.unwrap();
    let data = served.data.path().to_owned();
    served.endpoint.stop().await;
    let error = client.get::<Status>("/api/v1/status").await.unwrap_err().to_string();
    let shown = data.display();
    let want = format!("no engine is running on {shown} (no admin.sock)");
    assert_eq!(error, want);
    drop(socket::bind(&data).unwrap());
    let error = client.get::<Status>("/api/v1/status").await.unwrap_err().to_string();
    let left_over = format!("no engine is running on {shown} (its admin.sock is left over)");
    assert!(error.starts_with(&left_over), "{error}");
}

/// Octets of memory that this process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

#[test]
fn many_that_ask_and_never_read_neither_keep_others_out_nor_fill_memory() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let before = resident();
    let requests = "GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(4_000);
    let connect = |_| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        (stream, 0)
    };
    let mut strangers: Vec<_> = (0..MAX_CONNECTIONS + 8).map(connect).collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        for (stream, sent) in &mut strangers {
            *sent += stream.write(&requests.as_bytes()[*sent..]).unwrap_or(0);
        }
        std::thread::sleep(Duration::from_millis(50));
        let begin = std::time::Instant::now();
        assert_eq!(code(&served.tcp("GET /healthz")), "200");
        slowest = slowest.max(begin.elapsed());
    }
    let grown = resident().saturating_sub(before) >> 20;
    assert!(slowest < REQUEST_TIME / 2, "{slowest:?}");
    assert!(grown < 100, "{grown} MiB");
}

#[test]
fn requests_that_are_sent_together_are_answered_in_order() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let head = |target| format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n");
    let all = ["/healthz", "/nowhere", "/api/v1/queue", "/readyz"].map(head).join("\r\n");
    let answers =
        talk_raw(TcpStream::connect(address).unwrap(), &(all + "connection: close\r\n\r\n"));
    let codes: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["200", "404", "200", "200"], "{answers}");
    assert!(answers.ends_with("ready\n"), "{answers}");
}

#[test]
fn readers_leave_streams_to_operators() {
    let served = serve();
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut stream = std::io::BufReader::new(stream);
        let head = line_with(&mut stream, "HTTP");
        (code(&head).to_owned(), stream)
    };
    let readers: Vec<_> = (0..16).map(ask).collect();
    assert_eq!(readers.iter().filter(|(code, _)| code == "200").count(), 8);
    assert_eq!(code(&line_with(stream(&served), "HTTP")), "200");
}

#[test]
fn listings_that_nobody_takes_are_few() {
    let served = serve();
    served.fake.0.entries.store(1_000_000, Relaxed);
    let address = served.endpoint.places[1].strip_prefix("http://").unwrap();
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /api/v1/queue HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (head.ends_with(b"200"), stream)
    };
    let listings: Vec<_> = (0..10).map(ask).collect();
    assert_eq!(listings.iter().filter(|(is_begun, _)| *is_begun).count(), 8);
    assert_eq!(code(&served.unix("GET /api/v1/queue?limit=1")), "200");
    drop(listings);
    let again = || code(&served.tcp("GET /api/v1/queue?limit=1")) == "200";
    let begin = std::time::Instant::now();
    while !again() && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(again(), "those that are gone have left their places");
}
