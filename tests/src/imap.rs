//! An IMAP client that says what it is told, and reads what comes back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// One session.
#[derive(Debug)]
pub struct Imap {
    stream: BufReader<TcpStream>,
    count: u32,
}

impl Imap {
    /// Logs in at `port` of 127.0.0.1, with any password.
    #[track_caller]
    pub fn log_in(port: u16, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut imap = Self { stream: BufReader::new(stream), count: 0 };
        imap.line();
        imap.ask(&format!("LOGIN {user} x"));
        imap
    }

    /// Gives a command that must succeed; the untagged lines of its answer.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        let (done, lines) = self.say(command);
        assert!(done.starts_with("OK"), "{command}: {done}");
        lines
    }

    /// Gives a command; the end of its answer, and the untagged lines before.
    pub fn say(&mut self, command: &str) -> (String, Vec<String>) {
        self.count += 1;
        let tag = format!("t{}", self.count);
        let sent = self.stream.get_mut().write_all(format!("{tag} {command}\r\n").as_bytes());
        sent.expect("a peer");
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            match line.strip_prefix(&tag) {
                Some(done) => return (done.trim_start().to_owned(), lines),
                None => lines.push(line),
            }
        }
    }

    /// Puts a message into a folder.
    #[track_caller]
    pub fn append(&mut self, folder: &str, message: &str) {
        // The literal needs no asking first (RFC 7888).
        self.ask(&format!("APPEND {folder} {{{}+}}\r\n{message}", message.len()));
    }

    /// Messages in a folder that is not selected.
    #[track_caller]
    pub fn messages(&mut self, folder: &str) -> usize {
        let lines = self.ask(&format!("STATUS {folder} (MESSAGES)"));
        let number =
            |line: &String| line.split_once("(MESSAGES ")?.1.trim_end_matches(')').parse().ok();
        lines.iter().find_map(number).expect("a number")
    }

    /// A line, with the literals in it.
    fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            let read = self.stream.read_line(&mut line).expect("a line");
            assert!(read > 0, "the server closed the connection behind {line:?}");
            let bare = line.trim_end();
            let literal = bare.strip_suffix('}').and_then(|rest| rest.rsplit_once('{'));
            let Some(size) = literal.and_then(|(_, size)| size.parse().ok()) else {
                return bare.to_owned();
            };
            let mut octets = vec![0; size];
            self.stream.read_exact(&mut octets).expect("a literal");
            line.push_str(&String::from_utf8_lossy(&octets));
        }
    }
}

/// For one line.
const PATIENCE: Duration = Duration::from_secs(60);
