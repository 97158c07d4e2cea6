//! `delivery_options`: how values of `mailDeliveryOption` become addresses.
//!
//! An option is flags, a name and a template; the directory applies it. Flags and substitutions
//! that are not there yet are refused, never ignored.

use crate::language::template::{Case, Scanner, TemplateError};

/// One entry: `#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon`.
#[derive(Clone, Debug)]
pub struct DeliveryOption {
    /// As in the file.
    pub text: String,
    /// In lower case: the value of `mailDeliveryOption` that it stands for.
    pub name: String,
    /// The characters before the name.
    pub flags: OptionFlags,
    /// The text behind the `=`.
    pub template: OptionTemplate,
}

/// Equal is what is written the same.
impl PartialEq for DeliveryOption {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The characters before the name of an option.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OptionFlags(u8);

/// The way that an option makes of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionTemplate {
    /// `*`: the members of the group.
    Members,
    /// `**`: the forwarding addresses.
    Forward,
    /// One address.
    Address(Vec<OptionPiece>),
}

/// Text and what is substituted into it.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionPiece {
    /// Itself.
    Text(String),
    /// The case of what follows.
    Case(Case),
    /// A value that must be there, or the option yields nothing.
    Value(Value),
    /// `$nI`, `$nS`, `$nO` with n from 1 to 4: may be absent, and then takes with it the template's
    /// characters that stand around it (2: before, 3: behind, 4: both).
    Maybe {
        /// The value to insert.
        value: Value,
        /// Goes with it.
        before: Option<char>,
        /// Goes with it.
        after: Option<char>,
    },
    /// A piece of a value; without it the option yields nothing.
    Part {
        /// The value.
        value: Value,
        /// The piece of it.
        part: ValuePart,
    },
}

/// A piece of a value, by its number from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValuePart {
    /// `$nA`, `$nM`, `$nU`: a character.
    Character(u8),
    /// `$nH`, `$nJ`, `$nX`: a label of a domain, from the left.
    Label(u8),
}

/// A value that can be inserted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value {
    /// `$A`: the address as it came.
    Address,
    /// `$D`: its domain.
    Domain,
    /// `$U`, `$L`: its local part.
    Local,
    /// `$S`: its subaddress, without the `+`.
    Subaddress,
    /// `$O`: its source route.
    Route,
    /// `$I`: the canonical name of its domain, absent for the default domain.
    HostedDomain,
    /// `$M`: `uid`.
    Uid,
    /// `$X`: `mailHost`.
    MailHost,
    /// `$P`: `mailProgramDeliveryInfo`.
    Program,
    /// `$F`: `mailDeliveryFileURL`.
    File,
    /// `$E`, `$G`, `$nE`, `$nG`: the nth of `spare_attributes`, counted from one.
    Spare(u8),
}

impl DeliveryOption {
    /// Parses one entry.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let error = |at, message: String, accepted| TemplateError::new(at, message, accepted);
        let (left, template) = text
            .split_once('=')
            .ok_or_else(|| error(text.len(), "\"=\" is missing".to_owned(), ENTRY))?;
        let end = left.find(|c: char| !FLAGS.contains(c)).unwrap_or(left.len());
        let (flags, name) = left.split_at(end);
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("{name:?} is neither flags nor the name of an option");
            return Err(error(end, message, ENTRY));
        }
        let start = left.len() + 1;
        let template = OptionTemplate::parse(template).map_err(|mut e| {
            e.offset += start;
            e
        })?;
        let flags = OptionFlags::parse(flags);
        if template == OptionTemplate::Members && flags.users() && !flags.groups() {
            let message = "\"*\" expands a group, and this option is for users";
            return Err(error(start, message.to_owned(), "** or an address"));
        }
        Ok(Self { text: text.to_owned(), name: name.to_ascii_lowercase(), flags, template })
    }
}

impl DeliveryOption {
    /// The last spare attribute that its address has, counted from one; 0: none.
    pub fn spare_attributes(&self) -> usize {
        let OptionTemplate::Address(pieces) = &self.template else { return 0 };
        let spare = |piece: &OptionPiece| match piece {
            OptionPiece::Value(Value::Spare(nth)) => usize::from(*nth),
            _ => 0,
        };
        pieces.iter().map(spare).max().unwrap_or(0)
    }

    /// Whether its address goes by way of `mailHost`.
    pub fn names_mail_host(&self) -> bool {
        matches!(&self.template, OptionTemplate::Address(pieces)
            if pieces.iter().any(OptionPiece::is_mail_host))
    }
}

impl OptionPiece {
    /// Whether it is `mailHost`, or a label of that.
    pub fn is_mail_host(&self) -> bool {
        matches!(self, Self::Value(Value::MailHost) | Self::Part { value: Value::MailHost, .. })
    }
}

