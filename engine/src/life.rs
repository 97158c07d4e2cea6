//! The engine as the command `run` knows it: made, started, ended.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use actix::Arbiter;
use relais_config::Config;
use tokio::sync::Notify;
use tracing::error;

use crate::{
    cli::{self, Listening, Reread},
    console::EngineConsole,
    logging::Sink,
    reload::Reloader,
    shutdown,
    start::{Engine, StartError},
};

/// An engine from before its start to after its end.
pub struct Life {
    config: Arc<Config>,
    reread: Reread,
    console: EngineConsole,
    deaths: Arc<Deaths>,
    engine: Option<Engine>,
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

    fn new(config: Config, reread: Reread, log: Sink) -> Self {
        let config = Arc::new(config);
        let console = EngineConsole::new(config.clone(), log);
        Self { config, reread, console, deaths: Arc::default(), engine: None }
    }

    fn console(&self) -> EngineConsole {
        self.console.clone()
    }

    async fn start(&mut self) -> Result<Vec<Listening>, StartError> {
        let deaths = self.deaths.clone();
        let end = Box::new(move |name: &str| deaths.note(name));
        let engine = Engine::start(self.config.clone(), end)?;
        let asked = self.console.started(&engine);
        let floors = engine.floors.clone();
        let reloader = Reloader::new(floors, self.console.clone(), self.reread.clone());
        actix::spawn(reloader.work(asked));
        let listening = engine.listening.iter().map(|(service, places)| Listening {
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
        }
    }

    async fn drain(mut self) {
        self.console.draining();
        let Some(mut engine) = self.engine.take() else { return };
        shutdown::drain(&engine, self.console.config().max_shutdown).await;
        mem::take(&mut engine.arbiters).into_iter().for_each(end_thread);
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

fn end_thread(arbiter: Arbiter) {
    arbiter.stop();
    if arbiter.join().is_err() {
        error!("a thread of sessions and jobs had panicked");
    }
}
