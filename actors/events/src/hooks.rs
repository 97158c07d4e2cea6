//! All webhooks, and the thread that posts to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    backlog::{self, Backlog, is_ours},
    figures::{Figures, HookFigures, Loss, Trouble, locked},
    hook::{Hook, cannot_be_kept},
    settings::HookSettings,
};

/// The webhooks of the configuration in force. The thread that posts is there as soon as there is one.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    folder: PathBuf,
    by_name: BTreeMap<String, Arc<Hook>>,
    /// Webhooks for which nothing can be kept.
    unable: Vec<Unable>,
    tried: Option<Instant>,
    /// Folders of somebody else that the log has told of.
    strangers: BTreeSet<PathBuf>,
    posting: Option<Handle>,
    end: CancellationToken,
}

/// A webhook that gets nothing.
#[derive(Debug)]
pub(crate) struct Unable {
    settings: HookSettings,
    pub(crate) figures: Arc<HookFigures>,
}

impl Unable {
    /// A bit for each kind that it is to get.
    pub(crate) fn wanted(&self) -> u32 {
        self.settings.wanted
    }
}

impl Hooks {
    /// Puts other webhooks in force.
    pub(crate) fn adopt(&mut self, folder: PathBuf, wanted: &[HookSettings], figures: &Figures) {
        self.folder = folder;
        let gone = |name: &String| !wanted.iter().any(|its| its.name == *name);
        let gone: Vec<_> = self.by_name.keys().filter(|name| gone(name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        for its in std::mem::take(&mut self.unable) {
            *locked(&its.figures.trouble) = Trouble::default();
        }
        self.remove_strangers(wanted);
        for settings in wanted {
            if let Some(hook) = self.by_name.get(&settings.name) {
                change(hook, settings);
            } else if let Err(error) = self.add(settings, figures) {
                let webhook = &settings.name;
                error!(webhook, %error, "what waits for the webhook cannot be kept: it gets nothing");
                self.set_unable(settings.clone(), &error, figures);
            }
        }
    }

    fn set_unable(&mut self, settings: HookSettings, error: &io::Error, figures: &Figures) {
        let its = figures.hook(&settings.name);
        name_place(&its, &settings);
        its.set_disk_trouble(&cannot_be_kept(error));
        self.unable.push(Unable { settings, figures: its });
        self.tried = Some(Instant::now());
    }

    /// Webhooks for which nothing can be kept.
    pub(crate) fn unable(&self) -> &[Unable] {
        &self.unable
    }

    /// Sees to it that there is a place for what is told.
    pub(crate) fn look_after(&mut self, figures: &Figures) {
        self.by_name.values().for_each(|hook| hook.look_after());
        if self.tried.is_some_and(|tried| tried.elapsed() < TRY_EVERY) {
            return;
        }
        for Unable { settings, .. } in std::mem::take(&mut self.unable) {
            match self.add(&settings, figures) {
                Ok(()) => {
                    let webhook = &settings.name;
                    info!(webhook, "what waits for the webhook can be kept again");
                }
                Err(error) => self.set_unable(settings, &error, figures),
            }
        }
    }

    fn add(&mut self, settings: &HookSettings, figures: &Figures) -> io::Result<()> {
        let backlog = Backlog::open(&self.folder.join(&settings.name), settings.size)?;
        let hook = Arc::new(Hook {
            settings: Mutex::new(Arc::new(settings.clone())),
            figures: figures.hook(&settings.name),
            backlog: Mutex::new(backlog),
            news: Notify::new(),
            changed: Notify::new(),
            end: self.end.child_token(),
        });
        name_place(&hook.figures, settings);
        hook.figures.set_disk_trouble("");
        hook.show(&locked(&hook.backlog), None);
        let posting = match &self.posting {
            Some(posting) => posting.clone(),
            None => self.posting.insert(start(self.end.clone())?).clone(),
        };
        posting.spawn(Arc::clone(&hook).run());
        self.by_name.insert(settings.name.clone(), hook);
        Ok(())
    }

    /// Ends a webhook, and forgets what waits for it.
    fn remove(&mut self, name: &str) {
        let Some(hook) = self.by_name.remove(name) else { return };
        hook.end.cancel();
        let mut backlog = locked(&hook.backlog);
        let lost = backlog.waiting();
        if lost > 0 {
            warn!(
                webhook = name,
                lost, "the webhook is configured no more: what waited for it is lost"
            );
        }
        hook.figures.lose(Loss::Removed, lost);
        if let Err(error) = backlog.remove() {
            warn!(webhook = name, %error, "what waited for the webhook stays on disk");
        }
        hook.show(&backlog, None);
        *locked(&hook.figures.trouble) = Trouble::default();
    }

    /// Removes what an engine of before has left for a webhook that is configured no more.
    fn remove_strangers(&mut self, wanted: &[HookSettings]) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_known = wanted.iter().any(|its| *its.name == *name);
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_known || !is_folder {
                continue;
            }
            let folder = entry.path();
            if !is_ours(&folder).unwrap_or_default() {
                if self.strangers.insert(folder.clone()) {
                    let folder = folder.display();
                    warn!(%folder, "a folder that is no webhook's, with other files than webhooks have, is left alone");
                }
                continue;
            }
            let lost = Backlog::open(&folder, u64::MAX).map_or(0, |its| its.waiting());
            let folder = folder.display();
            warn!(%folder, lost, "a webhook is configured no more: what waited for it is removed");
            if let Err(error) = backlog::remove(&entry.path()) {
                warn!(%folder, %error, "it stays on disk");
            }
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Hook>> {
        self.by_name.values()
    }

    /// Ends all posts, those under way included.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }
}

fn change(hook: &Hook, settings: &HookSettings) {
    let mut own = locked(&hook.settings);
    if **own == *settings {
        // The files that it names may be other ones.
        hook.changed.notify_waiters();
        return;
    }
    *own = Arc::new(settings.clone());
    drop(own);
    name_place(&hook.figures, settings);
    let mut backlog = locked(&hook.backlog);
    match backlog.bound(settings.size) {
        Ok(lost) => hook.figures.lose(Loss::Size, lost),
        Err(error) => warn!(webhook = settings.name, %error, "old events cannot be removed"),
    }
    hook.show(&backlog, None);
    drop(backlog);
    hook.changed.notify_waiters();
    hook.news.notify_one();
}

fn name_place(figures: &HookFigures, settings: &HookSettings) {
    let scheme = if settings.url.is_secure { "https" } else { "http" };
    locked(&figures.trouble).url = format!("{scheme}://{}", settings.url.authority());
}

/// The thread that posts.
fn start(end: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
        runtime.block_on(end.cancelled());
        // A look-up of a name that hangs delays nothing.
        runtime.shutdown_background();
    })?;
    Ok(handle)
}

/// Whether something can be kept for a webhook again.
const TRY_EVERY: Duration = Duration::from_secs(5);
