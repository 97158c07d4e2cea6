//! Tools of operators on a long queue: seconds, and how much the engine's memory grows meanwhile.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::{
    engine::{Engine, Site},
    report::Report,
};

/// Runs one command after the other; each is broken off after `patience`.
pub(crate) fn measure(site: &Site, engine: &Engine, patience: Duration, report: &mut Report) {
    let tools = Tools { site, engine, patience };
    let first = site.instance.json("queue", &["list", "--limit", "1", "--channel", "dead1"]);
    let id = first[0]["id"].as_str().expect("an id").to_owned();
    let last = &site.dead[site.dead.len() - 1].channel;
    let commands: [&[&str]; 7] = [
        &["status"],
        &["queue", "summary"],
        &["queue", "list"],
        &["queue", "list", "--limit", "1000", "--state", "delayed"],
        &["queue", "why", &id],
        &["queue", "hold", "--channel", last],
        &["queue", "release", "--channel", last],
    ];
    for command in commands {
        let found = tools.run(command);
        report.note(&format!("relais {}", command.join(" ").replace(&id, "ID")), &found);
    }
}

struct Tools<'a> {
    site: &'a Site,
    engine: &'a Engine,
    patience: Duration,
}

impl Tools<'_> {
    fn run(&self, command: &[&str]) -> String {
        let (before, cpu) = (self.engine.running.memory().resident, self.engine.cpu());
        let start = Instant::now();
        let mut child = self.site.instance.command(command[0], &command[1..]);
        let mut child =
            child.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("relais runs");
        let mut most = before;
        let ended = loop {
            most = most.max(self.engine.running.memory().resident);
            if let Some(status) = child.try_wait().expect("a child of ours") {
                assert!(status.success(), "relais {command:?}: {status}");
                break true;
            }
            if start.elapsed() > self.patience {
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let time = start.elapsed().as_secs_f64();
        let cpu = self.engine.cpu().saturating_sub(cpu).as_secs_f64();
        let grown = (most - before) as f64 / f64::from(1 << 20);
        let broken_off = if ended { "" } else { "broken off after " };
        format!("{broken_off}{time:.2} s, {cpu:.2} s CPU, +{grown:.0} MiB")
    }
}
