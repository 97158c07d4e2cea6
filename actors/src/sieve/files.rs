//! Scripts of users in files. A file costs a look at its date now and then, and is read when it has
//! changed; where the disk does not answer, mail does not wait for long.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use quick_cache::sync::Cache;
use rustix::fs::OFlags;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::compiled::{Compiled, CompiledScripts, ScriptKey};

/// Files that were looked at.
pub(super) struct UserFiles {
    compiled: Arc<CompiledScripts>,
    /// Octets of a file that are read.
    most: u64,
    known: Cache<Box<Path>, KnownFile>,
    /// Files that are being looked at: a disk that does not answer holds no more threads than these.
    places: Arc<Semaphore>,
    /// A file could not be looked at in time: until then none is.
    stuck_until: Mutex<Option<Instant>>,
}

/// A file as it was when it was looked at.
#[derive(Clone)]
struct KnownFile {
    looked: Instant,
    state: FileState,
}

#[derive(Clone)]
enum FileState {
    Absent,
    /// It cannot be used, for this reason.
    Unusable(Arc<str>),
    Read(Option<Stamp>, ScriptKey),
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

impl UserFiles {
    /// Files whose scripts `compiled` compiles, and of which no more than `most` octets are read.
    pub(super) fn new(compiled: Arc<CompiledScripts>, most: u64) -> Self {
        Self {
            compiled,
            most,
            known: Cache::new(MOST),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            stuck_until: Mutex::default(),
        }
    }

    /// The script in a file; `None`: there is no such file.
    pub(super) async fn script(&self, path: &Path) -> Option<Compiled> {
        let known = self.known.get(path);
        if let Some(known) = known.as_ref().filter(|known| known.looked.elapsed() < LOOK_AGAIN)
            && let Some(script) = self.known_script(&known.state)
        {
            return script;
        }
        let state = known.map(|known| known.state);
        if self.is_stuck() {
            return self.meanwhile(state.as_ref());
        }
        let Ok((state, script)) = timeout(PATIENCE, self.look(path, state.clone())).await else {
            let until = Some(Instant::now() + STUCK);
            *self.stuck_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            return self.meanwhile(state.as_ref());
        };
        self.known.insert(path.into(), KnownFile { looked: Instant::now(), state });
        script
    }

    /// Whether the script in a file is not known, since the file cannot be read now.
    pub(super) fn is_unread(&self, path: &Path) -> bool {
        let is_known = |its: KnownFile| {
            !matches!(its.state, FileState::Unusable(_)) && self.known_script(&its.state).is_some()
        };
        !self.known.get(path).is_some_and(is_known)
    }

    /// The script of a file in this state; `None`: it has to be read once more.
    #[expect(clippy::option_option, reason = "no script is an answer, too")]
    fn known_script(&self, state: &FileState) -> Option<Option<Compiled>> {
        match state {
            FileState::Absent => Some(None),
            FileState::Unusable(why) => Some(Some(Err(Arc::clone(why)))),
            FileState::Read(_, key) => self.compiled.known(key).map(Some),
        }
    }

    /// The script of a file that nobody can look at now, as it was.
    fn meanwhile(&self, state: Option<&FileState>) -> Option<Compiled> {
        let known = state.and_then(|state| self.known_script(state));
        known.unwrap_or_else(|| Some(Err("its file cannot be read in time".into())))
    }

    fn is_stuck(&self) -> bool {
        let until = *self.stuck_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| until > Instant::now())
    }

    async fn look(&self, path: &Path, state: Option<FileState>) -> (FileState, Option<Compiled>) {
        let lost = |why: &str| {
            let why: Arc<str> = why.into();
            (FileState::Unusable(Arc::clone(&why)), Some(Err(why)))
        };
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return lost("its file cannot be read");
        };
        let (path, most, compiled) = (path.to_owned(), self.most, Arc::clone(&self.compiled));
        let looked = spawn_blocking(move || {
            let _place = place;
            let was = match state {
                Some(FileState::Read(stamp, key)) => Some((stamp, key)),
                _ => None,
            };
            // Where its script is not at hand any more the file is read as if it were new.
            let at_hand = was.and_then(|(stamp, key)| Some((stamp, key, compiled.known(&key)?)));
            let stamp = at_hand.as_ref().and_then(|(stamp, ..)| *stamp);
            match (look_at(&path, stamp, most), at_hand) {
                (FileLook::Unchanged, Some((stamp, key, script))) => {
                    (FileState::Read(stamp, key), Some(script))
                }
                (FileLook::Read(stamp, text), _) => {
                    let (key, script) = compiled.keyed(&text);
                    (FileState::Read(stamp, key), Some(script))
                }
                (FileLook::Unusable(error), _) => {
                    let why: Arc<str> = format!("its file cannot be read: {error}").into();
                    (FileState::Unusable(Arc::clone(&why)), Some(Err(why)))
                }
                (FileLook::Absent | FileLook::Unchanged, _) => (FileState::Absent, None),
            }
        });
        looked.await.unwrap_or_else(|error| lost(&error.to_string()))
    }
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
const AT_ONCE: usize = 32;
/// How long a message waits for a file.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long no file is looked at after one that could not be read in time.
const STUCK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use relais_sieve::Limits;
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    fn files() -> UserFiles {
        let compiled = CompiledScripts::new(Limits::default(), MEMORY, Vec::new());
        UserFiles::new(Arc::new(compiled), MOST_OCTETS)
    }

    /// Forgets when files were looked at.
    fn later(files: &UserFiles, path: &Path) {
        if let Some(known) = files.known.get(path) {
            let looked = known.looked.checked_sub(LOOK_AGAIN).unwrap();
            files.known.insert(path.into(), KnownFile { looked, ..known });
        }
    }

    async fn told(files: &UserFiles, path: &Path) -> &'static str {
        match files.script(path).await {
            None => "none",
            Some(Ok(_)) => "good",
            Some(Err(_)) => "broken",
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
        let unread = ["pipe", "zero", "folder"];
        for (name, want) in rows {
            assert_eq!(told(&files, &at(name)).await, want, "{name}");
            assert_eq!(files.is_unread(&at(name)), unread.contains(&name), "{name}");
        }
        let read = script_text(&at("large"), 10).unwrap().unwrap();
        assert_eq!(read.len(), 11);
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jdoe.sieve");
        fs::write(&path, "keep;").unwrap();
        let files = files();
        assert_eq!(told(&files, &path).await, "good");
        later(&files, &path);
        let places = files.places.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        assert_eq!(told(&files, &path).await, "good", "as it was");
        let began = Instant::now();
        assert_eq!(told(&files, &folder.path().join("other")).await, "broken");
        assert!(began.elapsed() < PATIENCE, "nobody waits once more");
        assert!(files.is_unread(&folder.path().join("other")) && !files.is_unread(&path));
        drop(places);
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
