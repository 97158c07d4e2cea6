//! Replies as octets (RFC 5321 section 4.2).
//!
//! Whatever text a reply holds, only printable ASCII goes out, or printable UTF-8 where the client asked
//! for SMTPUTF8 (RFC 6531 section 3.7.4): a CR, an LF or a control character that came with somebody's
//! words cannot make a reply of its own.

use relais_config::grammar::is_unprintable;

use crate::mail::{Enhanced, Reply};

/// Appends `reply`: one line for each line of its text, the enhanced code on each (RFC 2034). `smtputf8`:
/// the client asked for it.
pub fn put_reply(out: &mut Vec<u8>, reply: &Reply, smtputf8: bool) {
    let mut lines = reply.text.split('\n').peekable();
    while let Some(line) = lines.next() {
        put_number(out, reply.code);
        out.push(if lines.peek().is_some() { b'-' } else { b' ' });
        if let Some(enhanced) = reply.enhanced {
            put_enhanced(out, enhanced);
        }
        put_text(out, line, smtputf8);
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

fn put_text(out: &mut Vec<u8>, text: &str, smtputf8: bool) {
    let printable = |c: u8| (b' '..=b'~').contains(&c);
    if text.bytes().all(printable) {
        out.extend_from_slice(text.as_bytes());
    } else if smtputf8 {
        let fit = |c| if is_unprintable(c) { '?' } else { c };
        out.extend_from_slice(text.chars().map(fit).collect::<String>().as_bytes());
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
            put_reply(&mut out, &reply, false);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }

    #[test]
    fn replies_to_clients_with_smtputf8_keep_their_characters() {
        let reply = Reply::plain(550, "gr\u{fc}\u{df}e\r\u{1b}\u{85}\u{202e}\nx");
        let (mut with, mut without) = (Vec::new(), Vec::new());
        put_reply(&mut with, &reply, true);
        put_reply(&mut without, &reply, false);
        assert_eq!(String::from_utf8(with).unwrap(), "550-gr\u{fc}\u{df}e????\r\n550 x\r\n");
        assert_eq!(without, b"550-gr????e???????\r\n550 x\r\n");
    }
}
