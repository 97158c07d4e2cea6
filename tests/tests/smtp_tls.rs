//! TLS towards other mail servers: DANE with a zone that is signed, MTA-STS from a server of HTTPS, the
//! operator's table, and REQUIRETLS; a real Postfix is the receiver.

use std::{fs, process::Command, time::Duration};

use relais_tests::{
    Authority, Dialogue, Instance, NameServer, Receiver, Settings, Signed, Sink, TlsWorld,
    WebServer, Zones, came_to, came_to_all, eventually, fetch, free_port, message, needs,
    needs_root, send_required, succeed,
};
use serde_json::Value;

fn send(instance: &Instance, to: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = client.message("ann@sender.test", &[&format!("bob@{to}")], &message(to, 300));
    sent.expect(250);
}

/// The answer of `relais tls` about a domain.
fn tls(instance: &Instance, domain: &str) -> Value {
    let said = instance.relais("tls", &[domain, "--json"]);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Zones with records of every kind, by the receiver's port and the digests of its key and authority.
fn dane_zones(port: u16, own: &str, authority: &str) -> Zones {
    let wrong = "00".repeat(32);
    let host = |name: &str, tlsa: &str| {
        let tlsa = if tlsa.is_empty() {
            String::new()
        } else {
            format!("_{port}._tcp.mx.{name} TLSA {tlsa}\n")
        };
        format!("{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\n{tlsa}")
    };
    let secure = [
        host("ee", &format!("3 1 1 {own}")),
        host("ta", &format!("2 0 1 {authority}")),
        host("tahost", &format!("2 0 1 {authority}")),
        host("wrong", &format!("3 1 1 {wrong}")),
        host("unusable", &format!("1 1 1 {wrong}")),
        host("none", ""),
        "alias MX 10 other.alias\nother.alias CNAME mx.ee\n".to_owned(),
        format!("direct A 127.0.0.1\n_{port}._tcp.direct TLSA 3 1 1 {own}\n"),
    ];
    [
        ("secure.test", secure.concat(), Signed::Yes),
        ("bogus.test", host("x", &format!("3 1 1 {own}")), Signed::Bogus),
        ("plain.test", host("x", &format!("3 1 1 {wrong}")), Signed::No),
    ]
}

#[test]
fn dane_is_kept_to() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = TlsWorld::new(dane_zones);
    let policies =
        "policies: {\"none.secure.test\": (level: Dane), \"wrong.secure.test\": (level: Encrypt)}";
    let instance = Instance::new(world.settings("dane: true", ""));
    let running = instance.start();
    let rows = [
        ("ee.secure.test", "D 250", "verified; DANE"),
        ("ta.secure.test", "D 250", "verified; DANE"),
        ("alias.secure.test", "D 250", "verified; DANE"),
        ("direct.secure.test", "D 250", "verified; DANE"),
        ("unusable.secure.test", "D 250", "not verified"),
        ("none.secure.test", "D 250", "not verified"),
        ("x.plain.test", "D 250", "not verified"),
        ("tahost.secure.test", "Q 451 4.7.5", "TLS handshake with"),
        (
            "wrong.secure.test",
            "Q 451 4.7.5",
            "none of the domain's TLSA records is about its certificate",
        ),
        ("x.bogus.test", "Q 451 4.7.5", "is handed no mail: DANE"),
    ];
    for (host, ..) in rows {
        send(&instance, host);
    }
    for (host, begins, has) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins) && came.contains(has), "{host}: {came}");
    }
    let taken = rows.iter().filter(|(_, begins, _)| begins.starts_with('D')).count();
    eventually("Postfix has the others", PATIENCE, || world.postfix.messages().len() == taken);
    let counted = fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    // Destinations in trouble are looked at again within a second.
    for (result, counts) in [("kept", 5..=5), ("broken", 3..=9)] {
        let labels = format!("channel=\"tcp_out\",policy=\"dane\",result=\"{result}\"");
        let line = format!("tls_client_policies_total{{{labels}}} ");
        let count = counted.split_once(&*line).and_then(|(_, rest)| rest.lines().next());
        let count: usize = count.and_then(|count| count.parse().ok()).expect("a count");
        assert!(counts.contains(&count), "{result}: {count}");
    }
    drop(running);
    let told = tls(&instance, "ee.secure.test");
    assert_eq!(told["mx_proof"], "DNSSEC proves the MX records");
    let server = &told["servers"][0];
    let record = server["dane"][0].as_str().unwrap_or_default();
    assert!(record.starts_with("3 1 1 ") && server["is_met"] == true, "{told}");
    assert_eq!(server["owed"], "TLS or no mail, certificate by TLSA records (DANE)");
    let told = tls(&instance, "wrong.secure.test");
    assert_eq!(told["servers"][0]["is_met"], false, "{told}");
    let told = tls(&instance, "x.bogus.test");
    assert!(told["servers"][0]["owed"].is_null(), "{told}");
    let instance = Instance::new(world.settings(&format!("dane: true, {policies}"), ""));
    let _running = instance.start();
    send(&instance, "none.secure.test");
    send(&instance, "wrong.secure.test");
    let came = came_to(&instance, "none.secure.test");
    assert!(came.starts_with("Q 451 4.7.5") && came.contains("asks for DANE, and"), "{came}");
    let came = came_to(&instance, "wrong.secure.test");
    assert!(came.starts_with("D 250") && came.contains("policy for wrong.secure.test"), "{came}");
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n")
}