impl ValuePart {
    /// The piece of this text.
    pub fn of(self, text: &str) -> Option<&str> {
        match self {
            Self::Character(n) => {
                let (at, c) = text.char_indices().nth(n.into())?;
                text.get(at..at + c.len_utf8())
            }
            Self::Label(n) => text.split('.').nth(n.into()).filter(|label| !label.is_empty()),
        }
    }
}

impl OptionFlags {
    fn parse(text: &str) -> Self {
        let bit = |c| FLAGS.find(c).map_or(0, |n| 1 << n);
        Self(text.chars().fold(0, |flags, c| flags | bit(c)))
    }

    fn has(self, flag: char) -> bool {
        FLAGS.find(flag).is_some_and(|n| self.0 & 1 << n != 0)
    }

    /// `*`, or neither `*` nor `&`.
    pub fn users(self) -> bool {
        self.has('*') || !self.has('&')
    }

    /// `&`, or neither `*` nor `&`.
    pub fn groups(self) -> bool {
        self.has('&') || !self.has('*')
    }

    /// `#`: when all options of an entry say so, its mail host does not matter.
    pub fn host_independent(self) -> bool {
        self.has('#')
    }

    /// The characters that were given.
    pub fn characters(self) -> impl Iterator<Item = char> {
        FLAGS.chars().filter(move |c| self.has(*c))
    }

    /// `@`, `$`: applied by the reprocess channel, and not while the client waits.
    pub fn deferred(self) -> bool {
        self.has('@') || self.has('$')
    }

    /// `^`: only between `vacationStartDate` and `vacationEndDate`.
    pub fn vacation(self) -> bool {
        self.has('^')
    }

    /// `/`: held.
    pub fn held(self) -> bool {
        self.has('/')
    }

    /// `!`: answered by the engine itself; the address is only where the rest goes.
    pub fn autoreply(self) -> bool {
        self.has('!')
    }
}

/// `fileinto`: the address of a folder, written like an option's template. `$U` is the user, `$S` the
/// folder, `$D` the domain of the mailbox, `$O` its source route.
#[derive(Clone, Debug)]
pub struct FolderAddress {
    /// As in the file.
    pub text: String,
    /// Its pieces.
    pub pieces: Vec<OptionPiece>,
}

/// Equal is what is written the same.
impl PartialEq for FolderAddress {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FolderAddress {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let pieces = pieces(text)?;
        let value = |piece: &OptionPiece| match piece {
            OptionPiece::Value(value)
            | OptionPiece::Maybe { value, .. }
            | OptionPiece::Part { value, .. } => Some(*value),
            OptionPiece::Text(_) | OptionPiece::Case(_) => None,
        };
        let known = [Value::Address, Value::Domain, Value::Local, Value::Subaddress, Value::Route];
        if pieces.iter().filter_map(value).any(|value| !known.contains(&value)) {
            let message = "a value of the user's entry is not known where mail is filed".to_owned();
            return Err(TemplateError::new(0, message, "$U $S $D $O $A"));
        }
        if !pieces.iter().filter_map(value).any(|value| value == Value::Subaddress) {
            let message = "the folder, \"$S\", does not stand in it".to_owned();
            return Err(TemplateError::new(0, message, "$U+$S@$D and the like"));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }
}

impl OptionTemplate {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        match text {
            "" => Err(TemplateError::new(0, "the template is empty", SEQUENCES)),
            "*" => Ok(Self::Members),
            "**" => Ok(Self::Forward),
            _ => pieces(text).map(Self::Address),
        }
    }
}

fn pieces(text: &str) -> Result<Vec<OptionPiece>, TemplateError> {
    let mut scanner = Scanner::new(text);
    let mut pieces = Vec::new();
    while let Some(c) = scanner.peek() {
        let offset = scanner.offset();
        if c == '$' {
            let piece = dollar(&mut scanner)?;
            place(&mut pieces, piece, &mut scanner);
            continue;
        }
        if c.is_whitespace() || c.is_control() {
            return Err(TemplateError::new(offset, "white space in a template", SEQUENCES));
        }
        scanner.next();
        push(&mut pieces, c);
    }
    Ok(pieces)
}

/// A sequence behind `$`, with its mode.
#[derive(Clone, Copy)]
enum Sequence {
    Text(char),
    Case(Case),
    Value(Value, u32),
    Part(Value, ValuePart),
}

