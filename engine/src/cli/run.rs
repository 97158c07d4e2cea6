//! `relais run`: everything around the engine, from the lock to the last line of the log.

use std::{fmt::Write as _, future::Future, io::Write, sync::Arc, time::Duration};

use actix_rt::{
    System, SystemRunner,
    signal::unix::{Signal, SignalKind, signal},
};
use relais_actors::front::inherited::Inherited;
use relais_channels::tls::{ServerTls, TlsError};
use relais_config::{Config, Directory, Warning, admin::Admin};
use tracing::{error, info, warn};

use super::{
    configuration::{load_again, load_to_run},
    refusal::Refusal,
    source::{Reread, Source, absolute},
    state,
};
use crate::{
    admin::{Answer, Console, Endpoint, HostNames, NOT_IN_FORCE, Offer},
    api::{AuditEnd, AuditResult, ReloadOrder, Reloaded, Who},
    handover,
    logging::{self, Sink},
    service_manager,
    signals::{self, came},
    state::{
        audit::{Asked, AuditLog, ended},
        lock::{LONGEST_END, Lock},
    },
};

/// The engine, as far as the command that runs it is concerned. All of it happens on the thread
/// of an actix system.
pub trait Runnable: Sized {
    /// Answers operators, from other threads, and from before [`Runnable::start`] until after
    /// [`Runnable::drain`].
    type Console: Console;
    /// Why it does not start; told to the administrator.
    type Error: std::fmt::Display;

    /// An engine that has not started: nothing is opened, nothing of its own listens. `reread` is for
    /// reloads; services that are to listen where `inherited` does take it from there; ends of standing orders
    /// are written into `audit`.
    fn new(
        config: Config,
        reread: Reread,
        inherited: Inherited,
        log: Sink,
        audit: AuditLog,
    ) -> Self;

    /// The console that the admin endpoint serves.
    fn console(&self) -> Self::Console;

    /// Recovers the spool, starts every actor, listens. Returns when mail is taken.
    fn start(&mut self) -> impl Future<Output = Result<Vec<Listening>, Self::Error>>;

    /// Waits until the engine wants to end by itself, because [`Console::stop`] was called or
    /// because it cannot go on (`Err`: the exit status says so, too); says why.
    fn ended(&self) -> impl Future<Output = Result<String, String>>;

    /// Takes nothing new, lets what runs finish, makes the last state changes durable, ends all
    /// threads. Keeps to its own deadlines.
    fn drain(self) -> impl Future<Output = ()>;
}

/// A service that listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listening {
    /// Its name.
    pub service: String,
    /// Where: `"127.0.0.1:2525"`, `"unix:/path"`.
    pub places: Vec<String>,
}

