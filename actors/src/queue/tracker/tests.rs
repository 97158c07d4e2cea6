use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use relais_storage::{Counts, Place};

use super::*;

impl Tracker {
    /// The first ready entry, by itself.
    pub(super) fn take(&mut self, destination: &Destination) -> Option<Tracked> {
        self.take_together(destination, 0).map(|(first, _)| first)
    }
}

fn to(channel: u16, host: &str) -> Destination {
    Destination { channel: ChannelId(channel), host: host.into() }
}

fn entry(id: u64, due: u64) -> Tracked {
    let place = Place { segment: 1, offset: 0, length: 1 };
    // Some of each kind, and the ids of the plain tests are normal.
    let priority = if id % 40 < 30 { Priority::Normal } else { Priority::ALL[id as usize % 4] };
    Tracked { id: MessageId(id), entry: 0, place, open: 1, attempts: 0, due, priority, size: 1 }
}

/// After its first failure.
fn failed(id: u64, due: u64) -> Tracked {
    Tracked { attempts: 1, ..entry(id, due) }
}

#[test]
fn a_host_in_trouble_is_probed_with_what_is_not_due_and_gets_it_all_when_it_is_back() {
    let mut tracker = Tracker::new(100);
    let a = to(0, "a");
    for id in 1..=3 {
        tracker.offer(&a, entry(id, 0));
        tracker.take(&a);
    }
    tracker.trouble(&a);
    tracker.defer(failed(1, 5_000), true);
    tracker.defer(failed(2, 6_000), true);
    tracker.defer(failed(3, 7_000), false);
    assert_eq!(tracker.ready(&a), 1, "one to probe with");
    let probe = tracker.take(&a).expect("a probe");
    assert_eq!((probe.id.0, probe.due), (1, 5_000));
    tracker.defer(probe, true);
    let probe = tracker.take(&a).expect("another probe");
    tracker.offer(&a, entry(4, 0));
    tracker.offer(&to(0, "b"), entry(5, 0));
    let resting = |tracker: &Tracker| {
        let tally = tracker.tally()[&ChannelId(0)];
        (tally.ready, tally.resting)
    };
    assert_eq!(resting(&tracker), (2, 1), "what came since waits for the host, too");
    tracker.take(&to(0, "b"));
    tracker.finish(MessageId(4), 0);
    tracker.recover(&a);
    assert_eq!(resting(&tracker), (1, 0));
    tracker.finish(probe.id, 0);
    assert_eq!(tracker.ready(&a), 1, "the other one that was stranded, and not the third");
    assert!(tracker.wake(6_000).is_empty());
    assert_eq!(tracker.wake(7_000).len(), 1);
}

#[test]
fn ready_entries_leave_in_the_order_they_came() {
    let mut tracker = Tracker::new(100);
    let (a, b) = (to(0, "a"), to(0, "b"));
    for id in 0..4 {
        tracker.offer(if id % 2 == 0 { &a } else { &b }, entry(id, 0));
    }
    assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(0));
    assert_eq!(tracker.take(&b).map(|e| e.id.0), Some(1));
    assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(2));
    assert_eq!(tracker.take(&a), None);
    assert_eq!(tracker.active(), 3);
}

#[test]
fn what_a_vanished_job_had_is_first_in_line_again() {
    let mut tracker = Tracker::new(100);
    let a = to(0, "a");
    tracker.offer(&a, entry(1, 0));
    tracker.offer(&a, entry(2, 0));
    tracker.take(&a);
    tracker.give_back(MessageId(1), 0);
    assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(1));
}

#[test]
fn a_deferred_entry_is_ready_at_its_due_time_and_not_before() {
    let mut tracker = Tracker::new(100);
    let a = to(0, "a");
    tracker.offer(&a, entry(1, 0));
    tracker.take(&a);
    tracker.defer(failed(1, 5_000), false);
    assert!(tracker.wake(4_999).is_empty());
    assert_eq!(tracker.ready(&a), 0);
    assert_eq!(tracker.wake(5_000), std::slice::from_ref(&a));
    assert_eq!(tracker.take(&a).map(|e| e.attempts), Some(1));
}

