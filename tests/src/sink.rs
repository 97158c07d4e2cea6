//! A server of LMTP, or of SMTP where it is greeted by EHLO, that keeps nothing but books: how often each
//! Message-ID was handed to it, and in which order. It can be told to refuse, to be slow, and to hang up.
//!
//! A message is counted when its last dot has come, before the reply goes out: what a client that
//! dies waiting for that reply sends again is seen as a duplicate.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{dot_stuffed, eventually, free_port};

/// The server. Stops listening when dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub port: u16,
    address: SocketAddr,
    books: Arc<Books>,
}

#[derive(Debug, Default)]
struct Books {
    seen: Mutex<HashMap<String, usize>>,
    order: Mutex<Vec<String>>,
    handed: Mutex<Vec<(String, Vec<String>)>>,
    keeps: AtomicBool,
    contents: Mutex<HashMap<String, String>>,
    senders: Mutex<Vec<(String, Vec<String>)>>,
    with_parameters: Mutex<Vec<String>>,
    script: RwLock<Script>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    total: AtomicUsize,
    connections: AtomicUsize,
    announced: AtomicUsize,
    offers_chunking: AtomicBool,
    chunks: AtomicUsize,
    close_every: AtomicUsize,
    paused: Mutex<bool>,
    resumed: Condvar,
    closed: AtomicBool,
}

