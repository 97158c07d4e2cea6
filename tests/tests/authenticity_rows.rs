//! The public test messages and SPF cases that the `mail-auth` crate ships, through our own checks and
//! with a real name server: results are those that stand beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    net::IpAddr,
    time::Duration,
};

use relais_channels::{
    authenticity::{AuthResult, SignedContent, Verifier},
    dns::Dns,
};
use relais_tests::{NameServer, mail_auth_resources, needs};

/// Runs on the one thread of a test.
fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Records of a scenario: by name and type, their data.
#[derive(Clone, Default)]
struct Records(BTreeMap<(String, &'static str), Vec<String>>);

impl Records {
    /// In the place of those that the name had.
    fn set(&mut self, name: &str, kind: &'static str, data: Vec<String>) {
        let name = name.trim_end_matches('.');
        let is_label = |label: &str| (1..=63).contains(&label.len());
        if name.len() <= 253 && name.split('.').all(is_label) {
            self.0.insert((name.to_ascii_lowercase(), kind), data);
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let parts = escaped
            .as_bytes()
            .chunks(250)
            .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)));
        self.set(name, "TXT", vec![parts.collect::<Vec<_>>().join(" ")]);
    }

    /// A zone for each last label, so that what is not there does not exist; and some beside them.
    fn serve(&self, beside: &[&str]) -> NameServer {
        let mut zones: BTreeMap<&str, String> = BTreeMap::new();
        for zone in beside {
            zones.entry(zone).or_default();
        }
        for ((name, kind), all) in &self.0 {
            let zone = zones.entry(name.rsplit('.').next().unwrap_or(name)).or_default();
            for data in all {
                let _ = writeln!(zone, "{name}. {kind} {data}");
            }
        }
        let zones = zones.iter().map(|(zone, text)| (*zone, text.as_str()));
        // Zones that cannot be read: questions for them get SERVFAIL.
        let failed = ["_dns_error.org", "_dns_error.test.org"].map(|zone| (zone, "no records\n"));
        NameServer::start(&zones.chain(failed).collect::<Vec<_>>())
    }
}

/// One question of a scenario, and the answer that is expected.
struct Case {
    hello: String,
    sender: String,
    client: IpAddr,
    want: String,
}

/// Cases that are asked one after the other, with the records that there are then.
type Asked = (Records, Vec<Case>);

/// A scenario of a file: its name, and its cases. Records behind cases stand in the place of earlier
/// ones.
fn scenario(text: &str) -> (String, Vec<Asked>) {
    let (mut name, mut records, mut all) = (String::new(), Records::default(), Vec::new());
    let (mut hello, mut sender) = (String::new(), String::new());
    let mut cases = Vec::new();
    let mut client: IpAddr = "127.0.0.1".parse().expect("an address");
    for line in text.lines() {
        let line = line.trim().trim_start_matches('-').trim();
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let (first, rest) = value.split_once(' ').unwrap_or((value, ""));
        let listed = || rest.split(',').map(|its| its.trim().to_owned());
        if ["spf", "exp", "a", "aaaa", "ptr", "mx"].contains(&key) && !cases.is_empty() {
            all.push((records.clone(), std::mem::take(&mut cases)));
        }
        match key {
            "name" => value.clone_into(&mut name),
            "spf" | "exp" => records.text(first, rest.trim()),
            "a" => records.set(first, "A", listed().collect()),
            "aaaa" => records.set(first, "AAAA", listed().collect()),
            "ptr" => {
                let name = reversed(first.parse().expect("an address"));
                let hosts = listed().map(|host| format!("{}.", host.trim_end_matches('.')));
                records.set(&name, "PTR", hosts.collect());
            }
            "mx" => {
                let mut exchangers = Vec::new();
                for (place, ip) in listed().enumerate() {
                    let host = format!("mx{place}-{}.mx-of-rows", ip.replace(['.', ':'], "-"));
                    let kind = if ip.contains(':') { "AAAA" } else { "A" };
                    records.set(&host, kind, vec![ip]);
                    exchangers.push(format!("{} {host}.", place + 1));
                }
                records.set(first, "MX", exchangers);
            }
            "domain" => value.clone_into(&mut hello),
            "sender" => value.clone_into(&mut sender),
            "ip" => client = value.parse().expect("an address"),
            "expect" => cases.push(Case {
                hello: hello.clone(),
                sender: sender.clone(),
                client,
                want: first.to_owned(),
            }),
            _ => {}
        }
    }
    all.push((records, cases));
    (name, all)
}

fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let nibbles = nibbles.map(|nibble| format!("{nibble:x}"));
            nibbles.chain(["ip6.arpa".to_owned()]).collect::<Vec<_>>().join(".")
        }
    }
}

/// Asks cases with these records; notes what comes out otherwise.
fn ask(name: &str, records: &Records, cases: Vec<Case>, wrong: &mut Vec<String>) {
    let names = cases.iter().flat_map(|case| [case.hello.as_str(), case.sender.as_str()]);
    let zones = names.filter_map(|name| name.rsplit('.').next());
    let is_zone = |zone: &&str| (1..=63).contains(&zone.len()) && !zone.contains('@');
    let zones: BTreeSet<_> = zones.filter(is_zone).chain(["arpa", "org", "com", "net"]).collect();
    let server = records.serve(&zones.into_iter().collect::<Vec<_>>());
    let at = format!("127.0.0.1:{}", server.port).parse().expect("an address");
    let verifier = Verifier::new(Dns::shared(&[at]).expect("name servers"), "localdomain.org");
    for Case { hello, sender, client, want } in cases {
        let limit = Duration::from_secs(20);
        let found = wait(verifier.spf(client, (&hello, &sender), limit));
        // As the library asks: HELO decides where it fails, or where there is no sender.
        let alone = sender.is_empty() || found.helo == AuthResult::Fail;
        let got = if alone { found.helo } else { found.verdict };
        // The library counts no void look-ups, and this record has more than two.
        let is_void = (name, &*hello) == ("DNS Lookup Limits", "ok.test.org");
        let want = if is_void { "permerror" } else { &*want };
        if got.name() != want {
            wrong.push(format!("{name}: {hello} {sender} {client}: {got}, not {want}"));
        }
    }
}

#[test]
fn spf_cases_come_out_as_the_library_says() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let mut files: Vec<_> = fs::read_dir(mail_auth_resources().join("spf"))
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        for part in text.split("---\n") {
            let (name, all) = scenario(part);
            for (records, cases) in all.into_iter().filter(|(_, cases)| !cases.is_empty()) {
                count += cases.len();
                ask(&name, &records, cases, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 100, "{count}");
}

/// Real messages with their keys, each also with an octet of its body changed.
#[test]
fn signed_messages_verify_as_the_library_says() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let mut files: Vec<_> = fs::read_dir(mail_auth_resources().join("dkim"))
        .expect("the messages")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text =
            fs::read_to_string(&file).expect("a file").replace('\r', "").replace('\n', "\r\n");
        let (keys, message) = text.split_once("\r\n\r\n").expect("keys, and a message");
        let mut records = Records::default();
        for line in keys.split("\r\n") {
            let (name, record) = line.split_once(' ').expect("a record");
            records.text(name, record);
        }
        let server = records.serve(&[]);
        let at = format!("127.0.0.1:{}", server.port).parse().expect("an address");
        let verifier = Verifier::new(Dns::shared(&[at]).expect("name servers"), "mx.test");
        let check = |message: &str| {
            let end = message.find("\r\n\r\n").expect("a header") + 4;
            let mut content = SignedContent::begin(&message.as_bytes()[..end], 10);
            message.as_bytes()[end..].chunks(7).for_each(|piece| content.feed(piece));
            let limits = (false, Duration::from_secs(20));
            wait(verifier.message(content, None, limits)).dkim.expect("DKIM was checked")
        };
        let found = check(message);
        let expired = |reason: &str| reason == "the signature has expired";
        assert!(!found.is_empty(), "{}", file.display());
        for its in &found {
            let holds = its.verdict == AuthResult::Pass || expired(its.reason);
            assert!(holds, "{}: {its:?}", file.display());
        }
        for its in check(&(message.to_owned() + "more")) {
            assert_eq!(its.verdict, AuthResult::Fail, "{}: {its:?}", file.display());
        }
    }
}
