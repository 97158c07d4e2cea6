//! A server session: it understands, allows and answers, and has no socket, no clock, no engine.
//!
//! The driver feeds it octets with [`Session::take`], carries out the [`Event`] that comes back,
//! tells it what came of that, and writes what [`Session::outgoing`] holds. Nothing a peer sends
//! makes it keep more than one recipient count, one refusal and the replies not yet written.

use std::time::Duration;

use relais_config::tls::Insist;

use super::{
    AuthSaid, Dialect, MailFrom, RcptTo, Setup, Verdict,
    budget::Budget,
    command::{Command, CommandError, Envelopes},
    dialect::{REQUIRETLS, STARTTLS},
    path::{self, PathError},
    replies::{
        AUTH_FIRST, BARE_IN_COMMAND, DEFERRED, GO_AHEAD, GO_SECURE, HELLO_FIRST, IN_CHUNKS,
        MAIL_FIRST, MORE_THAN_ANNOUNCED, NESTED_MAIL, NO_CERTIFICATE, NO_RESULT, NOT_OFFERED,
        NOT_TRUSTED, OK, OUT_OF_TURN, RECIPIENT_OK, SENDER_OK, TLS_FIRST, TLS_TWICE, TOO_BIG,
        TOO_LATE, TOO_MANY_NAMED, TOO_MANY_RECIPIENTS, TOO_MANY_TRANSACTIONS, VRFY,
    },
    setup::BeyondAscii,
    transaction::Transaction,
    xclient::XClient,
};
mod auth;

use crate::{
    mail::{Enhanced, Reply},
    tls::Secured,
    wire::{
        dot::Unstuffer,
        line::{LineError, Lines},
        reply::put_reply,
        text::Text,
    },
};

/// One connection, from its greeting to its end.
#[derive(Debug)]
pub struct Session<'s> {
    setup: &'s Setup,
    lines: Lines,
    phase: Phase,
    hello: Option<Hello>,
    /// The last MAIL that was taken asked for SMTPUTF8.
    smtputf8: bool,
    protection: Protection,
    speaks: Speaks,
    /// The peer has proved who it is.
    login: LoginState,
    transaction: Option<Transaction>,
    /// The last MAIL was refused: what a peer pipelined behind it is not its mistake.
    mail_refused: bool,
    /// A transaction ended and [`Session::forgotten`] has not been asked yet.
    forgotten: bool,
    /// Since the last message.
    commands: usize,
    bad_commands: usize,
    /// More of them end the session.
    most_bad_commands: usize,
    /// Recipients that were accepted and came to no message, since the last one.
    abandoned: usize,
    budget: Budget,
    /// The reply that the peer did not wait for when it sent the command in hand.
    ahead: Ahead,
    /// The session is over, for this reason, once what is to be said has been said.
    closing: Option<Reason>,
    messages: u64,
    out: Vec<u8>,
}

