//! Access tables: who may connect, and who may send what where.
//!
//! | table | probed | with |
//! | --- | --- | --- |
//! | `PORT_ACCESS` | for each connection, before the first octet | `TCP\|server\|port\|client\|client port` |
//! | `INTERNAL_IP` | for each session | the client |
//! | `IP_ACCESS` | before a client of ours connects to an address | `channel\|index\|count\|address\|host` |
//! | `FROM_ACCESS` | at MAIL | `connection\|application\|MAIL\|source channel\|sender\|authenticated sender` |
//! | `ORIG_SEND_ACCESS` | at RCPT, before aliases | `source channel\|sender\|destination channel\|recipient` |
//! | `ORIG_MAIL_ACCESS` | likewise | `connection\|application\|MAIL\|` and that |
//! | `SEND_ACCESS`, `MAIL_ACCESS` | for each way that aliases led to | the same two |
//! | `ORIGIN_ACCESS` | behind the content, where its origin was checked | `source channel\|sender\|domain of From\|SPF\|DKIM\|DMARC\|policy` |
//!
//! The connection is a probe of `PORT_ACCESS`; that and the application, `SMTP/` and the name that the
//! client gave itself, are empty for mail that no client brought. A bar in an address or a name stands
//! in a probe as `%7C`.

mod approach;
mod origin;
mod recipient;

use std::{fmt, net::IpAddr};

use relais_channels::mail::{Enhanced, Reply};
use relais_config::{
    lookup_url::UrlResults,
    mapping::{Mapped, Tables},
};
use tracing::info;

pub use self::approach::ip_access;
pub use self::origin::origin_access;
pub(super) use self::recipient::admit;
use super::{
    refusal::Refusal,
    routes::{Question, Routes},
    submission::{
        FROM_ACCESS, INTERNAL_IP, MAIL_ACCESS, ORIG_MAIL_ACCESS, ORIG_SEND_ACCESS, PORT_ACCESS,
        SEND_ACCESS, Submission, TcpEnds, address_field,
    },
    url_asks::UrlAsks,
};
use crate::directory::Lookup;

/// The word of an access table about mail or a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Nothing: there is no such table, no entry matched, or the entry that did has no flag.
    Silent,
    /// `$Y`.
    Accept,
    /// `$N` or `$F`, with its text: `"500 Do not connect to this machine"`, or nothing.
    Reject(String),
}

/// The word of an access table, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ruling {
    /// The table.
    pub table: &'static str,
    /// The probe of the table.
    pub probe: String,
    /// The entry that decides, counted from 0; `None`: none applies.
    pub entry: Option<usize>,
    /// Its word.
    pub access: Access,
    /// `$H`: the mail is kept for an operator to look at, for this reason.
    pub held: Option<String>,
    /// `$Q`: the channel that the mail leaves by, whatever it is for.
    pub diverted: Option<String>,
    /// `$V` or `$Z`: the mail is taken and thrown away.
    pub is_discarded: bool,
    /// `$<`, and `$>` when it refuses: a line for the log.
    note: Option<String>,
}

impl Access {
    /// The refusal in SMTP's terms: codes that the text begins with (`450`, `450 4.2.1`, `5.1.1`) are its
    /// codes, else `550 5.7.1`; `None` when nothing is refused.
    pub fn reply(&self) -> Option<Reply> {
        let Self::Reject(text) = self else { return None };
        let (code, text) = coded(text);
        let class = |code: u16| if code < 500 { 4 } else { 5 };
        let fits = |of: &Enhanced| code.is_none_or(|code| of.0 == class(code));
        let own = Enhanced::leading(text).filter(|(enhanced, _)| fits(enhanced));
        let code = code.unwrap_or(if own.is_some_and(|own| own.0.0 == 4) { 450 } else { 550 });
        let (enhanced, text) = own.unwrap_or((Enhanced(class(code), 7, 1), text));
        let text = if text.is_empty() { "access denied" } else { text };
        Some(Reply::with_text(code, enhanced, text.to_owned()))
    }
}