/// A record of MTA-STS for each of the domains but one.
fn sts_zones() -> Zones {
    let records = |domain: &&str| {
        format!(
            "{domain} MX 10 mx.{domain}\nmx.{domain} A 127.0.0.1\n\
             _mta-sts.{domain} TXT \"v=STSv1; id=1;\"\nmta-sts.{domain} A 127.0.0.1\n"
        )
    };
    let plain: String = STS_DOMAINS.iter().map(records).collect();
    let without = "norecord MX 10 mx.norecord\nmx.norecord A 127.0.0.1\n\
                   third MX 1 a.third\nthird MX 2 b.third\na.third A 127.0.0.2\nb.third A 127.0.0.4\n";
    [
        ("secure.test", String::new(), Signed::No),
        ("bogus.test", String::new(), Signed::No),
        ("plain.test", plain + without, Signed::No),
    ]
}

const STS_DOMAINS: [&str; 9] =
    ["enforce", "testing", "other", "named", "mismatch", "moved", "html", "none", "third"];

/// Beside the zones of DANE, domains whose servers are not there, say that they are busy or offer no TLS.
fn zones_of_the_absent(port: u16, own: &str, authority: &str) -> Zones {
    let mut zones = dane_zones(port, own, authority);
    let record = |host: &str| format!("_{port}._tcp.{host} TLSA 3 1 1 {own}\n");
    let gone = "gone MX 10 mx.gone\nmx.gone A 127.0.0.99\n";
    zones[0].1 += &[
        gone.replace("gone", "bare"),
        gone.to_owned() + &record("mx.gone"),
        gone.replace("gone", "busy").replace(".99", ".4") + &record("mx.busy"),
        "two MX 10 a.two\ntwo MX 20 b.two\na.two A 127.0.0.2\nb.two A 127.0.0.99\n".to_owned(),
        record("a.two") + &record("b.two"),
        "unsure MX 10 gone.bogus.test.\n".to_owned(),
    ]
    .concat();
    zones[1].1 += "gone A 127.0.0.99\n";
    zones[2].1 += gone;
    zones
}