#[test]
fn memory_is_bounded_and_says_when_the_disk_has_more() {
    let mut tracker = Tracker::new(8);
    let host = |id: u64| to(0, &id.to_string());
    for id in 0..8 {
        assert_eq!(tracker.offer(&host(id), entry(id, 0)), Admission::Ready);
    }
    assert_eq!(tracker.offer(&host(8), entry(8, 0)), Admission::Overflowed);
    assert_eq!(tracker.offer(&host(3), entry(3, 0)), Admission::Known);
    for id in 0..4 {
        assert!(!wants_scan(&tracker), "{id}");
        tracker.take(&host(id));
        tracker.finish(MessageId(id), 0);
    }
    assert!(!wants_scan(&tracker), "only below half");
    tracker.take(&host(4));
    tracker.finish(MessageId(4), 0);
    assert!(wants_scan(&tracker));
    assert_eq!(tracker.scan_room(), 3, "up to three quarters");
}

#[test]
fn a_memory_full_of_failures_forgets_them_until_the_next_scan() {
    let mut tracker = Tracker::new(16);
    let host = |id: u64| to(0, &id.to_string());
    for id in 0..16 {
        tracker.offer(&host(id), entry(id, 0));
    }
    for id in 0..16 {
        tracker.take(&host(id));
        tracker.defer(failed(id, 5_000), false);
    }
    // 7 are delayed before "more than 6 delayed" holds; then each failure is forgotten while
    // more than 10 are known.
    assert_eq!(tracker.len(), 10);
    assert!(tracker.overflowed);
}

#[test]
fn the_more_urgent_goes_first_and_then_the_older() {
    let mut tracker = Tracker::new(100);
    let a = to(0, "a");
    let of = |id, priority| Tracked { priority, ..entry(id, 0) };
    for (id, priority) in [
        (7, Priority::Normal),
        (5, Priority::Nonurgent),
        (9, Priority::Urgent),
        (6, Priority::Normal),
        (3, Priority::SecondClass),
    ] {
        tracker.offer(&a, of(id, priority));
    }
    tracker.offer_first(&a, of(8, Priority::Normal));
    let order: Vec<_> = std::iter::from_fn(|| tracker.take(&a)).map(|e| e.id.0).collect();
    assert_eq!(order, [9, 8, 6, 7, 5, 3], "8 was released by an operator");
}

#[test]
fn new_mail_of_others_displaces_a_host_with_more_than_its_share() {
    let mut tracker = Tracker::new(16);
    let (long, other) = (to(0, "long"), to(0, "other"));
    let admitted = (0..20).filter(|id| tracker.offer(&long, entry(*id, 0)) == Admission::Ready);
    assert_eq!(admitted.count(), 16, "all of it while nobody else wants room");
    for id in 100..108 {
        assert_eq!(tracker.offer(&other, entry(id, 0)), Admission::Ready, "{id}");
    }
    assert_eq!(tracker.offer(&other, entry(108, 0)), Admission::Overflowed, "it has as much now");
    assert_eq!((tracker.ready(&long), tracker.ready(&other)), (8, 8));
    assert_eq!(tracker.take(&long).map(|e| e.id.0), Some(0), "the newest made room");
}

#[test]
fn what_waits_for_a_dead_host_does_not_keep_others_out_of_memory() {
    let mut tracker = Tracker::new(64);
    let dead: Vec<_> = (0..4).map(|host: u8| to(0, &format!("dead{host}"))).collect();
    let alive = to(0, "alive");
    // The disk has far more for the dead than memory takes.
    for id in 0..400 {
        tracker.offer(&dead[id as usize % 4], entry(id, 0));
    }
    for host in &dead {
        tracker.trouble(host);
    }
    assert!(tracker.len() < tracker.thresholds().low, "{}", tracker.len());
    assert!(wants_scan(&tracker));
    tracker.scan_begun(false);
    let ticket = tracker.begin_reading();
    for id in 0..400 {
        tracker.offer_scanned(&dead[id as usize % 4], entry(id, 0), ticket);
    }
    for id in 1_000..1_016 {
        assert_eq!(tracker.offer_scanned(&alive, entry(id, 0), ticket), Admission::Ready);
    }
    tracker.end_reading(ticket);
    assert!(!wants_scan(&tracker), "what the disk has beside is for the dead");
    // One of them is back: what is on the disk for it is fetched.
    tracker.recover(&dead[0]);
    while let Some(taken) = tracker.take(&dead[0]) {
        tracker.finish(taken.id, 0);
    }
    assert!(wants_scan(&tracker));
}

fn wants_scan(tracker: &Tracker) -> bool {
    tracker.is_half_empty() || tracker.is_hungry()
}

