//! Scripts that are made to be slow end at their bound.

use std::{fmt::Write, time::Duration};

use relais_sieve::{Bound, Limits, RunErrorKind};

use crate::case::{Case, mistakes};

/// A message with a field of 60,000 octets, and a body of 64 KiB.
fn large() -> String {
    let (long, body) = ("a".repeat(60_000), "a".repeat(65_536));
    format!("X-Long: {long}\r\nSubject: {}\r\n\r\n{body}\r\n", "a ".repeat(30_000))
}

/// Slow scripts, by their kind.
fn scripts() -> Vec<(&'static str, String)> {
    let header = |kind: &str, key: &str, times: usize| {
        let test = format!("if header :{kind} \"x-long\" \"{key}\" {{ stop; }}\n");
        format!("require \"regex\";\n{}", test.repeat(times))
    };
    let many = |one: &str| format!("[{}]", vec![one; 1_000].join(","));
    let mut flags = "require [\"variables\", \"imap4flags\"];\n".to_owned();
    for number in 0..2_000 {
        let _ = writeln!(flags, "addflag \"v\" \"flag{number}\";");
    }
    let expression = "set \"a\" \"(a|b){20}x\";\n".to_owned()
        + &"if string :regex \"aaaa\" \"${a}${a}${a}\" { stop; }\n".repeat(900);
    vec![
        ("tests in tests", format!("if {}true {{ stop; }}\n", "not ".repeat(31)).repeat(400)),
        (
            "lists",
            format!("if header :contains \"x-long\" {} {{ }}\n", many("\"aaaaaaaaaab\"")).repeat(3),
        ),
        ("names", format!("if not exists {} {{ keep; }}\n", many("\"x-long\"")).repeat(5)),
        ("stars", header("matches", &format!("{}b", "*a".repeat(500)), 50)),
        ("stars between", header("matches", &format!("*{}b*", "aaaaaaaaaaa?".repeat(50)), 50)),
        ("question marks", header("matches", &format!("*{}b*", "?".repeat(1_000)), 50)),
        ("alternatives", header("regex", "(a|a)*b", 100)),
        ("stars of stars", header("regex", "(a*)*(a*)*c", 100)),
        ("counts", header("regex", "(a?){30}a{30}z", 8)),
        ("sets", header("regex", "(.*)(.*)(.*)[^a]{1,50}x", 8)),
        ("long keys", header("contains", &format!("{}b", "a".repeat(1_000)), 60)),
        (
            "bodies",
            format!("require \"body\";\n{}", "if body :matches \"*a?c*\" { stop; }\n".repeat(100)),
        ),
        (
            "growing values",
            format!(
                "require \"variables\"; set \"a\" \"aaaaaaaa\";\n{}",
                "set \"a\" \"${a}${a}${a}\";\n".repeat(2_000)
            ),
        ),
        ("flags", flags),
        ("expressions of variables", format!("require [\"variables\", \"regex\"];\n{expression}")),
        (
            "edits",
            format!(
                "require \"editheader\";\n{}",
                "addheader \"a\" \"b\"; deleteheader \"a\";\n".repeat(1_000)
            ),
        ),
        (
            "dates",
            format!(
                "require \"date\";\n{}",
                "if date \"x-long\" \"year\" \"1\" { stop; }\n".repeat(1_000)
            ),
        ),
        ("addresses", "if address \"subject\" \"b\" { stop; }\n".repeat(1_500)),
    ]
}

#[test]
fn a_script_that_is_made_to_be_slow_ends_at_its_bound() {
    let large = large();
    // Cheap enough to come to their end.
    let harmless = ["tests in tests", "names", "stars", "dates"];
    for (kind, script) in scripts() {
        // Steps end it and not the clock, whichever machine runs it.
        let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
        let case = Case { message: &large, limits, ..Case::default() };
        let bound = match case.run(&[&script]).map_err(|error| error.kind) {
            Ok(_) => None,
            Err(RunErrorKind::Bound(bound)) => Some(bound),
            Err(other) => panic!("{kind}: {other}"),
        };
        let wanted = match kind {
            _ if harmless.contains(&kind) => None,
            "growing values" => Some(Bound::Memory),
            "edits" => Some(Bound::Actions),
            _ => Some(Bound::Steps),
        };
        assert_eq!(bound, wanted, "{kind}");
    }
}

