//! Ways of recipients: the rules, channels and tables that a `main.cf` becomes.

use std::fs;

use relais_config::Reading;

use super::import;
use crate::{Fate, Imported};

/// A `main.cf` with these lines, and these tables beside it; the new file must have no mistake.
#[track_caller]
fn imported(main: &str, files: &[(&str, &str)]) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let alias = if main.contains("alias_maps") { "" } else { "alias_maps =\n" };
    let main = format!("compatibility_level = 3.6\nmyhostname = mx.test\n{alias}{main}");
    fs::write(folder.path().join("main.cf"), main).unwrap();
    let imported = import(folder.path()).unwrap();
    let reading = Reading::of_text("new", &imported.text, None);
    reading.into_config().unwrap_or_else(|error| panic!("{error}\n{}", imported.text));
    imported
}

/// Whether the new file has a line that begins so, and none that begins with the text behind `!`.
#[track_caller]
fn has_lines(main: &str, files: &[(&str, &str)], lines: &[&str]) -> Imported {
    let imported = imported(main, files);
    let has = |line: &str| imported.text.lines().any(|its| its.trim_start().starts_with(line));
    for line in lines {
        match line.strip_prefix('!') {
            Some(line) => assert!(!has(line), "{main}\n{line}\n{}", imported.text),
            None => assert!(has(line), "{main}\n{line}\n{}", imported.text),
        }
    }
    imported
}

#[track_caller]
fn is_told(imported: &Imported, fate: Fate, setting: &str, meaning: &str) {
    let is_of = |told: &&crate::Told| {
        told.fate == fate && told.setting.contains(setting) && told.meaning.contains(meaning)
    };
    assert!(imported.told.iter().any(|told| is_of(&told)), "{setting}: {:#?}", imported.told);
}

const UNKNOWN: &str = "error:5.1.1 User unknown in";

#[test]
fn listed_users_have_the_way_of_their_domain_and_others_none() {
    let users = "ann@r.test OK\nbob@r.test OK\ncy@sub.r.test OK\n@o.test OK\n";
    let ways = "r.test smtp:[192.0.2.1]:25\nbob@r.test smtp:[192.0.2.2]\nbob+x@r.test smtp:[192.0.2.3]\n\
                nobody@r.test smtp:[192.0.2.4]\n.r.test smtp:[192.0.2.5]\no.test relay:[192.0.2.6]\n\
                joe@o.test smtp:[192.0.2.7]\n";
    let of_relay = "relay_domains = r.test o.test\nrelay_recipient_maps = hash:/etc/postfix/u\n";
    let of_boxes = "virtual_mailbox_domains = r.test o.test sub.r.test\nvirtual_mailbox_maps = hash:/etc/postfix/u\n";
    for (main, table) in [(of_relay, "relay recipient"), (of_boxes, "virtual mailbox")] {
        let main = format!(
            "{main}transport_maps = hash:/etc/postfix/t\nrecipient_delimiter = +\nmydestination = mx.test"
        );
        let unknown = |domain: &str| format!("\"{domain}\": \"{UNKNOWN} {table} table\",");
        let made = has_lines(
            &main,
            &[("u", users), ("t", ways)],
            &[
                "\"ann@r.test\": \"smtp_host:[192.0.2.1]:25\",",
                "\"bob@r.test\": \"smtp_host:[192.0.2.2]\",",
                "\"bob+x@r.test\": \"smtp_host:[192.0.2.3]\",",
                "\"cy@sub.r.test\": \"smtp_host:[192.0.2.5]\",",
                "\"o.test\": \"relay_host:[192.0.2.6]\",",
                "\"joe@o.test\": \"smtp_host:[192.0.2.7]\",",
                &unknown("r.test"),
                &unknown("sub.r.test"),
                "!\"nobody@r.test\"",
            ],
        );
        is_told(&made, Fate::NotNeeded, "nobody@r.test", "does not list");
        // Of Postfix's own tables that of relay domains alone stands for what is below them.
        let below = unknown(".r.test");
        assert_eq!(made.text.contains(&below), table.starts_with("relay"), "{}", made.text);
    }
}

