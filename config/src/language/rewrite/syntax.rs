//! Syntax of a rewrite rule's template: its parts, parsed.

use std::fmt;

use super::pattern::PatternKind;
use crate::language::{
    facts::FactTest,
    lookup_url::{AddressPart, LookupUrl},
    template::Case,
};

/// A template, parsed as far as the file tells.
#[derive(Clone, Debug, PartialEq)]
pub enum RewriteTemplate {
    /// Complete as it stands.
    Plain(Rewriting),
    /// Holds `$(key)`: parsed when the general database has said what stands there.
    General(Vec<Chunk>),
}

/// A stretch of a template with `$(key)` in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// Template text, not looked at yet.
    Raw(String),
    /// Replaced by the value of this key.
    Key(Vec<RewritePiece>),
}

/// A template without `$(key)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewriting {
    /// `$1~`: where the template may be cut off, from left to right.
    pub cuts: Vec<Cut>,
    /// All of them must hold; those that ask the directory come last.
    pub conditions: Vec<Condition>,
    /// `$?text`: what to say if the address ends at no channel.
    pub error: Option<ErrorText>,
    /// `$Ttag`: prepended to the patterns of all further hosts of this address.
    pub set_tag: Option<String>,
    /// The new address, and where it goes.
    pub outcome: Outcome,
}

/// `$1~`: the template ends there unless its conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The conditions on channels that stand between it and the cut before it.
    pub conditions: Vec<Condition>,
    /// The template up to there, without conditions of cuts.
    pub before: Rewriting,
}

/// The outcome of a rule for the address.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Outcome {
    /// `$?text` alone: it stays as it is and goes to the channel its host names, if any.
    #[default]
    Unchanged,
    /// `A%B`: the result is rewritten again from the start.
    Restart {
        /// A.
        user: Vec<RewritePiece>,
        /// B.
        host: Vec<RewritePiece>,
    },
    /// `A@B`, `A%B@C`, `A@B@C`, `A@B@C@D`, `A%B@C@D`: the way is found.
    Finish {
        /// A.
        user: Vec<RewritePiece>,
        /// B.
        host: Vec<RewritePiece>,
        /// The source route to insert.
        route: Option<Vec<RewritePiece>>,
        /// The channel's tag; `None`: the host.
        tag: Option<Vec<RewritePiece>>,
    },
}

/// Text and what is substituted into it.
#[derive(Clone, Debug, PartialEq)]
pub enum RewritePiece {
    /// Itself.
    Text(String),
    /// The case of what follows, to the end of the template.
    Case(Case),
    /// `$=`: what is substituted from here on is quoted for a filter of LDAP.
    Quote,
    /// `$W`: a text that comes only once.
    Unique,
    /// `$nA`: one character of the address as it is now, counted from 0.
    Character(u16),
    /// `$U`: what stands left of the host; the untouched rest for a source route.
    User,
    /// `$0U`: the same without subaddress.
    UserName,
    /// `$1U`: the subaddress with its `+`, or nothing.
    Subaddress,
    /// `$D`, `$H`, `$nD`, `$nH`: a part of the host, or its n left-most labels.
    Part(Part, Option<u8>),
    /// `$L`: what a literal has right of the pattern.
    Literal,
    /// `$&n`, `$!n`, `$*n`, `$#n`: one label.
    Label {
        /// Of which part.
        of: Part,
        /// Counted from the right.
        from_right: bool,
        /// Counted from 0.
        n: u8,
    },
    /// `${table,argument}`: the mapping's result, which must be flagged `$Y`.
    Mapping {
        /// The table.
        table: String,
        /// Its input.
        argument: Vec<RewritePiece>,
    },
    /// `$]url[`: what the directory has there.
    Url(Box<LookupUrl<AddressPart>>),
}

/// As in a template; of what changes more than text, the letter alone.
impl fmt::Display for RewritePiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Case(_) | Self::Quote => f.write_str("$"),
            Self::Unique => f.write_str("$W"),
            Self::Character(n) => write!(f, "${n}A"),
            Self::User => f.write_str("$U"),
            Self::UserName => f.write_str("$0U"),
            Self::Subaddress => f.write_str("$1U"),
            Self::Part(part, None) => write!(f, "${}", part.letter()),
            Self::Part(part, Some(n)) => write!(f, "${n}{}", part.letter()),
            Self::Literal => f.write_str("$L"),
            Self::Label { of, from_right, n } => {
                let letter = match (of, from_right) {
                    (Part::Unmatched, false) => '&',
                    (Part::Unmatched, true) => '!',
                    (Part::Matched, false) => '*',
                    (Part::Matched, true) => '#',
                };
                write!(f, "${letter}{n}")
            }
            Self::Mapping { table, .. } => write!(f, "${{{table},}}"),
            Self::Url(url) => write!(f, "$]{}[", url.text),
        }
    }
}

