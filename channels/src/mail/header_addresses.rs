//! Addresses in the fields of a header, each with its place: so that one can be replaced while every
//! other octet of the message stays as it is.
//!
//! RFC 5322 section 3.4, read with tolerance: comments, display names, groups and routes are stepped
//! over. A field that makes no sense, and whatever is no address of printable ASCII, is left out.

use std::ops::Range;

use relais_config::grammar::is_nameable;

use super::header_scan::{fields, named};

/// One address of a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderAddress {
    /// Its octets in the header, comments and blanks within it included.
    pub at: Range<usize>,
    /// The address without those.
    pub text: Box<str>,
    /// The side of the message that it stands for.
    pub side: AddressSide,
}

/// The direction that an address of a message points in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AddressSide {
    /// To whom it goes: `To`, `Cc`, `Bcc` and their `Resent-` forms.
    Forward,
    /// Where it is from: `From`, `Sender`, `Reply-To` and their `Resent-` forms.
    Backward,
}

/// The addresses of a header, in their order; `None`: there are more than `most`.
pub fn header_addresses(header: &[u8], most: usize) -> Option<Vec<HeaderAddress>> {
    let (mut found, mut start) = (Vec::new(), 0);
    for field in fields(header) {
        if let Some((name, value)) = named(field)
            && let Some(side) = AddressSide::of(name)
        {
            let before = found.len();
            let base = start + field.len() - value.len();
            let scanned = Scanner { value, base, side, most }.scan(&mut found);
            match scanned {
                Ok(()) => {}
                Err(Unread::Senseless) => found.truncate(before),
                Err(Unread::TooMany) => return None,
            }
        }
        start += field.len();
    }
    Some(found)
}

/// Whether a signature would be broken by other addresses in the header: DKIM's and its kin, or S/MIME
/// and PGP/MIME.
pub fn is_signed(header: &[u8]) -> bool {
    fields(header).filter_map(named).any(|(name, value)| {
        let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
        SIGNATURES.iter().any(is) || is(&"content-type") && is_signed_type(value)
    })
}

/// The header with other texts in these places, which are in order and do not overlap.
pub fn replaced<'a>(
    header: &[u8],
    edits: impl Iterator<Item = (&'a Range<usize>, &'a str)>,
) -> Vec<u8> {
    let (mut text, mut from) = (Vec::with_capacity(header.len() + 64), 0);
    for (at, new) in edits {
        text.extend_from_slice(&header[from..at.start]);
        text.extend_from_slice(new.as_bytes());
        from = at.end;
    }
    text.extend_from_slice(&header[from..]);
    text
}

/// The header without the fields of these names, which are in lower case.
pub fn without_fields(header: &[u8], names: &[Box<str>]) -> Vec<u8> {
    let is_kept = |field: &&[u8]| {
        let name = named(field).map(|(name, _)| name);
        !names.iter().any(|other| name.is_some_and(|n| n.eq_ignore_ascii_case(other.as_bytes())))
    };
    let fields_end: usize = fields(header).map(<[u8]>::len).sum();
    let mut kept: Vec<u8> = fields(header).filter(is_kept).flatten().copied().collect();
    kept.extend_from_slice(&header[fields_end..]);
    kept
}

/// Whether a header has a field of this name, in any case.
pub fn has_field(header: &[u8], wanted: &str) -> bool {
    fields(header).filter_map(named).any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
}

impl AddressSide {
    /// The side of the addresses of a field; `None`: its addresses are nobody's business.
    fn of(name: &[u8]) -> Option<Self> {
        let name = if name.get(..7).is_some_and(|its| its.eq_ignore_ascii_case(b"resent-")) {
            &name[7..]
        } else {
            name
        };
        let is = |names: &[&str]| names.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
        if is(&["to", "cc", "bcc"]) {
            Some(Self::Forward)
        } else {
            is(&["from", "sender", "reply-to"]).then_some(Self::Backward)
        }
    }
}

/// Why a field's addresses are not taken.
enum Unread {
    /// A bracket, a quote or a comment does not end.
    Senseless,
    /// More than may be.
    TooMany,
}

/// Goes through the addresses of one field.
struct Scanner<'a> {
    value: &'a [u8],
    /// Where the value begins in the header.
    base: usize,
    side: AddressSide,
    most: usize,
}

