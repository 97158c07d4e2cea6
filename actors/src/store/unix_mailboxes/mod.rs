//! The way into UNIX mailboxes and files, for LMTP sessions and for jobs.
//!
//! No actor stands behind it: each append is answered for when it is durable, and nothing else has to
//! be kept.

mod writer;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{Sender, channel},
    },
    thread,
    time::Instant,
};

use bytes::Bytes;
use nix::unistd::{Uid, User};
use relais_channels::{
    disk::{Disk, RealDisk},
    mail::{Content, Enhanced, Reply},
    mailbox::{Answer, Body, Delivery, Rcpt, spill::SpillDir},
    mbox::{
        Accounts, AccountsUnanswered, AppendError, Appender, FilePlace, MboxMessage, Owner, Undone,
        UnixAccount,
    },
};
use relais_config::Config;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{MAX_IN_FLIGHT, Refused, threads::Threads};
use crate::accounts;
use writer::{AppendAsker, AppendRequest, SpilledFile, UnixWriter};

/// A handle on the mailboxes; cheap to clone. Bounded: see [`Undelivered::Busy`].
#[derive(Clone, Debug)]
pub struct UnixMailboxes(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    folder: PathBuf,
    accounts: RwLock<Accounts>,
    writers: Vec<Sender<AppendRequest>>,
    permits: Arc<Semaphore>,
    threads: Threads,
    spill: SpillDir,
    spilled: PathBuf,
    /// Folders of files, and with whose rights those of the operator are written.
    folders: Vec<PathBuf>,
    files_owner: Option<Owner>,
}

/// Why mailboxes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnixMailboxesError {
    /// Our own notes about them.
    #[error("{path}: {source}", path = .path.display())]
    Notes {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The account of files.
    #[error("native.files.user: {0}")]
    User(String),
}

/// Why a message is not in a mailbox or file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Undelivered {
    /// Too many are under way. Nothing happened to the message.
    #[error("the mailboxes are busy")]
    Busy,
    /// There is no such account.
    #[error("no account has this name")]
    NoAccount,
    /// The file lies where none may.
    #[error("the file is not in a folder that is listed in native.files")]
    NotThere,
    /// Accounts cannot be asked.
    #[error(transparent)]
    Accounts(#[from] AccountsUnanswered),
    /// The system refuses it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Nobody knows what happened to it: to be tried again.
    #[error("the append failed")]
    Unknown,
}

impl UnixMailboxes {
    /// Undoes what a crash has left, and starts the threads. `None`: the configuration has none.
    pub fn open(config: &Config) -> Result<Option<Self>, UnixMailboxesError> {
        let Some(native) = &config.native else { return Ok(None) };
        let folder = config.path(&native.path);
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let notes = config.data.join(NOTES);
        let notes = std::path::absolute(&notes).unwrap_or(notes);
        let failed = |source| UnixMailboxesError::Notes { path: notes.clone(), source };
        RealDisk.create_dir(&notes).map_err(failed)?;
        let writers = (0..WRITERS).map(|n| start_writer(&notes.join(format!("appends-{n}"))));
        let writers = writers.collect::<io::Result<_>>().map_err(failed)?;
        let spill = SpillDir::below(&notes).map_err(failed)?;
        let folders = native.files.folders.iter().map(|folder| config.path(folder)).collect();
        Ok(Some(Self(Arc::new(Parts {
            folder,
            accounts: RwLock::new(Accounts::of(&config.path(&config.accounts))),
            writers,
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            threads: Threads::new("spill", SPILL_THREADS).map_err(failed)?,
            spilled: spill.path_below(&notes),
            spill,
            folders,
            files_owner: files_owner(native.files.user.as_deref(), &native.files.folders)?,
        }))))
    }

    /// Looks accounts up where another configuration says.
    pub fn adopt(&self, config: &Config) {
        let accounts = Accounts::of(&config.path(&config.accounts));
        *self.0.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
    }

    /// Appends to the mailbox of an account.
    pub async fn to_account(&self, name: &str, message: MboxMessage) -> Result<(), Undelivered> {
        let place = self.mailbox(name).await?;
        self.append(place, message).await
    }

