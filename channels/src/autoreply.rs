//! Automatic replies of users who are away (RFC 3834): when one is due, as far as the message itself
//! says, and what it looks like.
//!
//! Subject, text and addresses are strangers' words, and those of whoever writes the directory. None
//! of them ends a header line, and the reply is bounded whatever they hold.

use mail_builder::{
    MessageBuilder,
    headers::{
        address::Address as Mailbox, content_type::ContentType, date::Date, raw::Raw, text::Text,
    },
    mime::MimePart,
};

use crate::dsn::{message_id_of, quotable};

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Silence {
    /// It has no sender, or one that nobody answers.
    Sender,
    /// It comes from the user itself.
    Own,
    /// It was sent by a program.
    Automatic,
    /// It came by a list, or was sent in bulk.
    List,
    /// No address of the user is among those it is for.
    NotAddressed,
}

/// The lines of a header that decide, one by one: name and value, unfolded.
#[derive(Clone, Copy, Debug)]
pub struct FieldSeen<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// A reply to be written.
#[derive(Clone, Copy, Debug)]
pub struct VacationReply<'a> {
    /// The user's own address.
    pub from: &'a str,
    /// The sender of the message.
    pub to: &'a str,
    /// The address that `$FROM` stands for.
    pub author: &'a str,
    /// The subject of the message, decoded.
    pub subject: &'a str,
    /// The subject of the reply, if the user gave one.
    pub own_subject: Option<&'a str>,
    /// The text of the reply.
    pub text: &'a str,
    /// Subject and text come from a Sieve script: no variables are filled in.
    pub is_scripted: bool,
    /// The text is a whole MIME entity, its header in front.
    pub is_entity: bool,
    /// The header of the message.
    pub header: &'a [u8],
    /// Whether the header comes back.
    pub echoes: bool,
    /// `id@host` of the reply.
    pub id: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// Whether nobody answers this sender, by its name. An address without a domain is none.
pub fn of_sender(sender: &str) -> Option<Silence> {
    let lower = sender.to_ascii_lowercase();
    let Some((local, _)) = lower.rsplit_once('@') else { return Some(Silence::Sender) };
    let local = local.trim_matches('"');
    let is_program = ROBOTS.contains(&local)
        || ["owner-", "bounce-", "bounces-", "bounce+", "bounces+"]
            .iter()
            .any(|start| local.starts_with(start))
        || ["-request", "-owner", "-bounce", "-bounces"].iter().any(|end| local.ends_with(end))
        || local.contains("-bounces+")
        || local.contains("-bounce+");
    is_program.then_some(Silence::Sender)
}

/// Whether a field says that nobody is to answer.
pub fn of_field(FieldSeen { name, value }: FieldSeen<'_>) -> Option<Silence> {
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim().to_ascii_lowercase();
    let first = value.split([';', ' ', '\t', '(']).next().unwrap_or_default();
    match name.as_str() {
        "auto-submitted" if first != "no" => Some(Silence::Automatic),
        "precedence" if ["bulk", "list", "junk"].contains(&first) => Some(Silence::List),
        "x-auto-response-suppress" => {
            let mut words = value.split(',').map(str::trim);
            let suppresses = words.any(|word| ["all", "oof", "autoreply"].contains(&word));
            suppresses.then_some(Silence::Automatic)
        }
        "x-spam-flag" if first == "yes" => Some(Silence::Automatic),
        "x-autoreply" | "x-autorespond" | "x-autoresponder" => Some(Silence::Automatic),
        "content-type" if first == "multipart/report" => Some(Silence::Automatic),
        "mailing-list" | "x-mailing-list" => Some(Silence::List),
        name if name.starts_with("list-") => Some(Silence::List),
        _ => None,
    }
}

