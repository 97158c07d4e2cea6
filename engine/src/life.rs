//! The engine as the command `run` knows it: made, started, ended.

use std::{
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use actix::Arbiter;
use relais_actors::{
    actor::Mailbox,
    front::{
        dispatcher::{Dispatcher, HandOver},
        inherited::Inherited,
    },
};
use relais_config::Config;
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use crate::{
    cli::{self, Listening, Reread},
    console::EngineConsole,
    handover::Desk,
    logging::Sink,
    reload::Reloader,
    service_manager, shutdown,
    start::{Engine, StartError},
    state::audit::AuditLog,
};

/// An engine from before its start to after its end.
pub struct Life {
    config: Arc<Config>,
    reread: Reread,
    /// Sockets that listen already, until services take them.
    inherited: Inherited,
    console: EngineConsole,
    audit: AuditLog,
    deaths: Arc<Deaths>,
    handed: Arc<Handed>,
    /// The sockets are those of a unit, and stay open without us.
    are_lent: bool,
    engine: Option<Engine>,
}

/// Whether another process has the sockets and waits for this one to end.
#[derive(Default)]
struct Handed {
    is_so: AtomicBool,
    noticed: Notify,
}

/// Which actor died that the engine cannot be without.
#[derive(Default)]
struct Deaths {
    name: Mutex<String>,
    noticed: Notify,
}

impl cli::Runnable for Life {
    type Console = EngineConsole;
    type Error = StartError;

    fn new(
        config: Config,
        reread: Reread,
        inherited: Inherited,
        log: Sink,
        audit: AuditLog,
    ) -> Self {
        let config = Arc::new(config);
        let console = EngineConsole::new(config.clone(), log);
        let (deaths, handed) = (Arc::default(), Arc::default());
        let are_lent = inherited.are_lent();
        Self { config, reread, inherited, console, audit, deaths, handed, are_lent, engine: None }
    }

    fn console(&self) -> EngineConsole {
        self.console.clone()
    }

    async fn start(&mut self) -> Result<Vec<Listening>, StartError> {
        let deaths = self.deaths.clone();
        let end = Box::new(move |name: &str| deaths.note(name));
        let inherited = mem::replace(&mut self.inherited, Inherited::none());
        let engine = Engine::start(self.config.clone(), inherited, end)?;
        let asked = self.console.started(&engine);
        let floors = engine.floors.clone();
        let reloader = Reloader::new(floors, self.console.clone(), self.reread.clone());
        actix::spawn(reloader.work(asked));
        actix::spawn(self.console.clone().keep_orders(self.audit.clone()));
        actix::spawn(
            self.handed
                .clone()
                .hand_over(self.config.data.clone(), engine.floors.front.dispatcher.clone()),
        );
        let listening = engine.floors.front.listening.iter().map(|(service, places)| Listening {
            service: service.clone(),
            places: places.clone(),
        });
        let listening = listening.collect();
        self.engine = Some(engine);
        Ok(listening)
    }

    async fn ended(&self) -> Result<String, String> {
        tokio::select! {
            () = self.console.stop_asked() => Ok("relais stop".to_owned()),
            () = self.deaths.noticed.notified() => Err(self.deaths.words()),
            () = self.handed.noticed.notified() => {
                Ok("another process takes its place".to_owned())
            }
        }
    }

    async fn drain(mut self) {
        self.console.draining();
        let Some(mut engine) = self.engine.take() else { return };
        if self.handed.is_so.load(Relaxed) {
            shutdown::let_sessions_end(&engine.floors).await;
        } else if service_manager::is_there() && !self.are_lent {
            leave_sockets(&engine.floors.front.dispatcher).await;
            shutdown::let_sessions_end(&engine.floors).await;
        }
        shutdown::drain(&engine.floors, self.console.config().max_shutdown).await;
        // Behind everybody who tells it something.
        let ground = &engine.floors.ground;
        let (history, events) = (Arc::clone(&ground.history), Arc::clone(&ground.events));
        let (done, ended) = oneshot::channel();
        // A disk that hangs holds up a thread, and not a second signal.
        let ending = thread::Builder::new().name("end".to_owned()).spawn(move || {
            history.end();
            events.end();
            let _ = done.send(());
        });
        if ending.is_ok() {
            let _ = ended.await;
        }
        mem::take(&mut engine.arbiters).into_iter().for_each(end_thread);
    }
}

impl Handed {
    /// Gives the sockets to whoever asks for them.
    async fn hand_over(self: Arc<Self>, data: PathBuf, dispatcher: Mailbox<Dispatcher>) {
        let desk = match Desk::open(&data) {
            Ok(desk) => desk,
            Err(error) => {
                return warn!(%error, "the sockets cannot be handed over: `relais run --take-over` will not work");
            }
        };
        loop {
            let asker = desk.asked().await;
            let Ok(sockets) = dispatcher.ask(HandOver).await else { return };
            let given = match sockets {
                Ok(sockets) => asker.give(sockets).await,
                Err(error) => Err(error),
            };
            match given {
                Ok(()) => {
                    self.is_so.store(true, Relaxed);
                    return self.noticed.notify_one();
                }
                Err(error) => warn!(%error, "the sockets could not be handed over"),
            }
        }
    }
}

impl Deaths {
    fn note(&self, name: &str) {
        name.clone_into(&mut self.name.lock().unwrap_or_else(PoisonError::into_inner));
        self.noticed.notify_one();
    }

    fn words(&self) -> String {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{name} died; what was accepted is in the spool, start the engine again")
    }
}

/// Leaves the sockets that are open to whoever the service manager starts next.
async fn leave_sockets(dispatcher: &Mailbox<Dispatcher>) {
    match dispatcher.ask(HandOver).await {
        Ok(Ok(sockets)) => service_manager::keep(&sockets),
        Ok(Err(error)) => warn!(%error, "the sockets cannot be left to the service manager"),
        Err(gone) => warn!(%gone, "the sockets cannot be left to the service manager"),
    }
}

fn end_thread(arbiter: Arbiter) {
    arbiter.stop();
    if arbiter.join().is_err() {
        error!("a thread of sessions and jobs had panicked");
    }
}
