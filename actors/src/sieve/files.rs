//! Scripts in files: those of users, and those of the system. A file costs a look at its date now and
//! then, and is read when it has changed, on threads of its own; where the disk does not answer, mail
//! does not wait for long, and what was seen last counts.

use std::{
    convert::Infallible,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use quick_cache::sync::Cache;
use rustix::{fs::OFlags, io::Errno};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use tracing::warn;

use super::compiled::{BrokenScript, Compiled, CompiledScripts, ScriptKey};
use crate::seldom::Seldom;

/// Files that were looked at.
pub(super) struct FileScripts {
    compiled: Arc<CompiledScripts>,
    /// Octets of a file that are read.
    most: u64,
    seen: Cache<PathBuf, Arc<SeenFile>>,
    /// All looks: a disk that does not answer holds no more threads than these.
    places: Places,
    /// Looks at the files of one folder: those of another one have places left.
    of_folders: Cache<PathBuf, Arc<Places>>,
    told: Seldom,
}

/// A file, as far as it can be told now.
#[derive(Clone, Debug)]
pub(super) enum FileScript {
    /// There is none.
    Absent,
    /// A script, or why it is broken.
    Script(Compiled),
    /// Nobody can tell now, and it was not seen before.
    Unreadable,
}

/// A file by its path. One look at it is under way at a time, however long that takes.
#[derive(Default)]
struct SeenFile {
    looking: Arc<AsyncMutex<()>>,
    last: Mutex<LastSeen>,
}

#[derive(Default)]
struct LastSeen {
    /// It is looked at again from then on.
    until: Option<Instant>,
    /// Since the last look at it that came to an end; of one that did not nothing is known.
    state: Option<FileState>,
    /// The last look at it failed.
    failed: bool,
}

#[derive(Clone)]
enum FileState {
    Absent,
    /// It cannot be used, for this reason.
    Unusable(Arc<BrokenScript>),
    Read(Option<Stamp>, ScriptKey),
}

/// Looks that may be under way at once.
struct Places {
    free: Arc<Semaphore>,
    /// All were taken by looks that do not end: until then nobody waits for one.
    full_until: Mutex<Option<Instant>>,
}

/// Metadata that changes with a file's content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    octets: u64,
    place: (u64, u64),
}

/// A look at a file.
#[derive(Debug)]
enum FileLook {
    Absent,
    Unusable(io::Error),
    Unchanged,
    /// `None` for the stamp: it has changed a moment ago, and may change once more with the same one.
    Read(Option<Stamp>, Vec<u8>),
}

impl FileScripts {
    /// Files whose scripts `compiled` compiles, and of which no more than `most` octets are read.
    pub(super) fn new(compiled: Arc<CompiledScripts>, most: u64) -> Self {
        Self {
            compiled,
            most,
            seen: Cache::new(MOST),
            places: Places::new(AT_ONCE),
            of_folders: Cache::new(MOST_FOLDERS),
            told: Seldom::default(),
        }
    }

    /// The script in a file.
    pub(super) async fn script(&self, path: &Path) -> FileScript {
        let new = || Ok::<_, Infallible>(Arc::default());
        let Ok(file) = self.seen.get_or_insert_with(path, new);
        if let Some(script) = file.fresh(&self.compiled) {
            return script;
        }
        let folder = path.parent().unwrap_or(path);
        let new = || Ok::<_, Infallible>(Arc::new(Places::new(AT_ONCE_IN_FOLDER)));
        let Ok(folder) = self.of_folders.get_or_insert_with(folder, new);
        let all = [&*folder, &self.places];
        let mut seen = None;
        if all.iter().all(|places| !places.are_full()) {
            seen = timeout(PATIENCE, self.look(path, &file, all)).await.unwrap_or_else(|_| {
                file.is_late(Instant::now() + STUCK);
                for places in all {
                    places.was_late();
                }
                self.tell(path, &format!("it does not answer within {} s", PATIENCE.as_secs()));
                None
            });
        }
        seen.unwrap_or_else(|| file.script(&self.compiled))
    }

