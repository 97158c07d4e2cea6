//! Settings without effect are named.

use relais_config::{Config, STANDALONE, check};

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
fn entries_about_conversions_of_mail_that_goes_no_such_way_are_named() {
    let before = edit(
        STANDALONE,
        "mappings: {",
        "conversions: [(in_type: \"x\", action: Hold)], mappings: {\"CONVERSIONS\": [], \
         \"CHARSET-CONVERSION\": [],",
    );
    let before = edit(
        &before,
        "channels: [",
        "channels: [(name: \"conversion\", tag: \"conversion-daemon\", program: Conversion),",
    );
    let out = "parts of mail are looked at before it leaves by a channel of program Smtp, Lmtp, Pipe or Local";
    // the table, the pattern, what is said
    let rows = [
        ("CONVERSIONS", "IN-CHAN=*;OUT-CHAN=*;CONVERT", ""),
        ("CONVERSIONS", "in-chan=TCP_LOCAL;OUT-CHAN=tcp_lmtpcs;convert", ""),
        ("CONVERSIONS", "IN-CHAN=tcp_*;OUT-CHAN=nosuch;CONVERT", "no channel is called \"nosuch\""),
        ("CONVERSIONS", "IN-CHAN=tcp_locl;OUT-CHAN=*;CONVERT", "did you mean tcp_local?"),
        (
            "CONVERSIONS",
            "IN-CHAN=tcp_lmtpss;OUT-CHAN=*;CONVERT",
            "no mail comes in by such a channel",
        ),
        ("CONVERSIONS", "IN-CHAN=*;OUT-CHAN=hold;CONVERT", out),
        ("CONVERSIONS", "IN-CHAN=*;OUT-CHAN=*;IN-CHARSET=utf-8", "it is probed with IN-CHAN"),
        ("CONVERSIONS", "IN-CHAN=*;OUTCHAN=l;CONVERT", "it is probed with IN-CHAN"),
        ("CONVERSIONS", "IN-CHAN=tcp_local;OUT-CHAN=l", "it is probed with IN-CHAN"),
        ("CHARSET-CONVERSION", "IN-CHAN=*;OUT-CHAN=*;IN-CHARSET=utf-8", ""),
        ("CHARSET-CONVERSION", "IN-CHAN=*;OUT-CHAN=*;CONVERTS", "it is probed with IN-CHAN"),
        ("CHARSET-CONVERSION", "IN-CHAN=*;OUT-CHAN=hold;IN-CHARSET=*", out),
    ];
    for (table, pattern, want) in rows {
        let from = format!("\"{table}\": [");
        let text = edit(&before, &from, &format!("{from}({pattern:?}, \"$Y\"),"));
        is_said(&before, &text, &format!("mappings[{table:?}][0]"), want);
    }
    let rows = [
        ("in_channel", "tcp_lmtpss", "no mail comes in by such a channel"),
        ("in_channel", "tcp_lmtp?s", "no mail comes in by such a channel"),
        ("in_channel", "tcp_*", ""),
        ("out_channel", "hold", out),
        ("out_channel", "tcp_lmtpcs", ""),
    ];
    for (field, pattern, want) in rows {
        let from = "conversions: [(";
        let text = edit(&before, from, &format!("{from}{field}: {pattern:?}, "));
        is_said(&before, &text, &format!("conversions[0].{field}"), want);
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

/// The built-in configuration with these rules before its own.
fn with_rules(rules: &[(&str, &str)]) -> String {
    let rules: Vec<_> = rules.iter().map(|rule| format!("{rule:?},")).collect();
    let rules = rules.concat();
    edit(STANDALONE, "rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
}

/// Mistakes and warnings at the `n`th rule.
fn of_rule(n: usize, text: &str) -> Vec<String> {
    let field = format!("rewrite_rules[{n}]");
    let report = check("f.ron", text);
    let mistakes = report.mistakes.into_iter().map(|said| (said.field, said.message));
    let warnings = report.warnings.into_iter().map(|said| (said.field, said.message));
    let said = mistakes.chain(warnings).filter(|(at, _)| *at == field);
    // Rules for everybody are no subject here.
    said.map(|(_, message)| message).filter(|said| !said.contains("cannot be told")).collect()
}

#[track_caller]
fn is_said_of_rule(n: usize, text: &str, want: &str) {
    let said = of_rule(n, text);
    let right = match said.as_slice() {
        [] => want.is_empty(),
        [message] => !want.is_empty() && message.contains(want),
        _ => false,
    };
    let rules = text.lines().find(|line| line.contains("rewrite_rules"));
    assert!(right, "{n}: {want}: {said:#?}\n{rules:?}");
}

#[test]
fn a_rule_that_is_never_reached_behind_other_patterns_is_named() {
    let first = "rule 1 has the pattern $*, which comes before this one for every host, and always";
    let same = "rule 1 has the pattern $*, which comes before this one for every host, and applies \
                whenever";
    let dot = "rule 1 has the pattern ., which comes before this one for every host, and always";
    let (all, there) = ("$U%$H@localhost", "$U%$H$D@localhost");
    for (rules, want) in [
        ([("$*", all), ("x.test", there)], first),
        ([("$*", "$E$U%$H@localhost"), (".test", "$E$U%$H$D@localhost")], same),
        ([("$*", "$E$U%$H@localhost"), (".test", there)], ""),
        ([("$*", "$U%$&0@localhost"), (".test", there)], ""),
        ([("$*", "$U%$H@localhost$V$H"), (".test", "$U%$H$D@localhost$V$H")], ""),
        ([("$*", "$U%$H@localhost$Tt|"), ("t|x.test", there)], ""),
        ([("t|$*", all), ("x.test", "$U%$D@localhost$Tt|")], ""),
        ([(".", all), ("$%", all)], dot),
        ([(".", all), ("$!", all)], dot),
        ([(".", all), ("x.test", there)], ""),
        ([(".x.test", there), ("$%", all)], ""),
    ] {
        is_said_of_rule(1, &with_rules(&rules), want);
    }
    // It does not matter where in the file `$*` stands.
    let later = with_rules(&[("x.test", there), ("$*", all)]);
    is_said_of_rule(0, &later, "rule 2 has the pattern $*");
}

#[test]
fn rules_that_lead_back_to_themselves_are_named() {
    let back = "the rule leads back to itself: mail for a user of";
    for (rule, want) in [
        (("x.test", "$U%$D"), "mail for a user of x.test is refused (554 5.4.6)"),
        (("x.test", "$U%X.Test"), back),
        ((".x.test", "$U%$H$D"), "mail for a user of x.x.test is refused"),
        ((".x.test", "$U%a.$H$D"), back),
        ((".x.test", "$U%a$*9.x.test"), ""),
        (("*.x.test", "$U%$&0.x.test"), back),
        (("[1.2.]", "$U%[1.2.$L]"), "mail for a user of [1.2.1.1] is refused"),
        (("[1.2.3.4]", "$U%$D"), back),
        (("[]", "$U%[$L]"), back),
        ((".", "$U%$H"), back),
        ((".", "$E$U%$H"), back),
        (("$%", "$U%$H"), ""),
        ((".x.test", "$U%$H"), ""),
        ((".x.test", "$P$U%$H$D"), ""),
        ((".x.test", "$U%$H$D$Tt|"), "no pattern begins with \"t|\""),
        ((".x.test", "$U%$H$D@localhost"), ""),
    ] {
        is_said_of_rule(0, &with_rules(&[rule]), want);
    }
    let (a, b) = (("a.test", "$U%b.test"), ("b.test", "$U%a.test"));
    let text = with_rules(&[a, b]);
    is_said_of_rule(
        0,
        &text,
        "the rule leads back to itself by way of rule 2: mail for a user of a",
    );
    is_said_of_rule(
        1,
        &text,
        "the rule leads back to itself by way of rule 1: mail for a user of b",
    );
    // The tag that a rule sets leads out, or it does not.
    let out = [("a.test", "$U%$D$Tt|"), ("t|a.test", "$U%$D@localhost")];
    is_said_of_rule(0, &with_rules(&out), "");
    let round = [("a.test", "$U%$D$Tt|"), ("t|a.test", "$U%$D")];
    is_said_of_rule(0, &with_rules(&round), "by way of rule 2");
    // Somewhere on the way it may end.
    for end in ["$U%$D@localhost", "$U%$D@localhost$Mtcp_local", "$U%b.test$Mtcp_local", "$($D)"] {
        let text = with_rules(&[a, ("b.test", end), b]);
        is_said_of_rule(0, &text, "");
    }
    let kept = with_rules(&[a, ("b.test", "$R$U%$D@localhost"), ("b.test", "$U%a.test")]);
    is_said_of_rule(0, &kept, "");
    // A condition that the first rule excludes is passed over.
    let recipients = [("a.test", "$F$U%b.test"), ("b.test", "$R$U%$D@localhost"), b];
    is_said_of_rule(0, &with_rules(&recipients), "by way of rule 3");
}

#[test]
fn channels_that_no_rule_finds_are_named() {
    let channel = "tcp_locl";
    for (template, want) in [
        (format!("$U%$D@localhost$Q{channel}"), "no channel is called \"tcp_locl\""),
        (format!("$U%$D@localhost$C{channel}"), "no channel is called \"tcp_locl\""),
        ("$U%$D@localhost$Qtcp_lmtpcs".to_owned(), ""),
        (format!("$U%$D@localhost$M{channel}"), "the rule never applies: no channel is called"),
        (format!("$U%$D@localhost$Mtcp_local$M{channel}"), ""),
        (format!("$U%$D@localhost$M{channel}$1M"), ""),
        (format!("$U%$D@localhost$N{channel}"), "this $N excludes nothing: no channel is called"),
        ("$U%$D@localhost$Mtcp_local$1~-x".to_owned(), "no channel has the tag \"localhost-x\""),
        ("$U%$D@localhos$Mtcp_local$1~t".to_owned(), "no channel has the tag \"localhos\""),
        ("$U%$D@localhost$Mtcp_local$1~-x$?no".to_owned(), ""),
        ("$U@elsewhere.test".to_owned(), "no channel has the tag \"elsewhere.test\""),
        ("$U@elsewhere.test$R".to_owned(), ""),
    ] {
        is_said_of_rule(0, &with_rules(&[("x.test", &template)]), want);
    }
    let headers = "a rule with $B and $R never applies: senders in headers are not rewritten yet";
    is_said_of_rule(0, &with_rules(&[("x.test", "$B$R$U%$D@localhost")]), headers);
    is_said_of_rule(0, &with_rules(&[("x.test", "$E$R$U@localhost")]), "");
    is_said_of_rule(0, &with_rules(&[("x.test", "$R$U@localhost")]), "");
    let of_users = "the rule never applies: its pattern is for hosts of $P alone";
    is_said_of_rule(0, &with_rules(&[("$%", "$A$U%$H@localhost")]), of_users);
    is_said_of_rule(0, &with_rules(&[("$%", "$A$P$U%$H@localhost")]), "");

    // Where a channel says norules, its mail goes by such rules all the same.
    let own = r#"(name: "tcp_local","#;
    let norules = |rule| edit(&with_rules(&[rule]), own, &format!("{own} rules: false,"));
    let alone = "the rule applies to mail of channels with rules: false alone";
    is_said_of_rule(0, &norules(("x.test", "$U%$D@localhost$Mtcp_locl")), alone);
    is_said_of_rule(0, &norules(("x.test", "$U%$D@localhost$Mprocess$Nprocess")), "");
}

#[test]
fn bangs_that_name_no_host_come_first_in_vain() {
    let own = r#"(name: "tcp_local","#;
    let before = edit(STANDALONE, own, &format!("{own} percentonly: true,"));
    let text = edit(&before, own, &format!("{own} bangoverpercent: true,"));
    let at = "channels[1].bangoverpercent";
    is_said(&before, &text, at, "percentonly is true here: no bang names a host");
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

#[test]
fn sessions_go_on_in_channels_of_smtp_alone() {
    let own = r#"(name: "tcp_local","#;
    let more = edit(
        STANDALONE,
        own,
        &format!(r#"(name: "tcp_auth", tag: "auth-daemon", program: Smtp), {own}"#),
    );
    for field in ["tlsswitchchannel", "saslswitchchannel"] {
        for (name, want) in [
            ("l", "the program of channel l is Local"),
            ("hold", "the program of channel hold is Hold"),
            ("tcp_lmtpss", "the program of channel tcp_lmtpss is Lmtp"),
            ("tcp_auht", "no channel is called \"tcp_auht\""),
            ("tcp_auth", ""),
        ] {
            let report = check("f.ron", &edit(&more, own, &format!("{own} {field}: {name:?},")));
            let said = report.mistakes.iter().map(|said| {
                assert_eq!(said.field, format!("channels[2].{field}"));
                (said.message.as_str(), said.accepted.as_str())
            });
            let said: Vec<_> = said.collect();
            let right = match said[..] {
                [] => want.is_empty(),
                [(message, accepted)] => {
                    message.starts_with(want)
                        && accepted.starts_with("a channel of program Smtp is expected, ")
                        && accepted.contains("tcp_auth")
                        && !accepted.contains("hold")
                }
                _ => false,
            };
            assert!(right, "{field}: {name}: {said:?}");
        }
    }
}

/// An engine with TLS whose channel `in` is that of the service; the channel `after` is there for
/// sessions that `in` leads to it.
fn with_channel(service: &str, own: &str, after: &str) -> String {
    format!(
        r#"(host: "a.example", default_domain: "a.example", data: "/d",
        dispatcher: (services: {{
            "S": (program: Smtp, channel: "in", ports: [25], {service}),
            "L": (program: Lmtp, channel: "store", ports: [24]),
        }}),
        tls: (certificate: "c", key: "k"),
        channels: [
            (name: "l", tag: "l", program: Local),
            (name: "in", tag: "in", program: Smtp, {own}),
            (name: "after", tag: "after", program: Smtp, {after}),
            (name: "store", tag: "store", program: Lmtp),
        ],
        rewrite_rules: [("$*", "$U%$H@l")],
        store: (path: "s"), job_controller: ())"#
    )
}

/// The service, the channel `in` and the channel `after`; then a setting of a channel, and what is
/// said of it there.
type Beside = (&'static str, &'static str, &'static str, usize, &'static str, &'static str);

const BESIDE: &[Beside] = &[
    ("", "", "", 1, "tlsswitchchannel: \"after\"", "tls.server is No here, and no service"),
    ("", "tls: (server: May)", "", 1, "tlsswitchchannel: \"after\"", ""),
    ("tls_ports: [465]", "", "", 1, "tlsswitchchannel: \"after\"", ""),
    (
        "",
        "tls: (server: May), tlsswitchchannel: \"after\"",
        "tls: (server: May)",
        2,
        "tlsswitchchannel: \"in\"",
        "TLS leads nowhere from here",
    ),
    (
        "",
        "sasl: (server: May, without_tls: true), saslswitchchannel: \"after\"",
        "tls: (server: May)",
        1,
        "tlsswitchchannel: \"after\"",
        "",
    ),
    ("", "", "", 1, "saslswitchchannel: \"after\"", "sasl.server is No here: nobody logs in"),
    ("", "sasl: (server: May)", "", 1, "saslswitchchannel: \"after\"", ""),
    ("", "", "", 1, "sender_must_match: false", "the channel has no submit: true"),
    ("", "submit: false", "", 1, "sender_must_match: true", "the channel has no submit: true"),
    ("", "submit: true", "", 1, "sender_must_match: false", ""),
    ("", "", "", 1, "beyond_rates: Hold", "none of the limits of an hour is set here"),
    ("", "client_messages_per_hour: 9", "", 1, "beyond_rates: Hold", ""),
    ("", "client_recipients_per_hour: 9", "", 1, "beyond_rates: Hold", ""),
    ("", "", "", 1, "user_messages_per_hour: 9", "no saslswitchchannel leads users here"),
    ("", "", "", 1, "user_recipients_per_hour: 9", "no saslswitchchannel leads users here"),
    ("", "sasl: (server: May)", "", 1, "user_messages_per_hour: 9", ""),
    (
        "",
        "sasl: (server: May), saslswitchchannel: \"after\"",
        "",
        1,
        "user_messages_per_hour: 9",
        "who logs in here goes on in channel after",
    ),
    (
        "",
        "sasl: (server: May), saslswitchchannel: \"after\"",
        "",
        2,
        "user_recipients_per_hour: 9",
        "",
    ),
    (
        "",
        "tls: (server: May), tlsswitchchannel: \"after\"",
        "",
        2,
        "user_recipients_per_hour: 9",
        "no saslswitchchannel leads users here",
    ),
    ("", "", "", 1, "sasl: (scram: true)", "sasl.server is No here: nobody logs in"),
    ("", "", "", 1, "sasl: (without_tls: true)", "sasl.server is No here: nobody logs in"),
    ("", "", "", 1, "sasl: (scram: false)", ""),
    ("", "", "", 1, "sasl: (without_tls: false)", ""),
];

#[test]
fn a_setting_of_a_channel_that_wants_another_beside_it_is_named_alone() {
    for &(service, own, after, channel, setting, want) in BESIDE {
        let before = with_channel(service, own, after);
        let comma = |text: &str| if text.is_empty() { String::new() } else { format!("{text},") };
        let (mut own, mut after) = (comma(own), comma(after));
        if channel == 1 { &mut own } else { &mut after }.push_str(setting);
        let text = with_channel(service, &own, &after);
        let field = setting.replace("sasl: (", "sasl.");
        let field = field.split(':').next().unwrap();
        let at = format!("channels[{channel}].{field}");
        is_said(&before, &text, &at, want);
    }
    let scram = |more: &str| with_channel("", &format!("sasl: (server: May{more})"), "");
    is_said(&scram(""), &scram(", scram: true"), "", "");
}

#[test]
fn a_default_that_some_channel_has_use_for_is_not_named() {
    for (setting, own) in [
        ("sender_must_match: false", "submit: true"),
        ("beyond_rates: Hold", "client_messages_per_hour: 9"),
        ("user_messages_per_hour: 9", "sasl: (server: May)"),
        ("sasl: (scram: true)", "sasl: (server: May)"),
        ("saslswitchchannel: \"after\"", "sasl: (server: May)"),
    ] {
        for (own, idle) in [(own, false), ("", true)] {
            // Sessions come to the other channel, too.
            let own = format!("switchchannel: Switch, {own}");
            let before = with_channel("", &own, "");
            let before = edit(&before, "@l\")", "@l\"), (\".x\", \"$U%$H@after\")");
            let defaults = format!("channel_defaults: ({setting}), channels: [");
            let text = edit(&before, "channels: [", &defaults);
            let field = setting.replace("sasl: (", "sasl.");
            let field = field.split(':').next().unwrap();
            let want = if idle { "it suits none of the channels" } else { "" };
            is_said(&before, &text, &format!("channel_defaults.{field}"), want);
        }
    }
}

#[test]
fn the_address_of_a_client_is_not_asked_for_at_sockets() {
    for setting in [
        "xclient: [\"10.0.0.0/8\"]",
        "proxy_protocol: [\"10.0.0.0/8\"]",
        "client_conns: 3",
        "prefix_conns: 3",
        "prefix_ipv4: 16",
        "prefix_ipv6: 64",
        "unlimited_clients: [\"10.0.0.0/8\"]",
        "dns_verify_domain: [\"bl.example\"]",
        "dns_verify_time: \"1s\"",
    ] {
        let field = setting.split(':').next().unwrap();
        let want = format!("nobody is asked at a socket who he is: nothing comes of {field}");
        let of_service = format!("dispatcher.services[\"S\"].{field}");
        let at_port = with_channel("", "", "");
        is_said(&at_port, &with_channel(setting, "", ""), &of_service, "");
        let at_socket = |text: &str| edit(text, "ports: [25]", "socket: \"/run/a\"");
        let text = at_socket(&with_channel(setting, "", ""));
        is_said(&at_socket(&at_port), &text, &of_service, &want);
        // A default is for the services that have ports.
        let default = format!("dispatcher: ({setting}, services: {{");
        let text = edit(&at_socket(&at_port), "dispatcher: (services: {", &default);
        is_said(&at_socket(&at_port), &text, "", "");
        let no_ports = |text: &str| edit(text, "ports: [24]", "socket: \"/run/b\"");
        let before = no_ports(&at_socket(&at_port));
        is_said(&before, &no_ports(&text), &format!("dispatcher.{field}"), &want);
    }
}

#[test]
fn commands_that_nothing_runs_and_replies_that_nobody_writes_are_named() {
    let with = |more: &str| edit(STANDALONE, "    admin: (", &format!("    {more},\n    admin: ("));
    let listed = "programs: {\"mlm\": (command: [\"/path/to/mlm\", \"-x\"])}, ";
    let alias = |target: &str| format!("aliases: {{\"a\": [{target:?}]}}");
    let pipe = |text: &str| {
        let channel = "(name: \"pipe\", tag: \"pipe-daemon\", program: Pipe), (name: \"process\",";
        edit(text, "(name: \"process\",", channel)
    };
    let of_alias = "aliases[\"a\"][0]";
    let unlisted =
        "programs does not list this command: mail for this name is refused for now (451)";
    is_said(STANDALONE, &with(&alias("|/path/to/mlm")), of_alias, unlisted);
    let before = with(listed.trim_end_matches(", "));
    is_said(&before, &with(&format!("{listed}{}", alias("|/path/to/mlm"))), of_alias, unlisted);
    let idle = "there is no channel of program Pipe to run it";
    is_said(&before, &with(&format!("{listed}{}", alias("|mlm"))), of_alias, idle);
    for target in ["|mlm", "|/path/to/mlm -x"] {
        let said = news(STANDALONE, &pipe(&with(&format!("{listed}{}", alias(target)))));
        assert_eq!(said, Vec::new(), "{target}");
    }
    let files = "native.files lists no folder that this file lies in";
    is_said(STANDALONE, &with(&alias("/var/mail/x")), of_alias, files);
    let option = |text: &str| edit(STANDALONE, "\"#*forward=**\",", &format!("{text:?},"));
    let answers = option("#*^!autoreply=$M+$D@bitbucket");
    assert_eq!(news(STANDALONE, &answers), Vec::new());
    let elsewhere = option("#*^!autoreply=$M+$D@process-daemon");
    let want = "answers where the template leads to a channel of program Bitbucket";
    is_said(STANDALONE, &elsewhere, "delivery_options[2]", want);
    let silent = option("#*^autoreply=$M+$D@bitbucket");
    is_said(STANDALONE, &silent, "delivery_options[2]", "without the flag ! nobody is answered");
}

#[test]
fn files_of_scripts_that_no_user_has_are_named() {
    let with = |text: &str, sieve: &str| {
        edit(text, "    admin: (", &format!("    sieve: ({sieve}),\n    admin: ("))
    };
    let files = "files: \"scripts/$U\"";
    assert_eq!(news(STANDALONE, &with(STANDALONE, files)), Vec::new());
    let nobody = with(STANDALONE, &format!("users: false, {files}"));
    is_said(STANDALONE, &nobody, "sieve.files", "no script of a user is carried out");
    let mistake = Config::parse("f", &with(STANDALONE, "files: \"scripts/x.sieve\"")).unwrap_err();
    assert!(mistake.to_string().contains("all users would have one file"), "{mistake}");
}

#[test]
fn tables_of_reversal_that_change_no_address_are_named() {
    let table = |template: &str| {
        let table = format!("mappings: {{\n \"Reverse\": [(\"*@*.a.example\", {template:?})],");
        edit(STANDALONE, "mappings: {", &table)
    };
    is_said(STANDALONE, &table("$0@a.example"), "mappings[\"Reverse\"]", "no entry says $Y");
    for template in ["$0@a.example$Y", "$0@a.example$D$y", "$|OTHER;$0|"] {
        let said = news(STANDALONE, &table(template));
        assert!(!said.iter().any(|(_, said)| said.contains("no entry says")), "{said:?}");
    }
    let database = |key: &str, more: &str| {
        let section =
            format!("reverse: (database: {{{key:?}: \"a@b.example\"}}{more}),\n admin: (");
        edit(STANDALONE, "admin: (", &section)
    };
    let want = "user@domain is asked for";
    is_said(STANDALONE, &database("root", ""), "reverse.database[\"root\"]", want);
    for text in [database("root@a.example", ""), database("tcp_local|l|root", ", channels: true")] {
        assert_eq!(news(STANDALONE, &text), Vec::new());
    }
}