#[test]
fn the_last_resort_takes_no_mail_whose_servers_are_owed_tls() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = TlsWorld::new(zones_of_the_absent);
    let [without, busy] = bare_servers(&world);
    busy.greet("421 4.3.2 busy");
    let last = Sink::start();
    let resort = format!("private_addresses: true, lastresort: \"[127.0.0.1]:{}\",", last.port);
    let policies = "dane: true, policies: {\"x.plain.test\": (level: Verify)}";
    let settings = world.settings(policies, "").edit("private_addresses: true,", &resort);
    let instance = Instance::new(settings);
    let _running = instance.start();
    let rows = [
        ("wrong.secure.test", "Q 451 4.7.5"),
        ("x.bogus.test", "Q 451 4.7.5"),
        ("x.plain.test", "Q 451 4.7.5"),
        ("gone.secure.test", "Q 451 4.4.1"),
        ("busy.secure.test", "Q 421 4.3.2"),
        ("two.secure.test", "Q 451 4.4.1"),
        // Nobody can tell what its server is owed.
        ("unsure.secure.test", "Q 451 4.4.1"),
        // Nobody demands anything of these.
        ("gone.plain.test", "D 250"),
        ("bare.secure.test", "D 250"),
    ];
    for (host, _) in rows {
        send(&instance, host);
    }
    for (host, begins) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins), "{host}: {came}");
    }
    // A message that need not be protected goes there, and opens the way for no other.
    let needless = b"Subject: x\r\nTLS-Required: No\r\n\r\nx\r\n";
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@sender.test", &["bob@gone.secure.test"], needless).expect(250);
    send(&instance, "gone.secure.test");
    eventually("it is there", PATIENCE, || last.total() == 3);
    let came = came_to_all(&instance, "gone.secure.test", 2);
    assert!(came.iter().any(|its| its.starts_with("D 250")), "{came:?}");
    assert_eq!((without.total(), busy.total(), last.total()), (0, 0, 3));
}

#[test]
fn mta_sts_is_kept_to() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    let world = TlsWorld::new(|_, _, _| sts_zones());
    let hosts: Vec<_> =
        STS_DOMAINS.iter().map(|domain| format!("mta-sts.{domain}.plain.test")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let Some(web) = WebServer::start(&world.authority, &hosts) else { return };
    let own = |domain: &str, mode| web.publishes(domain, &policy(mode, &format!("mx.{domain}")));
    own("enforce.plain.test", "enforce");
    own("testing.plain.test", "testing");
    own("mismatch.plain.test", "enforce");
    own("html.plain.test", "enforce");
    own("none.plain.test", "none");
    web.publishes("named.plain.test", &policy("enforce", "*.named.plain.test"));
    web.publishes("other.plain.test", &policy("enforce", "mx.elsewhere.test"));
    web.publishes("third.plain.test", &policy("enforce", "*.third.plain.test"));
    // Two servers of a domain offer no TLS, and its third does.
    let _bare = bare_servers(&world);
    let ca = world.authority.file();
    let sections = format!(", mta_sts: (ca: {ca:?}, private_addresses: true)");
    let instance = Instance::new(world.settings_of_own_servers("mta_sts: true", &sections));
    let running = instance.start();
    let rows = [
        ("enforce.plain.test", "D 250", "verified; MTA-STS enforce"),
        ("named.plain.test", "D 250", "verified; MTA-STS enforce"),
        ("third.plain.test", "D 250", "verified; MTA-STS enforce"),
        ("testing.plain.test", "D 250", "verified; MTA-STS testing"),
        // The certificate is for other names.
        ("mismatch.plain.test", "Q 451 4.7.5", "its certificate is for other names"),
        ("other.plain.test", "Q 451 4.7.5", "MTA-STS policy does not allow this host"),
        // Without a policy that can be fetched it is as if there were none.
        ("moved.plain.test", "D 250", "not verified"),
        ("html.plain.test", "D 250", "not verified"),
        ("none.plain.test", "D 250", "not verified"),
        ("norecord.plain.test", "D 250", "not verified"),
    ];
    for (host, ..) in rows {
        send(&instance, host);
    }
    for (host, begins, has) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins) && came.contains(has), "{host}: {came}");
    }
    let told = tls(&instance, "enforce.plain.test");
    assert_eq!((&told["mta_sts_id"], &told["mta_sts"][1]), (&"1".into(), &"mode: enforce".into()));
    assert_eq!(told["servers"][0]["is_met"], true, "{told}");
    assert_eq!(tls(&instance, "other.plain.test")["servers"][0]["is_met"], false);
    drop(running);
    // The policy is known after a restart, whatever has become of the server: no mail leaves for a host
    // that it does not allow.
    drop(web);
    let kept = instance.data().join("mta-sts/other.plain.test");
    assert!(kept.exists(), "{kept:?}");
    let running = instance.start();
    send(&instance, "other.plain.test");
    let refused = || {
        let log = instance.log();
        log.lines().filter(|line| line.contains("does not allow this host")).count() >= 2
    };
    eventually("the policy is obeyed again", PATIENCE, refused);
    drop(running);
    policies_are_renewed_without_mail(&instance, &world, &hosts);
}