#[test]
fn the_clock_ends_a_run_too() {
    let limits = Limits { time: Duration::ZERO, ..Limits::default() };
    let script = "if size :over 1 { }\n".repeat(1_000);
    let decided = Case { limits, ..Case::default() }.decide(&[&script]);
    assert!(decided.ends_with("it takes too long"), "{decided}");
}

#[test]
fn headers_that_are_made_of_fields_or_addresses_alone_are_bounded() {
    let addresses = format!("To: {}\r\n", "a@b,".repeat(1_000)).repeat(250);
    let script = "if address \"to\" \"c@d\" { discard; }";
    let on = |message: &str| Case { message, ..Case::default() }.decide(&[script]);
    assert!(on(&format!("{addresses}\r\n")).ends_with("too many steps"));
    let one = format!("To: {}c@d\r\n\r\n", "a@b,".repeat(900));
    assert_eq!(on(&one), "discard");
    let fields = "a:\r\n".repeat(4_096);
    assert_eq!(on(&format!("{fields}To: c@d\r\n\r\n")), "keep");
    assert_eq!(on(&format!("{}To: c@d\r\n\r\n", &fields[4..])), "discard");
}

#[test]
fn texts_that_begin_what_they_never_end_are_read_once() {
    let start = std::time::Instant::now();
    for text in
        ["=?a?b?x", "=?utf-8?q?a ", "(", "\"", "<", "a@b<", "=?a?q?a?=", "&", "<!--", "=?", "&#"]
    {
        let text = text.repeat(60_000 / text.len());
        let message = format!("Subject: {text}\r\nContent-Type: text/html\r\n\r\n{text}");
        let script = "require \"body\"; if anyof(header \"subject\" \"x\", address \"subject\" \"x\",\n\
            body :text :contains \"none\") { discard; }";
        assert_eq!(Case { message: &message, ..Case::default() }.decide(&[script]), "keep");
    }
    for text in ["${", "${hex:", "${hex:4", "${a", "${a.b", "/*", "[", "\\", ":", "text:"] {
        let text = text.repeat(60_000 / text.len());
        let script = "require [\"variables\", \"encoded-character\"]; set \"a\" ";
        let _ = mistakes(&format!("{script}\"{text}\";"));
        let _ = mistakes(&format!("{script}{text};"));
    }
    // Each takes milliseconds here; read again and again it would take minutes.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn redirects_scripts_nesting_and_lists_are_bounded() {
    let redirects = (0..5).map(|number| format!("redirect \"a{number}@example.org\";"));
    let redirects = redirects.collect::<Vec<_>>().concat();
    assert!(Case::default().decide(&[&redirects]).ends_with("it redirects too many copies"));
    for (script, wanted) in [
        ("#".repeat(70_000), "line 1, column 1: the script has more than 65536 octets"),
        (format!("if {}true {{ }}", "not ".repeat(40)), "more than 32 levels of nesting"),
        ("if true { ".repeat(40), "more than 32 levels of nesting"),
        ("if anyof(".repeat(60_000 / 9), "more than 32 levels of nesting"),
        (
            format!("require [{}\"a\"];", "\"a\",".repeat(1_024)),
            "the list has more than 1024 strings",
        ),
        ("}".repeat(60_000), "a command is expected here"),
        ("[".repeat(60_000), "a command is expected here"),
        ("/* ".repeat(20_000), "the comment has no end"),
    ] {
        let told = mistakes(&script);
        assert!(told.contains(wanted), "{told}");
        assert!(told.lines().count() <= 100, "{}", told.lines().count());
    }
}
