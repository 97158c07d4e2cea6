//! `check` tells mistakes of a configuration that nobody would notice until mail goes astray.

use std::fs;

use relais_tests::{Instance, Ldif, Settings};
use serde_json::Value;

#[track_caller]
fn check(instance: &Instance) -> (Vec<Value>, Option<i32>) {
    let output = instance.relais("check", &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (found.as_array().expect("a list").clone(), output.status.code())
}

fn standalone(from: &str, to: &str) -> Settings {
    Settings::standalone().edit(from, to)
}

/// The configuration, whether the engine starts with it, and the message about which field.
fn rows() -> Vec<(Settings, Option<i32>, &'static str, &'static str)> {
    let rules = "rewrite_rules: [";
    let rule = |rule: &str| standalone(rules, &format!("{rules}\n        {rule},"));
    let notary = |address: &str| {
        Settings::standalone().section(&format!("notary: (postmaster: {address:?})"))
    };
    let store = |path: &str| standalone("path: \"store\"", &format!("path: {path:?}"));
    let socket = |path: &str| {
        let settings = Settings::standalone();
        let tcp = format!("interface_address: \"127.0.0.1\", ports: [{}]", settings.lmtp);
        settings.edit(&tcp, &format!("socket: {path:?}"))
    };
    let lmtpss = "dispatcher.services[\"LMTPSS\"].socket";
    vec![
        (
            rule("(\"x.test\", \"$U%${PORT_ACESS,$H}@localhost\")"),
            Some(0),
            "rewrite_rules[0]",
            "the rule never applies: there is no mapping table \"PORT_ACESS\"; did you mean \
             PORT_ACCESS?",
        ),
        (
            rule("(\"x.test\", \"$U%$(key)${NOSUCH,$H}@localhost\")"),
            Some(0),
            "rewrite_rules[0]",
            "there is no mapping table \"NOSUCH\"",
        ),
        (
            standalone(
                "\"PORT_ACCESS\": [",
                "\"PORT_ACCESS\": [\n            (\"TCP|*\", \"$|NOSUCH;$0|$Y\"),",
            ),
            Some(0),
            "mappings[\"PORT_ACCESS\"][0]",
            "the entry never applies: there is no mapping table \"NOSUCH\"",
        ),
        (
            standalone("\"#&members=*\"", "\"#&membrs=*\""),
            Some(0),
            "delivery_options[1]",
            "\"membrs\" is the name of no delivery option of the original",
        ),
        (
            notary("nobody@relais.example"),
            Some(0),
            "notary.postmaster",
            "mail for the postmaster, nobody@relais.example, leads nowhere: 550 5.1.1",
        ),
        (
            notary("admin@elsewhere.example"),
            Some(0),
            "notary.postmaster",
            "mail for the postmaster, admin@elsewhere.example, leads nowhere: 5",
        ),
        (store("spool"), Some(1), "store.path", "the store lies in the spool"),
        (store("./x/../spool/mail"), Some(1), "store.path", "the store lies in the spool"),
        (store("."), Some(1), "store.path", "the spool, DATA/spool, lies in the store"),
        (store(".."), Some(1), "store.path", "the spool, DATA/spool, lies in the store"),
        (store("stopped"), Some(1), "store.path", "keeps the list of stopped channels there"),
        (socket("admin.sock"), Some(1), lmtpss, "the engine itself keeps the admin socket there"),
        (socket("spool/x"), Some(1), lmtpss, "the engine itself keeps the spool there"),
        (socket("store/x"), Some(1), lmtpss, "the engine itself keeps mailboxes there"),
        (
            Settings::standalone(),
            Some(0),
            "rewrite_rules[0]",
            "senders at domains that neither a rule nor the directory knows cannot be told what \
             became of their mail: their notices go to postmaster@relais.example \
             (notary.postmaster); $V keeps the rule \"$*\" for our own",
        ),
    ]
}

#[test]
fn check_says_what_would_go_astray() {
    for (settings, want, field, says) in rows() {
        let instance = Instance::new(settings);
        let (found, code) = check(&instance);
        let named = found.iter().any(|finding| {
            finding["field"] == field && finding["message"].as_str().unwrap().contains(says)
        });
        assert!(named, "{field}: {says}: {found:#?}");
        assert_eq!(code, want, "{says}: {found:#?}");
        if want == Some(1) {
            assert_eq!(instance.relais("run", &[]).status.code(), want, "{says}");
        }
    }
}

#[test]
fn check_says_of_a_password_in_clear_whose_it_is() {
    let instance = Instance::new(standalone("Ldif()", "Ldif(file: \"people.ldif\")"));
    fs::create_dir_all(instance.data()).unwrap();
    let person = |name: &str, password: &str| {
        format!(
            "dn: uid={name},o=x\nobjectClass: person\nuid: {name}\nuserPassword: {password}\n\n"
        )
    };
    let text = person("ann", "secret") + &person("bob", "{SSHA}rWDqLbuplxZR2jGYHrFFsnK9R9UQX6oU");
    fs::write(instance.data().join("people.ldif"), text).unwrap();
    let (found, code) = check(&instance);
    assert_eq!(code, Some(0), "{found:#?}");
    let said = |of: &str| {
        let of = format!("uid={of},o=x: userPassword is in clear");
        found.iter().any(|its| its["message"].as_str().unwrap().starts_with(&of))
    };
    assert!(said("ann") && !said("bob"), "{found:#?}");
}

#[test]
fn check_says_how_many_findings_it_does_not_tell() {
    let script = relais_tests::scripts(&["if {"]);
    let mut ldif = Ldif::file().domain("relais.example", "");
    for n in 0..1_234 {
        ldif =
            ldif.user(&format!("u{n}"), "relais.example", &format!("mailHost: localhost{script}"));
    }
    let tables = "mappings: {\"CHARSET-CONVERSION\": \
        [(\"IN-CHAN=*;OUT-CHAN=*;IN-CHARSET=*\", \"OUT-CHARSET=utf-9\")],";
    let conversion = "channels: [(name: \"c\", tag: \"c-daemon\", program: Conversion),";
    let settings = standalone("mappings: {", tables).edit("channels: [", conversion);
    let instance = ldif.instance(settings);
    let (found, status) = check(&instance);
    assert_eq!(status, Some(0));
    let messages = || found.iter().filter_map(|its| its["message"].as_str());
    let broken = messages().filter(|its| its.contains("mailSieveRuleSource")).count();
    let more = messages()
        .filter_map(|its| its.strip_suffix(" more findings like those above, which are not told"));
    let more: Vec<usize> = more.filter_map(|count| count.parse().ok()).collect();
    assert_eq!((broken, broken + more.iter().sum::<usize>()), (200, 1_234), "{more:?}");
    assert!(messages().any(|its| its.contains("\"utf-9\" is no charset")));
}

#[test]
fn check_says_of_a_directory_without_entries_that_it_has_none() {
    let instance = Instance::new(standalone("Ldif()", "Ldif(file: \"people.ldif\")"));
    fs::create_dir_all(instance.data()).unwrap();
    for text in ["", "version: 1\n", "# nobody yet\n\n"] {
        fs::write(instance.data().join("people.ldif"), text).unwrap();
        let (found, code) = check(&instance);
        assert_eq!(code, Some(0), "{found:#?}");
        let said = found.iter().find(|finding| finding["field"] == "directory.file");
        let said = said.unwrap_or_else(|| panic!("{text:?}: {found:#?}"));
        assert!(said["message"].as_str().unwrap().contains("the file has no entries"), "{said}");
    }
}

#[test]
fn check_says_why_an_address_of_ours_cannot_be_served() {
    const LISTS: &str = "\
dn: o=relais.example,dc=example
objectClass: sunManagedOrganization
sunPreferredDomain: relais.example

dn: cn=far,o=relais.example,dc=example
objectClass: inetMailGroup
mail: far@relais.example
memberURL: ldap://ldap.example/dc=example??sub?(uid=alice)

dn: cn=secret,o=relais.example,dc=example
objectClass: inetMailGroup
mail: secret@relais.example
mgrpRFC822MailMember: away@relais.example
mgrpBroadcasterPolicy: PASSWORD_REQUIRED

dn: cn=hashed,o=relais.example,dc=example
objectClass: inetMailGroup
mail: hashed@relais.example
mgrpRFC822MailMember: away@relais.example
mgrpAuthPassword: {MD5}x

dn: uid=away,o=relais.example,dc=example
objectClass: inetMailUser
uid: away
mail: away@relais.example
mailHost: localhost
mailDeliveryOption: mailbox
mailDeliveryOption: autoreply
vacationEndDate: 2026-12-31
";
    let settings = standalone("Ldif()", "Ldif(file: \"people.ldif\")")
        .edit("\"#*forward=**\",", "\"#*forward=**\",\n \"#*^!autoreply=$M+$D@bitbucket\",")
        .section("aliases: {\"kept\": [\"/var/mail/kept\"], \"run\": [\"|/bin/cat\"]}");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).unwrap();
    fs::write(instance.data().join("people.ldif"), LISTS).unwrap();
    let (found, _) = check(&instance);
    for want in [
        "mail for far@relais.example is refused: 451 4.3.5 this list cannot be served yet: \
         memberURL: a search begins with ldap:///, without a host",
        "cn=secret,o=relais.example,dc=example: the list wants a password and has no mgrpAuthPassword",
        "this list cannot be served yet: mgrpAuthPassword: the scheme {MD5} of the password is not",
        "vacationEndDate \"2026-12-31\" does not count; a time in UTC such as 20261231235959Z",
        "there is no mailAutoReplyText: nobody is answered",
        "an alias leads to \"/var/mail/kept\": there is no section native for files",
        "an alias leads to \"|/bin/cat\": programs does not list that command",
    ] {
        let is_told = |finding: &Value| finding["message"].as_str().unwrap().contains(want);
        assert!(found.iter().any(is_told), "{want}: {found:#?}");
    }
}

