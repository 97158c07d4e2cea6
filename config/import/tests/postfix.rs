//! Snippets of `main.cf` and `master.cf`: what each becomes, and what is told of it.

use std::fs;

use relais_config::{Config, Reading};
use relais_import::{Fate, ImportError, Imported, postfix::import};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A `main.cf` with these lines, and these tables beside it.
fn imported(main: &str, files: &[(&str, &str)]) -> Imported {
    let folder = folder(files);
    let alias = if main.contains("alias_maps") { "" } else { "alias_maps =\n" };
    let main = format!("myhostname = mail.example.org\n{alias}{main}");
    fs::write(folder.path().join("main.cf"), main).unwrap();
    import(folder.path()).unwrap()
}

/// The new file, which must have no mistake.
#[track_caller]
fn config(imported: &Imported) -> Config {
    let reading = Reading::of_text("new", &imported.text, None);
    reading.into_config().unwrap_or_else(|error| panic!("{error}\n{}", imported.text)).0
}

/// The text on one line, without comments.
fn plain(imported: &Imported) -> String {
    let lines = imported.text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    words
        .join(" ")
        .replace("( ", "(")
        .replace(", )", ")")
        .replace("[ ", "[")
        .replace(", ]", "]")
        .replace("{ ", "{")
        .replace(", }", "}")
}

#[test]
fn each_parameter_becomes_its_setting() {
    let files = [
        ("nets", "# ours\n10.9.0.0/16\n"),
        ("domains", "of-table.test x\n"),
        ("pw", "h u:p\n"),
        ("relayers", "192.0.2.0/24 OK\n"),
        ("tls", ".bank.test secure match=mx.bank.test\n[mx.x.test] dane-only\nx.test none\n"),
        ("aliases", "joe: ann\nteam: \\joe\n\"sp aced\": \"a b@x.test\",\n  |\"/bin/x -y\"\n"),
    ];
    for (main, want) in PARAMETERS {
        let imported = imported(main, &files);
        config(&imported);
        let text = plain(&imported);
        assert!(text.contains(want), "{main}\n{want}\n{text}");
    }
}

#[test]
fn parameters_without_a_counterpart_are_told_with_their_place_and_meaning() {
    let rows = [
        ("header_checks = regexp:/etc/x", "header_checks = ", Fate::NoCounterpart, "milter"),
        ("biff = no", "biff", Fate::NotNeeded, "terminal"),
        ("disable_vrfy_command = yes", "disable_vrfy_command", Fate::SameByDefault, ""),
        (
            "postscreen_greet_action = enforce",
            "postscreen_greet_action",
            Fate::NoCounterpart,
            "dns_verify_domain",
        ),
        ("frobnicate = yes", "frobnicate", Fate::NoCounterpart, "no parameter that is known here"),
        (
            "frob = x.test\nmydestination = $frob",
            "frob = x.test",
            Fate::Carried,
            "other parameters ask for it",
        ),
        (
            "recipient_delimiter = +-",
            "recipient_delimiter",
            Fate::NoCounterpart,
            "one of them counts, `+`",
        ),
        ("home_mailbox = Maildir/", "home_mailbox", Fate::NoCounterpart, "waits (451)"),
        (
            "transport_maps = pcre:/etc/postfix/t",
            "transport_maps: pcre",
            Fate::NoCounterpart,
            "not there",
        ),
        (
            "transport_maps = hash:/etc/postfix/only",
            "transport_maps: hash",
            Fate::NoCounterpart,
            "postmap -s",
        ),
        (
            "virtual_alias_maps = ldap:/etc/v.cf",
            "virtual_alias_maps: ldap",
            Fate::NoCounterpart,
            "directory",
        ),
        (
            "smtpd_sender_restrictions = check_sender_access hash:/x",
            "smtpd_sender_restrictions: hash:/x",
            Fate::NoCounterpart,
            "not there",
        ),
        ("mynetworks = host.name", "mynetworks: host.name", Fate::NoCounterpart, "no network"),
        ("smtpd_recipient_limit = many", "smtpd_recipient_limit", Fate::NoCounterpart, "no form"),
    ];
    for (main, setting, want, meaning) in rows {
        let imported = imported(main, &[("only.db", "")]);
        config(&imported);
        let of = |told: &&relais_import::Told| told.setting.contains(setting) && told.fate == want;
        let told = imported.told.iter().find(of);
        let told = told.unwrap_or_else(|| panic!("{main}: {:#?}", imported.told));
        assert!(told.meaning.contains(meaning), "{main}: {}", told.meaning);
        assert!(imported.text.contains(&format!("{}: ", told.place)), "{main}\n{}", imported.text);
    }
}

