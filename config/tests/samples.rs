//! The shipped samples load, say what they do not do yet, and survive being printed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use relais_config::{Channel, Config, STANDALONE, Warning, channel::Program, dispatcher::Limits};

const SAMPLES: [(&str, &str); 5] = [
    ("standalone.ron", STANDALONE),
    ("relay.ron", include_str!("../examples/relay.ron")),
    ("store.ron", include_str!("../examples/store.ron")),
    ("postfix.ron", include_str!("../examples/postfix.ron")),
    ("internet.ron", include_str!("../examples/internet.ron")),
];

fn load(file: &str, text: &str) -> (Config, Vec<Warning>) {
    Config::parse(file, text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn channel<'a>(config: &'a Config, name: &str) -> &'a Channel {
    config.channels.iter().find(|channel| channel.name == name).expect(name)
}

#[test]
fn every_sample_loads_and_what_is_printed_loads_to_the_same() {
    for (file, text) in SAMPLES {
        let (config, _) = load(file, text);
        let printed = config.to_ron();
        let (again, _) = load("printed", &printed);
        // Built-in values stand in the print, and are given from then on.
        assert_eq!(again.to_ron(), printed, "{file}");
    }
}

#[test]
fn every_sample_after_postfix_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/postfix");
    let files = fs::read_dir(folder).expect("samples").map(|file| file.expect("a file").path());
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 6);
    for file in files {
        let text = fs::read_to_string(&file).expect("a sample");
        load(&file.display().to_string(), &text);
    }
}

#[test]
fn hosts_inside_may_have_private_addresses_and_those_of_strangers_not() {
    let (config, _) = load("relay.ron", SAMPLES[1].1);
    let allows = |name| config.allows_private_addresses(channel(&config, name));
    assert!(allows("tcp_intranet"), "a rule for .siroe.com leads there");
    assert!(!allows("tcp_local"), "a rule for all others leads there");
    assert!(!allows("tcp_auth"), "no rule leads there");
    for (says, is) in [("true", true), ("false", false)] {
        for name in ["tcp_local", "tcp_intranet"] {
            let own = format!("name: \"{name}\", private_addresses: {says}");
            let text = SAMPLES[1].1.replace(&format!("name: \"{name}\""), &own);
            let (config, _) = load("relay.ron", &text);
            assert_eq!(config.allows_private_addresses(channel(&config, name)), is, "{name}");
        }
    }
}

/// Warnings of each sample; one that keeps the engine from starting has an exclamation mark.
const NOT_YET: &[(&str, &[&str])] = &[
    ("standalone.ron", &["rewrite_rules[0]"]),
    ("store.ron", &[]),
    ("postfix.ron", &["aliases[\"mlist\"][0]"]),
    (
        "relay.ron",
        &[
            "channels[1].saslswitchchannel",
            "channels[2].saslswitchchannel",
            "channels[9].program",
            "directory.servers",
        ],
    ),
    ("internet.ron", &[]),
];

#[test]
fn samples_say_what_is_not_there_yet() {
    for &(file, want) in NOT_YET {
        let text = SAMPLES.iter().find(|(name, _)| *name == file).unwrap().1;
        let (_, warnings) = load(file, text);
        let mark = |warning: &Warning| if warning.blocks_run { "!" } else { "" };
        let said: Vec<_> = warnings.iter().map(|w| format!("{}{}", mark(w), w.field)).collect();
        assert_eq!(said, want, "{file}");
    }
}

#[test]
fn the_readme_shows_the_relay_to_the_internet_as_it_is_shipped() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("```ron\n{}```\n", SAMPLES[4].1)));
}

#[test]
fn defaults_reach_channels_and_services_unless_they_say_otherwise() {
    let text = STANDALONE
        .replace("services: {", "max_procs: 3, max_conns: 7, min_conns: 7, services: {")
        .replace("ports: [2225]", "ports: [2225], max_procs: 4")
        .replace(
            "channels: [",
            "channel_defaults: (port: 99, maxjobs: 2, private: true),\n channels: [",
        )
        .replace("flagtransfer: true", "port: None, private: false");
    let (config, _) = load("f.ron", &text);

    let limits: Vec<_> =
        config.dispatcher.services.iter().map(|s| (s.name.as_str(), s.limits.clone())).collect();
    let some = Limits { max_procs: 3, max_conns: 7, min_conns: 7, ..Limits::default() };
    let more = Limits { max_procs: 4, ..some.clone() };
    assert_eq!(limits, [("LMTPSS", more), ("SMTP", some)]);

    let rows = [
        ("l", Some(99), 2, true),
        ("tcp_lmtpcs", Some(2225), 7, true),
        ("tcp_lmtpss", None, 2, false),
    ];
    for (name, port, maxjobs, private) in rows {
        let channel = channel(&config, name);
        let got = (channel.port, channel.maxjobs.get(), channel.private);
        assert_eq!(got, (port, maxjobs, private), "{name}");
    }
}