impl Ruling {
    /// The answer of a table to a probe. `None`: there is no such table.
    fn of(
        table: &'static str,
        (routes, tables): (&Routes, &Tables<'_>),
        probe: impl FnOnce() -> String,
    ) -> Option<Self> {
        let found = routes.access_table(table)?;
        let probe = probe();
        let mapped = found.lookup(&probe, tables);
        Some(Self::from_mapped(table, probe, mapped))
    }

    fn from_mapped(table: &'static str, probe: String, mapped: Option<Mapped>) -> Self {
        let entry = mapped.as_ref().map(|mapped| mapped.entry);
        let Mapped { flags, text, .. } = mapped.unwrap_or_default();
        let is_refused = flags.has('N') || flags.has('F');
        let mut rest = text.as_str();
        // Arguments come in this order, and the last one takes what is left.
        let mut wanted = ['<', '>', 'N']
            .into_iter()
            .filter(|flag| match flag {
                'N' => is_refused || !flags.has('<') && !flags.has('>'),
                flag => flags.has(*flag),
            })
            .peekable();
        let (mut note, mut own) = (None, "");
        while let Some(flag) = wanted.next() {
            let (argument, behind) = match rest.split_once('|') {
                Some(parts) if wanted.peek().is_some() => parts,
                _ => (rest, ""),
            };
            rest = behind;
            match flag {
                '<' => note = Some(argument),
                '>' if is_refused => note = Some(argument).filter(|text| !text.is_empty()).or(note),
                '>' => {}
                _ => own = argument,
            }
        }
        let access = match () {
            () if is_refused => Access::Reject(own.to_owned()),
            () if flags.has('Y') => Access::Accept,
            () => Access::Silent,
        };
        Self {
            table,
            entry,
            diverted: flags.has('Q').then(|| own.to_owned()),
            held: flags.has('H').then(|| match own {
                _ if flags.has('Q') => format!("{table} says so"),
                "" => format!("{table} says so"),
                reason => {
                    format!("{table}: {}", reason.chars().take(MAX_REASON).collect::<String>())
                }
            }),
            is_discarded: flags.has('V') || flags.has('Z'),
            note: note.map(str::to_owned),
            probe,
            access,
        }
    }

    /// Writes the line that the entry asks for.
    fn write_note(&self) {
        if let Some(text) = &self.note {
            let text: String = text.chars().take(MAX_NOTE).collect();
            let entry = self.entry.map_or(0, |entry| entry + 1);
            info!(table = self.table, entry, probe = ?self.probe, note = ?text, "access table");
        }
    }
}

/// `PORT_ACCESS`: whether a client may connect. Only a rejection keeps it out. `None`: there is no
/// such table. `is_asked`: an operator wants to know, and nobody connects.
pub fn port_access(routes: &Routes, ends: TcpEnds, is_asked: bool) -> Option<Ruling> {
    let ruling = if is_asked {
        Ruling::of(PORT_ACCESS, (routes, &routes.tables_looked_at()), || ends.to_string())
    } else {
        Ruling::of(PORT_ACCESS, (routes, &routes.tables()), || ends.to_string())
    };
    if let Some(ruling) = ruling.as_ref().filter(|_| !is_asked) {
        ruling.write_note();
    }
    ruling
}

/// The lines with which `PORT_ACCESS` turns a client away, without the last CRLF: `~` parts them, and
/// the code that the text begins with stands before each.
pub fn parting_lines(text: &str) -> String {
    let (code, text) = coded(text);
    let (code, text) = match code {
        Some(code) => (code.to_string(), text),
        None => ("554 5.7.1".to_owned(), if text.is_empty() { "access denied" } else { text }),
    };
    let (code, enhanced) = code.split_once(' ').unwrap_or((&code, ""));
    let mut lines = text.split('~').peekable();
    let mut all = String::new();
    while let Some(line) = lines.next() {
        let own = line.strip_prefix(code).and_then(|line| line.strip_prefix(['-', ' ']));
        let more = lines.peek().is_some();
        for piece in [
            code,
            if more { "-" } else { " " },
            enhanced,
            if enhanced.is_empty() { "" } else { " " },
        ] {
            all.push_str(piece);
        }
        all.extend(
            own.unwrap_or(line).chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }),
        );
        all.push_str(if more { "\r\n" } else { "" });
    }
    all
}

