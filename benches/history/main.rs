//! The delivery history: octets on the disk for each recipient, the CPU of writing, and look-ups among
//! ten million recipients.
//!
//!     cargo run --release -p relais-benches --bin history
//!
//! Mail of a week with random users, hosts, Message-IDs and peers' ids, as several kinds of senders make
//! them. `cold`: the system has been asked to forget the files.

use std::{
    fmt::Write,
    fs::{self, File},
    hint::black_box,
    path::Path,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use relais_history::{History, Keeper, Named, Note, Question, Settings, Tap, key_of};
use rustix::{
    fs::{Advice, fadvise},
    time::{ClockId, clock_gettime},
};

/// Fills a history, and looks things up in it.
#[derive(Debug, Parser)]
struct Options {
    /// Recipients.
    #[arg(long, default_value_t = 10_000_000)]
    recipients: u64,
    /// Users of ours, and as many others.
    #[arg(long, default_value_t = 200_000)]
    users: u64,
    /// Look-ups of each kind.
    #[arg(long, default_value_t = 50)]
    look_ups: u64,
}

fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a folder");
    let tap = Tap::default();
    let age = Duration::from_secs(7 * 86_400);
    let settings = Settings {
        folder: folder.path().to_owned(),
        age,
        size: 8 << 30,
        min_free: 0,
        believed_after: Duration::ZERO,
    };
    let keeper = Keeper::start(&tap, settings).expect("a thread");
    let mut mail = Mail::new(&options);
    let (mut told, mut samples) = (Duration::ZERO, Vec::new());
    let began = cpu(ClockId::ProcessCPUTime);
    let mut making = Duration::ZERO;
    let (mut recipients, mut messages) = (0, 0);
    while recipients < options.recipients {
        let before = cpu(ClockId::ThreadCPUTime);
        let batch: Vec<_> = (0..2_000).map(|_| mail.next()).collect();
        let made = cpu(ClockId::ThreadCPUTime);
        making += made.saturating_sub(before);
        for message in &batch {
            message.tell(&tap);
            recipients += message.to.len() as u64;
        }
        told += cpu(ClockId::ThreadCPUTime).saturating_sub(made);
        messages += batch.len() as u64;
        let before = cpu(ClockId::ThreadCPUTime);
        if samples.len() as u64 * options.recipients <= recipients * options.look_ups {
            samples.push(batch[0].clone());
        }
        drop(batch);
        making += cpu(ClockId::ThreadCPUTime).saturating_sub(before);
        keeper.flush();
    }
    let all = cpu(ClockId::ProcessCPUTime).saturating_sub(began).saturating_sub(making);
    let lost = tap.figures().lost.load(Relaxed);
    let octets = size(folder.path(), "");
    let each = |what: Duration, count: u64| what.as_secs_f64() * 1e6 / count as f64;
    println!("{messages} messages, {recipients} recipients, {lost} notes lost");
    println!(
        "{:.1} octets for each recipient ({:.1} of them the index), {} MiB in all",
        octets as f64 / recipients as f64,
        size(folder.path(), "idx") as f64 / recipients as f64,
        octets >> 20
    );
    println!(
        "CPU of a message: {:.2} us told, {:.2} us written, {:.2} us in all",
        each(told, messages),
        each(all.saturating_sub(told), messages),
        each(all, messages)
    );
    // As the engine does: the writer is asked for what is in no sealed segment yet.
    let history = History::of(&keeper);
    rustix::fs::sync();
    for cold in [true, false] {
        look_up(&history, folder.path(), &samples, cold);
    }
    println!("{} MiB of memory at most", peak() >> 20);
    keeper.end();
}

/// Octets of memory that the process has had, at most.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let octets = line.and_then(|its| its.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    octets.map_or(0, |its| its << 10)
}

/// A name of a message.
type Name = fn(&Message) -> String;

