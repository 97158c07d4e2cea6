//! The knowledge of a domain, as records and policies come and go.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

#[derive(Default)]
struct Source {
    record: Mutex<Option<String>>,
    policy: Mutex<Option<String>>,
    fetches: AtomicUsize,
}

impl Source {
    fn says(&self, record: Option<&str>, policy: Option<&str>) {
        *self.record.lock().unwrap() = record.map(str::to_owned);
        *self.policy.lock().unwrap() = policy.map(str::to_owned);
    }
}

impl StsSource for Arc<Source> {
    async fn texts(&self, name: &str) -> Option<Vec<String>> {
        assert_eq!(name, "_mta-sts.a.test");
        self.record.lock().unwrap().clone().map(|record| vec![record])
    }

    async fn policy(&self, domain: &str) -> Result<Vec<u8>, FetchFault> {
        assert_eq!(domain, "a.test");
        self.fetches.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        let policy = self.policy.lock().unwrap().clone();
        policy.map(String::into_bytes).ok_or_else(|| FetchFault::Failed("gone".to_owned()))
    }
}

fn text(mode: &str, age: u64) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: mx.a.test\nmax_age: {age}\n")
}

fn mode(found: &StsFound) -> Option<StsMode> {
    found.policy.as_ref().map(|policy| policy.mode)
}

const ENFORCE: Option<StsMode> = Some(StsMode::Enforce);
const TESTING: Option<StsMode> = Some(StsMode::Testing);

#[tokio::test]
async fn a_policy_holds_for_its_age_whatever_becomes_of_its_record_and_server() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source::default());
    let cache = StsCache::new(vec![Arc::clone(&source)], Some(folder.path().join("mta-sts")));
    let enforce = text("enforce", 1_000);
    let steps = [
        // seconds, record, policy at the server; mode that holds, fetches so far
        (0, None, None, None, 0),
        (1, Some("v=STSv1; id=1"), None, None, 1),
        // A failure is remembered for five minutes.
        (100, Some("v=STSv1; id=1"), Some(&*enforce), None, 1),
        (302, Some("v=STSv1; id=1"), Some(&enforce), ENFORCE, 2),
        (400, Some("v=STSv1; id=1"), None, ENFORCE, 2),
        (500, None, None, ENFORCE, 2),
        // Another id, and the server is away: the old policy goes on.
        (600, Some("v=STSv1; id=2"), None, ENFORCE, 3),
        (700, Some("v=STSv1; id=2"), Some("nonsense"), ENFORCE, 3),
        (901, Some("v=STSv1; id=2"), Some("nonsense"), ENFORCE, 4),
        // Past its end nothing is left of it.
        (1_303, None, None, None, 4),
    ];
    for (at, record, policy, want, fetches) in steps {
        source.says(record, policy);
        let found = cache.find("a.test", 0, at).await;
        assert_eq!((mode(&found), source.fetches.load(SeqCst)), (want, fetches), "at {at}");
    }
}

#[tokio::test]
async fn a_policy_is_renewed_by_its_id_and_before_its_end() {
    let source = Arc::new(Source::default());
    let cache = StsCache::new(vec![Arc::clone(&source)], None);
    let (enforce, testing, none) =
        (text("enforce", 1_000), text("testing", 1_000), text("none", 1_000));
    let steps = [
        (0, "v=STSv1; id=1", &enforce, ENFORCE, 1),
        // A policy is hardly a minute old when it is fetched again.
        (10, "v=STSv1; id=2", &testing, ENFORCE, 1),
        (60, "v=STSv1; id=2", &testing, TESTING, 2),
        (70, "v=STSv1; id=2", &enforce, TESTING, 2),
        (820, "v=STSv1; id=2", &enforce, ENFORCE, 3),
        // The domain takes its policy back.
        (880, "v=STSv1; id=3", &none, None, 4),
    ];
    for (at, record, policy, want, fetches) in steps {
        source.says(Some(record), Some(policy));
        let found = cache.find("a.test", 0, at).await;
        assert_eq!((mode(&found), source.fetches.load(SeqCst)), (want, fetches), "at {at}");
    }
}

