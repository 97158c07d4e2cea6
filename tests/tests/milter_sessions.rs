//! Filters in sessions whose client, channel or configuration changes.

use std::{
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use relais_tests::{
    Authority, Dialogue, Instance, Ldif, NameServer, PythonMilter, Settings, eventually, mailbox,
    needs, python,
};

const FILTER: &str = "/usr/lib/python3/dist-packages/Milter/__init__.py";
const SENDER: &str = "ann@client.test";
const ALICE: &str = "alice@relais.example";

fn listed(filters: &[(&str, &PythonMilter)]) -> String {
    let each = filters.iter().map(|(name, filter)| {
        format!("\"{name}\": (socket: \"unix:{}\"), ", filter.socket().display())
    });
    format!("milters: {{{}}}", each.collect::<String>())
}

fn asked(settings: Settings, fields: &str) -> Settings {
    settings.edit("channel: \"tcp_local\",", &format!("channel: \"tcp_local\", {fields},"))
}

#[test]
fn users_meet_the_filters_of_their_channel_with_what_they_have_proved() {
    if !needs(&[FILTER]) {
        return;
    }
    let (strangers, users) = (PythonMilter::start(&[]), PythonMilter::start(&[]));
    let filters = listed(&[("strangers", &strangers), ("users", &users)]);
    let settings = asked(Settings::standalone(), "milters: [\"strangers\"]")
        .section(&filters)
        .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\")")
        .channel("tcp_local", "tls: (server: May), sasl: (server: May), saslswitchchannel: \"tcp_submit\"")
        .edit(
            "program: Local),",
            "program: Local),\n (name: \"tcp_submit\", tag: \"submit-daemon\", program: Smtp, submit: true, milters: [\"users\"]),",
        );
    // The password is `secret`.
    let password = "mailHost: localhost\nuserPassword: {SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";
    let directory =
        Ldif::file().domain("relais.example", "").user("alice", "relais.example", password);
    let instance = directory.instance(settings);
    let authority = Authority::new(instance.data());
    authority.sign("localhost", &["localhost"], 2099);
    let _running = instance.start();
    python(&format!(
        "import smtplib, ssl\ns = smtplib.SMTP('localhost', {})\n\
         s.starttls(context=ssl.create_default_context(cafile='{}'))\ns.login('alice', 'secret')\n\
         s.sendmail('{ALICE}', ['{ALICE}'], 'Subject: mine\\r\\n\\r\\nhello\\r\\n')\ns.quit()\n",
        instance.settings.smtp,
        authority.file().display()
    ));
    eventually("the session ends", Duration::from_secs(5), || {
        users.names().ends_with(&["close".into()])
    });
    assert_eq!(strangers.names(), ["connect", "close"]);
    assert_eq!(users.names(), ["connect", "helo", "mail", "rcpt", "data", "eoh", "eom", "close"]);
    let events = users.events();
    let mail = events.iter().find(|event| event["event"] == "mail").unwrap();
    for (name, want) in [
        ("{tls_version}", "TLSv1.3"),
        ("{cipher}", "TLS_AES_256_GCM_SHA384"),
        ("{auth_authen}", ALICE),
        ("{auth_type}", "PLAIN"),
    ] {
        assert_eq!(mail["macros"][name], want, "{name}: {mail}");
    }
    // The header is complete by then: signers want it so.
    let header = |name: &str| {
        events.iter().any(|event| event["event"] == "header" && event["what"][0] == name)
    };
    assert!(header("Date") && header("Message-ID") && header("Subject"));
}

#[test]
fn another_client_behind_a_proxy_is_shown_anew() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let fields = "milters: [\"py\"], xclient: [\"127.0.0.1\"]";
    let settings = asked(Settings::standalone(), fields).section(&listed(&[("py", &filter)]));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut proxy = Dialogue::open(instance.settings.smtp);
    proxy.ask("XCLIENT ADDR=192.0.2.9 PORT=7").expect(220);
    proxy.ask("EHLO other.test").expect(250);
    proxy.message(SENDER, &[ALICE], b"Subject: x\r\n\r\nhello\r\n").expect(250);
    let events = filter.events();
    let of = |name: &str| events.iter().filter(|its| its["event"] == name).collect::<Vec<_>>();
    let clients: Vec<_> = of("connect").iter().map(|its| its["what"][0].clone()).collect();
    assert_eq!(clients, ["localhost", "[192.0.2.9]"]);
    assert_eq!(of("helo").len(), 1);
    assert_eq!(of("helo")[0]["what"][0], "other.test");
    assert_eq!(of("mail")[0]["macros"]["{client_addr}"], "192.0.2.9");
}