/// Looks up each kind of name, those that are there and those that are not.
fn look_up(history: &History, folder: &Path, samples: &[Message], cold: bool) {
    let kinds: [(&str, Name); 4] = [
        ("recipient", |its| its.to[0].clone()),
        ("Message-ID", |its| its.header_id.clone()),
        ("peer's id", |its| its.peer_id.clone()),
        ("queue id", |_| String::new()),
    ];
    for (kind, name) in kinds {
        for there in [true, false] {
            let (mut most, mut all) = (Duration::ZERO, Duration::ZERO);
            for sample in samples {
                if cold {
                    forget(folder);
                }
                let mut text = name(sample);
                let mut id = if kind == "queue id" { sample.id } else { 0 };
                if !there && id == 0 {
                    text.insert(1, '~');
                } else if !there {
                    id ^= 0x3000;
                }
                let began = Instant::now();
                let matches = |its: &str| its.eq_ignore_ascii_case(&text);
                let keys = if id == 0 { vec![key_of(&text)] } else { vec![] };
                let question =
                    Question { keys, matches: &matches, id, since: 0, until: u64::MAX, limit: 20 };
                let found = history.find(&question).expect("files");
                assert_eq!(!found.messages.is_empty(), there, "{kind} {text} {id:x}");
                black_box(found);
                (most, all) = (most.max(began.elapsed()), all + began.elapsed());
            }
            println!(
                "{kind:10} {} {}: {:6.1} ms on average, {:6.1} ms at most",
                if there { "hit " } else { "miss" },
                if cold { "cold" } else { "warm" },
                all.as_secs_f64() * 1e3 / samples.len() as f64,
                most.as_secs_f64() * 1e3
            );
        }
    }
}

/// Mail as it comes.
struct Mail {
    random: Random,
    at: u64,
    users: u64,
    count: u64,
}

#[derive(Clone, Debug)]
struct Message {
    at: u64,
    id: u64,
    size: u64,
    from: String,
    to: Vec<String>,
    client: String,
    header_id: String,
    host: String,
    peer: String,
    peer_id: String,
    deferrals: u32,
}

impl Mail {
    fn new(options: &Options) -> Self {
        // Mail of the days to come: the writer sees nothing that is old.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let at = now.as_millis() as u64;
        Self { random: Random(42), at, users: options.users, count: 0 }
    }

    fn next(&mut self) -> Message {
        let random = &mut self.random;
        // Some seventeen recipients a second.
        self.at += random.below(140);
        self.count += 1;
        let to = 1 + if random.below(5) == 0 { random.below(4) } else { 0 };
        let domain = random.skewed(3_000);
        let from = address(random, self.users, 2_000);
        let header_id = header_id(random, self.at, &from);
        let to = (0..to).map(|_| user(random, self.users, domain)).collect();
        let host = format!("mx{}.domain{domain}.example", random.below(3));
        let peer = format!("{host}[198.51.{}.{}]:25", domain % 250, domain / 250);
        let client = random.below(60);
        let client = format!("out{client}.mail.example [203.0.113.{client}]");
        Message {
            at: self.at,
            id: (self.at << 20) | (self.count % 3),
            size: 1_000 + random.skewed(100_000),
            from,
            to,
            client,
            header_id,
            host,
            peer,
            peer_id: peer_id(random),
            deferrals: u32::from(random.below(20) == 0),
        }
    }
}

