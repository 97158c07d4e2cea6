//! An LMTP server that keeps nothing but books: how often each Message-ID was handed to it.
//!
//! A message is counted when its last dot has come, before the reply goes out: what a client that
//! dies waiting for that reply sends again is seen as a duplicate.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::free_port;

/// The server. Stops listening when dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    books: Arc<Books>,
}

#[derive(Debug, Default)]
struct Books {
    seen: Mutex<HashMap<String, usize>>,
    total: AtomicUsize,
    connections: AtomicUsize,
    announced: AtomicUsize,
    close_every: AtomicUsize,
    paused: Mutex<bool>,
    resumed: Condvar,
    closed: AtomicBool,
}

impl Sink {
    /// Listens on a free port.
    pub fn start() -> Self {
        Self::on(free_port())
    }

    /// Listens on this port.
    pub fn on(port: u16) -> Self {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).expect("the port of the sink is free");
        let books = Arc::new(Books::default());
        let of_listener = Arc::clone(&books);
        thread::spawn(move || accept(&listener, &of_listener));
        Self { port, books }
    }

    /// From now on the reply to a dot waits for [`Sink::resume`].
    pub fn pause(&self) {
        *self.books.paused.lock().expect("no panic in the sink") = true;
    }

    /// Lets go what [`Sink::pause`] held.
    pub fn resume(&self) {
        *self.books.paused.lock().expect("no panic in the sink") = false;
        self.books.resumed.notify_all();
    }

    /// Messages so far, repetitions included.
    pub fn total(&self) -> usize {
        self.books.total.load(Ordering::Acquire)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.books.connections.load(Ordering::Acquire)
    }

    /// Messages whose commands came behind the content of another, before that had its reply.
    pub fn announced(&self) -> usize {
        self.books.announced.load(Ordering::Acquire)
    }

    /// From now on a connection is closed behind the reply to its `messages`th dot, whatever has
    /// been sent ahead.
    pub fn close_every(&self, messages: usize) {
        self.books.close_every.store(messages, Ordering::Release);
    }

    /// How often each Message-ID came.
    pub fn seen(&self) -> HashMap<String, usize> {
        self.books.seen.lock().expect("no panic in the sink").clone()
    }

    /// Which of these never came.
    pub fn missing<'a>(&self, wanted: &'a [String]) -> Vec<&'a str> {
        let seen = self.books.seen.lock().expect("no panic in the sink");
        wanted.iter().filter(|id| !seen.contains_key(*id)).map(String::as_str).collect()
    }

    /// Which came more than once.
    pub fn repeated(&self) -> Vec<String> {
        let repeated = |(id, count): (String, usize)| (count > 1).then_some(id);
        self.seen().into_iter().filter_map(repeated).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.books.closed.store(true, Ordering::Release);
        self.resume();
        // Wakes the thread that accepts, which then sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, books: &Arc<Books>) {
    for stream in listener.incoming() {
        if books.closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        books.connections.fetch_add(1, Ordering::AcqRel);
        let books = Arc::clone(books);
        // An error is a client that went away: tests do that.
        thread::spawn(move || serve(&stream, &books));
    }
}

fn serve(stream: &TcpStream, books: &Books) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::with_capacity(64 << 10, stream);
    let mut replies = BufWriter::new(stream);
    replies.write_all(b"220 sink LMTP\r\n")?;
    replies.flush()?;
    let (mut line, mut recipients, mut messages) = (Vec::new(), 0, 0);
    while next_line(&mut lines, &mut line)? {
        let reply: &[u8] = match verb(&line).as_slice() {
            b"LHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
            b"MAIL" | b"RSET" => {
                recipients = 0;
                b"250 2.0.0 OK\r\n"
            }
            b"RCPT" => {
                recipients += 1;
                b"250 2.1.5 OK\r\n"
            }
            b"DATA" => {
                replies.write_all(b"354 go on\r\n")?;
                replies.flush()?;
                let id = content(&mut lines, &mut line)?;
                if !lines.buffer().is_empty() {
                    books.announced.fetch_add(1, Ordering::AcqRel);
                }
                books.enter(id);
                for _ in 0..recipients {
                    replies.write_all(b"250 2.0.0 OK\r\n")?;
                }
                messages += 1;
                if messages == books.close_every.load(Ordering::Acquire) {
                    return replies.flush();
                }
                b""
            }
            b"QUIT" => {
                replies.write_all(b"221 2.0.0 bye\r\n")?;
                return replies.flush();
            }
            b"NOOP" => b"250 2.0.0 OK\r\n",
            _ => b"500 5.5.1 unknown\r\n",
        };
        replies.write_all(reply)?;
        if lines.buffer().is_empty() {
            replies.flush()?;
        }
    }
    Ok(())
}

impl Books {
    fn enter(&self, id: String) {
        *self.seen.lock().expect("no panic in the sink").entry(id).or_default() += 1;
        self.total.fetch_add(1, Ordering::AcqRel);
        let mut paused = self.paused.lock().expect("no panic in the sink");
        while *paused {
            paused = self.resumed.wait(paused).expect("no panic in the sink");
        }
    }
}

/// Reads up to the dot; the Message-ID, without its angle brackets, or nothing.
fn content(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<String> {
    let (mut id, mut in_header) = (String::new(), true);
    while next_line(lines, line)? {
        match line.as_slice() {
            b".\r\n" => return Ok(id),
            b"\r\n" => in_header = false,
            field if in_header && is_message_id(field) => {
                let value = String::from_utf8_lossy(&field[NAME.len()..]);
                value.trim().trim_matches(['<', '>']).clone_into(&mut id);
            }
            _ => {}
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn is_message_id(field: &[u8]) -> bool {
    field.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(lines.read_until(b'\n', line)? > 0)
}

fn verb(line: &[u8]) -> Vec<u8> {
    line.get(..4).unwrap_or(line).to_ascii_uppercase()
}

const NAME: &[u8] = b"message-id:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialogue, message};

    #[test]
    fn a_message_is_counted_by_its_id_with_a_reply_for_each_recipient() {
        let sink = Sink::start();
        let (mut client, greeting) = Dialogue::connect(sink.port).unwrap();
        greeting.expect(220);
        client.ask("LHLO x").expect(250);
        for _ in 0..2 {
            client.message("a@x", &["b@y", "c@y"], &message("one", 500)).expect(250);
            client.reply().unwrap().expect(250);
        }
        assert_eq!((sink.total(), sink.repeated()), (2, vec!["one@load.test".to_owned()]));
        assert_eq!(sink.missing(&["two@load.test".to_owned()]), ["two@load.test"]);
    }
}
