//! The least that a store does for the same promise: a program of its own that takes LMTP, appends what
//! has come to one file, syncs that once for all who wait, gives each message its file, and answers.
//!
//! It knows one mailbox, has one recipient a message, believes whatever it hears, and checks, counts and logs nothing. Nothing that
//! keeps a file for each message and answers when it is durable can be much faster on this machine.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use relais_benches::Server;
use relais_tests::{free_port, within};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// It, running.
pub(crate) struct Least {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Least {
    pub(crate) fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let this = std::env::current_exe().expect("a program knows its own path");
        let mut command = Command::new(this);
        command.arg("--least").arg(port.to_string()).arg(folder.path());
        let child = command.spawn().expect("it runs");
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(within(Duration::from_secs(10), listens), "it does not listen");
        Self { port, child, _folder: folder }
    }
}

impl Server for Least {
    fn name(&self) -> String {
        "the least of a store".to_owned()
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Least {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message, and whom to tell that it is durable.
struct Taken {
    content: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// Serves until it is killed.
pub(crate) fn serve(port: u16, folder: PathBuf) {
    let (sender, taken) = channel();
    thread::spawn(move || store(&folder, &taken));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        while let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(converse(peer, sender.clone()));
        }
    });
}

/// Answers each line but those of the content. `None`: the peer is gone.
async fn converse(peer: TcpStream, store: Sender<Taken>) -> Option<()> {
    peer.set_nodelay(true).ok()?;
    let mut peer = BufReader::with_capacity(16 << 10, peer);
    peer.write_all(b"220 least\r\n").await.ok()?;
    let mut line = Vec::new();
    let mut recipients = 0;
    loop {
        line.clear();
        if peer.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        recipients += usize::from(line.starts_with(b"RCPT"));
        if !line.starts_with(b"DATA") {
            peer.write_all(b"250 OK\r\n").await.ok()?;
            continue;
        }
        peer.write_all(b"354 go on\r\n").await.ok()?;
        let mut content = Vec::with_capacity(8 << 10);
        while !content.ends_with(b"\r\n.\r\n") {
            peer.read_until(b'\n', &mut content).await.ok()?;
        }
        let (done, stored) = oneshot::channel();
        store.send(Taken { content, done }).ok()?;
        stored.await.ok()?;
        peer.write_all("250 OK\r\n".repeat(recipients).as_bytes()).await.ok()?;
        recipients = 0;
    }
}

/// One sync for all who wait; then a file for each, as a Maildir has it.
fn store(folder: &Path, taken: &Receiver<Taken>) {
    let [tmp, new] = ["tmp", "new"].map(|name| folder.join(name));
    for path in [&tmp, &new] {
        fs::create_dir(path).expect("a fresh folder");
    }
    let journal = preallocated(&folder.join("journal"));
    let (mut number, mut offset) = (0, 0);
    while let Ok(first) = taken.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(taken.try_iter()).collect();
        let octets = batch.iter().map(|one| one.content.as_slice()).collect::<Vec<_>>().concat();
        offset = if offset + octets.len() as u64 > JOURNAL { 0 } else { offset };
        journal.write_all_at(&octets, offset).expect("a disk");
        journal.sync_data().expect("a disk");
        offset += octets.len() as u64;
        for Taken { content, done } in batch {
            number += 1;
            let name = format!("{number}.host,S={}", content.len());
            let mut file = File::create(tmp.join(&name)).expect("room");
            file.write_all(&content).expect("room");
            fs::rename(tmp.join(&name), new.join(&name)).expect("room");
            // The peer may be gone.
            let _ = done.send(());
        }
    }
}

/// A file that syncing costs no metadata for.
fn preallocated(path: &Path) -> File {
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("room");
    let zeros = vec![0; 1 << 20];
    (0..JOURNAL >> 20).for_each(|_| file.write_all(&zeros).expect("room"));
    file.sync_all().expect("a disk");
    file
}

/// Octets of the file that is synced; it begins anew when it is full.
const JOURNAL: u64 = 64 << 20;