/// A scan of an index that has these entries, due then.
fn scan(tracker: &mut Tracker, of: &Destination, found: impl Iterator<Item = (u64, u64)>) {
    tracker.scan_begun(false);
    let ticket = tracker.begin_reading();
    for (id, due) in found {
        tracker.offer_scanned(of, entry(id, due), ticket);
    }
    tracker.end_reading(ticket);
    tracker.scanned_all_of(of.channel);
}

fn deliver_all(tracker: &mut Tracker, to: &Destination) -> usize {
    let taken = std::iter::from_fn(|| tracker.take(to).map(|it| tracker.finish(it.id, it.entry)));
    taken.count()
}

#[test]
fn what_waits_for_a_later_time_does_not_keep_out_what_could_go_now() {
    let mut tracker = Tracker::new(64);
    let (a, b) = (to(0, "a"), to(1, "b"));
    tracker.note_overflow();
    for id in 0..30 {
        tracker.offer(&b, entry(id, 0));
    }
    // More than is allowed, then what failed before.
    let index = || (100..150).map(|id| (id, 0)).chain((200..250).map(|id| (id, 9_000)));
    let mut delivered = 0;
    for round in 0.. {
        scan(&mut tracker, &a, index().filter(|(id, _)| *id >= 100 + delivered as u64));
        let more = deliver_all(&mut tracker, &a);
        delivered += more;
        assert!(more > 0 && round < 10, "{delivered} in {round} rounds");
        if delivered == 50 {
            break;
        }
        assert!(wants_scan(&tracker), "after {delivered}");
    }
    let later = || index().filter(|(_, due)| *due > 0);
    scan(&mut tracker, &a, later());
    assert!(!wants_scan(&tracker), "nothing can go before its time");
    let woken = tracker.wake(9_000).len();
    let some = deliver_all(&mut tracker, &a);
    assert!(woken == 1 && some > 0 && wants_scan(&tracker), "{some}, and the disk has more");
}

#[test]
fn a_line_of_failures_does_not_keep_out_what_was_not_tried() {
    let mut tracker = Tracker::new(64);
    let (a, b) = (to(0, "a"), to(1, "b"));
    for id in 0..20 {
        tracker.offer(&b, entry(id, 0));
    }
    scan(&mut tracker, &a, (100..200).map(|id| (id, 0)));
    while let Some(taken) = tracker.take(&a) {
        tracker.defer(failed(taken.id.0, 5_000), false);
    }
    assert!(wants_scan(&tracker));
    scan(&mut tracker, &a, (100..200).map(|id| (id, 0)));
    assert!(tracker.ready(&a) > 0);
}

#[test]
fn a_scan_for_one_destination_reads_its_channel_until_it_has_enough() {
    let mut tracker = Tracker::new(64);
    let (a, b) = (to(0, "a"), to(1, "b"));
    assert!(tracker.seeks(a.channel) && tracker.seeks(b.channel), "the first reads everything");
    for id in 0..32 {
        tracker.offer(&b, entry(id, 0));
    }
    scan(&mut tracker, &a, (100..200).map(|id| (id, 0)));
    deliver_all(&mut tracker, &a);
    tracker.scan_begun(false);
    assert!(tracker.seeks(a.channel) && !tracker.seeks(b.channel));
    let ticket = tracker.begin_reading();
    let taken = (116..200).take_while(|id| {
        tracker.offer_scanned(&a, entry(*id, 0), ticket);
        tracker.seeks(a.channel)
    });
    assert_eq!(taken.count(), tracker.thresholds().share);
    tracker.end_reading(ticket);
    assert!(!wants_scan(&tracker));
    deliver_all(&mut tracker, &a);
    assert!(wants_scan(&tracker), "what was not read is not forgotten");
}