/// Nobody is refused for good whom a table lists that is not read.
#[test]
fn users_of_tables_that_are_not_read_wait() {
    let main =
        "relay_domains = r.test\nrelay_recipient_maps = hash:/etc/postfix/u mysql:/etc/my.cf\n";
    let waits = "\"r.test\": \"retry:4.1.1 a part of the table of this domain is not here yet\",";
    let made = has_lines(main, &[("u", "ann@r.test x\n")], &["\"ann@r.test\": \"relay:\",", waits]);
    is_told(&made, Fate::NoCounterpart, "relay_recipient_maps", "waits (450)");
}

#[test]
fn rows_of_transport_maps_count_as_in_postfix() {
    let rows: &[(&str, &[&str])] = &[
        (
            "mydestination = x.test\ntransport_maps = inline:{ {x.test=local:}, {*=smtp:[out.test]} }",
            &["\"x.test\": \"l:\",", "\"*\": \"smtp_host:out.test\","],
        ),
        (
            "transport_maps = inline:{ {in.test=:}, {.in.test=:}, {*=smtp:[out.test]} }",
            &["\"in.test\": \":\",", "\".in.test\": \":\","],
        ),
        // A next hop alone: of the transport of the address's class.
        (
            "relay_domains = r.test\nvirtual_mailbox_domains = b.test\nvirtual_transport = lmtp:inet:x.test\n\
             transport_maps = inline:{ {a.test=:[gw.test]}, {r.test=:[gw.test]}, {b.test=:inet:gw.test:24} }",
            &[
                "\"a.test\": \"smtp_host:gw.test\",",
                "\"r.test\": \"relay_host:gw.test\",",
                "\"b.test\": \"lmtp:gw.test:24\",",
            ],
        ),
        (
            "relay_domains = r.test\ntransport_maps = inline:{ {*=:[gw.test]} }",
            &["\"*\": \"smtp_host:gw.test\",", "\"r.test\": \"relay_host:gw.test\","],
        ),
        // `*` is asked before the class.
        (
            "virtual_mailbox_domains = b.test\nvirtual_transport = lmtp:inet:x.test\n\
             transport_maps = inline:{ {*=smtp:[out.test]} }",
            &["\"b.test\": \"smtp_host:out.test\","],
        ),
        (
            "relay_domains = r.test\nrelay_transport = relay:[in.test]\nrelay_recipient_maps = inline:{ann@r.test=x}\n\
             transport_maps = inline:{ {*=smtp:[catch.test]} }",
            &["\"ann@r.test\": \"smtp_host:catch.test\","],
        ),
        // A default that refuses is about no class.
        (
            "mydestination = x.test\nrelay_domains = r.test\ndefault_transport = error:5.1.2 none",
            &[
                "\"x.test\": \":\",",
                "\"r.test\": \":\",",
                "\".r.test\": \":\",",
                "\"*\": \"error:5.1.2 none\",",
            ],
        ),
        (
            "mydestination = .x.test y.test",
            &["(\"y.test\", \"$U%$D@local-daemon\"),", "!(\".x.test\""],
        ),
    ];
    for (main, lines) in rows {
        has_lines(main, &[], lines);
    }
}

#[test]
fn bare_names_are_those_of_myorigin_whoever_has_its_mail() {
    let main = "myorigin = corp.test\nmydestination =\nrelayhost = [smart.test]\n\
                virtual_alias_maps = inline:{ {boss=ceo@far.test}, {joe@corp.test=x@far.test} }";
    has_lines(
        main,
        &[],
        &[
            "(\"local-daemon\", \"$U%corp.test\"),",
            "\"boss@corp.test\": [\"ceo@far.test\"],",
            "\"boss@local-daemon\": [\"ceo@far.test\"],",
            "\"joe@local-daemon\": [\"x@far.test\"],",
        ],
    );
    has_lines("myorigin = corp.test\nmydestination = corp.test", &[], &["!(\"local-daemon\""]);
}

/// Accounts whose mailboxes are not made here are not bounced: their mail waits.
#[test]
fn mail_for_mailboxes_of_other_kinds_waits() {
    let unknown = "fallback_transport: \"error:5.1.1 User unknown in local recipient table\"";
    for main in ["home_mailbox = Maildir/", "mailbox_command = /usr/bin/procmail"] {
        let made = imported(main, &[]);
        assert!(made.text.contains(unknown) && !made.text.contains("native:"), "{}", made.text);
    }
    let made = imported("home_mailbox = Maildir/\nmailbox_transport = lmtp:unix:/s", &[]);
    assert!(!made.text.contains(unknown), "{}", made.text);
}