/// The doings in which it differs from an obliging server.
#[derive(Debug, Default)]
struct Script {
    /// Part of a command, and the reply to it.
    answers: Vec<(String, String)>,
    /// The same, for connections that served a message before.
    kept_answers: Vec<(String, String)>,
    /// Before every reply.
    delay: Duration,
    /// Instead of the usual greeting.
    greeting: Option<String>,
    /// The reply to DATA.
    go_ahead: Option<String>,
    /// Said once more behind the replies to a dot.
    stray: Option<String>,
    /// Part of the Message-IDs over which the connection is closed without a reply.
    hangs_up: Option<String>,
    /// Recipients of a transaction, and what those beyond get.
    most: Option<(usize, String)>,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::on(free_port())
    }

    /// Listens on this port of 127.0.0.1.
    pub fn on(port: u16) -> Self {
        Self::at(([127, 0, 0, 1], port).into())
    }

    /// Listens there.
    pub fn at(address: SocketAddr) -> Self {
        let listener = listen(address);
        let books = Arc::new(Books::default());
        let of_listener = Arc::clone(&books);
        thread::spawn(move || accept(&listener, &of_listener));
        Self { port: address.port(), address, books }
    }

    /// From now on a command that holds `part` gets this reply. For a recipient's reply behind the
    /// dot the command is `.` and the one that named it: `. RCPT TO:<a@b.test>`.
    pub fn answer(&self, part: &str, reply: &str) {
        let mut script = self.books.script.write().expect("no panic in the sink");
        script.answers.push((part.to_owned(), format!("{reply}\r\n")));
    }

    /// The same, but only on a connection that served a message before.
    pub fn answer_kept(&self, part: &str, reply: &str) {
        self.script(|script| script.kept_answers.push((part.to_owned(), format!("{reply}\r\n"))));
    }

    /// Forgets every [`Sink::answer`] and whatever else it was told to do.
    pub fn oblige(&self) {
        *self.books.script.write().expect("no panic in the sink") = Script::default();
    }

    /// From now on it offers CHUNKING to clients of SMTP.
    pub fn offer_chunking(&self) {
        self.books.offers_chunking.store(true, Ordering::Release);
    }

    /// Messages whose content has come by BDAT, taken or not.
    pub fn chunks(&self) -> usize {
        self.books.chunks.load(Ordering::Acquire)
    }

    /// From now on it greets with this.
    pub fn greet(&self, greeting: &str) {
        self.script(|script| script.greeting = Some(greeting.to_owned()));
    }

    /// From now on this is the reply to DATA.
    pub fn go_ahead(&self, reply: &str) {
        self.script(|script| script.go_ahead = Some(reply.to_owned()));
    }

    /// From now on it says this, too, a moment after the replies to a dot.
    pub fn stray(&self, reply: &str) {
        self.script(|script| script.stray = Some(reply.to_owned()));
    }

    /// From now on it closes the connection instead of replying to a message whose Message-ID has
    /// this in it. Counted it is all the same.
    pub fn hang_up_on(&self, part: &str) {
        self.script(|script| script.hangs_up = Some(part.to_owned()));
    }

    /// From now on a transaction has at most so many recipients; others get 452.
    pub fn take_at_most(&self, recipients: usize) {
        self.answer_beyond(recipients, "452 4.5.3 too many recipients");
    }

    /// The same in other words.
    pub fn answer_beyond(&self, recipients: usize, reply: &str) {
        self.script(|script| script.most = Some((recipients, format!("{reply}\r\n"))));
    }

    fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.books.script.write().expect("no panic in the sink"));
    }

    /// From now on every reply, but for the greeting, waits for so long.
    pub fn slow_down(&self, delay: Duration) {
        self.books.script.write().expect("no panic in the sink").delay = delay;
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

    /// Connections now.
    pub fn open_connections(&self) -> usize {
        self.books.open.load(Ordering::Acquire)
    }

    /// Connections that were open at the same time, at most.
    pub fn most_connections(&self) -> usize {
        self.books.most_open.load(Ordering::Acquire)
    }

    /// The Message-IDs in the order in which they came, repetitions included.
    pub fn order(&self) -> Vec<String> {
        self.books.order.lock().expect("no panic in the sink").clone()
    }

    /// The transactions in the order in which they came: Message-ID, and the recipients as they
    /// stood between the angle brackets.
    pub fn handed(&self) -> Vec<(String, Vec<String>)> {
        self.books.handed.lock().expect("no panic in the sink").clone()
    }

    /// The sender and the recipients of each message, in the order of their dots.
    pub fn senders(&self) -> Vec<(String, Vec<String>)> {
        self.books.senders.lock().expect("no panic in the sink").clone()
    }

    /// The commands that named a recipient and said something else of it.
    pub fn with_parameters(&self) -> Vec<String> {
        self.books.with_parameters.lock().expect("no panic in the sink").clone()
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

    /// From now on [`Sink::content_of`] knows what comes.
    pub fn keep_contents(&self) {
        self.books.keeps.store(true, Ordering::Release);
    }

    /// The content that came last with this Message-ID, without the dots that were added for the way;
    /// nothing before it has come. Of a large one the beginning.
    pub fn content_of(&self, id: &str) -> String {
        let contents = self.books.contents.lock().expect("no panic in the sink");
        contents.get(id).cloned().unwrap_or_default()
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
        let _ = TcpStream::connect(self.address);
    }
}

/// A program that another test starts at this moment holds every listener of this process until it
/// runs, those closed meanwhile included: a free port may take a moment to be free.
fn listen(address: SocketAddr) -> TcpListener {
    let mut listener = None;
    eventually("the port of the sink is free", PATIENCE, || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    listener.expect("it was waited for")
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
        thread::spawn(move || {
            let open = books.open.fetch_add(1, Ordering::AcqRel) + 1;
            books.most_open.fetch_max(open, Ordering::AcqRel);
            let _ = serve(&stream, &books);
            books.open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn serve(stream: &TcpStream, books: &Books) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::with_capacity(64 << 10, stream);
    let mut replies = BufWriter::new(stream);
    greet(&mut replies, books)?;
    let (mut line, mut recipients, mut messages) = (Vec::new(), Vec::new(), 0);
    let (mut sender, mut is_smtp) = (Vec::new(), false);
    while next_line(&mut lines, &mut line)? {
        let beyond = || {
            let most = books.says(|script| script.most.clone());
            let is_beyond = verb(&line) == b"RCPT";
            most.filter(|(most, _)| is_beyond && recipients.len() >= *most).map(|(_, reply)| reply)
        };
        let scripted = books.scripted("", &line).or_else(|| books.of_kept(messages, &line));
        if let Some(reply) = scripted.or_else(beyond) {
            replies.write_all(reply.as_bytes())?;
            replies.flush()?;
            continue;
        }
        let reply: &[u8] = match verb(&line).as_slice() {
            b"LHLO" | b"EHLO" => {
                is_smtp = verb(&line) == b"EHLO";
                offer(is_smtp && books.offers_chunking.load(Ordering::Acquire))
            }
            b"HELO" => {
                is_smtp = true;
                b"250 sink\r\n"
            }
            b"MAIL" | b"RSET" => {
                sender.clone_from(&line);
                recipients.clear();
                b"250 2.0.0 OK\r\n"
            }
            b"RCPT" => {
                books.note_parameters(&line);
                recipients.push(line.clone());
                b"250 2.1.5 OK\r\n"
            }
            b"DATA" if recipients.is_empty() => b"503 5.5.1 no recipients\r\n",
            b"DATA" => {
                let of = (&*sender, &mut recipients, is_smtp);
                if !after_data(&mut lines, &mut replies, books, of)? {
                    return Ok(());
                }
                messages += 1;
                if messages == books.close_every.load(Ordering::Acquire) {
                    return replies.flush();
                }
                b""
            }
            b"BDAT" => {
                let of = (&*sender, &mut recipients, is_smtp);
                if !after_bdat(&chunk(&mut lines, &line)?, &mut replies, books, of)? {
                    return Ok(());
                }
                messages += 1;
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

fn greet(replies: &mut impl Write, books: &Books) -> io::Result<()> {
    let greeting = books.says(|script| script.greeting.clone());
    replies.write_all(greeting.as_deref().unwrap_or("220 sink").as_bytes())?;
    replies.write_all(b"\r\n")?;
    replies.flush()
}

/// The reply to LHLO and EHLO.
const fn offer(chunking: bool) -> &'static [u8] {
    if chunking {
        b"250-sink\r\n250-CHUNKING\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
    } else {
        b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
    }
}

/// Takes content that has come by BDAT; as below.
fn after_bdat(
    mut content: &[u8],
    replies: &mut BufWriter<&TcpStream>,
    books: &Books,
    of: (&[u8], &mut Vec<Vec<u8>>, bool),
) -> io::Result<bool> {
    books.chunks.fetch_add(1, Ordering::AcqRel);
    if of.1.is_empty() {
        replies.write_all(b"503 5.5.1 no recipients\r\n")?;
        return Ok(true);
    }
    take(&mut content, replies, books, of)
}

/// Takes the content of a message and answers for each recipient, or for all; `false` hangs up.
fn after_data(
    lines: &mut BufReader<&TcpStream>,
    replies: &mut BufWriter<&TcpStream>,
    books: &Books,
    of: (&[u8], &mut Vec<Vec<u8>>, bool),
) -> io::Result<bool> {
    let go_ahead = books.says(|script| script.go_ahead.clone());
    replies.write_all(go_ahead.as_deref().unwrap_or("354 go on").as_bytes())?;
    replies.write_all(b"\r\n")?;
    replies.flush()?;
    let goes_on = take(lines, replies, books, of)?;
    if !lines.buffer().is_empty() {
        books.announced.fetch_add(1, Ordering::AcqRel);
    }
    Ok(goes_on)
}

/// Takes the content up to its dot, and answers.
fn take(
    lines: &mut impl BufRead,
    replies: &mut BufWriter<&TcpStream>,
    books: &Books,
    (sender, recipients, is_smtp): (&[u8], &mut Vec<Vec<u8>>, bool),
) -> io::Result<bool> {
    let keeps = books.keeps.load(Ordering::Acquire);
    let (id, text) = content(lines, if keeps { KEPT } else { 0 })?;
    if keeps {
        let text = String::from_utf8_lossy(&text).into_owned();
        books.contents.lock().expect("no panic in the sink").insert(id.clone(), text);
    }
    books.enter(&id, sender, recipients);
    if books.says(|script| script.hangs_up.clone()).is_some_and(|part| id.contains(&part)) {
        return Ok(false);
    }
    let said = recipients.drain(..).map(|recipient| books.scripted(". ", &recipient));
    let said: Vec<_> = if is_smtp { vec![said.flatten().next()] } else { said.collect() };
    for reply in said {
        replies.write_all(reply.as_deref().unwrap_or("250 2.0.0 OK\r\n").as_bytes())?;
    }
    if let Some(stray) = books.says(|script| script.stray.clone()) {
        replies.flush()?;
        thread::sleep(Duration::from_millis(20));
        replies.write_all(format!("{stray}\r\n").as_bytes())?;
    }
    Ok(true)
}

impl Books {
    /// Waits as long as it is told to; then the reply that it is told to give to a command, if any.
    fn scripted(&self, before: &str, command: &[u8]) -> Option<String> {
        let delay = self.script.read().expect("no panic in the sink").delay;
        thread::sleep(delay);
        let script = self.script.read().expect("no panic in the sink");
        if script.answers.is_empty() {
            return None;
        }
        let command = format!("{before}{}", String::from_utf8_lossy(command));
        let mut answers = script.answers.iter();
        let fitting = |(part, _): &&(String, String)| {
            command.contains(part) && part.starts_with('.') != before.is_empty()
        };
        answers.find(fitting).map(|(_, reply)| reply.clone())
    }

    /// The scripted reply to this command on a connection that served so many messages, if any.
    fn of_kept(&self, messages: usize, command: &[u8]) -> Option<String> {
        let script = self.script.read().expect("no panic in the sink");
        if messages == 0 || script.kept_answers.is_empty() {
            return None;
        }
        let command = String::from_utf8_lossy(command);
        let mut answers = script.kept_answers.iter();
        answers.find(|(part, _)| command.contains(part)).map(|(_, reply)| reply.clone())
    }

    fn says<T>(&self, what: impl FnOnce(&Script) -> T) -> T {
        what(&self.script.read().expect("no panic in the sink"))
    }

    fn note_parameters(&self, command: &[u8]) {
        let command = String::from_utf8_lossy(command);
        let command = command.trim_end();
        if !command.ends_with('>') {
            let mut noted = self.with_parameters.lock().expect("no panic in the sink");
            noted.push(command.to_owned());
        }
    }

    fn enter(&self, id: &str, sender: &[u8], recipients: &[Vec<u8>]) {
        let recipients: Vec<_> = recipients.iter().map(|command| bracketed(command)).collect();
        let of = (bracketed(sender), recipients.clone());
        self.senders.lock().expect("no panic in the sink").push(of);
        self.handed.lock().expect("no panic in the sink").push((id.to_owned(), recipients));
        self.order.lock().expect("no panic in the sink").push(id.to_owned());
        *self.seen.lock().expect("no panic in the sink").entry(id.to_owned()).or_default() += 1;
        self.total.fetch_add(1, Ordering::AcqRel);
        let mut paused = self.paused.lock().expect("no panic in the sink");
        while *paused {
            paused = self.resumed.wait(paused).expect("no panic in the sink");
        }
    }
}

/// Reads up to the dot; the Message-ID, without its angle brackets, or nothing, and the text.
fn content(lines: &mut impl BufRead, kept: usize) -> io::Result<(String, Vec<u8>)> {
    let (mut id, mut in_header) = (String::new(), true);
    let (mut line, mut text) = (Vec::new(), Vec::new());
    while next_line(lines, &mut line)? {
        if line.as_slice() != b".\r\n" && text.len() < kept {
            text.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        match line.as_slice() {
            b".\r\n" => return Ok((id, text)),
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

/// The content behind `BDAT n LAST`, as it would come behind DATA.
fn chunk(lines: &mut impl BufRead, command: &[u8]) -> io::Result<Vec<u8>> {
    let command = String::from_utf8_lossy(command);
    let mut words = command.split_whitespace().skip(1);
    let octets = words.next().and_then(|octets| octets.parse().ok()).filter(|n| *n < MOST_OF_CHUNK);
    let (Some(octets), Some("LAST")) = (octets, words.next()) else {
        return Err(io::Error::other(format!("no chunk of ours: {command}")));
    };
    let mut content = vec![0; octets];
    lines.read_exact(&mut content)?;
    Ok([dot_stuffed(&content), b".\r\n".to_vec()].concat())
}

/// `a@b.test` of `RCPT TO:<a@b.test>`.
fn bracketed(command: &[u8]) -> String {
    let command = String::from_utf8_lossy(command);
    let path = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map_or_else(String::new, |(path, _)| path.to_owned())
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
/// Octets of content that is kept.
const KEPT: usize = 2 << 20;
const MOST_OF_CHUNK: usize = 64 << 20;

/// For other tests to start their programs.
const PATIENCE: Duration = Duration::from_secs(10);

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

    #[test]
    fn it_refuses_whom_it_is_told_to_refuse() {
        let sink = Sink::start();
        sink.answer("RCPT TO:<a@", "550 5.1.1 nobody");
        sink.answer(". RCPT TO:<b@", "552 5.2.2 full");
        let (mut client, _) = Dialogue::connect(sink.port).unwrap();
        client.ask("LHLO x").expect(250);
        client.ask("MAIL FROM:<a@x>").expect(250);
        client.ask("RCPT TO:<a@y>").expect_start("550 5.1.1 nobody");
        client.ask("DATA").expect(503);
        client.message("a@x", &["b@y", "c@y"], &message("one", 500)).expect(552);
        client.reply().unwrap().expect(250);
        sink.oblige();
        client.message("a@x", &["a@y", "b@y"], &message("two", 500)).expect(250);
        client.reply().unwrap().expect(250);
        assert_eq!(sink.order(), ["one@load.test", "two@load.test"]);
        assert_eq!(sink.most_connections(), 1);
    }
}
