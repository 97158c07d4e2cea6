//! `kill -9` of the stores of two tiers, and now and then of the relay before them, at any moment of
//! a load: every message that got its 250 is in the mailbox of each of its recipients.
//!
//! The seed of the moments is printed; `RELAIS_SEED` sets it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Instance, Ldif, Load, Random, Settings, TwoTiers, eventually, message_ids, within,
};

/// The users, and the store of each.
const USERS: [(&str, usize); 4] = [("ann", 0), ("ben", 1), ("cid", 0), ("dora", 1)];
/// Of each load: for both stores, for one of them, for several mailboxes of one.
const RECIPIENTS: [&[usize]; 3] = [&[0, 1], &[2], &[0, 2, 3]];
/// The relay among the programs that are killed.
const RELAY: usize = 2;

#[test]
fn what_the_relay_acknowledged_outlives_fifty_kills_of_the_stores() {
    if !TwoTiers::are_possible() {
        return;
    }
    let mut random = Random::seeded();
    let tiers = TwoTiers::new(&people(), "", remembering);
    let loads = RECIPIENTS.map(|to| load(&tiers, to));
    let stop = AtomicBool::new(false);
    let mut running = programs(&tiers).map(|program| Some(program.start()));
    let (begun, mut kills) = (Instant::now(), [0; 3]);
    thread::scope(|threads| {
        for load in &loads {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    load.run(4, load.started() + BURST);
                    thread::sleep(PAUSE);
                }
            });
        }
        while kills[0] + kills[1] < KILLS {
            // Long enough for most of them to be ready again.
            thread::sleep(Duration::from_millis(random.between(100, 600)));
            let which = match random.between(0, 12) {
                0..5 => 0,
                5..10 => 1,
                _ => RELAY,
            };
            kills[which] += 1;
            drop(running[which].take());
            running[which] = Some(programs(&tiers)[which].spawn());
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{KILLS} kills of stores and {} of the relay in {:?}", kills[RELAY], begun.elapsed());
    for program in programs(&tiers) {
        eventually("it is ready", PATIENCE, || program.is_ready());
    }
    let broken_off = drain(&tiers.relay);
    let found = USERS.map(|(user, store)| {
        let mut found = HashMap::new();
        for id in message_ids(&tiers.maildir(store, (user, DOMAIN), "")) {
            *found.entry(id).or_insert(0) += 1;
        }
        found
    });
    let acknowledged = loads.each_ref().map(Load::acknowledged);
    nothing_is_lost(&acknowledged, &found);
    let copies: usize = found.iter().flat_map(HashMap::values).sum();
    let doubled = |store| {
        let of_store = found.iter().zip(USERS).filter(move |(_, user)| user.1 == store);
        of_store.flat_map(|(found, _)| found.values()).filter(|count| **count > 1).count()
    };
    println!(
        "kills {kills:?}, acknowledged {}, copies {copies}, lost 0, doubled {} and {}, broken off \
         more than twice {broken_off}",
        acknowledged.iter().map(Vec::len).sum::<usize>(),
        doubled(0),
        doubled(1),
    );
    let in_doubt = MOST_RECIPIENTS * CONNECTIONS * (kills[0] + 2 * kills[RELAY]);
    assert!(doubled(0) <= in_doubt, "{} were delivered more than once", doubled(0));
    assert_eq!(doubled(1), 0, "the store that remembers has one of each");
    assert!(acknowledged.iter().all(|ids| ids.len() > KILLS), "a load that is none");
}

/// The second store does not take again what it has.
fn remembering(store: usize, settings: Settings) -> Settings {
    if store == 0 {
        return settings;
    }
    settings.edit("autocreate: Inbox", "autocreate: Inbox, duplicates: (window: \"1h\")")
}

fn people() -> Ldif {
    USERS.into_iter().fold(Ldif::slapd(), |entries, (name, store)| {
        entries.user(name, DOMAIN, &format!("mailHost: {}", TwoTiers::HOSTS[store]))
    })
}

fn programs(tiers: &TwoTiers) -> [&Instance; 3] {
    [&tiers.stores[0], &tiers.stores[1], &tiers.relay]
}

fn load(tiers: &TwoTiers, to: &[usize]) -> Load {
    let to: Vec<_> = to.iter().map(|user| format!("{}@{DOMAIN}", USERS[*user].0)).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    Load::to_all(tiers.relay.settings.smtp, &to, 2_000)
}

/// Waits until the queue is empty. Nothing in it waits for more than a minute, but what the stores
/// broke off more than twice: returns how many entries those are.
fn drain(relay: &Instance) -> usize {
    let late = relay.due_later_than(SOON);
    let first = late.iter().find(|entry| entry["attempts"].as_u64() < Some(3));
    assert!(first.is_none(), "it waits for long: {first:?}");
    eventually("an empty queue", PATIENCE, || {
        relay.relais("queue", &["retry", "--all", "--yes"]);
        within(Duration::from_secs(1), || relay.queue().is_empty())
    });
    late.len()
}

#[track_caller]
fn nothing_is_lost(acknowledged: &[Vec<String>], found: &[HashMap<String, usize>]) {
    for (ids, to) in acknowledged.iter().zip(RECIPIENTS) {
        for user in to {
            let lost: Vec<_> = ids.iter().filter(|id| !found[*user].contains_key(*id)).collect();
            let name = USERS[*user].0;
            assert!(lost.is_empty(), "{name} lost {} of {}: {lost:?}", lost.len(), ids.len());
        }
    }
}

const DOMAIN: &str = "siroe.com";
/// Of the stores together.
const KILLS: usize = 50;
/// A load sends so many messages, and pauses.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(150);
/// Of the relay to the stores: seven jobs with ten each. Each has one transaction whose reply is not
/// there yet. The store has that one, too, when it dies between its commit and the reply, and the
/// relay repeats it. A relay that dies forgets these, and the results that are on their way to its disk.
const CONNECTIONS: usize = 7 * 10;
/// Mailboxes of one message on the first store.
const MOST_RECIPIENTS: usize = 2;
/// Seconds: a minute, and a tenth of it.
const SOON: i64 = 66;
const PATIENCE: Duration = Duration::from_secs(120);
