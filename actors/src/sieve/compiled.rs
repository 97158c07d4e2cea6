//! Scripts that are compiled once and used by many.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use quick_cache::{Weighter, sync::Cache};
use relais_sieve::{Limits, Script};

/// A script, or why there is none.
pub(super) type Compiled = Result<Arc<Script>, Arc<BrokenScript>>;

/// The first mistake of a script, in words.
#[derive(Debug)]
pub(super) struct BrokenScript {
    /// For the operator.
    pub(super) mistake: String,
    /// For the owner, without words of the script: a link in the place of the file may lead to one that the
    /// owner may not read.
    pub(super) without_words: String,
}

impl BrokenScript {
    /// For a reason that says nothing of what stands in the script.
    pub(super) fn new(why: impl Into<String>) -> Self {
        let mistake = why.into();
        Self { without_words: mistake.clone(), mistake }
    }
}

/// The memory of compiled scripts.
pub(super) struct CompiledScripts {
    limits: Limits,
    /// By two hashes of the text, and its octets.
    known: Cache<ScriptKey, Compiled, ByText>,
    hashers: [RandomState; 2],
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

impl CompiledScripts {
    /// Within about so many octets of memory.
    pub(super) fn new(limits: Limits, memory: u64) -> Self {
        let known = Cache::with_weighter(MOST, memory, ByText);
        Self { limits, known, hashers: Default::default() }
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
}

fn compile(text: &[u8], limits: &Limits) -> Compiled {
    Script::compile(text, limits).map(Arc::new).map_err(|mistakes| {
        let broken = mistakes.first().map(|mistake| BrokenScript {
            mistake: mistake.to_string(),
            without_words: mistake.without_words(),
        });
        broken.unwrap_or_else(|| BrokenScript::new("it cannot be read")).into()
    })
}

/// Scripts that are expected. Of those that take more memory those go that nobody asked for, and are compiled
/// once more when mail comes for them.
const MOST: usize = 100_000;
/// A compiled script takes so many times what its text takes, and some more.
const TIMES_TEXT: usize = 9;
const SMALLEST: usize = 1 << 10;
