//! Mapping tables of 10,000 entries, probed with what matches the last one, and with what matches
//! none; and what the worst patterns make of a hostile input.

use std::{collections::BTreeMap, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use relais_config::{MappingTable, mapping::Tables};

const ENTRIES: usize = 10_000;

fn table(entry: impl Fn(usize) -> (String, &'static str)) -> MappingTable {
    let own = |n| {
        let (pattern, template) = entry(n);
        (pattern, template.to_owned())
    };
    MappingTable::parse((0..ENTRIES).map(own).collect()).expect("the entries are right")
}

/// An address for each number.
fn address(n: usize) -> String {
    format!("10.{}.{}.7", n / 250, n % 250)
}

fn tables(criterion: &mut Criterion) {
    let last = ENTRIES - 1;
    let sender = |n: usize| format!("tcp_local|someone@spam{n}.example|l|user@relais.example");
    let rows = [
        (
            "PORT_ACCESS by address",
            table(|n| (format!("TCP|*|25|{}|*", address(n)), "$N500$ Go$ away")),
            [
                format!("TCP|192.0.2.1|25|{}|40000", address(last)),
                "TCP|192.0.2.1|25|198.51.100.7|40000".to_owned(),
            ],
        ),
        (
            "PORT_ACCESS by network",
            table(|n| (format!("TCP|*|25|$(10.{}.{}.0/24)|*", n / 250, n % 250), "$N")),
            [
                format!("TCP|192.0.2.1|25|{}|40000", address(last)),
                "TCP|192.0.2.1|25|198.51.100.7|40000".to_owned(),
            ],
        ),
        (
            "INTERNAL_IP by network",
            table(|n| (format!("$(10.{}.{}.0/24)", n / 250, n % 250), "$Y")),
            [address(last), "198.51.100.7".to_owned()],
        ),
        (
            "ORIG_SEND_ACCESS by domain",
            table(|n| (format!("tcp_local|*@spam{n}.example|*|*"), "$N")),
            [sender(last), sender(ENTRIES)],
        ),
    ];
    let (mappings, general) = (BTreeMap::new(), BTreeMap::new());
    let with = Tables::new(&mappings, &general);
    let mut group = criterion.benchmark_group("mapping");
    for (name, table, [found, missed]) in &rows {
        assert!(table.lookup(found, &with).is_some() && table.lookup(missed, &with).is_none());
        group.bench_function(format!("{name}, the last of 10,000"), |bench| {
            bench.iter(|| table.lookup(black_box(found), &with));
        });
        group.bench_function(format!("{name}, none of 10,000"), |bench| {
            bench.iter(|| table.lookup(black_box(missed), &with));
        });
    }
    group.finish();
}

fn hostile(criterion: &mut Criterion) {
    let (mappings, general) = (BTreeMap::new(), BTreeMap::new());
    let with = Tables::new(&mappings, &general);
    let mut group = criterion.benchmark_group("mapping, hostile");
    for pattern in ["*a*a*a*a*a*b*", "$_*a$_*a$_*a$_*a$_*b$_*", "$A*$A*$A*$A*b", "*$_*a*$_*a*b*"] {
        let table = MappingTable::parse(vec![(pattern.to_owned(), "$N".to_owned())]);
        let table = table.expect("the pattern is right");
        for length in [500, 1_000, 2_000] {
            let input = "a".repeat(length);
            group.bench_function(format!("{pattern}, {length} octets"), |bench| {
                bench.iter(|| table.lookup(black_box(&input), &with));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, tables, hostile);
criterion_main!(benches);
