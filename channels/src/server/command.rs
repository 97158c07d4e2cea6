//! Commands, parsed from one line each (RFC 5321 section 4.1, RFC 2033 section 4, RFC 1870,
//! RFC 6152, RFC 3030, RFC 3461, RFC 6531).
//!
//! The line comes without its CRLF. Whether a command may come now is the session's business.

use std::borrow::Cow;

use super::{
    Dialect, MailFrom, RcptTo,
    path::{Argument, PathError, SMTPUTF8},
    xclient::XClient,
};
use crate::mail::{
    Address, AddressError, Enhanced, Notify, OriginalRecipient, Reply, Return, ReversePath, XQuota,
    xtext,
};

/// A command whose syntax is right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command<'a> {
    /// `EHLO name`.
    Ehlo(&'a [u8]),
    /// `HELO name`.
    Helo(&'a [u8]),
    /// `LHLO name`; the original's client may leave the name out, unless envelopes are strict.
    Lhlo(&'a [u8]),
    /// `MAIL FROM:<path> parameters`.
    Mail(MailFrom),
    /// `RCPT TO:<path> parameters`.
    Rcpt(RcptTo),
    /// `DATA`.
    Data,
    /// `BDAT size [LAST]`.
    Bdat {
        /// Octets that follow the command.
        size: u64,
        /// The message ends with them.
        last: bool,
    },
    /// `RSET`.
    Rset,
    /// `NOOP`, with or without a string.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY string`.
    Vrfy,
    /// `XCLIENT name=value ...`.
    XClient(Box<XClient>),
    /// `HELP`, with or without a topic.
    Help,
    /// `STARTTLS`.
    StartTls,
    /// `AUTH mechanism [initial response]`.
    Auth(&'a [u8]),
    /// A command that exists and is not offered here.
    NotOffered,
}

/// Why a line is not a command.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// Not a verb.
    #[error("command not recognised")]
    UnknownVerb,
    /// A NUL, wherever it stands.
    #[error("the line holds a NUL")]
    Nul,
    /// The verb is known, what follows it is not what it takes.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// `BDAT` whose size cannot be made out: where the next command starts is unknown.
    #[error("usage: BDAT size [LAST]")]
    Bdat,
    /// The address of MAIL.
    #[error("bad sender: {0}")]
    Sender(PathError),
    /// The address of RCPT.
    #[error("bad recipient: {0}")]
    Recipient(PathError),
    /// A parameter that is known, with a value that is not, or given twice.
    #[error("bad value of parameter {0}")]
    Value(&'static str),
    /// A parameter that is not known.
    #[error("parameter {0} is not recognised")]
    Parameter(String),
    /// Another protocol, or the header of a message: who says this is not here for mail.
    #[error("this is no mail command, closing")]
    Foreign,
}

/// How exactly envelopes must be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Envelopes {
    /// As RFC 5321 and RFC 3461 say.
    Strict,
    /// As other MTAs take them: without brackets, with dots anywhere, with lower-case xtext.
    Tolerant,
}

impl<'a> Command<'a> {
    /// Parses one line, given without its CRLF. Blanks at its end pass (RFC 5321 section 4.1.1).
    pub fn parse(
        line: &'a [u8],
        dialect: Dialect,
        envelopes: Envelopes,
    ) -> Result<Self, CommandError> {
        let line = line.trim_ascii_end();
        let (verb, rest) = match line.iter().position(|c| *c == b' ') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        if is_foreign(verb) || is_http(rest) {
            return Err(CommandError::Foreign);
        }
        let mut upper = [0; LONGEST_VERB];
        let upper = upper.get_mut(..verb.len()).ok_or(CommandError::UnknownVerb)?;
        upper.copy_from_slice(verb);
        upper.make_ascii_uppercase();
        // After BDAT without a size, nothing behind the line is a command.
        if memchr::memchr(0, rest).is_some() && &*upper != b"BDAT" {
            return Err(CommandError::Nul);
        }
        match &*upper {
            b"MAIL" => mail(rest, dialect, envelopes).map(Self::Mail),
            b"RCPT" => rcpt(rest, dialect, envelopes).map(Self::Rcpt),
            b"DATA" => bare(rest, Self::Data, "DATA"),
            b"BDAT" => bdat(rest),
            b"EHLO" => some(rest, Self::Ehlo(rest.trim_ascii_start()), "EHLO name"),
            b"HELO" => some(rest, Self::Helo(rest.trim_ascii_start()), "HELO name"),
            b"LHLO" if envelopes == Envelopes::Strict => {
                some(rest, Self::Lhlo(rest.trim_ascii_start()), "LHLO name")
            }
            b"LHLO" => Ok(Self::Lhlo(rest.trim_ascii_start())),
            b"RSET" => bare(rest, Self::Rset, "RSET"),
            b"QUIT" => bare(rest, Self::Quit, "QUIT"),
            b"NOOP" => Ok(Self::Noop),
            b"VRFY" => some(rest, Self::Vrfy, "VRFY name"),
            b"HELP" => Ok(Self::Help),
            b"XCLIENT" => match XClient::parse(rest) {
                Ok(said) => Ok(Self::XClient(said.into())),
                Err(error) => Err(CommandError::Value(error.0)),
            },
            b"STARTTLS" => bare(rest, Self::StartTls, "STARTTLS"),
            b"AUTH" => some(rest, Self::Auth(rest), "AUTH mechanism"),
            b"EXPN" | b"ETRN" | b"TURN" | b"ATRN" => Ok(Self::NotOffered),
            _ => Err(CommandError::UnknownVerb),
        }
    }
}

impl CommandError {
    /// The reply for the peer (codes: RFC 5321 section 4.2.2; enhanced codes: RFC 3463).
    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Self::UnknownVerb | Self::Foreign => (500, Enhanced(5, 5, 1)),
            Self::Nul => (500, Enhanced(5, 5, 2)),
            Self::Sender(PathError::NotAscii | PathError::NotUtf8)
            | Self::Recipient(PathError::NotAscii | PathError::NotUtf8) => (553, Enhanced(5, 6, 7)),
            Self::Sender(_) => (501, Enhanced(5, 1, 7)),
            Self::Recipient(_) => (501, Enhanced(5, 1, 3)),
            Self::Usage(_) | Self::Bdat | Self::Value(_) => (501, Enhanced(5, 5, 4)),
            Self::Parameter(_) => (555, Enhanced(5, 5, 4)),
        };
        Reply { code, enhanced: Some(enhanced), text: Cow::Owned(self.to_string()) }
    }
}

