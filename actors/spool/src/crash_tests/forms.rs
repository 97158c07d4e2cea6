//! The world stops while messages go on in several forms: all of the forms are there, or none.

use std::collections::BTreeSet;

use super::*;

#[test]
fn of_a_message_all_forms_are_there_or_none() {
    let runs = stop_at_every_write::<Forms>(SEEDS);
    let crashes: u64 = runs.iter().map(|whole| whole.crashes).sum();
    let moves: u32 = runs.iter().map(|whole| whole.run.moves).sum();
    assert!(moves > 5, "only {moves} compactions: the test has lost its teeth");
    assert!(crashes > 2000, "only {crashes} crashes: the test has lost its teeth");
}

/// Messages that go on, by their ids.
#[derive(Default)]
struct Forms {
    messages: BTreeMap<MessageId, Forked>,
    moves: u32,
}

/// One of them. Its first entry stays where it is.
struct Forked {
    contents: Vec<Vec<u8>>,
    acknowledged: bool,
    /// Entries that somebody has finished.
    done: BTreeSet<u16>,
}

impl Run for Forms {
    fn on(disk: &MemoryDisk, seed: u64) -> Self {
        let mut forms = Self::default();
        let Ok(mut engine) = Engine::start(disk) else { return forms };
        let (mut dice, mut promised) = (Dice(seed), Promised::default());
        for id in 1..=MESSAGES {
            forms.fork(&mut engine, MessageId(id), &mut dice);
            for _ in 0..=dice.below(3) {
                engine.compact(&mut promised, &mut dice);
            }
            if disk.has_stopped() {
                break;
            }
        }
        forms.moves = promised.moves;
        forms
    }

    fn starts(disk: &MemoryDisk) -> bool {
        Engine::start(disk).is_ok()
    }

    fn check(&self, disk: &MemoryDisk, _fate: Fate, scene: &str) {
        let engine = Engine::start(disk).unwrap_or_else(|error| panic!("{scene}: {error}"));
        for (id, forked) in &self.messages {
            let there = engine.live.range((*id, 1)..=(*id, u16::MAX));
            let mut found = BTreeSet::new();
            for ((_, entry), (place, _)) in there {
                let content = &forked.contents[usize::from(*entry) - 1];
                assert!(engine.content(*place, scene) == *content, "{scene}: {id}.{entry}");
                found.insert(*entry);
            }
            let all = 1..=forked.contents.len() as u16;
            let missing: Vec<u16> =
                all.filter(|n| !found.contains(n) && !forked.done.contains(n)).collect();
            assert!(missing.is_empty() || found.is_empty(), "{scene}: {id} has {found:?} only");
            assert!(missing.is_empty() || !forked.acknowledged, "{scene}: {id} lost {missing:?}");
        }
        let again = Engine::start(disk).unwrap_or_else(|error| panic!("{scene}, again: {error}"));
        assert!(again.live == engine.live, "{scene}: a second recovery finds something else");
    }
}

impl Forms {
    /// Stores a message, lets it go on in some forms, and finishes some of them.
    fn fork(&mut self, engine: &mut Engine, id: MessageId, dice: &mut Dice) {
        let is_large = dice.below(3) == 0;
        let count = 2 + dice.below(3) as u16;
        let mut content = || {
            let mut text = text(dice);
            // Forms lie where the message does.
            text.resize(if is_large { 500 } else { 200 }, b'x');
            text
        };
        let original = engine.encode(id, 1, content());
        let Ok(original) = original.map(|original| engine.commit(vec![original])) else { return };
        if original.is_empty() {
            return;
        }
        let contents: Vec<_> = (0..count).map(|_| content()).collect();
        let forked =
            Forked { contents: contents.clone(), acknowledged: false, done: BTreeSet::new() };
        self.messages.insert(id, forked);
        let encoded = (1..).zip(contents).map(|(n, content)| engine.encode_form(id, n, content));
        let Ok(mut group) = encoded.collect::<Result<Vec<_>, _>>() else { return };
        Encoded::group(&mut group).unwrap();
        // Others come in the same batch.
        let other =
            |engine: &Engine, id| engine.encode(MessageId(id), 1, b"other".to_vec()).unwrap();
        group.insert(0, other(engine, 1000 + id.0));
        group.push(other(engine, 2000 + id.0));
        let stored = engine.commit(group);
        let Some(forked) = self.messages.get_mut(&id).filter(|_| !stored.is_empty()) else {
            return;
        };
        forked.acknowledged = true;
        let mut changes = Vec::new();
        for stored in stored.iter().filter(|stored| stored.id == id && dice.below(2) == 0) {
            let (entry, _) = stored.own_entries().next().unwrap();
            forked.done.insert(entry);
            changes.push(change(id, stored.place, entry, begun(id), EntryState::Done));
        }
        for change in &changes {
            alter(&mut engine.live, change);
        }
        engine.journal.write(changes);
        let _ = engine.journal.sync();
    }
}

impl Engine {
    fn commit(&mut self, mut batch: Vec<Encoded>) -> Vec<Stored> {
        let stored = self.committer.commit(&mut batch, &mut |_| ()).unwrap_or_default();
        for stored in &stored {
            add(&mut self.live, stored);
        }
        stored
    }

    /// A form of a message, with the entry `number`.
    fn encode_form(
        &self,
        id: MessageId,
        number: u16,
        content: Vec<u8>,
    ) -> Result<Encoded, StorageError> {
        let mut form = envelope(id, number + 1);
        form.entries[..usize::from(number)].iter_mut().for_each(|entry| entry.recipients.clear());
        let is_large = content.len() as u64 > self.environment.settings.large_message;
        let file = if is_large { number as u8 } else { 0 };
        form.rerouted = Some(Rerouted { at: 0, entry: 0, recipients: 1, form: file });
        let mut form = Arc::new(form);
        if !is_large {
            return Ok(Encoded::new(&mut form, content.into(), None)?);
        }
        let size = content.len() as u64;
        waiting(async {
            let layout = &self.environment.layout;
            let environment = Arc::clone(&self.environment);
            let mut draft = Draft::new(environment, layout.blob_dir().join("draft-1"));
            draft.write(&content).await?;
            draft.keep(layout.blob(id, file), layout.blob_dir()).await
        })?;
        Ok(Encoded::new(&mut form, Bytes::new(), Some(size))?)
    }
}

const MESSAGES: u64 = 12;