/// The pieces of `LMTP_README`, sections 5 to 9, as they stand there.
#[test]
fn the_pieces_of_the_readme_of_lmtp_are_converted() {
    let master = "lmtp1 unix - - n - - lmtp\nlmtp2 unix - - n - - lmtp\nlmtp unix - - n - - lmtp\n\
                  smtp unix - - n - - smtp\nsmtp inet n - n - - smtpd\n";
    let rows = [
        ("mailbox_transport = lmtp:unix:/path/name", "mailbox_transport: \"lmtp:unix:/path/name\""),
        ("local_transport = lmtp:unix:/path/name", "local_transport: \"lmtp:unix:/path/name\""),
        ("local_transport = lmtp:hostname:24", "local_transport: \"lmtp:hostname:24\""),
        (
            "fallback_transport = lmtp:unix:/path/name",
            "fallback_transport: \"lmtp:unix:/path/name\"",
        ),
        (
            "mailbox_transport = lmtp:localhost\nlmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = hash:/etc/postfix/lmtp_sasl_pass",
            "sasl: (client: May, credentials: \"/etc/postfix/lmtp_sasl_pass\")",
        ),
        ("mailbox_transport = lmtp", "mailbox_transport: \"lmtp:\""),
        (
            "transport_maps = hash:/etc/postfix/transport",
            "transport: {\"domain1.name\": \"lmtp1:unix:/path/name\", \"domain2.name\": \"lmtp2:lmtp2host\"}",
        ),
        (
            "mydestination = localhost, $myhostname, $mydomain\nvirtual_maps = hash:/etc/postfix/virtual\n\
             transport_maps = hash:/etc/postfix/transport2\nalias_maps = hash:/etc/postfix/aliases\n\
             alias_database = hash:/etc/postfix/aliases",
            "virtual_alias: {\"mlist@example.org\": [\"mlist@localhost\"]}, aliases: {\"mlist\": [\"|/path/to/mlm/software\"]}",
        ),
    ];
    let files = [
        ("master.cf", master),
        ("transport", "domain1.name lmtp1:unix:/path/name\ndomain2.name lmtp2:lmtp2host\n"),
        ("transport2", "example.org lmtp:unix:/var/imap/socket/lmtp\n"),
        ("virtual", "mlist@example.org mlist@localhost\n"),
        ("aliases", "mlist: \"|/path/to/mlm/software\"\n"),
    ];
    for (main, want) in rows {
        let imported = imported(main, &files);
        config(&imported);
        let text = plain(&imported);
        assert!(text.contains(want), "{main}\n{want}\n{text}");
    }
}

