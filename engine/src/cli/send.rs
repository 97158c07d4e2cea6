//! `relais send`, and what programs call as `sendmail`: a message of this machine is handed to a server that
//! listens, by SMTP. Nothing is kept here: a message that the server does not take is the caller's to send
//! again, and the exit status says so.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use jiff::{Zoned, fmt::rfc2822};
use relais_channels::{
    client::{ConnectionLimits, Handover, Outbound, Outgoing, OutgoingRcpt, Progress, Settings},
    mail::{Attempt, Content, Dialect, Enhanced, NextHop, Outcome, Reply, SiteTrouble},
};
use relais_config::{
    Config,
    channel::{Chunking, Downgrade},
};

use super::{
    arguments::Send,
    exchange::wait,
    letter::{Letter, LetterArguments, LetterError, Writer, letter},
    refusal::{Refusal, complain},
    source::Source,
};

/// A message that was not sent to all.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The message is none.
    Letter(LetterError),
    /// It cannot be read.
    Input(String),
    /// The server takes it from nobody for now, or cannot be reached.
    Later(String),
    /// The server refuses it, for some recipients at least.
    Refused(String),
}

impl Unsent {
    /// As `sysexits(3)` has it, which programs that call `sendmail` read.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Letter(LetterError::NoRecipient) => 64,
            Self::Letter(LetterError::NoAddress(_)) => 68,
            Self::Input(_) => 66,
            Self::Later(_) => 75,
            Self::Refused(_) => 69,
        })
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Letter(error) => error.to_string(),
            Self::Input(why) | Self::Later(why) | Self::Refused(why) => why.clone(),
        }
    }
}

/// `relais send`.
pub(super) fn send(source: &Source, order: Send, out: &mut dyn Write) -> Result<(), Refusal> {
    let Send { server, sender, name, to, header, ignore_dots: _, file } = order;
    let raw = match &file {
        Some(file) => File::open(file).and_then(read),
        None => read(io::stdin().lock()),
    };
    let place = file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string());
    let raw = raw.map_err(|error| Refusal::Because(format!("{place}: {error}")))?;
    let said = LetterArguments {
        sender,
        name,
        header_recipients: header || to.is_empty(),
        recipients: to,
        dot_ends: false,
    };
    let words = hand_over(source, server.as_deref(), &raw, &said)
        .map_err(|unsent| Refusal::Because(unsent.words()))?;
    Ok(writeln!(out, "{words}")?)
}

/// Sends it; says what the server said.
pub(super) fn hand_over(
    source: &Source,
    server: Option<&str>,
    raw: &[u8],
    said: &LetterArguments,
) -> Result<String, Unsent> {
    // A file that only the engine's user may read is no reason not to send.
    let config = server.is_none().then(|| source.read().into_config().ok());
    let config = config.flatten().map(|(config, _)| config);
    let place = match server {
        Some(text) => text.parse().map_err(|error| Unsent::Input(format!("--server: {error}")))?,
        None => config.as_ref().and_then(own_server).unwrap_or_else(usual_server),
    };
    let host = config.map_or_else(host_name, |config| config.host);
    let letter = letter(raw, said, &writer(&host)).map_err(Unsent::Letter)?;
    let sent = wait(deliver(&host, &place, &letter));
    let sent = sent.map_err(|_| Unsent::Later("no runtime".to_owned()))?;
    verdict(&letter, &sent)
}

/// All that comes, up to a bound.
pub(super) fn read(input: impl Read) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut raw)?;
    if raw.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("more than {} MiB", LARGEST >> 20)));
    }
    Ok(raw)
}

/// Where this machine's engine takes mail of local programs.
fn own_server(config: &Config) -> Option<NextHop> {
    let service = config.front_service()?;
    let port = *service.ports.iter().min()?;
    let address = service.interface_address.filter(|address| !address.is_unspecified());
    let address = address.unwrap_or_else(|| std::net::Ipv4Addr::LOCALHOST.into());
    Some(NextHop::Ip { address, port: Some(port) })
}

fn usual_server() -> NextHop {
    NextHop::Ip { address: std::net::Ipv4Addr::LOCALHOST.into(), port: Some(25) }
}

/// As Debian's programs have it (`/etc/mailname`), else the name of the machine.
fn host_name() -> String {
    let mail_name = std::fs::read_to_string("/etc/mailname").unwrap_or_default();
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fit = |name: &&str| relais_channels::mail::is_domain(name);
    [mail_name.trim(), &node].into_iter().find(fit).unwrap_or("localhost").to_owned()
}

fn writer(host: &str) -> Writer {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let now = Zoned::now();
    Writer {
        user: user.map_or_else(|| format!("uid{uid}"), |user| user.name),
        domain: host.to_owned(),
        date: rfc2822::to_string(&now).unwrap_or_default(),
        unique: format!("{}.{}", now.timestamp().as_nanosecond(), std::process::id()),
    }
}

fn settings(host: &str) -> Settings {
    Settings {
        host: host.to_owned(),
        connect_time: CONNECT,
        command_time: REPLY,
        data_time: REPLY,
        status_time: 2 * REPLY,
        private: false,
        max_line: 1_000,
        downgrade: Downgrade::Convert,
        chunking: Chunking::Never,
        max_rcpt: AT_ONCE,
        limits: ConnectionLimits::default(),
        progress: Progress::default(),
    }
}

async fn deliver(host: &str, place: &NextHop, letter: &Letter) -> Attempt {
    let content = Content::Whole(letter.content.clone().into());
    let recipients: Vec<_> = letter.recipients.iter().map(|to| OutgoingRcpt::new(to)).collect();
    let mut connection = match Outbound::new(Dialect::Smtp, 25, settings(host)).connect(place).await
    {
        Ok(connection) => connection,
        Err(trouble) => return Attempt::all(recipients.len(), &trouble.outcome),
    };
    let mut handover = Handover::new(&recipients, AT_ONCE, false);
    while handover.is_needed() {
        let batch = handover.batch();
        let outgoing = Outgoing {
            eight_bit: !letter.content.is_ascii(),
            ..Outgoing::new(&letter.sender, &batch, content.size())
        };
        match connection.deliver(&outgoing, &content, None).await {
            Ok(transacted) => {
                handover.take(transacted);
            }
            Err(_) => handover.give_up(SiteTrouble::deferred(CLOSED)),
        }
    }
    connection.quit().await;
    handover.finish()
}

/// Recipients that are refused are named; the others have it.
fn verdict(letter: &Letter, sent: &Attempt) -> Result<String, Unsent> {
    let mut worst = None;
    let mut taken = String::new();
    for (to, outcome) in letter.recipients.iter().zip(&sent.outcomes) {
        let words = format!("<{to}>: {}", outcome.reply());
        match outcome {
            Outcome::Delivered(reply) => taken = reply.to_string(),
            Outcome::Deferred(_) => worst = worst.or(Some(Unsent::Later(words))),
            Outcome::Failed(_) => {
                if let Some(before @ Unsent::Refused(_)) = worst.replace(Unsent::Refused(words)) {
                    complain(&before.words());
                }
            }
        }
    }
    worst.map_or(Ok(taken), Err)
}

/// A message of a local program is held in memory.
const LARGEST: u64 = 256 << 20;
/// Recipients of one transaction; every server has to take a hundred (RFC 5321 section 4.5.3.1.8).
const AT_ONCE: usize = 100;
const CLOSED: Reply = Reply::new(421, Enhanced(4, 4, 2), "the server closes the connection");
const CONNECT: Duration = Duration::from_secs(30);
const REPLY: Duration = Duration::from_secs(5 * 60);
