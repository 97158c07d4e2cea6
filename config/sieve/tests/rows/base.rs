//! RFC 5228: each test and each action, its examples among them.

use crate::case::{Case, MESSAGE, mistakes};

/// Whether a test holds for the message.
fn holds(requires: &str, test: &str) -> bool {
    let script = format!("{requires} if {test} {{ discard; }}");
    match Case::default().decide(&[&script]).as_str() {
        "discard" => true,
        "keep" => false,
        other => panic!("{test}: {other}"),
    }
}

#[test]
fn tests_of_the_base_hold_as_they_should() {
    for (test, wanted) in [
        ("true", true),
        ("false", false),
        ("not false", true),
        ("allof(true, false)", false),
        ("allof(true, true)", true),
        ("anyof(false, true)", true),
        ("anyof(false, not true)", false),
        ("header \"subject\" \"i HAVE a present for you\"", true),
        ("header :comparator \"i;octet\" \"subject\" \"i HAVE a present for you\"", false),
        ("header :is [\"x-none\", \"SUBJECT\"] [\"no\", \"I have a present for you\"]", true),
        ("header :contains \"subject\" \"present\"", true),
        ("header :contains \"x-caffeine\" \"\"", true),
        ("header :is \"x-caffeine\" \"\"", false),
        // RFC 5228 2.4.2.2: no mistake, and never true.
        ("header :contains \"subject:\" \"\"", false),
        ("header :contains \"x-none\" \"\"", false),
        ("header :matches \"subject\" \"I*present*you\"", true),
        ("header :matches \"subject\" \"i ???? a*\"", true),
        ("header :matches \"subject\" \"?\"", false),
        ("header :matches \"subject\" \"*\"", true),
        ("header :matches \"x-none\" \"*\"", false),
        ("header :matches \"subject\" \"\\\\*\"", false),
        ("exists [\"from\", \"Date\"]", true),
        ("exists [\"from\", \"x-none\"]", false),
        ("size :over 100", true),
        ("size :over 1K", false),
        ("size :under 1M", true),
        ("address :is :all \"from\" \"COYOTE@desert.example.org\"", true),
        ("address :domain \"from\" \"desert.example.org\"", true),
        ("address :localpart \"to\" [\"ken+sieve\"]", true),
        ("address \"to\" \"ken+sieve@example.org\"", true),
        ("address :contains \"to\" \"Keeper\"", false),
        ("header :contains \"to\" \"Keeper\"", true),
    ] {
        assert_eq!(holds("", test), wanted, "{test}");
    }
    for (test, wanted) in [
        ("envelope \"from\" \"coyote@desert.example.org\"", true),
        ("envelope :domain \"TO\" \"acme.example.com\"", true),
        ("envelope :user \"to\" \"roadrunner\"", true),
        ("envelope :detail \"to\" \"fast\"", true),
        ("envelope :detail \"from\" \"\"", false),
        ("address :detail \"to\" \"sieve\"", true),
        ("address :user \"to\" \"ken\"", true),
    ] {
        assert_eq!(holds("require [\"envelope\", \"subaddress\"];", test), wanted, "{test}");
    }
}

#[test]
fn size_at_the_limit_is_neither_over_nor_under() {
    let size = MESSAGE.len();
    let at = |tag: &str, limit: usize| holds("", &format!("size :{tag} {limit}"));
    assert!(!at("over", size) && !at("under", size));
    assert!(at("over", size - 1) && at("under", size + 1));
}

