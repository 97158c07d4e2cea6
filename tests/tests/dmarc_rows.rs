//! DMARC and void look-ups of SPF by a real name server: the examples of RFC 7489 appendix B and of
//! RFC 9989 appendix B, the cases that the `mail-auth` crate ships, and what they leave open.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, time::Duration};

use relais_channels::{
    authenticity::{AuthResult, SignedContent, Verifier},
    dns::Dns,
};
use relais_tests::{DKIMPY, DkimKey, NameServer, dkimpy_signs, needs};

const LIMIT: Duration = Duration::from_secs(20);
/// Lets client 127.0.0.7 send.
const SPF: &str = "v=spf1 ip4:127.0.0.7 -all";

/// Names and their TXT records; each name has SPF, too, and an address.
const RECORDS: &[(&str, &[&str])] = &[
    ("example.com", &["v=DMARC1; p=reject; rua=mailto:d@example.com"]),
    ("child.example.com", &[]),
    ("monitor.org", &["v=DMARC1; p=none; rua=mailto:dmarc-feedback@monitor.org"]),
    ("strict.org", &["v=DMARC1; p=reject; aspf=s; adkim=s; fo=1; rua=mailto:d@strict.org"]),
    ("sub.strict.org", &[]),
    ("relaxed.org", &["v=DMARC1; p=reject; aspf=r; adkim=r; fo=1; rua=mailto:d@relaxed.org"]),
    ("sub.relaxed.org", &[]),
    ("levels.org", &["v=DMARC1; p=reject; sp=quarantine; np=none"]),
    ("sub.levels.org", &[]),
    ("test.levels.org", &["v=DMARC1; p=quarantine"]),
    ("onlyrua.org", &["v=DMARC1; rua=mailto:d@onlyrua.org"]),
    ("sprua.org", &["v=DMARC1; sp=reject; rua=mailto:d@sprua.org"]),
    ("sub.sprua.org", &[]),
    ("nothing.org", &["v=DMARC1; sp=reject; np=reject"]),
    ("sub.nothing.org", &[]),
    ("testing.org", &["v=DMARC1; p=reject; t=y"]),
    ("testing-q.org", &["v=DMARC1; p=quarantine; t=y"]),
    ("case.org", &["v=DMARC1;P=Reject;ADKIM=S"]),
    ("spaces.org", &[" v = DMARC1 ; p = reject "]),
    ("unknown-tag.org", &["v=DMARC1; p=reject; zz=1; pct=10; rf=afrf; ri=86400"]),
    ("bad-tag.org", &["v=DMARC1; p=reject; adkim=maybe; fo=what"]),
    ("bad-sp.org", &["v=DMARC1; p=quarantine; sp=bogus"]),
    ("sub.bad-sp.org", &[]),
    ("bad-p.org", &["v=DMARC1; p=bogus"]),
    ("bad-p-rua.org", &["v=DMARC1; p=bogus; rua=mailto:d@bad-p-rua.org"]),
    ("old.org", &["v=DMARC2; p=reject"]),
    ("noversion.org", &["p=reject"]),
    ("several.org", &["v=DMARC1; p=reject", "v=DMARC1; p=none"]),
    ("beside.org", &["some other text", "v=DMARC1; p=reject"]),
    ("mail.psd-n.org", &["v=DMARC1; p=reject; psd=n; rua=mailto:d@psd-n.org"]),
    ("a.mail.psd-n.org", &[]),
    ("b.mail.psd-n.org", &[]),
    ("psd-n.org", &["v=DMARC1; p=none"]),
    ("bank.example", &["v=DMARC1; p=reject; psd=y; rua=mailto:d@bank.example"]),
    ("giant.bank.example", &["v=DMARC1; p=quarantine; rua=mailto:d@giant.bank.example"]),
    ("mega.bank.example", &[]),
    ("x.giant.bank.example", &[]),
    ("mail.deep.net", &[]),
    ("deep.net", &["v=DMARC1; p=reject"]),
    ("a.b.c.d.e.f.g.h.i.j.mail.deep.net", &[]),
    ("other.net", &[]),
    ("xn--gre-6ka8l.org", &["v=DMARC1; p=reject; aspf=s"]),
    ("lower.test", &[]),
    ("faulty.org", &["v=DMARC1; p=reject"]),
    ("www.faulty.org", &[]),
    ("sender.faulty.org", &[]),
];

