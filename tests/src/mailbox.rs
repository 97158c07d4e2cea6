//! Messages as they lie in a Maildir, and as they were on the wire.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every message of a user's INBOX, in wire form.
pub fn mailbox(store: &Path, domain: &str, user: &str) -> Vec<Vec<u8>> {
    let maildir = store.join(domain).join(user).join("Maildir");
    ["new", "cur"]
        .iter()
        .filter_map(|folder| fs::read_dir(maildir.join(folder)).ok())
        .flatten()
        .map(|entry| fs::read(entry.expect("a folder entry").path()).expect("a message"))
        .map(wire_form)
        .collect()
}

/// A folder of a user's Maildir in a store of ours; the INBOX has no name.
pub fn maildir_folder(store: &Path, (user, domain): (&str, &str), name: &str) -> PathBuf {
    let maildir = store.join(domain).join(user).join("Maildir");
    if name.is_empty() { maildir } else { maildir.join(format!(".{name}")) }
}

/// The Message-ID of every message in a folder of a Maildir, in any order. A message that is not
/// there any more when it is read is left out.
pub fn message_ids(folder: &Path) -> Vec<String> {
    let files = ["new", "cur"].iter().filter_map(|sub| fs::read_dir(folder.join(sub)).ok());
    let texts =
        files.flatten().filter_map(|entry| fs::read(entry.expect("a folder entry").path()).ok());
    let id = |text: Vec<u8>| {
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("Message-ID: <"));
        line.and_then(|line| line.split('>').next()).unwrap_or_default().to_owned()
    };
    texts.map(id).collect()
}

/// Lines ended by CRLF. A file with LF lines and one with CRLF lines hold the same message: bare
/// CR and LF cannot have been accepted.
pub fn wire_form(file: Vec<u8>) -> Vec<u8> {
    if memory_has(&file, b"\r\n") {
        return file;
    }
    let mut wire = Vec::with_capacity(file.len() + file.len() / 32);
    for octet in file {
        if octet == b'\n' {
            wire.push(b'\r');
        }
        wire.push(octet);
    }
    wire
}

/// Content with the dots doubled that begin a line.
pub fn dot_stuffed(content: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(content.len() + 16);
    let mut line_starts = true;
    for &octet in content {
        if line_starts && octet == b'.' {
            octets.push(b'.');
        }
        octets.push(octet);
        line_starts = octet == b'\n';
    }
    octets
}

/// The rest of a stored message after 1, 2, ... of the header fields that transport adds.
pub fn strip_added(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(after_added_field(message), |rest| after_added_field(rest))
}

fn after_added_field(message: &[u8]) -> Option<&[u8]> {
    let is_added = ADDED.iter().any(|name| {
        message.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    if !is_added {
        return None;
    }
    let mut rest = after_line(message);
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = after_line(rest);
    }
    Some(rest)
}

fn after_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&octet| octet == b'\n').map_or(text.len(), |lf| lf + 1);
    &text[end..]
}

fn memory_has(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

const ADDED: [&[u8]; 3] = [b"Received:", b"Return-Path:", b"Delivered-To:"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leading_transport_headers_are_stripped() {
        let message =
            b"Return-Path: <>\r\nReceived: by x;\r\n\tnow\r\nSubject: y\r\nReceived: z\r\n";
        let cuts: Vec<_> = strip_added(message).collect();
        let first: &[u8] = b"Received: by x;\r\n\tnow\r\nSubject: y\r\nReceived: z\r\n";
        assert_eq!(cuts, [first, b"Subject: y\r\nReceived: z\r\n"]);
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only() {
        assert_eq!(dot_stuffed(b".a\r\nb.\r\n..\r\n"), b"..a\r\nb.\r\n...\r\n");
    }
}