/// Policies that were fetched a day ago: one is there to be fetched again, and the server of the other has
/// lost it.
fn policies_are_renewed_without_mail(instance: &Instance, world: &TlsWorld, hosts: &[&str]) {
    let Some(web) = WebServer::start(&world.authority, hosts) else { return };
    web.publishes("enforce.plain.test", &policy("testing", "mx.enforce.plain.test"));
    let kept = |domain: &str| instance.data().join("mta-sts").join(domain);
    for domain in ["enforce.plain.test", "other.plain.test"] {
        let text = fs::read_to_string(kept(domain)).expect("a policy");
        let older = |line: &str| {
            let (name, time) = line.split_once(": ").expect("a field");
            let time: u64 = time.parse().expect("seconds");
            format!("{name}: {}", time - 50_000)
        };
        let lines = text.lines().map(|line| {
            let has_time = line.starts_with("fetched: ") || line.starts_with("used: ");
            if has_time { older(line) } else { line.to_owned() }
        });
        fs::write(kept(domain), lines.collect::<Vec<_>>().join("\r\n").replacen("\r\n", "\n", 3))
            .expect("a file");
    }
    let _running = instance.start();
    eventually("one is renewed", PATIENCE, || {
        fs::read_to_string(kept("enforce.plain.test")).is_ok_and(|text| text.contains("testing"))
    });
    let counted = || fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    eventually("the other is not", PATIENCE, || {
        counted().contains("sts_renewals_total{result=\"failed\"} 1")
    });
    assert!(counted().contains("sts_renewals_total{result=\"fetched\"} 1"), "{}", counted());
    let current = instance.data().join("tlsrpt/current.json");
    eventually("it is reported", PATIENCE, || {
        let text = fs::read_to_string(&current).unwrap_or_default();
        let counted: Value = serde_json::from_str(&text).unwrap_or_default();
        let tallies = counted["domains"]["other.plain.test"].as_array().cloned();
        let mut details = tallies.into_iter().flatten().filter_map(|tally| {
            tally["details"].as_array()?.first()?["result"].as_str().map(str::to_owned)
        });
        details.any(|result| result == "sts-policy-fetch-error")
    });
    assert!(kept("other.plain.test").exists(), "it holds until its end");
}

/// Each of the places on the web is sent the report; one takes it.
fn posts_are_tried(instance: &Instance, web: &WebServer, report: &Value) {
    eventually("each place on the web is asked", PATIENCE, || web.posted().len() == 3);
    let counted = || fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    eventually("one has it and three are asked again", PATIENCE, || {
        let counted = counted();
        let has = |line: &str| counted.contains(&format!("tls_web_reports_total{{result={line}"));
        has("\"sent\"} 1") && has("\"put_off\"} 3")
    });
    let mut posted = web.posted();
    posted.sort_by(|one, other| one.0.cmp(&other.0));
    for ((path, kind, octets), want) in posted.into_iter().zip(["/busy", "/moved", "/taken"]) {
        assert_eq!((&*path, &*kind), (want, "application/tlsrpt+gzip"));
        let text = succeed(Command::new("gzip").arg("-dc"), &octets);
        assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(report), "{text}");
    }
}

