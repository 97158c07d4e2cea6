//! Costs of each line and each octet of a dialogue.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relais_channels::{
    server::{
        Dialect,
        command::{Command, Envelopes},
    },
    wire::{dot::Unstuffer, line::Lines, stuff::Stuffer},
};

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire/command");
    for (name, line) in COMMANDS {
        let parse = || Command::parse(black_box(line), Dialect::Smtp, Envelopes::Tolerant);
        parse().expect("a command");
        group.bench_function(name, |bencher| bencher.iter(parse));
    }
    group.finish();
}

/// A pipelined envelope, cut into lines.
fn lines(criterion: &mut Criterion) {
    let octets = b"MAIL FROM:<sender@sender.example>\r\nRCPT TO:<alice@relais.example>\r\nDATA\r\n";
    criterion.bench_function("wire/lines of an envelope", |bencher| {
        bencher.iter(|| {
            let mut lines = Lines::new(2_048);
            let mut rest = black_box(&octets[..]);
            while let (consumed @ 1.., line) = lines.cut(rest) {
                black_box(&line);
                rest = &rest[consumed..];
            }
        });
    });
}

fn content(criterion: &mut Criterion) {
    let content = relais_tests::message("bench", SIZE);
    let mut wire = relais_tests::dot_stuffed(&content);
    wire.extend_from_slice(b".\r\n");

    let mut group = criterion.benchmark_group("wire/4 KiB");
    group.throughput(Throughput::Bytes(wire.len() as u64));
    group.bench_function("unstuff", |bencher| {
        bencher.iter(|| {
            let mut unstuffer = Unstuffer::new(65_536);
            let mut rest = black_box(wire.as_slice());
            loop {
                let fed = unstuffer.feed(rest);
                black_box(fed.content);
                if fed.ended {
                    break;
                }
                rest = &rest[fed.consumed..];
            }
        });
    });
    group.bench_function("stuff", |bencher| {
        bencher.iter(|| {
            let mut stuffer = Stuffer::new();
            for slice in stuffer.feed(black_box(&content)) {
                black_box(slice);
            }
            black_box(stuffer.finish());
        });
    });
    group.finish();
}

const COMMANDS: [(&str, &[u8]); 4] = [
    ("EHLO", b"EHLO client.example"),
    ("MAIL", b"MAIL FROM:<sender@sender.example> SIZE=4096 BODY=8BITMIME"),
    ("RCPT", b"RCPT TO:<alice+Work@relais.example>"),
    ("DATA", b"DATA"),
];
const SIZE: usize = 4_096;

criterion_group!(benches, commands, lines, content);
criterion_main!(benches);