fn dollar(scanner: &mut Scanner<'_>) -> Result<Sequence, TemplateError> {
    let offset = scanner.offset();
    scanner.next();
    let number = scanner.number()?;
    let Some(c) = scanner.next() else {
        return Err(TemplateError::new(offset, "\"$\" at the end", SEQUENCES));
    };
    if let (None, Some(case)) = (number, Case::from_control(c)) {
        return Ok(Sequence::Case(case));
    }
    let letter = c.to_ascii_uppercase();
    if let Some(part) = part(letter, number) {
        return part.map_err(|message| TemplateError::new(offset, message, "0 to 255"));
    }
    if let ('E' | 'G', nth) = (letter, number.unwrap_or(if letter == 'E' { 1 } else { 2 })) {
        let spare = u8::try_from(nth).ok().filter(|nth| *nth > 0);
        let spare = spare.map(|nth| Sequence::Value(Value::Spare(nth), 0));
        let message = || format!("{nth} is not the number of a spare attribute");
        return spare.ok_or_else(|| TemplateError::new(offset, message(), "1 to 255"));
    }
    let value = match (letter, number) {
        ('$', None) => return Ok(Sequence::Text('$')),
        ('I', _) => Value::HostedDomain,
        ('S', _) => Value::Subaddress,
        ('O', _) => Value::Route,
        ('A', None) => Value::Address,
        ('D', None) => Value::Domain,
        ('U' | 'L', None) => Value::Local,
        ('M', None) => Value::Uid,
        ('X', None) => Value::MailHost,
        ('P', None) => Value::Program,
        ('F', None) => Value::File,
        _ => return Err(refuse(offset, c, number)),
    };
    match number.unwrap_or(0) {
        mode @ 0..=4 => Ok(Sequence::Value(value, mode)),
        mode => {
            let message = format!("{mode} is not a mode of \"${c}\"");
            Err(TemplateError::new(offset, message, "0 to 4"))
        }
    }
}

/// A sequence for a piece of a value: `$H` and `$J` stand for one without a number, too.
fn part(letter: char, number: Option<u32>) -> Option<Result<Sequence, String>> {
    let (value, of): (_, fn(u8) -> ValuePart) = match (letter, number) {
        ('A', Some(_)) => (Value::Address, ValuePart::Character),
        ('M', Some(_)) => (Value::Uid, ValuePart::Character),
        ('U', Some(_)) => (Value::Local, ValuePart::Character),
        ('X', Some(_)) => (Value::MailHost, ValuePart::Label),
        ('H', _) => (Value::Domain, ValuePart::Label),
        ('J', _) => (Value::HostedDomain, ValuePart::Label),
        _ => return None,
    };
    let number = number.unwrap_or(0);
    let part = u8::try_from(number).map(|number| Sequence::Part(value, of(number)));
    Some(part.map_err(|_| format!("{number} is too large a number for \"${letter}\"")))
}

fn place(pieces: &mut Vec<OptionPiece>, item: Sequence, scanner: &mut Scanner<'_>) {
    match item {
        Sequence::Text(c) => push(pieces, c),
        Sequence::Case(case) => pieces.push(OptionPiece::Case(case)),
        Sequence::Part(value, part) => pieces.push(OptionPiece::Part { value, part }),
        Sequence::Value(value, 0) => pieces.push(OptionPiece::Value(value)),
        Sequence::Value(value, mode) => {
            let before = if matches!(mode, 2 | 4) { last_character(pieces) } else { None };
            let after = match scanner.peek() {
                Some(c) if c != '$' && matches!(mode, 3 | 4) => scanner.next(),
                _ => None,
            };
            pieces.push(OptionPiece::Maybe { value, before, after });
        }
    }
}

/// Takes the character before this place out of the template; changes of case have none.
fn last_character(pieces: &mut Vec<OptionPiece>) -> Option<char> {
    let last = pieces.iter().rposition(|piece| !matches!(piece, OptionPiece::Case(_)))?;
    let Some(OptionPiece::Text(text)) = pieces.get_mut(last) else { return None };
    let c = text.pop();
    if text.is_empty() {
        pieces.remove(last);
    }
    c
}

fn push(pieces: &mut Vec<OptionPiece>, c: char) {
    match pieces.last_mut() {
        Some(OptionPiece::Text(text)) => text.push(c),
        _ => pieces.push(OptionPiece::Text(c.into())),
    }
}

fn refuse(offset: usize, c: char, number: Option<u32>) -> TemplateError {
    let number = number.map(|n| n.to_string()).unwrap_or_default();
    let sequence = format!("${number}{c}");
    let known = "~|BCKNQRV".contains(c.to_ascii_uppercase());
    let what = if known { "is not supported here yet" } else { "means nothing here" };
    TemplateError::new(offset, format!("{sequence:?} {what}"), SEQUENCES)
}

