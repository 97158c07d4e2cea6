//! Scripts of many users: octets of each, the time to compile one, and the time of a run of each over one
//! message after the other.
//!
//! Octets are those that were asked of the allocator; what it keeps beside is not seen.

use std::{alloc::System, fmt::Write, time::Instant};

use cap::Cap;
use jiff::Zoned;
use relais_sieve::{Delivery, Environment, Limits, Message, Script, run};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    let limits = Limits::default();
    let texts: Vec<String> = (0..USERS).map(script).collect();
    let octets: usize = texts.iter().map(String::len).sum();
    println!("{USERS} scripts of {RULES} rules, {} octets of text each", octets / USERS);

    let before = MEMORY.allocated();
    let began = Instant::now();
    let compile = |text: &String| Script::compile(text.as_bytes(), &limits).expect("no mistake");
    let scripts: Vec<Script> = texts.iter().map(compile).collect();
    let each = began.elapsed().as_nanos() / USERS as u128;
    println!("compiled: {} octets and {each} ns each", (MEMORY.allocated() - before) / USERS);

    let (header, body) = (HEADER.as_bytes(), BODY.as_bytes());
    let size = (header.len() + body.len()) as u64;
    let message = Message::of(header, body, size, &limits);
    let environment = Environment::default();
    let now = Zoned::now();
    let began = Instant::now();
    let mut filed = 0;
    for script in &scripts {
        let mut delivery = Delivery {
            message: &message,
            from: "bob@example.net",
            to: "ann@example.org",
            recipient_delimiter: "+",
            now: now.clone(),
            environment: &environment,
            own_addresses: &[],
            seen: &mut |_| false,
            has_folder: &mut |_| true,
        };
        let verdict = run(&[script], &mut delivery, &limits).expect("a verdict");
        filed += verdict.files.len();
    }
    let each = began.elapsed().as_nanos() / USERS as u128;
    println!("run: {each} ns each, of one message for all of them; {filed} file it");
    let began = Instant::now();
    for _ in 0..PARSED {
        std::hint::black_box(Message::of(header, body, size, &limits));
    }
    let each = began.elapsed().as_nanos() / u128::from(PARSED);
    println!("parsed: {each} ns for a message of {size} octets");
}

/// The script of a user: rules that people have, each with words of this user.
fn script(user: usize) -> String {
    let mut text = "require [\"fileinto\", \"imap4flags\"];\n".to_owned();
    for rule in 0..RULES {
        let word = format!("w{user}x{rule}");
        // Writing to a string does not fail.
        let _ = match rule % 4 {
            0 => writeln!(
                text,
                "if header :contains \"subject\" \"{word}\" {{ fileinto \"{word}\"; stop; }}"
            ),
            1 => writeln!(
                text,
                "if address :is [\"from\", \"sender\"] \"{word}@example.net\" {{ fileinto \"{word}\"; }}"
            ),
            2 => writeln!(
                text,
                "if header :is \"list-id\" \"<{word}.example.org>\" {{ fileinto \"Lists/{word}\"; stop; }}"
            ),
            _ => writeln!(
                text,
                "if address :domain :matches [\"to\", \"cc\"] \"*.{word}.example\" {{ addflag \"{word}\"; }}"
            ),
        };
    }
    text
}

const USERS: usize = 100_000;
const RULES: usize = 20;
const PARSED: u32 = 10_000;
const HEADER: &str = "Received: from a.example by b.example with ESMTP id 1; Tue, 1 Apr 2025 09:06:31 -0700\r\n\
    From: Bob <w7x5@example.net>\r\nTo: Ann <ann@example.org>, carol@example.org\r\n\
    Cc: dave@w1x3.example\r\nSubject: Re: w9x4 and more words of a subject\r\n\
    Date: Tue, 1 Apr 2025 09:06:31 -0700\r\nMessage-ID: <1.2@example.net>\r\n\
    List-Id: A list <list.example.org>\r\nMIME-Version: 1.0\r\n\r\n";
const BODY: &str = "Some lines of text.\r\n";
