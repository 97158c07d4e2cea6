//! The dialogue alone: `smtp-source` straight into `smtp-sink`, without a server between them.
//!
//! A relay holds both halves of it, so its CPU (that of source and sink together) is what a
//! message costs before anything is parsed, stored or logged. It tells a slow machine from a
//! slow server.

use std::process::{Child, Command};

use relais_benches::Server;
use relais_tests::{free_port, is_root};

/// A sink that takes SMTP.
pub(crate) struct Floor {
    port: u16,
    sink: Child,
}

impl Floor {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("/usr/sbin/smtp-sink");
        command.args(is_root().then_some(["-u", "nobody"]).iter().flatten());
        let sink =
            command.args([&format!("127.0.0.1:{port}"), "1000"]).spawn().expect("smtp-sink runs");
        Self { port, sink }
    }
}

impl Server for Floor {
    fn name(&self) -> String {
        "source into sink".to_owned()
    }

    fn port(&self) -> u16 {
        self.port
    }

    /// Our own: the sink and every source are children of ours. The servers are, too, but idle.
    fn pid(&self) -> u32 {
        std::process::id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.sink.kill();
        let _ = self.sink.wait();
    }
}