#[test]
fn results_are_reported_even_to_those_whose_tls_fails() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    let web_port = free_port();
    let world = TlsWorld::new(|port, _, _| {
        let wrong = "00".repeat(32);
        let records = format!(
            "wrong MX 10 mx.wrong\nmx.wrong A 127.0.0.1\n_{port}._tcp.mx.wrong TLSA 3 1 1 {wrong}\n\
             web A 127.0.0.1\nother A 127.0.0.1\n\
             _smtp._tls.wrong TXT \"v=TLSRPTv1; rua=mailto:tls@wrong.secure.test,\
             https://web.secure.test:{web_port}/taken,https://web.secure.test:{web_port}/busy,\
             https://web.secure.test:{web_port}/moved,https://other.secure.test:{web_port}/never\"\n"
        );
        [
            ("secure.test", records, Signed::Yes),
            ("bogus.test", String::new(), Signed::No),
            ("plain.test", String::new(), Signed::No),
        ]
    });
    let web = WebServer::start_at(web_port, &world.authority, &["web.secure.test"]);
    let sections = format!(
        ", tls_reports: (sender: \"tls@relay.test\", organization: \"Relay\"), \
         mta_sts: (ca: {:?}, private_addresses: true)",
        world.authority.file()
    );
    let instance = Instance::new(world.settings_of_own_servers("dane: true", &sections));
    let running = instance.start();
    send(&instance, "wrong.secure.test");
    let came = came_to(&instance, "wrong.secure.test");
    assert!(came.starts_with("Q 451 4.7.5"), "{came}");
    let current = instance.data().join("tlsrpt/current.json");
    eventually("it is counted", PATIENCE, || current.exists());
    drop(running);
    // A day later.
    let text = fs::read_to_string(&current).expect("a file");
    let mut counted: Value = serde_json::from_str(&text).expect("an object");
    let number = counted["number"].as_i64().expect("a day");
    counted["number"] = (number - 1).into();
    fs::write(&current, counted.to_string()).expect("a file");
    let running = instance.start();
    eventually("the report is there", PATIENCE, || !world.postfix.messages().is_empty());
    let message = String::from_utf8(world.postfix.messages().remove(0)).expect("ASCII");
    for has in [
        "TLS-Report-Domain: wrong.secure.test",
        "TLS-Required: No",
        "report-type=\"tlsrpt\"",
        "application/tlsrpt+gzip",
    ] {
        assert!(message.contains(has), "{has}: {message}");
    }
    let mut days = fs::read_dir(instance.data().join("tlsrpt")).expect("a folder");
    let day = days.find_map(|file| {
        let name = file.expect("a file").path();
        name.to_str().is_some_and(|name| name.contains("tlsrpt/20")).then_some(name)
    });
    let day = fs::read_to_string(day.expect("the reports of a day")).expect("text");
    let reports: Value = serde_json::from_str(&day).expect("a list");
    let details = &reports[0]["policies"][0]["failure-details"][0];
    assert_eq!(details["result-type"], "tlsa-invalid", "{reports}");
    assert_eq!(details["receiving-mx-hostname"], "mx.wrong.secure.test", "{reports}");
    posts_are_tried(&instance, &web, &reports[0]);
    let waiting = || fs::read_dir(instance.data().join("tlsrpt/web")).expect("a folder").count();
    assert_eq!(waiting(), 3);
    drop(running);
    // The others go on waiting after a restart.
    let _running = instance.start();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((waiting(), web.posted().len()), (3, 3));
}

#[test]
fn requiretls_leaves_to_servers_that_promise_it_and_bounces_elsewhere() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    let postfix = Receiver::postfix("");
    let place = |port: u16| format!("[127.0.0.1]:{port}");
    // The next relay is one of ours, which offers it; behind it is one that does not.
    let next_smtp = Settings::standalone();
    let port = next_smtp.smtp;
    let next = Instance::new(
        next_smtp
            .smtp_out(&place(postfix.port), "")
            .section("tls: (certificate: \"mx.crt\", key: \"mx.key\")")
            .channel("tcp_local", "tls: (server: May)"),
    );
    let authority = Authority::new(next.data());
    authority.sign("mx", &["localhost"], 2099);
    let _next = next.start();
    let ca = authority.file();
    for (daemon, names, want) in [
        (place(port), "localhost", "D 250"),
        (place(port), "other.test", "R 550 5.7.30"),
        (place(postfix.port), "localhost", "R 550 5.7.30"),
    ] {
        let tls = format!("tls: (ca: {ca:?}, names: [{names:?}]), backoff: [\"1h\"]");
        let settings = Settings::standalone()
            .smtp_out(&daemon, &tls)
            .section("tls: (certificate: \"mx.crt\", key: \"mx.key\")")
            .channel("tcp_local", "tls: (server: May)");
        let instance = Instance::new(settings);
        for file in ["mx.crt", "mx.key"] {
            fs::create_dir_all(instance.data()).expect("a folder");
            fs::copy(next.data().join(file), instance.data().join(file)).expect("a copy");
        }
        let _running = instance.start();
        let mut clear = Dialogue::open(instance.settings.smtp);
        clear.ask("EHLO x").expect(250);
        clear.ask("MAIL FROM:<ann@sender.test> REQUIRETLS").expect(530);
        send_required(&instance, "remote.test");
        let came = came_to(&instance, &daemon);
        assert!(came.starts_with(want), "{daemon} {names}: {came}");
    }
    let came = came_to(&next, &place(postfix.port));
    assert!(came.starts_with("R 550 5.7.30"), "{came}");
    assert_eq!(postfix.messages().len(), 0);
}