    /// The script as a look at its file finds it, whether the memory keeps it or not; `None`: it failed.
    async fn look(
        &self,
        path: &Path,
        file: &Arc<SeenFile>,
        [folder, all]: [&Places; 2],
    ) -> Option<FileScript> {
        let looking = Arc::clone(&file.looking).lock_owned().await;
        if let Some(script) = file.fresh(&self.compiled) {
            return Some(script);
        }
        let in_folder = Arc::clone(&folder.free).acquire_owned().await;
        let of_all = Arc::clone(&all.free).acquire_owned().await;
        let (owned, most, compiled) = (path.to_owned(), self.most, Arc::clone(&self.compiled));
        let file = Arc::clone(file);
        let looked = spawn_blocking(move || {
            let _until_it_ends = (looking, in_folder, of_all);
            let (state, script) = match see(&owned, file.state().as_ref(), most, &compiled) {
                Ok((state, script)) => (Some(state), Ok(script)),
                Err(error) => (None, Err(error.to_string())),
            };
            file.note(state);
            script
        });
        let script = looked.await.unwrap_or_else(|error| Err(error.to_string()));
        script.inspect_err(|error| self.tell(path, error)).ok()
    }

    /// Once an hour for a folder.
    fn tell(&self, path: &Path, error: &str) {
        if self.told.is_due(&path.parent()) {
            let file = path.display();
            warn!(%file, error, "the file of a Sieve script cannot be read now: what was seen of it last counts, and else mail waits");
        }
    }
}

impl SeenFile {
    fn last(&self) -> MutexGuard<'_, LastSeen> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Option<FileState> {
        self.last().state.clone()
    }

    /// The script, if it need not be looked for.
    fn fresh(&self, compiled: &CompiledScripts) -> Option<FileScript> {
        let last = self.last();
        let is_fresh = last.until.is_some_and(|until| Instant::now() < until);
        let script = || last.state.as_ref().and_then(|state| state.script(compiled));
        is_fresh.then(script)?.or_else(|| last.failed.then_some(FileScript::Unreadable))
    }

    /// The script as it was seen last.
    fn script(&self, compiled: &CompiledScripts) -> FileScript {
        let script = self.last().state.as_ref().and_then(|state| state.script(compiled));
        script.unwrap_or(FileScript::Unreadable)
    }

    /// A look has ended; `None`: it failed.
    fn note(&self, seen: Option<FileState>) {
        let mut last = self.last();
        last.until = Some(Instant::now() + LOOK_AGAIN);
        last.failed = seen.is_none();
        last.state = seen.or(last.state.take());
    }

    /// A look goes on, and nobody waits for another one until then.
    fn is_late(&self, until: Instant) {
        let mut last = self.last();
        last.until = Some(until);
        last.failed = true;
    }
}

impl FileState {
    /// The script of a file in this state; `None`: it has to be read once more.
    fn script(&self, compiled: &CompiledScripts) -> Option<FileScript> {
        Some(match self {
            Self::Absent => FileScript::Absent,
            Self::Unusable(why) => FileScript::Script(Err(Arc::clone(why))),
            Self::Read(_, key) => FileScript::Script(compiled.known(key)?),
        })
    }
}

impl Places {
    fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), full_until: Mutex::default() }
    }

    fn full_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.full_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn are_full(&self) -> bool {
        self.full_until().is_some_and(|until| Instant::now() < until)
    }

    /// Somebody has waited in vain, for one of them or with one.
    fn was_late(&self) {
        if self.free.available_permits() == 0 {
            *self.full_until() = Some(Instant::now() + STUCK);
        }
    }
}