impl Scanner<'_> {
    fn scan(&self, found: &mut Vec<HeaderAddress>) -> Result<(), Unread> {
        let (mut bare, mut angle) = (None::<Range<usize>>, None::<Range<usize>>);
        let mut i = 0;
        while let Some(c) = self.value.get(i) {
            let end = match c {
                b'(' => {
                    i = comment_end(self.value, i).ok_or(Unread::Senseless)?;
                    continue;
                }
                b'"' => quoted_end(self.value, i).ok_or(Unread::Senseless)?,
                b'[' => literal_end(self.value, i).ok_or(Unread::Senseless)?,
                b'<' => {
                    let end = angle_end(self.value, i).ok_or(Unread::Senseless)?;
                    angle.get_or_insert(i + 1..end);
                    i = end + 1;
                    continue;
                }
                b',' | b';' => {
                    self.put(bare.take(), angle.take(), found)?;
                    i += 1;
                    continue;
                }
                // The name of a group.
                b':' => {
                    (bare, angle) = (None, None);
                    i += 1;
                    continue;
                }
                b'\r' | b'\n' | b' ' | b'\t' => {
                    i += 1;
                    continue;
                }
                _ => i + 1,
            };
            bare = Some(bare.map_or(i, |bare| bare.start)..end);
            i = end;
        }
        self.put(bare, angle, found)
    }

    /// Takes the mailbox that ends here; an address in angle brackets has only a name before it.
    fn put(
        &self,
        bare: Option<Range<usize>>,
        angle: Option<Range<usize>>,
        found: &mut Vec<HeaderAddress>,
    ) -> Result<(), Unread> {
        let Some(at) = angle.or(bare) else { return Ok(()) };
        let Some((at, text)) = plain(self.value, at) else { return Ok(()) };
        if found.len() == self.most {
            return Err(Unread::TooMany);
        }
        let at = self.base + at.start..self.base + at.end;
        found.push(HeaderAddress { at, text: text.into(), side: self.side });
        Ok(())
    }
}

/// The address without comments and blanks, and where its first and last octets are. Nothing: blanks
/// part two words, or it is not printable text.
fn plain(value: &[u8], at: Range<usize>) -> Option<(Range<usize>, String)> {
    // A literal may hold what ends the address around it, and reach into the next one.
    let value = &value[..at.end];
    let (mut text, mut parted) = (Vec::new(), false);
    let (mut first, mut last) = (None, at.start);
    let mut i = at.start;
    while i < at.end {
        let c = value[i];
        if c == b'(' {
            i = comment_end(value, i)?;
            parted = true;
            continue;
        }
        if c.is_ascii_whitespace() {
            parted = true;
            i += 1;
            continue;
        }
        let joins = |c: u8| matches!(c, b'.' | b'@' | b',' | b':');
        let before = text.last().copied();
        if std::mem::take(&mut parted) && before.is_some_and(|before| !joins(before) && !joins(c)) {
            return None;
        }
        let end = match c {
            b'"' => quoted_end(value, i)?,
            b'[' => literal_end(value, i)?,
            _ => i + 1,
        };
        first.get_or_insert(i);
        text.extend_from_slice(value.get(i..end)?);
        (i, last) = (end, end);
    }
    let text = String::from_utf8(text).ok().filter(|text| is_nameable(text))?;
    Some((first?..last, text))
}

/// Behind the comment that begins at `i`, those within it included.
pub(crate) fn comment_end(value: &[u8], mut i: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match value.get(i)? {
            b'\\' => i += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            return Some(i);
        }
    }
}