/// Servers without TLS at 127.0.0.2 and 127.0.0.4.
fn bare_servers(world: &TlsWorld) -> [Sink; 2] {
    [2, 4].map(|last| Sink::at(([127, 0, 0, last], world.postfix.port).into()))
}

/// Zones of domains with several servers: `a` and `b` offer no TLS, `c` offers REQUIRETLS, and `mx` is the
/// receiver.
fn list_zones(port: u16, own: &str, _: &str) -> Zones {
    let domain = |name: &str, hosts: &[(&str, u8)]| {
        let host = |(n, (host, last)): (usize, &(&str, u8))| {
            format!("{name} MX {n} {host}.{name}\n{host}.{name} A 127.0.0.{last}\n")
        };
        hosts.iter().enumerate().map(host).collect::<String>()
    };
    let three = [("a", 2), ("b", 4), ("mx", 1)];
    let records = three.map(|(host, _)| format!("_{port}._tcp.{host}.dane TLSA 3 1 1 {own}\n"));
    let secure = [
        domain("all", &[("a", 2), ("mx", 1), ("c", 3)]),
        domain("lack", &[("a", 2), ("b", 4), ("mx", 1)]),
        domain("later", &[("a", 2), ("dead", 99)]),
        domain("dane", &three),
        records.concat(),
    ];
    let plain = [domain("unproved", &[("c", 3)]), domain("list", &three)];
    [
        ("secure.test", secure.concat(), Signed::Yes),
        ("bogus.test", String::new(), Signed::No),
        ("plain.test", plain.concat(), Signed::No),
    ]
}

/// A relay of ours at 127.0.0.3 that offers REQUIRETLS, with a certificate for these hosts.
fn guarding_relay(world: &TlsWorld, hosts: &[&str]) -> Instance {
    let free = Settings::standalone();
    let (was, port) = (free.smtp, world.postfix.port);
    let settings = free
        .edit(
            &format!("interface_address: \"127.0.0.1\", ports: [{was}]"),
            &format!("interface_address: \"127.0.0.3\", ports: [{port}]"),
        )
        .smtp_outs(&[
            ("all.secure.test", "tcp_out", "[127.0.0.1]:1", ""),
            ("unproved.plain.test", "tcp_more", "[127.0.0.1]:1", ""),
        ])
        .section("tls: (certificate: \"c.crt\", key: \"c.key\")")
        .channel("tcp_local", "tls: (server: May)");
    let relay = Instance::new(settings);
    let (certificate, key) = world.authority.sign("c", hosts, 2090);
    for (from, to) in [(certificate, "c.crt"), (key, "c.key")] {
        fs::create_dir_all(relay.data()).expect("a folder");
        fs::copy(from, relay.data().join(to)).expect("a copy");
    }
    relay
}