impl VacationReply<'_> {
    /// Makes the message, and says whether it has octets above 127.
    pub fn compose(&self) -> (Vec<u8>, bool) {
        let subject = match self.own_subject {
            Some(own) if self.is_scripted => one_line(own),
            Some(own) => self.filled(own, MAX_SUBJECT),
            None if self.subject.trim().is_empty() => "Automatic reply".to_owned(),
            None => format!("Auto: {}", one_line(self.subject)),
        };
        let text = if self.is_scripted {
            self.text.chars().take(MAX_TEXT).collect()
        } else {
            self.filled(self.text, MAX_TEXT)
        };
        let text: String = text.lines().map(line).collect();
        let builder = MessageBuilder::new()
            .from(mailbox(self.from))
            .to(mailbox(self.to))
            .subject(Text::new(one_line(&subject)))
            .date(Date::from(self.now))
            .message_id(self.id.to_owned());
        let builder = match message_id_of(self.header) {
            Some(id) => builder.in_reply_to(id).references(id),
            None => builder,
        };
        let builder = builder
            .header("Auto-Submitted", Raw::new("auto-replied (vacation)"))
            .header("X-Auto-Response-Suppress", Raw::new("All"));
        if self.is_entity {
            return with_entity(builder, &text);
        }
        let words = MimePart::new("text/plain", text);
        let header = if self.echoes { quotable(self.header, true) } else { (&[][..]).into() };
        let body = if header.is_empty() {
            words
        } else {
            let part = MimePart::new(ContentType::new("text/rfc822-headers"), header.as_ref());
            let content_type = ContentType::new("multipart/mixed")
                .attribute("boundary", format!("={}=", self.id.replace('@', "=")));
            MimePart::new(content_type, vec![words, part.transfer_encoding("7bit")])
        };
        let mut content = Vec::new();
        builder.body(body).serialize(&mut content);
        let eight_bit = !content.is_ascii();
        (content, eight_bit)
    }

    /// The text with what its variables stand for, once: a subject that holds one would multiply.
    fn filled(&self, text: &str, most: usize) -> String {
        let (subject, author) = (one_line(self.subject), one_line(self.author));
        let variables = [("$SUBJECT", &subject), ("$FROM", &author)];
        let (mut filled, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$').filter(|_| filled.len() < MOST_OCTETS * most) {
            let (before, behind) = rest.split_at(at);
            let found = variables.iter().find_map(|(name, value)| {
                behind.strip_prefix(name).map(|behind| (value.as_str(), behind))
            });
            let (value, behind) = found.unwrap_or(("$", &behind[1..]));
            filled.push_str(before);
            filled.push_str(value);
            rest = behind;
        }
        filled.push_str(rest);
        filled.chars().take(most).collect()
    }
}

/// The reply with this entity for its body.
fn with_entity(builder: MessageBuilder<'_>, entity: &str) -> (Vec<u8>, bool) {
    let mut whole = Vec::new();
    builder.body(MimePart::new("text/plain", "")).serialize(&mut whole);
    let mut content = Vec::new();
    let mut is_of_content = false;
    for line in whole.split_inclusive(|c| *c == b'\n').take_while(|line| *line != b"\r\n") {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|c| *c == b':').next().unwrap_or_default().to_ascii_lowercase();
            is_of_content = name.starts_with(b"content-") || name == b"mime-version";
        }
        if !is_of_content {
            content.extend_from_slice(line);
        }
    }
    // Fields that would say who writes to whom are ours.
    let (header, body) = entity.split_once("\r\n\r\n").unwrap_or(("", entity));
    let header = format!("{header}\r\n");
    let mut is_of_content = false;
    content.extend_from_slice(b"MIME-Version: 1.0\r\n");
    for line in header.split_inclusive("\r\n").filter(|line| *line != "\r\n") {
        if !line.starts_with([' ', '\t']) {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            is_of_content = name.starts_with("content-");
        }
        if is_of_content {
            content.extend_from_slice(line.as_bytes());
        }
    }
    content.extend_from_slice(b"\r\n");
    content.extend_from_slice(body.as_bytes());
    let eight_bit = !content.is_ascii();
    (content, eight_bit)
}