#[test]
fn a_rule_for_everybody_ends_the_word_about_those_who_cannot_be_told() {
    let rule = "rewrite_rules: [\n        (\"$*\", \"$U%$H@lmtpcs-daemon\"),";
    let settings = standalone(
        "\n    ],\n\n    channels",
        "\n        (\".\", \"$U%$H@lmtpcs-daemon\"),\n    ],\n\n    channels",
    );
    for settings in [settings, standalone("rewrite_rules: [", rule)] {
        let (found, _) = check(&Instance::new(settings));
        let said = |f: &Value| f["message"].as_str().unwrap().contains("cannot be told");
        assert!(!found.iter().any(said), "{found:#?}");
    }
}

/// Slips that people make, and the answer: `line:column` in the file below, and words.
const SLIPS: &[(&str, &str, &str, &str)] = &[
    ("maxjobs: 7", "maxjobs: \"4\"", "34:46", "1 to 10000 is expected: 4"),
    ("maxjobs: 7", "maxjobs: Some(4)", "34:46", "1 to 10000 is expected: 4"),
    ("maxjobs: 7", "maxjobs 7", "34:37", "a colon is missing behind maxjobs; maxjobs: 7"),
    ("maxjobs: 7", "MaxJobs: 7", "34:37", "did you mean maxjobs?"),
    ("maxjobs: 7,", "maxjobs: 7", "34:48", "a comma is missing before this"),
    ("maxjobs: 7,", "maxjobs: 7;", "34:47", "\";\" has no place here; a comma"),
    ("maxjobs: 7", "idle_time: 300", "34:48", "a time with its unit is expected"),
    ("maxjobs: 7", "max_line: \"10 megs\"", "34:47", "a number of octets is expected"),
    ("multigate: true", "multigate: yes", "33:21", "true is expected, without quotes"),
    ("[2525]", "2525", "11:101", "a list is expected: [2525]"),
    ("[2525]", "[70000]", "11:102", "a whole number from 0 to 65535 is expected"),
    (", ports: [2525]", "", "11:13", "the service listens nowhere; ports, "),
    ("program: Smtp, ", "program: SMTP, ", "11:33", "did you mean Smtp?"),
    (
        "channel: \"tcp_local\"",
        "channel: \"smtp\"",
        "11:48",
        "there are: tcp_local (of program Smtp)",
    ),
    ("name: \"tcp_lmtpss\"", "name: \"tcp_lmtpcs\"", "35:16", "already, in line 32; another name"),
    ("pool: \"SMTP_POOL\"", "pool: \"smtp_pool\"", "34:55", "did you mean SMTP_POOL?"),
    (".lmtp@lmtpcs-daemon", ".lmtp@tcp_lmtpcs", "25:9", "its tag, lmtpcs-daemon, is expected here"),
    ("V$H@localhost", "V$H", "24:9", "the rule leads back to itself"),
    ("(\"$*\",    ", "(\"$*\":   ", "24:10", "a comma stands between its two texts"),
    ("(\"$*\",    ", "\"$*\" => (", "24:14", "a rule is a pair: (\"pattern\", \"template\")"),
    (
        "host: \"localhost\"",
        "host: \"mail.example.org..\"",
        "5:11",
        "did you mean \"mail.example.org\"?",
    ),
    (
        "directory: Ldif()",
        "directory: \"people.ldif\"",
        "50:16",
        "Ldif(file: \"people.ldif\") is expected",
    ),
    ("directory: Ldif()", "directory: Ldif(file: \"none\")", "50:27", "No such file or directory"),
    ("listen: \"127.0.0.1:9225\"", "listen: 9225", "59:21", "such as \"127.0.0.1:9225\""),
    ("// metrics", "/* metrics", "59:45", "*/ is missing"),
];

