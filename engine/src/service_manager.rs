//! Words to systemd about the engine (`sd_notify(3)`): that it takes mail, reads its file again or
//! ends, and that it lives; and sockets that it lends, or keeps for the next start. Without a service
//! manager (`NOTIFY_SOCKET`) nothing is told.

use std::{
    env, io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use listenfd::ListenFd;
use relais_actors::front::inherited::Inherited;
use rustix::io::{FdFlags, fcntl_setfd};

use sd_notify::NotifyState;
use tokio::time::{interval, timeout};
use tracing::{debug, warn};

use crate::{
    admin::Console,
    api::{Phase, Status},
};

/// Mail is taken from now on.
pub(crate) fn ready(places: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("takes mail: {places}"))]);
}

/// The spool is read, which takes as long as it takes.
pub(crate) fn starting() {
    tell(&[NotifyState::Status("reads the spool")]);
}

/// The file is read again; [`reloaded`] is to follow.
pub(crate) fn reloading() {
    // systemd from 253 on wants to know when.
    let at = NotifyState::monotonic_usec_now().ok();
    tell(&[Some(NotifyState::Reloading), at].into_iter().flatten().collect::<Vec<_>>());
}

/// The end of [`reloading`], whatever came of it.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The engine drains.
pub(crate) fn stopping(why: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&format!("finishes what it does: {why}"))]);
}

/// Says again and again that the engine answers, as often as the service manager wants
/// (`WatchdogSec`). One that does not answer says nothing, and is ended and started by systemd.
pub(crate) async fn keep_alive(console: impl Console) {
    let Some(wanted) = sd_notify::watchdog_enabled() else { return };
    let pause = (wanted / 3).max(SHORTEST);
    let mut ticks = interval(pause);
    loop {
        ticks.tick().await;
        match timeout(pause, console.status()).await {
            Ok(Ok(status)) => {
                tell(&[NotifyState::Watchdog, NotifyState::Status(&sentence(&status))]);
            }
            Ok(Err(trouble)) => warn!(%trouble, "watchdog: the engine does not tell its state"),
            Err(_) => warn!(?pause, "watchdog: the engine does not answer"),
        }
    }
}

/// Sockets of the service manager: those of a `.socket` unit, which stay with it, or those that the
/// engine before this one has left there, which are ours from now on. Called before there are other
/// threads: the variables that name them are removed.
pub(crate) fn lent_sockets() -> io::Result<Inherited> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut lent = ListenFd::from_env();
    let are_kept = lent.len() > 0 && names.split(':').all(|name| name == KEPT);
    let sockets = (0..lent.len()).map(|index| {
        let tcp = lent.take_tcp_listener(index).map(|socket| socket.map(OwnedFd::from));
        let socket = match tcp {
            Ok(socket) => socket,
            Err(_no_tcp) => lent.take_unix_listener(index)?.map(OwnedFd::from),
        };
        // No program that mail is handed to is to have them.
        socket.iter().try_for_each(|socket| fcntl_setfd(socket, FdFlags::CLOEXEC))?;
        Ok(socket)
    });
    let sockets: Vec<_> = sockets.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect();
    if sockets.is_empty() {
        return Ok(Inherited::none());
    }
    if !are_kept {
        return Inherited::lent(sockets);
    }
    // A service that is stopped later closes its sockets, and nobody else is to have them then.
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(KEPT)]);
    Inherited::of(sockets)
}

/// Whether a service manager listens.
pub(crate) fn is_there() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// Leaves sockets for the engine that is started next, so that connections wait in them meanwhile
/// (`FileDescriptorStoreMax` of the unit). When none is started, they are closed.
pub(crate) fn keep(sockets: &[OwnedFd]) {
    for some in sockets.chunks(AT_ONCE) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        let named = [NotifyState::FdStore, NotifyState::FdName(KEPT)];
        if let Err(error) = sd_notify::notify_with_fds(&named, &some) {
            warn!(%error, "the service manager does not keep the sockets over a restart");
        }
    }
}

/// The line of `systemctl status`.
fn sentence(status: &Status) -> String {
    let state = match status.phase {
        Phase::Starting => "starts",
        Phase::Running if status.not_ready.is_empty() => "takes mail",
        Phase::Running => "takes no mail, see `relais status`",
        Phase::Draining => "finishes what it does",
    };
    let connections: u64 = status.services.iter().map(|service| service.connections).sum();
    format!("{state}; {} queued, {connections} connections", status.queue.stored)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager does not listen");
    }
}

/// The name of sockets that the engine leaves (`LISTEN_FDNAMES`).
const KEPT: &str = "relais";
/// Descriptors of one datagram; the kernel takes 253.
const AT_ONCE: usize = 200;
/// The engine has other things to do.
const SHORTEST: Duration = Duration::from_millis(100);