/// Runs until a signal, `relais stop` or a failure that cannot be survived.
pub(super) fn run<E: Runnable>(
    source: &Source,
    take_over: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let lent = service_manager::lent_sockets().map_err(|error| {
        Refusal::Because(format!("a socket of the service manager (LISTEN_FDS) is no use: {error}"))
    })?;
    let (config, warnings) = load_to_run(source)?;
    let because = |error: &dyn std::fmt::Display| Refusal::Because(error.to_string());
    let given = if take_over { handover::ask(&config.data) } else { Ok(None) };
    let given = given.map_err(|error| {
        Refusal::Because(format!("the running engine does not give its sockets: {error}"))
    })?;
    let patience = if given.is_some() { LONGEST_END } else { Duration::ZERO };
    let _lock = Lock::wait(&config.data, patience).map_err(|error| because(&error))?;
    let inherited = given.unwrap_or(lent);
    let log = logging::start().map_err(|error| because(&error))?;
    for Warning { file, line, column, field, message, .. } in &warnings {
        warn!(file, line, column, field, "{message}");
    }
    let system = System::new();
    let ran = system.block_on(async {
        // From now on they end nothing, during a long recovery neither.
        let mut harmless = Harmless::listen();
        let summary = Summary::of(&config);
        let audit = AuditLog::new(&config.data, &config.admin);
        audit.keep_room();
        let offer = offer(&config).map_err(|error| because(&error))?;
        let data = config.data.clone();
        let reread = reread(source.clone());
        let mut engine = E::new(config, reread, inherited, log.clone(), audit.clone());
        let endpoint = Endpoint::start(engine.console(), &data, offer, audit.clone());
        let endpoint = endpoint.map_err(|error| because(&error))?;
        service_manager::starting();
        let listening = match engine.start().await {
            Ok(listening) => listening,
            Err(error) => {
                endpoint.stop().await;
                return Err(because(&error));
            }
        };
        let banner = summary.text(&source.name(), &listening, &endpoint.places);
        // An engine that nobody watches runs all the same.
        let _ = out.write_all(banner.as_bytes()).and_then(|()| out.flush());
        info!(config = source.name(), data = %data.display(), "engine started");
        let (console, asked_for) = (engine.console(), audit.clone());
        let asked = actix_rt::spawn(async move { harmless.answer(&console, &asked_for).await });
        let lives = actix_rt::spawn(service_manager::keep_alive(engine.console()));
        service_manager::ready(&places(&listening));
        let ended = tokio::select! {
            ended = engine.ended() => ended,
            why = signals::end() => {
                stop_by_signal(&audit, &why);
                Ok(why)
            }
        };
        match &ended {
            Ok(why) => info!(why, "engine stops"),
            Err(why) => error!(why, "engine cannot go on"),
        }
        lives.abort();
        service_manager::stopping(ended.as_ref().unwrap_or_else(|why| why));
        // A second signal means: at once.
        tokio::select! {
            () = engine.drain() => {}
            why = signals::end() => error!(why, "engine stops at once"),
        }
        asked.abort();
        endpoint.stop().await;
        ended.map(|_| ()).map_err(Refusal::Because)
    });
    run_out(system);
    if ran.is_ok() {
        info!("engine stopped");
    }
    log.flush(LAST_LINES);
    ran
}

/// Where the admin endpoint serves beside its socket.
fn offer(config: &Config) -> Result<Offer, TlsError> {
    let Admin { listen, names, tls, token_file, .. } = &config.admin;
    let settings = config.tls.as_ref().filter(|_| *tls && listen.is_some());
    let tls = settings.map(|settings| {
        let certificates = ServerTls::load(Some(settings), &config.data)?;
        Ok((settings.clone(), Arc::new(certificates)))
    });
    Ok(Offer {
        listen: *listen,
        names: HostNames(names.iter().cloned().chain([config.host.clone()]).collect()),
        tls: tls.transpose()?,
        token_file: token_file.as_ref().map(|file| config.path(file)),
    })
}

fn reread(source: Source) -> Reread {
    Arc::new(move || load_again(&source))
}

/// `SMTP 0.0.0.0:25, LMTPSS 127.0.0.1:2225`.
fn places(listening: &[Listening]) -> String {
    let each = listening.iter().map(|its| format!("{} {}", its.service, its.places.join(" ")));
    each.collect::<Vec<_>>().join(", ")
}

/// Ends a system in order. Actors that a failed start leaves behind have not taken their first step,
/// which wants the runtime: they take it here, and not when the runtime is gone.
fn run_out(system: SystemRunner) {
    System::current().stop();
    if let Err(error) = system.run() {
        warn!(%error, "the system did not end in order");
    }
}

/// Signals that end nothing, though the kernel's default does: SIGHUP, by which the file is read
/// again, and those that stand for whatever a program makes of them.
struct Harmless([Option<Signal>; 3]);