/// Postfix asks `transport_maps` about other people's domains, too, and takes no mail of strangers for them;
/// an entry of `transport` makes its domain ours.
#[test]
fn a_way_to_a_domain_does_not_make_it_ours() {
    let files = [(
        "t",
        "mail.example.org :\nfar.test smtp:[192.0.2.1]\n.sub.test error:no\nme@mail.example.org lmtp:unix:/s\n",
    )];
    let imported = imported(
        "transport_maps = texthash:/etc/postfix/t\nmynetworks = !10.0.0.9 10.0.0.0/8",
        &files,
    );
    let config = config(&imported);
    let entries = &config.mappings["ORIG_MAIL_ACCESS"].entries;
    let patterns: Vec<_> =
        entries.iter().map(|(pattern, text)| (pattern.as_str(), text.starts_with("$N"))).collect();
    let want = [
        ("TCP|$[^|]*|$[^|]*|10.0.0.9|*@far.test", true),
        ("TCP|$[^|]*|$[^|]*|10.0.0.9|*@*.sub.test", true),
        ("TCP|$[^|]*|$[^|]*|$(10.0.0.0/8)|*", false),
        ("TCP|*@far.test", true),
        ("TCP|*@*.sub.test", true),
    ];
    assert_eq!(patterns, want);
}

/// Tables of addresses, those of expressions among them.
#[test]
fn tables_of_addresses_become_keys_and_mappings() {
    let files = [
        (
            "t.pcre",
            "/^ceo@far\\.test$/ smtp:[192.0.2.7]\n/@(.*\\.)?far\\.test$/ smtp:[192.0.2.8]\n/^x@sub\\.far\\.test$/ smtp:\n/./ error:no\n",
        ),
        ("t", "sub.far.test smtp:\nceo@other.test smtp:\n"),
        (
            "v.regexp",
            "/^(abuse|root)@v\\.test$/ ann@r.test\n/^(.*)@old\\.test$/ $1@r.test\n/^info-(.+)@r\\.test$/ $1@x.test\n/^noc@/ ann@r.test\n",
        ),
        ("v", "late@old.test gone@r.test\n@v.test bob@r.test\n"),
        ("c", "joe@in.test Joe.Doe@in.test\n@was.test @now.test\nroot admin@now.test\n"),
        ("s.pcre", "/^(.*)-bounce@in\\.test$/ $1@in.test\n"),
        ("r", "moved@in.test new@far.test\n"),
        ("hidden", "joe@b.in.test joe@in.test\n"),
    ];
    let rows = [
        (
            "transport_maps = hash:/etc/postfix/t pcre:/etc/postfix/t.pcre",
            "transport: {\"ceo@other.test\": \"smtp:\", \"ceo@far.test\": \"smtp_host:[192.0.2.7]\", \".far.test\": \"smtp_host:[192.0.2.8]\", \"far.test\": \"smtp_host:[192.0.2.8]\", \"*\": \"error:no\"}",
        ),
        (
            "virtual_alias_maps = regexp:/etc/postfix/v.regexp hash:/etc/postfix/v\nvirtual_alias_domains = v.test old.test\nrelay_domains = r.test",
            "virtual_alias: {\"abuse@v.test\": [\"ann@r.test\"], \"root@v.test\": [\"ann@r.test\"], \"@old.test\": [\"@r.test\"],",
        ),
        (
            "virtual_alias_maps = regexp:/etc/postfix/v.regexp\nrelay_domains = r.test",
            "\"FORWARD\": [(\"info-%*@r.test\", \"$0$1@x.test$Y\")]",
        ),
        (
            "virtual_alias_maps = regexp:/etc/postfix/v.regexp\nmydestination = in.test\nrelay_domains = r.test",
            "\"noc@in.test\": [\"ann@r.test\"], \"noc@r.test\": [\"ann@r.test\"]",
        ),
        (
            "sender_canonical_maps = pcre:/etc/postfix/s.pcre hash:/etc/postfix/c\nmydestination = in.test",
            "\"REVERSE\": [(\"*-bounce@in.test\", \"$0@in.test$Y\"), (\"*@was.test\", \"$0@now.test$Y\")]",
        ),
        (
            "sender_canonical_maps = hash:/etc/postfix/c\nmydestination = in.test",
            "reverse: (database: {\"joe@in.test\": \"Joe.Doe@in.test\", \"root@in.test\": \"admin@now.test\"}, all: false)",
        ),
        (
            "canonical_maps = hash:/etc/postfix/c\nmydestination = in.test",
            "virtual_alias: {\"joe@in.test\": [\"Joe.Doe@in.test\"], \"root\": [\"admin@now.test\"], \"@was.test\": [\"@now.test\"], \"root@mail.example.org\": [\"admin@now.test\"], \"root@local-daemon\": [\"admin@now.test\"]}",
        ),
        (
            "masquerade_domains = !keep.in.test in.test\nmasquerade_exceptions = root\nsender_canonical_maps = hash:/etc/postfix/hidden",
            "\"REVERSE\": [(\"*@keep.in.test\", \"$0\"), (\"*@*.keep.in.test\", \"$0\"), (\"root@*.in.test\", \"$0\"), (\"*@*.in.test\", \"$0@in.test$Y\")]",
        ),
        (
            "relocated_maps = hash:/etc/postfix/r",
            "transport: {\"moved@in.test\": \"error:5.1.6 User has moved to new@far.test\"}",
        ),
    ];
    for (main, want) in rows {
        let imported = imported(main, &files);
        config(&imported);
        let text = plain(&imported);
        assert!(text.contains(want), "{main}\n{want}\n{text}");
    }
}

