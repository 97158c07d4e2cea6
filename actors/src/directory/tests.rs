//! The actor with a directory that is slow, fails, or has a bug.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use relais_config::{
    directory::{Cache as Limits, UrlCache},
    lookup_url::UrlQuery,
};
use tokio::sync::Semaphore;

use super::{
    DirectoryHandle, Domain, Entry, LookingUp, Lookup, LookupCounts, LookupError, MemberSearch,
    Remote, Source,
};
use crate::actor::{Ground, Meters};

/// Answers by what it is asked for: `slow` when it may, `down` never, `bug` panics; the rest at once.
#[derive(Debug)]
struct ScriptedSource {
    asked: Mutex<Vec<String>>,
    /// Slow answers that may be given.
    may_answer: Arc<Semaphore>,
}

impl ScriptedSource {
    fn new() -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), may_answer: Arc::new(Semaphore::new(0)) })
    }

    fn source(self: &Arc<Self>) -> Source {
        let (ttl, negative_ttl) = (Duration::from_secs(600), Duration::from_secs(60));
        Source::Remote(self.clone(), Limits { entries: 64, ttl, negative_ttl })
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.contains(what)).count()
    }

    fn answer<V: Send + 'static>(&self, what: String, answer: V) -> LookingUp<V> {
        self.asked.lock().unwrap().push(what.clone());
        let may_answer = Arc::clone(&self.may_answer);
        Box::pin(async move {
            assert!(!what.contains("bug"), "a bug in the source");
            if what.contains("slow") {
                let _ = may_answer.acquire().await;
            }
            if what.contains("down") { Err(LookupError("down".to_owned())) } else { Ok(answer) }
        })
    }
}

impl Remote for ScriptedSource {
    fn domain(&self, name: &str) -> LookingUp<Option<Arc<Domain>>> {
        let ours = !name.contains("elsewhere");
        self.answer(format!("domain {name}"), ours.then(|| domain(name)))
    }

    fn entries(&self, domain: &Arc<Domain>, address: &str) -> LookingUp<Vec<Arc<Entry>>> {
        let found = vec![Arc::new(Entry::new(format!("mail={address},{}", domain.base)))];
        self.answer(format!("address {address} below {}", domain.base), found)
    }

    fn users(&self, domain: &Arc<Domain>, uid: &str) -> LookingUp<Vec<Arc<Entry>>> {
        let found = vec![Arc::new(Entry::new(format!("uid={uid},{}", domain.base)))];
        self.answer(format!("uid {uid} below {}", domain.base), found)
    }

    fn entry(&self, dn: &str) -> LookingUp<Option<Arc<Entry>>> {
        self.answer(format!("name {dn}"), Some(Arc::new(Entry::new(dn))))
    }

    fn found_by(&self, search: &MemberSearch, _: &[String]) -> LookingUp<Vec<Arc<Entry>>> {
        self.answer(format!("search {search}"), vec![Arc::new(Entry::new("uid=x"))])
    }

    fn url(&self, query: &UrlQuery) -> LookingUp<Option<Arc<String>>> {
        self.answer(query.to_string(), Some(Arc::new(query.base.clone())))
    }

    fn url_limits(&self) -> Limits {
        UrlCache::default().limits()
    }

    fn login(&self, dn: &str, password: &str) -> LookingUp<bool> {
        self.answer(format!("login {dn}"), password == "secret")
    }
}

fn domain(name: &str) -> Arc<Domain> {
    let entry = Arc::new(Entry::new(format!("o={name}")));
    Arc::new(Domain { name: name.to_owned(), base: format!("o={name}"), entry })
}

fn start(source: Source) -> DirectoryHandle {
    super::start(source, &Ground::new(Meters::default(), Box::new(|_| ())))
}