    /// Appends to a file of the operator's, in one of the folders that are listed.
    pub async fn to_file(&self, path: &Path, message: MboxMessage) -> Result<(), Undelivered> {
        let owner = self.0.files_owner.ok_or(Undelivered::NotThere)?;
        let mut places =
            self.0.folders.iter().filter_map(|root| FilePlace::file(root, path, owner));
        self.append(places.next().ok_or(Undelivered::NotThere)?, message).await
    }

    /// Appends to a file of an account, in its home or in one of the folders that are listed.
    pub async fn to_own_file(
        &self,
        account: &str,
        path: &Path,
        message: MboxMessage,
    ) -> Result<(), Undelivered> {
        let UnixAccount { owner, home, .. } = self.account(account).await?;
        let home = Some(Path::new(&*home));
        let home = home.filter(|home| home.is_absolute() && *home != Path::new("/"));
        let roots = home.into_iter().chain(self.0.folders.iter().map(PathBuf::as_path));
        // Nothing is written with root's rights to what a file of root's own names.
        let mut places = roots.filter(|_| owner.user != 0);
        let place = places.find_map(|root| FilePlace::file(root, path, owner));
        self.append(place.ok_or(Undelivered::NotThere)?, message).await
    }

    async fn mailbox(&self, name: &str) -> Result<FilePlace, Undelivered> {
        let UnixAccount { name, owner, .. } = self.account(name).await?;
        FilePlace::mailbox(&self.0.folder, &name, owner).ok_or(Undelivered::NoAccount)
    }

    async fn account(&self, name: &str) -> Result<UnixAccount, Undelivered> {
        let accounts = self.0.accounts.read().unwrap_or_else(PoisonError::into_inner).clone();
        accounts.find(name).await?.ok_or(Undelivered::NoAccount)
    }

    async fn append(&self, place: FilePlace, message: MboxMessage) -> Result<(), Undelivered> {
        let permit = self.permit()?;
        self.send(place, message, (permit, None))?.await.map_err(|_| Undelivered::Unknown)??;
        Ok(())
    }

    fn permit(&self) -> Result<Arc<OwnedSemaphorePermit>, Undelivered> {
        let permit = self.0.permits.clone().try_acquire_owned().map_err(|_| Undelivered::Busy)?;
        Ok(Arc::new(permit))
    }