#[test]
fn a_scan_fills_memory_to_three_quarters_with_one_destination_too() {
    let mut tracker = Tracker::new(640);
    let (long, other, dead) = (to(0, "long"), to(0, "other"), to(0, "dead"));
    tracker.trouble(&dead);
    let read = |tracker: &mut Tracker| {
        let ticket = tracker.begin_reading();
        for id in 0..2_000 {
            if tracker.scan_room() > 0 {
                tracker.offer_scanned(&long, entry(id, 0), ticket);
            }
        }
        for id in 2_000..2_100 {
            tracker.offer_scanned(&dead, entry(id, 0), ticket);
        }
        tracker.offer_scanned(&other, entry(3_000, 0), ticket);
        tracker.end_reading(ticket);
    };
    tracker.scan_begun(false);
    read(&mut tracker);
    assert!(tracker.len() < 480, "room for what lies behind the long line: {}", tracker.len());
    assert_eq!(tracker.ready(&other), 1, "which has come in by it");
    assert!(tracker.go_on_filling());
    read(&mut tracker);
    assert_eq!(tracker.scan_room(), 0);
    assert!(tracker.ready(&long) > 320, "{}", tracker.ready(&long));
    assert!(!tracker.go_on_filling(), "once for a scan");
}

#[test]
fn mail_beyond_memory_rests_with_its_host_unless_others_have_more_there() {
    let (dead, well) = (to(0, "dead"), to(0, "well"));
    let mut tracker = Tracker::new(64);
    tracker.offer(&dead, entry(1, 0));
    tracker.offer(&well, entry(2, 0));
    tracker.trouble(&dead);
    // On disk never tried, on disk tried; ready, delayed.
    let waiting = |tracker: &Tracker, untried, tried| {
        let stored = Counts { untried, tried, ..Counts::default() };
        let waiting = tracker.tally()[&ChannelId(0)].waiting(&stored);
        (waiting.ready, waiting.delayed)
    };
    assert_eq!(waiting(&tracker, 7, 2), (6, 3), "more is on its way to memory");
    scan(&mut tracker, &dead, (3..1_000).map(|id| (id, 0)));
    assert!(tracker.len() < 64 && tracker.rest.is_left(tracker.line_of[&dead]));
    assert_eq!(waiting(&tracker, 999, 2), (1, 1_000));
    tracker.leave(tracker.line_of[&well], 0);
    let resting = tracker.tally()[&ChannelId(0)].resting as u64;
    assert_eq!(waiting(&tracker, 999, 2), (999 - resting, resting + 2), "nobody knows whose it is");
    tracker.rest.forget(tracker.line_of[&well]);
    tracker.recover(&dead);
    assert_eq!(waiting(&tracker, 999, 2), (999, 2));

    // A full memory remembers only that there is more.
    let mut full = Tracker::new(8);
    full.offer(&to(0, "dead"), entry(0, 0));
    full.trouble(&dead);
    for id in 1..20 {
        full.offer(&dead, entry(id, 0));
    }
    assert!(full.overflowed && full.len() == 8);
    assert_eq!(waiting(&full, 20, 0), (0, 20));
}

#[test]
fn what_overflowed_is_found_although_another_is_always_hungry() {
    let mut tracker = Tracker::new(800);
    let (long, x) = (to(0, "long"), to(2, "x"));
    // Memory is more than half full: only a scan for all finds what overflowed.
    for id in 0..500 {
        tracker.offer(&to(1, &(id % 20).to_string()), failed(id, 1 << 40));
    }
    scan(&mut tracker, &long, (100_000..100_900).map(|id| (id, 0)));
    deliver_all(&mut tracker, &long);
    tracker.overflowed = true;
    assert!(wants_scan(&tracker));
    tracker.scan_begun(false);
    assert!(!tracker.reads_all() && !tracker.seeks(x.channel), "it is not time yet");
    tracker.scan_begun(true);
    assert!(tracker.reads_all() && tracker.seeks(x.channel));
    assert!(!tracker.overflowed);
    tracker.scan_begun(true);
    assert!(!tracker.reads_all(), "nothing overflowed since");
}

#[test]
fn what_a_scan_has_read_may_come_in_beyond_three_quarters_and_never_fills_memory() {
    let mut tracker = Tracker::new(64);
    for id in 0..47 {
        tracker.offer(&to(1, &id.to_string()), entry(id, 0));
    }
    tracker.scan_begun(false);
    let ticket = tracker.begin_reading();
    let mut offer = |id: u64| tracker.offer_scanned(&to(0, &id.to_string()), entry(id, 0), ticket);
    let taken = (100..200).filter(|id| offer(*id) == Admission::Ready).count();
    assert_eq!((taken, tracker.len()), (9, 56));
    assert!(tracker.overflowed, "the rest is not forgotten");
}

