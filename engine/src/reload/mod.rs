//! Reload: the file is read again and put in force as a whole, or not at all. What cannot change while
//! the engine runs stays as it was, and is told with the command that changes it.
//!
//! One task carries out one reload after the other, on the thread where the actors were started. It
//! also looks now and then whether the directory's file has changed.

mod differences;
mod watched;

use std::{sync::Arc, thread, time::Duration};

use relais_actors::{
    directory::Source,
    front::listening::{self, Obstacle, Ours},
    router::Routes,
};
use relais_config::{Config, Directory, dispatcher::Service};
use tokio::{
    sync::{
        mpsc::Receiver,
        oneshot::{self, error::RecvError},
    },
    task::spawn_blocking,
    time::{interval, sleep},
};
use tracing::{info, warn};

use self::watched::Watched;
use crate::{
    admin::Console,
    api::{LaterSetting, NamePattern, OrderKind, QueueFilter, QueueOrder, ReloadOrder, Reloaded},
    cli::{FileRead, FileRefused, Reread},
    console::{EngineConsole, ReloadAsked},
    start::{Floors, NewConfig},
};

/// Carries out reloads.
pub struct Reloader {
    floors: Floors,
    console: EngineConsole,
    reread: Reread,
    watched: WatchedFiles,
}

/// Files that the configuration in force names.
struct WatchedFiles {
    directory: Watched,
    certificates: Vec<Watched>,
    /// Keys that sign what leaves, and the secrets of SRS.
    signing_keys: Vec<Watched>,
    /// Files of aliases, transports and the like, and of lists that they name.
    tables: Vec<Watched>,
}

impl Reloader {
    /// For the engine on these floors.
    pub fn new(floors: Floors, console: EngineConsole, reread: Reread) -> Self {
        let watched = WatchedFiles::of(&floors);
        Self { floors, console, reread, watched }
    }

