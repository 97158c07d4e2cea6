//! A data directory on the disk that cargo builds on, its configuration, and the engine on it.

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use relais_benches::{Server, cpu};
use relais_tests::{Dialogue, Instance, Running, Settings, free_port, message, within};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Four channels with dead hosts and one with a living one.
pub(crate) struct Site {
    pub(crate) instance: Instance,
    pub(crate) dead: Vec<Dead>,
    _folder: Option<TempDir>,
}

/// A channel to a port on which nobody listens.
pub(crate) struct Dead {
    pub(crate) channel: String,
    pub(crate) port: u16,
}

/// A run of the engine on a site.
pub(crate) struct Engine {
    pub(crate) running: Running,
    /// When it was started.
    pub(crate) since: Instant,
    /// Until it was ready.
    pub(crate) started_in: Duration,
    smtp: u16,
}

impl Site {
    /// In a folder that goes with it. What lives is delivered to `sink`.
    pub(crate) fn new(sink: u16) -> Self {
        let here = env::current_exe().expect("a program knows its own path");
        let parent = here.parent().expect("it lies in a folder");
        let folder = tempfile::Builder::new().prefix("backlog-").tempdir_in(parent);
        let folder = folder.expect("a folder");
        let site = Self::in_data(&folder.path().join("data"), sink);
        Self { _folder: Some(folder), ..site }
    }

    /// In a folder that stays.
    pub(crate) fn at(folder: &Path, sink: u16) -> Self {
        Self::in_data(&folder.join("data"), sink)
    }

    fn in_data(data: &Path, sink: u16) -> Self {
        let dead: Vec<_> = (1..=4)
            .map(|number| Dead { channel: format!("dead{number}"), port: free_port() })
            .collect();
        let channels: Vec<_> = dead
            .iter()
            .map(|Dead { channel, port }| {
                format!(
                    "        (name: \"{channel}\", tag: \"{channel}-daemon\", program: Lmtp, \
                     port: {port}, mx: NoDns,\n         multigate: true, maxjobs: 7, \
                     pool: \"SMTP_POOL\"),\n"
                )
            })
            .collect();
        let channels = channels.concat();
        let before = "        (name: \"process\",";
        let settings = Settings::standalone().deliver_to(sink);
        let settings = settings.edit(before, &format!("{channels}{before}"));
        Self { instance: Instance::in_data(settings, data), dead, _folder: None }
    }

    /// Leaves the configuration beside the data.
    pub(crate) fn keep(&self) {
        let file = self.instance.data().with_file_name("relais.ron");
        std::fs::write(&file, self.instance.settings.text()).expect("a configuration");
        println!(
            "relais run --config {} --data {}",
            file.display(),
            self.instance.data().display()
        );
    }
}

impl Engine {
    /// Starts the program and waits until it is ready.
    pub(crate) fn start(site: &Site) -> Self {
        let since = Instant::now();
        let mut running = site.instance.spawn();
        let ready = within(READY, || {
            assert!(running.exited().is_none(), "relais has ended:\n{}", site.instance.log());
            site.instance.is_ready()
        });
        assert!(ready, "relais is not ready:\n{}", site.instance.log());
        let started_in = since.elapsed();
        Self { running, since, started_in, smtp: site.instance.settings.smtp }
    }

    /// Hands it one message for the channel that lives.
    pub(crate) fn submit(&self) {
        let (mut client, _) = Dialogue::connect(self.smtp).expect("it listens");
        client.ask("EHLO backlog.test").expect(250);
        let to = ["alice@relais.example"];
        client.message("sender@sender.example", &to, &message("fresh", 2_048)).expect(250);
    }

    /// CPU so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu::time_of(self.running.pid())
    }

    /// Lets it stand still, so that it takes nothing from what is measured.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a [`Engine::pause`].
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it in good order, and says how long that took.
    pub(crate) fn stop(mut self) -> Duration {
        self.running.terminate();
        let (status, time) = self.running.wait(READY);
        assert!(status.success(), "relais ended badly: {status}");
        time
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.running.pid().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("a child of ours");
    }
}

impl Server for Engine {
    fn name(&self) -> String {
        "relais".to_owned()
    }

    fn port(&self) -> u16 {
        self.smtp
    }

    fn pid(&self) -> u32 {
        self.running.pid()
    }
}

const READY: Duration = Duration::from_secs(120);