#[test]
fn dead_hosts_of_which_memory_has_nothing_are_bounded_and_wait_for_their_time() {
    let mut tracker = Tracker::new(8);
    tracker.scan_begun(false);
    let ticket = tracker.begin_reading();
    for n in 0..100 {
        let dead = to(0, &n.to_string());
        tracker.offer(&dead, entry(10 * n, 0));
        tracker.trouble(&dead);
        let mut found = 10 * n + 1..;
        let mut offer = |id| tracker.offer_scanned(&dead, entry(id, 5_000), ticket);
        assert!(found.any(|id| offer(id) == Admission::Overflowed), "more than a trickle");
        (10 * n..found.start).for_each(|id| {
            tracker.finish(MessageId(id), 0);
        });
        assert_eq!(tracker.overflowed, n >= 8, "a scan for all finds what is not remembered");
    }
    tracker.end_reading(ticket);
    assert_eq!((tracker.len(), tracker.line_of.len()), (0, 8));
    assert!(!tracker.is_hungry(), "nothing of theirs could go");
    tracker.wake(5_000);
    assert!(tracker.is_hungry());
}

#[test]
fn many_hosts_that_die_at_once_do_not_stop_the_queue() {
    let mut tracker = Tracker::new(100_000);
    let hosts: Vec<_> = (0..20_000).map(|n: u64| to(0, &n.to_string())).collect();
    for (id, host) in (0..).step_by(2).zip(&hosts) {
        tracker.offer(host, entry(id, 0));
        tracker.offer(host, entry(id + 1, 0));
    }
    tracker.note_overflow();
    let started = Instant::now();
    for host in &hosts {
        tracker.trouble(host);
    }
    let took = started.elapsed();
    // A look at all the others for each takes several times as long.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(tracker.len(), 20_000, "one of each is kept");
}

#[test]
fn what_waits_for_too_long_is_brought_forward_and_nothing_else_is() {
    let mut tracker = Tracker::new(100);
    let (a, b) = (to(0, "a"), to(1, "b"));
    tracker.offer(&a, failed(1, 1 << 40));
    tracker.offer(&a, failed(2, 3_000));
    tracker.offer(&b, failed(3, 8_000));
    tracker.offer(&b, failed(4, 10_000));
    let latest = |channel: ChannelId, _| if channel == a.channel { 5_000 } else { 9_000 };
    let brought = tracker.bring_forward(latest);
    let (early, late) = (failed(1, 5_000), failed(4, 9_000));
    let expected = [
        (a.clone(), failed(1, 1 << 40).waiting(), early),
        (b.clone(), failed(4, 10_000).waiting(), late),
    ];
    assert_eq!(brought, expected);
    assert_eq!(tracker.bring_forward(latest), [], "once");
    for (now, to, taken) in [(3_000, &a, failed(2, 3_000)), (5_000, &a, early)] {
        assert_eq!(tracker.wake(now).len(), 1);
        assert_eq!(tracker.take(to), Some(taken));
    }
    assert_eq!((tracker.wake(9_000).len(), tracker.ready(&b)), (1, 2));
    assert!(tracker.wake(u64::MAX).is_empty(), "nobody is woken twice");
}

#[test]
fn what_is_taken_aside_comes_back_only_when_it_is_put_back() {
    let mut tracker = Tracker::new(16);
    let a = to(0, "a");
    tracker.offer(&a, entry(1, 0));
    assert_eq!(tracker.take_aside(MessageId(1), 0), Aside::Tracked(entry(1, 0)));
    assert_eq!(tracker.take_aside(MessageId(1), 0), Aside::Busy);
    assert_eq!(tracker.take_aside(MessageId(2), 0), Aside::Untracked);
    let ticket = tracker.begin_reading();
    assert_eq!(tracker.offer_scanned(&a, entry(1, 0), ticket), Admission::Known);
    assert_eq!(tracker.offer(&a, entry(2, 0)), Admission::Known);
    assert_eq!(tracker.put_back(&a, entry(1, 0)), Admission::Ready);
    tracker.done_aside(MessageId(2), 0);
    assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(1));
    assert_eq!(tracker.take_aside(MessageId(1), 0), Aside::Busy, "a job has it");
}

#[test]
fn a_lower_limit_forgets_what_is_beyond_it() {
    let mut tracker = Tracker::new(64);
    let a = to(0, "a");
    (0..64).for_each(|id| {
        tracker.offer(&a, entry(id, 0));
    });
    (0..20).for_each(|_| {
        tracker.take(&a);
    });
    tracker.set_max(32);
    assert_eq!((tracker.len(), tracker.active(), tracker.ready(&a)), (32, 20, 12));
    assert!(tracker.overflowed);
    tracker.set_max(10);
    assert_eq!((tracker.len(), tracker.active()), (20, 20), "what jobs have stays");
}