    /// Carries out what is asked for as long as anybody can ask.
    pub async fn work(mut self, mut asked: Receiver<ReloadAsked>) {
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                asked = asked.recv() => {
                    let Some(ReloadAsked { order, answer }) = asked else { return };
                    let reloaded = Box::pin(self.reload(order)).await;
                    tell(&reloaded, order);
                    // The asker may have gone away.
                    let _ = answer.send(reloaded);
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    async fn reload(&mut self, order: ReloadOrder) -> Reloaded {
        let reread = self.reread.clone();
        let read = in_background(move || reread()).await;
        let FileRead { file, mut config, warnings } = match read {
            Ok(Ok(read)) => read,
            Ok(Err(FileRefused { file, mistakes })) => return refused(file, mistakes),
            Err(panicked) => return refused(String::new(), vec![panicked.to_string()]),
        };
        let was = self.floors.config().clone();
        let later = keep_fixed(&mut config, &was);
        let vanished = self.vanished(&config);
        let mut reloaded = Reloaded { file, later, ..Reloaded::default() };
        reloaded.warnings = warnings.iter().map(ToString::to_string).collect();
        if !vanished.is_empty() && !order.reroute {
            reloaded.refused =
                vanished.iter().map(|(name, count)| has_mail(name, *count)).collect();
            return reloaded;
        }
        let config = Arc::new(config);
        // All that takes time is done beside the thread on which the queue and the router live.
        let (before, after) = (was, config.clone());
        let differences = in_background(move || differences::between(&before, &after)).await;
        reloaded.changed = differences.unwrap_or_default();
        if order.dry_run {
            reloaded.refused = self.taken_places(&config);
            return reloaded;
        }
        if let Err(why) = self.adopt(config).await {
            return refused(reloaded.file, vec![why]);
        }
        self.console.adopted(&self.floors);
        self.watched = WatchedFiles::of(&self.floors);
        for (channel, _) in vanished {
            reloaded.rerouted += self.reroute(&channel).await;
        }
        reloaded
    }

    /// Why services that are new could not listen.
    fn taken_places(&self, config: &Config) -> Vec<String> {
        let was = self.floors.config();
        let runs = |name: &str| was.dispatcher.enabled().any(|service| service.name == name);
        let new = config.dispatcher.enabled().filter(|service| !runs(&service.name));
        // A service that goes leaves its place to one that comes.
        let stays = |name: &str| config.dispatcher.enabled().any(|service| service.name == name);
        let is_left = |place: Ours<'_>| {
            was.dispatcher.enabled().filter(|its| !stays(&its.name)).any(|its| match place {
                Ours::Port(port) => its.ports.iter().chain(&its.tls_ports).any(|own| *own == port),
                Ours::Socket(path) => {
                    its.socket.as_ref().is_some_and(|own| was.data.join(own) == path)
                }
            })
        };
        let taken = new.flat_map(|service| {
            let obstacles = listening::obstacles(service, &config.data, &is_left).into_iter();
            obstacles.map(|Obstacle { place, why, .. }| {
                format!("service {}: cannot listen on {place}: {why}", service.name)
            })
        });
        taken.collect()
    }

    async fn adopt(&mut self, config: Arc<Config>) -> Result<(), String> {
        let servers = self.floors.directory_servers();
        let reports = self.floors.tls_reports();
        let prepared = in_background(move || NewConfig::of(config, &servers, &reports)).await;
        let prepared = prepared.map_err(|panicked| panicked.to_string())?;
        let prepared = prepared.map_err(|error| error.to_string())?;
        let before = (self.floors.clone(), self.floors.routes());
        self.floors.adopt(prepared).await.map_err(|error| error.to_string())?;
        throw_away(before);
        Ok(())
    }

    /// Channels that the configuration in force has, this one has not, and mail waits in.
    fn vanished(&self, config: &Config) -> Vec<(String, u64)> {
        let stays = |name: &str| config.channels.iter().any(|channel| channel.name == name);
        let was = self.floors.config().channels.iter();
        let gone = was.filter(|channel| !stays(&channel.name));
        let counted =
            gone.map(|channel| (channel.name.clone(), self.floors.entries_of(&channel.name)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Runs what waits in a channel through the router again; how many entries went another way.
    async fn reroute(&self, channel: &str) -> u64 {
        let filter =
            QueueFilter { channel: channel.parse::<NamePattern>().ok(), ..QueueFilter::default() };
        let order = QueueOrder {
            kind: OrderKind::Reroute,
            ids: Vec::new(),
            filter,
            dry_run: false,
            by: String::new(),
            reason: format!("channel {channel} is not in the configuration any more"),
            up_to: None,
            standing: None,
        };
        let (mut at, mut done) = (None, 0);
        loop {
            match self.console.queue_order(&order, at.take()).await {
                Ok((progress, next)) => {
                    done = progress.done;
                    at = next;
                }
                Err(error) => warn!(channel, %error, "its mail was not all routed again"),
            }
            if at.is_none() {
                return done;
            }
        }
    }

    /// Takes files anew that have changed; a bad one leaves the one before in force.
    async fn look(&mut self) {
        if !self.floors.config().watch {
            return;
        }
        if self.watched.directory.has_changed() {
            self.look_into_directory().await;
        }
        // Each of them is looked at: a new key comes with a new certificate.
        let changed = changed(&mut self.watched.certificates);
        if !changed.is_empty() {
            self.look_into("certificates", &changed, Floors::adopt_certificates).await;
        }
        let changed = self::changed(&mut self.watched.signing_keys);
        if !changed.is_empty() {
            self.look_into("keys that sign", &changed, Floors::adopt_signing_keys).await;
        }
        let changed = self::changed(&mut self.watched.tables);
        if !changed.is_empty() {
            self.look_into_tables(&changed).await;
        }
    }

    async fn look_into_tables(&mut self, files: &str) {
        let (config, before) = (self.floors.config().clone(), self.floors.routes());
        match in_background(move || Routes::new(&config)).await {
            Ok(Ok(routes)) => {
                if self.floors.adopt_routes(Arc::new(routes)).await.is_ok() {
                    info!(files, "tables have changed and are in force");
                }
                throw_away(before);
                self.watched.tables = tables(&self.floors);
            }
            Ok(Err(error)) => warn!(
                files, %error,
                "tables have changed and cannot be used: those before are in force"
            ),
            Err(panicked) => warn!(files, %panicked, "tables cannot be read"),
        }
    }

    async fn look_into_directory(&self) {
        let (config, file) = (self.floors.config().clone(), &self.watched.directory);
        let servers = self.floors.directory_servers();
        match spawn_blocking(move || Source::open(&config, &servers)).await {
            Ok(Ok(source)) => {
                if self.floors.adopt_directory(source).await.is_ok() {
                    info!(%file, "the directory's file has changed and is in force");
                }
            }
            Ok(Err(error)) => warn!(
                %file, %error,
                "the directory's file has changed and cannot be used: the one before is in force"
            ),
            Err(panicked) => warn!(%file, %panicked, "the directory's file cannot be read"),
        }
    }

    /// Takes up files that have changed, of `what`, in the plural.
    async fn look_into<E>(
        &self,
        what: &str,
        files: &str,
        adopt: impl FnOnce(&Floors) -> Result<(), E> + Send + 'static,
    ) where
        E: std::fmt::Display + Send + 'static,
    {
        let floors = self.floors.clone();
        match spawn_blocking(move || adopt(&floors)).await {
            Ok(Ok(())) => info!(files, "{what} have changed and are in force"),
            Ok(Err(error)) => warn!(
                files, %error,
                "{what} have changed and cannot be used: those before are in force"
            ),
            Err(panicked) => warn!(files, %panicked, "{what} cannot be read"),
        }
    }
}

impl WatchedFiles {
    fn of(floors: &Floors) -> Self {
        let config = floors.config();
        let directory = match &config.directory {
            Some(Directory::Ldif { file: Some(file) }) => Some(config.path(file)),
            _ => None,
        };
        let certificates = config.tls.iter().flat_map(|tls| {
            let more = tls.more_certificates.iter();
            let more = more.flat_map(|pair| [&pair.certificate, &pair.key]);
            [&tls.certificate, &tls.key].into_iter().chain(more)
        });
        let certificates = certificates.map(|file| Watched::of(Some(config.path(file))));
        let (directory, certificates) = (Watched::of(directory), certificates.collect());
        let keys = config.dkim.iter().flat_map(|dkim| &dkim.keys);
        let secrets = config.srs.iter().map(|srs| &srs.secrets);
        let files = keys.map(|its| &its.key).chain(secrets);
        let signing_keys = files.map(|file| Watched::of(Some(config.path(file)))).collect();
        Self { directory, certificates, signing_keys, tables: tables(floors) }
    }
}

fn tables(floors: &Floors) -> Vec<Watched> {
    floors.routes().files().iter().map(|file| Watched::of(Some(file.clone()))).collect()
}

/// The files that have changed, in words; all of them are looked at.
fn changed(files: &mut [Watched]) -> String {
    let changed = files.iter_mut().filter_map(|file| file.has_changed().then(|| file.to_string()));
    let mut changed: Vec<_> = changed.collect();
    changed.truncate(MOST_NAMED);
    changed.join(", ")
}

/// Large tables take a while to be thrown away: not on the thread of the queue, and not while
/// sessions may still hold them.
fn throw_away(before: impl Send + 'static) {
    actix::spawn(async move {
        sleep(THROWN_AWAY_AFTER).await;
        let _ = in_background(move || drop(before)).await;
    });
}

/// Does work of seconds on a thread of its own that yields to all others: sessions and jobs wait for
/// none of it. The error: it panicked.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RecvError> {
    let (done, result) = oneshot::channel();
    let quiet = move || {
        // On Linux that is the thread's alone; without it the work is done all the same.
        let _ = rustix::process::nice(LEAST_URGENT);
        // The asker may have gone away.
        let _ = done.send(work());
    };
    thread::Builder::new().name("reload".to_owned()).spawn(quiet).map_or_else(drop, drop);
    result.await
}

fn refused(file: String, refused: Vec<String>) -> Reloaded {
    Reloaded { file, refused, ..Reloaded::default() }
}

fn has_mail(channel: &str, entries: u64) -> String {
    format!(
        "channel {channel} is not in the file any more, and {entries} entries wait in it; `relais \
         reload --reroute` routes them again"
    )
}

fn tell(reloaded: &Reloaded, order: ReloadOrder) {
    let Reloaded { file, refused, changed, later, .. } = reloaded;
    if order.dry_run {
        return;
    }
    for mistake in refused {
        // Behind the first line it shows the place in the file.
        let mistake = mistake.lines().next().unwrap_or_default();
        warn!(file, mistake, "the file was read again and is refused");
    }
    if refused.is_empty() {
        let changes = changed.len();
        info!(file, changes, "the file was read again and is in force");
    }
    for LaterSetting { field, command } in later {
        warn!(field, command, "it has changed in the file and not in the engine");
    }
}

/// Gives settings that cannot change while the engine runs the values that they have, and names
/// those that would have changed.
fn keep_fixed(config: &mut Config, was: &Config) -> Vec<LaterSetting> {
    let mut later = Vec::new();
    macro_rules! keep {
        ($($field:ident),*) => {$(
            if config.$field != was.$field {
                later.push(setting(stringify!($field), RESTART));
                config.$field = was.$field.clone();
            }
        )*};
    }
    if config.data != was.data {
        later.push(setting("data", MOVE));
        config.data.clone_from(&was.data);
    }
    keep!(host, default_domain, store, native, spool, admin);
    if let (Some(controller), Some(before)) = (&mut config.job_controller, &was.job_controller)
        && controller.rebuild_parallel_channels != before.rebuild_parallel_channels
    {
        later.push(setting("job_controller.rebuild_parallel_channels", RESTART));
        controller.rebuild_parallel_channels = before.rebuild_parallel_channels;
    }
    later.extend(config.dispatcher.services.iter().filter_map(|service| moved(service, was)));
    later
}

/// Sockets stay where they are until their service is stopped and started.
fn moved(service: &Service, was: &Config) -> Option<LaterSetting> {
    let before = was.dispatcher.enabled().find(|its| its.name == service.name)?;
    let place = |its: &Service| {
        let files = (its.socket.clone(), its.socket_mode);
        let owners = (its.socket_owner.clone(), its.socket_group.clone());
        let ports = (its.ports.clone(), its.tls_ports.clone());
        (ports, its.interface_address, files, owners, its.limits.backlog)
    };
    (service.enable && place(service) != place(before)).then(|| {
        let name = &service.name;
        let field = format!("dispatcher.services[{name:?}]: where it listens");
        setting(&field, &format!("relais stop {name} && relais start {name}"))
    })
}

fn setting(field: &str, command: &str) -> LaterSetting {
    LaterSetting { field: field.to_owned(), command: command.to_owned() }
}

/// Takes the place of an engine without refusing a connection.
const RESTART: &str = "relais run --take-over";
/// The next engine would look for this one in the other place.
const MOVE: &str = "relais stop --wait, move the data, relais run";
/// How often files that the configuration names are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Files that one line of the log names.
const MOST_NAMED: usize = 10;
const THROWN_AWAY_AFTER: Duration = Duration::from_secs(5);
/// The lowest priority of the system.
const LEAST_URGENT: i32 = 19;
