//! An SMTP client for load that knows exactly which of its messages got their 250.
//!
//! It keeps its connections and pipelines: the next envelope goes out right behind a dot, so that
//! a server is always busy with a message while it reads another.

use std::{
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{Dialogue, dot_stuffed};

/// A load that is running or done. No Message-ID comes twice in a test program.
#[derive(Debug)]
pub struct Load {
    port: u16,
    number: usize,
    recipients: Vec<String>,
    size: usize,
    started: AtomicUsize,
    acknowledged: Mutex<Vec<String>>,
}

impl Load {
    /// Messages of about `size` octets to one recipient of the server on `port`.
    pub fn new(port: u16, recipient: &str, size: usize) -> Self {
        Self::to_all(port, &[recipient], size)
    }

    /// The same to these recipients together.
    pub fn to_all(port: u16, recipients: &[&str], size: usize) -> Self {
        static LOADS: AtomicUsize = AtomicUsize::new(0);
        Self {
            port,
            number: LOADS.fetch_add(1, Ordering::Relaxed),
            recipients: recipients.iter().map(|&to| to.to_owned()).collect(),
            size,
            started: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
        }
    }

    /// Sends over `connections` connections at once, until each has met an error, a refusal, or
    /// `messages` have been begun in all since the beginning.
    pub fn run(&self, connections: usize, messages: usize) {
        thread::scope(|threads| {
            for _ in 0..connections {
                // The error is the server's death: what was acknowledged before it counts.
                threads.spawn(|| self.connection(messages));
            }
        });
    }

    /// The Message-IDs that were answered 250 after the dot.
    pub fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().expect("no panic in the load").clone()
    }

    /// Messages begun, answered or not.
    pub fn started(&self) -> usize {
        self.started.load(Ordering::Acquire)
    }

    fn connection(&self, messages: usize) -> io::Result<()> {
        let (mut client, greeting) = Dialogue::connect(self.port)?;
        wanted(greeting.code, 220)?;
        wanted(client.try_ask("EHLO load.test")?.code, 250)?;
        let mut next = self.begin(messages);
        if next.is_some() {
            client.send(self.envelope().as_bytes())?;
        }
        while let Some(name) = next {
            for _ in 0..=self.recipients.len() {
                wanted(client.reply()?.code, 250)?;
            }
            wanted(client.reply()?.code, 354)?;
            let mut octets = dot_stuffed(&message(&name, self.size));
            octets.extend_from_slice(b".\r\n");
            next = self.begin(messages);
            if next.is_some() {
                octets.extend_from_slice(self.envelope().as_bytes());
            }
            client.send(&octets)?;
            wanted(client.reply()?.code, 250)?;
            self.acknowledged.lock().expect("no panic in the load").push(id(&name));
        }
        client.try_ask("QUIT").map(drop)
    }

    fn begin(&self, messages: usize) -> Option<String> {
        let number = self.started.fetch_add(1, Ordering::AcqRel);
        (number < messages).then(|| format!("{number}.{}.{}", self.number, self.port))
    }

    fn envelope(&self) -> String {
        let mut octets = "MAIL FROM:<load@load.test>\r\n".to_owned();
        for to in &self.recipients {
            octets.extend(["RCPT TO:<", to, ">\r\n"]);
        }
        octets + "DATA\r\n"
    }
}

/// A message of about `size` octets whose Message-ID is `name@load.test`.
pub fn message(name: &str, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 100);
    let _ = write!(
        text,
        "From: <load@load.test>\r\nTo: <alice@relais.example>\r\nSubject: {name}\r\n\
         Message-ID: <{}>\r\n\r\n",
        id(name)
    );
    while text.len() < size {
        text.extend_from_slice(LINE);
    }
    text
}

fn id(name: &str) -> String {
    format!("{name}@load.test")
}

fn wanted(got: u16, code: u16) -> io::Result<()> {
    if got == code { Ok(()) } else { Err(io::Error::other(format!("{got} instead of {code}"))) }
}

const LINE: &[u8] = b"The horses are changed at the next relay, and the mail goes on.\r\n";