    fn send(
        &self,
        place: FilePlace,
        message: MboxMessage,
        (permit, file): (Arc<OwnedSemaphorePermit>, Option<Arc<SpilledFile>>),
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, Undelivered> {
        let (answer, answered) = oneshot::channel();
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        let writer = &self.0.writers[hasher.finish() as usize % self.0.writers.len()];
        let asker = AppendAsker { came: Instant::now(), answer, _permit: permit, _file: file };
        let request = AppendRequest { place, message, asker };
        writer.send(request).map_err(|_| Undelivered::Busy)?;
        Ok(answered)
    }

    /// Delivers a message that came by LMTP; an answer for each recipient, in order.
    pub(super) async fn deliver(
        &self,
        Delivery { body, recipients }: Delivery,
        sender: &str,
    ) -> Result<Vec<Answer>, Refused> {
        let (content, file) = match body {
            Body::Whole(octets) => (Content::Whole(Bytes::from(octets)), None),
            Body::File { name, size, .. } => {
                let path = self.0.spilled.join(name);
                let file = Arc::new(SpilledFile(path.clone()));
                (Content::File { path, size }, Some(file))
            }
        };
        let permit = self.permit().map_err(|_| Refused::Busy)?;
        let message = MboxMessage { sender: sender.into(), head: Vec::new(), content };
        // A user who is named twice, under two subaddresses, gets it once.
        let mut users: HashMap<&str, usize> = HashMap::new();
        let mut waiting = Vec::new();
        let mut which = Vec::with_capacity(recipients.len());
        for rcpt in &recipients {
            let user = rcpt.mailbox.uid();
            if let Some(known) = users.get(user) {
                which.push(*known);
                continue;
            }
            let (place, keeps) = (self.mailbox(user).await, (permit.clone(), file.clone()));
            waiting.push(place.and_then(|place| self.send(place, message.clone(), keeps)));
            users.insert(user, waiting.len() - 1);
            which.push(waiting.len() - 1);
        }
        let mut outcomes = Vec::with_capacity(waiting.len());
        for answered in waiting {
            outcomes.push(match answered {
                Ok(answered) => match answered.await {
                    Ok(appended) => appended.map_err(Undelivered::from),
                    Err(_) => Err(Undelivered::Unknown),
                },
                Err(error) => Err(error),
            });
        }
        let answer = |(rcpt, which): (&Rcpt, usize)| {
            let place = self.0.folder.join(rcpt.mailbox.uid()).display().to_string();
            let reply = match &outcomes[which] {
                Ok(()) => Reply::with_text(250, Enhanced(2, 5, 0), format!("{} OK", rcpt.as_given)),
                Err(error) => {
                    tell(&place, error);
                    error.reply()
                }
            };
            Answer { reply, place }
        };
        Ok(recipients.iter().zip(which).map(answer).collect())
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.0.threads.run(work).await
    }

    pub(super) fn spill_dir(&self) -> SpillDir {
        self.0.spill.clone()
    }
}

impl Undelivered {
    /// The reply to an LMTP client: the codes of the store.
    pub fn reply(&self) -> Reply {
        let (code, enhanced, text) = match self {
            Self::Busy => (421, Enhanced(4, 2, 1), "Mailbox busy".to_owned()),
            Self::Append(AppendError::Busy) => {
                (420, Enhanced(4, 2, 0), "Mailbox Locked".to_owned())
            }
            Self::NoAccount => (511, Enhanced(5, 1, 1), "mailbox nonexistent".to_owned()),
            Self::NotThere
            | Self::Append(
                AppendError::Unfit(_)
                | AppendError::NotOwned(_)
                | AppendError::NoRights(_)
                | AppendError::Denied(_),
            ) => (420, Enhanced(4, 2, 0), format!("Mailbox not supported: {self}")),
            Self::Append(AppendError::Quota) => {
                (422, Enhanced(4, 2, 2), "Quota Exceeded".to_owned())
            }
            Self::Append(AppendError::NoSpace) => (452, Enhanced(4, 3, 1), self.to_string()),
            Self::Accounts(_) => {
                (430, Enhanced(4, 3, 0), "the accounts cannot be asked now".to_owned())
            }
            Self::Append(_) | Self::Unknown => (430, Enhanced(4, 3, 0), self.to_string()),
        };
        Reply::with_text(code, enhanced, text)
    }
}

/// Tells the operator of what only the operator can mend.
fn tell(mailbox: &str, error: &Undelivered) {
    if !matches!(error, Undelivered::NoAccount | Undelivered::Busy) {
        tracing::warn!(mailbox, %error, "a message is not in a mailbox");
    }
}

fn start_writer(intents: &Path) -> io::Result<Sender<AppendRequest>> {
    let mut appender = Appender::open(&RealDisk, intents)?;
    appender.recover().iter().for_each(Undone::tell);
    let (sender, requests) = channel();
    let writer = UnixWriter::new(appender);
    thread::Builder::new().name("mbox".to_owned()).spawn(move || writer.run(&requests))?;
    Ok(sender)
}

/// Looks whether files of the operator can be written with the rights of this account.
pub fn check_files_user(user: Option<&str>, folders: &[PathBuf]) -> Result<(), UnixMailboxesError> {
    files_owner(user, folders).map(|_| ())
}

/// The account that files of the operator are written with.
fn files_owner(
    user: Option<&str>,
    folders: &[PathBuf],
) -> Result<Option<Owner>, UnixMailboxesError> {
    let (own, wrong) = (Uid::effective(), |why: &str| UnixMailboxesError::User(why.to_owned()));
    if folders.is_empty() {
        return Ok(None);
    }
    let found = match user {
        Some(name) => accounts::user(name).map_err(|error| wrong(&error.to_string()))?,
        None if own.is_root() => {
            return Err(wrong("the engine runs as root: an account must be named"));
        }
        None => User::from_uid(own).ok().flatten(),
    };
    match found {
        None => Err(wrong("this machine has no such account")),
        Some(user) if user.uid.is_root() => Err(wrong("no file is written with root's rights")),
        Some(user) if !own.is_root() && user.uid != own => {
            Err(wrong("the engine is not root, and has no other account's rights"))
        }
        Some(user) => Ok(Some(Owner { user: user.uid.as_raw(), group: user.gid.as_raw() })),
    }
}

/// Of the data directory: appends that are under way, and messages that come in by files.
const NOTES: &str = "native";
/// Threads that append.
const WRITERS: usize = 8;
/// For messages that are too large for memory.
const SPILL_THREADS: usize = 2;
