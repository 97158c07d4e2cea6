//! Mistakes of a wrong file, as operators are told: every one, its place, and a text that would do.

use proptest::prelude::*;
use relais_config::{Config, check};

/// A file without a mistake.
const BASE: &str = r#"(
    host: "mail.example.org",
    data: "/d",
    default_domain: "example.org",
    dispatcher: (services: {
        "SMTP": (program: Smtp, channel: "tcp_local", ports: [25]),
    }),
    rewrite_rules: [("$*", "$U%$H@mail.example.org")],
    channels: [
        (name: "l", tag: "mail.example.org", program: Local),
        (name: "tcp_local", tag: "tcp-daemon", program: Smtp, pool: "SMTP_POOL"),
        (name: "lmtp", tag: "lmtp-daemon", program: Lmtp),
    ],
    job_controller: (pools: {"SMTP_POOL": (job_limit: 4)}),
    notary: (postmaster: "admin@example.org"),
)"#;

/// Mistakes and warnings of the file when `from` is replaced by `to`, a line each.
fn said(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    let report = check("f.ron", &BASE.replacen(from, to, 1));
    let mistakes = report.mistakes.iter().map(ToString::to_string);
    let said = mistakes.chain(report.warnings.iter().map(ToString::to_string));
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let said = said.map(first_line).map(|line| line.trim_start_matches("f.ron:").to_owned());
    // Lines that hold for the file as it was are no news.
    said.filter(|line| !OF_BASE.iter().any(|known| line.ends_with(known))).collect()
}

/// Warnings of the file without a mistake.
const OF_BASE: &[&str] = &[
    "channels[1].pool: no rule and no option leads to this channel: nothing comes of pool",
    "channels[2]: no service takes mail in by this channel, and nothing leads to it: nothing comes of a channel of program Lmtp here",
    "pools[\"SMTP_POOL\"]: no channel that jobs serve is in this pool: no job runs in it",
];