/// Behind the quoted string that begins at `i`.
pub(crate) fn quoted_end(value: &[u8], mut i: usize) -> Option<usize> {
    loop {
        i += 1;
        match value.get(i)? {
            b'\\' => i += 1,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
}

/// Behind the domain literal that begins at `i`.
fn literal_end(value: &[u8], i: usize) -> Option<usize> {
    value[i..].iter().position(|c| *c == b']').map(|at| i + at + 1)
}

/// Where the bracket is that ends the one at `i`.
fn angle_end(value: &[u8], mut i: usize) -> Option<usize> {
    i += 1;
    loop {
        i = match value.get(i)? {
            b'>' => return Some(i),
            b'"' => quoted_end(value, i)?,
            b'(' => comment_end(value, i)?,
            _ => i + 1,
        };
    }
}

/// Whether a `Content-Type` is that of signed content.
fn is_signed_type(value: &[u8]) -> bool {
    let kind = value.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    SIGNED_TYPES.iter().any(|signed| kind.eq_ignore_ascii_case(signed.as_bytes()))
}

const SIGNATURES: [&str; 3] = ["dkim-signature", "arc-message-signature", "domainkey-signature"];
const SIGNED_TYPES: [&str; 3] =
    ["multipart/signed", "application/pkcs7-mime", "application/x-pkcs7-mime"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 100;

    fn texts(header: &str) -> Vec<String> {
        let found = header_addresses(header.as_bytes(), MOST).unwrap();
        found.into_iter().map(|one| one.text.into()).collect()
    }

    #[test]
    fn addresses_are_found_among_everything_else() {
        let rows: &[(&str, &[&str])] = &[
            ("From: a@b.c", &["a@b.c"]),
            ("From:a@b.c\r\n", &["a@b.c"]),
            ("FROM : A B <a@b.c>\r\n", &["a@b.c"]),
            ("From: \"B, A\" <a@b.c> (x, <y@z>), d@e.f (g)\r\n", &["a@b.c", "d@e.f"]),
            ("To: =?utf-8?q?J=C3=B6rg?= <joerg@b.c>,\r\n\t x@y.z\r\n", &["joerg@b.c", "x@y.z"]),
            ("To: J\u{f6}rg <joerg@b.c>\r\n", &["joerg@b.c"]),
            ("Cc: team: a@b, c@d;, e@f\r\n", &["a@b", "c@d", "e@f"]),
            ("Bcc: undisclosed-recipients:;\r\n", &[]),
            ("Sender: <@r.s,@t.u:a@b.c>\r\n", &["@r.s,@t.u:a@b.c"]),
            ("Reply-To: a @ b . c (d)\r\n", &["a@b.c"]),
            ("Reply-To: < a@(x)b.c >\r\n", &["a@b.c"]),
            (
                "To: \"a b\"@c.d, a@[192.0.2.1], u@[IPv6:::1]\r\n",
                &["\"a b\"@c.d", "a@[192.0.2.1]", "u@[IPv6:::1]"],
            ),
            ("To: fred\r\n", &["fred"]),
            ("To: <a@[x>, b@c, d]>\r\n", &["b@c", "d]>"]),
            ("To: Fred Foo\r\n", &[]),
            ("To: <>\r\n", &[]),
            ("To: j\u{f6}rg@b.c, x\u{202e}@y, x@y\r\n", &["j\u{f6}rg@b.c", "x@y"]),
            ("To: \"open, a@b\r\n", &[]),
            ("To: a@b, (open c@d\r\n", &[]),
            ("To: a@b, <c@d\r\nCc: e@f\r\n", &["e@f"]),
            ("Resent-To: a@b\r\nResent-From: c@d\r\n", &["a@b", "c@d"]),
            ("Subject: a@b\r\nMessage-ID: <a@b>\r\nErrors-To: a@b\r\n", &[]),
            ("To: a@b\r\n\r\nTo: c@d\r\n", &["a@b"]),
            (": a@b\r\nno colon\r\nTo: a@b", &["a@b"]),
        ];
        for (header, want) in rows {
            assert_eq!(texts(header), *want, "{header:?}");
        }
    }

    #[test]
    fn each_address_is_replaced_in_its_place() {
        let header = "Subject: a@b\r\nFrom: A (a@b) < a @ b > (c)\r\nTo: x: a@b(y),\r\n\tc@d;\r\n";
        let found = header_addresses(header.as_bytes(), MOST).unwrap();
        let sides: Vec<_> = found.iter().map(|one| one.side).collect();
        assert_eq!(sides, [AddressSide::Backward, AddressSide::Forward, AddressSide::Forward]);
        let new = replaced(header.as_bytes(), found.iter().map(|one| (&one.at, "n@e.w")));
        assert_eq!(
            String::from_utf8(new).unwrap(),
            "Subject: a@b\r\nFrom: A (a@b) < n@e.w > (c)\r\nTo: x: n@e.w(y),\r\n\tn@e.w;\r\n"
        );
    }

    #[test]
    fn addresses_are_limited_in_number() {
        let header = format!("To: {}\r\n", "a@b,".repeat(MOST + 1));
        assert_eq!(header_addresses(header.as_bytes(), MOST), None);
        assert_eq!(header_addresses(header.as_bytes(), MOST + 1).unwrap().len(), MOST + 1);
    }

    #[test]
    fn fields_are_taken_away_with_all_their_lines() {
        let header = b"A: 1\r\nReply-To: x\r\n\ty\r\nno colon\r\nREPLY-TO : z\r\nB: 2\r\n\r\n";
        let kept = without_fields(header, &["reply-to".into(), "c".into()]);
        assert_eq!(kept, b"A: 1\r\nno colon\r\nB: 2\r\n\r\n");
        assert_eq!(without_fields(header, &[]), header);
    }

    #[test]
    fn signatures_are_seen() {
        let rows = [
            ("Subject: x\r\n", false),
            ("DKIM-Signature: v=1\r\n", true),
            ("arc-message-signature: i=1\r\n", true),
            ("Content-Type: multipart/mixed; boundary=x\r\n", false),
            ("Content-Type: Multipart/Signed; boundary=x\r\n", true),
            ("Content-Type: application/pkcs7-mime\r\n", true),
            ("Content-Type: text/plain; x=multipart/signed\r\n", false),
            ("\r\nDKIM-Signature: v=1\r\n", false),
        ];
        for (header, want) in rows {
            assert_eq!(is_signed(header.as_bytes()), want, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_changes(header in "((To|From): ?)?[a-c@.<>(),;:\"\\\\ \\[\\]\t\u{f6}]{0,40}\r\n(Cc: a@b\r\n)?") {
            let found = header_addresses(header.as_bytes(), MOST).unwrap();
            let mut from = 0;
            for one in &found {
                prop_assert!(one.at.start >= from && one.at.end > one.at.start);
                from = one.at.end;
            }
            let same = found.iter().map(|one| {
                (&one.at, std::str::from_utf8(&header.as_bytes()[one.at.clone()]).unwrap())
            });
            prop_assert_eq!(replaced(header.as_bytes(), same), header.as_bytes());
        }
    }
}
