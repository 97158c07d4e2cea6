//! One SMTP or LMTP conversation, line by line, on a blocking socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::dot_stuffed;

/// A client's side of a conversation.
#[derive(Debug)]
pub struct Dialogue {
    stream: BufReader<TcpStream>,
}

/// A reply, all its lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// 250, 550, ...
    pub code: u16,
    /// The lines as they came, CRLF included.
    pub text: String,
}

impl Dialogue {
    /// Connects and reads the greeting, whatever it is.
    pub fn connect(port: u16) -> io::Result<(Self, Reply)> {
        Self::greeted(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// The same from this address of the loopback: `[127, 0, 2, 1]`.
    pub fn connect_from(client: [u8; 4], port: u16) -> io::Result<(Self, Reply)> {
        Self::connect_between(client, ([127, 0, 0, 1], port).into())
    }

    /// The same to this address.
    pub fn connect_between(client: [u8; 4], server: SocketAddr) -> io::Result<(Self, Reply)> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::from((client, 0)))?;
        connect(&socket, &server)?;
        Self::greeted(socket.into())
    }

    fn greeted(stream: TcpStream) -> io::Result<(Self, Reply)> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut dialogue = Self { stream: BufReader::with_capacity(1 << 10, stream) };
        let greeting = dialogue.reply()?;
        Ok((dialogue, greeting))
    }

    /// Connects, is greeted with 220, and says EHLO.
    #[track_caller]
    pub fn open(port: u16) -> Self {
        let (mut dialogue, greeting) = Self::connect(port).expect("a connection");
        greeting.expect(220);
        dialogue.ask("EHLO client.test").expect(250);
        dialogue
    }

    /// One reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let start = text.len();
            if self.stream.read_line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &text[start..];
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("no reply: {line:?}")))?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
        }
    }

    /// Sends one command and waits for its reply.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Reply {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Sends one command and waits for its reply.
    pub fn try_ask(&mut self, command: &str) -> io::Result<Reply> {
        self.send(format!("{command}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends these octets, whatever they are.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)
    }

    /// MAIL, RCPT and DATA up to the 354.
    #[track_caller]
    pub fn begin(&mut self, from: &str, to: &[&str]) {
        self.ask(&format!("MAIL FROM:<{from}>")).expect(250);
        for recipient in to {
            self.ask(&format!("RCPT TO:<{recipient}>")).expect(250);
        }
        self.ask("DATA").expect(354);
    }

    /// A whole message; the reply after the dot.
    #[track_caller]
    pub fn message(&mut self, from: &str, to: &[&str], content: &[u8]) -> Reply {
        self.begin(from, to);
        self.finish(content)
    }

    /// Content (in CRLF lines, not yet dot-stuffed) and the dot; the reply to it.
    #[track_caller]
    pub fn finish(&mut self, content: &[u8]) -> Reply {
        let mut octets = dot_stuffed(content);
        octets.extend_from_slice(b".\r\n");
        self.send(&octets).expect("the content is taken");
        self.reply().expect("a reply after the dot")
    }

    /// Whether the peer has closed, or closes within the socket's time limit, saying no more.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]))
            || self.stream.fill_buf().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset)
    }

    /// Sets how long a reply may take.
    pub fn patience(&self, limit: Duration) {
        self.stream.get_ref().set_read_timeout(Some(limit)).expect("a limit above zero");
    }

    /// Tells the peer that no more comes.
    pub fn end_of_input(&self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }
}

impl Reply {
    /// Fails the test unless this is the reply code.
    #[track_caller]
    pub fn expect(&self, code: u16) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// Fails the test unless the reply begins like this: `"550 5.7.1"`.
    #[track_caller]
    pub fn expect_start(&self, start: &str) -> &Self {
        assert!(self.text.starts_with(start), "wanted {start:?}, got {:?}", self.text);
        self
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