fn mailbox(address: &str) -> Mailbox<'static> {
    Mailbox::new_address(None::<&str>, one_line(address))
}

/// Text as it may stand in a header line: nothing in it ends one.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() || is_hidden(c) { ' ' } else { c };
    text.trim().chars().take(MAX_SUBJECT).map(plain).collect()
}

/// A line of the text, without what could move the words around it.
fn line(text: &str) -> String {
    let shown = |c: &char| (!c.is_control() || *c == '\t') && !is_hidden(*c);
    text.trim_end().chars().filter(shown).chain("\r\n".chars()).collect()
}

/// Characters that end lines, or turn the direction of writing.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Local parts that programs send from.
const ROBOTS: [&str; 9] = [
    "mailer-daemon",
    "listserv",
    "majordomo",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "bounce",
];
/// Characters.
const MAX_SUBJECT: usize = 256;
const MAX_TEXT: usize = 32 << 10;
/// Octets of a character.
const MOST_OCTETS: usize = 4;

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    #[test]
    fn senders_that_nobody_answers() {
        let rows = [
            ("", true),
            ("alice", true),
            ("MAILER-DAEMON@x", true),
            ("owner-list@x", true),
            ("list-owner@x", true),
            ("List-Request@x", true),
            ("bounces+a=b@x", true),
            ("bounce-17@x", true),
            ("list-bounces@x", true),
            ("list-bounces+a=b@x", true),
            ("no-reply@x", true),
            ("\"majordomo\"@x", true),
            ("alice@x", false),
            ("owner@x", false),
            ("request@x", false),
            ("bouncer@x", false),
            ("reply@x", false),
        ];
        for (sender, want) in rows {
            assert_eq!(of_sender(sender).is_some(), want, "{sender}");
        }
    }

    #[test]
    fn fields_that_nobody_answers() {
        use Silence::{Automatic, List};
        let rows = [
            ("Auto-Submitted", "auto-replied (vacation)", Some(Automatic)),
            ("auto-submitted", "auto-generated; x=y", Some(Automatic)),
            ("Auto-Submitted", " No", None),
            ("Auto-Submitted", "no; owner=x", None),
            ("Auto-Submitted", "", Some(Automatic)),
            ("Precedence", "Bulk", Some(List)),
            ("Precedence", "list", Some(List)),
            ("Precedence", "junk", Some(List)),
            ("Precedence", "first-class", None),
            ("List-Id", "<x.y>", Some(List)),
            ("list-unsubscribe", "", Some(List)),
            ("Listing", "x", None),
            ("X-Auto-Response-Suppress", "DR, OOF", Some(Automatic)),
            ("X-Auto-Response-Suppress", "All", Some(Automatic)),
            ("X-Auto-Response-Suppress", "DR, RN", None),
            ("X-Spam-Flag", "YES", Some(Automatic)),
            ("X-Spam-Flag", "NO", None),
            ("Content-Type", "multipart/report; report-type=x", Some(Automatic)),
            ("Content-Type", "multipart/mixed", None),
            ("Subject", "Auto-Submitted: yes", None),
        ];
        for (name, value, want) in rows {
            assert_eq!(of_field(FieldSeen { name, value }), want, "{name}: {value}");
        }
    }

    fn answer() -> VacationReply<'static> {
        VacationReply {
            from: "jdoe@x.example",
            to: "bob@y.example",
            author: "Bob@y.example",
            subject: "Gr\u{fc}\u{df}e",
            own_subject: None,
            text: "I am away, $FROM.\nAbout \"$SUBJECT\": later.",
            is_scripted: false,
            is_entity: false,
            header: b"Message-ID: <m@y>\r\nSubject: x\r\n",
            echoes: false,
            id: "7@here.example",
            now: 1_795_305_600,
        }
    }

    #[test]
    fn a_script_has_the_last_word_about_its_text() {
        let scripted = VacationReply { is_scripted: true, own_subject: Some("$FROM"), ..answer() };
        let (content, _) = scripted.compose();
        let text = String::from_utf8(content).unwrap();
        assert!(text.contains("Subject: $FROM") && text.contains("away, $FROM."), "{text}");
        let entity = "Content-Type: text/html\r\nTo: x@y.example\r\n\r\n<p>away</p>\r\n";
        let (content, _) = VacationReply { text: entity, is_entity: true, ..scripted }.compose();
        let text = String::from_utf8(content).unwrap();
        assert!(text.ends_with("Content-Type: text/html\r\n\r\n<p>away</p>\r\n"), "{text}");
        assert!(!text.contains("text/plain") && !text.contains("x@y.example"), "{text}");
    }

    #[test]
    fn a_reply_is_what_rfc_3834_asks_for() {
        let (content, eight_bit) = answer().compose();
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(!eight_bit, "{text}");
        let read = MessageParser::new().parse(&content).unwrap();
        assert_eq!(read.subject(), Some("Auto: Gr\u{fc}\u{df}e"));
        assert_eq!(read.from().unwrap().first().unwrap().address(), Some("jdoe@x.example"));
        assert_eq!(read.to().unwrap().first().unwrap().address(), Some("bob@y.example"));
        let submitted = read.header_raw("Auto-Submitted").unwrap();
        assert_eq!(submitted.trim(), "auto-replied (vacation)");
        assert_eq!(read.in_reply_to().as_text(), Some("m@y"));
        assert_eq!(read.references().as_text(), Some("m@y"));
        let body = read.body_text(0).unwrap();
        assert_eq!(body.trim(), "I am away, Bob@y.example.\r\nAbout \"Gr\u{fc}\u{df}e\": later.");
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn variables_are_filled_in_once_and_not_in_what_they_stand_for() {
        let subject = "$FROM$SUBJECT".repeat(20);
        let reply = VacationReply { subject: &subject, author: "a@b", ..answer() };
        let rows = [
            ("", ""),
            ("$", "$"),
            ("$FRO $FROM$$FROM.", "$FRO a@b$a@b."),
            ("$SUBJECT", &one_line(&subject)),
            ("\u{e9}$\u{e9}$FROM\u{e9}", "\u{e9}$\u{e9}a@b\u{e9}"),
        ];
        for (text, want) in rows {
            assert_eq!(reply.filled(text, MAX_TEXT), want, "{text}");
        }
        // Filled in again and again this would be 1.7 GB.
        let text = reply.filled(&"$SUBJECT".repeat(130_000), MAX_TEXT);
        assert_eq!(text.chars().count(), MAX_TEXT);
    }

    #[test]
    fn nothing_that_anybody_writes_makes_a_line_of_the_header() {
        let evil = "x\r\nBcc: all@z\r\n\r\nbody\u{2028}\u{202e}\0";
        let long = "y".repeat(100_000);
        for own in [None, Some(evil), Some("$SUBJECT$FROM"), Some(&*long)] {
            for (text, echoes) in [(evil, false), (&*long, true), ("", true)] {
                let hostile = VacationReply {
                    subject: evil,
                    author: evil,
                    own_subject: own,
                    text,
                    echoes,
                    header: b"Message-ID: <a\r\n b>\r\nX: \xff\r\n--=7=here.example=--\r\n",
                    ..answer()
                };
                let (content, _) = hostile.compose();
                assert!(content.len() < 120_000, "{}", content.len());
                let read = MessageParser::new().parse(&content).unwrap();
                let names: Vec<_> =
                    read.headers().iter().map(|its| its.name().to_owned()).collect();
                assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{names:?}");
                let said = String::from_utf8_lossy(&content);
                let header = said.split("\r\n\r\n").next().unwrap();
                assert!(!header.contains("\r\nBcc") && !header.contains('\0'), "{header}");
                assert_eq!(read.attachment_count(), usize::from(echoes), "{said}");
            }
        }
    }
}