/// The driver's next step.
#[derive(Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// Write what is outgoing and come back with more octets.
    Hungry,
    /// Something was answered, or needs no answer: come back with the rest.
    Answered,
    /// The peer said who it is: [`Session::hello`].
    Hello,
    /// Write what is outgoing, shake hands, and tell [`Session::secured`].
    StartTls,
    /// Ask whether the peer may speak for this client, and tell [`Session::presented`].
    Present(Box<XClient>),
    /// Go on with the exchange, and tell [`Session::authenticated`].
    Authenticate(AuthSaid),
    /// Ask whether this sender may send, and tell [`Session::sender`].
    Sender(MailFrom),
    /// Ask whether this recipient may be, and tell [`Session::recipient`].
    Recipient(RcptTo),
    /// Ask whether content may come, and tell [`Session::opened`].
    Open,
    /// Take this content; tell [`Session::refuse`] if that fails.
    Content(&'a [u8]),
    /// Make the message safe, and tell [`Session::committed`].
    Commit,
    /// The sender was refused and told so, without being asked about.
    SenderRefused(MailFrom, &'static Reply),
    /// No content may come; tell [`Session::opened`] so.
    ContentRefused(&'static Reply),
    /// The message cannot be taken, of which so many octets came; tell [`Session::refused`].
    Refused(Reply, u64),
    /// Write what is outgoing and close.
    Close(Reason),
}

/// The peer's own name for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// At most 255 octets: letters, digits and what domains and address literals are made of;
    /// `?` stands for everything else. Empty if LHLO came without a name.
    pub name: String,
    /// It said EHLO or LHLO.
    pub extended: bool,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The peer said QUIT.
    Quit,
    /// The peer closed the connection or it broke.
    Lost,
    /// The peer sent nothing, or read nothing, for too long.
    Timeout,
    /// Too many commands, too many of them in error, or more octets than announced.
    Abuse,
    /// Recipients without end, and no message.
    NoMessage,
    /// The session has lasted, brought or asked for as much as one may.
    Spent,
    /// Commands that came before the reply which they have to wait for.
    OutOfTurn,
    /// The peer speaks another protocol.
    Foreign,
    /// The peer would speak for others, and may not; or for one that may not connect.
    Untrusted,
    /// The peer is not taken, and was told so in place of the greeting.
    TurnedAway,
    /// No TLS came of the handshake.
    Handshake,
    /// The host is shutting down.
    Stopped,
}

impl Reason {
    /// How long a peer that we cut off has to read why, when it is in the middle of its words.
    pub(super) fn linger(self, in_content: bool) -> Option<Duration> {
        match self {
            Self::Stopped if in_content => Some(Duration::from_millis(500)),
            Self::Quit | Self::Lost | Self::Timeout | Self::Stopped | Self::Handshake => None,
            Self::Abuse
            | Self::NoMessage
            | Self::OutOfTurn
            | Self::Foreign
            | Self::Untrusted
            | Self::TurnedAway
            | Self::Spent => Some(Duration::from_secs(2)),
        }
    }
}

/// The client that a peer may speak for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speaks {
    ForItself,
    /// By XCLIENT.
    ForOthers,
}

#[derive(Debug)]
enum Phase {
    /// Between commands, or in one.
    Command,
    /// Behind a challenge of AUTH.
    Auth,
    /// Behind DATA.
    Data(Unstuffer),
    /// Behind BDAT, within a transaction.
    Chunk { left: u64, last: bool },
    /// Behind a BDAT that was refused: its octets come all the same.
    Skip { left: u64, reply: Reply },
}

/// The protection of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protection {
    None,
    /// The peer comes by a UNIX socket.
    Socket,
    Tls {
        /// The peer has shown a certificate that we know.
        certificate: bool,
        /// The session has something that a proof can be bound to.
        binding: bool,
    },
}

/// Whether the peer has said who it is, and proved it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LoginState {
    Missing,
    /// It is known otherwise.
    NotNeeded,
    Done,
}

/// A reply that the peer did not wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ahead {
    Nothing,
    /// The reply to the command in hand: more has come than that.
    Commands,
    /// The greeting.
    Greeting,
}

impl<'s> Session<'s> {
    /// A session that is about to greet.
    pub fn new(setup: &'s Setup) -> Self {
        let mut session = Self {
            setup,
            lines: Lines::new(setup.limits.command_line),
            phase: Phase::Command,
            hello: None,
            smtputf8: false,
            protection: Protection::None,
            speaks: Speaks::ForItself,
            login: LoginState::Missing,
            transaction: None,
            mail_refused: false,
            forgotten: false,
            commands: 0,
            bad_commands: 0,
            most_bad_commands: setup.limits.bad_commands,
            abandoned: 0,
            budget: Budget::default(),
            ahead: Ahead::Nothing,
            closing: None,
            messages: 0,
            out: Vec::with_capacity(KEPT_OUTGOING),
        };
        session.say(&setup.dialect.greeting(&setup.host));
        session
    }