/// Looks at a file that was in this state: how it is now, and its script. An error: nobody can tell now.
fn see(
    path: &Path,
    was: Option<&FileState>,
    most: u64,
    compiled: &CompiledScripts,
) -> io::Result<(FileState, FileScript)> {
    // Where its script is not at hand any more the file is read as if it were new.
    let at_hand = match was {
        Some(FileState::Read(stamp, key)) => {
            compiled.known(key).map(|script| (*stamp, *key, script))
        }
        _ => None,
    };
    let stamp = at_hand.as_ref().and_then(|(stamp, ..)| *stamp);
    Ok(match (look_at(path, stamp, most), at_hand) {
        (FileLook::Unchanged, Some((stamp, key, script))) => {
            (FileState::Read(stamp, key), FileScript::Script(script))
        }
        (FileLook::Read(stamp, text), _) => {
            let (key, script) = compiled.keyed(&text);
            (FileState::Read(stamp, key), FileScript::Script(script))
        }
        (FileLook::Unusable(error), _) if lasts(&error) => {
            let why = format!("its file cannot be read: {error}");
            let why = Arc::new(BrokenScript::new(why));
            (FileState::Unusable(Arc::clone(&why)), FileScript::Script(Err(why)))
        }
        (FileLook::Unusable(error), _) => return Err(error),
        (FileLook::Absent | FileLook::Unchanged, _) => (FileState::Absent, FileScript::Absent),
    })
}

/// Looks at a file, and reads it unless it is what it `was`. A pipe in its place makes nobody wait.
fn look_at(path: &Path, was: Option<Stamp>, most: u64) -> FileLook {
    match fs::metadata(path) {
        Err(error) if is_absent(&error) => FileLook::Absent,
        Err(error) => FileLook::Unusable(error),
        Ok(meta) if !meta.is_file() => FileLook::Unusable(irregular()),
        Ok(meta) if was == Some(Stamp::of(&meta)) => FileLook::Unchanged,
        Ok(_) => match read(path, most) {
            Ok((stamp, text)) => FileLook::Read(stamp, text),
            Err(error) if is_absent(&error) => FileLook::Absent,
            Err(error) => FileLook::Unusable(error),
        },
    }
}

/// The content of a regular file, no more of it than one octet beyond `most`.
fn read(path: &Path, most: u64) -> io::Result<(Option<Stamp>, Vec<u8>)> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file: File = options.open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(irregular());
    }
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text)?;
    let stamp = Stamp::of(&meta);
    Ok((stamp.is_settled(SystemTime::now()).then_some(stamp), text))
}

/// The text of a user's script, for those who look on; `None`: there is no such file.
pub fn script_text(path: &Path, most: u64) -> Option<io::Result<Vec<u8>>> {
    match look_at(path, None, most) {
        FileLook::Absent | FileLook::Unchanged => None,
        FileLook::Unusable(error) => Some(Err(error)),
        FileLook::Read(_, text) => Some(Ok(text)),
    }
}

/// Files so many names below a folder whose path has this ending, in order, as long as `goes_on` says so.
pub fn files_below(
    (folder, levels): (&Path, usize),
    ending: &str,
    goes_on: &mut dyn FnMut() -> bool,
) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    for level in 1..=levels {
        let mut found = Vec::new();
        for folder in folders {
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            for path in names.map(|name| name.path()).take_while(|_| goes_on()) {
                let is_meant = level < levels
                    || path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
                if is_meant && path.is_dir() == (level < levels) {
                    found.push(path);
                }
            }
        }
        found.sort_unstable();
        folders = found;
    }
    folders
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    [NotFound, NotADirectory, InvalidFilename].contains(&error.kind())
}

fn irregular() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Whether whoever made the file has to mend it: it is none, or its links go in a circle.
fn lasts(error: &io::Error) -> bool {
    error.raw_os_error().is_none_or(|code| code == Errno::LOOP.raw_os_error())
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            octets: meta.len(),
            place: (meta.dev(), meta.ino()),
        }
    }

    /// Whether a change from now on makes another one of it. Users can set the one date and not the other.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        changed + SETTLED.as_secs() < now.as_secs()
    }
}