/// An expression that says more than keys and mappings do is named, with its line and the reason.
#[test]
fn rows_that_nothing_here_says_are_told_with_the_reason() {
    let rows = [
        ("/(?!x)@a\\.test$/ smtp:", "looks ahead"),
        ("/^(a+)\\1@a\\.test$/ smtp:", "back reference"),
        ("/@a\\.test$/i smtp:", "a flag"),
        ("!/@a\\.test$/ smtp:", "does not match"),
        ("if /@a\\.test$/", "`if` and `endif`"),
        ("/^sales-.*@a\\.test$/ smtp:", "no key of the table"),
        ("/^(.*)@a\\.test$/ smtp:[$1]", "no key of the table"),
        ("/@a\\.test$/ smtp:\n/^b@a\\.test$/ lmtp:unix:/x", "t:1 answers first"),
        ("/unclosed smtp:", "no row"),
    ];
    for (table, want) in rows {
        let imported = imported("transport_maps = pcre:/etc/postfix/t", &[("t", table)]);
        config(&imported);
        let is_of = |told: &&relais_import::Told| told.meaning.contains(want);
        let told = imported.told.iter().find(is_of);
        let told = told.unwrap_or_else(|| panic!("{table}: {:#?}", imported.told));
        assert_eq!(told.place.file, "t", "{table}");
        assert!(imported.text.contains(&format!("{}: ", told.place)), "{table}\n{}", imported.text);
    }
}

#[test]
fn copies_to_others_are_told_in_the_words_of_sieve() {
    let main = "always_bcc = all@x.test\nsender_bcc_maps = hash:s\nrecipient_bcc_maps = hash:r\n";
    let tables = [("s", "joe@a.test a@x.test\n@b.test b@x.test\n"), ("r", "joe c@x.test\n")];
    let imported = imported(main, &tables);
    for words in [
        "redirect :copy ADDRESS;",
        r#"if envelope "from" "joe@a.test" { redirect :copy "a@x.test"; }"#,
        r#"if envelope :domain "from" "b.test" { redirect :copy "b@x.test"; }"#,
        r#"if envelope :localpart "to" "joe" { redirect :copy "c@x.test"; }"#,
    ] {
        assert!(imported.told.iter().any(|told| told.meaning.contains(words)), "{words}");
        assert!(imported.text.contains(words), "{words}: {}", imported.text);
    }
}

