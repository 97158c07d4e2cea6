//! `relais sieve`: scripts checked, and tried on a message. No engine runs.

use std::{fs, path::Path};

use relais_tests::{Instance, Settings};
use serde_json::Value;

/// Exit status, and what it says.
fn sieve(instance: &Instance, arguments: &[&str]) -> (i32, String) {
    let output = instance.relais("sieve", arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it exits"), String::from_utf8_lossy(&said).into_owned())
}

fn file(instance: &Instance, name: &str, text: &str) -> String {
    let path = instance.path(name);
    fs::write(&path, text).expect("room");
    path.display().to_string()
}

#[test]
fn every_mistake_of_a_script_is_told_at_its_place() {
    let instance = Instance::new(Settings::standalone());
    let good = file(&instance, "good.sieve", "keep;\n");
    let bad = "require \"no-such-thing\";\nif header :contians \"subject\" \"x\" {\n    fileinto \"A\";\n}\n";
    let bad = file(&instance, "bad.sieve", bad);
    assert_eq!(sieve(&instance, &["check", &good]), (0, format!("{good}: 0 mistakes\n")));
    let (status, said) = sieve(&instance, &["check", &good, &bad]);
    assert_eq!(status, 1, "{said}");
    for (line, column, words) in
        [(1, 9, "there is no extension"), (2, 11, "has no argument"), (3, 5, "fileinto")]
    {
        let place = format!("{bad}:{line}:{column}: ");
        let told = said.lines().find(|told| told.starts_with(&place));
        assert!(told.is_some_and(|told| told.contains(words)), "{place}{words}: {said}");
    }
    // The line itself, and a mark below the place.
    let mark = " 2 | if header :contians \"subject\" \"x\" {\n   |           ^\n";
    assert!(said.contains(mark), "{said}");
    assert!(said.ends_with(&format!("{bad}: 3 mistakes\n")), "{said}");

    let (status, said) = sieve(&instance, &["check", "--json", &bad, &good]);
    let told: Vec<Value> = serde_json::from_str(&said).expect("a list");
    assert_eq!((status, told.len()), (1, 3), "{said}");
    assert_eq!((&told[1]["line"], &told[1]["column"]), (&2.into(), &11.into()));
    assert_eq!((&told[1]["file"], &told[1]["severity"]), (&bad.into(), &"error".into()));
    assert_eq!(sieve(&instance, &["check", "/nonexistent/x.sieve"]).0, 2);
    for (count, is_told) in [(99, false), (200, true)] {
        let many = file(&instance, "many.sieve", &"nothing;\n".repeat(count));
        let (status, said) = sieve(&instance, &["check", &many]);
        assert_eq!((status, said.contains("more mistakes than are told")), (1, is_told), "{said}");
    }
}

#[test]
fn a_script_is_tried_on_a_message_step_by_step() {
    let instance = Instance::new(Settings::standalone());
    let script = "require [\"fileinto\", \"imap4flags\", \"envelope\"];\n\
        if header :contains \"subject\" \"hello\" {\n    \
            fileinto :flags \"\\\\Seen\" \"Work\";\n\
        } elsif true {\n    discard;\n}\n\
        if envelope \"from\" \"\" { keep; }\n";
    let script = file(&instance, "ann.sieve", script);
    // Lines of a file end as they like.
    let message = "From: Bob <bob@example.net>\nTo: ann@example.org\nSubject: Hello there\n\nx\n";
    let message = file(&instance, "message.eml", message);
    let (status, said) = sieve(&instance, &["test", &script, &message]);
    assert_eq!(status, 0, "{said}");
    let first = format!("{script}: {message} from <bob@example.net> to <ann@example.org>\n");
    assert!(said.starts_with(&first), "{said}");
    let steps = "    2 | if header :contains \"subject\" \"hello\" {\n        header    true\n    \
                 3 |     fileinto :flags \"\\\\Seen\" \"Work\";\n        fileinto  ";
    assert!(said.contains(steps), "{said}");
    assert!(!said.contains("discard"), "{said}");
    assert!(said.contains("\nfile into \"Work\", flags \\Seen\n"), "{said}");
    assert!(said.ends_with("\noutcome: it goes to Work\n"), "{said}");

    let json = ["test", &script, &message, "--from", "<>", "--json"];
    let (status, said) = sieve(&instance, &json);
    let told: Value = serde_json::from_str(&said).expect("an object");
    assert_eq!((status, &told["from"]), (0, &"".into()), "{said}");
    assert_eq!(told["outcome"], "it goes to INBOX, goes to Work");
    let step = told["steps"].as_array().expect("steps").last().expect("one").clone();
    assert_eq!((&step["line"], &step["step"]), (&7.into(), &"keep".into()), "{said}");
    broken(&instance, &message);
}

/// A script that does not run, or runs into a bound, ends with status 1 and says why.
fn broken(instance: &Instance, message: &str) {
    let mistake = file(instance, "mistake.sieve", "fileinto \"A\";\n");
    let (status, said) = sieve(instance, &["test", &mistake, message]);
    assert!(status == 1 && said.contains("1 mistake in ") && said.contains(":1:1: "), "{said}");
    let many =
        (0..50).fold(String::new(), |text, n| text + &format!("redirect \"u{n}@a.example\";\n"));
    let many = file(instance, "many.sieve", &many);
    let (status, said) = sieve(instance, &["test", &many, message]);
    let error = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    let name = Path::new(&many).display().to_string();
    assert!(status == 1 && error.starts_with(&name) && error.contains("redirects"), "{said}");
    assert!(said.contains("\noutcome: it goes to the INBOX"), "{said}");
}

#[test]
fn limits_and_the_sign_before_a_detail_are_those_of_the_configuration() {
    let limited = "sieve: (max_redirects: 1, max_script_size: \"1KiB\", max_body: 10)";
    let local = "(name: \"l\",          tag: \"localhost\",       program: Local";
    let settings = Settings::standalone().section(limited);
    let settings = settings.edit(local, &format!("{local}, recipient_delimiter: \"--\""));
    let (instance, other) = (Instance::new(settings), Instance::new(Settings::standalone()));
    let message =
        "From: Bob <bob@example.net>\nTo: ann--work@example.org\nSubject: x\n\n0123456789 anvil\n";
    let message = file(&instance, "message.eml", message);

    let detail = "require [\"fileinto\", \"subaddress\"];\nif address :detail \"to\" \"work\" { fileinto \"Work\"; }\n";
    let detail = file(&instance, "detail.sieve", detail);
    let two =
        file(&instance, "two.sieve", "redirect \"a@b.example\";\nredirect \"c@d.example\";\n");
    let body = "require \"body\";\nif body :contains \"anvil\" { discard; }\n";
    let body = file(&instance, "body.sieve", body);
    // the script, what it comes to, whether a limit of the configuration counted
    let rows = [
        (&detail, "outcome: it goes to Work\n", false),
        (&two, "it redirects too many copies", true),
        (&body, "outcome: it goes to INBOX\n", true),
    ];
    for (script, want, counted) in rows {
        let (_, said) = sieve(&instance, &["test", script, &message]);
        assert!(said.contains(want), "{script}: {said}");
        assert_eq!(said.contains("the limits are those of "), counted, "{script}: {said}");
        let (_, said) = sieve(&other, &["test", script, &message]);
        assert!(!said.contains(want) && !said.contains("the limits are"), "{script}: {said}");
    }
    let long = file(&instance, "long.sieve", &"# and so on\n".repeat(100));
    let (status, said) = sieve(&instance, &["check", &long]);
    assert!(status == 1 && said.contains("the limits are those of "), "{said}");
    assert_eq!(sieve(&other, &["check", &long]).0, 0);
}

#[test]
fn a_script_that_only_sets_flags_is_told_of_and_unseen_characters_are_shown() {
    let instance = Instance::new(Settings::standalone());
    let flags = file(&instance, "flags.sieve", "require \"imap4flags\"; addflag \"\\\\Seen\";\n");
    let (status, said) = sieve(&instance, &["check", &flags]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("they are dropped") && said.contains(": 0 mistakes, 1 warning\n"),
        "{said}"
    );
    let (_, said) = sieve(&instance, &["check", "--json", &flags]);
    assert!(said.contains("\"severity\":\"warning\""), "{said}");

    let turned =
        file(&instance, "turned.sieve", "keep; # \u{202e}\nif \u{2066}header\u{200b} { }\n");
    let (status, said) = sieve(&instance, &["check", &turned]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(" 2 | if \\u{2066}header\\u{200b} { }\n"), "{said}");
    let message = file(&instance, "message.eml", "From: a@b.example\nSubject: x\n\n");
    let good = "require \"fileinto\";\nfileinto \"a\u{202e}b\";\n";
    let good = file(&instance, "good.sieve", good);
    let (_, said) = sieve(&instance, &["test", &good, &message]);
    assert!(said.contains("fileinto \"a\\u{202e}b\""), "{said}");
    assert!(
        said.contains("goes to the INBOX: no folder of the store may have such a name"),
        "{said}"
    );
    assert!(!said.chars().any(|c| ('\u{202a}'..='\u{202e}').contains(&c)), "{said}");
}

#[test]
fn a_test_says_what_only_the_engine_or_the_store_knows_where_a_script_asks() {
    let instance = Instance::new(Settings::standalone());
    let message = file(&instance, "message.eml", "Message-ID: <1@t>\nSubject: x\n\nbody\n");
    let (memory, folders) =
        ("no message is taken for one here", "each folder is taken to be there");
    // the script, whether it asks for duplicates, for folders
    let rows = [
        ("require \"duplicate\"; if duplicate { discard; }", true, false),
        ("require \"mailbox\"; if mailboxexists \"Work\" { keep; }", false, true),
        ("require \"duplicate\"; if allof (false, duplicate) { discard; }", false, false),
        ("keep;", false, false),
    ];
    for (script, asks_memory, asks_folders) in rows {
        let script = file(&instance, "own.sieve", script);
        let (status, said) = sieve(&instance, &["test", &script, &message]);
        let told = [memory, folders].map(|note| said.contains(note));
        assert_eq!((status, told), (0, [asks_memory, asks_folders]), "{said}");
    }
}