/// Names for which the server says that it has failed.
const FAILED: [&str; 3] = ["_dmarc.www.faulty.org", "_dmarc.sender.faulty.org", "_dmarc.down.org"];

/// Sender, From, signer; the result and the policy.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// `!` before a sender: the client may not send for it.
const ROWS: &[Row] = &[
    // RFC 7489 appendix B.1.1 and B.1.2: identifiers in alignment, and not.
    ("a@example.com", "a@example.com", "", "pass", "reject"),
    ("a@child.example.com", "a@example.com", "", "pass", "reject"),
    ("a@other.net", "a@child.example.com", "", "fail", "reject"),
    ("!a@other.net", "a@example.com", "example.com", "pass", "reject"),
    ("!a@other.net", "a@child.example.com", "example.com", "pass", "reject"),
    ("!a@other.net", "a@example.com", "other.net", "fail", "reject"),
    // Appendix B.2: monitoring.
    ("!a@monitor.org", "a@monitor.org", "", "fail", "none"),
    ("a@monitor.org", "a@monitor.org", "", "pass", "none"),
    // The cases of mail-auth: alignment.
    ("a@strict.org", "a@strict.org", "strict.org", "pass", "reject"),
    ("a@sub.relaxed.org", "a@relaxed.org", "sub.relaxed.org", "pass", "reject"),
    ("a@sub.strict.org", "a@strict.org", "sub.strict.org", "fail", "reject"),
    ("a@strict.org", "a@other.net", "", "none", "none"),
    ("!a@strict.org", "a@strict.org", "", "fail", "reject"),
    ("a@STRICT.org", "a@Strict.ORG", "", "pass", "reject"),
    ("a@xn--gre-6ka8l.org", "a@grüße.org", "", "pass", "reject"),
    ("a@xn--gre-6ka8l.org", "a@xn--gre-6ka8l.org", "", "pass", "reject"),
    ("a@strict.org", "a@xn--gre-6ka8l.org", "", "fail", "reject"),
    // Policies.
    ("!a@levels.org", "a@levels.org", "", "fail", "reject"),
    ("!a@levels.org", "a@sub.levels.org", "", "fail", "quarantine"),
    ("!a@levels.org", "a@ghost.levels.org", "", "fail", "none"),
    ("!a@levels.org", "a@test.levels.org", "", "fail", "quarantine"),
    ("!a@onlyrua.org", "a@onlyrua.org", "", "fail", "none"),
    ("!a@sprua.org", "a@sub.sprua.org", "", "fail", "none"),
    ("!a@nothing.org", "a@sub.nothing.org", "", "none", "none"),
    ("a@other.net", "a@other.net", "other.net", "none", "none"),
    ("!a@testing.org", "a@testing.org", "", "fail", "quarantine"),
    ("!a@testing-q.org", "a@testing-q.org", "", "fail", "none"),
    // Records as they are written.
    ("!a@case.org", "a@case.org", "", "fail", "reject"),
    ("!a@spaces.org", "a@spaces.org", "", "fail", "reject"),
    ("!a@unknown-tag.org", "a@unknown-tag.org", "", "fail", "reject"),
    ("!a@bad-tag.org", "a@bad-tag.org", "", "fail", "reject"),
    ("a@bad-tag.org", "a@bad-tag.org", "", "pass", "reject"),
    ("!a@bad-sp.org", "a@sub.bad-sp.org", "", "fail", "quarantine"),
    ("!a@bad-p.org", "a@bad-p.org", "", "none", "none"),
    ("!a@bad-p-rua.org", "a@bad-p-rua.org", "", "fail", "none"),
    ("!a@old.org", "a@old.org", "", "none", "none"),
    ("!a@noversion.org", "a@noversion.org", "", "none", "none"),
    ("!a@several.org", "a@several.org", "", "none", "none"),
    ("!a@beside.org", "a@beside.org", "", "fail", "reject"),
    // The walk up the tree.
    ("a@b.mail.psd-n.org", "a@a.mail.psd-n.org", "", "pass", "reject"),
    ("a@psd-n.org", "a@a.mail.psd-n.org", "", "fail", "reject"),
    ("a@mega.bank.example", "a@giant.bank.example", "", "fail", "quarantine"),
    ("a@giant.bank.example", "a@x.giant.bank.example", "", "pass", "quarantine"),
    ("!a@mega.bank.example", "a@mega.bank.example", "", "fail", "reject"),
    ("a@mail.deep.net", "a@a.b.c.d.e.f.g.h.i.j.mail.deep.net", "", "pass", "reject"),
    ("!a@deep.net", "a@a.b.c.d.e.f.g.h.i.j.mail.deep.net", "", "fail", "reject"),
    ("a@lower.test", "a@test", "", "none", "none"),
    // Several authors are exempt, and an author that is none has no domain.
    ("a@example.com", "a@example.com, b@strict.org", "", "none", "none"),
    ("!a@example.com", "a@example.com, b@example.com", "", "fail", "reject"),
    // A fault on the way is neither a pass nor the lack of a policy.
    ("!a@other.net", "a@www.faulty.org", "", "temperror", ""),
    ("a@www.faulty.org", "a@www.faulty.org", "", "temperror", ""),
    ("!a@other.net", "a@down.org", "", "temperror", ""),
    ("!a@other.net", "a@x.y.down.org", "", "temperror", ""),
    ("a@sender.faulty.org", "a@faulty.org", "", "temperror", "reject"),
    ("a@sender.faulty.org", "a@faulty.org", "faulty.org", "pass", "reject"),
    ("!a@other.net", "a@faulty.org", "", "fail", "reject"),
];

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// A zone for each last label, these lines in theirs.
fn serve(lines: &[(String, String)], failed: &[&str]) -> NameServer {
    let mut zones: BTreeMap<String, String> = BTreeMap::new();
    for (name, line) in lines {
        let zone = zones.entry(name.rsplit('.').next().unwrap_or(name).to_owned()).or_default();
        let _ = writeln!(zone, "{name}. {line}");
    }
    let broken = failed.iter().map(|zone| (*zone, "no records\n"));
    let zones: Vec<_> =
        zones.iter().map(|(zone, text)| (zone.as_str(), text.as_str())).chain(broken).collect();
    NameServer::start(&zones)
}

