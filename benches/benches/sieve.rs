//! Sieve: a script of 20 rules on a usual message, and scripts that are made to be slow.

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use relais_sieve::{Delivery, Environment, Limits, Message, RunError, Script, Verdict, run};

/// Rules as users write them; none of them is about the message.
fn rules(count: usize) -> String {
    let mut script = "require [\"fileinto\", \"imap4flags\"];\n".to_owned();
    for rule in 0..count {
        let test = match rule % 4 {
            0 => format!("header :contains \"subject\" [\"[list-{rule}]\", \"news {rule}\"]"),
            1 => format!("address :is \"from\" \"friend{rule}@example.org\""),
            2 => format!("header :matches \"list-id\" \"*<list{rule}.*>\""),
            _ => {
                format!("anyof(address :domain \"from\" \"shop{rule}.example\", exists \"x-spam\")")
            }
        };
        let _ = writeln!(script, "if {test} {{ fileinto \"Folder {rule}\"; stop; }}");
    }
    script
}

fn header() -> String {
    let mut header = String::new();
    for number in 0..20 {
        let _ = write!(header, "X-Header-{number}: some value {number}\r\n");
    }
    header
        + "From: A Person <person@example.org>\r\nTo: user@relais.example\r\n\
           Subject: A subject as there are many\r\nList-Id: A list <list.example.org>\r\n\
           Date: Tue, 1 Apr 1997 09:06:31 -0800\r\n\r\n"
}

fn decide(script: &Script, message: &Message<'_>, limits: &Limits) -> Result<Verdict, RunError> {
    let mut delivery = Delivery {
        message,
        from: "person@example.org",
        to: "user@relais.example",
        recipient_delimiter: "+",
        now: jiff::Zoned::default(),
        environment: &Environment::default(),
        own_addresses: &[],
        seen: &mut |_| false,
        has_folder: &mut |_| false,
    };
    run(&[script], &mut delivery, limits)
}

fn rules_of_a_user(criterion: &mut Criterion) {
    let limits = Limits::default();
    let (text, header) = (rules(20), header());
    let parse = || Message::of(header.as_bytes(), b"Hello\r\n", 4_000, &limits);
    let script = Script::compile(text.as_bytes(), &limits).expect("the script is right");
    let message = parse();
    let kept = decide(&script, &message, &limits).expect("the script comes to its end");
    assert!(kept.keep.is_some() && kept.files.is_empty());
    let mut group = criterion.benchmark_group("sieve");
    group.bench_function("compile 20 rules", |bench| {
        bench.iter(|| Script::compile(black_box(text.as_bytes()), &limits));
    });
    group.bench_function("parse a header of 25 fields", |bench| bench.iter(parse));
    group.bench_function("run 20 rules", |bench| {
        bench.iter(|| decide(&script, black_box(&message), &limits));
    });
    group.finish();
}

/// Each ends at a bound; the bound is to be hit in less than 10 ms.
fn slow_scripts(criterion: &mut Criterion) {
    let limits = Limits::default();
    let header = format!("X-Long: {}\r\n\r\n", "a".repeat(60_000));
    let message = Message::of(header.as_bytes(), b"", 60_000, &limits);
    let rows = [
        ("wildcards", ":matches", format!("*{}b*", "aaaaaaaaaaa?".repeat(50))),
        ("long keys", ":contains", format!("{}b", "a".repeat(1_000))),
        ("regular expressions", ":regex", "(a*)*(a*)*c".to_owned()),
    ];
    let mut group = criterion.benchmark_group("slow sieve");
    for (name, kind, key) in rows {
        let rule = format!("if header {kind} \"x-long\" \"{key}\" {{ stop; }}\n");
        let text = format!("require \"regex\";\n{}", rule.repeat(60));
        let script = Script::compile(text.as_bytes(), &limits).expect("the script is right");
        assert!(decide(&script, &message, &limits).is_err(), "{name} ends at a bound");
        group.bench_function(name, |bench| {
            bench.iter(|| decide(&script, black_box(&message), &limits));
        });
    }
    group.finish();
}

criterion_group!(benches, rules_of_a_user, slow_scripts);
criterion_main!(benches);
