//! Blocks of the index, against a sorted map that knows of none.

use std::{collections::BTreeMap, sync::Arc};

use relais_channels::mail::Priority;
use relais_storage::{Class, Cursor, Place};

use crate::{
    index::block::{Items, Key, MOST, Parts, Value, encode_block, pieces},
    index::tables::Tables,
};

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }
}

fn value(chance: &mut Chance) -> Value {
    let number = chance.below(1 << 30) as u32;
    Value {
        place: Place { segment: number % 7, offset: number, length: 36 + number % 9_000 },
        host: ["a.example", "b.example", "127.0.0.1"][number as usize % 3].into(),
        open: if number.is_multiple_of(5) { u64::MAX } else { 1 },
        attempts: (number % 4) as u16,
        size: u64::from(number) << (number % 12),
        priority: Priority::default(),
        reached: u64::from(number % 2),
    }
}

fn key(chance: &mut Chance) -> Key {
    let class = chance.below(4) as u8;
    let due = if class == 1 { 1_700_000_000_000 + chance.below(50) } else { 0 };
    Parts { class, due, id: u64::MAX / 2 + chance.below(400), entry: chance.below(2) as u16 }.key()
}

#[test]
fn blocks_hold_what_a_sorted_map_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut tables = Tables::create(&dir.path().join("index")).unwrap();
    let channel: Arc<str> = "a".into();
    let mut model: BTreeMap<Key, Value> = BTreeMap::new();
    let mut chance = Chance(9);
    for round in 0..150u64 {
        // It grows, and shrinks until little is left.
        let removed_of_ten = if round % 50 < 25 { 3 } else { 8 };
        let mut changes = BTreeMap::new();
        for _ in 0..chance.below(120) {
            let new = (chance.below(10) >= removed_of_ten).then(|| value(&mut chance));
            changes.insert(key(&mut chance), new);
        }
        for (key, new) in &changes {
            match new {
                Some(new) => drop(model.insert(*key, new.clone())),
                None => drop(model.remove(key)),
            }
        }
        tables.update(&channel, changes.into_iter().collect()).unwrap();
        for class in [Class::Untried, Class::Tried, Class::Held, Class::Owing] {
            let want: Vec<Key> =
                model.keys().filter(|key| key[0] == class as u8).copied().collect();
            let (found, ended) = tables.scan(&channel, class, None, 10_000).unwrap();
            assert!(ended, "{round} {class:?}");
            let keys: Vec<Key> = found.iter().map(|entry| entry.cursor.0).collect();
            assert!(keys == want, "{round} {class:?}: {} and {}", keys.len(), want.len());
            for entry in &found {
                let value = &model[&entry.cursor.0];
                assert_eq!((entry.place, &entry.host), (value.place, &value.host));
                assert_eq!((entry.size, entry.state.open()), (value.size, value.open));
            }
            let (sums, next) = tables.sum(&channel, class, None, 10_000).unwrap();
            assert_eq!(next, None);
            let summed: u64 = sums.hosts.values().map(|sum| sum.entries).sum();
            assert_eq!(summed, want.len() as u64);
        }
    }
}

#[test]
fn a_scan_in_portions_meets_each_entry_once_whatever_becomes_of_its_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let mut tables = Tables::create(&dir.path().join("index")).unwrap();
    let (channel, mut chance): (Arc<str>, _) = ("a".into(), Chance(3));
    let keys: Vec<Key> =
        (0..1_000).map(|id| Parts { class: 0, due: 0, id, entry: 0 }.key()).collect();
    let all = keys.iter().map(|key| (*key, Some(value(&mut chance)))).collect();
    tables.update(&channel, all).unwrap();
    for portion in [1, 7, MOST - 1, MOST, MOST + 1, 999, 1_000] {
        let (mut met, mut after): (Vec<Key>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let (found, ended) = tables.scan(&channel, Class::Untried, after, portion).unwrap();
            met.extend(found.iter().map(|entry| entry.cursor.0));
            after = found.last().map(|entry| entry.cursor).or(after);
            if ended {
                break;
            }
        }
        assert!(met == keys, "portions of {portion}");
    }
    // The entry at a cursor may be gone.
    tables.update(&channel, vec![(keys[499], None)]).unwrap();
    let (found, _) = tables.scan(&channel, Class::Untried, Some(Cursor(keys[499])), 1).unwrap();
    assert_eq!(found[0].cursor.0, keys[500]);
    let (mut summed, mut after) = (0, None);
    loop {
        let (sums, next) = tables.sum(&channel, Class::Untried, after, 64).unwrap();
        summed += sums.hosts.values().map(|sum| sum.entries).sum::<u64>();
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(summed, 999);
}

#[test]
fn a_long_queue_takes_few_bytes_an_entry() {
    let mut chance = Chance(5);
    let start = 1_700_000_000_000u64;
    let items: Vec<_> = (0..200_000u64)
        .map(|number| {
            let id = (start + number / 20) << 20 | number;
            let place = Place { segment: 4, offset: (number as u32) * 2_400, length: 2_400 };
            let key = Parts { class: 0, due: 0, id, entry: 0 }.key();
            let (host, size) = ("127.0.0.1".into(), 2_048);
            let rest = Value { place, host, size, open: 1, attempts: 0, ..value(&mut chance) };
            crate::index::block::Item { key, value: rest }
        })
        .collect();
    let blocks: Vec<Vec<u8>> = pieces(&items, true).map(encode_block).collect();
    // Sled has at most 16 keys to a page, and keeps some 300 bytes in memory for each page.
    assert_eq!(blocks.len(), items.len().div_ceil(MOST));
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    assert!(bytes / items.len() <= 24, "{bytes} bytes");
    let read: Vec<_> = blocks
        .iter()
        .flat_map(|block| Items::of(&items[0].key, block, None).map(Result::unwrap))
        .collect();
    assert!(read == items);
}

#[test]
fn a_damaged_block_is_an_error_and_not_a_panic() {
    let mut chance = Chance(8);
    let mut items: Vec<_> = (0..20)
        .map(|_| crate::index::block::Item { key: key(&mut chance), value: value(&mut chance) })
        .collect();
    items.sort_by_key(|item| item.key);
    for item in &mut items {
        item.key[0] = 0;
    }
    let block = encode_block(&items);
    for at in 0..block.len() {
        let read = Items::of(&items[0].key, &block[..at], None).count();
        assert!(read <= items.len());
        let mut harmed = block.clone();
        harmed[at] ^= 0x81;
        let _ = Items::of(&items[0].key, &harmed, None).collect::<Vec<_>>();
    }
}
