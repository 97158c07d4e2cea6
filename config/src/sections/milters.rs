//! Filters that mail is shown to while it comes in.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Named, Table},
        form::Section,
        kinds::{Choice, Formed, PATIENCE, Text},
        names::LABEL,
    },
    grammar::NextHop,
};

section! {
    /// A filter (milter) that sessions of SMTP services show mail to, from the connection to the end of the message,
    /// before the client reads that it was taken. It answers at each step, and may change what it is
    /// shown. Services and channels name it in `milters`; of several, each sees what those before it
    /// have changed. The protocol is that of sendmail, versions 2 to 6.
    pub struct ListedMilter {
        /// The key in the file: `"rspamd"`.
        name: String = String::new();
        /// Where it listens: `"inet:host:port"`, `"inet:[address]:port"` or `"unix:/path"`.
        socket: String = String::new(), SOCKET, example(r#""inet:127.0.0.1:11332""#);
        /// The fate of mail while the filter does not answer, or answers what makes no sense.
        on_error: OnError = OnError::default(), Choice;
        /// How long it may take to accept a connection and to say what it wants. After a failure it is left
        /// alone, from a second to a minute, and mail meets `on_error` at once; then one session tries it.
        connect_time: Duration = Duration::from_secs(30), PATIENCE;
        /// How long it may take to answer a command.
        command_time: Duration = Duration::from_secs(30), PATIENCE;
        /// How long it may take for a part of the content, and to judge all of it. It begins anew when
        /// the filter says that it is at work, a dozen times at most.
        content_time: Duration = Duration::from_secs(300), PATIENCE;
        /// Values of macros that stand in place of ours, by name: `{"{daemon_name}": "ORIGINATING"}`.
        /// Names that no step has are sent with the connection.
        macros: BTreeMap<String, String> = BTreeMap::new(), Table(Text);
    }
}

choice! {
    /// The fate of mail while a filter is of no use.
    pub enum OnError = Tempfail {
        /// It goes on without the filter.
        Accept,
        /// It is refused for now (451).
        Tempfail,
        /// It is refused (550).
        Reject,
    }
}

impl ListedMilter {
    /// Where it listens; `None` only of a file with a mistake.
    pub fn place(&self) -> Option<NextHop> {
        place(&self.socket)
    }
}

/// `{"rspamd": (...)}`.
pub(crate) fn milters() -> Named<ListedMilter, impl Fn(String) -> ListedMilter> {
    let blank = |name| ListedMilter { name, ..ListedMilter::blank() };
    Named::new(blank, |milter| &milter.name)
}

/// Names of filters, in the order in which they are asked.
pub(crate) fn names() -> Few<Formed> {
    Few(List(LABEL), 16)
}

fn place(text: &str) -> Option<NextHop> {
    let place: NextHop = text.parse().ok()?;
    let is_whole = match &place {
        NextHop::Host { port, .. } | NextHop::Ip { port, .. } => port.is_some(),
        NextHop::Unix(_) => true,
    };
    is_whole.then_some(place)
}

const SOCKET: Formed = Formed {
    is: |text| place(text).is_some(),
    expected: "\"inet:host:port\", \"inet:[address]:port\" or \"unix:/path\" is expected, such as \
               \"inet:127.0.0.1:11332\"",
};
