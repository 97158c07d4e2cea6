//! The right to have questions in flight: each takes sockets, so only so many are.
//!
//! Name servers that never answer must not hold the sockets that others wait for: a question without an
//! answer for a moment goes on among the few that may take long, and is given up where those are full and
//! others may be waiting, as recursive name servers do (`jostle-timeout` of unbound.conf(5)).

use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};

/// Questions in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    new: Semaphore,
    slow: Semaphore,
    lent: Semaphore,
}

/// Nobody answered in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GivenUp;

impl Default for InFlight {
    fn default() -> Self {
        let [new, slow, lent] = [NEW, SLOW, LENT].map(Semaphore::new);
        Self { new, slow, lent }
    }
}

impl InFlight {
    /// Waits for the right to ask, and then for the answer.
    pub(super) async fn ask<T>(&self, answer: impl Future<Output = T>) -> Result<T, GivenUp> {
        // It is never closed.
        let right = self.new.acquire().await.map_err(|_| GivenUp)?;
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => return Ok(answered),
                () = sleep(MOMENT) => {}
            }
            if let Ok(_slow) = self.slow.try_acquire() {
                drop(right);
                return Ok(answer.await);
            }
            if self.new.available_permits() == 0 {
                return Err(GivenUp);
            }
        }
    }

    /// The right to ask one question after the other.
    pub(super) async fn lend(&self) -> Option<SemaphorePermit<'_>> {
        self.lent.acquire().await.ok()
    }
}

/// Questions that have just been asked, those without an answer for longer than a moment, and checks
/// that ask one after the other.
const NEW: usize = 100;
const SLOW: usize = 50;
const LENT: usize = 50;
/// Most answers that no cache has take less.
const MOMENT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use tokio::{
        task::{JoinSet, yield_now},
        time::Instant,
    };

    use super::*;

    type Answer = Result<(), ()>;

    /// So many silent ones first; how long one that is answered at once waits, in moments.
    const BEHIND: [(usize, u32); 6] =
        [(0, 0), (NEW - 1, 0), (NEW, 1), (NEW * 2 - 1, 1), (NEW * 3, 3), (NEW * 10, 10)];

    #[tokio::test(start_paused = true)]
    async fn questions_that_nobody_answers_hold_up_others_for_a_moment_only() {
        for (silent, moments) in BEHIND {
            let questions = Arc::new(InFlight::default());
            let mut asked = JoinSet::new();
            for _ in 0..silent {
                let questions = Arc::clone(&questions);
                asked.spawn(async move { questions.ask(pending::<Answer>()).await });
            }
            for _ in 0..silent {
                yield_now().await;
            }
            let began = Instant::now();
            assert_eq!(questions.ask(async { Answer::Ok(()) }).await, Ok(Ok(())));
            let waited = began.elapsed().as_millis() / MOMENT.as_millis();
            assert_eq!(waited, u128::from(moments), "behind {silent}");
            sleep(MOMENT * 20).await;
            let (new, slow) = (questions.new.available_permits(), &questions.slow);
            assert_eq!(
                slow.available_permits(),
                SLOW.saturating_sub(silent),
                "{silent}: some wait on"
            );
            assert!(silent == 0 || new >= 1, "{silent}: others may ask");
            assert!(questions.lend().await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_holds_up_nobody_waits_for_its_answer() {
        let questions = Arc::new(InFlight::default());
        let mut late = JoinSet::new();
        for _ in 0..NEW {
            let questions = Arc::clone(&questions);
            let answer = async {
                sleep(MOMENT * 5).await;
                Answer::Ok(())
            };
            late.spawn(async move { questions.ask(answer).await });
        }
        while let Some(answered) = late.join_next().await {
            assert_eq!(answered.unwrap(), Ok(Ok(())));
        }
    }
}