/// Files that are remembered; of more those go that nobody asked for.
const MOST: usize = 200_000;
/// A file that has come, gone or changed is seen after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Dates of files tell times apart that are so far from each other, on any disk.
const SETTLED: Duration = Duration::from_secs(2);
/// Looks at once, and at files of one folder.
const AT_ONCE: usize = 32;
const AT_ONCE_IN_FOLDER: usize = 4;
/// Folders whose looks are counted.
const MOST_FOLDERS: usize = 10_000;
/// How long a message waits for a file.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody waits for a file that could not be read in time, or for any of its folder where all looks
/// there do not end.
const STUCK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use relais_sieve::Limits;
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    fn files() -> FileScripts {
        let compiled = CompiledScripts::new(Limits::default(), MEMORY);
        FileScripts::new(Arc::new(compiled), MOST_OCTETS)
    }

    /// Forgets when a file was looked at.
    fn later(files: &FileScripts, path: &Path) {
        if let Some(file) = files.seen.get(path) {
            file.last().until = None;
        }
    }

    async fn told(files: &FileScripts, path: &Path) -> &'static str {
        match files.script(path).await {
            FileScript::Absent => "none",
            FileScript::Script(Ok(_)) => "good",
            FileScript::Script(Err(_)) => "broken",
            FileScript::Unreadable => "unreadable",
        }
    }

    #[tokio::test]
    async fn a_file_that_comes_changes_or_goes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (files, path) = (files(), folder.path().join("jdoe.sieve"));
        let texts = [
            (Some("keep;"), "good"),
            (Some("stop;"), "good"),
            (Some("if {"), "broken"),
            (None, "none"),
            (Some("discard;"), "good"),
        ];
        assert_eq!(told(&files, &path).await, "none");
        let mut before = "none";
        for (text, want) in texts {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_eq!(told(&files, &path).await, before, "it was looked at a moment ago");
            later(&files, &path);
            assert_eq!(told(&files, &path).await, want, "{text:?}");
            before = want;
        }
    }

    /// A memory that has no room for the script makes it dearer, and holds up no mail.
    #[tokio::test]
    async fn a_script_that_the_memory_does_not_keep_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jdoe.sieve");
        fs::write(&path, "keep;").unwrap();
        let compiled = Arc::new(CompiledScripts::new(Limits::default(), 1));
        let files = FileScripts::new(Arc::clone(&compiled), MOST_OCTETS);
        for _ in 0..2 {
            assert_eq!(told(&files, &path).await, "good");
            assert!(compiled.known(&compiled.keyed(b"keep;").0).is_none(), "there is room");
        }
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jdoe.sieve");
        fs::write(&path, "keep;").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        assert!(matches!(look_at(&path, Some(stamp), MOST_OCTETS), FileLook::Unchanged));
        let soon = SystemTime::now();
        assert!(!stamp.is_settled(soon) && stamp.is_settled(soon + 2 * SETTLED));
        assert!(matches!(look_at(&path, None, MOST_OCTETS), FileLook::Read(None, _)));
        // Of the same size and date, by another one's name.
        let other = folder.path().join("other");
        fs::write(&other, "stop;").unwrap();
        let date = fs::metadata(&path).unwrap().modified().unwrap();
        OpenOptions::new().write(true).open(&other).unwrap().set_modified(date).unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(matches!(look_at(&path, Some(stamp), MOST_OCTETS), FileLook::Read(..)));
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("good"), "keep;").unwrap();
        symlink(at("good"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("large"), "#".repeat(MOST_OCTETS as usize + 1)).unwrap();
        fs::write(at("binary"), b"\xff\xfe").unwrap();
        let rows = [
            ("good", "good"),
            ("link", "good"),
            ("dangling", "none"),
            ("good/below", "none"),
            (&*"x".repeat(300), "none"),
            ("pipe", "broken"),
            ("zero", "broken"),
            ("folder", "broken"),
            ("large", "broken"),
            ("binary", "broken"),
        ];
        let files = files();
        for (name, want) in rows {
            assert_eq!(told(&files, &at(name)).await, want, "{name}");
        }
        let read = script_text(&at("large"), 10).unwrap().unwrap();
        assert_eq!(read.len(), 11);
    }

    #[tokio::test]
    async fn what_cannot_be_read_now_is_as_it_was_and_else_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("good", "keep;"), ("bad", "if {"), ("other", "keep;")] {
            fs::write(at(name), text).unwrap();
        }
        let (files, rows) = (files(), [("good", "good"), ("bad", "broken"), ("gone", "none")]);
        for (name, want) in rows {
            assert_eq!(told(&files, &at(name)).await, want, "{name}");
        }
        // A regular file, of which the system can read nothing (EIO).
        let fault = |name: &str| {
            symlink("/proc/self/mem", at("fault")).unwrap();
            fs::rename(at("fault"), at(name)).unwrap();
        };
        for (name, want) in rows {
            fault(name);
            later(&files, &at(name));
            for _ in 0..2 {
                assert_eq!(told(&files, &at(name)).await, want, "{name} as it was");
            }
        }
        fault("new");
        assert_eq!(told(&files, &at("new")).await, "unreadable");
        fs::rename(at("other"), at("new")).unwrap();
        assert_eq!(told(&files, &at("new")).await, "unreadable", "it was looked at a moment ago");
        later(&files, &at("new"));
        assert_eq!(told(&files, &at("new")).await, "good");
        assert!(!lasts(&Errno::ACCESS.into()) && !lasts(&Errno::STALE.into()));
        symlink(at("circle"), at("circle")).unwrap();
        assert_eq!(told(&files, &at("circle")).await, "broken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_does_not_answer_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["known", "stuck", "other"] {
            fs::write(at(name), "keep;").unwrap();
        }
        let files = files();
        assert_eq!(told(&files, &at("known")).await, "good");
        // Looks at these two go on and on.
        let mut looks = Vec::new();
        for name in ["known", "stuck"] {
            later(&files, &at(name));
            let new = || Ok::<_, Infallible>(Arc::default());
            let Ok(file) = files.seen.get_or_insert_with(&at(name), new);
            looks.push(file.looking.clone().lock_owned().await);
        }
        for (name, want) in [("known", "good"), ("stuck", "unreadable"), ("other", "good")] {
            let began = tokio::time::Instant::now();
            assert_eq!(told(&files, &at(name)).await, want, "{name}");
            assert_eq!(began.elapsed() >= PATIENCE, name != "other", "{name}");
            assert_eq!(told(&files, &at(name)).await, want, "{name}");
            assert!(began.elapsed() < 2 * PATIENCE, "{name}: nobody waits once more");
        }
        drop(looks);
        later(&files, &at("stuck"));
        assert_eq!(told(&files, &at("stuck")).await, "good");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_whose_looks_do_not_end_is_left_alone_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        for (place, name) in [("a", "x"), ("a", "y"), ("b", "z")] {
            fs::create_dir_all(folder.path().join(place)).unwrap();
            fs::write(folder.path().join(place).join(name), "keep;").unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        let (files, a) = (files(), Arc::new(Places::new(AT_ONCE_IN_FOLDER)));
        files.of_folders.insert(at("a"), Arc::clone(&a));
        let free = Arc::clone(&a.free);
        let taken = free.acquire_many_owned(AT_ONCE_IN_FOLDER as u32).await.unwrap();
        assert_eq!(told(&files, &at("a/x")).await, "unreadable");
        let began = tokio::time::Instant::now();
        assert_eq!(told(&files, &at("a/y")).await, "unreadable");
        assert_eq!(told(&files, &at("b/z")).await, "good");
        assert!(began.elapsed() < PATIENCE, "nobody waits once more");
        drop(taken);
        *a.full_until() = None;
        assert_eq!(told(&files, &at("a/y")).await, "good");
    }

    #[test]
    fn files_of_users_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/x.sieve", "a/y.sieve", "a/y.txt", "b/z.sieve", "b/c/d.sieve"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "keep;").unwrap();
        }
        let found = |levels, ending| {
            let all = files_below((folder.path(), levels), ending, &mut || true);
            let names = all.iter().map(|path| path.strip_prefix(folder.path()).unwrap());
            names.map(|name| name.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(2, ".sieve"), ["a/x.sieve", "a/y.sieve", "b/z.sieve"]);
        assert_eq!(found(3, "/d.sieve"), ["b/c/d.sieve"]);
        assert_eq!(found(1, ""), [""; 0]);
        assert!(files_below((folder.path(), 2), "", &mut || false).is_empty());
    }

    const MEMORY: u64 = 64 << 20;
    const MOST_OCTETS: u64 = 64 << 10;
}
