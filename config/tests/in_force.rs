//! Settings without effect are named.

use relais_config::{STANDALONE, check};

/// Of patterns for mail without a connection.
const OVER_TCP: &str = "the entry never matches what comes over TCP";
const STORE: &str = include_str!("../examples/store.ron");

/// Warnings of `text` that `before` does not have: the field, and the message.
fn news(before: &str, text: &str) -> Vec<(String, String)> {
    let said = |text: &str| -> Vec<(String, String)> {
        let report = check("f.ron", text);
        let mistakes = report.mistakes.into_iter().map(|said| (said.field, said.message));
        let warnings = report.warnings.into_iter().map(|said| (said.field, said.message));
        mistakes.chain(warnings).collect()
    };
    let before = said(before);
    said(text).into_iter().filter(|said| !before.contains(said)).collect()
}

fn edit(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// Whether that is said, and nothing else; nothing when `want` is empty.
#[track_caller]
fn is_said(before: &str, text: &str, field: &str, want: &str) {
    let news = news(before, text);
    let found = news.iter().any(|(at, message)| at == field && message.contains(want));
    let right = if want.is_empty() { news.is_empty() } else { found && news.len() == 1 };
    assert!(right, "{field}: {want}: {news:#?}");
}

#[test]
fn an_access_pattern_that_never_matches_is_named_with_the_spelling_that_does() {
    let rows = [
        ("PORT_ACCESS", "TCP|*|+2525|*|*", "\"+2525\" is always written \"2525\" there"),
        ("PORT_ACCESS", "TCP|*|02525|*|*", "\"02525\" is always written \"2525\" there"),
        ("PORT_ACCESS", "TCP|::ffff:127.0.0.1|2525|*|*", "is always written \"127.0.0.1\" there"),
        ("PORT_ACCESS", "TCP|*|2525|::FFFF:10.0.0.1|*", "is always written \"10.0.0.1\" there"),
        ("PORT_ACCESS", "TCP|*|2525|0:0:0:0:0:0:0:1|*", "is always written \"::1\" there"),
        ("PORT_ACCESS", "TCP|*|*|2001:DB8:0:0::1|*", "is always written \"2001:db8::1\" there"),
        ("PORT_ACCESS", "TCP|*|*|${::ffff:10.0.0.0/104}|*", "$(10.0.0.0/8) finds these"),
        ("PORT_ACCESS", "TCP|*|*|2001:DB8::1|*", ""),
        ("PORT_ACCESS", "TCP|*|*|${2001:db8::/32}|*", ""),
        ("PORT_ACCESS", "TCP|*|2526|*|*", "no service listens at port 2526"),
        ("PORT_ACCESS", "TCP|10.0.0.1|2525|*|*", "no service listens at port 2525 of 10.0.0.1"),
        ("PORT_ACCESS", "TCP|10.0.0.1|*", "no service listens at 10.0.0.1"),
        ("PORT_ACCESS", "TCP|127.0.0.1|2525|*|*", ""),
        ("INTERNAL_IP", "2001:DB8:0:0:0:0:0:1", "is always written \"2001:db8::1\" there"),
        ("INTERNAL_IP", "::ffff:10.0.0.1", "is always written \"10.0.0.1\" there"),
        ("INTERNAL_IP", "2001:DB8::1", ""),
        ("INTERNAL_IP", "$(127.0.0.10/24)", "this stands for the whole of $(127.0.0.0/24)"),
        ("INTERNAL_IP", "$<127.0.0.10/8>", "this stands for the whole of $<127.0.0.0/8>"),
        ("INTERNAL_IP", "${2001:DB8::1/32}", "this stands for the whole of ${2001:db8::/32}"),
        ("INTERNAL_IP", "$(127.0.0.10/32)", ""),
        ("INTERNAL_IP", "$(127.0.0.0/24)", ""),
        ("INTERNAL_IP", "$<127.0.0.0/8>", ""),
        ("INTERNAL_IP", "${2001:DB8:0::/32}", ""),
        ("PORT_ACCESS", "TCP|*|2525|$(10.1.0.0/8)|*", "for the whole of $(10.0.0.0/8)"),
        ("MAIL_ACCESS", "TCP|*|*|$(10.1.0.0/8)|*", "for the whole of $(10.0.0.0/8)"),
        ("ORIG_SEND_ACCESS", "nosuch|*|*|*", "no channel is called \"nosuch\""),
        (
            "ORIG_SEND_ACCESS",
            "tcp_locl|*",
            "no channel is called \"tcp_locl\"; did you mean tcp_local?",
        ),
        ("ORIG_SEND_ACCESS", "tcp_local|*|nosuch|*", "no channel is called \"nosuch\""),
        ("ORIG_SEND_ACCESS", "tcp_lmtpss|*|*|*", "no mail comes in by the channel \"tcp_lmtpss\""),
        ("ORIG_SEND_ACCESS", "*|*|tcp_lmtpss|*", "nothing leads to the channel \"tcp_lmtpss\""),
        ("ORIG_SEND_ACCESS", "TCP_LOCAL|a@b.test|tcp_lmtpcs|*", ""),
        ("ORIG_SEND_ACCESS", "reprocess|*|hold|*", ""),
        ("ORIG_SEND_ACCESS", "tcp_local|*@x.test|l|*", ""),
        ("FROM_ACCESS", "tcp_local|a@b.test", "has 2 fields instead of 10"),
        ("MAIL_ACCESS", "tcp_local|a@b.test", "has 2 fields instead of 11"),
        ("FROM_ACCESS", "|SMTP/*|MAIL|*|a@b.test|*", OVER_TCP),
        ("MAIL_ACCESS", "|SMTP/*|MAIL|*|a@b.test|*|*", OVER_TCP),
        ("FROM_ACCESS", "TCP|*|SMTP/*|MAIL|*|a@b.test|*", ""),
        ("FROM_ACCESS", "*|MAIL|*|a@b.test|*", ""),
        ("MAIL_ACCESS", "|*|MAIL|process|*|*|*", ""),
    ];
    let empty = edit(STANDALONE, "mappings: {", "mappings: {\"INTERNAL_IP\": [],");
    let more = "mappings: {\"ORIG_SEND_ACCESS\": [], \"FROM_ACCESS\": [], \"MAIL_ACCESS\": [],";
    let empty = edit(&empty, "mappings: {", more);
    for (table, pattern, want) in rows {
        let from = format!("\"{table}\": [");
        let text = edit(&empty, &from, &format!("{from}({pattern:?}, \"$N\"),"));
        is_said(&empty, &text, &format!("mappings[{table:?}][0]"), want);
    }
}

#[test]
fn an_access_pattern_for_mail_without_a_connection_is_for_clients_of_a_socket() {
    let entry = r#"mappings: {"FROM_ACCESS": [("|SMTP/*|MAIL|*|a@b.test|*", "$N")],"#;
    for (program, channel, want) in [("Smtp", "tcp_local", ""), ("Lmtp", "tcp_lmtpss", OVER_TCP)] {
        let own = format!(
            "services: {{\"UX\": (program: {program}, channel: {channel:?}, socket: \"/run/a\"),"
        );
        let before = edit(STANDALONE, "services: {", &own);
        let text = edit(&before, "mappings: {", entry);
        is_said(&before, &text, "mappings[\"FROM_ACCESS\"][0]", want);
    }
}

#[test]
fn an_entry_that_a_wider_one_before_it_takes_everything_of_is_named() {
    let rows = [
        ("$(127.0.0.0/8)", "127.0.0.1", true),
        ("$(127.0.0.0/8)", "$(127.1.0.0/16)", true),
        ("$(127.1.0.0/16)", "$(127.0.0.0/8)", false),
        ("$(127.0.0.0/8)", "128.0.0.1", false),
        ("${2001:db8::/32}", "2001:db8::1", true),
        ("*", "10.0.0.1", true),
        ("10.*", "10.0.0.1", false),
    ];
    for (first, second, covered) in rows {
        for (table, around) in [("INTERNAL_IP", ("", "")), ("PORT_ACCESS", ("TCP|*|2525|", "|*"))] {
            let mappings = |patterns: &[(&str, &str)]| {
                let entry = |(pattern, template): &(&str, &str)| {
                    format!("({:?}, {template:?}),", format!("{}{pattern}{}", around.0, around.1))
                };
                let entries: String = patterns.iter().map(entry).collect();
                let start = STANDALONE.find("    mappings: {").unwrap();
                let end = start + STANDALONE[start..].find("    rewrite_rules").unwrap();
                let section = format!("    mappings: {{{table:?}: [{entries}]}},\n");
                format!("{}{section}{}", &STANDALONE[..start], &STANDALONE[end..])
            };
            let place = format!("mappings[{table:?}][1]");
            let want = if covered { "the entry is never reached: entry 1 takes" } else { "" };
            let one = mappings(&[(first, "$Y")]);
            is_said(&one, &mappings(&[(first, "$Y"), (second, "$N")]), &place, want);
            // Behind a template that goes on nothing is certain.
            if first != "*" {
                is_said(&one, &mappings(&[(first, "$C$Y"), (second, "$N")]), &place, "");
            }
        }
    }
}

#[test]
fn who_may_connect_is_not_asked_at_sockets() {
    let socket = edit(STORE, "ports: [225]", "socket: \"/run/a\"");
    let native = socket.lines().filter(|line| !line.contains("\"LMTPSN\"")).collect::<Vec<_>>();
    let text = native.join("\n");
    let at = "mappings[\"PORT_ACCESS\"]";
    assert!(
        news(STORE, &text).iter().any(|(field, message)| {
            field == at && message.contains("the table is not consulted")
        })
    );
}

#[test]
fn a_rule_that_others_of_its_pattern_leave_nothing_for_is_named() {
    let rows = [
        ("$E", "$E", "rule 1 has the same pattern and applies whenever this one would"),
        ("$E", "$E$Mtcp_local", "rule 1 has the same pattern and applies whenever this one would"),
        ("", "$E", "rule 1 has the same pattern and always applies"),
        ("$E$Mtcp_local", "$E", ""),
        ("$Mtcp_local", "$Nprocess", ""),
        ("$Mtcp_local", "$E$B", "the rule never applies: $E and $B exclude each other"),
        ("$Mtcp_local", "$1M$1N", "the rule never applies: $1M and $1N exclude each other"),
        (
            "$Mprocess",
            "$Mtcp_local$Ntcp_local",
            "the rule never applies: $M and $N exclude each other",
        ),
        ("$Mprocess", "$Mtcp_local$Nprocess", ""),
    ];
    let rules = |conditions: &[&str]| {
        let rule = |it: &&str| format!("(\"x.test\", \"$U%$H@localhost{it}\"),");
        let rules: String = conditions.iter().map(rule).collect();
        edit(STANDALONE, "rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
    };
    for (first, second, want) in rows {
        // Warnings of the first alone, and of the rule of the sample, are no news.
        let said = news(STANDALONE, &rules(&[first, second]));
        let found = said.iter().filter(|(at, _)| at == "rewrite_rules[1]");
        let found: Vec<_> = found.map(|(_, message)| message).collect();
        let right = if want.is_empty() {
            found.is_empty()
        } else {
            found.iter().any(|message| message.contains(want))
        };
        assert!(right, "{first} {second}: {found:?}");
    }
    let said = news(STANDALONE, &rules(&["$Mprocess", "$Nprocess", ""]));
    let both = "rules 1 and 2 have the same pattern, and one of the two always applies";
    assert!(
        said.iter().any(|(at, message)| at == "rewrite_rules[2]" && message.contains(both)),
        "{said:#?}"
    );
}

#[test]
fn a_channel_that_nothing_leads_to_is_named() {
    let channel = |program: &str| {
        let channel = format!("(name: \"x\", tag: \"x-daemon\", program: {program}), ");
        edit(STANDALONE, "(name: \"process\",", &format!("{channel}(name: \"process\","))
    };
    for program in ["Lmtp", "Pipe", "Smtp", "Local", "Hold"] {
        let at = "channels[4]";
        let want = "no service takes mail in by this channel, and nothing leads to it";
        let text = channel(program);
        // The first one of program Hold is where held mail goes.
        let (text, at) = if program == "Hold" {
            let hold = edit(STANDALONE, "name: \"bitbucket\"", "name: \"hold2\"");
            (
                edit(
                    &hold,
                    "tag: \"bitbucket\",         program: Bitbucket",
                    "tag: \"h2\", program: Hold",
                ),
                "channels[7]",
            )
        } else {
            (text, at)
        };
        let said = news(STANDALONE, &text);
        assert!(
            said.iter().any(|(field, message)| field == at && message.contains(want)),
            "{program}: {said:#?}"
        );
        let led = edit(&text, "rewrite_rules: [", "rewrite_rules: [(\"y.test\", \"$U%$H@TAG\"), ");
        let led = led.replace("TAG", if program == "Hold" { "h2" } else { "x-daemon" });
        let said = news(STANDALONE, &led);
        assert!(!said.iter().any(|(_, message)| message.contains(want)), "{program}: {said:#?}");
    }
}

#[test]
fn a_time_in_capital_m_is_told_to_be_minutes() {
    for (time, want) in [
        ("15M", "M stands for minutes in a time: this is 15m"),
        ("1h 15M", "M stands for minutes in a time: this is 75m"),
        ("15 Min", ""),
        ("PT15M", ""),
        ("15m", ""),
    ] {
        let text = edit(STANDALONE, "maxjobs: 7", &format!("maxjobs: 7, max_life_time: {time:?}"));
        is_said(STANDALONE, &text, "channels[2].max_life_time", want);
    }
}

#[test]
fn a_store_of_ours_that_our_own_client_cannot_speak_to_is_named() {
    let tls = r#"tls: (certificate: "a", key: "b"), mappings: {"#;
    let with_tls = edit(STANDALONE, "mappings: {", tls);
    let own = r#"(name: "tcp_lmtpss","#;
    for (insist, port, want) in [
        ("Must", "2225", "channel tcp_lmtpcs connects to port 2225 without TLS"),
        ("May", "2225", ""),
        ("Must", "2226", ""),
    ] {
        let before = with_tls.replace("port: 2225", &format!("port: {port}"));
        let text = edit(&before, own, &format!("{own} tls: (server: {insist}),"));
        is_said(&before, &text, "channels[3].tls.server", want);
    }
}
