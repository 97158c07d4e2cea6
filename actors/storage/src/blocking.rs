//! Work that waits for a disk.

use tokio::task::spawn_blocking;

use crate::error::StorageError;

/// Runs work that waits for the disk away from the actors.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    // It fails when the runtime is being shut down.
    spawn_blocking(work).await.unwrap_or(Err(StorageError::Closed))
}
