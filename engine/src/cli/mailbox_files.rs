//! The mailboxes of a store while no engine has it.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use relais_channels::mailbox::{
    self, Change, ChangeError, Depth, MailboxName, Partition, PartitionError,
};
use relais_config::{self as config, Config};

use super::{asked::Explained, exchange::tell_missing, refusal::Refusal};
use crate::{
    admin::RouteQuestion,
    api::{
        MailboxAnswer, MailboxFilter, MailboxLimit, MailboxListed, MailboxOrder, MailboxOrderKind,
        MailboxesMissing,
    },
    start::{KNOWN_STORES, absolute_store},
};

/// Explains routes by files.
pub(super) type Router = fn(&Config) -> Result<Explained, String>;

/// The partitions of a configuration's store.
pub(super) struct MailboxFiles {
    config: Config,
    store: config::Store,
    router: Router,
    explained: Option<Explained>,
}

impl MailboxFiles {
    pub(super) fn new(config: Config, router: Router) -> Result<Self, Refusal> {
        let none = || Refusal::Because("the configuration has no store".to_owned());
        let store = absolute_store(&config).ok_or_else(none)?;
        Ok(Self { config, store, router, explained: None })
    }

    /// The roots, the first one first.
    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.store.path].into_iter().chain(self.store.partitions.values())
    }

    pub(super) fn list(
        &self,
        filter: &MailboxFilter,
        each: &mut dyn FnMut(MailboxListed) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let mut missing = None;
        for root in self.roots() {
            if let Err(error) = self.is_there(root) {
                let (root, error) = (root.display().to_string(), error.to_string());
                tell_missing(&mut missing, &MailboxesMissing { missing: root, error });
                continue;
            }
            let mut refused = Ok(());
            let listed = mailbox::each_mailbox(root, filter.domain.as_deref(), |mailbox| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                let path = root.join(mailbox.maildir()).display().to_string();
                refused = each(MailboxListed { mailbox: mailbox.address(), path });
                if refused.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            refused?;
            // Where nothing has come yet nothing is missing.
            if let Err(error) = listed
                && error.kind() != io::ErrorKind::NotFound
            {
                let (root, error) = (root.display().to_string(), error.to_string());
                tell_missing(&mut missing, &MailboxesMissing { missing: root, error });
            }
        }
        missing.map_or(Ok(()), |missing| Err(because(missing)))
    }

    /// Whether the partition is there; `false`: it has never been used.
    fn is_there(&self, root: &Path) -> Result<bool, PartitionError> {
        mailbox::is_there(root, &self.config.data.join(KNOWN_STORES))
    }

    pub(super) fn order(&mut self, order: &MailboxOrder) -> Result<MailboxAnswer, Refusal> {
        let names = order.names(&self.config.default_domain).map_err(Refusal::WrongUse)?;
        let (name, to) = names;
        let answer = MailboxAnswer {
            mailbox: name.address(),
            to: to.as_ref().map(MailboxName::address),
            ..MailboxAnswer::default()
        };
        let home = self.home(&name)?;
        if let Some(depth) = order.kind.depth() {
            let missing = || Refusal::NotFound(format!("there is no mailbox {}", name.address()));
            return self.look(order.kind, &name, depth, home.ok_or_else(missing)?);
        }
        if order.kind == MailboxOrderKind::Create {
            let root = home.unwrap_or_else(|| self.roomiest());
            let (mut partition, checkpoints) = self.open(root)?;
            let made = partition.create(&name);
            drop(partition);
            checkpoints.end()?;
            let changed = made.map_err(|error| because(error.to_string()))?;
            return Ok(MailboxAnswer { changed, ..answer });
        }
        if let Some(to) = &to
            && self.home(to)?.is_some()
        {
            return Err(because(ChangeError::Taken(to.address()).to_string()));
        }
        let missing = || Refusal::NotFound(format!("there is no mailbox {}", name.address()));
        let root = home.ok_or_else(missing)?;
        let change = order.kind.change(name.clone(), to).map_err(Refusal::WrongUse)?;
        self.change(&root, change)?;
        Ok(MailboxAnswer { changed: true, ..answer })
    }

    fn look(
        &mut self,
        kind: MailboxOrderKind,
        name: &MailboxName,
        depth: Depth,
        root: PathBuf,
    ) -> Result<MailboxAnswer, Refusal> {
        let default = self.store.default_quota;
        let elsewhere = match depth {
            Depth::Count => Vec::new(),
            Depth::Check | Depth::Repair => {
                mailbox::lies_also_in(self.roots().map(PathBuf::as_path), &root, name)
            }
        };
        let census = if depth == Depth::Repair {
            let (partition, checkpoints) = self.open(root)?;
            let census = partition.look_into(name, depth);
            drop(partition);
            checkpoints.end()?;
            census
        } else {
            mailbox::look_into(&root, name, depth, default)
        };
        let census = census.map_err(|error| because(error.to_string()))?;
        let missing = || Refusal::NotFound(format!("there is no mailbox {}", name.address()));
        let mut census = census.ok_or_else(missing)?;
        census.findings.extend(elsewhere);
        let limit = match kind {
            MailboxOrderKind::Quota => self.directory_says(name),
            _ => None,
        };
        Ok(MailboxAnswer::looked(name.address(), kind, census, limit, default))
    }

    /// The limits of the mailbox's entry. A directory that cannot be asked says none.
    fn directory_says(&mut self, mailbox: &MailboxName) -> Option<MailboxLimit> {
        if self.explained.is_none() {
            self.explained = (self.router)(&self.config).ok();
        }
        let address = mailbox.address();
        let question = RouteQuestion { address, vouched: true, ..RouteQuestion::default() };
        let explained = self.explained.as_mut()?(&question).ok()?;
        MailboxLimit::of_ways(&explained.results, mailbox, &self.config.default_domain)
    }

    fn change(&self, root: &Path, change: Change) -> Result<(), Refusal> {
        let deletes = matches!(change, Change::Delete(_));
        let (mut partition, checkpoints) = self.open(root.to_owned())?;
        let begun = partition.begin_change(change);
        let changed = begun.and_then(|id| {
            loop {
                if let Some((_, outcome)) =
                    partition.finish_changes().into_iter().find(|d| d.0 == id)
                {
                    return outcome;
                }
                thread::sleep(LOOK_EVERY);
            }
        });
        drop(partition);
        checkpoints.end()?;
        changed.map_err(|error| match error {
            ChangeError::Missing(_) => Refusal::NotFound(error.to_string()),
            error => because(error.to_string()),
        })?;
        if deletes && let (_, Some(error)) = mailbox::remove_deleted(root) {
            return Err(because(format!("its files stay in .deleted below the store: {error}")));
        }
        Ok(())
    }

    /// The partition that the mailbox lies in. An error where it may lie in one that is away.
    fn home(&self, name: &MailboxName) -> Result<Option<PathBuf>, Refusal> {
        let mut away = None;
        for root in self.roots() {
            if let Err(error) = self.is_there(root) {
                away = away.or(Some(error));
                continue;
            }
            match mailbox::lies_below(root, name) {
                Ok(true) => return Ok(Some(root.clone())),
                Ok(false) => {}
                // A store that has never been used is made when it is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(because(format!("{}: {error}", root.display()))),
            }
        }
        let may_lie_there = |error: PartitionError| {
            Err(because(format!("{} may lie in a partition that is away: {error}", name.address())))
        };
        away.map_or(Ok(None), may_lie_there)
    }

    /// The partition with most room, where the first has none more.
    fn roomiest(&self) -> PathBuf {
        let free = |root: &&PathBuf| mailbox::free_space(root);
        let roots: Vec<_> = self.roots().collect();
        let most = roots.into_iter().rev().max_by_key(free);
        most.unwrap_or(&self.store.path).clone()
    }

    /// Takes the partition for this process, and restores what a crash has left undone.
    fn open(&self, path: PathBuf) -> Result<(Partition, Checkpointing), Refusal> {
        let store = config::Store { path, ..self.store.clone() };
        let known = self.config.data.join(KNOWN_STORES);
        let opened = Partition::open(&store, &self.config.host, &known);
        let (partition, checkpoints) = opened.map_err(|error| match error {
            error @ PartitionError::Journal { .. } => {
                because(format!("{error} (without --offline a running engine is asked)"))
            }
            error => because(error.to_string()),
        })?;
        let run = move || {
            let mut failed = None;
            checkpoints.run(|happening| {
                if let mailbox::journal::Happening::Failed(error) = happening {
                    failed = Some(error);
                }
            });
            failed
        };
        Ok((partition, Checkpointing(thread::spawn(run))))
    }
}

/// The checkpoints of a partition that is open.
struct Checkpointing(thread::JoinHandle<Option<std::io::Error>>);

impl Checkpointing {
    /// Waits until everything is on the disk.
    fn end(self) -> Result<(), Refusal> {
        match self.0.join() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(because(format!("the store could not be synced: {error}"))),
            Err(_) => Err(because("the store could not be synced".to_owned())),
        }
    }
}

fn because(why: String) -> Refusal {
    Refusal::Because(why)
}

const LOOK_EVERY: Duration = Duration::from_millis(5);