#[test]
fn a_header_that_is_too_long_for_a_packet_is_cut_off_for_the_filter_alone() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&["noreply"]);
    let settings = asked(Settings::standalone(), "milters: [\"py\"]");
    let instance = Instance::new(settings.section(&listed(&[("py", &filter)])));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let long = "\r\n <0123456789@client.test>".repeat(4_000);
    let content = format!("References:{long}\r\nX-Do: addheader X-New v\r\n\r\nhello\r\n");
    client.message(SENDER, &[ALICE], content.as_bytes()).expect(250);
    let events = filter.events();
    let header = events.iter().find(|its| its["event"] == "header").unwrap();
    let shown = header["what"][1].as_str().unwrap().len();
    assert_eq!(shown, 65_535 - "References\0\0".len());
    let stored = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("it is delivered", Duration::from_secs(20), || stored().len() == 1);
    let message = String::from_utf8(stored().remove(0)).unwrap();
    assert!(message.contains(&long) && message.contains("\r\nX-New: v\r\n"));
}

#[test]
fn a_reload_changes_which_filters_are_asked() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let settings = asked(Settings::standalone(), "milters: [\"py\"]");
    let instance = Instance::new(settings.section(&listed(&[("py", &filter)])));
    let _running = instance.start();
    let refused = |code| {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<mail-code@c.test>").expect(code);
    };
    refused(550);
    let text = fs::read_to_string(instance.path("relais.ron")).expect("the configuration");
    let without = text.replace("milters: [\"py\"]", "milters: []");
    fs::write(instance.path("relais.ron"), &without).expect("a configuration");
    assert!(instance.relais("reload", &[]).status.success());
    refused(250);
    let two = PythonMilter::start(&[]);
    let (from, to) = (filter.socket().display().to_string(), two.socket().display().to_string());
    fs::write(instance.path("relais.ron"), text.replace(&from, &to)).expect("a configuration");
    assert!(instance.relais("reload", &[]).status.success());
    filter.forget();
    refused(550);
    assert!(filter.names().is_empty() && !two.names().is_empty());
    let status = String::from_utf8(instance.relais("status", &[]).stdout).unwrap();
    assert!(status.contains(&format!("filter py (unix:{to}) answers, ")), "{status}");
}

#[test]
fn filters_see_what_the_checks_of_origin_found_out() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let settings = asked(Settings::standalone(), "milters: [\"py\"]")
        .section(&listed(&[("py", &filter)]))
        .section("spool: (large_message: \"16KiB\")")
        .channel("tcp_local", "verify: (dkim: true)");
    let instance = Instance::new(settings);
    let _running = instance.start();
    for (n, size) in [(1, 10), (2, 50_000)] {
        filter.forget();
        let mut client = Dialogue::open(instance.settings.smtp);
        let content = format!(
            "Authentication-Results: localhost; dkim=pass header.d=forged.test\r\nSubject: x\r\n\
             X-Do: insheader 0 X-Top v\r\n\r\n{}",
            "0123456789\r\n".repeat(size / 12)
        );
        client.message(SENDER, &[ALICE], content.as_bytes()).expect(250);
        let events = filter.events();
        let headers = events.iter().filter(|its| its["event"] == "header");
        let headers: Vec<_> = headers.map(|its| its["what"].to_string()).collect();
        assert_eq!(headers.len(), 3, "ours, and not the forged one: {headers:?}");
        assert!(headers[0].starts_with("[\"Authentication-Results\",\"localhost;"), "{headers:?}");
        assert!(headers[0].contains("dkim=none"), "{headers:?}");
        let stored = || mailbox(&instance.store(), "relais.example", "alice");
        eventually("it is delivered", Duration::from_secs(20), || stored().len() == n);
        let all = stored().into_iter().map(|its| String::from_utf8_lossy(&its).into_owned());
        let message = all.max_by_key(String::len).unwrap();
        let top = message.find("X-Top: v\r\nAuthentication-Results: localhost;").expect(&message);
        assert!(top < message.find("Received: ").unwrap());
        assert_eq!(message.matches("Authentication-Results:").count(), 1, "{message}");
    }
}