fn verifier(server: &NameServer) -> Verifier {
    let at = format!("127.0.0.1:{}", server.port).parse().expect("an address");
    Verifier::new(Dns::shared(&[at]).expect("name servers"), "mx.test")
}

/// A message from this author, signed by this domain.
fn message(folder: &Path, key: &DkimKey, (from, signer): (&str, &str)) -> Vec<u8> {
    let text = format!("From: {from}\r\nSubject: x\r\n\r\nbody\r\n");
    if signer.is_empty() {
        return text.into_bytes();
    }
    let file = folder.join("message");
    fs::write(&file, text).expect("a file");
    let key = DkimKey { domain: signer.to_owned(), ..key.clone() };
    dkimpy_signs(&file, &key, ("relaxed", "relaxed"))
}

#[test]
fn dmarc_cases_come_out_as_the_standards_say() {
    if !needs(&[NameServer::PROGRAM, DKIMPY]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let key = DkimKey::ed25519(folder.path(), "key.test", "k");
    let mut lines = Vec::new();
    for (name, records) in RECORDS {
        let mut add = |name: String, line: String| lines.push((name, line));
        add((*name).to_owned(), format!("TXT \"{SPF}\""));
        add((*name).to_owned(), "A 127.0.0.7".to_owned());
        add(format!("k._domainkey.{name}"), format!("TXT \"{}\"", key.record));
        for record in *records {
            add(format!("_dmarc.{name}"), format!("TXT \"{}\"", record.replace(';', "\\;")));
        }
    }
    let server = serve(&lines, &FAILED);
    let verifier = verifier(&server);
    let mut wrong = Vec::new();
    for (sender, from, signer, verdict, policy) in ROWS {
        let content = message(folder.path(), &key, (from, signer));
        let end = content.windows(4).position(|at| at == b"\r\n\r\n").expect("a header") + 4;
        let mut signed = SignedContent::begin(&content[..end], 10);
        signed.feed(&content[end..]);
        let (client, sender) = match sender.strip_prefix('!') {
            Some(sender) => ("127.0.0.8", sender),
            None => ("127.0.0.7", *sender),
        };
        let client = client.parse().expect("an address");
        let spf = wait(verifier.spf(client, ("client.test", sender), LIMIT));
        let found = wait(verifier.message(signed, Some(spf), (true, LIMIT)));
        let dmarc = found.dmarc.expect("DMARC was checked");
        let got = (dmarc.verdict.name(), dmarc.policy.name());
        if got != (*verdict, *policy) {
            let spf = found.spf.map(|its| its.verdict);
            wrong.push(format!(
                "{sender} {from} {signer}: {got:?}, not {verdict} {policy} ({spf:?})"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    assert!(ROWS.len() >= 40);
}

#[test]
fn more_than_two_void_look_ups_are_an_error_of_spf() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let line = |name: &str, line: &str| (name.to_owned(), line.to_owned());
    let mut lines = vec![
        line("there.org", "A 127.0.0.9"),
        line("six.org", "AAAA ::9"),
        line("text.org", "TXT \"no address\""),
        line(
            "servers.org",
            "MX 1 gone1.org.\nservers.org. MX 2 gone2.org.\nservers.org. MX 3 gone3.org.",
        ),
        line("two.org", "TXT \"v=spf1 a:gone1.org a:gone2.org -all\""),
        line(
            "7.0.0.127.in-addr.arpa",
            "PTR gone4.org.\n7.0.0.127.in-addr.arpa. PTR gone5.org.\n\
              7.0.0.127.in-addr.arpa. PTR gone6.org.",
        ),
    ];
    // record, its result for 127.0.0.7
    let rows = [
        ("a:gone1.org a:gone2.org ip4:127.0.0.7 -all", "pass"),
        ("a:gone1.org a:gone2.org a:gone3.org ip4:127.0.0.7 -all", "permerror"),
        ("ip4:127.0.0.7 a:gone1.org a:gone2.org a:gone3.org -all", "pass"),
        ("a:gone1.org a:gone1.org a:gone1.org -all", "permerror"),
        ("a:text.org a:gone1.org a:six.org -all", "permerror"),
        ("a:there.org a:there.org a:there.org a:gone1.org -all", "fail"),
        ("mx:gone1.org mx:gone2.org -all", "fail"),
        ("mx:gone1.org mx:gone2.org mx:there.org -all", "permerror"),
        ("mx:servers.org -all", "fail"),
        ("mx:servers.org a:gone1.org a:gone2.org -all", "fail"),
        ("exists:gone1.org exists:gone2.org -all", "fail"),
        ("exists:gone1.org exists:%{i}.gone.org exists:gone3.org ~all", "permerror"),
        ("exists:gone1.org a:gone2.org mx:gone3.org ?all", "permerror"),
        ("exists:there.org -all", "pass"),
        ("include:two.org ip4:127.0.0.7 -all", "pass"),
        ("include:two.org a:gone3.org ip4:127.0.0.7 -all", "permerror"),
        ("a:gone1.org redirect=two.org", "permerror"),
        ("ptr:gone.org a:gone1.org a:gone2.org ~all", "softfail"),
        ("ptr:gone.org a:gone1.org a:gone2.org a:gone3.org ~all", "permerror"),
    ];
    for (n, (record, _)) in rows.iter().enumerate() {
        lines.push(line(&format!("row{n}.org"), &format!("TXT \"v=spf1 {record}\"")));
    }
    let server = serve(&lines, &["down.org"]);
    let verifier = verifier(&server);
    let client = "127.0.0.7".parse().expect("an address");
    let mut wrong = Vec::new();
    for (n, (record, want)) in rows.iter().enumerate() {
        let sender = format!("a@row{n}.org");
        // Twice: the second time answers are remembered.
        for _ in 0..2 {
            let found = wait(verifier.spf(client, ("client.invalid", &sender), LIMIT));
            if found.verdict.name() != *want {
                wrong.push(format!("{record}: {}, not {want}", found.verdict));
            }
            assert_ne!(found.helo, AuthResult::PermError, "{record}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