#[test]
fn what_was_finished_while_a_scan_was_reading_is_not_taken_back() {
    let mut tracker = Tracker::new(16);
    let a = to(0, "a");
    tracker.offer(&a, entry(1, 0));
    let first = tracker.begin_reading();
    tracker.take(&a);
    tracker.finish(MessageId(1), 0);
    assert_eq!(tracker.offer_scanned(&a, entry(1, 0), first), Admission::Known);
    assert_eq!(tracker.take(&a), None);
    let second = tracker.begin_reading();
    tracker.end_reading(first);
    assert_eq!(tracker.offer_scanned(&a, entry(1, 0), second), Admission::Ready, "newer than that");
}

/// The state of an entry, in the plainest model there is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Ready,
    Active,
    Delayed(u64),
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u64, u8, u64),
    /// By a scan.
    Find(u64, u8, u64),
    Take(u8),
    Finish(u64),
    Defer(u64, u64),
    GiveBack(u64),
    Wake(u64),
    BringForward(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u64..40;
    prop_oneof![
        (id.clone(), 0u8..3, 0u64..50).prop_map(|(i, h, d)| Step::Offer(
            i,
            h,
            d.saturating_sub(25)
        )),
        (id.clone(), 0u8..3, 0u64..50).prop_map(|(i, h, d)| Step::Find(i, h, d.saturating_sub(25))),
        (0u8..3).prop_map(Step::Take),
        id.clone().prop_map(Step::Finish),
        (id.clone(), 1u64..50).prop_map(|(i, d)| Step::Defer(i, d)),
        id.prop_map(Step::GiveBack),
        (0u64..50).prop_map(Step::Wake),
        (1u64..50).prop_map(Step::BringForward),
    ]
}