impl Harmless {
    fn listen() -> Self {
        let kinds =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    async fn answer(&mut self, console: &impl Console, audit: &AuditLog) {
        let [hangup, summary, other] = &mut self.0;
        loop {
            tokio::select! {
                () = came(hangup.as_mut()) => {
                    let order = by_signal(audit, "reload", "SIGHUP");
                    service_manager::reloading();
                    // The log says what comes of it.
                    let reloaded = console.reload(ReloadOrder::default()).await;
                    service_manager::reloaded();
                    if let Some(order) = order {
                        audit.end(&end_of_reload(order, &reloaded));
                    }
                    if let Err(error) = reloaded {
                        warn!(%error, "SIGHUP: the file was not read again");
                    }
                }
                () = came(summary.as_mut()) => state::tell(console).await,
                () = came(other.as_mut()) => info!("SIGUSR2 does nothing; SIGUSR1 logs the state"),
            }
        }
    }
}

/// Writes down what a signal stands for, and says its number. A signal cannot be refused.
fn by_signal(audit: &AuditLog, command: &str, signal: &str) -> Option<u64> {
    let what = serde_json::json!({ "signal": signal });
    let (who, command) = (Who::by_signal(), command.to_owned());
    let begun = audit.begin(&Asked { who, command, what, reason: String::new() });
    begun.inspect_err(|error| warn!(%error, "a signal is not written down")).ok()
}

/// Writes down a signal that the engine ends by.
fn stop_by_signal(audit: &AuditLog, signal: &str) {
    if let Some(order) = by_signal(audit, "stop", signal) {
        audit.end(&ended(order, AuditResult::Done));
    }
}

/// The end of an order to read the file again.
fn end_of_reload(order: u64, reloaded: &Answer<Reloaded>) -> AuditEnd {
    let (result, text) = match reloaded {
        Ok(Reloaded { refused, .. }) if refused.is_empty() => (AuditResult::Done, String::new()),
        Ok(_) => (AuditResult::Refused, NOT_IN_FORCE.to_owned()),
        Err(error) => (AuditResult::Refused, error.to_string()),
    };
    AuditEnd { text, ..ended(order, result) }
}

/// The summary that is worth saying at start, taken from the configuration before the engine has
/// it.
struct Summary {
    data: String,
    /// The service that strangers bring mail by.
    front: Option<String>,
    mailboxes: Option<String>,
    address: String,
}

impl Summary {
    fn of(config: &Config) -> Self {
        let mailboxes = config.store.as_ref().map(|store| {
            let path = config.path(&store.path);
            path.join("<domain>/<user>/Maildir").display().to_string()
        });
        // The users of the built-in directory; elsewhere only postmaster is sure to be there.
        let built_in = matches!(config.directory, Some(Directory::Ldif { file: None }));
        let user = if built_in { "alice" } else { "postmaster" };
        Self {
            data: absolute(&config.data).display().to_string(),
            front: config.front_service().map(|service| service.name.clone()),
            mailboxes,
            address: format!("{user}@{}", config.default_domain),
        }
    }

    fn text(&self, source: &str, listening: &[Listening], admin: &[String]) -> String {
        let mut text = format!("relais {} on {source}\n", env!("CARGO_PKG_VERSION"));
        let names = listening.iter().map(|its| its.service.len());
        let wide = names.max().unwrap_or(0).max(10);
        // Writing to a string cannot fail; here and below.
        for Listening { service, places } in listening {
            let _ = writeln!(text, "  {service:<wide$} {}", places.join(", "));
        }
        let _ = writeln!(text, "  {:<wide$} {}", "admin", admin.join(", "));
        let _ = writeln!(text, "  {:<wide$} {}", "data", self.data);
        if let Some(mailboxes) = &self.mailboxes {
            let _ = writeln!(text, "  {:<wide$} {mailboxes}", "mailboxes");
        }
        if let Some(place) = self.place_to_try(listening) {
            let to = &self.address;
            let _ = writeln!(
                text,
                "try it:\n  printf 'Subject: hello\\r\\n\\r\\nIt works.\\r\\n' | curl -sS --url smtp://{place} \
                 --mail-from you@example.org --mail-rcpt {to} -T -\n  relais route {to}"
            );
        }
        text
    }

    /// An SMTP service that a TCP client of this machine can reach.
    fn place_to_try(&self, listening: &[Listening]) -> Option<String> {
        let front = self.front.as_ref()?;
        let front = listening.iter().find(|listening| listening.service == *front)?;
        let place = front.places.iter().find(|place| !place.starts_with("unix:"))?;
        Some(place.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
    }
}

/// For the log to be written out at the end.
const LAST_LINES: Duration = Duration::from_secs(2);