#[test]
fn the_embedded_default_holds_what_it_says() {
    let (config, _) = load("standalone.ron", STANDALONE);
    let lmtp = channel(&config, "tcp_lmtpcs");
    assert_eq!((lmtp.program, lmtp.port, lmtp.private), (Program::Lmtp, Some(2225), true));
    assert!(!channel(&config, "tcp_local").private);
    assert_eq!(config.path(Path::new("store")), PathBuf::from("relais-data/store"));
    assert_eq!(config.path(Path::new("/run/x")), PathBuf::from("/run/x"));
    let delivery = &config.delivery_options[0].text;
    assert_eq!(delivery, "#*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon");
    assert_eq!(config.admin.listen.unwrap().to_string(), "127.0.0.1:9225");
}

#[test]
fn every_field_of_a_channel_survives_being_printed() {
    let text = STANDALONE.replace(
        "(name: \"l\",          tag: \"localhost\",       program: Local),",
        r#"(name: "l", tag: "localhost", program: Local, port: Some(26), daemon: "[::1]:24",
           multigate: true, connectcanonical: true, dequeue_removeroute: true, private: false, mx: NoMx,
           copies: Multiple, addrsperfile: 3, subdirs: 20, maxjobs: 4, threaddepth: 5, pool: "SMTP_POOL",
           backoff: ["1s", "PT5M", "P1DT1H"], notices: ["36h"],
           urgentbackoff: ["1m"], normalbackoff: ["2m"], nonurgentbackoff: ["3m"], urgentnotices: ["1d"], normalnotices: [1, 2], nonurgentnotices: ["9d"],
           sendpost: Copy, warnpost: Never, holdlimit: 500, urgentblocklimit: "1MiB", normalblocklimit: "2MiB", nonurgentblocklimit: "3MiB",
           mailbox_busy_fast_retry: false, max_client_threads: 6, filesperjob: 8, max_life_time: "1h", max_life_conns: 300,
           viaaliasrequired: true, bangoverpercent: true, percentonly: true, routelocal: true, rules: false,
           flagtransfer: true, defragment: true, defragment_for: "2h", fileinto: r"$U+$S@a\b", sourcefilter: "s.sieve", destinationfilter: "d.sieve",
           destinations: (scope: Site, connections: 3, rate: "60/1m",
              limits: {"b.test": (connections: 1, rate: "1/1s", messages: 2, recipients: 3), "[192.0.2.0/24]": ()},
              replies: [(pattern: "421 4.7.* *wait*", slow_down: "1/1m", lasts: "2h", suspend: "3m", becomes: Temporary)]),
           tls: (client: Must), sasl: (client: May, credentials: "c"), submit: true, sender_must_match: false, dkim_sign: true, srs: Needed, verify: (spf: Record),
           switchchannel: No, directory_away: Queue, tlsswitchchannel: "tcp_local", saslswitchchannel: "tcp_local", remotehost: true, reverse: false, milters: ["m"],
           defaulthost: "a.test", route_style: Percents, asterisk_8bit: false, header_rules: true, inner: true, rewrite_signed: true,
           mailbox_transport: "tcp_lmtpcs:unix:/s", local_transport: ":h:24", fallback_transport: "hold", subaddress: Wild, aliaswild: true,
           recipient_delimiter: "-", sourceblocklimit: "1GB", recipientlimit: 7, strict_envelopes: true, forbid_unauth_pipelining: false, trace: false, commandlinelimit: 512,
           recipientcutoff: 2, deferralrejectlimit: 3, transactionlimit: 4, disconnecttransactionlimit: 5,
           disconnectrecipientlimit: 6, disconnectrejectlimit: 7, min_data_rate: 8, min_data_rate_time: "9s",
           user_messages_per_hour: 9, user_recipients_per_hour: 9, client_messages_per_hour: 9, client_recipients_per_hour: 9, beyond_rates: Hold, session_time: "10s", session_size: "11MiB",
           headersizelimit: 2000, headerfieldlimit: 30, forbid_nul: false,
           max_rcpt: Some(5), max_line: "2MiB", downgrade: Bounce, chunking: Never, disconnectcommandlimit: 8, disconnectbadcommandlimit: 9,
           command_receive_time: "1500ms", data_receive_time: "2m", connect_time: "3s",
           proxy_header: true, greeting_time: "6s", data_transmit_time: "7s", transaction_time: "8m",
           nameservers: ["[::1]:53"], interface_address: ["::1"], private_addresses: true, lastresort: "[::1]",
           connection_time: "9m", connection_messages: 3,
           command_transmit_time: "4m", status_data_receive_time: "5h", idle_time: "0s"),"#,
    );
    let milters = "milters: {\"m\": (socket: \"unix:/m\")},\n channels: [";
    let (config, _) = load("f.ron", &text.replacen("channels: [", milters, 1));
    let l = &config.channels[0];
    // As the original's `notices 1 2`: days.
    let days = [1, 2].map(|days| Duration::from_secs(days * 24 * 3600));
    assert_eq!(l.normalnotices.as_deref(), Some(&days[..]));
    assert_eq!(l.backoff.as_ref().unwrap()[2], Duration::from_secs(25 * 3600));
    let fileinto = l.fileinto.as_ref().map(|its| &*its.text);
    assert_eq!((fileinto, l.sourceblocklimit), (Some("$U+$S@a\\b"), 1_000_000_000));
    // Nothing is left at its default, so that nothing can be lost unnoticed.
    let given = format!("{l:#?}");
    let default = format!("{:#?}", Channel::new("l", "localhost", Program::Local));
    let same: Vec<_> =
        given.lines().filter(|line| default.lines().any(|other| other == *line)).collect();
    let expected = [
        "Channel {",
        "    name: \"l\",",
        "    tag: \"localhost\",",
        "    program: Local,",
        "    private: false,",
    ];
    let fields =
        |line: &&&str| line.starts_with("    ") && !line.starts_with("     ") && line.contains(':');
    let same_fields: Vec<_> = same.iter().filter(fields).copied().collect();
    assert_eq!(
        same_fields,
        [
            expected[1],
            expected[2],
            expected[3],
            expected[4],
            "    destinations: Destinations {",
            "    tls: TlsSides {",
            "    sasl: SaslSides {",
            "    verify: Verify {"
        ]
    );
    let (again, _) = load("printed", &config.to_ron());
    let (a, b) = (again.to_ron(), config.to_ron());
    let differing: Vec<_> = a.lines().zip(b.lines()).filter(|(a, b)| a != b).take(3).collect();
    assert_eq!(differing, []);
    assert_eq!(format!("{:?}", again.channels[0]), format!("{l:?}"));
}

