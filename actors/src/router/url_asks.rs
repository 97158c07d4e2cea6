//! Look-ups by URL that templates ask for while they are evaluated.
//!
//! Templates are evaluated at once, and a directory answers later. So what is not known yet fails what
//! asks for it and is noted; then it is looked up, and the whole is evaluated again with the answer, a
//! bounded number of times. Where no template asks, an evaluation is all that there is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use relais_config::lookup_url::{UrlQuery, UrlResults};

use crate::directory::{Lookup, LookupError};

/// Answers so far, and what is asked beyond them.
#[derive(Debug, Default)]
pub(super) struct UrlAsks(Mutex<UrlState>);

#[derive(Debug, Default)]
struct UrlState {
    answers: Vec<(UrlQuery, Result<Option<String>, LookupError>)>,
    /// The first thing that an evaluation could not do without.
    open: Option<Open>,
}

/// A need of an evaluation.
#[derive(Debug)]
enum Open {
    /// An answer.
    Answer(UrlQuery),
    /// An answer that the directory does not give.
    Failed(LookupError),
}

impl UrlAsks {
    /// Evaluates with every answer that it asks for.
    pub(super) async fn answered<T>(
        lookup: &impl Lookup,
        mut evaluate: impl FnMut(&Self) -> T,
    ) -> Result<T, LookupError> {
        let asks = Self::default();
        loop {
            let value = evaluate(&asks);
            if !asks.ask(lookup).await? {
                return Ok(value);
            }
        }
    }

    /// Looks up what the evaluation before asked for. False: it asked for nothing that was not known,
    /// and its value counts.
    pub(super) async fn ask(&self, lookup: &impl Lookup) -> Result<bool, LookupError> {
        let open = self.state().open.take();
        let query = match open {
            None => return Ok(false),
            Some(Open::Failed(error)) => return Err(error),
            Some(Open::Answer(query)) => query,
        };
        if self.state().answers.len() == MOST_ROUNDS {
            return Err(LookupError(format!("more than {MOST_ROUNDS} look-ups by URL at once")));
        }
        let answer = lookup.url(&query).await;
        self.state().answers.push((query, answer));
        Ok(true)
    }

    /// Whether an evaluation asked for more: its value does not count.
    pub(super) fn are_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, UrlState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UrlResults for UrlAsks {
    fn find(&self, query: &UrlQuery, on_failure: Option<&str>) -> Option<String> {
        let mut state = self.state();
        let known = state.answers.iter().find(|(its, _)| its == query).map(|(_, answer)| answer);
        let open = match (known, on_failure) {
            (Some(Ok(value)), _) => return value.clone(),
            (Some(Err(_)), Some(text)) => return Some(text.to_owned()),
            (Some(Err(error)), None) => Open::Failed(error.clone()),
            (None, _) => Open::Answer(query.clone()),
        };
        state.open.get_or_insert(open);
        None
    }
}

/// Look-ups of one evaluation.
const MOST_ROUNDS: usize = 8;