#[test]
fn a_usual_slip_is_told_with_its_place_and_what_would_be_right() {
    let instance = Instance::new(Settings::standalone());
    let base = relais_tests::example("standalone");
    let told = |octets: &[u8]| {
        fs::write(instance.path("relais.ron"), octets).unwrap();
        check(&instance).0
    };
    for (from, to, place, says) in SLIPS {
        assert!(base.contains(from), "{from}");
        let text = base.replacen(from, to, 1);
        // The ends of lines of Windows, and its mark before the text, change nothing.
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        for text in [text, windows] {
            let found = told(text.as_bytes());
            let is_it = |finding: &&Value| {
                *place == format!("{}:{}", finding["line"], finding["column"])
                    && finding["message"].as_str().unwrap().contains(says)
            };
            assert_eq!(found.iter().filter(is_it).count(), 1, "{to}: {place} {says}: {found:#?}");
            let mistakes = found.iter().filter(|finding| finding["accepted"].is_string()).count();
            assert!(mistakes <= 1, "one slip, one mistake: {found:#?}");
        }
    }
    let wide: Vec<u8> = base.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = told(&[&[0xff, 0xfe], &wide[..]].concat());
    assert!(found[0]["message"].as_str().unwrap().contains("must be saved as UTF-8"), "{found:#?}");
    // Matters of taste are none of ours.
    for (from, to) in [("    host", "\thost"), ("maxjobs: 7", "idle_time: \"5 m\"")] {
        let found = told(base.replacen(from, to, 1).as_bytes());
        assert!(found.iter().all(|finding| finding["accepted"].is_null()), "{to}: {found:#?}");
    }
}