#[tokio::test]
async fn a_policy_survives_a_restart_and_damage_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source::default());
    let cache = || StsCache::new(vec![Arc::clone(&source)], Some(folder.path().to_owned()));
    source.says(Some("v=STSv1; id=1"), Some(&text("enforce", 1_000)));
    assert_eq!(mode(&cache().find("a.test", 0, 100).await), ENFORCE);
    source.says(None, None);
    let found = cache().find("a.test", 0, 200).await;
    assert_eq!((mode(&found), found.id.as_deref()), (ENFORCE, Some("1")));
    assert_eq!(mode(&cache().find("a.test", 0, 1_100).await), None);
    // Cut off anywhere it is a policy no more, or the same one: max_age is its last line.
    let whole = std::fs::read(folder.path().join("a.test")).unwrap();
    for cut in 0..whole.len() - "000\n".len() {
        std::fs::write(folder.path().join("a.test"), &whole[..cut]).unwrap();
        let found = cache().find("a.test", 0, 200).await;
        assert!(mode(&found).is_none() || cut > whole.len() - "1000\n".len(), "{cut}");
    }
    std::fs::write(folder.path().join("a.test"), &whole).unwrap();
    std::fs::write(folder.path().join("b.test"), "nonsense").unwrap();
    assert_eq!(tidy(folder.path(), 200).unwrap(), 1);
    assert!(!folder.path().join("b.test").exists());
    assert_eq!(tidy(folder.path(), 1_200).unwrap(), 0);
}

#[tokio::test]
async fn sources_that_disagree_share_the_policy_that_was_fetched_last() {
    let sources = [Arc::new(Source::default()), Arc::new(Source::default())];
    let cache = StsCache::new(sources.to_vec(), None);
    let [enforce, testing] = ["enforce", "testing"].map(|mode| text(mode, 100_000));
    let first = (Some("v=STSv1; id=1"), Some(&*enforce));
    let other = (Some("v=STSv1; id=2"), Some(&*testing));
    let steps = [
        // seconds, which asks, what the two say; mode that holds, fetches of each so far
        (0, 0, (Some("v=STSv1; id=1"), None), (None, None), None, [1, 0]),
        (1, 1, (None, None), (None, None), None, [1, 0]),
        // The failure of one does not keep the other from asking.
        (2, 1, (None, None), other, TESTING, [1, 1]),
        // One that knows nothing keeps to the policy of the other.
        (3, 0, (None, None), other, TESTING, [1, 1]),
        (400, 0, first, other, ENFORCE, [2, 1]),
        // Mail by turns does not fetch with every message.
        (410, 1, first, other, ENFORCE, [2, 1]),
        (420, 0, first, other, ENFORCE, [2, 1]),
        (470, 1, first, other, TESTING, [2, 2]),
    ];
    for (at, asks, first, other, want, fetches) in steps {
        for (source, (record, policy)) in sources.iter().zip([first, other]) {
            source.says(record, policy);
        }
        let found = cache.find("a.test", asks, at).await;
        let seen = sources.each_ref().map(|its| its.fetches.load(SeqCst));
        assert_eq!((mode(&found), seen), (want, fetches), "at {at}");
    }
}

#[tokio::test]
async fn one_fetch_of_a_domain_at_a_time() {
    let source = Arc::new(Source::default());
    source.says(Some("v=STSv1; id=1"), Some(&text("enforce", 1_000)));
    let cache = StsCache::new(vec![Arc::clone(&source)], None);
    let (first, second) = tokio::join!(cache.find("a.test", 0, 1), cache.find("a.test", 0, 1));
    assert_eq!((mode(&first), mode(&second)), (ENFORCE, ENFORCE));
    assert_eq!(source.fetches.load(SeqCst), 1);
}