fn bare<'a>(
    rest: &[u8],
    command: Command<'a>,
    usage: &'static str,
) -> Result<Command<'a>, CommandError> {
    if rest.is_empty() { Ok(command) } else { Err(CommandError::Usage(usage)) }
}

fn some<'a>(
    rest: &[u8],
    command: Command<'a>,
    usage: &'static str,
) -> Result<Command<'a>, CommandError> {
    if rest.is_empty() { Err(CommandError::Usage(usage)) } else { Ok(command) }
}

fn mail(rest: &[u8], dialect: Dialect, envelopes: Envelopes) -> Result<MailFrom, CommandError> {
    let rest = after_keyword(rest, b"FROM:").ok_or(CommandError::Usage("MAIL FROM:<address>"))?;
    let argument = split(rest, dialect, envelopes).map_err(CommandError::Sender)?;
    let is_asked_for = |name: &[u8]| name.eq_ignore_ascii_case(SMTPUTF8);
    let smtputf8 = argument.parameters().any(|(name, _)| is_asked_for(name));
    if !smtputf8 && !argument.path.is_ascii() {
        return Err(CommandError::Sender(PathError::NotAscii));
    }
    let path = if argument.path.is_empty() {
        ReversePath(None)
    } else {
        let address = envelopes.address(argument.path);
        ReversePath(Some(address.map_err(|e| CommandError::Sender(e.into()))?))
    };
    let mut from = MailFrom::new(path);
    from.smtputf8 = smtputf8;
    let (mut body, mut author, mut asked, mut protected) = (None, None, None, None);
    for (name, value) in argument.parameters() {
        if name.eq_ignore_ascii_case(b"SIZE") {
            let size = value.and_then(size).ok_or(CommandError::Value("SIZE"))?;
            once(&mut from.size, size, "SIZE")?;
        } else if name.eq_ignore_ascii_case(b"BODY") {
            let eight_bit = value.and_then(is_eight_bit).ok_or(CommandError::Value("BODY"))?;
            once(&mut body, eight_bit, "BODY")?;
        } else if name.eq_ignore_ascii_case(b"RET") {
            let returned = value.and_then(Return::parse).ok_or(CommandError::Value("RET"))?;
            once(&mut from.returned, returned, "RET")?;
        } else if name.eq_ignore_ascii_case(b"ENVID") {
            let value = value.filter(|value| envelopes.allow_xtext(value));
            let id = value.and_then(envelope_id).ok_or(CommandError::Value("ENVID"))?;
            once(&mut from.envelope_id, id, "ENVID")?;
        } else if name.eq_ignore_ascii_case(b"AUTH") {
            // The user of a relay before us: it would have to be believed.
            let is_xtext =
                value.is_some_and(|value| value == b"<>" || xtext::decode(value).is_some());
            once(&mut author, is_xtext.then_some(()).ok_or(CommandError::Value("AUTH"))?, "AUTH")?;
        } else if is_asked_for(name) {
            let alone = value.map_or(Ok(()), |_| Err(CommandError::Value("SMTPUTF8")));
            once(&mut asked, alone?, "SMTPUTF8")?;
        } else if dialect == Dialect::Smtp && name.eq_ignore_ascii_case(b"REQUIRETLS") {
            let alone = value.map_or(Ok(()), |_| Err(CommandError::Value("REQUIRETLS")));
            once(&mut protected, alone?, "REQUIRETLS")?;
        } else {
            return Err(unknown(name));
        }
    }
    from.eight_bit = body.unwrap_or(false);
    from.requires_tls = protected.is_some();
    Ok(from)
}