/// The channel blocks that the guide of the original shows (chapters 8 and 16, both releases), and the
/// keywords of each of which nothing comes here.
const BLOCKS: &[(&str, &[&str])] = &[
    (
        r#"(name: "c", tag: "c-daemon", program: Lmtp, defragment: true, multigate: true,
            connectcanonical: true, fileinto: "@$4O:$U+$S@$D", port: 225, mx: NoDns, copies: SingleSys,
            subdirs: 20, maxjobs: 7, pool: "SMTP_POOL", dequeue_removeroute: true)"#,
        &["subdirs"],
    ),
    (
        r#"(name: "c", tag: "c-daemon", program: Smtp, mx: Mx, copies: SingleSys, subdirs: 20,
            reverse: false, maxjobs: 7, pool: "SMTP_POOL", tls: (server: May), switchchannel: Allow,
            saslswitchchannel: "tcp_local")"#,
        &["subdirs"],
    ),
    (r#"(name: "c", tag: "c-daemon", program: Lmtp, flagtransfer: true)"#, &[]),
    (r#"(name: "c", tag: "c-daemon", program: Lmtp)"#, &[]),
    (r#"(name: "c", tag: "c-daemon", program: Lmtp, reverse: false, notices: [1, 2, 3])"#, &[]),
];

#[test]
fn channels_of_the_original_load_and_say_what_comes_of_nothing() {
    for (block, idle) in BLOCKS {
        let text = STANDALONE
            .replace(
                "channels: [",
                &format!("tls: (certificate: \"c\", key: \"k\"), channels: [{block},"),
            )
            .replace("rewrite_rules: [", "rewrite_rules: [(\"c.test\", \"$U%$H@c-daemon\"),");
        let (config, warnings) = load("f.ron", &text);
        let said = |warning: &&Warning| {
            let message = warning.to_string();
            ["is not there yet", "are not there yet", "the spool keeps"]
                .iter()
                .any(|words| message.contains(words))
        };
        let fields = warnings.iter().filter(said).filter_map(|warning| {
            let field = warning.field.strip_prefix("channels[0].")?;
            (!["maxjobs", "pool"].contains(&field)).then(|| field.to_owned())
        });
        assert_eq!(fields.collect::<Vec<_>>(), *idle, "{block}");
        assert_eq!(config.channels[0].name, "c");
    }
}

/// Settings of the dispatcher of the original that are about processes and files which are not here.
#[test]
fn what_makes_no_sense_here_is_refused_by_its_name() {
    for field in ["image", "logfile", "stacksize"] {
        let text =
            STANDALONE.replace("(program: Lmtp,", &format!("({field}: \"x\", program: Lmtp,"));
        let mistakes = Config::parse("f.ron", &text).expect_err("it is no field").to_string();
        assert!(mistakes.contains(&format!("there is no field {field}")), "{mistakes}");
    }
    let text = STANDALONE.replace("flagtransfer: true", "charset7: \"usascii\"");
    let mistakes = Config::parse("f.ron", &text).expect_err("it is no field").to_string();
    assert!(mistakes.contains("there is no field charset7"), "{mistakes}");
}

#[test]
fn attributes_and_byte_order_marks_do_no_harm() {
    for head in ["#![enable(implicit_some)]\n", "\u{feff}", "// \u{e9}\n/* ( */ "] {
        load("f.ron", &format!("{head}{STANDALONE}"));
    }
}