#[test]
fn filters_that_want_it_are_told_the_name_that_leads_back_to_the_client() {
    if !needs(&[FILTER, NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[
        (
            "2.0.192.in-addr.arpa",
            "7 PTR Client.named.test.\n8 PTR client.named.test.\n5 PTR 192.0.2.1.\n",
        ),
        ("named.test", "client A 192.0.2.6\nclient A 192.0.2.7\n"),
        // A zone that cannot be read: the server has failed.
        ("10.2.0.192.in-addr.arpa", "no records\n"),
    ]);
    let dns = |port: u16| format!("dns: (servers: [\"127.0.0.1:{port}\"])");
    let talk = |instance: &Instance, client: u8| {
        let mut session = Dialogue::open(instance.settings.smtp);
        session.patience(Duration::from_secs(20));
        session.ask(&format!("XCLIENT ADDR=192.0.2.{client}")).expect(220);
        session.ask("EHLO x.test").expect(250);
        session.ask(&format!("MAIL FROM:<{SENDER}>")).expect(250);
        session.ask("QUIT").expect(221);
    };
    // client, the name at the connection, {client_name}, {client_ptr}, {client_resolve}
    for (client, host, name, claimed, outcome) in [
        (7, "client.named.test", "client.named.test", "client.named.test", "OK"),
        (8, "[192.0.2.8]", "unknown", "client.named.test", "FORGED"),
        (9, "[192.0.2.9]", "unknown", "unknown", "FAIL"),
        (5, "[192.0.2.5]", "unknown", "unknown", "FAIL"),
        (10, "[192.0.2.10]", "unknown", "unknown", "TEMP"),
    ] {
        let filter = PythonMilter::start(&[]);
        let settings =
            asked(Settings::standalone(), "milters: [\"py\"], xclient: [\"127.0.0.0/8\"]")
                .section(&listed(&[("py", &filter)]))
                .section(&dns(server.port));
        let instance = Instance::new(settings);
        let _running = instance.start();
        talk(&instance, client);
        eventually("it is told", Duration::from_secs(5), || {
            filter.names().contains(&"mail".to_owned())
        });
        let events = filter.events();
        let mut last = events.iter().rev();
        let connect = last.find(|event| event["event"] == "connect").expect("it is told");
        assert_eq!(connect["what"][0], host, "{connect}");
        let told = |name: &str| connect["macros"][name].as_str().unwrap_or_default().to_owned();
        let all = ["{client_name}", "{client_ptr}", "{client_resolve}"].map(told);
        assert_eq!(all, [name, claimed, outcome], "{connect}");
        assert_eq!(told("_"), format!("{name} [192.0.2.{client}]"), "{connect}");
    }
    // Name servers that say nothing hold a client up for five seconds at most, and one whose filter
    // wants no names not at all.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = silent.local_addr().expect("its address").port();
    for (modes, longest) in [(&[][..], Duration::from_secs(9)), (&["deaf"], Duration::from_secs(2))]
    {
        let filter = PythonMilter::start(modes);
        let settings =
            asked(Settings::standalone(), "milters: [\"py\"], xclient: [\"127.0.0.0/8\"]")
                .section(&listed(&[("py", &filter)]))
                .section(&dns(port));
        let instance = Instance::new(settings);
        let _running = instance.start();
        if !modes.is_empty() {
            // The first client finds out what the filter wants.
            talk(&instance, 7);
        }
        let started = Instant::now();
        talk(&instance, 8);
        assert!(started.elapsed() < longest, "{modes:?}: {:?}", started.elapsed());
    }
}
