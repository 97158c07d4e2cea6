//! Scripts and messages that nobody meant well: no panic, and an end at a bound.

use proptest::prelude::*;
use relais_sieve::{Limits, Script};

use crate::case::{Case, MESSAGE};

/// Everything that the language has, for messages of any kind.
const ALL: &str = r#"require ["body", "copy", "date", "duplicate", "editheader", "encoded-character",
    "envelope", "environment", "fileinto", "imap4flags", "index", "mailbox", "regex", "relational",
    "subaddress", "vacation", "variables", "comparator-i;ascii-numeric"];
if header :matches ["subject", "from", "to", "x"] "*?a*" { set "a" "${0}${1}${2}"; }
if header :regex ["subject", "from"] "(a|b)*c?[[:alpha:]]+" { set :upperfirst :length "b" "${1}"; }
if address :detail :contains ["from", "to", "cc"] "" { addflag ["${a}", "\\Seen"]; }
if address :domain :matches ["from", "to", "cc"] "*.*" { addheader "X-Domain" "${2}"; }
if envelope :user :matches "from" "*" { set :quotewildcard "c" "${a}"; }
if date :originalzone :value "ge" "date" "julian" "1" { deleteheader :index 1 "received"; }
if date :index 1 :last :zone "+0100" "received" "std11" "x" { deleteheader :contains "x" "${c}"; }
if body :text :contains "anvil" { set "d" "x"; }
if body :content ["text", "multipart", ""] :matches "*b*" { set "d" "y"; }
if body :raw :regex "a.b" { set "d" "z"; }
if header :count "gt" :comparator "i;ascii-numeric" "to" "${d}" { keep; }
if duplicate :header "message-id" { discard; }
vacation :addresses ["roadrunner@acme.example.com"] :subject "${a}" "away";
if exists "x" { fileinto :create :copy "Work"; }
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_compiler_panic(text in ".{0,200}") {
        let _ = Script::compile(text.as_bytes(), &Limits::default());
    }

    #[test]
    fn no_words_of_the_language_make_the_compiler_or_a_run_panic(
        words in proptest::collection::vec(0..WORDS.len(), 0..40),
    ) {
        let text: String = words.iter().flat_map(|word| [WORDS[*word], " "]).collect();
        let text = format!("require [\"variables\", \"fileinto\", \"ihave\", \"regex\"]; {text}");
        if Script::compile(text.as_bytes(), &Limits::default()).is_ok() {
            let _ = Case::default().run(&[&text]);
        }
    }

    #[test]
    fn no_message_makes_a_run_panic(message in "(.|\r\n|=\\?|[<>@,:;\"()]){0,300}", start in 0..4_usize) {
        let start = ["", "Subject: ", "From: a", "To: =?utf-8?q?"][start];
        let message = format!("{start}{message}");
        let _ = Case { message: &message, ..Case::default() }.run(&[ALL]);
    }

    #[test]
    fn no_encoded_word_makes_a_run_panic(
        charset in 0..CHARSETS.len(),
        words in proptest::collection::vec("[ -~]{0,40}", 1..4),
        is_base64 in any::<bool>(),
    ) {
        let (charset, encoding) = (CHARSETS[charset], if is_base64 { "b" } else { "q" });
        let words = words.iter().map(|word| format!("=?{charset}?{encoding}?{word}?= "));
        let words = words.collect::<Vec<_>>().concat();
        let kind = format!("Content-Type: text/html; charset={charset}");
        let message = format!("Subject: {words}\r\nFrom: {words}\r\n{kind}\r\n\r\n{words}");
        let _ = Case { message: &message, ..Case::default() }.run(&[ALL]);
    }

    #[test]
    fn no_octet_changed_in_a_message_makes_a_run_panic(at in 0..MESSAGE.len(), to in any::<char>()) {
        let mut message: Vec<char> = MESSAGE.chars().collect();
        message[at] = to;
        let message: String = message.into_iter().collect();
        let _ = Case { message: &message, ..Case::default() }.run(&[ALL]);
    }
}

const WORDS: &[&str] = &[
    "if",
    "elsif",
    "else",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "true",
    "not",
    "anyof",
    "allof",
    "header",
    "address",
    "exists",
    "size",
    ":over",
    ":is",
    ":matches",
    ":regex",
    ":contains",
    "\"from\"",
    "\"*\"",
    "\"${a}\"",
    "\"${1}\"",
    "set",
    "\"a\"",
    "fileinto",
    "keep",
    "discard",
    "stop",
    "1K",
    "text:",
    "\r\n.\r\n",
    "ihave",
    "redirect",
    "\"a@b.example\"",
    "/*",
    "*/",
    "#",
    "\"",
];

const CHARSETS: &[&str] = &[
    "utf-8",
    "utf-7",
    "utf-16",
    "utf-16le",
    "iso-8859-1",
    "iso-2022-jp",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-kr",
    "koi8-r",
    "windows-1252",
    "imap-utf-7",
    "none",
    "",
];