proptest! {
    #[test]
    fn the_tracker_agrees_with_a_plain_model(steps in prop::collection::vec(step(), 1..200)) {
        let mut tracker = Tracker::new(24);
        let limits = tracker.thresholds();
        let mut model: HashMap<u64, (u8, Model)> = HashMap::new();
        let hosts: Vec<_> = (0..3).map(|h: u8| to(0, &h.to_string())).collect();
        for step in steps {
            match step {
                Step::Offer(id, host, due) => {
                    // A message's host never changes.
                    let host = (host + id as u8) % 3;
                    let host = model.get(&id).map_or(host, |(host, _)| *host);
                    let answer = tracker.offer(&hosts[usize::from(host)], entry(id, due));
                    let known = model.contains_key(&id);
                    prop_assert_eq!(answer == Admission::Known, known);
                    let of = |wanted: u8| model.values().filter(|(its, _)| *its == wanted).count();
                    let idle = |hog: u8| model.values().any(|(its, m)| *its == hog && *m != Model::Active);
                    let gives_way = |hog: u8| of(hog) > limits.share.max(of(host) + 1) && idle(hog);
                    let full = model.len() >= limits.max;
                    let displaces = full && (0..3).any(gives_way);
                    if !known && displaces {
                        // The model does not care which of the hog's made room, but one did.
                        let left = |id: &u64| tracker.state_of(MessageId(*id), 0).is_none();
                        let left: Vec<u64> = model.keys().copied().filter(left).collect();
                        prop_assert_eq!(left.len(), 1);
                        let (hog, was) = model[&left[0]];
                        prop_assert!(of(hog) > limits.share && was != Model::Active);
                        model.remove(&left[0]);
                    }
                    if !known && (!full || displaces) {
                        let state = if due == 0 { Model::Ready } else { Model::Delayed(due) };
                        model.insert(id, (host, state));
                    }
                }
                Step::Find(id, host, due) => {
                    let host = (host + id as u8) % 3;
                    let host = model.get(&id).map_or(host, |(host, _)| *host);
                    let to = &hosts[usize::from(host)];
                    let ticket = tracker.begin_reading();
                    let answer = tracker.offer_scanned(to, entry(id, due), ticket);
                    tracker.end_reading(ticket);
                    let known = model.len();
                    match answer {
                        Admission::Known => prop_assert!(model.contains_key(&id)),
                        Admission::Overflowed => {
                            let left = tracker.line_of.get(to);
                            let left = left.is_some_and(|line| tracker.rest.is_left(*line));
                            prop_assert!(tracker.overflowed || left, "nothing is lost");
                            // An entry that could go at once stays out only for want of room.
                            prop_assert!(known >= limits.low || due > 0);
                        }
                        Admission::Ready | Admission::Delayed => {
                            prop_assert!(!model.contains_key(&id) && known < limits.scanned);
                            let state = if due == 0 { Model::Ready } else { Model::Delayed(due) };
                            model.insert(id, (host, state));
                        }
                    }
                }
                Step::Take(host) => match tracker.take(&hosts[usize::from(host)]) {
                    Some(taken) => {
                        let ready = model.iter().filter(|(_, m)| **m == (host, Model::Ready));
                        let first = ready.map(|(id, _)| (entry(*id, 0).priority, *id)).min();
                        prop_assert_eq!(first, Some((taken.priority, taken.id.0)));
                        model.insert(taken.id.0, (host, Model::Active));
                    }
                    None => prop_assert!(!model.values().any(|m| *m == (host, Model::Ready))),
                },
                Step::Finish(id) => {
                    let was = model.remove(&id).is_some();
                    prop_assert_eq!(tracker.finish(MessageId(id), 0).is_some(), was);
                }
                Step::Defer(id, due) => {
                    tracker.defer(failed(id, due), false);
                    let known = model.len();
                    if let Some(&(host, _)) = model.get(&id) {
                        let others = |wanted: u8| {
                            let of = |(other, m): &(&u64, &(u8, Model))| **other != id && m.0 == wanted;
                            model.iter().filter(of).count()
                        };
                        let idle = |hog: u8| {
                            let idle = |(other, m): (&u64, &(u8, Model))| {
                                *other != id && m.0 == hog && m.1 != Model::Active
                            };
                            model.iter().any(idle)
                        };
                        let delayed = model.iter().filter(|(other, m)| {
                            **other != id && matches!(m.1, Model::Delayed(_))
                        });
                        let full = known > limits.forget_known
                            && delayed.count() > limits.forget_delayed;
                        let hogs = |hog: u8| others(hog) > limits.share;
                        let gives_way = !hogs(host) && (0..3).any(|hog| hogs(hog) && idle(hog));
                        if full && gives_way {
                            let left = |id: &u64| tracker.state_of(MessageId(*id), 0).is_none();
                            let left: Vec<u64> = model.keys().copied().filter(left).collect();
                            prop_assert_eq!(left.len(), 1);
                            let (hog, was) = model[&left[0]];
                            prop_assert!(hogs(hog) && was != Model::Active);
                            model.remove(&left[0]);
                        }
                        if full && !gives_way {
                            model.remove(&id);
                        } else {
                            model.insert(id, (host, Model::Delayed(due)));
                        }
                    }
                }
                Step::GiveBack(id) => {
                    tracker.give_back(MessageId(id), 0);
                    if let Some((_, state @ Model::Active)) = model.get_mut(&id) {
                        *state = Model::Ready;
                    }
                }
                Step::BringForward(latest) => {
                    let mut expected = 0;
                    for (_, state) in model.values_mut() {
                        if let Model::Delayed(due) = state && *due > latest {
                            (*due, expected) = (latest, expected + 1);
                        }
                    }
                    prop_assert_eq!(tracker.bring_forward(|_, _| latest).len(), expected);
                }
                Step::Wake(now) => {
                    tracker.wake(now);
                    for (_, state) in model.values_mut() {
                        if matches!(state, Model::Delayed(due) if *due <= now) {
                            *state = Model::Ready;
                        }
                    }
                }
            }
            let count = |want: fn(&Model) -> bool| model.values().filter(|m| want(&m.1)).count();
            let tally = tracker.tally().remove(&ChannelId(0)).unwrap_or_default();
            prop_assert!(tracker.len() <= limits.max);
            prop_assert_eq!(tracker.len(), model.len());
            prop_assert_eq!(tally.ready, count(|m| *m == Model::Ready));
            prop_assert_eq!(tally.active, count(|m| *m == Model::Active));
            prop_assert_eq!(tally.delayed, count(|m| matches!(m, Model::Delayed(_))));
            prop_assert_eq!(tracker.active(), tally.active);
            prop_assert_eq!(tally.resting, 0);
        }
    }
}
