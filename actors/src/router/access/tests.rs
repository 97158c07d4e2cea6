//! Rulings of tables as operators write them.

use std::collections::BTreeMap;

use relais_config::{Config, MappingTable, STANDALONE};

use super::*;
use crate::directory::LdifDirectory;

fn routes(name: &str, entries: &[(&str, &str)]) -> Routes {
    let (mut config, _) = Config::parse("standalone.ron", STANDALONE).unwrap();
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    let table = MappingTable::parse(entries.iter().map(own).collect()).unwrap();
    config.mappings = [(name.to_owned(), table)].into();
    Routes::new(&config).unwrap()
}

fn ends(port: u16, client: &str) -> TcpEnds {
    TcpEnds {
        server: ([127, 0, 0, 1], port).into(),
        client: (client.parse::<IpAddr>().unwrap(), 40_000).into(),
    }
}

#[test]
fn port_access_of_a_store() {
    let routes = routes(
        "port_access",
        &[
            ("TCP|*|2225|127.0.0.1|*", "$Y"),
            ("TCP|*|2225|*|*", "$N500$ Do$ not$ connect$ to$ this$ machine"),
        ],
    );
    let rejected = Access::Reject("500 Do not connect to this machine".to_owned());
    let rows = [
        (2225, "127.0.0.1", Access::Accept, Some(0)),
        (2225, "::ffff:127.0.0.1", Access::Accept, Some(0)),
        (2225, "192.0.2.66", rejected, Some(1)),
        (25, "192.0.2.66", Access::Silent, None),
    ];
    for (port, client, want, entry) in rows {
        let got = port_access(&routes, ends(port, client), false).unwrap();
        assert_eq!((got.access, got.entry), (want, entry), "{port} {client}");
    }
    let none = self::routes("OTHER", &[]);
    assert_eq!(port_access(&none, ends(25, "192.0.2.66"), true), None);
}

/// The table of chapter 16, as it stands there, and that of 2005Q4.
#[test]
fn stores_take_connections_of_their_relays_alone() {
    let rows = [
        (225, "192.18.74.206", true),
        (226, "192.18.74.206", true),
        (225, "192.18.74.129", true),
        (226, "192.18.74.129", true),
        (225, "192.18.74.130", false),
        (25, "192.18.74.206", false),
        (225, "192.0.2.1", false),
    ];
    for relays in [["192.18.74.206", "192.18.74.129"], ["1.2.3.4", "1.2.3.5"]] {
        let own = |(relay, port)| format!("TCP|*|{port}|{relay}|*");
        let all = [(relays[0], 225), (relays[0], 226), (relays[1], 225), (relays[1], 226)].map(own);
        let mut entries: Vec<_> = all.iter().map(|pattern| (pattern.as_str(), "$Y")).collect();
        entries.push(("TCP|*|*|*|*", "$N500$ Do$ not$ connect$ to$ this$ machine"));
        let routes = routes("PORT_ACCESS", &entries);
        for (port, client, is_taken) in rows {
            let client =
                client.replace("192.18.74.206", relays[0]).replace("192.18.74.129", relays[1]);
            let got = port_access(&routes, ends(port, &client), false).unwrap().access;
            let want = if is_taken {
                Access::Accept
            } else {
                Access::Reject("500 Do not connect to this machine".to_owned())
            };
            assert_eq!(got, want, "{port} {client}");
        }
    }
}

#[test]
fn only_internal_addresses_are_internal() {
    let entries = [("$(192.18.74.0/24)", "$Y"), ("127.0.0.1", "$Y"), ("*", "$N")];
    let routes = routes("INTERNAL_IP", &entries);
    let rows = [("192.18.74.9", true), ("127.0.0.1", true), ("192.0.2.1", false), ("::1", false)];
    for (client, want) in rows {
        assert_eq!(internal_ip(&routes, client.parse().unwrap()), want, "{client}");
    }
    assert!(!internal_ip(&self::routes("OTHER", &[]), [127, 0, 0, 1].into()));
}

#[test]
fn rejections_become_replies() {
    let rows = [
        ("500 Go away", "500 5.7.1 Go away"),
        ("500-Go away", "500 5.7.1 Go away"),
        ("Relaying not permitted", "550 5.7.1 Relaying not permitted"),
        ("", "550 5.7.1 access denied"),
        ("450 Later", "450 4.7.1 Later"),
        ("200 Fine", "550 5.7.1 200 Fine"),
        ("521 5.1.1 no", "521 5.1.1 no"),
        ("4.2.1 later", "450 4.2.1 later"),
        ("550 4.2.1 later", "550 5.7.1 4.2.1 later"),
        ("5.1.6", "550 5.1.6 access denied"),
    ];
    for (text, want) in rows {
        let reply = Access::Reject(text.to_owned()).reply().unwrap();
        assert_eq!(reply.to_string(), want);
    }
    assert_eq!(Access::Accept.reply(), None);
}

