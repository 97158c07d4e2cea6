//! Content in files of its own at a start: each belongs to a message that is not done. Other files
//! are removed, and a message without its file is reported.

use std::collections::BTreeSet;

use relais_channels::{clock::now_ms, mail::MessageId};

use crate::{
    environment::Environment,
    format::layout::blob_of,
    format::record::{Found, Walker},
    format::segment::{HEAD, Part, SegmentHead},
    ledger::Event,
    recovery::error::{RecoverError, at},
    recovery::replay::Replay,
};

/// Removes content whose message is done or was never stored; gives back the messages that are not
/// done and whose content is gone.
pub(super) fn clear_blobs(
    replay: &mut Replay<'_>,
    segments: &BTreeSet<u32>,
) -> Result<Vec<MessageId>, RecoverError> {
    let mut missing = Vec::new();
    let (disk, dir) = (&*replay.environment.disk, replay.environment.layout.blob_dir());
    let mut present = BTreeSet::new();
    for name in disk.list(&dir).map_err(at(&dir))? {
        let Some(id) = blob_of(&name) else { continue };
        let left = replay.ledger.blobs.get(&id).copied();
        if left.is_none()
            && !replay.from_scratch
            && is_referred_to(replay.environment, id, segments)?
        {
            return Err(RecoverError::Index(format!("it does not know large message {id}")));
        }
        if left.unwrap_or(0) > 0 {
            // A form that was made later stands for none but itself.
            if name.parse() == Ok(id) {
                present.insert(id);
            }
        } else {
            let path = dir.join(name);
            disk.remove(&path).map_err(at(&path))?;
        }
    }
    disk.sync_dir(&dir).map_err(at(&dir))?;
    for (id, left) in replay.ledger.blobs.clone() {
        if left == 0 {
            replay.emit(Event::BlobGone { id });
        } else if !present.contains(&id) {
            tracing::error!(%id, "the content of a large message is missing");
            missing.push(id);
        }
    }
    Ok(missing)
}

/// Whether a record of this id lies in any segment that was open after the id was given out.
fn is_referred_to(
    environment: &Environment,
    id: MessageId,
    segments: &BTreeSet<u32>,
) -> Result<bool, RecoverError> {
    let (disk, layout) = (&*environment.disk, &environment.layout);
    for number in segments.iter().rev() {
        let path = layout.messages(*number);
        let Some(head) = SegmentHead::load(disk, layout, *number).map_err(at(&path))? else {
            continue;
        };
        let file = disk.open(&path).map_err(at(&path))?;
        let end = file.size().map_err(at(&path))?;
        let mut walker = Walker::new(&*file, head.salt(Part::Messages), HEAD as u64, end);
        while let Some(found) = walker.next().map_err(at(&path))? {
            if matches!(found, Found::Record { header, .. } if header.id == id) {
                return Ok(true);
            }
        }
        // Ids begin with the time: an older segment was full before this one was given out,
        // unless the clock was ahead then.
        if head.created <= id.received_ms() && id.received_ms() <= now_ms() {
            break;
        }
    }
    Ok(false)
}