/// The change in the file, and the mistakes that are then told: `line:column: field: message`.
/// Three dots at the end stand for the rest of a long message.
const ROWS: &[(&str, &str, &str, &[&str])] = &[
    ("nothing", "", "", &[]),
    (
        "filters that cannot be reached, and that nobody asks",
        "job_controller",
        "milters: {\"rspam\": (socket: \"inet:localhost\"), \"b\": (socket: \"unix:/b\", macros: {\"{x\": \"\"})},\n    job_controller",
        &[
            "14:33: milters[\"rspam\"].socket: \"inet:localhost\" does not fit here; \"inet:host:port\", \"inet:[address]:port\" or \"unix:/path\" is expected, such as \"inet:127.0.0.1:11332\"",
            "14:85: milters[\"b\"].macros: \"{x\" is not the name of a macro; a letter, or a name in braces, is expected, such as \"{daemon_name}\"",
            "14:15: warning: milters[\"rspam\"]: neither a service nor a channel names this filter: it is not asked",
            "14:52: warning: milters[\"b\"]: neither a service nor a channel names this filter: it is not asked",
        ],
    ),
    (
        "conversions without a channel, or with what they have no use for",
        "job_controller",
        "conversions: [(in_type: \"a\", action: Scan), (in_type: \"b\", action: Run, program: \"x\"), (in_type: \"c\", action: Hold, go_on: true), (in_type: \"d\", text: \"x\", hold_status: [1])],\n    job_controller",
        &[
            "14:19: conversions[0].program: the action Scan runs a program, and none is named; a label of programs is expected",
            "14:86: conversions[1].program: programs does not list \"x\"; there is none",
            "14:128: conversions[2].go_on: the action Hold has no use for go_on; leave it out",
            "14:174: conversions[3].hold_status: the action Leave has no use for hold_status; leave it out",
        ],
    ),
    (
        "conversions that are never reached",
        "job_controller",
        "conversions: [(in_type: \"a*\", action: Hold), (in_type: \"ab\", in_filename: \"x\", action: Hold), (in_channel: \"x\", action: Hold)],\n    job_controller",
        &[
            "14:18: conversions: there is no channel that converts parts of mail; a channel of program Conversion is expected, such as (name: \"conversion\", tag: \"conversion-daemon\", program: Conversion)",
            "14:50: warning: conversions[1]: the entry is never reached: entry 1 takes all its parts",
            "14:112: warning: conversions[2].in_channel: no channel is called \"x\"; there are: l, lmtp, tcp_local",
        ],
    ),
    (
        "filters that are not there, or where none is asked",
        "\"tcp_local\", ports: [25]),\n    }),",
        "\"tcp_local\", ports: [25], milters: [\"rspamd\", \"a\"]),\n        \"L\": (program: Lmtp, channel: \"lmtp\", ports: [24], milters: [\"a\"]),\n    }),\n    store: (path: \"s\"), milters: {\"a\": (socket: \"unix:/a\"), \"rspam\": (socket: \"unix:/r\")},",
        &[
            "6:77: dispatcher.services[\"SMTP\"].milters: no filter is called \"rspamd\"; did you mean rspam? there are: rspam, a",
            "7:69: dispatcher.services[\"L\"].milters: only sessions of program Smtp ask filters; leave it out",
            "9:61: warning: milters[\"rspam\"]: neither a service nor a channel names this filter: it is not asked",
        ],
    ),
    (
        "a filter twice",
        "\"tcp_local\", ports: [25]),\n    }),",
        "\"tcp_local\", ports: [25], milters: [\"a\", \"a\"]),\n    }), milters: {\"a\": (socket: \"unix:/a\")},",
        &[
            "6:77: dispatcher.services[\"SMTP\"].milters: the filter a is named twice; each filter is expected once",
        ],
    ),
    (
        "unknown field",
        r#"pool: "SMTP"#,
        r#"pol: "SMTP"#,
        &[
            "11:63: channels[1].pol: there is no field pol; did you mean pool? the fields here are pool, port, tag, mx, ...",
        ],
    ),
    (
        "flags that nobody asks for, and one that nothing sets",
        "job_controller",
        "mappings: {\"PORT_ACCESS\": [(\"a\", \"$Y$Jx\"), (\"*\", \"ab$;Q\")]},\n    job_controller",
        &[
            r#"14:41: mappings["PORT_ACCESS"][0]: $J means nothing in PORT_ACCESS, or is not there yet; ..."#,
            r#"14:57: mappings["PORT_ACCESS"][1]: nothing sets the flag Q that this asks for; a flag that another entry sets"#,
        ],
    ),
    (
        "access tables: what no probe matches, what nobody throws away, and an open relay",
        "job_controller",
        "mappings: {\"FROM_ACCESS\": [(\"TCP|a|*|*|*|SMTP/*|MAIL|*|*|*\", \"$Y\"), (\"TCP|*|SMTP/x|*\", \"$Y\")],\n        \"MAIL_ACCESS\": [(\"|SMTP/|MAIL|l|*|l|*\", \"$V\"), (\"||MAIL|*\", \"$N\")],\n        \"ORIG_SEND_ACCESS\": [(\"*|*|*|*\", \"$Y\")],\n        \"INTERNAL_IP\": [(\"*\", \"$Y\")]},\n    job_controller",
        &[
            r#"14:32: mappings["FROM_ACCESS"][0]: field 2 of this pattern is matched with server: "a" is none; ..."#,
            r#"15:50: mappings["MAIL_ACCESS"][0]: $V throws mail away by the channel of program Bitbucket, and there is none; ..."#,
            r#"15:56: mappings["MAIL_ACCESS"][1]: field 2 of this pattern is matched with SMTP/name: "" is none; ..."#,
            r#"16:30: warning: mappings["ORIG_SEND_ACCESS"][0]: the entry accepts mail from anybody for anybody: this is an open relay; an entry that objects to nothing needs no $Y"#,
            r#"17:25: warning: mappings["INTERNAL_IP"][0]: the entry accepts mail from anybody for anybody: this is an open relay; an entry that objects to nothing needs no $Y"#,
        ],
    ),
    (
        "look-ups by URL without a directory",
        "job_controller",
        "mappings: {\"FROM_ACCESS\": [(\"*\", \"$]ldap:///o=x?mail?sub?(a=$0)[$N\")]},\n    job_controller",
        &[r#"14:32: mappings["FROM_ACCESS"][0]: a look-up by URL, and no directory to ask; ..."#],
    ),
    (
        "look-ups by URL where nobody waits, and a filter for servers alone",
        "rewrite_rules: [",
        "directory: Ldif(), mappings: {\"IP_ACCESS\": [(\"*\", \"$|own;$0|\")], \"OWN\": [(\"*\", \"$]ldap:///o=x?mail?sub?(a=$0)[$Y\")]},\nrewrite_rules: [(\"a.example\", \"$U%$]ldap:///o=x?mail?sub?(a:=$A)[@lmtp-daemon\"), ",
        &[
            r#"8:78: mappings["OWN"][0]: a look-up by URL waits for the directory, and IP_ACCESS (it calls this one) has to answer at once; ..."#,
            "9:17: rewrite_rules[0]: the filter compares by a rule (:=) that only an LDAP server knows; ...",
            "8:16: warning: directory: without delivery_options the directory's users have...",
            "9:17: warning: rewrite_rules[0]: the rule is never reached: rule 2 has the pattern $*, ...",
            "10:15: warning: channels: there is no channel of program Reprocess: a list with a member...",
        ],
    ),
    (
        "a URL and a site routine",
        "job_controller",
        "mappings: {\"PORT_ACCESS\": [(\"a\", \"$Y$]ldap:///x[\"), (\"*\", \"$[lib,f,x]\")]},\n    job_controller",
        &[
            r#"14:41: mappings["PORT_ACCESS"][0]: one attribute is expected: its value is the result; ..."#,
            r#"14:64: mappings["PORT_ACCESS"][1]: site routines are not supported: no foreign code is loaded; ..."#,
        ],
    ),
    (
        "unknown field far from any",
        "job_limit: 4",
        "colour: 4",
        &[
            r#"14:44: job_controller.pools["SMTP_POOL"].colour: there is no field colour; the fields here are job_limit, keep_last_slot"#,
        ],
    ),
    (
        "duplicate field",
        r#"data: "/d""#,
        r#"data: "/d", data: "/e""#,
        &["3:17: data: this field is given twice; once is enough"],
    ),
    (
        "a name that no label may have",
        r#"{"SMTP_POOL""#,
        r#"{"a\"b": (), "SMTP_POOL""#,
        &[
            r#"14:30: job_controller.pools["a\"b"]: "a\"b" is not a name; 1 to 32 of letters, digits, '_', '-' and '$' are expected, such as "SMTP_POOL""#,
        ],
    ),
    (
        "duplicate key",
        r#"{"SMTP_POOL""#,
        r#"{"SMTP_POOL": (), "SMTP_POOL""#,
        &[
            r#"14:47: job_controller.pools["SMTP_POOL"]: "SMTP_POOL" is given twice; once is enough"#,
        ],
    ),
    (
        "missing field",
        "    host: \"mail.example.org\",\n",
        "",
        &[
            r#"1:1: host: the field host is missing; it has no default; host: "mail.example.org" is an example"#,
        ],
    ),
    (
        "missing in a list",
        r#"name: "lmtp", "#,
        "",
        &[
            r#"12:9: channels[2].name: the field name is missing; it has no default; name: "tcp_local" is an example"#,
        ],
    ),
    (
        "section expected",
        "job_controller: (",
        "job_controller: 4, spool: (",
        &[
            "14:21: job_controller: 4 does not fit here; a section is expected: (field: value, ...)",
            "14:32: spool.pools: there is no field pools; the fields here are min_free, segment_size, large_message",
        ],
    ),
    (
        "list expected",
        "[25]",
        "25",
        &[
            r#"6:62: dispatcher.services["SMTP"].ports: 25 does not fit here; a list is expected: [25]"#,
        ],
    ),
    (
        "map expected",
        r#"(pools: {"SMTP_POOL": (job_limit: 4)})"#,
        "(pools: [])",
        &[
            r#"14:29: job_controller.pools: [] does not fit here; a map is expected: {"name": value, ...}"#,
        ],
    ),
    (
        "text expected",
        r#"host: "mail.example.org""#,
        "host: mail",
        &[r#"2:11: host: mail does not fit here; a text in double quotes is expected: "mail""#],
    ),
    (
        "wrong name",
        "program: Local",
        "program: Locl",
        &[
            "10:55: channels[0].program: Locl does not fit here; did you mean Local? one of these is expected, without quotes: Local, Lmtp, Hold, Smtp, Pipe, Process, Reprocess, Bitbucket, ...",
        ],
    ),
    (
        "quoted name",
        "program: Local",
        r#"program: "Local""#,
        &[
            r#"10:55: channels[0].program: "Local" does not fit here; did you mean Local? one of these is expected, without quotes: Local, Lmtp, Hold, Smtp, Process, Pipe, Reprocess, Bitbucket, ..."#,
        ],
    ),
    (
        "number below",
        "job_limit: 4",
        "job_limit: 0",
        &[
            r#"14:55: job_controller.pools["SMTP_POOL"].job_limit: 0 does not fit here; a whole number from 1 to 10000 is expected"#,
        ],
    ),
    (
        "number as text",
        "job_limit: 4",
        r#"job_limit: "many""#,
        &[
            r#"14:55: job_controller.pools["SMTP_POOL"].job_limit: "many" does not fit here; a whole number from 1 to 10000 is expected"#,
        ],
    ),
    (
        "port above",
        "[25]",
        "[25, 65536]",
        &[
            r#"6:67: dispatcher.services["SMTP"].ports[1]: 65536 does not fit here; a whole number from 0 to 65535 is expected"#,
        ],
    ),
    (
        "time without unit",
        r#"pool: "SMTP"#,
        r#"connect_time: 30, pool: "SMTP"#,
        &[
            r#"11:77: channels[1].connect_time: 30 does not fit here; a time with its unit is expected: "500ms", "30s", "10m" or "10 min", "2h", "1d", "1w", or ISO 8601 such as "PT10M""#,
        ],
    ),
    (
        "time too long",
        r#"pool: "SMTP"#,
        r#"connect_time: "2d", pool: "SMTP"#,
        &[r#"11:77: channels[1].connect_time: "2d" does not fit here; 1ms to 1d are allowed"#],
    ),
    (
        "strange time",
        r#"pool: "SMTP"#,
        r#"connect_time: "soon", pool: "SMTP"#,
        &[
            r#"11:77: channels[1].connect_time: "soon" does not fit here; a time with its unit is expected: "500ms", "30s", "10m" or "10 min", "2h", "1d", "1w", or ISO 8601 such as "PT10M""#,
        ],
    ),
    (
        "strange size",
        r#"pool: "SMTP"#,
        r#"max_line: "2Q", pool: "SMTP"#,
        &[
            r#"11:73: channels[1].max_line: "2Q" does not fit here; a number of octets is expected, alone or with a unit: 65536, "512KiB", "10MiB" or "10M", "10MB", "1 GiB""#,
        ],
    ),
    (
        "size too small",
        r#"pool: "SMTP"#,
        r#"max_line: 10, pool: "SMTP"#,
        &["11:73: channels[1].max_line: 10 does not fit here; 1kB to 16MiB are allowed"],
    ),
    (
        "flag",
        r#"pool: "SMTP"#,
        r#"multigate: yes, pool: "SMTP"#,
        &["11:74: channels[1].multigate: yes does not fit here; true is expected, without quotes"],
    ),
    (
        "falling series",
        r#"pool: "SMTP"#,
        r#"backoff: ["2h", "1h"], pool: "SMTP"#,
        &[
            r#"11:72: channels[1].backoff: ["2h", "1h"] does not fit here; each time must be not shorter than the one before"#,
        ],
    ),
    (
        "days without end",
        "pool: \"SMTP",
        r#"notices: [1, 400], pool: "SMTP"#,
        &["11:76: channels[1].notices[1]: 400 does not fit here; 1 to 366 days are allowed"],
    ),
    (
        "empty series",
        r#"pool: "SMTP"#,
        r#"backoff: [], pool: "SMTP"#,
        &["11:72: channels[1].backoff: [] does not fit here; a list of 1 to 8 times is expected"],
    ),
    (
        "addresses of a file",
        r#"pool: "SMTP"#,
        r#"addrsperfile: 65, pool: "SMTP"#,
        &[
            "11:77: channels[1].addrsperfile: 65 does not fit here; a whole number from 1 to 64 is expected",
        ],
    ),
    (
        "not a pair",
        r#"("$*", "$U%$H@mail.example.org")"#,
        r#"("$*")"#,
        &[
            r#"8:21: rewrite_rules[0]: ("$*") does not fit here; a pair of texts is expected: ("pattern", "template")"#,
        ],
    ),
    (
        "domain",
        r#"default_domain: "example.org""#,
        r#"default_domain: "exa mple""#,
        &[
            r#"4:21: default_domain: "exa mple" does not fit here; a domain name is expected: letters, digits, '-' and dots, such as "mail.example.org""#,
        ],
    ),
    (
        "daemon",
        "program: Lmtp",
        r#"program: Lmtp, daemon: "unix:sock""#,
        &[
            r#"12:67: channels[2].daemon: "unix:sock" does not fit here; a host name, "[address]", "inet:host:port" or "unix:/path" is expected, or several with commas between them, 16 at most"#,
        ],
    ),
    (
        "tls knows no credentials",
        "program: Lmtp",
        r#"program: Lmtp, tls: (credentials: "x")"#,
        &[
            "12:65: channels[2].tls.credentials: there is no field credentials; the fields here are client, certificate, server, verify, names, ca, dane, mta_sts, ...",
        ],
    ),
    (
        "a destination that is no domain",
        "program: Lmtp",
        r#"program: Lmtp, tls: (policies: {"a b": (level: Verify)})"#,
        &[
            r#"12:76: channels[2].tls.policies["a b"]: "a b" is no domain; "example.com" or ".example.com" is expected"#,
        ],
    ),
    (
        "in the defaults",
        "    channels: [",
        "    channel_defaults: (maxjobs: 0),\n    channels: [",
        &[
            "9:33: channel_defaults.maxjobs: 0 does not fit here; a whole number from 1 to 10000 is expected",
        ],
    ),
    (
        "threads of a job",
        r#"pool: "SMTP_POOL""#,
        "max_client_threads: 1001, filesperjob: 0, max_life_time: \"0s\", max_life_conns: 0",
        &[
            "11:83: channels[1].max_client_threads: 1001 does not fit here; a whole number from 1 to 1000 is expected",
            "11:102: channels[1].filesperjob: 0 does not fit here; a whole number from 1 to 1000000 is expected",
            "11:120: channels[1].max_life_time: \"0s\" does not fit here; 1s to 30d are allowed",
            "11:142: channels[1].max_life_conns: 0 does not fit here; a whole number from 1 to 1000000000 is expected",
        ],
    ),
    (
        "wrong directory",
        "    job_c",
        "    directory: Ldiff(),\n    job_c",
        &[
            "14:16: directory: Ldiff() does not fit here; did you mean Ldif? one of these is expected, with fields in parentheses: Ldif, Ldap",
        ],
    ),
    (
        "wrong service address",
        "ports:",
        r#"interface_address: "localhost", ports:"#,
        &[
            r#"6:74: dispatcher.services["SMTP"].interface_address: "localhost" does not fit here; an IP address is expected, such as "127.0.0.1" or "::1""#,
        ],
    ),
    (
        "escaped text",
        r#"host: "mail.example.org""#,
        "host: \"a\\u{1b}[2Jb\"",
        &[
            r#"2:11: host: "a\u{1b}[2Jb" does not fit here; a domain name is expected: letters, digits, '-' and dots, such as "mail.example.org""#,
        ],
    ),
    // Fields that contradict each other.
    (
        "unknown pool",
        r#"pool: "SMTP_POOL""#,
        r#"pool: "X""#,
        &[r#"11:69: channels[1].pool: no pool is called "X"; there are: DEFAULT, SMTP_POOL"#],
    ),
    (
        "unknown pool by default",
        "    channels: [",
        "    channel_defaults: (pool: \"X\"),\n    channels: [",
        &[r#"9:30: channel_defaults.pool: no pool is called "X"; there are: DEFAULT, SMTP_POOL"#],
    ),
    (
        "same name",
        r#"name: "lmtp""#,
        r#"name: "l""#,
        &[
            r#"12:16: channels[2].name: there is a channel "l" already, in line 10; another name is expected"#,
        ],
    ),
    (
        "same tag",
        r#"tag: "lmtp-daemon""#,
        r#"tag: "TCP-daemon""#,
        &[
            r#"12:29: channels[2].tag: channel "tcp_local" has the tag "tcp-daemon" already; another tag is expected"#,
        ],
    ),
    (
        "bad name",
        r#"name: "lmtp""#,
        r#"name: "LMTP server""#,
        &[
            r#"12:16: channels[2].name: "LMTP server" does not fit here; 1 to 32 of lower-case letters, digits, '_', '-' and '$' are expected, such as "tcp_local""#,
        ],
    ),
    (
        "unknown channel",
        r#"channel: "tcp_local""#,
        r#"channel: "tcp_locl""#,
        &[
            r#"6:42: dispatcher.services["SMTP"].channel: no channel is called "tcp_locl"; did you mean tcp_local? there are: tcp_local (of program Smtp)"#,
        ],
    ),
    (
        "unfit channel",
        r#"channel: "tcp_local""#,
        r#"channel: "lmtp""#,
        &[
            r#"6:42: dispatcher.services["SMTP"].channel: the program of channel lmtp is Lmtp, that of this service Smtp; a channel of program Smtp is expected, there are: tcp_local"#,
        ],
    ),
    (
        "a service with the name of another part",
        r#""SMTP": (program"#,
        r#""Dispatcher": (program"#,
        &[
            r#"6:9: dispatcher.services["Dispatcher"]: Dispatcher names another part of the engine; another name is expected"#,
        ],
    ),
    (
        "listens nowhere",
        ", ports: [25]",
        "",
        &[
            r#"6:9: dispatcher.services["SMTP"]: the service listens nowhere; ports, tls_ports or socket is expected"#,
        ],
    ),
    (
        "same port",
        "    }),",
        "        \"SUBMIT\": (program: Smtp, channel: \"tcp_local\", interface_address: \"::1\", ports: [587, 25]),\n    }),",
        &[
            r#"7:96: dispatcher.services["SUBMIT"].ports[1]: SMTP listens on [::]:25 already; another port or interface_address is expected"#,
        ],
    ),
    (
        "admin takes a port",
        "    job_c",
        "    admin: (listen: \"0.0.0.0:25\"),\n    job_c",
        &[
            "14:21: admin.listen: SMTP listens on [::]:25 already; another port or interface_address is expected",
            "14:21: warning: admin.listen: 0.0.0.0:25 can be reached from other machines: everybody there can read the state of the queue; 127.0.0.1 keeps it on this machine",
        ],
    ),
    (
        "a mode that is no mode",
        "ports: [25]",
        r#"socket: "/s", socket_mode: "0888""#,
        &[
            r#"6:82: dispatcher.services["SMTP"].socket_mode: "0888" does not fit here; octal permissions in quotes are expected, such as "0660""#,
        ],
    ),
    (
        "a mode without quotes",
        "ports: [25]",
        r#"socket: "/s", socket_mode: 660"#,
        &[
            r#"6:82: dispatcher.services["SMTP"].socket_mode: 660 does not fit here; octal permissions in quotes are expected, such as "0660""#,
        ],
    ),
    (
        "a mode of no socket",
        "ports: [25]",
        r#"ports: [25], socket_mode: "0660""#,
        &[
            r#"6:81: dispatcher.services["SMTP"].socket_mode: the service has no socket that this could be said of; leave it out"#,
        ],
    ),
    (
        "a group that the mode leaves out",
        "ports: [25]",
        r#"socket: "/s", socket_group: "mail""#,
        &[
            r#"6:83: warning: dispatcher.services["SMTP"].socket_group: with socket_mode "0600" the group mail cannot connect: "0660" lets it"#,
        ],
    ),
    (
        "a socket for others where they do not get",
        "ports: [25]",
        r#"socket: "s", socket_mode: "0666""#,
        &[
            r#"6:63: warning: dispatcher.services["SMTP"].socket: the socket lies below /d, which is for the engine alone: others cannot connect; an absolute path elsewhere lets them"#,
        ],
    ),
    (
        "ports and socket",
        "ports: [25]",
        r#"ports: [25], socket: "s""#,
        &[
            r#"6:76: dispatcher.services["SMTP"].socket: a service has ports or a socket, not both; make it two services"#,
        ],
    ),
    (
        "limits cross",
        "ports: [25]",
        "ports: [25], min_procs: 11",
        &[
            r#"6:79: dispatcher.services["SMTP"].min_procs: min_procs 11 is above max_procs 10; min_procs may be 10 at most, or max_procs must be larger"#,
        ],
    ),
    (
        "limits cross by default",
        "services:",
        "max_conns: 20, services:",
        &[
            "5:29: dispatcher.max_conns: min_conns 30 is above max_conns 20; min_conns may be 20 at most, or max_conns must be larger",
        ],
    ),
    (
        "no store",
        r#"program: Smtp, channel: "tcp_local""#,
        r#"program: Lmtp, channel: "lmtp""#,
        &[
            r#"6:27: dispatcher.services["SMTP"].program: a service of program Lmtp needs store, which is not there; store: (path: "...") is expected beside dispatcher"#,
        ],
    ),
    (
        "no native",
        r#"program: Smtp, channel: "tcp_local""#,
        r#"program: LmtpNative, channel: "lmtp""#,
        &[
            r#"6:27: dispatcher.services["SMTP"].program: a service of program LmtpNative needs native, which is not there; native: (path: "...") is expected beside dispatcher"#,
        ],
    ),
    (
        "no job controller",
        "    job_controller: (pools: {\"SMTP_POOL\": (job_limit: 4)}),\n",
        "",
        &[
            r#"6:27: dispatcher.services["SMTP"].program: a service of program Smtp needs job_controller, which is not there; job_controller: (pools: {...}) is expected beside dispatcher"#,
            "11:69: warning: channels[1].pool: without a job_controller there are no pools, and no job is started",
        ],
    ),
    (
        "no certificate",
        r#"pool: "SMTP"#,
        r#"tls: (server: May), pool: "SMTP"#,
        &[
            r#"11:77: channels[1].tls.server: there is no certificate for TLS; tls: (certificate: "...", key: "...") is expected beside channels"#,
        ],
    ),
    (
        "no credentials",
        "program: Lmtp",
        "program: Lmtp, sasl: (client: May)",
        &[
            r#"12:74: channels[2].sasl.client: a client that authenticates needs credentials; credentials: "FILE" is expected beside client"#,
        ],
    ),
    (
        "options without a directory",
        "    job_c",
        "    delivery_options: [\"#forward=**\"],\n    job_c",
        &[
            "14:23: delivery_options: delivery_options need a directory, which is not there; directory: Ldif(...) or Ldap(...) is expected beside them",
        ],
    ),
    (
        "rule to nowhere",
        r#"@mail.example.org""#,
        r#"@elsewhere""#,
        &[
            r#"8:21: rewrite_rules[0]: no channel has the tag "elsewhere": mail by this rule would be refused; there are: tcp-daemon, lmtp-daemon, mail.example.org"#,
        ],
    ),
    (
        "no rule",
        r#"("$*", "$U%$H@mail.example.org")"#,
        "",
        &[
            "8:20: warning: rewrite_rules: there are no rewrite rules: every recipient will be refused",
        ],
    ),
    (
        "misspelt table",
        "    job_c",
        "    mappings: {\"PORT_ACESS\": []},\n    job_c",
        &[
            r#"14:16: warning: mappings["PORT_ACESS"]: nothing consults a table of this name; did you mean PORT_ACCESS?"#,
        ],
    ),
    (
        "large message",
        "    job_c",
        "    spool: (segment_size: \"1MiB\", large_message: \"2MiB\"),\n    job_c",
        &[
            "14:50: spool.large_message: large_message is above segment_size; a message that shares a segment must fit into it",
        ],
    ),
    (
        "unknown transport",
        "program: Lmtp",
        r#"program: Lmtp, mailbox_transport: "lmpt:unix:/s""#,
        &[
            r#"12:78: channels[2].mailbox_transport: no channel is called "lmpt"; did you mean lmtp? there are: lmtp, l, tcp_local"#,
        ],
    ),
    (
        "transport to itself",
        "program: Local",
        r#"program: Local, local_transport: "l:""#,
        &[
            "10:79: channels[0].local_transport: mail would come back to the local channel; another channel is expected, such as one of program Lmtp",
        ],
    ),
    (
        "nowhere to throw mail",
        r#"data: "/d","#,
        r#"data: "/d", transport: {"x": "discard:"},"#,
        &[
            r#"3:34: transport["x"]: there is no channel that throws mail away; a channel of program Bitbucket is expected"#,
        ],
    ),
    (
        "table without its file",
        r#"data: "/d","#,
        r#"data: "/d", aliases: (fil: "x"),"#,
        &[
            r#"3:26: aliases.file: the field file is missing; it has no default; file: "aliases" is an example"#,
            "3:27: aliases.fil: there is no field fil; did you mean file? the fields here are file",
        ],
    ),
    // Not RON.
    (
        "unclosed",
        "job_limit: 4)})",
        "job_limit: 4})",
        &[
            r#"14:56: } stands where the ( of "SMTP_POOL" of line 14, column 43 is still open; a ) is missing before it"#,
        ],
    ),
    (
        "equals sign",
        "ports: [25]",
        "ports = [25]",
        &[
            r#"6:61: "=" has no place here; a colon stands between a name and its value: name: value"#,
        ],
    ),
    (
        "no quotes",
        r#"host: "mail.example.org""#,
        "host: mail.example.org",
        &[
            r#"2:11: mail.example.org stands without quotes; names, paths, addresses and times stand in double quotes: "mail.example.org""#,
        ],
    ),
    (
        "no end quote",
        r#"pool: "SMTP_POOL"),"#,
        r#"pool: "SMTP_POOL),"#,
        &[
            "11:69: this text has no closing double quote on its line; a text ends with a double quote",
        ],
    ),
    (
        "destinations",
        r#"tag: "lmtp-daemon", program: Lmtp"#,
        r#"tag: "lmtp-daemon", program: Lmtp, destinations: (rate: "0/1m", limits: {"a b": ()}, replies: [(pattern: "250")])"#,
        &[
            r#"12:80: channels[2].destinations.rate: "0/1m" does not fit here; a number of messages and a time is ..."#,
            r#"12:97: channels[2].destinations.limits["a b"]: "a b" names no destination; "example.com", ..."#,
            r#"12:129: channels[2].destinations.replies[0].pattern: "250" does not fit here; a code of 4yz or 5yz, ..."#,
        ],
    ),
    (
        "rules about replies that nothing comes of",
        r#"tag: "lmtp-daemon", program: Lmtp"#,
        r#"tag: "lmtp-daemon", program: Lmtp, destinations: (replies: [(pattern: "421"), (pattern: "4yz", suspend: "1m", lasts: "2m"), (pattern: "4yz *x*", slow_down: "1/1m", becomes: Temporary)])"#,
        &[
            "12:83: warning: channels[2].destinations.replies: no rule and no option leads to this channel: ...",
            "12:94: warning: channels[2].destinations.replies[0].pattern: the rule leads to nothing: slow_down, suspend or becomes would",
            "12:141: warning: channels[2].destinations.replies[1].lasts: without slow_down nothing is slowed down for this time",
            "12:158: warning: channels[2].destinations.replies[2].pattern: the rule is never reached: all that it means is meant by \"4yz\" before it",
            "12:197: warning: channels[2].destinations.replies[2].becomes: the replies that are meant are that by their code already",
        ],
    ),
    (
        "no comma",
        r#"data: "/d","#,
        r#"data: "/d""#,
        &["4:5: a comma is missing before this; what follows another value stands behind a comma"],
    ),
];

#[test]
fn every_mistake_is_named_with_its_place_and_what_would_do() {
    for (name, from, to, want) in ROWS {
        let said = said(from, to);
        assert_eq!(said.len(), want.len(), "{name}: {said:#?}");
        for (said, want) in said.iter().zip(*want) {
            let fits = match want.strip_suffix("...") {
                Some(start) if start.len() > 60 => said.starts_with(start),
                _ => said == want,
            };
            assert!(fits, "{name}\n said: {said}\nwant: {want}");
        }
    }
}

#[test]
fn six_mistakes_in_one_file_are_named_together_in_file_order() {
    let text = BASE
        .replace("host: \"mail", "hots: \"mail")
        .replace("ports: [25]", "ports: [99999]")
        .replace("program: Local", "program: Lokal")
        .replace("pool: \"SMTP_POOL\"", "pool: \"X\"")
        .replace("program: Lmtp", "program: Lmtp, connect_time: \"1y\"")
        .replace("job_limit: 4", "job_limit: -4");
    let Err(mistakes) = Config::parse("f.ron", &text) else { panic!("it loads") };
    let places: Vec<_> = mistakes.0.iter().map(|m| (m.line, m.column, m.field.as_str())).collect();
    let want = [
        (1, 1, "host"),
        (2, 5, "hots"),
        (6, 63, "dispatcher.services[\"SMTP\"].ports[0]"),
        (10, 55, "channels[0].program"),
        (11, 69, "channels[1].pool"),
        (12, 73, "channels[2].connect_time"),
        (14, 55, "job_controller.pools[\"SMTP_POOL\"].job_limit"),
    ];
    assert_eq!(places, want);
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_mark() {
    let text = BASE.replace("pool: \"SMTP_POOL\"", "pool: \"SMPT_POOL\"");
    let Err(mistakes) = Config::parse("f.ron", &text) else { panic!("it loads") };
    let want = "\
f.ron:11:69: channels[1].pool: no pool is called \"SMPT_POOL\"; did you mean SMTP_POOL? there are: SMTP_POOL, DEFAULT
 11 |         (name: \"tcp_local\", tag: \"tcp-daemon\", program: Smtp, pool: \"SMPT_POOL\"),
    |                                                                     ^^^^^^^^^^^
";
    assert_eq!(mistakes.to_string(), want);
}

#[test]
fn a_mistake_as_json() {
    let text = BASE.replace("pool: \"SMTP_POOL\"", "pool: \"X\"");
    let report = check("f.ron", &text);
    let want = serde_json::json!([{
        "file": "f.ron",
        "line": 11,
        "column": 69,
        "field": "channels[1].pool",
        "message": "no pool is called \"X\"; there are: DEFAULT, SMTP_POOL",
        "offending": "\"X\"",
        "accepted": "there are: DEFAULT, SMTP_POOL",
    }]);
    assert_eq!(serde_json::to_value(&report.mistakes).unwrap(), want);
}

#[test]
fn control_characters_of_the_file_do_not_reach_the_terminal() {
    let text = BASE.replace("data: \"/d\"", "data: \u{1b}[2J");
    let shown = check("f.ron", &text).to_string();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let text = BASE.replace("pool: \"SMTP_POOL\"", "pool: \"\u{1b}[2J\"");
    let shown = check("f.ron", &text).to_string();
    assert!(shown.contains("channels[1].pool") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn mistakes_without_end_are_cut_off() {
    let fields = (0..5_000).map(|i| format!("x{i}: 0,\n")).collect::<Vec<_>>().concat();
    let report = check("f.ron", &BASE.replacen("host:", &format!("{fields}host:"), 1));
    assert_eq!(report.mistakes.len(), 1_001);
    assert!(report.mistakes.iter().any(|m| m.message == "there are more mistakes than these"));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = std::env::temp_dir().join(format!("relais-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("f.ron");
    let said = |path: &std::path::Path| match Config::load(path) {
        Err(mistakes) => mistakes.to_string().replace(&folder.display().to_string(), ""),
        Ok(_) => "it loads".to_owned(),
    };
    let missing = "/no.ron: the file cannot be used: No such file or directory (os error 2)\n";
    assert_eq!(said(&folder.join("no.ron")), missing);
    std::fs::write(&file, b"(\n host: \"\xff\")").unwrap();
    let not_text = "/f.ron: the file cannot be used: line 2 holds an octet that is not UTF-8; it must be saved as UTF-8\n";
    assert_eq!(said(&file), not_text);
    // One octet too many, and exactly as many as there may be.
    let mut text = BASE.to_owned();
    text.extend(std::iter::repeat_n(' ', (16 << 20) + 1 - BASE.len()));
    std::fs::write(&file, &text).unwrap();
    assert_eq!(said(&file), "/f.ron: the file cannot be used: it is larger than 16 MiB\n");
    text.pop();
    std::fs::write(&file, &text).unwrap();
    assert_eq!(said(&file), "it loads");
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_damage_to_a_file_is_too_strange(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, ".{0,6}"), 1..4),
    ) {
        let mut text = BASE.to_owned();
        for (index, length, insert) in cuts {
            let start = index.index(text.len());
            let end = (start + length).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, &insert);
            }
        }
        let _ = check("f.ron", &text).to_string();
    }
}
