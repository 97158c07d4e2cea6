//! Enough HTTP to ask the admin endpoint: one GET, one answer, close.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// An answer of the admin endpoint.
#[derive(Clone, Debug)]
pub struct Page {
    /// 200, 503, ...
    pub status: u16,
    /// The header lines, as they came.
    pub head: String,
    /// The body of the answer.
    pub body: String,
}

/// Gets `path` from a server on 127.0.0.1.
pub fn fetch(port: u16, path: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // 1.0, so that nothing comes in chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::Error::other("not an HTTP answer"))
}

fn parse(text: &str) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, head: head.to_owned(), body: body.to_owned() })
}
