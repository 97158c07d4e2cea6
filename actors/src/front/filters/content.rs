//! A message as filters see and change it: its header in memory, its body in memory or in a file.

use std::borrow::Cow;

use relais_channels::milter::{Breach, EditedHeader, FilterError, Mender, PIECE};
use relais_storage::{Draft, Storage, StorageError};

/// A message that is complete.
pub(crate) struct Shown {
    pub(crate) header: EditedHeader,
    pub(crate) body: Body,
}

/// Its body, behind the blank line.
#[derive(Debug)]
pub(crate) enum Body {
    Memory(Vec<u8>),
    File(Draft),
}

/// A body that a filter writes.
pub(crate) struct NewBody<'a> {
    storage: &'a Storage,
    mender: Mender,
    body: Body,
    /// More than this is kept in a file.
    large: u64,
    most: u64,
    /// The filter has begun to write.
    pub(crate) is_begun: bool,
}

/// Why the content could not be shown.
#[derive(Debug)]
pub(crate) enum ShowError {
    /// The filter failed.
    Filter(FilterError),
    /// The disk did.
    Storage(StorageError),
}

impl From<FilterError> for ShowError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

impl From<StorageError> for ShowError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Body {
    /// A part of it, from `at`; empty at its end.
    pub(crate) async fn piece(&mut self, at: u64) -> Result<Cow<'_, [u8]>, StorageError> {
        match self {
            Self::Memory(octets) => {
                let start = usize::try_from(at).map_or(octets.len(), |at| at.min(octets.len()));
                let end = octets.len().min(start + PIECE);
                Ok(octets[start..end].into())
            }
            Self::File(draft) => Ok(draft.read(at, PIECE).await?.into()),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::File(draft) => draft.size(),
        }
    }

    async fn write(
        &mut self,
        octets: &[u8],
        large: u64,
        storage: &Storage,
    ) -> Result<(), StorageError> {
        match self {
            Self::Memory(before) if before.len() as u64 + octets.len() as u64 <= large => {
                before.extend_from_slice(octets);
                Ok(())
            }
            Self::Memory(before) => {
                let mut draft = storage.draft();
                draft.write(before).await?;
                draft.write(octets).await?;
                *self = Self::File(draft);
                Ok(())
            }
            Self::File(draft) => draft.write(octets).await,
        }
    }
}

impl<'a> NewBody<'a> {
    /// None yet. More than `large` octets are kept in a file, more than `most` are refused.
    pub(crate) fn new(storage: &'a Storage, large: u64, most: u64) -> Self {
        let body = Body::Memory(Vec::new());
        Self { storage, mender: Mender::default(), body, large, most, is_begun: false }
    }

    /// The next part, as the filter sent it.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), ShowError> {
        self.is_begun = true;
        let mut mended = Vec::new();
        self.mender.mend(piece, &mut mended);
        if self.body.size() + mended.len() as u64 > self.most {
            return Err(FilterError::from(Breach::BodyTooLarge).into());
        }
        Ok(self.body.write(&mended, self.large, self.storage).await?)
    }

    /// All of it; `None`: the filter has written none.
    pub(crate) async fn finish(mut self) -> Result<Option<Body>, ShowError> {
        let mut end = Vec::new();
        self.mender.finish(&mut end);
        self.body.write(&end, self.large, self.storage).await?;
        Ok(self.is_begun.then_some(self.body))
    }
}
