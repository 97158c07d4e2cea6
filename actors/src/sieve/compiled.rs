//! Scripts that are compiled once and used by many.

use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use quick_cache::{Weighter, sync::Cache};
use relais_sieve::{Limits, Script};

/// A script, or its first mistake in words.
pub(super) type Compiled = Result<Arc<Script>, Arc<str>>;

/// The memory of compiled scripts.
pub(super) struct CompiledScripts {
    limits: Limits,
    /// By two hashes of the text, and its octets.
    known: Cache<ScriptKey, Compiled, ByText>,
    hashers: [RandomState; 2],
    files: Vec<Mutex<ScriptFile>>,
}

/// Two hashes of a text, and its octets.
pub(super) type ScriptKey = (u64, u64, usize);

/// The octets of a text stand for what the script takes in memory.
#[derive(Clone)]
struct ByText;

impl Weighter<ScriptKey, Compiled> for ByText {
    fn weight(&self, (.., octets): &ScriptKey, _: &Compiled) -> u64 {
        (octets * TIMES_TEXT + SMALLEST) as u64
    }
}

/// A script of the system, in a file.
struct ScriptFile {
    path: PathBuf,
    looked: Option<Instant>,
    changed: Option<SystemTime>,
    compiled: Compiled,
}

impl CompiledScripts {
    /// Within about so many octets of memory; with these files, each read when it is first asked for.
    pub(super) fn new(limits: Limits, memory: u64, files: Vec<PathBuf>) -> Self {
        let file = |path| {
            let compiled = Err("it has not been read".into());
            Mutex::new(ScriptFile { path, looked: None, changed: None, compiled })
        };
        Self {
            limits,
            known: Cache::with_weighter(MOST, memory, ByText),
            hashers: Default::default(),
            files: files.into_iter().map(file).collect(),
        }
    }

    /// The script of a text.
    pub(super) fn of(&self, text: &str) -> Compiled {
        self.keyed(text.as_bytes()).1
    }

    /// The same, and by what it is known again.
    pub(super) fn keyed(&self, text: &[u8]) -> (ScriptKey, Compiled) {
        let hashes = [0, 1].map(|n| self.hashers[n].hash_one(text));
        let key = (hashes[0], hashes[1], text.len());
        if let Some(known) = self.known.get(&key) {
            return (key, known);
        }
        let compiled = compile(text, &self.limits);
        self.known.insert(key, compiled.clone());
        (key, compiled)
    }

    /// A script that was compiled a while ago, as long as it is there.
    pub(super) fn known(&self, key: &ScriptKey) -> Option<Compiled> {
        self.known.get(key)
    }

    /// The script of a file, read again when it has changed.
    pub(super) fn of_file(&self, path: &Path) -> Compiled {
        let file = self.files.iter().find(|file| lock(file).path == path);
        let Some(file) = file else { return Err("no such file of the configuration".into()) };
        let mut file = lock(file);
        if file.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return file.compiled.clone();
        }
        file.looked = Some(Instant::now());
        let changed = std::fs::metadata(path).and_then(|its| its.modified()).ok();
        if changed.is_none() || changed != file.changed {
            file.changed = changed;
            file.compiled = match std::fs::read(path) {
                Ok(text) => compile(&text, &self.limits),
                Err(error) => Err(error.to_string().into()),
            };
        }
        file.compiled.clone()
    }
}

fn lock(file: &Mutex<ScriptFile>) -> std::sync::MutexGuard<'_, ScriptFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compile(text: &[u8], limits: &Limits) -> Compiled {
    Script::compile(text, limits).map(Arc::new).map_err(|mistakes| {
        let first = mistakes.first().map(ToString::to_string);
        first.unwrap_or_else(|| "it cannot be read".to_owned()).into()
    })
}

/// Scripts that are expected. Of those that take more memory those go that nobody asked for, and are compiled
/// once more when mail comes for them.
const MOST: usize = 100_000;
/// A compiled script takes so many times what its text takes, and some more.
const TIMES_TEXT: usize = 9;
const SMALLEST: usize = 1 << 10;
/// A file that has changed is used after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
