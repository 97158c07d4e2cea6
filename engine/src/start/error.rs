//! Why the engine does not start.

use std::path::PathBuf;

use relais_actors::{
    delivery::programs::ProgramError, directory::OpenError, front::listening::ListenError,
    router::RoutesError, store::UnixMailboxesError,
};
use relais_channels::{
    authenticity::AuthenticityFault, dns::Unanswered, dsn::TemplateError, mailbox::PartitionError,
    tls::TlsError, tls_policy::PoliciesError,
};
use relais_storage::StorageError;

/// Why the engine does not start. The administrator must act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The spool cannot be opened.
    #[error("the spool in {}: {source}", .dir.display())]
    Spool {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// Rules, tables or the directory cannot be used.
    #[error(transparent)]
    Routes(#[from] RoutesError),
    /// A program cannot be run as it is listed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// A certificate or its key cannot be used.
    #[error("{field}: {0}", field = .0.field)]
    Tls(#[from] TlsError),
    /// Mail cannot be signed, or its origin not be checked.
    #[error(transparent)]
    Authenticity(#[from] AuthenticityFault),
    /// The policies of destinations cannot be found out.
    #[error("{field}: {0}", field = .0.field())]
    TlsPolicies(#[from] PoliciesError),
    /// Name servers cannot be asked.
    #[error("dns: {0}")]
    Dns(#[from] Unanswered),
    /// It cannot be told which channels are stopped.
    #[error("cannot read the list of stopped channels, `stopped` in the data directory: {0}")]
    Stopped(std::io::Error),
    /// Mail that was being routed again when the engine ended cannot be told from mail that was
    /// not.
    #[error("cannot find out how far messages were routed again: {0}")]
    Rerouting(StorageError),
    /// Orders of before the last end cannot be carried out.
    #[error("cannot carry out what was ordered before the last end: {0}")]
    Orders(StorageError),
    /// There is no thread for the counters.
    #[error("cannot start the thread that keeps the counters: {0}")]
    Tallies(std::io::Error),
    /// Standing orders cannot be read.
    #[error("the standing orders of operators cannot be read: {0}")]
    Standing(std::io::Error),
    /// There is no thread for the history.
    #[error("cannot start the thread that writes the history: {0}")]
    History(std::io::Error),
    /// There is no thread for events.
    #[error("cannot start the thread that writes events: {0}")]
    Events(std::io::Error),
    /// Recent recipients cannot be written down.
    #[error("recent recipients (admin.recent) cannot be written down: {0}")]
    Recent(std::io::Error),
    /// The texts of notices cannot be used.
    #[error("notary.templates: {0}")]
    Templates(#[from] TemplateError),
    /// The mailboxes cannot be used.
    #[error(transparent)]
    Store(#[from] PartitionError),
    /// UNIX mailboxes cannot be used.
    #[error(transparent)]
    Native(#[from] UnixMailboxesError),
    /// The configuration asks for what this release cannot do.
    #[error("service {service} speaks LMTP, but there is no section of mailboxes to deliver into")]
    NoStore {
        /// Its name.
        service: String,
    },
}