impl Part {
    fn letter(self) -> char {
        match self {
            Self::Matched => 'D',
            Self::Unmatched => 'H',
        }
    }
}

/// A part of the host that matched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// `$D`: matched by explicit text of the pattern, its leading dot included.
    Matched,
    /// `$H`: the rest, or what `*` stood for.
    Unmatched,
}

/// A condition that must hold for a rule to apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `$E`: an envelope address; `$B`: it is not.
    Envelope(bool),
    /// `$F`: a recipient; `$R`: a sender.
    Forward(bool),
    /// `$S $A $P $X`: where the host was found; one of these.
    Found(Vec<Location>),
    /// `$M` and `$1M`: the source channel is one of these.
    Source(ChannelSet),
    /// `$N` and `$1N`: the source channel is none of these.
    NotSource(ChannelSet),
    /// `$Q`: the destination channel is one of these. While a channel is being found there is no
    /// destination, and the condition is ignored.
    Destination(ChannelSet),
    /// `$C`: the destination channel is none of these. Ignored likewise.
    NotDestination(ChannelSet),
    /// `$:(fact=result)` or `$;(fact=result)`.
    Fact(FactTest),
    /// `$V`: the directory says that this domain is ours.
    Local(Vec<RewritePiece>),
    /// `$Z`: the directory says that it is not.
    NotLocal(Vec<RewritePiece>),
}

/// Channels that conditions of one kind in a template name together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChannelSet {
    /// Their names.
    pub names: Vec<String>,
    /// `$1M` or `$1N`: every channel that puts mail through rewriting again, too.
    pub internal: bool,
}

/// Where in an address its host was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Location {
    /// `$S`: in a source route.
    Route,
    /// `$A`: right of the `@`.
    At,
    /// `$P`: right of a `%`.
    Percent,
    /// `$X`: left of a `!`.
    Bang,
}

/// `$?text` and `$x00y00z?text`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorText {
    /// The enhanced code; 5.1.2 when the template has none.
    pub code: (u8, u16, u16),
    /// The text to answer.
    pub text: String,
}

impl Condition {
    /// The channels that it names.
    pub fn channels(&self) -> Option<&ChannelSet> {
        match self {
            Self::Source(set)
            | Self::NotSource(set)
            | Self::Destination(set)
            | Self::NotDestination(set) => Some(set),
            _ => None,
        }
    }

    /// Whether it asks the directory.
    pub fn asks_directory(&self) -> bool {
        matches!(self, Self::Local(_) | Self::NotLocal(_))
    }
}

impl Rewriting {
    /// The template and what may be left of it when it is cut off.
    pub fn ends(&self) -> impl Iterator<Item = &Self> {
        self.cuts.iter().map(|cut| &cut.before).chain([self])
    }

    /// Every condition, those of cuts before those of the whole.
    pub fn all_conditions(&self) -> impl Iterator<Item = &Condition> {
        self.cuts.iter().flat_map(|cut| &cut.conditions).chain(&self.conditions)
    }
}

impl Outcome {
    /// Whether every sender that a pattern of this kind matches stays as it is. The source route is
    /// for recipients.
    pub fn keeps_sender(&self, kind: PatternKind) -> bool {
        let host: &[Part] = match kind {
            PatternKind::Exact => &[Part::Matched],
            PatternKind::Starred | PatternKind::Dotted => &[Part::Unmatched, Part::Matched],
            PatternKind::Literal | PatternKind::AnyLiteral => &[],
            PatternKind::Always
            | PatternKind::AllStars
            | PatternKind::Rest
            | PatternKind::Percent
            | PatternKind::Bang => &[Part::Unmatched],
        };
        match self {
            Self::Unchanged => true,
            Self::Finish { user, host: pieces, .. } => {
                let whole = host.iter().map(|part| RewritePiece::Part(*part, None));
                user[..] == [RewritePiece::User] && pieces.iter().cloned().eq(whole)
            }
            Self::Restart { .. } => false,
        }
    }

    /// The parts that it is made of.
    pub fn parts(&self) -> impl Iterator<Item = &[RewritePiece]> {
        let (user, host, route, tag) = match self {
            Self::Unchanged => (None, None, None, None),
            Self::Restart { user, host } => (Some(user), Some(host), None, None),
            Self::Finish { user, host, route, tag } => {
                (Some(user), Some(host), route.as_ref(), tag.as_ref())
            }
        };
        [user, host, route, tag].into_iter().flatten().map(Vec::as_slice)
    }
}

/// Passes of rewriting over one address. The original warns of loops and names no limit; ours is
/// inferred.
pub const MAX_PASSES: usize = 10;