#[test]
fn each_server_of_the_list_is_asked_where_tls_is_owed() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    let world = TlsWorld::new(list_zones);
    let [a, _b] = bare_servers(&world);
    let relay = guarding_relay(&world, &["c.all.secure.test", "c.unproved.plain.test"]);
    let _relay = relay.start();
    let policies = "dane: true, policies: {\"list.plain.test\": (level: Verify)}";
    let settings = world
        .settings(policies, "")
        .section("tls: (certificate: \"c.crt\", key: \"c.key\")")
        .channel("tcp_local", "tls: (server: May)");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).expect("a folder");
    for file in ["c.crt", "c.key"] {
        fs::copy(relay.data().join(file), instance.data().join(file)).expect("a copy");
    }
    let _running = instance.start();
    // The first server takes it; a message that needs more goes to the last, by a connection of its own.
    send(&instance, "all.secure.test");
    assert!(came_to(&instance, "all.secure.test").starts_with("D 250"));
    assert_eq!(a.total(), 1);
    send_required(&instance, "all.secure.test");
    let came = came_to_all(&instance, "all.secure.test", 2).remove(1);
    assert!(came.starts_with("D 250") && came.contains(" verified"), "{came}");
    let rows = [
        ("lack.secure.test", "R 550 5.7.30", "no server offers it"),
        ("later.secure.test", "Q 451 4.7.30", "no server that answers offers it"),
        // Nobody proves that this is a server of the domain.
        ("unproved.plain.test", "R 550 5.7.30", "no server offers it"),
    ];
    for (host, begins, has) in rows {
        send_required(&instance, host);
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins) && came.contains(has), "{host}: {came}");
    }
    // Other mail of the same destinations is taken.
    for host in ["lack.secure.test", "later.secure.test", "unproved.plain.test"] {
        send(&instance, host);
        let came = came_to_all(&instance, host, 2).remove(1);
        assert!(came.starts_with("D 250"), "{host}: {came}");
    }
    for (host, word) in [("dane.secure.test", "DANE"), ("list.plain.test", "policy for")] {
        send(&instance, host);
        let came = came_to(&instance, host);
        assert!(came.starts_with("D 250") && came.contains(&format!("verified; {word}")), "{came}");
    }
}

#[test]
fn the_tls_of_a_destination_is_told_before_any_attempt() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = TlsWorld::new(dane_zones);
    let policies = "dane: true, policies: {\"x.plain.test\": (level: Verify), \
                    \"none.secure.test\": (level: Dane)}";
    let instance = Instance::new(world.settings(policies, ""));
    let _running = instance.start();
    let verify = "TLS or no mail, certificate by name (policy for x.plain.test)";
    // domain, by the configuration alone, the beginning of what its server is owed
    let rows = [
        (
            "ee.secure.test",
            "DANE, asked at the first attempt; else TLS if offered (channel)",
            "TLS or no mail, certificate by TLSA records (DANE)",
        ),
        (
            "none.secure.test",
            "TLSA records, asked at the first attempt, or no mail (policy for none.secure.test)",
            "no mail: the policy for none.secure.test asks for DANE, and it has no TLSA records",
        ),
        (
            "x.bogus.test",
            "DANE, asked at the first attempt; else TLS if offered (channel)",
            "no mail: DANE: ",
        ),
        ("x.plain.test", verify, verify),
    ];
    for (domain, by_configuration, of_server) in rows {
        let address = format!("bob@{domain}");
        let route = |more: &[&str]| {
            let arguments = [&[&*address, "--client", "127.0.0.1", "--json"][..], more].concat();
            let said = instance.relais("route", &arguments).stdout;
            serde_json::from_slice::<Value>(&said).expect("a route")["results"][0].clone()
        };
        let told = route(&[]);
        assert_eq!(told["tls"], by_configuration, "{told}");
        assert!(told["dns"].is_null(), "{told}");
        let told = route(&["--dns"]);
        let server = told["dns"][0]["servers"][0]["tls"].as_str().unwrap_or_default();
        assert!(server.starts_with(of_server), "{told}");
    }
    assert!(instance.relais("channel", &["stop", "tcp_out"]).status.success());
    send(&instance, "x.plain.test");
    let id = instance.queue()[0]["id"].as_str().expect("an id").to_owned();
    let why = instance.relais("queue", &["why", &id]).stdout;
    let why = String::from_utf8(why).expect("text");
    let want = format!("It has not been tried yet. TLS with x.plain.test: {verify}.");
    assert!(why.split_whitespace().collect::<Vec<_>>().join(" ").contains(&want), "{why}");
}

const PATIENCE: Duration = Duration::from_secs(60);