    /// The settings in force: those that it was begun with, or entered last.
    pub fn setup(&self) -> &'s Setup {
        self.setup
    }

    /// Goes on with the settings of the channel that the peer's mail comes in by now. What the peer
    /// has used up of any limit stays used up.
    pub fn enter(&mut self, setup: &'s Setup) {
        self.setup = setup;
        self.lines.allow(setup.limits.command_line);
        // More errors are allowed before the peer is waited for, if it may make more.
        self.most_bad_commands = self.most_bad_commands.min(setup.limits.bad_commands);
    }

    /// The peer did not wait for the greeting (RFC 5321 section 4.3.1).
    pub fn came_early(&mut self) {
        self.ahead = Ahead::Greeting;
    }

    /// TLS protects the connection from now on. Nothing holds that was said before (RFC 3207 section
    /// 4.2).
    pub fn secured(&mut self, secured: Option<&Secured>) {
        self.forget();
        self.phase = Phase::Command;
        self.login = LoginState::Missing;
        self.protection = Protection::Tls {
            certificate: secured.is_some_and(|its| its.certificate.is_some()),
            binding: secured.is_some_and(|its| its.binding.is_some()),
        };
        self.hello = None;
        self.mail_refused = false;
    }

    /// Commands in error are answered, as many as the limit says; or else the next one ends the session.
    pub fn allow_errors(&mut self, are_allowed: bool) {
        let most = if are_allowed { self.setup.limits.bad_commands } else { self.bad_commands };
        self.most_bad_commands = most.min(self.setup.limits.bad_commands);
    }

    /// Whether the peer may send mail without AUTH, though the channel insists on it.
    pub fn excuse_from_auth(&mut self, is_excused: bool) {
        self.login = match (self.login, is_excused) {
            (LoginState::Missing, true) => LoginState::NotNeeded,
            (LoginState::NotNeeded, false) => LoginState::Missing,
            (login, _) => login,
        };
    }

    /// The peer comes by a UNIX socket: who it is says the system (AUTH EXTERNAL).
    pub fn is_known_by_the_system(&mut self) {
        self.protection = Protection::Socket;
    }

    /// The peer is not taken: it reads this in place of the greeting, as RFC 5321 section 3.1 has it.
    pub fn turn_away(&mut self, reply: &Reply) -> Reason {
        self.out.clear();
        let code = if reply.is_permanent() { 554 } else { 421 };
        self.say(&Reply { code, ..reply.clone() });
        Reason::TurnedAway
    }

    /// The peer may say XCLIENT.
    pub fn offer_xclient(&mut self) {
        self.speaks = Speaks::ForOthers;
    }

    /// The answer to [`Event::Present`]. The session begins anew, or ends.
    pub fn presented(&mut self, answer: Result<(), Reply>) {
        match answer {
            Ok(()) => {
                self.hello = None;
                // A login, a certificate and what TLS binds are the proxy's, not the client's.
                self.login = LoginState::Missing;
                if let Protection::Tls { certificate, binding } = &mut self.protection {
                    (*certificate, *binding) = (false, false);
                }
                self.say(&self.setup.dialect.greeting(&self.setup.host));
            }
            Err(reply) => {
                self.say(&reply);
                self.closing = Some(Reason::Untrusted);
            }
        }
    }

    /// Takes octets from the front of what the peer sent, and says how many.
    pub fn take<'a>(&mut self, octets: &'a [u8]) -> (usize, Event<'a>) {
        if let Some(reason) = self.closing {
            return (0, Event::Close(reason));
        }
        match &mut self.phase {
            Phase::Command => {
                let (used, line) = self.lines.cut(octets);
                if self.ahead != Ahead::Greeting {
                    let more = used < octets.len();
                    self.ahead = if more { Ahead::Commands } else { Ahead::Nothing };
                }
                (used, line.map_or(Event::Hungry, |line| self.line(line)))
            }
            Phase::Auth => {
                let (used, line) = self.lines.cut(octets);
                let is_ahead = used < octets.len() && self.setup.limits.forbid_pipelining;
                if line.is_some() && is_ahead {
                    // Nothing may come before the answer to a response (RFC 4954 section 4).
                    self.say(&OUT_OF_TURN);
                    self.forget();
                    return (used, Event::Close(Reason::OutOfTurn));
                }
                let said = line.map(|line| match line {
                    Ok(line) => self.auth_response(line),
                    Err(_) => self.auth_response(b"*"),
                });
                (used, said.unwrap_or(Event::Hungry))
            }
            Phase::Data(_) => self.data(octets),
            Phase::Chunk { .. } => self.chunk(octets),
            Phase::Skip { .. } => self.skip(octets),
        }
    }

    /// The answer to [`Event::Sender`].
    pub fn sender(&mut self, answer: Result<(), Reply>) {
        if answer.is_err() {
            self.mail_refused = true;
            self.forget();
        } else {
            self.budget.begin_transaction();
        }
        self.say_or_close(&answer.err().unwrap_or(SENDER_OK));
    }

    /// The answer to [`Event::Recipient`]. Who is refused for good is a command in error, unless the
    /// engine vouches for the peer: guessing at names costs what other errors cost. Returns whether
    /// there were so many that the reply is to wait a moment.
    pub fn recipient(&mut self, answer: Result<(), Reply>, vouched: bool) -> bool {
        let mut is_slowed = false;
        let is_rejected = answer.as_ref().is_err_and(|reply| reply.code >= 500);
        if is_rejected {
            self.budget.reject_recipient();
        }
        if is_rejected && !vouched {
            let limit = self.most_bad_commands;
            self.bad_commands += 1;
            is_slowed = self.bad_commands > limit / 2;
            if self.bad_commands > limit {
                self.abandon(Reason::Abuse);
                self.closing = Some(Reason::Abuse);
                return is_slowed;
            }
        }
        if let (Ok(()), Some(transaction)) = (&answer, &mut self.transaction) {
            transaction.recipients += 1;
            self.commands = self.commands.saturating_sub(1);
        }
        self.say_or_close(&answer.err().unwrap_or(RECIPIENT_OK));
        is_slowed
    }

    /// The answer to [`Event::Open`].
    pub fn opened(&mut self, answer: Result<(), Reply>) {
        match (answer, &self.phase) {
            (Ok(()), Phase::Data(_)) => self.say(&GO_AHEAD),
            (Err(reply), Phase::Data(_)) => {
                self.phase = Phase::Command;
                self.forget();
                self.say(&reply);
            }
            (Ok(()), _) => {}
            (Err(reply), _) => self.refuse(reply),
        }
    }

    /// The content cannot be taken: the rest is swallowed and its end answered so.
    pub fn refuse(&mut self, reply: Reply) {
        if let Some(transaction) = &mut self.transaction {
            transaction.refusal.get_or_insert(reply);
        }
    }

    /// The answer to [`Event::Commit`].
    pub fn committed(&mut self, verdict: Verdict) {
        let success = match &verdict {
            Verdict::Whole(reply) => reply.is_success(),
            Verdict::Each(replies) => replies.iter().any(Reply::is_success),
        };
        self.conclude(verdict);
        if success {
            self.messages += 1;
            self.commands = 0;
            self.bad_commands = 0;
            self.abandoned = 0;
        }
    }

    /// [`Event::Refused`] was noted: its reply may be said, in the words of this verdict.
    pub fn refused(&mut self, reply: &Reply, verdict: Verdict) {
        if self.closing.is_some() {
            self.say(reply);
            self.forget();
        } else {
            self.conclude(verdict);
        }
    }

    /// Replies to be written, in order.
    pub fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// The replies in [`Session::outgoing`] have been written.
    pub fn sent(&mut self) {
        self.out.clear();
        self.out.shrink_to(KEPT_OUTGOING);
    }

    /// Whether a transaction ended since this was last asked, so that the engine is to forget it.
    pub fn forgotten(&mut self) -> bool {
        std::mem::take(&mut self.forgotten)
    }

    /// Whether the peer is to say a command next, and no message has begun to come.
    pub fn at_boundary(&self) -> bool {
        let chunks = self.transaction.as_ref().is_some_and(|t| t.chunked.is_some());
        self.expects_command() && !chunks
    }

    /// Whether the peer is to say a command next, outside of a transaction.
    pub fn is_between_messages(&self) -> bool {
        self.expects_command() && self.transaction.is_none()
    }

    /// Whether a command is to come next, or content.
    pub fn expects_command(&self) -> bool {
        matches!(self.phase, Phase::Command | Phase::Auth)
    }

    /// Says 421 and the reason, and forgets what was going on. The driver closes.
    pub fn abandon(&mut self, reason: Reason) {
        self.forget();
        let (enhanced, text) = match reason {
            Reason::Quit
            | Reason::Lost
            | Reason::OutOfTurn
            | Reason::Foreign
            | Reason::Untrusted
            | Reason::TurnedAway
            | Reason::Handshake => return,
            Reason::Timeout => (Enhanced(4, 4, 2), "took too long, closing"),
            Reason::Abuse => (Enhanced(4, 7, 0), "too many commands or errors, closing"),
            Reason::NoMessage => (Enhanced(4, 7, 0), "too many recipients and no message, closing"),
            Reason::Spent => (Enhanced(4, 7, 0), "enough for one session, closing"),
            Reason::Stopped => (Enhanced(4, 3, 2), "shutting down"),
        };
        let text = format!("{} {text}", self.setup.host);
        self.say(&Reply::with_text(421, enhanced, text));
    }

    /// The last name that the peer gave itself.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Messages handed over.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    fn line<'a>(&mut self, line: Result<&[u8], LineError>) -> Event<'a> {
        self.commands += 1;
        if self.commands > self.setup.limits.commands {
            return self.close(Reason::Abuse);
        }
        if self.abandoned > self.setup.limits.recipients {
            return self.close(Reason::NoMessage);
        }
        let line = match line {
            Ok(line) => line,
            Err(LineError::Bare) => return self.bad(&BARE_IN_COMMAND),
            Err(error @ LineError::TooLong(_)) => {
                return self.bad(&Reply::with_text(500, Enhanced(5, 5, 2), error.to_string()));
            }
        };
        let limits = &self.setup.limits;
        let envelopes =
            if limits.strict_envelopes { Envelopes::Strict } else { Envelopes::Tolerant };
        let smtputf8 = self.transaction.as_ref().is_some_and(|its| its.smtputf8);
        let starred = match limits.beyond_ascii {
            BeyondAscii::Asterisks if !smtputf8 => path::starred(line),
            _ => None,
        };
        let line = starred.as_deref().unwrap_or(line);
        let command = Command::parse(line, self.setup.dialect, envelopes);
        let ahead = std::mem::replace(&mut self.ahead, Ahead::Nothing);
        // TLS does not vouch for what lies behind STARTTLS: anybody may have sent it.
        let forbidden = limits.forbid_pipelining || matches!(command, Ok(Command::StartTls));
        if ahead != Ahead::Nothing && forbidden && self.must_be_last(&command) {
            self.say(&OUT_OF_TURN);
            self.forget();
            return Event::Close(Reason::OutOfTurn);
        }
        match command {
            Ok(command) => self.command(command),
            Err(error @ CommandError::Foreign) => {
                self.say(&error.reply());
                self.forget();
                Event::Close(Reason::Foreign)
            }
            Err(CommandError::Bdat) => {
                // The chunk cannot be told from the commands behind it.
                self.say(&CommandError::Bdat.reply());
                self.forget();
                Event::Close(Reason::Abuse)
            }
            Err(error) => {
                self.mail_refused |=
                    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"MAIL"));
                self.bad(&error.reply())
            }
        }
    }

    fn command<'a>(&mut self, command: Command<'_>) -> Event<'a> {
        let dialect = self.setup.dialect;
        if self.lacks_tls(&command) {
            return self.bad(&TLS_FIRST);
        }
        match (command, dialect) {
            (Command::Ehlo(name), Dialect::Smtp) | (Command::Lhlo(name), Dialect::Lmtp) => {
                self.greet(name, true)
            }
            (Command::Helo(name), Dialect::Smtp) => self.greet(name, false),
            (Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_), _) => {
                self.bad(&dialect.wrong_hello())
            }
            (Command::StartTls, _) => self.start_tls(),
            (Command::Auth(argument), _) => self.auth(argument),
            (Command::Mail(from), _) => self.mail(from),
            (Command::Rcpt(to), _) => self.rcpt(to),
            (Command::Data, _) => self.begin_data(),
            (Command::Bdat { size, last }, _) => self.begin_chunk(size, last),
            (Command::Rset, _) => {
                self.mail_refused = false;
                self.forget();
                if self.budget.is_spent(&self.setup.limits.session) {
                    return self.close(Reason::Spent);
                }
                self.answer(&OK)
            }
            (Command::Noop, _) => self.answer(&OK),
            (Command::XClient(other), _) => self.xclient(other),
            (Command::Vrfy, _) => self.answer(&VRFY),
            (Command::Help, _) => self.answer(&dialect.help()),
            (Command::NotOffered, _) => self.bad(&NOT_OFFERED),
            (Command::Quit, _) => {
                self.forget();
                let text = format!("{} closing", self.setup.host);
                self.say(&Reply::with_text(221, Enhanced(2, 0, 0), text));
                Event::Close(Reason::Quit)
            }
        }
    }

    fn greet<'a>(&mut self, name: &[u8], extended: bool) -> Event<'a> {
        self.forget();
        self.hello = Some(Hello { name: presentable(name), extended });
        let mut reply = if extended {
            let mechanisms = self.mechanisms();
            let tls = if self.is_secured() {
                REQUIRETLS
            } else if self.offers_tls() {
                STARTTLS
            } else {
                ""
            };
            self.setup.dialect.extensions(self.setup, tls, &mechanisms)
        } else {
            Reply::plain(250, self.setup.host.clone())
        };
        if extended && self.speaks == Speaks::ForOthers {
            reply.text.to_mut().insert_str(self.setup.host.len(), XCLIENT);
        }
        self.say(&reply);
        Event::Hello
    }

    fn is_secured(&self) -> bool {
        matches!(self.protection, Protection::Tls { .. })
    }

    fn offers_tls(&self) -> bool {
        let offer = &self.setup.tls;
        offer.server != Insist::No && !self.is_secured() && offer.certificates.is_available()
    }

    /// Whether TLS has to come before this command (RFC 3207 section 4).
    fn lacks_tls(&self, command: &Command<'_>) -> bool {
        let may_come = matches!(
            command,
            Command::Ehlo(_)
                | Command::Helo(_)
                | Command::Lhlo(_)
                | Command::StartTls
                | Command::Noop
                | Command::Quit
                // BDAT is followed by octets that are no command: its answer comes behind them.
                | Command::Bdat { .. }
        );
        self.setup.tls.server == Insist::Must && !self.is_secured() && !may_come
    }

    fn start_tls<'a>(&mut self) -> Event<'a> {
        let offer = &self.setup.tls;
        match &self.hello {
            _ if self.is_secured() => self.bad(&TLS_TWICE),
            _ if offer.server == Insist::No => self.bad(&NOT_OFFERED),
            None => self.bad(&HELLO_FIRST),
            _ if !offer.certificates.is_available() => self.answer(&NO_CERTIFICATE),
            Some(_) => {
                self.say(&GO_SECURE);
                Event::StartTls
            }
        }
    }

    fn xclient<'a>(&mut self, other: Box<XClient>) -> Event<'a> {
        if self.speaks == Speaks::ForItself {
            self.say(&NOT_TRUSTED);
            self.forget();
            return Event::Close(Reason::Untrusted);
        }
        if self.transaction.is_some() || self.mail_refused || self.budget.has_begun() {
            return self.bad(&TOO_LATE);
        }
        Event::Present(other)
    }

    fn mail<'a>(&mut self, from: MailFrom) -> Event<'a> {
        if self.hello.is_none() {
            return self.bad(&HELLO_FIRST);
        }
        if self.transaction.is_some() {
            return self.bad(&NESTED_MAIL);
        }
        if self.lacks_auth() {
            self.mail_refused = true;
            return self.bad(&AUTH_FIRST);
        }
        if from.requires_tls && !self.is_secured() {
            return self.bad(&TLS_FIRST);
        }
        let limits = &self.setup.limits;
        if self.budget.is_spent(&limits.session) {
            return self.close(Reason::Spent);
        }
        let refusal = if self.budget.has_no_transaction(&limits.session) {
            Some(&TOO_MANY_TRANSACTIONS)
        } else {
            from.size.is_some_and(|size| size > limits.message_size).then_some(&TOO_BIG)
        };
        self.mail_refused = refusal.is_some();
        if let Some(reply) = refusal {
            self.say(reply);
            return Event::SenderRefused(from, reply);
        }
        self.smtputf8 = from.smtputf8;
        self.transaction = Some(Transaction::new(&from, self.setup.limits.content));
        Event::Sender(from)
    }

    fn rcpt<'a>(&mut self, to: RcptTo) -> Event<'a> {
        let limits = &self.setup.limits;
        let Some(transaction) = &mut self.transaction else { return self.without_mail() };
        if transaction.chunked.is_some() {
            return self.bad(&IN_CHUNKS);
        }
        if !transaction.smtputf8 && !to.as_given.is_ascii() {
            return self.bad(&CommandError::Recipient(PathError::NotAscii).reply());
        }
        transaction.named += 1;
        self.budget.name_recipient();
        if transaction.recipients >= limits.recipients {
            self.answer(&TOO_MANY_RECIPIENTS)
        } else if self.budget.defers_recipients(&limits.session) {
            self.answer(&DEFERRED)
        } else {
            Event::Recipient(to)
        }
    }

    fn begin_data<'a>(&mut self) -> Event<'a> {
        match &self.transaction {
            None => self.without_mail(),
            Some(Transaction { chunked: Some(_), .. }) => self.bad(&IN_CHUNKS),
            // Not the peer's mistake when it pipelines.
            Some(Transaction { recipients: 0, .. }) => {
                self.answer(&self.setup.dialect.no_recipients())
            }
            Some(transaction) => {
                let named = transaction.named;
                self.phase = Phase::Data(Unstuffer::new(self.setup.limits.content_line));
                if named > self.setup.limits.named_recipients {
                    return Event::ContentRefused(&TOO_MANY_NAMED);
                }
                Event::Open
            }
        }
    }

    fn begin_chunk<'a>(&mut self, left: u64, last: bool) -> Event<'a> {
        let limits = &self.setup.limits;
        let lacks_tls = self.setup.tls.server == Insist::Must && !self.is_secured();
        let reply = match &mut self.transaction {
            None if lacks_tls => TLS_FIRST,
            None => MAIL_FIRST,
            Some(Transaction { recipients: 0, .. }) => self.setup.dialect.no_recipients(),
            Some(transaction) => {
                let first = transaction.chunked.is_none();
                transaction.chunked.get_or_insert_with(|| Text::new(limits.content_line));
                if transaction.received.saturating_add(left) > limits.message_size {
                    transaction.refusal.get_or_insert(TOO_BIG.clone());
                }
                if transaction.named > limits.named_recipients {
                    transaction.refusal.get_or_insert(TOO_MANY_NAMED.clone());
                }
                let open = first && transaction.refusal.is_none();
                self.phase = Phase::Chunk { left, last };
                return if open { Event::Open } else { Event::Answered };
            }
        };
        self.phase = Phase::Skip { left, reply };
        Event::Answered
    }

    fn without_mail<'a>(&mut self) -> Event<'a> {
        if self.mail_refused { self.answer(&MAIL_FIRST) } else { self.bad(&MAIL_FIRST) }
    }

    fn data<'a>(&mut self, octets: &'a [u8]) -> (usize, Event<'a>) {
        let (Phase::Data(unstuffer), Some(transaction)) = (&mut self.phase, &mut self.transaction)
        else {
            return (0, self.close(Reason::Abuse));
        };
        let mut used = 0;
        while used < octets.len() {
            let fed = unstuffer.feed(&octets[used..]);
            used += fed.consumed;
            transaction.receive(fed.content);
            if self.setup.limits.is_private && transaction.exceeds_announced() {
                self.closing = Some(Reason::Abuse);
                return (used, Event::Refused(MORE_THAN_ANNOUNCED, transaction.received));
            }
            let limit = self.setup.limits.message_size;
            transaction.judge(unstuffer.fault(), limit, self.setup.dialect);
            if fed.ended {
                self.phase = Phase::Command;
                return (used, self.complete());
            }
            if transaction.refusal.is_none() && !fed.content.is_empty() {
                return (used, Event::Content(fed.content));
            }
        }
        (used, Event::Hungry)
    }

    fn chunk<'a>(&mut self, octets: &'a [u8]) -> (usize, Event<'a>) {
        let (Phase::Chunk { left, last }, Some(transaction)) =
            (&mut self.phase, &mut self.transaction)
        else {
            return (0, self.close(Reason::Abuse));
        };
        if *left > 0 {
            let used = usize::try_from(*left).map_or(octets.len(), |left| left.min(octets.len()));
            let content = &octets[..used];
            *left -= used as u64;
            transaction.receive(content);
            if self.setup.limits.is_private && transaction.exceeds_announced() {
                self.closing = Some(Reason::Abuse);
                return (used, Event::Refused(MORE_THAN_ANNOUNCED, transaction.received));
            }
            if let Some(text) = &mut transaction.chunked {
                text.scan(content);
                let fault = text.fault();
                transaction.judge(fault, self.setup.limits.message_size, self.setup.dialect);
            }
            return match transaction.refusal {
                None if used > 0 => (used, Event::Content(content)),
                Some(_) if *left == 0 => (used, Event::Answered),
                _ => (used, Event::Hungry),
            };
        }
        if !*last {
            self.phase = Phase::Command;
            return (0, self.end_chunk());
        }
        // Content is lines; the last may come without its CRLF only here.
        if transaction.end_last_line(self.setup.dialect) {
            return (0, Event::Content(b"\r\n"));
        }
        self.phase = Phase::Command;
        (0, self.complete())
    }

    /// The reply to a chunk that was not the last.
    fn end_chunk<'a>(&mut self) -> Event<'a> {
        let Some(transaction) = &self.transaction else { return Event::Answered };
        let reply = transaction.refusal.clone().unwrap_or_else(|| {
            let text = format!("{} octets so far", transaction.received);
            Reply::with_text(250, Enhanced(2, 0, 0), text)
        });
        self.answer(&reply)
    }

    fn skip<'a>(&mut self, octets: &'a [u8]) -> (usize, Event<'a>) {
        let Phase::Skip { left, reply } = &mut self.phase else { return (0, Event::Answered) };
        let used = usize::try_from(*left).map_or(octets.len(), |left| left.min(octets.len()));
        *left -= used as u64;
        if *left > 0 {
            return (used, Event::Hungry);
        }
        let reply = reply.clone();
        self.phase = Phase::Command;
        (used, self.bad(&reply))
    }

    /// All of the content has come.
    fn complete<'a>(&mut self) -> Event<'a> {
        let Some(transaction) = &mut self.transaction else { return Event::Commit };
        match transaction.refusal.take() {
            Some(refusal) => Event::Refused(refusal, transaction.received),
            None => Event::Commit,
        }
    }

    /// The reply or replies to the content.
    fn conclude(&mut self, verdict: Verdict) {
        let recipients = self.transaction.as_ref().map_or(0, |t| t.recipients);
        self.forget();
        match (self.setup.dialect, verdict) {
            (Dialect::Smtp, Verdict::Whole(reply)) => self.say(&reply),
            (Dialect::Smtp, Verdict::Each(replies)) => {
                let failure = replies.iter().find(|reply| !reply.is_success());
                self.say(failure.or(replies.first()).unwrap_or(&NO_RESULT));
            }
            (Dialect::Lmtp, Verdict::Whole(reply)) => {
                (0..recipients).for_each(|_| self.say(&reply));
            }
            (Dialect::Lmtp, Verdict::Each(replies)) => {
                // One for each recipient, whatever came back: the peer counts them.
                let missing = std::iter::repeat(&NO_RESULT);
                replies.iter().chain(missing).take(recipients).for_each(|reply| self.say(reply));
            }
        }
    }

    fn answer<'a>(&mut self, reply: &Reply) -> Event<'a> {
        self.say(reply);
        Event::Answered
    }

    /// Answers a command in error, and ends the session when there were too many.
    fn bad<'a>(&mut self, reply: &Reply) -> Event<'a> {
        self.bad_commands += 1;
        if self.bad_commands > self.most_bad_commands {
            return self.close(Reason::Abuse);
        }
        self.answer(reply)
    }

    fn close<'a>(&mut self, reason: Reason) -> Event<'a> {
        self.abandon(reason);
        Event::Close(reason)
    }

    fn forget(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.forgotten = true;
            self.abandoned = self.abandoned.saturating_add(transaction.recipients);
        }
    }

    /// Whether the peer has to wait for the reply to this before it says more (RFC 2920 section
    /// 3.1; before EHLO, and after HELO, to every reply).
    fn must_be_last(&self, command: &Result<Command<'_>, CommandError>) -> bool {
        let may_pipeline = self.hello.as_ref().is_some_and(|hello| hello.extended);
        match command {
            Ok(Command::Quit) | Err(CommandError::Foreign) => false,
            Ok(
                Command::Ehlo(_)
                | Command::Helo(_)
                | Command::Lhlo(_)
                | Command::StartTls
                | Command::Auth(_)
                | Command::Data
                | Command::XClient(_)
                | Command::Vrfy
                | Command::Noop,
            ) => true,
            _ => !may_pipeline,
        }
    }

    /// Says the engine's reply to a command; 421 ends the session.
    fn say_or_close(&mut self, reply: &Reply) {
        self.say(reply);
        if reply.code == 421 {
            self.closing = Some(Reason::NoMessage);
        }
    }

    fn say(&mut self, reply: &Reply) {
        put_reply(&mut self.out, reply, self.smtputf8);
    }
}

/// The name a peer gives itself, fit for headers and logs.
fn presentable(name: &[u8]) -> String {
    let word = name.split(|c| *c == b' ').next().unwrap_or_default();
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b".-_:[]".contains(c);
    word.iter().take(MAX_HELLO).map(|c| if plain(c) { char::from(*c) } else { '?' }).collect()
}

/// Octets of a name in EHLO that are kept; a domain has no more (RFC 5321 section 4.5.3.1.2).
const MAX_HELLO: usize = 255;
/// A line of the reply to EHLO and LHLO.
const XCLIENT: &str = "\nXCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";
/// Octets of buffer for replies that an idle session keeps.
const KEPT_OUTGOING: usize = 512;

#[cfg(test)]
mod tests;