#[test]
fn every_line_of_a_postfix_is_in_the_new_file() {
    let main = "compatibility_level = 3.6\nmyhostname = mail.example.org\nrelayhost =\nodd line\n\
                transport_maps = hash:t\nalias_maps = hash:a\nvirtual_alias_maps = hash:v\nbiff = no\n\
                smtp_tls_loglevel = 1\nnothing_known = x\n";
    let files = [
        ("main.cf", main),
        (
            "master.cf",
            "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\nsmtp unix - - y - - smtp\nodd\n587 inet n - y - - smtpd -o smtpd_sasl_auth_enable=yes\n",
        ),
        ("t", "x.test smtp:\nodd\ny.test nowhere:\n"),
        ("a", "root: ann\nodd\nprog: |\"x y\"\n"),
        ("v", "b@x.test c@x.test\nodd\n"),
    ];
    let imported = import(folder(&files).path()).unwrap();
    config(&imported);
    for (name, text) in files {
        for (n, line) in text.lines().enumerate() {
            let place = format!("{name}:{}: ", n + 1);
            assert!(imported.text.contains(&place), "{place}{line}\n{}", imported.text);
        }
    }
}

/// A command is listed by itself, though a longer one ends with its words.
#[test]
fn each_command_of_an_alias_is_listed_once() {
    let aliases = "a: |\"/bin/x /bin/y -z\"\nb: |\"/bin/y -z\"\nc: |\"/bin/y  -z\"\n";
    let imported = imported("alias_maps = hash:/etc/postfix/a", &[("a", aliases)]);
    assert_eq!(config(&imported).programs.len(), 2);
    for want in ["command: [\"/bin/x\", \"/bin/y\", \"-z\"]", "command: [\"/bin/y\", \"-z\"]"] {
        assert!(plain(&imported).contains(want), "{want}\n{}", imported.text);
    }
}