#[test]
fn actions_of_the_base_give_their_verdict() {
    for (script, wanted) in [
        ("", "keep"),
        ("keep;", "keep"),
        ("keep; keep;", "keep"),
        ("discard;", "discard"),
        ("discard; keep;", "keep"),
        ("keep; discard;", "keep"),
        ("stop; discard;", "keep"),
        ("redirect \"a@example.org\";", "redirect a@example.org"),
        ("redirect \"a@example.org\"; redirect \"a@EXAMPLE.org\";", "redirect a@example.org"),
        ("redirect \"a@example.org\"; keep;", "keep; redirect a@example.org"),
        ("require \"fileinto\"; fileinto \"Work\";", "file Work"),
        ("require \"fileinto\"; fileinto \"Work\"; fileinto \"Work\";", "file Work"),
        ("require \"fileinto\"; fileinto \"Inbox\";", "keep"),
        ("require [\"fileinto\", \"copy\"]; fileinto :copy \"Work\";", "keep; file Work"),
        ("require [\"copy\"]; redirect :copy \"a@example.org\";", "keep; redirect a@example.org"),
        ("if false { discard; } elsif true { keep; } else { discard; }", "keep"),
        ("if false { keep; } elsif false { keep; } else { discard; }", "discard"),
        ("if true { if true { stop; } } discard;", "keep"),
        ("require \"reject\"; reject \"no\";", "reject no"),
        ("require \"ereject\"; ereject text:\r\na\r\n..b\r\n.\r\n;", "ereject a\r\n.b"),
        ("require \"reject\"; discard; reject \"no\";", "reject no"),
        (
            "require \"reject\"; keep; reject \"no\";",
            "error: script 1, line 1: reject excludes keep",
        ),
        (
            "require [\"reject\", \"fileinto\"];\nreject \"no\";\nfileinto \"Work\";",
            "error: script 1, line 3: reject excludes fileinto",
        ),
        (
            "require \"reject\"; reject \"a\"; reject \"b\";",
            "error: script 1, line 1: reject excludes reject",
        ),
    ] {
        assert_eq!(Case::default().decide(&[script]), wanted, "{script}");
    }
}

#[test]
fn scripts_run_one_after_the_other_as_long_as_the_message_is_kept() {
    for (scripts, wanted) in [
        (&["", "discard;"] as &[&str], "discard"),
        (&["discard;", "keep;"], "discard"),
        (&["keep;", ""], "keep"),
        (&["require \"fileinto\"; fileinto \"Work\";", "keep;"], "file Work"),
        (&["stop;", "discard;"], "discard"),
        (&[], "keep"),
    ] {
        assert_eq!(Case::default().decide(scripts), wanted, "{scripts:?}");
    }
}

#[test]
fn every_mistake_is_told_at_its_place() {
    for (script, wanted) in [
        ("keep", "line 1, column 5: \";\" is expected here, not the end"),
        ("keep;\n  discrad;", "line 2, column 3: there is no command \"discrad\""),
        ("if flase { keep; }", "line 1, column 4: there is no test \"flase\""),
        ("fileinto \"a\";", "line 1, column 1: \"fileinto\" needs require \"fileinto\""),
        ("require \"teleport\";", "line 1, column 9: there is no extension \"teleport\""),
        (
            "keep; require \"copy\";",
            "line 1, column 7: \"require\" must stand before all other commands",
        ),
        ("else { keep; }", "line 1, column 1: \"else\" stands behind no \"if\""),
        ("redirect \"nobody\";", "line 1, column 10: \"nobody\" is no address with a domain"),
        ("redirect;", "line 1, column 1: redirect lacks an address"),
        ("keep \"x\";", "line 1, column 6: keep takes no further argument here"),
        ("keep { }", "line 1, column 1: keep takes no block here"),
        (
            "if size :over :under 2 { keep; }",
            "line 1, column 15: \":under\" stands beside another argument that excludes it",
        ),
        (
            "if header :is :contains \"a\" \"b\" { keep; }",
            "line 1, column 15: \":contains\" stands beside another argument that excludes it",
        ),
        (
            "if header :comparator \"i;none\" \"a\" \"b\" { keep; }",
            "line 1, column 23: \"i;none\" is no comparator",
        ),
        (
            "require \"editheader\"; addheader \"a:\" \"b\";",
            "line 1, column 33: \"a:\" is no name of a header field",
        ),
        ("keep; \"é", "line 1, column 7: the string has no end"),
        ("/* keep;", "line 1, column 1: the comment has no end"),
        ("keep; }", "line 1, column 7: a command is expected here, not \"}\""),
        (
            "foo; bar;\nbaz;",
            "line 1, column 1: there is no command \"foo\"\nline 1, column 6: there is no command \"bar\"\nline 2, column 1: there is no command \"baz\"",
        ),
        (
            "if size :over 99999999999999999999 { keep; }",
            "line 1, column 4: size lacks a number\nline 1, column 15: the number is too large",
        ),
    ] {
        assert_eq!(mistakes(script), wanted, "{script}");
    }
}