fn rcpt(rest: &[u8], dialect: Dialect, envelopes: Envelopes) -> Result<RcptTo, CommandError> {
    let rest = after_keyword(rest, b"TO:").ok_or(CommandError::Usage("RCPT TO:<address>"))?;
    let argument = split(rest, dialect, envelopes).map_err(CommandError::Recipient)?;
    let address = envelopes.address(argument.path);
    let address = address.map_err(|e| CommandError::Recipient(e.into()))?;
    let mut to = RcptTo::new(address, argument.path);
    let (mut flags, mut notify) = (None, None);
    for (name, value) in argument.parameters() {
        if dialect == Dialect::Lmtp && name.eq_ignore_ascii_case(b"XQUOTA") {
            let quota = value.and_then(quota).ok_or(CommandError::Value("XQUOTA"))?;
            once(&mut to.quota, quota, "XQUOTA")?;
        } else if dialect == Dialect::Lmtp && name.eq_ignore_ascii_case(b"XDFLG") {
            let bits = value.and_then(number).ok_or(CommandError::Value("XDFLG"))?;
            once(&mut flags, bits, "XDFLG")?;
        } else if name.eq_ignore_ascii_case(b"NOTIFY") {
            let wanted = value.and_then(Notify::parse).ok_or(CommandError::Value("NOTIFY"))?;
            once(&mut notify, wanted, "NOTIFY")?;
        } else if name.eq_ignore_ascii_case(b"ORCPT") {
            let value = value.filter(|value| envelopes.allow_xtext(value));
            let original = value.and_then(OriginalRecipient::parse);
            let original = original.ok_or(CommandError::Value("ORCPT"))?;
            once(&mut to.original_recipient, original, "ORCPT")?;
        } else {
            return Err(unknown(name));
        }
    }
    to.delivery_flags = flags.unwrap_or(0);
    to.notify = notify.unwrap_or_default();
    Ok(to)
}

