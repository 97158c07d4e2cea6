//! A domain and a next hop are read alike by everything that reads one: the file, the wire, and what
//! rules, templates and the directory come to.

use relais_channels::{
    mail::{Address, NextHop},
    mailbox::MailboxName,
    server::{
        Dialect,
        command::{Command, Envelopes},
    },
};
use relais_config::Config;

/// A file with this domain and this `daemon` of a channel.
fn config(domain: &str, daemon: &str) -> Option<Config> {
    let text = format!(
        r#"(
            host: "store.example.org",
            data: "/var/lib/relais",
            default_domain: {domain:?},
            dispatcher: (services: {{"LMTP": (program: Lmtp, channel: "l", ports: [24])}}),
            store: (path: "store"),
            channels: [(name: "l", tag: "l-daemon", program: Lmtp, daemon: {daemon:?})],
        )"#
    );
    Config::parse("relais.ron", &text).ok().map(|(config, _)| config)
}

fn address(command: &str) -> Option<Address> {
    match Command::parse(command.as_bytes(), Dialect::Smtp, Envelopes::Strict) {
        Ok(Command::Rcpt(to)) => Some(to.address),
        _ => None,
    }
}

#[test]
fn a_domain_is_one_for_all_who_read_it() {
    // as it is written, without its final dot if it is one
    let rows = [
        ("relais.example", Some("relais.example")),
        ("relais.example.", Some("relais.example")),
        ("localhost", Some("localhost")),
        ("a-b.c_d.1", Some("a-b.c_d.1")),
        ("tcp_local-daemon", Some("tcp_local-daemon")),
        ("relais.example..", None),
        ("relais..example", None),
        (".example", None),
        (".", None),
        ("", None),
        ("-relais.example", None),
        ("relais-.example", None),
        ("relais.-example", None),
        ("relais.example-", None),
        ("relais.example-.", None),
        ("a/b", None),
        ("../etc", None),
        ("a b", None),
    ];
    for (text, want) in rows {
        let want = want.map(str::to_owned);
        let of_file = config(text, "host").map(|config| config.default_domain);
        assert_eq!(of_file, want, "the file: {text:?}");
        let of_wire = address(&format!("RCPT TO:<ann@{text}>")).map(|to| to.normal());
        let normal = want.as_ref().map(|domain| format!("ann@{domain}"));
        assert_eq!(of_wire, normal, "the wire: {text:?}");
        // As `$M@$D` and the routes of delivery options are read.
        let of_template = Address::parse(&format!("@{text}:ann@{text}")).ok();
        assert_eq!(of_template.map(|to| to.normal()).is_some(), want.is_some(), "{text:?}");
        let of_store = MailboxName::new("ann", text, "").ok().map(|name| name.maildir());
        let maildir = want.map(|domain| format!("{domain}/ann/Maildir"));
        assert_eq!(of_store, maildir, "the store: {text:?}");
    }
}

#[test]
fn a_next_hop_is_one_for_all_who_read_it() {
    let long = format!("unix:/{}", "x".repeat(107));
    // as it is written, whether it is one
    let rows = [
        ("store.example", true),
        ("store.example.", true),
        ("store.example.:24", true),
        ("inet:store.example:24", true),
        ("[192.0.2.1]:24", true),
        ("[IPv6:2001:db8::1]:24", true),
        ("[2001:db8::1]", true),
        ("2001:db8::1", true),
        ("192.0.2.1:24", true),
        ("unix:/run/lmtp", true),
        ("unix:run/lmtp", false),
        ("unix:", false),
        (&long, false),
        ("store.example..", false),
        ("store..example", false),
        ("-store.example", false),
        ("store-.example", false),
        ("a/b", false),
        ("store.example:0", false),
        ("store.example:+24", false),
        ("[ipv6:192.0.2.1]", false),
        ("[192.0.2]", false),
        ("", false),
    ];
    for (text, want) in rows {
        assert_eq!(config("example.org", text).is_some(), want, "the file: {text:?}");
        // As the host that a rule or a template comes to is read.
        assert_eq!(text.parse::<NextHop>().is_ok(), want, "a template: {text:?}");
    }
}