const FLAGS: &str = "*&#@$^/!";
const ENTRY: &str = "flags (* & # @ $ ^ / !), a name, \"=\" and a template";
const SEQUENCES: &str = "*, **, or text with $A $D $U $L $M $X $P $F, $E $G, $I $S $O with a mode of 0 to \
                         4 before the letter, a number before $A $M $U (a character) or $H $J $X (a label), \
                         $\\ $^ $_ and $$";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> DeliveryOption {
        DeliveryOption::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn every_option_of_the_samples() {
        // text, name, users, groups, host independent
        let rows = [
            (r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon", "mailbox", true, false, true),
            ("#&members=*", "members", false, true, true),
            ("#&@members_offline=*", "members_offline", false, true, true),
            ("#/hold=@hold-daemon:$A", "hold", true, true, true),
            ("#program=$M%$P@pipe-daemon", "program", true, true, true),
            ("#forward=**", "forward", true, true, true),
            ("#*^!autoreply=$M+$D@bitbucket", "autoreply", true, false, true),
            ("*Native=$M@native-daemon", "native", true, false, false),
            ("&file=+$F@native-daemon", "file", false, true, false),
        ];
        for (text, name, users, groups, independent) in rows {
            let option = parse(text);
            let flags = option.flags;
            assert_eq!(option.name, name);
            assert_eq!((flags.users(), flags.groups()), (users, groups), "{text}");
            assert_eq!(flags.host_independent(), independent, "{text}");
        }
        for (text, deferred) in [("#&@a=*", true), ("&$a=*", true), ("#&a=*", false)] {
            assert_eq!(parse(text).flags.deferred(), deferred, "{text}");
        }
        assert!(parse("#/hold=@hold-daemon:$A").flags.held());
        assert!(parse("#*^!a=$M@b").flags.vacation() && parse("#*^!a=$M@b").flags.autoreply());
    }

    #[test]
    fn modes_take_the_characters_around_them() {
        let maybe = |value, before, after| OptionPiece::Maybe { value, before, after };
        let text = |text: &str| OptionPiece::Text(text.to_owned());
        let option = parse(r"*a=$M%$\$2I$_+$2S@d");
        let want = vec![
            OptionPiece::Value(Value::Uid),
            OptionPiece::Case(Case::Lower),
            maybe(Value::HostedDomain, Some('%'), None),
            OptionPiece::Case(Case::AsIs),
            maybe(Value::Subaddress, Some('+'), None),
            text("@d"),
        ];
        assert_eq!(option.template, OptionTemplate::Address(want));
        let option = parse("*a=@$4O:$1S.$3I-x$0S");
        let want = vec![
            maybe(Value::Route, Some('@'), Some(':')),
            maybe(Value::Subaddress, None, None),
            text("."),
            maybe(Value::HostedDomain, None, Some('-')),
            text("x"),
            OptionPiece::Value(Value::Subaddress),
        ];
        assert_eq!(option.template, OptionTemplate::Address(want));
    }

    #[test]
    fn a_number_picks_a_piece_of_a_value() {
        use ValuePart::{Character, Label};
        let rows = [
            ("$0M", Value::Uid, Character(0)),
            ("$3a", Value::Address, Character(3)),
            ("$255U", Value::Local, Character(255)),
            ("$H", Value::Domain, Label(0)),
            ("$1H", Value::Domain, Label(1)),
            ("$J", Value::HostedDomain, Label(0)),
            ("$2J", Value::HostedDomain, Label(2)),
            ("$0X", Value::MailHost, Label(0)),
        ];
        for (text, value, part) in rows {
            let option = parse(&format!("x={text}@d"));
            let want = vec![OptionPiece::Part { value, part }, OptionPiece::Text("@d".to_owned())];
            assert_eq!(option.template, OptionTemplate::Address(want), "{text}");
            assert_eq!(option.names_mail_host(), value == Value::MailHost, "{text}");
        }
        let rows = [
            (Character(0), "jdoe", Some("j")),
            (Character(3), "jdoe", Some("e")),
            (Character(4), "jdoe", None),
            (Character(1), "j\u{f6}rg", Some("\u{f6}")),
            (Label(0), "store1.siroe.com", Some("store1")),
            (Label(2), "store1.siroe.com", Some("com")),
            (Label(3), "store1.siroe.com", None),
            (Label(0), "", None),
        ];
        for (part, text, want) in rows {
            assert_eq!(part.of(text), want, "{part:?} of {text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let rows = [
            ("", 0),
            ("mailbox", 7),
            ("=x", 0),
            ("a b=x", 0),
            ("*x=", 3),
            ("*x=*", 3),
            ("x=$", 2),
            ("x=a$W", 3),
            ("x=a$256M", 3),
            ("x=a$5I", 3),
            ("x=a$1P", 3),
            ("x=a$1D", 3),
            ("x=a$0G", 3),
            ("x=a$256E", 3),
            ("x=a b", 3),
        ];
        for (text, offset) in rows {
            let error = DeliveryOption::parse(text).map(|_| ()).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[*&#@$^/!]{0,3}[a-z]{0,3}=?[$0-9MISOXAé@:%+\\\\_]{0,30}") {
            let _ = DeliveryOption::parse(&text);
        }
    }
}