/// RFC 3030 section 2.
fn bdat<'a>(rest: &[u8]) -> Result<Command<'a>, CommandError> {
    let mut words = rest.split(|c| *c == b' ').filter(|word| !word.is_empty());
    let size = words.next().and_then(number).ok_or(CommandError::Bdat)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return Err(CommandError::Bdat),
    };
    if words.next().is_some() { Err(CommandError::Bdat) } else { Ok(Command::Bdat { size, last }) }
}

impl Envelopes {
    fn address(self, path: &str) -> Result<Address, AddressError> {
        match self {
            Self::Strict => Address::parse_strictly(path),
            Self::Tolerant => Address::parse(path),
        }
    }

    fn allow_xtext(self, value: &[u8]) -> bool {
        self == Self::Tolerant || xtext::is_strict(value)
    }
}

/// The verbs of HTTP, the PROXY protocol from a proxy that is not listed, a line of a header, or no
/// text at all, such as a TLS hello on a plain port.
fn is_foreign(verb: &[u8]) -> bool {
    let is_header = verb.contains(&b':');
    let no_text = verb.first().is_some_and(|first| !first.is_ascii_alphabetic());
    is_header
        || no_text
        || verb == b"PROXY"
        || HTTP.iter().any(|http| verb.eq_ignore_ascii_case(http))
}

/// Whether `rest` is the end of a request line, whatever its verb: a target and `HTTP/1.1`.
fn is_http(rest: &[u8]) -> bool {
    let mut words = rest.split(|c| *c == b' ');
    let (target, version, end) = (words.next(), words.next(), words.next());
    let is_target = |target: &[u8]| target.first().is_some_and(|first| b"/*".contains(first));
    let is_version =
        |version: &[u8]| version.get(..5).is_some_and(|http| http.eq_ignore_ascii_case(b"HTTP/"));
    end.is_none() && target.is_some_and(is_target) && version.is_some_and(is_version)
}

fn after_keyword<'a>(rest: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (head, tail) = rest.trim_ascii_start().split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then_some(tail)
}

/// An empty path is the null sender only between brackets.
fn split(rest: &[u8], dialect: Dialect, envelopes: Envelopes) -> Result<Argument<'_>, PathError> {
    let bare = dialect == Dialect::Lmtp || envelopes == Envelopes::Tolerant;
    let argument = Argument::split(rest, bare)?;
    if argument.path.is_empty() && !argument.bracketed {
        return Err(PathError::Brackets);
    }
    Ok(argument)
}

fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), CommandError> {
    if slot.replace(value).is_some() { Err(CommandError::Value(name)) } else { Ok(()) }
}

fn unknown(name: &[u8]) -> CommandError {
    let shown = &name[..name.len().min(SHOWN_PARAMETER)];
    CommandError::Parameter(String::from_utf8_lossy(shown).into_owned())
}

/// A number beyond 64 bits is larger than every limit, and not a mistake of syntax.
fn size(value: &[u8]) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    digits.then(|| number(value).unwrap_or(u64::MAX))
}

fn is_eight_bit(value: &[u8]) -> Option<bool> {
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    if is(b"8BITMIME") { Some(true) } else { is(b"7BIT").then_some(false) }
}

fn envelope_id(value: &[u8]) -> Option<String> {
    (1..=MAX_ENVELOPE_ID).contains(&value.len()).then(|| xtext::decode(value)).flatten()
}

fn quota(value: &[u8]) -> Option<XQuota> {
    let comma = value.iter().position(|c| *c == b',')?;
    let limit = |digits: &[u8]| match digits {
        b"-1" => Some(-1),
        b"-2" => Some(-2),
        _ => number(digits),
    };
    Some(XQuota { size: limit(&value[..comma])?, messages: limit(&value[comma + 1..])? })
}

