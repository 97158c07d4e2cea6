//! The extensions, RFC by RFC.

use relais_sieve::{Limits, Script};

use crate::case::{Case, mistakes};

const REQUIRE: &str = r#"require ["body", "comparator-i;ascii-numeric", "copy", "date", "duplicate",
"editheader", "encoded-character", "envelope", "environment", "ereject", "fileinto", "ihave",
"imap4flags", "index", "mailbox", "regex", "reject", "relational", "subaddress", "vacation",
"vacation-seconds", "variables"]; "#;

fn decide(script: &str) -> String {
    Case::default().decide(&[&format!("{REQUIRE}{script}")])
}

/// Each script files into folders by what it found.
fn rows(rows: &[(&str, &str)]) {
    for (script, wanted) in rows {
        assert_eq!(decide(script), *wanted, "{script}");
    }
}

#[test]
fn variables_as_in_rfc_5229() {
    rows(&[
        (r#"set "company" "ACME"; fileinto "${COMPANY}/x";"#, "file ACME/x"),
        (r#"fileinto "&%${}!";"#, "file &%${}!"),
        (r#"set "company" "ACME"; fileinto "${doh!}";"#, "file ${doh!}"),
        (r#"set "company" "ACME"; fileinto "${${company}";"#, "file ${ACME"),
        (r#"set "company" "ACME"; fileinto "${${${company}}}";"#, "file ${${ACME}}"),
        (r#"set "company" "ACME"; fileinto "a\${company}";"#, "file aACME"),
        (r#"fileinto "a${none}b${0}${20}";"#, "file ab"),
        (r#"fileinto "${0.s}";"#, "file ${0.s}"),
        (r#"set "a" "juMBlEd lETteRS"; fileinto "${a}";"#, "file juMBlEd lETteRS"),
        (r#"set :length "b" "juMBlEd lETteRS"; fileinto "${b}";"#, "file 15"),
        (r#"set :lower "b" "juMBlEd lETteRS"; fileinto "${b}";"#, "file jumbled letters"),
        (r#"set :upperfirst "b" "juMBlEd lETteRS"; fileinto "${b}";"#, "file JuMBlEd lETteRS"),
        (
            r#"set :upperfirst :lower "b" "juMBlEd lETteRS"; fileinto "${b}";"#,
            "file Jumbled letters",
        ),
        (r#"set :quotewildcard "b" "Rock*a?b\\"; fileinto "${b}";"#, r"file Rock\*a\?b\\"),
        (r#"set :quoteregex "b" "a.b"; fileinto "${b}";"#, r"file a\.b"),
        (
            r#"if header :matches "List-ID" "*<*@*" { fileinto "a${2}"; } else { fileinto "b${2}"; }"#,
            "file b",
        ),
        (
            r#"if header :matches "subject" "* have * for *" { fileinto "${1}-${2}-${3}"; }"#,
            "file I-a present-you",
        ),
        // Each star takes as little as it can.
        (r#"if string :matches "abcbd" "*b*" { fileinto "${1}-${2}"; }"#, "file a-cbd"),
        (r#"if string :matches "foo" "?*" { fileinto "${1}-${2}"; }"#, "file f-oo"),
        (
            r#"if string :matches "aXbXc" "*X?*c" { fileinto "${0}-${1}-${2}-${3}"; }"#,
            "file aXbXc-a-b-X",
        ),
        // A test that fails leaves what was there.
        (
            r#"if string :matches "a-b" "*-*" { if string :matches "x" "y*" { stop; } } fileinto "${2}";"#,
            "file b",
        ),
        (
            r#"set "a" "regarding ${a}"; set "a" "${a}${a}"; fileinto "${a}";"#,
            "file regarding regarding ",
        ),
        (r#"if string :is "${none}" "" { fileinto "yes"; }"#, "file yes"),
        (r#"if string :count "eq" ["", "a", "b"] "2" { fileinto "yes"; }"#, "file yes"),
        (r#"if address :matches :localpart "to" "*+*" { fileinto "${2}"; }"#, "file sieve"),
    ]);
    for (script, wanted) in [
        (
            r#"require "variables"; set "1" "a";"#,
            "line 1, column 26: \"1\" is no name of a variable",
        ),
        (r#"require "variables"; set "a" "${b.c}";"#, "line 1, column 30: \"b.c\" is no variable"),
        (
            r#"require "variables"; set :lower :upper "a" "b";"#,
            "line 1, column 33: \":upper\" stands beside another argument that excludes it",
        ),
        (r#"set "a" "b";"#, "line 1, column 1: \"set\" needs require \"variables\""),
    ] {
        assert_eq!(mistakes(script), wanted, "{script}");
    }
    let long = format!(
        "set \"a\" \"{}\"; set :length \"b\" \"${{a}}\"; fileinto \"${{b}}\";",
        "x".repeat(5_000)
    );
    assert_eq!(decide(&long), "file 4096");
}

#[test]
fn encoded_characters_as_in_rfc_5228() {
    rows(&[
        (r#"fileinto "$${hex:40}";"#, "file $@"),
        (r#"fileinto "${hex: 40 }";"#, "file @"),
        (r#"fileinto "${HEX: 40}";"#, "file @"),
        (r#"fileinto "${hex:40";"#, "file ${hex:40"),
        (r#"fileinto "${hex:400}";"#, "file ${hex:400}"),
        (r#"fileinto "${hex:4${hex:30}}";"#, "file ${hex:40}"),
        (r#"fileinto "${unicode:40}";"#, "file @"),
        (r#"fileinto "${ unicode:40}";"#, "file ${ unicode:40}"),
        (r#"fileinto "${UNICODE:40}";"#, "file @"),
        (r#"fileinto "${UnICoDE:0000040}";"#, "file @"),
        (r#"fileinto "${Unicode:Cool}";"#, "file ${Unicode:Cool}"),
        (r#"fileinto "${hex:24 24}";"#, "file $$"),
        (r#"fileinto "${unicode:fc}";"#, "file ü"),
    ]);
    for value in ["${unicode:200000}", "${unicode:DF01}", "${hex:ff}"] {
        let script = format!("require \"encoded-character\"; redirect \"{value}\";");
        assert!(mistakes(&script).contains("is no character"), "{value}");
    }
    assert_eq!(
        Case::default().decide(&[r#"require "fileinto"; fileinto "${hex:40}";"#]),
        "file ${hex:40}"
    );
}

#[test]
fn flags_as_in_rfc_5232() {
    rows(&[
        (r#"keep :flags ["\\Seen", "\\Deleted"];"#, r"keep \Seen \Deleted"),
        (r#"fileinto :flags "\\Deleted" "Work";"#, r"file Work \Deleted"),
        (r#"setflag "\\Deleted"; fileinto "Work";"#, r"file Work \Deleted"),
        (
            r#"setflag "flagvar" ["\\Flagged", "MyFlag"]; keep :flags "${flagvar}";"#,
            r"keep \Flagged MyFlag",
        ),
        (r#"addflag ["\\Seen", "a"]; addflag "\\SEEN b"; keep;"#, r"keep \Seen a b"),
        (r#"setflag ["a", "b", "c"]; removeflag ["b", "x"]; keep;"#, "keep a c"),
        (r#"setflag "a"; keep :flags "";"#, "keep"),
        (r#"setflag "\\Seen";"#, r"keep \Seen"),
        (r#"setflag "A B"; if hasflag :is "b A" { fileinto "yes"; }"#, "file yes A B"),
        (r#"setflag "A B"; if hasflag "b" { fileinto :flags "" "yes"; }"#, "file yes"),
        (
            r#"set "f" "A B A"; if hasflag :count "eq" :comparator "i;ascii-numeric" "f" "2" { fileinto "yes"; }"#,
            "file yes",
        ),
        (r#"setflag "f" "A"; addflag "f" "B A"; removeflag "f" "a"; fileinto "${f}";"#, "file B"),
        (r#"if hasflag :contains ["a"] "" { fileinto "yes"; }"#, "keep"),
        // No flag that IMAP could not name.
        (r#"keep :flags ["a(b", "ok", "\\", "\"q\""];"#, "keep ok"),
    ]);
    assert_eq!(
        mistakes(r#"require "imap4flags"; setflag "v" "a";"#),
        "line 1, column 23: a named variable needs require \"variables\"",
    );
}

#[test]
fn relations_as_in_rfc_5231() {
    rows(&[
        (r#"if header :count "eq" :comparator "i;ascii-numeric" "to" "1" { discard; }"#, "discard"),
        (
            r#"if address :count "ge" :comparator "i;ascii-numeric" "to" "2" { discard; }"#,
            "discard",
        ),
        (
            r#"if address :count "gt" :comparator "i;ascii-numeric" ["to", "cc"] "2" { discard; }"#,
            "keep",
        ),
        (r#"if string :value "lt" :comparator "i;ascii-numeric" "9" "10" { discard; }"#, "discard"),
        (r#"if string :value "lt" "9" "10" { discard; }"#, "keep"),
        (r#"if string :value "gt" :comparator "i;ascii-numeric" "a" "10" { discard; }"#, "discard"),
        (r#"if string :value "ne" "a" "A" { discard; }"#, "keep"),
        (r#"if string :value "ne" :comparator "i;octet" "a" "A" { discard; }"#, "discard"),
        (
            r#"if string :value "eq" :comparator "i;ascii-numeric" "007x" "7" { discard; }"#,
            "discard",
        ),
        (r#"if string :is :comparator "i;ascii-numeric" "x" "y" { discard; }"#, "discard"),
        (r#"if header :value "le" "subject" "j" { discard; }"#, "discard"),
    ]);
    for (script, wanted) in [
        (
            r#"require "relational"; if header :value "xx" "a" "b" { }"#,
            "line 1, column 40: \"xx\" is no relation",
        ),
        (
            r#"require "comparator-i;ascii-numeric"; if header :contains :comparator "i;ascii-numeric" "a" "b" { }"#,
            "line 1, column 71: the comparator i;ascii-numeric cannot compare with \":contains\"",
        ),
        (
            r#"if header :count "eq" "a" "1" { }"#,
            "line 1, column 11: \":count\" needs require \"relational\"",
        ),
    ] {
        assert_eq!(mistakes(script), wanted, "{script}");
    }
}

#[test]
fn regular_expressions_as_in_their_draft() {
    rows(&[
        (r#"if header :regex "subject" "^i have .* (for|to) you$" { discard; }"#, "discard"),
        (r#"if header :regex :comparator "i;octet" "subject" "^i have" { discard; }"#, "keep"),
        (r#"if not string :regex "a<b>c" "^a<b>c$" { discard; }"#, "keep"),
        (
            r#"if header :regex "subject" "(a) (pres[a-z]+)" { fileinto "${1}-${2}-${0}"; }"#,
            "file a-present-a present",
        ),
        (r#"if header :regex "x-caffeine" "^c[0-9]{1,2}h1?0[[:alpha:]]4" { discard; }"#, "discard"),
        (r#"if string :regex "a]b\\c" "^a[]x]b[\\]c$" { discard; }"#, "discard"),
        (r#"if string :regex "a-b" "^a[^-]b$" { discard; }"#, "keep"),
        (r#"if string :regex "a&&b" "^a[&-]*b$" { discard; }"#, "discard"),
        (r#"if string :regex "foo bar" "\\<bar\\>" { discard; }"#, "discard"),
        (r#"if string :regex "Zürich" "^z[üö]rich$" { discard; }"#, "discard"),
        (r#"if string :regex "üü" "^ü{2}$" { discard; }"#, "discard"),
        (r#"set "x" "a.c"; if string :regex "abc" "^${x}$" { discard; }"#, "discard"),
        (
            r#"set "x" "("; if string :regex "abc" "${x}" { discard; }"#,
            "error: script 1, line 4: no regular expression: unclosed group",
        ),
        (
            r#"if header :regex "to" "(.*>[ \\t]*,?[ \\t]*)?([^-@]*)-([^-@]*)(-bounces)?@ant.example.com" { discard; }"#,
            "keep",
        ),
    ]);
    for (expression, wanted) in [
        ("(a", "unclosed group"),
        ("a)", "unopened group"),
        ("*a", "nothing stands before '*'"),
        ("a**", "a repetition is repeated"),
        ("a{2", "a count between braces is no number"),
        ("[a", "a set between brackets has no end"),
        (r"(a)\\1", "\\1: back-references are not there"),
        (r"\\d", "\\d is not there"),
        ("[z-a]", "the range z-a is empty"),
        ("[[.a.]]", "collating elements are not there"),
        ("((a{100}){100}){100}", "it is too large"),
    ] {
        let script = format!("require \"regex\"; if header :regex \"a\" \"{expression}\" {{ }}");
        let wanted = format!("line 1, column 39: no regular expression: {wanted}");
        assert_eq!(mistakes(&script), wanted, "{expression}");
    }
}

#[test]
fn dates_and_indexes_as_in_rfc_5260() {
    rows(&[
        (r#"if date :is "date" "hour" "17" { discard; }"#, "keep"),
        (r#"if date :originalzone :is "date" "hour" "09" { discard; }"#, "discard"),
        (r#"if date :zone "+0000" :is "date" "hour" "17" { discard; }"#, "discard"),
        // The zone of the user is +0100.
        (r#"if date :is "date" "hour" "18" { discard; }"#, "discard"),
        (r#"if date :value "ge" :originalzone "date" "hour" "09" { discard; }"#, "discard"),
        (
            r#"if date :originalzone "received" "std11" "Tue, 01 Apr 1997 09:06:31 -0800" { discard; }"#,
            "discard",
        ),
        (
            r#"if date :originalzone "date" "iso8601" "1997-04-01T09:06:31-08:00" { discard; }"#,
            "discard",
        ),
        (
            r#"if date :zone "+0000" "date" "iso8601" "1997-04-01T17:06:31Z" { discard; }"#,
            "discard",
        ),
        (r#"if date :originalzone "date" "julian" "50539" { discard; }"#, "discard"),
        (r#"if date :originalzone "date" "zone" "-0800" { discard; }"#, "discard"),
        (r#"if date :originalzone "date" "weekday" "2" { discard; }"#, "discard"),
        (
            r#"if date :originalzone :matches "date" "date" "*-*-*" { fileinto "${1}.${2}.${3}"; }"#,
            "file 1997.04.01",
        ),
        (r#"if date :originalzone "date" "time" "09:06:31" { discard; }"#, "discard"),
        (r#"if date :contains "subject" "year" "" { discard; }"#, "keep"),
        (r#"if currentdate :value "ge" "date" "2007-06-30" { discard; }"#, "discard"),
        (
            r#"if allof(currentdate "year" "2026", currentdate "month" "11", currentdate "day" "30",
            currentdate "hour" "15", currentdate "minute" "04", currentdate "second" "05") { discard; }"#,
            "discard",
        ),
        (r#"if currentdate :zone "-0330" "time" "10:34:05" { discard; }"#, "discard"),
        (
            r#"set "z" "east"; if currentdate :zone "${z}" "hour" "1" { }"#,
            "error: script 1, line 4: \"east\" is no zone",
        ),
        (
            r#"if header :index 1 ["x-caffeine", "subject"] "I have a present for you" { discard; }"#,
            "keep",
        ),
        (
            r#"if header :index 2 ["x-caffeine", "subject"] "I have a present for you" { discard; }"#,
            "discard",
        ),
        (
            r#"if header :index 1 :last ["subject", "x-caffeine"] "C8H10N4O2" { discard; }"#,
            "discard",
        ),
        (r#"if header :index 1 :contains "received" "from a" { discard; }"#, "discard"),
        (r#"if header :index 2 :contains "received" "" { discard; }"#, "keep"),
        (r#"if header :index 1 :last :contains "received" "" { discard; }"#, "discard"),
    ]);
    for (script, wanted) in [
        (
            r#"require "date"; if currentdate "weak" "1" { }"#,
            "line 1, column 32: \"weak\" is no part of a date",
        ),
        (
            r#"require "index"; if header :last "a" "b" { }"#,
            "line 1, column 28: \":last\" lacks \":index\"",
        ),
        (
            r#"require "index"; if header :index 0 "a" "b" { }"#,
            "line 1, column 28: \"0\" is no index",
        ),
    ] {
        assert_eq!(mistakes(script), wanted, "{script}");
    }
}

#[test]
fn header_edits_as_in_rfc_5293() {
    rows(
        &[
            (r#"addheader "X-A" "b"; if header "x-a" "b" { discard; }"#, "add X-A: b; discard"),
            (r#"addheader :last "X-A" "b"; keep;"#, "last add X-A: b; keep"),
            (
                r#"deleteheader "x-caffeine"; if not exists "X-Caffeine" { discard; }"#,
                "delete x-caffeine 1; discard",
            ),
            (
                r#"addheader "A" "1"; addheader "A" "2"; deleteheader "a"; keep;"#,
                "add A: 1; add A: 2; delete a 2; delete a 1; keep",
            ),
            (
                r#"addheader "A" "1"; addheader "A" "2"; deleteheader :index 1 "a"; if header "a" "1" { keep; }"#,
                "add A: 1; add A: 2; delete a 1; keep",
            ),
            (
                r#"addheader "A" "1"; addheader "A" "2"; deleteheader :index 1 :last :contains "a" "1"; keep;"#,
                "add A: 1; add A: 2; delete a 2; keep",
            ),
            (
                r#"deleteheader :matches "subject" ["no*", "*present*"]; keep;"#,
                "delete subject 1; keep",
            ),
            (r#"deleteheader "Received"; deleteheader "auto-submitted"; keep;"#, "keep"),
            ("addheader \"A\" \"b\r\nEvil: c\"; keep;", "add A: b Evil: c; keep"),
            (
                r#"set "n" "a b"; addheader "${n}" "c";"#,
                "error: script 1, line 4: \"a b\" is no name of a header field",
            ),
            (
                r#"if size :over 300 { keep; } addheader "A" "0123456789012345678901234567890123456789"; if size :over 390 { discard; }"#,
                "add A: 0123456789012345678901234567890123456789; keep",
            ),
        ][1..],
    );
    let verdict = Case::default()
        .run(&[r#"require ["editheader", "fileinto"]; fileinto "a"; addheader "X" "y"; keep;"#])
        .unwrap();
    assert_eq!((verdict.files[0].edits, verdict.keep.unwrap().edits), (0, 1));
}

#[test]
fn bodies_as_in_rfc_5173() {
    rows(&[
        (r#"if body :raw :contains "anvil" { discard; }"#, "discard"),
        (r#"if body :text :contains "ANVIL" { discard; }"#, "discard"),
        (r#"if body :content "text" :contains ["missile", "anvil"] { discard; }"#, "discard"),
        (r#"if body :content "text/html" :contains "anvil" { discard; }"#, "keep"),
        (r#"if body :content "" :contains "anvil" { discard; }"#, "discard"),
        // No match variables from a body.
        (r#"if body :raw :matches "*I'm*" { fileinto "x${1}"; }"#, "file x"),
    ]);
}

#[test]
fn environments_duplicates_folders_and_what_may_not_be_there() {
    rows(&[
        (r#"if environment "domain" "EXAMPLE.org" { discard; }"#, "discard"),
        (r#"if environment :matches "remote-ip" "192.0.2.*" { fileinto "${1}"; }"#, "file 1"),
        (r#"if environment :contains "nonsense" "" { discard; }"#, "keep"),
        (r#"if environment :count "eq" "nonsense" "0" { discard; }"#, "keep"),
        (r#"if mailboxexists "Work" { fileinto "Work"; }"#, "file Work"),
        (r#"if mailboxexists ["INBOX", "None"] { discard; }"#, "keep"),
        (r#"fileinto :create "None";"#, "file None create"),
        (r"if duplicate { discard; }", "keep"),
    ]);
    let seen = Case { seen: &["<42@desert.example.org>", "v"], ..Case::default() };
    for (test, wanted) in [
        ("duplicate", "discard"),
        ("duplicate :header \"message-id\"", "discard"),
        ("duplicate :header \"x-none\"", "keep"),
        ("duplicate :uniqueid \"v\" :handle \"h\" :seconds 60 :last", "discard"),
        ("duplicate :uniqueid \"w\"", "keep"),
    ] {
        let script = format!("require \"duplicate\"; if {test} {{ discard; }}");
        assert_eq!(seen.decide(&[&script]), wanted, "{test}");
    }
    let verdict =
        seen.run(&[r#"require "duplicate"; if duplicate :uniqueid "w" :seconds 9 { }"#]).unwrap();
    assert_eq!((verdict.duplicates[0].id.as_str(), verdict.duplicates[0].seconds), ("w", Some(9)));
    for (script, wanted) in [
        (r#"require "ihave"; if ihave "fileinto" { fileinto "a"; }"#, "file a"),
        (
            r#"require "ihave"; if ihave "teleport" { teleport "a" :far; } else { discard; }"#,
            "discard",
        ),
        (
            r#"require "ihave"; if not ihave ["copy", "teleport"] { error "no"; }"#,
            "error: script 1, line 1: the script says: no",
        ),
        (
            "require \"ihave\"; if not ihave \"teleport\" {\nteleport; }",
            "error: script 1, line 2: \"teleport\" or an argument of it is not there",
        ),
        (r#"require "ihave"; if ihave "variables" { discard; }"#, "keep"),
    ] {
        assert_eq!(Case::default().decide(&[script]), wanted, "{script}");
    }
    assert_eq!(
        mistakes(r#"require "ihave"; if ihave "copy" { teleport; }"#),
        "line 1, column 36: there is no command \"teleport\"",
    );
}

#[test]
fn vacations_as_in_rfc_5230() {
    let week = "604800s";
    rows(&[
        (
            r#"vacation "gone";"#,
            &format!("keep; vacation \"Auto: I have a present for you\" {week} \"gone\""),
        ),
        (
            r#"vacation :days 23 :subject "away" :from "Me <me@example.org>" "gone";"#,
            "keep; vacation \"away\" 1987200s from me@example.org \"gone\"",
        ),
        (r#"vacation :seconds 60 :subject "a" "gone";"#, "keep; vacation \"a\" 60s \"gone\""),
        (
            r#"vacation :days 0 :subject "a" "gone"; discard;"#,
            "vacation \"a\" 86400s \"gone\"; discard",
        ),
        (r#"vacation "a"; vacation "b";"#, "error: script 1, line 4: vacation excludes vacation"),
        (r#"vacation "a"; reject "b";"#, "error: script 1, line 4: reject excludes vacation"),
        (
            "vacation :subject \"a\r\nBcc: x@example.org\" \"b\";",
            &format!("keep; vacation \"a Bcc: x@example.org\" {week} \"b\""),
        ),
    ]);
    // The script of a system, and a user's: one reply, and none to what is refused.
    let first = "require \"vacation\"; vacation :subject \"s\" \"one\";";
    let one = format!("keep; vacation \"s\" {week} \"one\"");
    for (second, wanted) in [
        ("require \"vacation\"; vacation \"two\";", &*one),
        ("require \"reject\"; reject \"no\";", "reject no"),
        ("require \"vacation\"; vacation \"two\"; vacation \"three\";", &one),
    ] {
        assert_eq!(Case::default().decide(&[first, second]), wanted, "{second}");
    }
    let replies = |message: &str, from: &str, script: &str| {
        Case { message, from, ..Case::default() }.run(&[script]).unwrap().vacation.is_some()
    };
    let plain = r#"require "vacation"; vacation "gone";"#;
    let known = r#"require "vacation"; vacation :addresses ["me@example.org"] "gone";"#;
    for (header, from, script, wanted) in [
        ("To: roadrunner@acme.example.com\r\n", "a@example.org", plain, true),
        ("To: roadrunner@acme.example.com\r\n", "", plain, false),
        ("To: roadrunner@acme.example.com\r\n", "roadrunner@acme.example.com", plain, false),
        ("To: roadrunner@acme.example.com\r\n", "owner-list@example.org", plain, false),
        ("To: roadrunner@acme.example.com\r\n", "list-request@example.org", plain, false),
        ("To: roadrunner@acme.example.com\r\n", "MAILER-DAEMON@example.org", plain, false),
        ("To: me@example.org\r\n", "a@example.org", plain, false),
        ("To: me@example.org\r\n", "a@example.org", known, true),
        ("Resent-Cc: Me <ME@example.org>\r\n", "a@example.org", known, true),
        ("To: me@example.org\r\nList-Id: <l>\r\n", "a@example.org", known, false),
        ("To: me@example.org\r\nAuto-Submitted: auto-replied\r\n", "a@example.org", known, false),
        ("To: me@example.org\r\nAuto-Submitted: no\r\n", "a@example.org", known, true),
        ("To: me@example.org\r\nPrecedence: bulk\r\n", "a@example.org", known, false),
    ] {
        assert_eq!(replies(&format!("{header}\r\n"), from, script), wanted, "{header} {from}");
    }
    let handle = |script: &str| {
        let script = format!("require \"vacation\"; vacation {script};");
        Case::default().run(&[&script]).unwrap().vacation.unwrap().handle
    };
    assert_eq!(handle("text:\ngone\n.\n"), handle("\"gone\r\n\""));
    assert_ne!(handle(r#""gone""#), handle(r#":subject "x" "gone""#));
    assert_eq!(handle(r#":handle "h" "gone""#), "h");
}

#[test]
fn scripts_that_set_flags_and_nothing_else_are_known() {
    let rows = [
        ("addflag \"\\\\Seen\";", true),
        ("if header :is \"x\" \"y\" { keep :flags \"a\"; stop; }", true),
        ("if true { discard; } else { setflag \"a\"; }", false),
        ("fileinto :flags \"a\" \"Work\";", false),
        ("set \"a\" \"b\"; keep;", false),
        ("", false),
    ];
    for (script, wanted) in rows {
        let script = format!("require [\"fileinto\", \"imap4flags\", \"variables\"]; {script}");
        let compiled = Script::compile(script.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(compiled.only_sets_flags(), wanted, "{script}");
    }
}

#[test]
fn the_detail_begins_behind_the_whole_delimiter() {
    let parts = r#"require ["envelope", "subaddress", "variables", "fileinto"];
        set "u" "-"; set "d" "-";
        if envelope :user :matches "to" "*" { set "u" "${1}"; }
        if envelope :detail :matches "to" "*" { set "d" "${1}"; }
        fileinto "${u}|${d}";"#;
    // the delimiter, the recipient, user and detail
    let rows = [
        ("+", "ann+a+b@example.org", "ann|a+b"),
        ("--", "ann-lee--work@example.org", "ann-lee|work"),
        ("--", "ann-lee@example.org", "ann-lee|-"),
        ("+", "ann+@example.org", "ann|"),
        ("", "ann+work@example.org", "ann+work|-"),
    ];
    for (delimiter, to, want) in rows {
        let decided = Case { to, delimiter, ..Case::default() }.decide(&[parts]);
        assert_eq!(decided, format!("file {want}"), "{delimiter} {to}");
    }
}
