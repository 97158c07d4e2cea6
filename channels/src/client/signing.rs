//! Signatures of content as it is sent: behind every conversion, and on a thread that may take its time.

use std::{borrow::Cow, io, mem, path::Path};

use bytes::Bytes;

use super::rendition::{Octets, Rendition, read, unreadable};
use crate::{
    authenticity::{SignAs, Unsigned},
    mail::{Content, Enhanced, Outcome, Reply},
    mime::{Conversion, Converter},
};

/// The rendition of this content with signatures in front, where there is a key for it.
pub(super) async fn signed<'c>(
    mut rendition: Rendition<'c>,
    content: &Content,
    name: &SignAs,
) -> Result<Rendition<'c>, Outcome> {
    if name.signers.is_empty() {
        return Ok(rendition);
    }
    let _turn = name.signers.turn().await;
    let name = name.clone();
    let head = match &mut rendition.octets {
        Octets::Whole(Cow::Borrowed(octets)) => {
            let own = match content {
                Content::Whole(all) => all.clone(),
                Content::File { .. } => Bytes::copy_from_slice(octets),
            };
            in_background(move || whole(&own, &name)).await?
        }
        Octets::Whole(Cow::Owned(octets)) => {
            let own = mem::take(octets);
            let (head, own) = in_background(move || Ok((whole(&own, &name)?, own))).await?;
            *octets = own;
            head
        }
        Octets::File { path, size, conversion } => {
            let (path, size, conversion) = (path.to_owned(), *size, conversion.clone());
            in_background(move || file(&path, size, conversion.as_ref(), &name)).await?
        }
    };
    rendition.head = head;
    Ok(rendition)
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Outcome> + Send + 'static,
) -> Result<T, Outcome> {
    let done = tokio::task::spawn_blocking(work).await;
    // Ours never panics; and when the runtime ends, nothing more is sent.
    done.map_err(|error| unreadable(&io::Error::other(error)))?
}

fn whole(octets: &[u8], name: &SignAs) -> Result<Vec<u8>, Outcome> {
    let mut signatures = name.begin();
    signatures.feed(octets).map_err(|error| unsigned(&error))?;
    signatures.finish().map_err(|error| unsigned(&error))
}

/// Reads a file once more, and converts it once more: neither is kept.
fn file(
    path: &Path,
    size: u64,
    conversion: Option<&Conversion>,
    name: &SignAs,
) -> Result<Vec<u8>, Outcome> {
    let mut signatures = name.begin();
    let mut fed = Ok(());
    let mut converter = conversion.map(Converter::new);
    let mut made = Vec::new();
    read(path, size, |piece| {
        if fed.is_err() || signatures.is_idle() {
            return;
        }
        fed = match &mut converter {
            None => signatures.feed(piece),
            Some(converter) => {
                made.clear();
                converter.feed(piece, &mut made);
                signatures.feed(&made)
            }
        };
    })?;
    fed.map_err(|error| unsigned(&error))?;
    if let Some(converter) = converter {
        made.clear();
        converter.finish(&mut made);
        signatures.feed(&made).map_err(|error| unsigned(&error))?;
    }
    signatures.finish().map_err(|error| unsigned(&error))
}

/// A message that cannot be signed waits until it can be.
fn unsigned(error: &Unsigned) -> Outcome {
    let text = format!("cannot sign the message: {error}");
    Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), text))
}