/// A hundred who ask for the entries of one address at once.
fn hundred(
    directory: &DirectoryHandle,
    address: &'static str,
) -> Vec<tokio::task::JoinHandle<Result<Vec<Arc<Entry>>, LookupError>>> {
    let ask = |_| {
        let directory = directory.clone();
        actix::spawn(async move { directory.entries(&domain("x.example"), address).await })
    };
    (0..100).map(ask).collect()
}

#[actix::test]
async fn a_hundred_who_ask_at_once_make_one_look_up_and_a_slow_one_holds_up_no_other() {
    let scripted = ScriptedSource::new();
    let directory = start(scripted.source());
    let waiting = hundred(&directory, "slow@x.example");
    // All of these come after the hundred, and are answered before them.
    assert!(directory.domain("x.example").await.unwrap().is_some());
    assert!(directory.domain("elsewhere.example").await.unwrap().is_none());
    assert!(directory.entry("uid=a").await.unwrap().is_some());
    let other = directory.entries(&domain("x.example"), "quick@x.example").await.unwrap();
    assert_eq!(other[0].dn, "mail=quick@x.example,o=x.example");
    assert!(waiting.iter().all(|asker| !asker.is_finished()));
    scripted.may_answer.add_permits(1);
    for asker in waiting {
        assert_eq!(asker.await.unwrap().unwrap()[0].dn, "mail=slow@x.example,o=x.example");
    }
    assert_eq!(scripted.asked("slow@"), 1);

    // The answer is believed, of one domain and not of another.
    for asker in hundred(&directory, "slow@x.example") {
        asker.await.unwrap().unwrap();
    }
    assert!(directory.domain("elsewhere.example").await.unwrap().is_none());
    assert_eq!((scripted.asked("slow@"), scripted.asked("elsewhere")), (1, 1));
    scripted.may_answer.add_permits(1);
    directory.entries(&domain("y.example"), "slow@x.example").await.unwrap();
    assert_eq!(scripted.asked("slow@"), 2);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let LookupCounts { found, missing, failed } = &*directory.counts;
    assert_eq!((count(found), count(missing), count(failed)), (5, 1, 0));
}

#[actix::test]
async fn a_failure_is_told_to_all_who_wait_for_it_and_not_remembered() {
    let scripted = ScriptedSource::new();
    let directory = start(scripted.source());
    for (round, address) in [(1, "down@x.example"), (2, "down@x.example")] {
        for asker in hundred(&directory, address) {
            assert_eq!(asker.await.unwrap(), Err(LookupError("down".to_owned())));
        }
        assert_eq!(scripted.asked("down@"), round);
    }
    // A bug is a failure of the look-up that met it.
    for asker in hundred(&directory, "bug@x.example") {
        assert!(asker.await.unwrap().unwrap_err().to_string().contains("panicked"));
    }
    assert!(directory.domain("x.example").await.unwrap().is_some(), "the actor lives");
    assert_eq!(directory.counts.failed.load(Ordering::Relaxed), 3);
}

#[actix::test]
async fn another_source_is_asked_anew() {
    let (old, new) = (ScriptedSource::new(), ScriptedSource::new());
    let directory = start(old.source());
    directory.domain("x.example").await.unwrap();
    let waiting = hundred(&directory, "slow@x.example");
    directory.domain("x.example").await.unwrap();
    directory.adopt(new.source()).await.unwrap();
    directory.domain("x.example").await.unwrap();
    new.may_answer.add_permits(1);
    directory.entries(&domain("x.example"), "slow@x.example").await.unwrap();
    assert_eq!((old.asked("domain"), old.asked("slow@")), (1, 1));
    assert_eq!((new.asked("domain"), new.asked("slow@")), (1, 1));
    // A question to the old source gets the old source's answer.
    old.may_answer.add_permits(1);
    for asker in waiting {
        asker.await.unwrap().unwrap();
    }
    directory.adopt(Source::None).await.unwrap();
    assert!(directory.domain("x.example").await.unwrap().is_none());
}
