//! From a listed command and a message to arguments and environment.
//!
//! Addresses come from strangers. A value stays within its argument, and an argument that a value
//! begins is never taken for an option.

use relais_config::{
    ListedProgram,
    argument::{Argument, ArgumentPiece, ArgumentValue},
};

use crate::mail::{Address, MessageId};

/// One recipient of a message, as a program is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Piped<'a> {
    /// The user's `uid`, or the name of the alias.
    pub user: &'a str,
    /// The text behind the delimiter; empty when there is none.
    pub subaddress: &'a str,
    /// The address that led to the program.
    pub address: &'a str,
    /// The address that the sender wrote.
    pub original: &'a str,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: &'a str,
    /// The queue id.
    pub id: MessageId,
    /// When the message came, as a line `From ` has it: `Sun Nov 29 20:54:45 2026`.
    pub date: &'a str,
}

/// A command, filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// Behind the name of the program.
    pub arguments: Vec<String>,
    /// Beside those of the account: names and values.
    pub environment: Vec<(&'static str, String)>,
    /// Lines before the content, without their ends.
    pub head: Vec<String>,
}

/// Why no program is run for a recipient.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// A control character, too long, or a path.
    #[error("the {0} of this message is not fit for a program")]
    Value(&'static str),
    /// It could be taken for an option.
    #[error("an argument of the program would begin with a hyphen")]
    Option,
}

impl Invocation {
    /// Fills a command in.
    pub fn of(program: &ListedProgram, piped: &Piped<'_>) -> Result<Self, Unfit> {
        let values = Values::of(piped)?;
        let mut arguments = Vec::with_capacity(program.command.len());
        let mut options = true;
        for argument in program.command.iter().skip(1) {
            let filled = values.fill(argument);
            let is_value = matches!(argument.pieces.first(), Some(ArgumentPiece::Value(_)));
            if is_value && options && filled.starts_with('-') {
                return Err(Unfit::Option);
            }
            options &= argument.text != "--";
            arguments.push(filled);
        }
        Ok(Self { arguments, environment: values.environment(piped), head: head(program, piped) })
    }
}

/// The values of the names in arguments.
struct Values {
    user: String,
    subaddress: String,
    domain: String,
    address: String,
    sender: String,
    id: String,
}

impl Values {
    fn of(piped: &Piped<'_>) -> Result<Self, Unfit> {
        let domain = Address::parse(piped.address).ok();
        let domain = domain.as_ref().and_then(Address::domain).unwrap_or_default();
        for (name, value) in [
            ("user", piped.user),
            ("subaddress", piped.subaddress),
            ("address", piped.address),
            ("original address", piped.original),
            ("sender", piped.sender),
        ] {
            if value.len() > LONGEST || value.chars().any(char::is_control) {
                return Err(Unfit::Value(name));
            }
        }
        let is_path = |text: &str| text.contains('/') || text.starts_with('.');
        for (name, value) in [("user", piped.user), ("domain", domain)] {
            if is_path(value) {
                return Err(Unfit::Value(name));
            }
        }
        // As Postfix has it: a folder that cannot be had is no reason to lose the message.
        let subaddress = if is_path(piped.subaddress) { "" } else { piped.subaddress };
        let sender = if piped.sender.is_empty() { NULL_SENDER } else { piped.sender };
        Ok(Self {
            user: piped.user.to_owned(),
            subaddress: subaddress.to_owned(),
            domain: domain.to_owned(),
            address: piped.address.to_owned(),
            sender: sender.to_owned(),
            id: piped.id.to_string(),
        })
    }

    fn fill(&self, argument: &Argument) -> String {
        let piece = |piece: &ArgumentPiece| match piece {
            ArgumentPiece::Text(text) => text.clone(),
            ArgumentPiece::Value(value) => self.value(*value).to_owned(),
        };
        argument.pieces.iter().map(piece).collect()
    }

    fn value(&self, value: ArgumentValue) -> &str {
        match value {
            ArgumentValue::User => &self.user,
            ArgumentValue::Subaddress => &self.subaddress,
            ArgumentValue::Domain => &self.domain,
            ArgumentValue::Address => &self.address,
            ArgumentValue::Sender => &self.sender,
            ArgumentValue::Id => &self.id,
        }
    }

    /// As local(8) of Postfix has it. A program may give its environment to a shell, so that
    /// whatever is not in Postfix's `command_expansion_filter` comes as `_`.
    fn environment(&self, piped: &Piped<'_>) -> Vec<(&'static str, String)> {
        [
            ("LOCAL", &*self.user),
            ("EXTENSION", &self.subaddress),
            ("DOMAIN", &self.domain),
            ("RECIPIENT", &self.address),
            ("ORIGINAL_RECIPIENT", piped.original),
            ("SENDER", piped.sender),
            ("QUEUE_ID", &self.id),
        ]
        .map(|(name, value)| (name, value.chars().map(harmless).collect()))
        .to_vec()
    }
}

fn head(program: &ListedProgram, piped: &Piped<'_>) -> Vec<String> {
    let Piped { sender, address, date, .. } = piped;
    let mut lines = Vec::new();
    if program.from_line {
        let sender = if sender.is_empty() { NULL_SENDER } else { sender };
        lines.push(format!("From {}  {date}", sender.replace(' ', "-")));
    }
    if program.return_path {
        lines.push(format!("Return-Path: <{sender}>"));
    }
    if program.delivered_to {
        lines.push(format!("Delivered-To: {address}"));
    }
    lines
}

fn harmless(c: char) -> char {
    if c.is_ascii_alphanumeric() || "!@%-_=+:,./".contains(c) { c } else { '_' }
}

/// Octets of a value: no address that is taken is longer.
const LONGEST: usize = 512;
/// As in Postfix.
const NULL_SENDER: &str = "MAILER-DAEMON";
