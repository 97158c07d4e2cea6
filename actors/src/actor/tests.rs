//! A small actor that does everything an actor can do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix::Message;
use prometheus_client::{encoding::text::encode, registry::Registry};

use super::{Actor, Ctx, Gone, Ground, Handle, Later, Meters, Outlet, Placement, Remedy};

struct Echo;

/// Is answered with twice the number.
#[derive(Message)]
#[rtype(result = "u32")]
struct Double(u32);

/// The same, after a while.
#[derive(Message)]
#[rtype(result = "u32")]
struct DoubleLater(u32, Duration);

/// Works without waiting for anything.
#[derive(Message)]
#[rtype(result = "()")]
struct Toil(Duration);

/// Ends the actor.
#[derive(Message)]
#[rtype(result = "()")]
struct Fall;

impl Actor for Echo {
    const NAME: &'static str = "echo";
}

impl Handle<Double> for Echo {
    fn handle(&mut self, Double(number): Double, _: &mut Ctx<Self>) -> u32 {
        number * 2
    }
}

impl Handle<DoubleLater> for Echo {
    fn handle(&mut self, DoubleLater(number, wait): DoubleLater, _: &mut Ctx<Self>) -> Later<u32> {
        Later::new(async move {
            actix::clock::sleep(wait).await;
            number * 2
        })
    }
}

impl Handle<Toil> for Echo {
    fn handle(&mut self, Toil(time): Toil, _: &mut Ctx<Self>) {
        std::thread::sleep(time);
    }
}

impl Handle<Fall> for Echo {
    fn handle(&mut self, _: Fall, _: &mut Ctx<Self>) {
        panic!("as the test wants it");
    }
}

/// A ground, and what a scrape of it shows.
fn ground() -> (Ground, impl Fn(&str) -> f64) {
    let mut registry = Registry::default();
    let meters = Meters::register(&mut registry, &["echo", "watch"]);
    let shown = move |series: &str| {
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is missing from\n{page}")).parse().unwrap()
    };
    (Ground::new(meters, Box::new(|_| ())), shown)
}

#[actix::test]
async fn every_message_is_counted_by_its_type() {
    let (ground, shown) = ground();
    let echo = ground.start(Echo);
    assert_eq!(echo.ask(Double(4)).await, Ok(8));
    assert_eq!(echo.outlet().ask(Double(5)).await, Ok(10));
    assert_eq!(echo.ask(DoubleLater(6, Duration::from_millis(1))).await, Ok(12));
    let count = |message: &str| {
        shown(&format!("actor_messages_total{{actor=\"echo\",message=\"{message}\"}}"))
    };
    assert!((count("Begin") - 1.0).abs() < 0.1);
    assert!((count("Double") - 2.0).abs() < 0.1);
    assert!((count("DoubleLater") - 1.0).abs() < 0.1);
    assert!(shown("actor_mailbox_depth{actor=\"echo\"}").abs() < 0.1);
}

#[actix::test]
async fn waiting_for_others_is_not_busy_and_working_is() {
    let (ground, shown) = ground();
    let echo = ground.start(Echo);
    let busy = || shown("actor_busy_seconds_total{actor=\"echo\"}");
    let wait = Duration::from_millis(300);
    let began = Instant::now();
    assert_eq!(echo.ask(DoubleLater(6, wait)).await, Ok(12));
    assert!(began.elapsed() >= wait);
    assert!(busy() < 0.1, "{} s", busy());
    echo.ask(Toil(wait)).await.unwrap();
    assert!(busy() >= 0.3, "{} s", busy());
}

#[actix::test]
async fn depth_and_waiting_time_tell_of_a_slow_actor() {
    let (ground, shown) = ground();
    let (placement, arbiters) = Placement::start(2);
    let echo = ground.start_on(placement.of_sessions().1, "echo", || Echo);
    echo.ask(Double(1)).await.unwrap();
    let depth = || shown("actor_mailbox_depth{actor=\"echo\"}");
    echo.tell(Toil(Duration::from_millis(400)));
    for _ in 0..5 {
        echo.tell(Toil(Duration::ZERO));
    }
    actix::clock::sleep(Duration::from_millis(50)).await;
    assert!((depth() - 5.0).abs() < 0.1, "{}", depth());
    echo.ask(Double(1)).await.unwrap();
    assert!(depth().abs() < 0.1, "{}", depth());
    // Five and the question waited for 0.4 s, less what the sleep above took.
    let waited = shown("actor_mailbox_wait_seconds_total{actor=\"echo\"}");
    assert!(waited >= 6.0 * 0.3, "{waited}");
    for arbiter in arbiters {
        arbiter.stop();
    }
}

#[actix::test]
async fn what_waits_for_an_actor_that_dies_waits_no_more() {
    let (ground, shown) = ground();
    let (placement, arbiters) = Placement::start(2);
    let echo = ground.start_on(placement.of_sessions().1, "echo", || Echo);
    echo.tell(Toil(Duration::from_millis(100)));
    echo.tell(Fall);
    let lost = echo.ask(Double(1));
    assert_eq!(lost.await, Err(Gone("echo")));
    assert_eq!(echo.ask(Double(1)).await, Err(Gone("echo")));
    assert!(shown("actor_mailbox_depth{actor=\"echo\"}").abs() < 0.1);
    for arbiter in arbiters {
        arbiter.stop();
    }
}

#[actix::test]
async fn the_dead_are_counted_by_cause_and_brought_back() {
    let (ground, shown) = ground();
    let (placement, arbiters) = Placement::start(2);
    let (told, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let remedy = Remedy::Restart {
        told: {
            let told = told.clone();
            Box::new(move |cause| {
                assert_eq!(cause, "panic");
                told.fetch_add(1, Ordering::Relaxed);
            })
        },
        again: {
            let again = again.clone();
            Box::new(move || {
                again.fetch_add(1, Ordering::Relaxed);
            })
        },
    };
    ground.guard("echo", remedy);
    ground.start_on(placement.of_sessions().1, "echo", || Echo).tell(Fall);
    for _ in 0..200 {
        if again.load(Ordering::Relaxed) == 1 {
            break;
        }
        actix::clock::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((told.load(Ordering::Relaxed), again.load(Ordering::Relaxed)), (1, 1));
    let panics = shown("actor_restarts_total{actor=\"echo\",cause=\"panic\"}");
    assert!((panics - 1.0).abs() < 0.1, "{panics}");
    for arbiter in arbiters {
        arbiter.stop();
    }
}

#[actix::test]
async fn an_outlet_can_be_a_function_of_a_test() {
    let outlet = Outlet::scripted(|Double(number)| number + 1);
    assert_eq!(outlet.ask(Double(4)).await, Ok(5));
}

#[actix::test]
async fn a_weak_outlet_keeps_no_actor_alive() {
    let (ground, _) = ground();
    let echo = ground.start(Echo);
    let outlet = echo.downgrade().outlet();
    assert_eq!(outlet.ask(Double(4)).await, Ok(8));
    drop(echo);
    actix::clock::sleep(Duration::from_millis(20)).await;
    assert_eq!(outlet.ask(Double(4)).await, Err(Gone("echo")));
}
