//! Policies in the course of days, with mail and without.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use super::*;

/// Has a policy for each domain, while it is up.
#[derive(Default)]
struct Source {
    is_down: AtomicBool,
    fetches: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl StsSource for Arc<Source> {
    async fn texts(&self, _: &str) -> Option<Vec<String>> {
        (!self.is_down.load(SeqCst)).then(|| vec!["v=STSv1; id=1".to_owned()])
    }

    async fn policy(&self, domain: &str) -> Result<Vec<u8>, FetchFault> {
        self.fetches.fetch_add(1, SeqCst);
        self.most.fetch_max(self.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.under_way.fetch_sub(1, SeqCst);
        if self.is_down.load(SeqCst) {
            return Err(FetchFault::Failed("gone".to_owned()));
        }
        let text = format!("version: STSv1\nmode: enforce\nmx: {domain}\nmax_age: {}\n", 10 * DAY);
        Ok(text.into_bytes())
    }
}

const DAY: u64 = 24 * 3_600;
const HOUR: u64 = 3_600;

fn cache(source: &Arc<Source>, folder: &Path) -> StsCache<Arc<Source>> {
    StsCache::new(vec![Arc::clone(source)], Some(folder.to_owned()))
}

/// The ends of the renewals that are due by then.
async fn renewed(cache: &StsCache<Arc<Source>>, now: u64) -> Vec<RenewalEnd> {
    cache.renew(now).await.into_iter().map(|its| its.end).collect()
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_renewed_each_day_as_long_as_mail_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source::default());
    let cache = cache(&source, folder.path());
    cache.find("a.test", 0, DAY).await;
    assert_eq!(renewed(&cache, DAY + DAY / 2).await, []);
    let mut last = DAY;
    // Mail asks for it until the fifth day: what is fetched by the fifteenth holds to its end.
    for hour in 24..40 * 24 {
        let now = hour * HOUR;
        if now < 5 * DAY {
            assert!(cache.find("a.test", 0, now).await.policy.is_some());
        }
        if let [RenewalEnd::Fetched] = renewed(&cache, now).await[..] {
            assert!((DAY * 3 / 4..=DAY).contains(&(now - last)), "{now}");
            last = now;
        }
    }
    assert!((14 * DAY..15 * DAY).contains(&last), "{last}");
    assert!(!folder.path().join("a.test").exists(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_and_the_policy_holds_until_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source::default());
    let cache = cache(&source, folder.path());
    cache.find("a.test", 0, 0).await;
    source.is_down.store(true, SeqCst);
    let mut ends = Vec::new();
    for minute in 0..11 * 24 * 60 {
        let now = minute * 60;
        if minute % (24 * 60) == 0 && now < 10 * DAY {
            assert!(cache.find("a.test", 0, now).await.policy.is_some(), "{now}");
        }
        ends.extend(renewed(&cache, now).await);
    }
    let failed = RenewalEnd::Failed(FetchFault::Failed("gone".to_owned()), 10 * DAY);
    let (last, others) = ends.split_last().unwrap();
    assert!(others.iter().all(|its| *its == failed) && *last == RenewalEnd::Lapsed);
    // Each hour, from the first day on.
    assert!((200..230).contains(&others.len()), "{}", others.len());
    assert!(cache.find("a.test", 0, 11 * DAY).await.policy.is_none());
}

#[tokio::test(start_paused = true)]
async fn policies_on_disk_are_renewed_a_few_at_once_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source::default());
    let before = cache(&source, folder.path());
    for n in 0..20 {
        before.find(&format!("{n}.test"), 0, 0).await;
    }
    // Mail asks for one of them later; the pass of then writes that down.
    before.find("7.test", 0, 6 * DAY).await;
    before.renew(HOUR).await;
    let after = cache(&source, folder.path());
    after.read_all().unwrap();
    source.fetches.store(0, SeqCst);
    assert_eq!(renewed(&after, 2 * DAY).await.len(), 20);
    assert_eq!((source.fetches.load(SeqCst), source.most.load(SeqCst)), (20, AT_ONCE));
    let late = cache(&source, folder.path());
    late.read_all().unwrap();
    assert_eq!(late.renew(11 * DAY).await.len(), 1, "nobody has asked for the others");
}