impl Message {
    fn tell(&self, tap: &Tap) {
        let to = || self.to.iter().map(|its| Named { original: its, routed: its });
        let mut reply = String::new();
        reply.push_str("250 2.0.0 Ok: queued as \u{3}");
        let accepted = Note {
            action: b'E',
            at: self.at,
            id: self.id,
            size: self.size,
            from: &self.from,
            client: &self.client,
            source_channel: "tcp_local",
            channel: "tcp_local",
            host: &self.host,
            reply: &reply,
            message_id: &self.header_id,
            ..Note::default()
        };
        tap.tell(&accepted, to());
        let attempt = |action, at, attempts, reply, peer_id| Note {
            action,
            at,
            id: self.id,
            attempts,
            channel: "tcp_local",
            host: &self.host,
            reply,
            peer_id,
            peer: &self.peer,
            protection: "TLSv1.3 TLS13_AES_256_GCM_SHA384, verified",
            ..Note::default()
        };
        for number in 0..self.deferrals {
            let (at, reply) = (self.at + 300, "451 4.7.1 greylisted, come again");
            tap.tell(&attempt(b'Q', at, number + 1, reply, ""), to());
        }
        reply.clear();
        let _ = write!(reply, "250 2.0.0 Ok: queued as {}", self.peer_id);
        let at = self.at + 200 + u64::from(self.deferrals) * 600_000;
        tap.tell(&attempt(b'D', at, self.deferrals + 1, &reply, &self.peer_id), to());
    }
}

/// Local parts as people have them, of one domain.
fn user(random: &mut Random, users: u64, domain: u64) -> String {
    const FIRST: [&str; 12] = [
        "anna", "bernd", "chris", "dora", "emil", "frida", "georg", "hanna", "ivan", "jana",
        "karl", "lena",
    ];
    const LAST: [&str; 8] =
        ["mueller", "smith", "rossi", "garcia", "novak", "dubois", "jensen", "kowalski"];
    let number = random.skewed(users);
    let (first, last) = (FIRST[(number % 12) as usize], LAST[(number / 12 % 8) as usize]);
    format!("{first}.{last}{}@domain{domain}.example", number / 96)
}

fn address(random: &mut Random, users: u64, domains: u64) -> String {
    let domain = random.skewed(domains);
    user(random, users, domain)
}

/// Of large providers, of libraries, and of mail servers.
fn header_id(random: &mut Random, at: u64, from: &str) -> String {
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    match random.below(10) {
        0..3 => format!("<CA{}@mail.gmail.example>", random.text(BASE64, 48)),
        3..6 => format!(
            "<{}-{}-4{}-{}-{}@{domain}>",
            random.text(HEX, 8),
            random.text(HEX, 4),
            random.text(HEX, 3),
            random.text(HEX, 4),
            random.text(HEX, 12)
        ),
        _ => format!("<20231114{:06}.{}@{domain}>", at / 1_000 % 1_000_000, random.text(HEX, 11)),
    }
}

/// Of Postfix, short and long, of Exim, and of large providers.
fn peer_id(random: &mut Random) -> String {
    match random.below(4) {
        0 => random.text(HEX, 11),
        1 => format!("4{}", random.text(BASE64, 14)),
        2 => format!(
            "1r{}-{}-{}",
            random.text(BASE64, 4),
            random.text(BASE64, 6),
            random.text(BASE64, 2)
        ),
        _ => format!("{}-{}", random.text(HEX, 12), random.text(HEX, 8)),
    }
}

/// xorshift: the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % most
    }

    /// Low numbers more often than high ones.
    fn skewed(&mut self, most: u64) -> u64 {
        let most = 1 + self.below(most);
        self.below(most)
    }

    fn text(&mut self, of: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(of[self.below(of.len() as u64) as usize])).collect()
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned() as u32)
}

/// Octets of the files whose names end so.
fn size(folder: &Path, end: &str) -> u64 {
    let entries = fs::read_dir(folder).expect("the folder").map(|its| its.expect("a file"));
    let wanted = entries.filter(|its| its.file_name().to_string_lossy().ends_with(end));
    wanted.map(|its| its.metadata().expect("a file").len()).sum()
}

/// Has the system read the files from the disk again.
fn forget(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the folder") {
        let file = File::open(entry.expect("a file").path()).expect("a file");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
    }
}

const HEX: &[u8] = b"0123456789ABCDEF";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
