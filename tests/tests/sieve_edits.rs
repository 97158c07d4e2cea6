//! Scripts that make a copy of its own for each recipient of a message: what that costs, and what `kill -9`
//! leaves of it.

use std::{
    collections::HashMap,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Ldif, Load, Random, Settings, Sink, eventually};

const MINUTE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "relais.example";
const ORIGINAL_TO: &str = r#"require ["editheader", "envelope", "variables"];
if envelope :matches "to" "*" { addheader "X-Original-To" "${1}"; }"#;

/// An instance in which each of so many users gets a copy of its own; and their addresses. They are the list
/// `later`, too, whose members are looked up by the reprocess channel.
fn instance(settings: Settings, users: usize) -> (Instance, Vec<String>) {
    let names = (0..users).map(|n| format!("user{n}"));
    let ldif = names.clone().fold(Ldif::file().domain(DOMAIN, ""), |ldif, name| {
        ldif.user(&name, DOMAIN, "mailHost: localhost")
    });
    let member = |name| format!("\nmgrpRFC822MailMember: {name}@{DOMAIN}");
    let members: String = names.clone().map(member).collect();
    let ldif = ldif.group("later", DOMAIN, &format!("mailDeferProcessing: yes{members}"));
    let before = "sieve: (before: \"before.sieve\"), mappings: {";
    let instance = ldif.instance(settings.edit("mappings: {", before));
    std::fs::write(instance.data().join("before.sieve"), ORIGINAL_TO).unwrap();
    (instance, names.map(|name| format!("{name}@{DOMAIN}")).collect())
}

#[test]
fn of_a_message_to_many_that_a_script_changes_for_each_the_copies_are_bounded() {
    let sink = Sink::start();
    let (instance, to) = instance(Settings::standalone().deliver_to(sink.port), 1_000);
    sink.answer("LHLO", "421 4.3.2 later");
    let running = instance.start();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let line = "0123456789".repeat(7) + "\r\n";
    let message = |size: usize| format!("Message-ID: <{size}@t>\r\n\r\n{}", line.repeat(size / 72));
    let send = |size: usize| {
        let mut client = Dialogue::open(instance.settings.smtp);
        let started = Instant::now();
        client.message("a@b.example", &to, message(size).as_bytes()).expect(250);
        println!("{size} octets: {:?}, {:?}", started.elapsed(), running.memory());
    };
    let left = || instance.log().matches("too many ways").count();
    send(4 << 10);
    assert_eq!(left(), 0, "small copies are made for all");
    let before = running.memory().peak;
    send(250 << 10);
    let more = running.memory().peak - before;
    assert!(more < 128 << 20, "{more}");
    assert_eq!(left(), 1, "{}", instance.log());
}

/// All of its copies are more than the spool stores together.
#[test]
fn a_message_to_a_list_that_is_looked_up_later_is_changed_for_as_many_and_comes_to_all() {
    const MEMBERS: usize = 300;
    let sink = Sink::start();
    let (instance, _) = instance(Settings::standalone().deliver_to(sink.port), MEMBERS);
    let _running = instance.start();
    let body = "0123456789\r\n".repeat((250 << 10) / 12);
    let message = format!("Message-ID: <1@t>\r\n\r\n{body}");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.example", &["later@relais.example"], message.as_bytes()).expect(250);
    let came = || sink.handed().iter().map(|(_, to)| to.len()).sum::<usize>();
    eventually("it comes to all", MINUTE, || came() == MEMBERS);
    assert!(instance.log().contains("too many ways"), "{}", instance.log());
}

/// 24 messages of which each has eleven files would not fit into the open files of the process at once: those
/// that want more of them than there are wait for each other, or come again.
#[test]
fn large_messages_that_a_script_changes_for_each_have_no_more_files_than_there_may_be() {
    let sink = Sink::start();
    sink.answer("LHLO", "421 4.3.2 later");
    let (instance, to) = instance(Settings::standalone().deliver_to(sink.port), 10);
    let _running = instance.spawn_by(Command::new("prlimit").args(["--nofile=256:256", "--"]));
    eventually("it is ready", MINUTE, || instance.is_ready());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let body = "0123456789\r\n".repeat(30_000);
    let most = AtomicUsize::new(0);
    let replies: Vec<String> = thread::scope(|threads| {
        let (to, body, instance) = (&to, &body, &instance);
        let send = |n: usize| {
            threads.spawn(move || {
                let mut client = Dialogue::open(instance.settings.smtp);
                let message = format!("Message-ID: <{n}@t>\r\n\r\n{body}");
                client.message("a@b.example", to, message.as_bytes()).text
            })
        };
        let clients: Vec<_> = (0..24).map(send).collect();
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            most.fetch_max(drafts(instance), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    let most = most.into_inner();
    println!("{most} files at once; {replies:?}");
    let later = "452 4.3.1 too many large messages at once, try again later";
    assert!(replies.iter().all(|its| its.starts_with("250") || its.starts_with(later)));
    assert!(replies.iter().any(|its| its.starts_with("250")), "{replies:?}");
    // One in four of those that are not kept back, and that of the message itself in each session.
    assert!(most <= 32 + 24, "{most}");
    assert!(!instance.log().contains("os error 24"), "{}", instance.log());
}

/// Files of messages that are not stored yet.
fn drafts(instance: &Instance) -> usize {
    let files = std::fs::read_dir(instance.data().join("spool/large")).into_iter().flatten();
    files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with("draft")).count()
}

/// Copies of one message that differ are stored as one: a client whose message got no 250 sends it again
/// to all of its recipients.
#[test]
fn of_a_message_that_a_script_changes_for_each_kill_9_leaves_all_copies_or_none() {
    let mut random = Random::seeded();
    let sink = Sink::start();
    sink.pause();
    let (instance, to) = instance(Settings::standalone().deliver_to(sink.port), COPIES);
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    // One of them is of messages in files.
    let loads = [2_048, 300 << 10].map(|size| Load::to_all(instance.settings.smtp, &to, size));
    for _ in 0..KILLS {
        let running = instance.start();
        let life = Duration::from_millis(random.between(100, 900));
        thread::scope(|threads| {
            threads.spawn(|| loads[0].run(10, usize::MAX));
            threads.spawn(|| loads[1].run(2, usize::MAX));
            thread::sleep(life);
            running.kill();
        });
    }
    sink.resume();
    let _running = instance.start();
    eventually("an empty queue", 4 * MINUTE, || instance.queue().is_empty());
    let seen: HashMap<String, usize> = sink.seen();
    let acknowledged: Vec<String> = loads.iter().flat_map(Load::acknowledged).collect();
    println!("{} acknowledged, {} stored", acknowledged.len(), seen.len());
    assert!(loads.iter().all(|load| !load.acknowledged().is_empty()), "a load that is none");
    assert_eq!(sink.missing(&acknowledged), Vec::<&str>::new());
    let in_part = seen.iter().filter(|(_, copies)| **copies < COPIES);
    assert_eq!(in_part.collect::<Vec<_>>(), []);
    let again: usize = seen.values().map(|copies| copies - COPIES).sum();
    assert!(again <= KILLS * IN_DOUBT, "{again} deliveries were repeated");
}

const COPIES: usize = 5;
const KILLS: usize = 8;
/// Deliveries that one kill may leave in doubt: of each thread of the channel's seven jobs the one whose
/// reply is on its way, and the one whose result is on its way to the disk.
const IN_DOUBT: usize = 2 * 7 * 10;