/// Eight times the rows take eight times the time, with room for the clock's mood; were it their square,
/// sixty-four times.
#[test]
fn large_tables_are_imported_in_a_time_that_follows_their_size() {
    let took = |rows: usize| {
        let table = |row: fn(usize) -> String| (0..rows).map(row).collect::<String>();
        let folder = folder(&[
            ("main.cf", LARGE),
            (
                "transport",
                &table(|n| {
                    format!("d{n}.test smtp:[192.0.2.1]\n.e{n}.test local:\ne{n}.test local:\n")
                }),
            ),
            ("virtual", &table(|n| format!("u{n}@v.test x{n}@r{n}.test\n"))),
            ("relay", &table(|n| format!("r{n}.test x\n"))),
            ("relays", &table(|n| format!("u@a.r{n}.test x\n"))),
            ("boxes", &table(|n| format!("b{n}.test x\n"))),
            ("users", &table(|n| format!("u@b{n}.test x\n"))),
            ("aliases", &table(|n| format!("a{n}: |\"/bin/x {n}\"\n"))),
        ]);
        let began = clock_gettime(ClockId::ThreadCPUTime);
        assert!(import(folder.path()).unwrap().text.lines().count() > 5 * rows);
        let took = clock_gettime(ClockId::ThreadCPUTime) - began;
        u64::try_from(took.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(took.tv_nsec).unwrap()
    };
    let (few, many) = (took(1_500), took(12_000));
    assert!(many < 14 * few, "{few} ns, {many} ns");
}

#[test]
fn hostile_files_of_postfix_end_within_bounds() {
    let import = |main: &str| import(folder(&[("main.cf", main)]).path());
    // Names that lead to themselves, to each other, and to more and more.
    let doubling = (0..60)
        .fold(String::from("a0 = x\n"), |text, n| format!("{text}a{} = $a{n}$a{n}\n", n + 1));
    for main in [
        "mydestination = $mydestination",
        "a = $b\nb = ${a?{$a}:{$b}}\nmydestination = $a",
        &format!("{doubling}mydestination = $a60"),
        &format!("mydestination = {}x", "${".repeat(20_000)),
        &format!("mydestination = {}", "${{a} == {".repeat(5_000)),
        "mydestination = ${{\nmynetworks = ${x?{\n",
        "mynetworks = /etc/postfix/main.cf, cidr:main.cf",
    ] {
        let imported = import(main).unwrap();
        config(&imported);
    }
    let long = format!("mydestination = x\n{}", " y.test\n".repeat(200_000));
    assert!(matches!(import(&long), Err(ImportError::Bound { .. })));
    assert!(matches!(import(&"x".repeat(70_000)), Err(ImportError::Bound { .. })));
    assert!(matches!(
        relais_import::postfix::import(folder(&[]).path()),
        Err(ImportError::Absent { .. })
    ));
}

const LARGE: &str = "myhostname = mail.example.org
transport_maps = hash:/etc/postfix/transport
virtual_alias_maps = hash:/etc/postfix/virtual
relay_domains = hash:/etc/postfix/relay
relay_recipient_maps = hash:/etc/postfix/relays
virtual_mailbox_domains = hash:/etc/postfix/boxes
virtual_mailbox_maps = hash:/etc/postfix/users
virtual_transport = lmtp:unix:/socket
alias_maps = hash:/etc/postfix/aliases
";

/// Lines of `main.cf`, and a part of the new file.
const PARAMETERS: &[(&str, &str)] = &[
    (
        "smtpd_milters = { inet:127.0.0.1:1, connect_timeout=5s, default_action=accept }\nmilter_command_timeout = 10s",
        "(socket: \"inet:127.0.0.1:1\", on_error: Accept, connect_time: \"5s\", command_time: \"10s\")",
    ),
    (
        "relayhost = [h]:587\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:pw\n\
         smtp_sasl_security_options = noanonymous\nsmtp_tls_security_level = encrypt",
        "sasl: (client: May, credentials: \"pw\", clear_passwords: true)",
    ),
    (
        "relayhost = [h]:587\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:pw\n\
         smtp_sasl_tls_security_options = noanonymous\nsmtp_tls_security_level = may",
        "sasl: (client: May, credentials: \"pw\")",
    ),
    (
        "mynetworks = 10.0.0.0/8\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination",
        "\"INTERNAL_IP\": [(\"*\", \"$N\")]",
    ),
    (
        "mynetworks = 10.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
        "\"INTERNAL_IP\": [(\"$(10.0.0.0/8)\", \"$Y\"), (\"*\", \"$N\")]",
    ),
    (
        "mynetworks = 10.0.0.0/8\nsmtpd_client_restrictions = permit_mynetworks, reject",
        "|$(10.0.0.0/8)|$[^|]*|SMTP/$[^|]*|MAIL|smtpd|*\", \"ours\"), (\"TCP|$[^|]*|$[^|]*|$[^|]*|$[^|]*|SMTP/$[^|]*|MAIL|smtpd|$[^|]*|$[^|]*\", \"$NAccess$ denied\")",
    ),
    (
        "smtpd_relay_restrictions = permit_sasl_authenticated, reject",
        "|MAIL|smtpd|$[^|]*|$[^|]%$[^|]*\", \"a user\"), (\"TCP|$[^|]*|$[^|]*|$[^|]*|$[^|]*|SMTP/$[^|]*|MAIL|smtpd|$[^|]*|$[^|]*\", \"$NAccess$ denied\")",
    ),
    (
        "smtpd_relay_restrictions = permit_mynetworks, check_client_access cidr:relayers, reject_unauth_destination",
        "(\"TCP|$[^|]*|$[^|]*|$(192.0.2.0/24)|$[^|]*|SMTP/$[^|]*|MAIL|smtpd|*\", \"$Y\")",
    ),
    (
        "smtpd_relay_restrictions = check_recipient_access inline:{far.test=OK}, reject_unauth_destination",
        "(\"smtpd|$[^|]*|$[^|]*|$[^|]*@far.test\", \"$Y\")",
    ),
    (
        "smtpd_authorized_xclient_hosts = 127.0.0.1, [2001:db8::]/32, proxy.test",
        "xclient: [\"127.0.0.1\", \"2001:db8::/32\"]",
    ),
    (
        "smtp_tls_policy_maps = hash:tls",
        "tls: (client: No, policies: {\".bank.test\": (level: Verify, names: [\"mx.bank.test\"]), \
         \"mx.x.test\": (level: Dane), \"x.test\": (level: No)})",
    ),
    ("", "recipient_delimiter: \"\""),
    ("recipient_delimiter = -+", "recipient_delimiter: \"+\""),
    ("recipient_delimiter = -_", "recipient_delimiter: \"-\""),
    ("", "sourceblocklimit: 10240000"),
    ("message_size_limit = 0", "sourceblocklimit: \"1TiB\""),
    ("", "notices: [\"5d\"]"),
    ("delay_warning_time = 4\nmaximal_queue_lifetime = 2", "notices: [\"4h\", \"2d\"]"),
    ("", "backoff: [\"300s\", \"600s\", \"1200s\", \"2400s\", \"4000s\"]"),
    ("maximal_backoff_time = 10m", "backoff: [\"300s\", \"600s\"]"),
    ("smtp_connect_timeout = 20", "connect_time: \"20s\""),
    ("smtp_tls_security_level = encrypt", "tls: (client: Must, verify: false)"),
    ("smtp_tls_security_level = dane", "tls: (client: May, dane: true)"),
    ("relayhost = [smart.example.net]:587", "mx: NoMx, daemon: \"smart.example.net:587\""),
    ("relayhost = example.net", "mx: Mx, daemon: \"example.net\""),
    ("default_destination_concurrency_limit = 3", "destinations: (connections: 3)"),
    ("smtp_destination_rate_delay = 2s", "rate: \"1/2s\""),
    (
        "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/etc/postfix/pw",
        "sasl: (client: May, credentials: \"/etc/postfix/pw\")",
    ),
    ("inet_interfaces = loopback-only", "interface_address: \"127.0.0.1\""),
    (
        "mynetworks = 127.0.0.0/8 192.0.2.7 [2001:db8::]/32",
        "(\"192.0.2.7\", \"$Y\"), (\"${2001:db8::/32}\", \"$Y\"), (\"*\", \"$N\")",
    ),
    ("mynetworks = /etc/postfix/nets", "(\"$(10.9.0.0/16)\", \"$Y\")"),
    (
        "a = one.test\nmydestination = ${a?{$a}:{two.test}} ${b?x}${b:three.test}",
        "(\"one.test\", \"$U%$D@local-daemon\"), (\"three.test\", \"$U%$D@local-daemon\")",
    ),
    (
        "mydestination = ${{$compatibility_level} <level {3.6} ? {old.test} : {new.test}}\ncompatibility_level = 3.10",
        "(\"new.test\",",
    ),
    ("mydestination = hash:/etc/postfix/domains", "(\"of-table.test\","),
    (
        "smtpd_milters = inet:8891@localhost, unix:opendkim/sock",
        "milters: {\"milter1\": (socket: \"inet:localhost:8891\", on_error: Tempfail), \"milter2\": (socket: \"unix:/var/spool/postfix/opendkim/sock\"",
    ),
    (
        "smtpd_client_restrictions = reject_rbl_client zen.example.net, permit",
        "dns_verify_domain: [\"zen.example.net\"]",
    ),
    (
        "relay_domains = r.test",
        "(\"r.test\", \"$U%$D@relay-daemon\"), (\".r.test\", \"$U%$H$D@relay-daemon\")",
    ),
    (
        "virtual_alias_domains = v.test\nvirtual_alias_maps = inline:{ {a@v.test = x@r.test, y} }",
        "virtual_alias: {\"a@v.test\": [\"x@r.test\", \"y\"], \"v.test\": [\"virtual_alias_domains\"]}",
    ),
    (
        "alias_maps = hash:/etc/postfix/aliases",
        "aliases: {\"joe\": [\"ann\"], \"team\": [\"joe\"], \"sp aced\": [\"a b@x.test\", \"|/bin/x -y\"]}",
    ),
    ("hopcount_limit = 30", "max_received_lines: 30"),
    (
        "mailbox_transport = lmtp:unix:private/lmtp",
        "mailbox_transport: \"lmtp:unix:/var/spool/postfix/private/lmtp\"",
    ),
];
