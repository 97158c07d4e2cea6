//! Meters of automatic replies, by their result.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Automatic replies by result. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AutoreplyMeter([Counter; AutoreplyResult::ALL.len()]);

/// The result for one message and one user; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AutoreplyResult {
    /// A reply is in the queue.
    Sent,
    /// The sender has had one a while ago.
    Recently,
    /// The user has answered as many as one may within an hour.
    Limited,
    /// The message has no sender, or one that nobody answers.
    Sender,
    /// It comes from the user itself.
    Own,
    /// A program sent it.
    Automatic,
    /// It came by a list.
    List,
    /// No address of the user is in its header.
    NotAddressed,
    /// The user is not away any more.
    NotAway,
    /// The user has no text for this sender.
    NoText,
    /// No rule leads to the sender.
    NoWay,
    /// It could not be written for now, and is tried again.
    PutOff,
    /// It could not be written for a day.
    GivenUp,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AutoreplyLabels {
    result: &'static str,
}

impl AutoreplyResult {
    /// Every result.
    pub const ALL: [Self; 13] = [
        Self::Sent,
        Self::Recently,
        Self::Limited,
        Self::Sender,
        Self::Own,
        Self::Automatic,
        Self::List,
        Self::NotAddressed,
        Self::NotAway,
        Self::NoText,
        Self::NoWay,
        Self::PutOff,
        Self::GivenUp,
    ];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Recently => "recently",
            Self::Limited => "limited",
            Self::Sender => "sender",
            Self::Own => "own",
            Self::Automatic => "automatic",
            Self::List => "list",
            Self::NotAddressed => "not_addressed",
            Self::NotAway => "not_away",
            Self::NoText => "no_text",
            Self::NoWay => "no_way",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
        }
    }

    /// In words, for the log and the history of a message.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Sent => "an automatic reply is sent",
            Self::Recently => "no automatic reply: this sender has had one",
            Self::Limited => "no automatic reply: the user has answered enough within an hour",
            Self::Sender => "no automatic reply: the message has no sender, or a program's",
            Self::Own => "no automatic reply: the user sent it",
            Self::Automatic => "no automatic reply: a program sent it",
            Self::List => "no automatic reply: it came by a list, an alias or a forward",
            Self::NotAddressed => "no automatic reply: no address of the user is in To or Cc",
            Self::NotAway => "no automatic reply: the user is not away any more",
            Self::NoText => "no automatic reply: the user has no text for this sender",
            Self::NoWay => "no automatic reply: no rule leads to the sender",
            Self::PutOff => "no automatic reply yet",
            Self::GivenUp => "no automatic reply: it could not be written for a day",
        }
    }
}

impl AutoreplyMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<AutoreplyLabels, Counter>::default();
        let help = "Automatic replies by result: sent, or why none was; the log names each";
        registry.register("autoreplies", help, family.clone());
        let counter = |result: AutoreplyResult| {
            family.get_or_create_owned(&AutoreplyLabels { result: result.name() })
        };
        Self(AutoreplyResult::ALL.map(counter))
    }

    /// Counts one.
    pub fn count(&self, result: AutoreplyResult) {
        self.0[result as usize].inc();
    }
}