/// `INTERNAL_IP`: whether a client is one of ours.
pub fn internal_ip(routes: &Routes, client: IpAddr) -> bool {
    internal_ruling(routes, client).is_some_and(|ruling| ruling.access == Access::Accept)
}

/// The same, and why. `None`: there is no such table.
pub fn internal_ruling(routes: &Routes, client: IpAddr) -> Option<Ruling> {
    Ruling::of(INTERNAL_IP, (routes, &routes.tables()), || client.to_canonical().to_string())
}

/// `FROM_ACCESS`: whether a sender may send. `None`: there is no such table. `is_asked`: an operator
/// wants to know, and nobody sends.
pub(super) async fn from_access(
    (routes, lookup): (&Routes, &impl Lookup),
    (source_channel, sender): (&str, &str),
    submission: Submission<'_>,
    is_asked: bool,
) -> Result<Option<Ruling>, Reply> {
    let ask = |urls: Option<&UrlAsks>| {
        let tables = if is_asked { routes.tables_looked_at() } else { routes.tables() };
        let urls = urls.map(|urls| urls as &dyn UrlResults);
        let tables = Tables { urls, facts: submission.facts, ..tables };
        Ruling::of(FROM_ACCESS, (routes, &tables), || {
            let (sender, user) = (address_field(sender), address_field(submission.authenticated));
            format!("{submission}|{source_channel}|{sender}|{user}")
        })
    };
    let ruling = if routes.tables_ask_urls() {
        let answered = UrlAsks::answered(lookup, |urls| ask(Some(urls))).await;
        answered.map_err(|error| Refusal::Lookup(error).reply())?
    } else {
        ask(None)
    };
    if let Some(ruling) = ruling.as_ref().filter(|_| !is_asked) {
        ruling.write_note();
    }
    Ok(ruling)
}

/// In words: `refused: 500 Go away`.
impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entry, &self.access) {
            (None, _) => f.write_str("no entry applies"),
            (Some(n), Access::Silent) => write!(f, "entry {} says nothing", n + 1),
            (Some(n), Access::Accept) => write!(f, "entry {} accepts", n + 1),
            (Some(n), Access::Reject(text)) if text.is_empty() => {
                write!(f, "entry {} refuses", n + 1)
            }
            (Some(n), Access::Reject(text)) => write!(f, "entry {} refuses: {text}", n + 1),
        }?;
        if self.held.is_some() {
            f.write_str(", and holds")?;
        }
        if let Some(channel) = &self.diverted {
            write!(f, ", and sends it to {channel}")?;
        }
        if self.is_discarded {
            f.write_str(", and discards")?;
        }
        Ok(())
    }
}

/// A code of a refusal that a text begins with, and the rest of the text.
fn coded(text: &str) -> (Option<u16>, &str) {
    let digits = text.split([' ', '-']).next().unwrap_or_default();
    let code = digits.parse::<u16>().ok().filter(|code| (400..=599).contains(code));
    match code {
        Some(_) => (code, text[digits.len()..].trim_start_matches('-').trim_start()),
        None => (None, text),
    }
}

/// Characters of the reason for holding mail.
const MAX_REASON: usize = 200;
/// Characters of a line for the log.
const MAX_NOTE: usize = 1_000;

#[cfg(test)]
mod tests;