/// Digits and nothing else; no sign.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// RFC 9110 section 9, RFC 5789, and the preface of HTTP/2.
const HTTP: [&[u8]; 10] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI",
];
/// Octets of `STARTTLS`.
const LONGEST_VERB: usize = 8;
/// Octets of an unknown parameter's name that are shown to its sender.
const SHOWN_PARAMETER: usize = 40;
/// Octets of ENVID as they stand in the command (RFC 3461 section 4.4).
const MAX_ENVELOPE_ID: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str, dialect: Dialect) -> Result<Command<'_>, CommandError> {
        Command::parse(line.as_bytes(), dialect, Envelopes::Tolerant)
    }

    #[test]
    fn verbs_and_their_arguments() {
        let usage = |text| Err(CommandError::Usage(text));
        let rows = [
            ("EHLO a.example", Ok(Command::Ehlo(b"a.example"))),
            ("ehlo [127.0.0.1] x", Ok(Command::Ehlo(b"[127.0.0.1] x"))),
            ("HELO", usage("HELO name")),
            ("LHLO", Ok(Command::Lhlo(b""))),
            ("DATA  ", Ok(Command::Data)),
            ("DATA x", usage("DATA")),
            ("rset", Ok(Command::Rset)),
            ("NOOP anything", Ok(Command::Noop)),
            ("quit", Ok(Command::Quit)),
            ("QUIT now", usage("QUIT")),
            ("VRFY alice", Ok(Command::Vrfy)),
            ("VRFY", usage("VRFY name")),
            ("HELP MAIL", Ok(Command::Help)),
            ("EXPN team", Ok(Command::NotOffered)),
            ("STARTTLS", Ok(Command::StartTls)),
            ("STARTTLS x", Err(CommandError::Usage("STARTTLS"))),
            ("AUTH PLAIN =", Ok(Command::Auth(b"PLAIN ="))),
            ("BDAT 0 LAST", Ok(Command::Bdat { size: 0, last: true })),
            ("bdat 86  last", Ok(Command::Bdat { size: 86, last: true })),
            ("BDAT 10", Ok(Command::Bdat { size: 10, last: false })),
            ("BDAT", Err(CommandError::Bdat)),
            ("BDAT -1", Err(CommandError::Bdat)),
            ("BDAT +1", Err(CommandError::Bdat)),
            ("BDAT 1 FIRST", Err(CommandError::Bdat)),
            ("BDAT 1 LAST 2", Err(CommandError::Bdat)),
            ("BDAT 18446744073709551616", Err(CommandError::Bdat)),
            ("EHLO   a.example", Ok(Command::Ehlo(b"a.example"))),
            ("HELO   a.example", Ok(Command::Helo(b"a.example"))),
            ("LHLO   a.example", Ok(Command::Lhlo(b"a.example"))),
            ("EHLO   ", usage("EHLO name")),
            ("", Err(CommandError::UnknownVerb)),
            (" NOOP", Err(CommandError::UnknownVerb)),
            ("STARTTLSX", Err(CommandError::UnknownVerb)),
            ("GETS", Err(CommandError::UnknownVerb)),
            ("GET / HTTP/1.1", Err(CommandError::Foreign)),
            ("post /", Err(CommandError::Foreign)),
            ("CONNECT a.example:25 HTTP/1.0", Err(CommandError::Foreign)),
            ("PRI * HTTP/2.0", Err(CommandError::Foreign)),
            ("PROPFIND / HTTP/1.1", Err(CommandError::Foreign)),
            ("BASELINE-CONTROL /a/b http/1.1", Err(CommandError::Foreign)),
            ("NOOP / HTTP/1.1", Err(CommandError::Foreign)),
            ("NOOP HTTP/1.1", Ok(Command::Noop)),
            ("VRFY a HTTP/1.1", Ok(Command::Vrfy)),
            ("Host: a.example", Err(CommandError::Foreign)),
            ("Content-Type:text/plain", Err(CommandError::Foreign)),
            ("\u{16}\u{3}\u{1}", Err(CommandError::Foreign)),
            ("MAIL", usage("MAIL FROM:<address>")),
            ("MAIL TO:<a@b>", usage("MAIL FROM:<address>")),
            ("RCPT FROM:<a@b>", usage("RCPT TO:<address>")),
        ];
        for (line, want) in rows {
            assert_eq!(parse(line, Dialect::Smtp), want, "{line}");
        }
    }

    #[test]
    fn senders() {
        let rows = [
            ("MAIL FROM:<a@b>", "a@b", None, false),
            ("mail from:<>", "", None, false),
            ("MAIL FROM: <a@b> size=10 body=8bitmime", "a@b", Some(10), true),
            ("MAIL FROM:<a@b> BODY=7BIT", "a@b", None, false),
            ("MAIL FROM:<@x,@y:a@b>  SIZE=0 ", "@x,@y:a@b", Some(0), false),
            ("MAIL FROM:<\"a>\\\" b\"@c> SIZE=1", "\"a>\\\" b\"@c", Some(1), false),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999", "a@b", Some(u64::MAX), false),
            ("MAIL FROM:a@b", "a@b", None, false),
            ("MAIL FROM: a=c@b SIZE=5", "a=c@b", Some(5), false),
            ("MAIL FROM:<a..b@c>", "\"a..b\"@c", None, false),
            ("MAIL FROM:.a@c BODY=8BITMIME", "\".a\"@c", None, true),
        ];
        for (line, path, size, eight_bit) in rows {
            for dialect in [Dialect::Smtp, Dialect::Lmtp] {
                match parse(line, dialect) {
                    Ok(Command::Mail(from)) => {
                        let got = (from.path.as_str(), from.size, from.eight_bit);
                        assert_eq!(got, (path, size, eight_bit), "{line}");
                    }
                    other => panic!("{line}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_a_sender_wants_to_hear() {
        let line = format!("MAIL FROM:<a@b> ret=hdrs ENVID=QQ+3D{}", "x".repeat(95));
        match parse(&line, Dialect::Smtp) {
            Ok(Command::Mail(from)) => {
                assert_eq!(from.returned, Some(Return::Headers));
                assert_eq!(from.envelope_id, Some(format!("QQ={}", "x".repeat(95))));
            }
            other => panic!("{other:?}"),
        }
        let line = "RCPT TO:<a@b> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c+2Bd@e.example";
        match parse(line, Dialect::Smtp) {
            Ok(Command::Rcpt(to)) => {
                assert_eq!(to.notify, Notify::On { success: false, failure: true, delay: true });
                let original = to.original_recipient.expect("ORCPT");
                assert_eq!(original.address_type, "rfc822");
                assert_eq!(original.address, "c+d@e.example");
            }
            other => panic!("{other:?}"),
        }
        match parse("RCPT TO:<a@b>", Dialect::Smtp) {
            Ok(Command::Rcpt(to)) => {
                assert_eq!((to.notify, to.original_recipient), (Notify::Unsaid, None));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn recipients_over_lmtp() {
        let rows = [
            ("RCPT TO:<jdoe>", "jdoe", None, 0),
            ("RCPT TO: jdoe", "jdoe", None, 0),
            (
                "RCPT TO: jdoe+inv@sesta.com xquota=1048576,500 xdflg=1",
                "jdoe+inv@sesta.com",
                Some((1_048_576, 500)),
                1,
            ),
            ("RCPT TO:<jdoe> XQUOTA=-1,-2 XDFLG=4294967295", "jdoe", Some((-1, -2)), u32::MAX),
            ("RCPT TO:\"a b\"@c xdflg=2", "\"a b\"@c", None, 2),
        ];
        for (line, as_given, quota, flags) in rows {
            match parse(line, Dialect::Lmtp) {
                Ok(Command::Rcpt(to)) => {
                    assert_eq!(to.as_given, as_given, "{line}");
                    assert_eq!(to.quota.map(|q| (q.size, q.messages)), quota, "{line}");
                    assert_eq!(to.delivery_flags, flags, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        let (smtp, lmtp) = (Dialect::Smtp, Dialect::Lmtp);
        let long_id = format!("MAIL FROM:<a@b> ENVID={}", "x".repeat(101));
        let rows = [
            (smtp, "MAIL FROM: BODY=7BIT", "501 5.1.7"),
            (smtp, "RCPT TO: NOTIFY=NEVER", "501 5.1.3"),
            (lmtp, "MAIL FROM: BODY=7BIT", "501 5.1.7"),
            (lmtp, "RCPT TO: XDFLG=1", "501 5.1.3"),
            (smtp, "MAIL FROM:<a@[127.0.0.256]>", "501 5.1.7"),
            (smtp, "RCPT TO:<a@[1.2.3]>", "501 5.1.3"),
            (smtp, "RCPT TO:<a@[AA]>", "501 5.1.3"),
            (smtp, "MAIL FROM:a@b>", "501 5.1.7"),
            (smtp, "MAIL FROM:", "501 5.1.7"),
            (lmtp, "MAIL FROM:", "501 5.1.7"),
            (smtp, "MAIL FROM:<a@b", "501 5.1.7"),
            (smtp, "MAIL FROM:<a b@c>", "501 5.1.7"),
            (smtp, "MAIL FROM:<a@b>SIZE=1", "501 5.1.7"),
            (smtp, "MAIL FROM:<a@b..c>", "501 5.1.7"),
            (smtp, "MAIL FROM:<j\u{f6}rg@b>", "553 5.6.7"),
            (smtp, "MAIL FROM:<j\u{f6}rg@b> BODY=8BITMIME", "553 5.6.7"),
            (smtp, "MAIL FROM:<a@\u{fc}.example> SIZE=1", "553 5.6.7"),
            (smtp, "MAIL FROM:<a@b> SMTPUTF8=", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SMTPUTF8=YES", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SMTPUTF8 smtputf8", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@-\u{fc}.example> SMTPUTF8", "501 5.1.7"),
            (lmtp, "MAIL FROM:<j\u{9b}rg@b> SMTPUTF8", "501 5.1.7"),
            (lmtp, "RCPT TO:<j\u{202e}rg@b>", "501 5.1.3"),
            (smtp, "RCPT TO:<a@b> SMTPUTF8", "555 5.5.4"),
            (smtp, "MAIL FROM:<a@b> REQUIRETLS=1", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> REQUIRETLS requiretls", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> REQUIRETLS", "555 5.5.4"),
            (lmtp, "MAIL FROM:<a@b> REQUIRETLS", "555 5.5.4"),
            (smtp, "RCPT TO:<a@b> ORCPT=utf-8;\u{85}", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> ORCPT=rfc822;\u{fc}", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> RET=HEADERS", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> RET", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> RET=FULL RET=FULL", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> ENVID=", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> ENVID=a+0D+0AX", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> ENVID=a ENVID=a", "501 5.5.4"),
            (smtp, &long_id, "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SIZE", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SIZE=", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
            (smtp, "MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
            (smtp, "RCPT TO:<>", "501 5.1.3"),
            (smtp, "RCPT TO:<a@b> XQUOTA=1,1", "555 5.5.4"),
            (smtp, "RCPT TO:<a@b> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> NOTIFY=", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> NOTIFY", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> ORCPT=a@b", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> ORCPT=rfc822;a+zz", "501 5.5.4"),
            (smtp, "RCPT TO:<a@b> ORCPT=x;a ORCPT=x;a", "501 5.5.4"),
            (smtp, "NOOP \0", "500 5.5.2"),
            (smtp, "MAIL FROM:<a\0b@c>", "500 5.5.2"),
            (smtp, "BDAT 3\0", "501 5.5.4"),
            (lmtp, "RCPT TO:", "501 5.1.3"),
            (lmtp, "RCPT TO:<a> XQUOTA=1", "501 5.5.4"),
            (lmtp, "RCPT TO:<a> XQUOTA=-3,0", "501 5.5.4"),
            (lmtp, "RCPT TO:<a> XDFLG=4294967296", "501 5.5.4"),
            (lmtp, "RCPT TO:<a> XDFLG=1 XDFLG=1", "501 5.5.4"),
            (lmtp, "RCPT TO:<a> XOTHER=1", "555 5.5.4"),
        ];
        for (dialect, line, want) in rows {
            let reply = parse(line, dialect).expect_err(line).reply().to_string();
            assert!(reply.starts_with(want), "{line}: {reply}");
        }
    }

    #[test]
    fn addresses_beyond_ascii_are_taken_with_smtputf8() {
        for envelopes in [Envelopes::Strict, Envelopes::Tolerant] {
            let line = "MAIL FROM:<j\u{f6}rg@\u{fc}.example> smtputf8 BODY=8BITMIME";
            match Command::parse(line.as_bytes(), Dialect::Smtp, envelopes) {
                Ok(Command::Mail(from)) => {
                    assert_eq!(from.path.as_str(), "j\u{f6}rg@\u{fc}.example");
                    assert!(from.smtputf8 && from.eight_bit);
                }
                other => panic!("{other:?}"),
            }
            let line = "RCPT TO:<j\u{f6}rg@\u{fc}.example> ORCPT=utf-8;j\u{f6}rg\\x{2B}a@x";
            match Command::parse(line.as_bytes(), Dialect::Smtp, envelopes) {
                Ok(Command::Rcpt(to)) => {
                    assert_eq!(to.as_given, "j\u{f6}rg@\u{fc}.example");
                    assert_eq!(to.address.domain(), Some("xn--tda.example"));
                    let original = to.original_recipient.unwrap().to_string();
                    assert_eq!(original, "utf-8;j\\x{F6}rg\\x{2B}a@x");
                }
                other => panic!("{other:?}"),
            }
        }
        let lines: [&[u8]; 4] = [
            b"MAIL FROM:<\xff@b> SMTPUTF8",
            b"RCPT TO:<\xc0\xaf@b>",
            b"RCPT TO:<\xed\xa0\x80@b>",
            b"RCPT TO:<a@\xf6.example>",
        ];
        for line in lines {
            let error = Command::parse(line, Dialect::Smtp, Envelopes::Tolerant).unwrap_err();
            assert!(error.reply().to_string().starts_with("553 5.6.7"), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn strict_envelopes_are_those_of_the_rfcs() {
        let rows = [
            ("MAIL FROM:a@b", Err("501 5.1.7")),
            ("RCPT TO:jdoe", Err("501 5.1.3")),
            ("MAIL FROM:<a..b@c>", Err("501 5.1.7")),
            ("MAIL FROM:<.a@c>", Err("501 5.1.7")),
            ("RCPT TO:<abc.@c>", Err("501 5.1.3")),
            ("MAIL FROM:<a@b> ENVID=a+2bc", Err("501 5.5.4")),
            ("RCPT TO:<a@b> ORCPT=rfc822;c+2bd@e", Err("501 5.5.4")),
            ("RCPT TO:<a@b> ORCPT=rfc822;c+2Bd@e", Ok(())),
            ("RCPT TO:<\"a..b\"@c>", Ok(())),
        ];
        for (line, strict) in rows {
            let parsed = Command::parse(line.as_bytes(), Dialect::Smtp, Envelopes::Strict);
            match (parsed, strict) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(want)) => {
                    let reply = error.reply().to_string();
                    assert!(reply.starts_with(want), "{line}: {reply}");
                }
                (got, _) => panic!("{line}: {got:?}"),
            }
            assert!(parse(line, Dialect::Smtp).is_ok(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let parse = |start: &[u8], dialect| {
                for envelopes in [Envelopes::Strict, Envelopes::Tolerant] {
                    let _ = Command::parse(&[start, &line].concat(), dialect, envelopes);
                }
            };
            parse(b"", Dialect::Smtp);
            parse(b"RCPT TO:", Dialect::Lmtp);
            parse(b"MAIL FROM:<", Dialect::Lmtp);
        }
    }
}
