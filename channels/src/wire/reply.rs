//! Replies as octets (RFC 5321 section 4.2).
//!
//! Whatever text a reply holds, only printable ASCII goes out: a CR, an LF or a control
//! character that came with somebody's words cannot make a reply of its own.

use crate::mail::{Enhanced, Reply};

/// Appends `reply`: one line for each line of its text, the enhanced code on each (RFC 2034).
pub fn put_reply(out: &mut Vec<u8>, reply: &Reply) {
    let mut lines = reply.text.split('\n').peekable();
    while let Some(line) = lines.next() {
        put_number(out, reply.code);
        out.push(if lines.peek().is_some() { b'-' } else { b' ' });
        if let Some(enhanced) = reply.enhanced {
            put_enhanced(out, enhanced);
        }
        put_text(out, line);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_enhanced(out: &mut Vec<u8>, Enhanced(class, subject, detail): Enhanced) {
    put_number(out, class.into());
    out.push(b'.');
    put_number(out, subject);
    out.push(b'.');
    put_number(out, detail);
    out.push(b' ');
}

/// Decimal, without the machinery of `format!`: this runs for each reply.
fn put_number(out: &mut Vec<u8>, number: u16) {
    if number >= 10 {
        put_number(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let printable = |c: u8| (b' '..=b'~').contains(&c);
    if text.bytes().all(printable) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(text.bytes().map(|c| if printable(c) { c } else { b'?' }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_on_the_wire() {
        let rows = [
            (Reply::new(250, Enhanced(2, 1, 0), "OK"), "250 2.1.0 OK\r\n"),
            (Reply::plain(354, "go ahead"), "354 go ahead\r\n"),
            (Reply::plain(250, ""), "250 \r\n"),
            (Reply::plain(250, "host\nSIZE 10\nOK"), "250-host\r\n250-SIZE 10\r\n250 OK\r\n"),
            (Reply::new(550, Enhanced(5, 7, 10), "a\nb"), "550-5.7.10 a\r\n550 5.7.10 b\r\n"),
            (Reply::plain(550, "a\r\nb\u{1b}\u{e9}\0"), "550-a?\r\n550 b????\r\n"),
        ];
        for (reply, want) in rows {
            let mut out = Vec::new();
            put_reply(&mut out, &reply);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }
}