#[test]
fn parting_words_have_a_line_for_each_part() {
    let rows = [
        ("500 Do not connect to this machine", "500 Do not connect to this machine"),
        ("421 a~b~c", "421-a\r\n421-b\r\n421 c"),
        ("500-a~500-b~500 c", "500-a\r\n500-b\r\n500 c"),
        ("Go away", "554 5.7.1 Go away"),
        ("a~b", "554-5.7.1 a\r\n554 5.7.1 b"),
        ("", "554 5.7.1 access denied"),
        ("500 a\r\n220 b", "500 a??220 b"),
        ("500", "500 "),
    ];
    for (text, want) in rows {
        assert_eq!(parting_lines(text), want, "{text}");
    }
}

#[test]
fn flags_take_their_arguments_in_order() {
    // template; access, held, discarded, note
    let reject = |text: &str| Access::Reject(text.to_owned());
    let rows = [
        ("$Y", Access::Accept, None, false, None),
        ("text", Access::Silent, None, false, None),
        ("$Na|b", reject("a|b"), None, false, None),
        ("$N$<it$ came|550$ a|b", reject("550 a|b"), None, false, Some("it came")),
        ("$F$>refused|no", reject("no"), None, false, Some("refused")),
        ("$F$<came$>|refused|no", reject("no"), None, false, Some("refused")),
        ("$F$<$>came||no", reject("no"), None, false, Some("came")),
        ("$Y$>refused", Access::Accept, None, false, None),
        ("$Y$<a|b", Access::Accept, None, false, Some("a|b")),
        ("$N$<only", reject(""), None, false, Some("only")),
        ("$Hfor$ a$ look", Access::Silent, Some("T: for a look"), false, None),
        ("$Y$H", Access::Accept, Some("T says so"), false, None),
        ("$Y$V", Access::Accept, None, true, None),
        ("$Z", Access::Silent, None, true, None),
    ];
    for (template, access, held, is_discarded, note) in rows {
        let table = vec![("*".to_owned(), template.to_owned())];
        let table = MappingTable::parse(table).unwrap();
        let (none, general) = (BTreeMap::new(), BTreeMap::new());
        let mapped = table.lookup("x", &Tables::new(&none, &general));
        let got = Ruling::from_mapped("T", String::new(), mapped);
        let got = (got.access, got.held.as_deref(), got.is_discarded, got.note.as_deref());
        assert_eq!(got, (access, held, is_discarded, note), "{template}");
    }
}

#[tokio::test]
async fn an_address_in_another_spelling_is_the_same() {
    let entries = [
        ("*|MAIL|*|x@blocked.test|*", "$Nno"),
        ("*|MAIL|*|jörg@grüße.test|*", "$Nno"),
        ("*|MAIL|*|y@blocked。test|*", "$Nno"),
        ("*|MAIL|*|\"a$ b\"@c.test|*", "$N"),
    ];
    let routes = routes("FROM_ACCESS", &entries);
    let rows = [
        ("x@blocked.test", Some(0)),
        ("X@Blocked.test.", Some(0)),
        ("x@blocked。test。", Some(0)),
        ("\"x\"@blocked.test", Some(0)),
        ("\"\\x\"@blocked.test.", Some(0)),
        ("x.@blocked.test", None),
        ("JÖRG@GRÜßE.test.", Some(1)),
        ("\"JO\u{308}RG\"@xn--gre-6ka8l.test", Some(1)),
        ("jorg@grüße.test", None),
        ("y@blocked.test", Some(2)),
        ("\"a b\"@c.test", Some(3)),
        ("", None),
    ];
    for (sender, want) in rows {
        let asked = (&routes, &LdifDirectory::default());
        let submission = Submission::default();
        let ruling = from_access(asked, ("tcp_local", sender), submission, true).await.unwrap();
        assert_eq!(ruling.expect("the table").entry, want, "{sender}");
    }
}

#[tokio::test]
async fn from_access_sees_the_connection_and_the_name() {
    let entries = [
        ("TCP|127.0.0.1|25|192.0.2.7|*|SMTP/spam*|MAIL|tcp_local|*|", "$Nno"),
        ("|SMTP/|MAIL|tcp_local|x@y|", "$Y"),
    ];
    let routes = routes("FROM_ACCESS", &entries);
    let hello = |hello| {
        let ends = Some(ends(25, "192.0.2.7"));
        Submission { ends, hello, ..Submission::default() }
    };
    let rows = [
        (hello("spammer"), Some(0)),
        (hello("good"), None),
        (Submission::default(), Some(1)),
        (Submission { authenticated: "u", ..hello("spammer") }, None),
    ];
    for (submission, want) in rows {
        let asked = (&routes, &LdifDirectory::default());
        let ruling = from_access(asked, ("tcp_local", "x@y"), submission, true).await.unwrap();
        assert_eq!(ruling.expect("the table").entry, want, "{submission}");
    }
}
