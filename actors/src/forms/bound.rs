//! A bound for the forms that scripts want of one message: each of them is a copy of all of it.

use std::{collections::HashSet, sync::Arc};

use tracing::info;

use super::{FormedMail, treatment};
use crate::{
    directory::ListHeaders,
    events::Printable,
    router::{HeaderTreatment, Route, Routes},
};

/// The forms of one message in which scripts change its header: so many, and no more.
pub struct EditedForms {
    routes: Arc<Routes>,
    had: Option<HeaderTreatment>,
    completes: bool,
    most: usize,
    known: HashSet<(HeaderTreatment, Arc<ListHeaders>)>,
    /// The first recipient whose copy stays as it is.
    left: Option<Arc<str>>,
}

impl EditedForms {
    /// None yet, of a message of `size` octets that lies in a file, or in memory.
    pub fn of(mail: &FormedMail<'_>, size: u64, is_file: bool) -> Self {
        let routes = mail.router.cache.routes();
        let completes = mail.default_host.is_some();
        let had = mail.lies_in.map(|channel| routes.header_treatment(channel, completes));
        let fitting = usize::try_from(MOST_OCTETS / size.max(1)).unwrap_or(usize::MAX);
        let most = if is_file { MOST_FILES } else { fitting.max(MOST_FILES) };
        Self { routes, had, completes, most, known: HashSet::new(), left: None }
    }

    /// The ways of one more recipient, without the changes that would be too many; `None`: these.
    pub fn bounded(&mut self, ways: &[Route]) -> Option<Vec<Route>> {
        if !ways.iter().any(Route::is_edited) {
            return None;
        }
        let is_within: Vec<bool> = ways.iter().map(|way| self.takes(way)).collect();
        let all = || ways.iter().zip(&is_within);
        let (first, _) = all().find(|(_, is_within)| !**is_within)?;
        self.left.get_or_insert_with(|| Arc::clone(&first.address));
        let bounded = |(way, is_within): (&Route, &bool)| {
            if *is_within { way.clone() } else { way.clone().unedited() }
        };
        Some(all().map(bounded).collect())
    }

    fn takes(&mut self, way: &Route) -> bool {
        let Some(headers) = way.headers.as_ref().filter(|_| way.is_edited()) else { return true };
        let treatment = treatment(&self.routes, self.had, &way.channel, self.completes);
        let form = (treatment, Arc::clone(headers));
        self.known.contains(&form) || self.known.len() < self.most && self.known.insert(form)
    }

    /// Tells of copies that stay as they are.
    pub fn tell(self) {
        if let Some(to) = &self.left {
            let (to, most) = (Printable(to), self.most);
            info!(%to, most, "scripts change the header of a message in too many ways: it stays as it is");
        }
    }
}

/// Forms of a message that lies in a file, each of which is one, too; of any other they may be as many.
const MOST_FILES: usize = 32;
/// Octets of all forms of a message in memory. The spool stores them at once, beside those of others.
const MOST_OCTETS: u64 = 32 << 20;
