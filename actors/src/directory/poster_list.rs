//! Conditions of a list in an alias file about who may post to it: lists of addresses and of logins,
//! channels, mapping tables. Whoever asks them also knows who posts.

use std::collections::HashSet;

use relais_channels::mail::Address;
use relais_config::grammar::{folded, table_key};

use super::{filter::is_like, member_url::MemberSearch};

/// All of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PostingConditions {
    /// Each of these has to hold.
    pub all_of: Vec<PostingCondition>,
    /// One of these has to hold, if there are any.
    pub one_of: Vec<PostingCondition>,
    /// None of these may hold.
    pub none_of: Vec<PostingCondition>,
    /// An author who fits one of these is a moderator.
    pub moderators: Vec<PostingCondition>,
    /// Posts of an author who fits one of these are held.
    pub held: Vec<PostingCondition>,
    /// Posts of an author who does not fit one of these are held, if there are any.
    pub not_held: Vec<PostingCondition>,
}

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostingCondition {
    /// The name of its parameter.
    pub name: &'static str,
    /// The thing to compare with.
    pub test: PostingTest,
}

/// The thing that a condition compares with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PostingTest {
    /// The sender of the envelope, or another address of the same user.
    Author(PosterList),
    /// The user who has logged in.
    Login(PosterList),
    /// The channel that the mail comes in by.
    Channel(PosterList),
    /// The mapping table of this name, which says `$Y` to the sender of the envelope.
    Mapping(String),
    /// The same of the user who has logged in.
    LoginMapping(String),
}

/// Names, in lower case: addresses, logins, channels.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PosterList {
    names: HashSet<Box<str>>,
    /// Names with asterisks, in pieces.
    patterns: Vec<Vec<Box<str>>>,
    /// Searches that find addresses.
    pub searches: Vec<MemberSearch>,
}

impl PostingConditions {
    /// The mapping tables that are asked.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let Self { all_of, one_of, none_of, moderators, held, not_held } = self;
        let all = [all_of, one_of, none_of, moderators, held, not_held].into_iter().flatten();
        all.filter_map(|condition| match &condition.test {
            PostingTest::Mapping(table) | PostingTest::LoginMapping(table) => Some(table.as_str()),
            _ => None,
        })
    }

    /// Whether it matters who posts.
    pub fn ask_for_names(&self) -> bool {
        let asks = |all: &[PostingCondition]| {
            all.iter().any(|its| matches!(its.test, PostingTest::Author(_)))
        };
        [&self.all_of, &self.one_of, &self.none_of].into_iter().any(|all| asks(all))
    }
}

impl PosterList {
    /// Adds an address, in the one spelling that it has.
    pub fn add_address(&mut self, address: &Address) {
        self.names.insert(spelled(address).into());
    }

    /// Adds a name as it is; asterisks in it stand for anything.
    pub fn add_name(&mut self, name: &str) {
        let name = table_key(name);
        if name.contains('*') {
            self.patterns.push(name.split('*').map(Into::into).collect());
        } else {
            self.names.insert(name.into());
        }
    }

    /// Whether a name is among these, in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| is_like(name, pattern))
    }

    /// Patterns, each of which costs a comparison.
    pub fn patterns(&self) -> usize {
        self.patterns.len()
    }
}

/// The one spelling of a mailbox: whom a list bars could come in quotes or with a final dot.
pub(crate) fn spelled(address: &Address) -> String {
    let normal = address.normal();
    let route = address.in_one_form().len() - address.mailbox().len();
    folded(&normal[route..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_one_spelling() {
        let mut list = PosterList::default();
        list.add_address(&Address::parse("\"Ann\"@X.example.").unwrap());
        list.add_address(&Address::parse("@a.example:\"JO\u{308}RG\"@Grüße.example.").unwrap());
        list.add_name("*@Y.example");
        list.add_name("*@Ü.example");
        list.add_name("tcp_*");
        let rows = [
            ("ann@x.example", true),
            ("\"ann\"@x.example", false),
            ("bob@x.example", false),
            ("jörg@xn--gre-6ka8l.example", true),
            ("bob@xn--tda.example", true),
            ("bob@y.example", true),
            ("bob@a.y.example", false),
            ("tcp_local", true),
            ("tcp", false),
            ("*@x.example", false),
            ("", false),
        ];
        for (name, want) in rows {
            assert_eq!(list.has(name), want, "{name}");
        }
        assert_eq!(list.patterns(), 3);
    }
}
