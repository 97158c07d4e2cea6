//! Addresses: once per recipient and once per sender of every message.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use relais_channels::mail::Address;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("address/parse");
    for (name, text) in ADDRESSES {
        group.bench_function(name, |bencher| bencher.iter(|| Address::parse(black_box(text))));
    }
    group.finish();
}

fn print(criterion: &mut Criterion) {
    let address = Address::parse("alice+Work.Projects@relais.example").expect("an address");
    criterion.bench_function("address/print", |bencher| {
        bencher.iter(|| black_box(&address).to_string());
    });
}

const ADDRESSES: [(&str, &str); 4] = [
    ("plain", "alice@relais.example"),
    ("quoted", "\"alice in \\\"wonderland\\\"\"@relais.example"),
    ("routed", "@one.example,@two.example:alice@relais.example"),
    ("literal", "alice@[IPv6:2001:db8::1]"),
];

criterion_group!(benches, parse, print);
criterion_main!(benches);