#[test]
fn classes_of_addresses_say_whose_addresses_are_replaced() {
    let maps = "mydestination = mx.test\ncanonical_maps = inline:{root@mx.test=ann@mx.test}\n";
    let key = "\"root@mx.test\": [\"ann@mx.test\"]";
    let of_senders = format!("{maps}canonical_classes = envelope_sender, header_sender");
    let made = has_lines(
        &of_senders,
        &[],
        &[&format!("!{key}"), "\"root@mx.test\": \"ann@mx.test\",", "all: false,"],
    );
    is_told(&made, Fate::Carried, "canonical_classes", "");
    let of_recipients = format!("{maps}canonical_classes = envelope_recipient");
    let made = imported(&of_recipients, &[]);
    assert!(made.text.contains(key) && !made.text.contains("reverse:"), "{}", made.text);
    let of_headers = format!("{maps}canonical_classes = header_sender header_recipient");
    has_lines(&of_headers, &[], &[&format!("!{key}"), "envelope: false,"]);
}

#[test]
fn mail_is_thrown_away_by_a_channel() {
    let discards = "(name: \"bitbucket\", tag: \"bitbucket-daemon\", program: Bitbucket)";
    for main in [
        "transport_maps = inline:{black.test=discard:}",
        "default_transport = discard:gone",
        "smtpd_recipient_restrictions = check_recipient_access inline:{ {x@mx.test=DISCARD} }",
    ] {
        has_lines(main, &[], &[discards]);
    }
    has_lines("", &[], &[&format!("!{discards}")]);
}

#[test]
fn transports_have_the_bounds_of_master_cf_and_those_without_mail_are_told() {
    let master = "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nrelay unix - - n - 0 smtp\n\
                  slow unix - - n - 2 smtp\nlmtp unix - - n - 5 lmtp\nmany unix - - n - 250 smtp\n\
                  tool unix - n n - 3 pipe user=nobody argv=/bin/tool\n";
    let main = "transport_maps = inline:{ {a.test=slow:}, {b.test=slow:[x.test]}, {c.test=many:}, {d.test=tool:} }\n\
                virtual_transport = lmtp:unix:private/x\nsmtp_fallback_relay = [fb.test]:26 [192.0.2.1]";
    let made = imported(main, &[("master.cf", master)]);
    for part in [
        "\"SLOW_POOL\": (job_limit: 2, keep_last_slot: false)",
        "\"MANY_POOL\": (job_limit: 25, keep_last_slot: false)",
        "lastresort: \"fb.test:26, [192.0.2.1]\"",
    ] {
        assert!(made.text.contains(part), "{part}\n{}", made.text);
    }
    let words: String = made.text.split_whitespace().collect();
    assert_eq!(words.matches("pool:\"SLOW_POOL\",maxjobs:2,max_client_threads:1").count(), 2);
    assert_eq!(words.matches("pool:\"MANY_POOL\",maxjobs:25,max_client_threads:10").count(), 1);
    assert_eq!(words.matches("program:Pipe,maxjobs:3,max_client_threads:1").count(), 1, "{words}");
    for setting in ["lmtp", "virtual_transport"] {
        is_told(&made, Fate::NotNeeded, setting, "no address leads there");
    }
}

/// A row that is left out is not answered for by another one unsaid, and bounces nobody.
#[test]
fn what_rows_that_are_left_out_stand_for_is_told() {
    let rows = "/^post.*@v\\.test$/ pm@r.test\n/^a@v\\.test$/ b@r.test\n/@v\\.test$/ all@r.test\n";
    let main = "virtual_alias_domains = v.test w.test\nvirtual_alias_maps = pcre:/etc/postfix/v\n\
                recipient_delimiter = +\nmydestination =";
    let waits = "\"v.test\": \"retry:4.1.1 a part of the table of this domain is not here yet\",";
    let made = has_lines(main, &[("v", rows)], &[waits, "!\"w.test\": \"retry"]);
    is_told(&made, Fate::NoCounterpart, "all@r.test", "v:1 is about");
    is_told(&made, Fate::NoCounterpart, "virtual_alias_maps", "see whole addresses");
    is_told(&made, Fate::NoCounterpart, "virtual_alias_maps", "waits (450)");
}
