//! Events of mail, told to others: a file, and webhooks.

use std::{marker::PhantomData, path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Maybe},
        document::Document,
        form::{Kind, Section, print_section, read_into},
        kinds::{Choice, Count, Formed, Path, Size, Text, Time},
        notation::Notation,
        pieces,
        reader::{Node, Reader},
    },
    grammar::WebUrl,
};

section! {
    /// Events of mail, told to others as JSON objects: a line of a file each, or posted to webhooks in
    /// batches. Never in the way of mail: what cannot be taken away is counted and lost.
    pub struct Events {
        /// The file, or its path alone: `"events.jsonl"`. Without it none is written.
        file: Option<EventFile> = None, Maybe(OrText::new(EventFile::at));
        /// Webhooks: a URL, a section, or a list of these, 8 at most.
        webhook: Vec<Webhook> = Vec::new(), OneOrMore(Few(List(OrText::new(Webhook::at)), 8));
        /// A collector of OpenTelemetry, or its URL alone: each message as a trace.
        traces: Option<Collector> = None, Maybe(OrText::new(Collector::at));
    }
}

section! {
    /// A file with a JSON object in each line. One that somebody else renames (logrotate) is made anew within a
    /// second.
    pub struct EventFile {
        /// The file.
        path: PathBuf = PathBuf::new(), Path, example(r#""events.jsonl""#);
        /// The kinds of events that are written.
        kinds: Vec<EventKind> = EventKind::USUAL.to_vec(), KINDS;
        /// Octets: the event that would make it larger begins a new file, and this one is renamed, by
        /// `.1` behind its name.
        size: u64 = 64 << 20, Size(64 << 10..=1 << 40);
        /// Older ones that are kept: `.1` is the newest of them.
        keep: usize = 9, Count(0..=99), unit("files");
    }
}

section! {
    /// A server that events are posted to, in order, each at least once: batches wait on disk until it says 2xx.
    pub struct Webhook {
        /// Where to: `"https://hooks.example.org/mail"`. Redirects are not followed.
        url: String = String::new(), URL, example(r#""https://hooks.example.org/mail""#);
        /// In metrics, the log and `relais status`, and the folder of what waits. Without it, the host.
        name: Option<String> = None, Maybe(NAME);
        /// The kinds of events that are posted.
        kinds: Vec<EventKind> = EventKind::USUAL.to_vec(), KINDS;
        /// Events of a post at most; it has 1 MiB at most, too.
        batch: usize = 500, Count(1..=10_000), unit("events");
        /// How long a post waits for more events.
        wait: Duration = Duration::from_secs(1),
            Time(Duration::from_millis(10)..=Duration::from_secs(60));
        /// How long a post may take, the look-up of the host and its answer included.
        timeout: Duration = Duration::from_secs(15),
            Time(Duration::from_millis(100)..=Duration::from_secs(600));
        /// A file with a word of at most 4096 visible ASCII characters: sent as `Authorization: Bearer`. It
        /// is read for each post.
        token_file: Option<PathBuf> = None, Maybe(Path);
        /// A file with the secret that signs posts, as Standard Webhooks 1.0.0 has it: 24 to 64 octets in
        /// Base64, `whsec_` in front or not (`openssl rand -base64 32` makes one). Of several lines, 4 at
        /// most, each makes a signature, while secrets change. It is read for each post.
        secret_file: Option<PathBuf> = None, Maybe(Path);
        /// PEM certificates of the authorities that its certificate is judged by. Without it, those that
        /// the system trusts.
        ca: Option<PathBuf> = None, Maybe(Path);
        /// Octets of the disk, below `DATA/events`, for what it has not taken yet: the oldest go first.
        size: u64 = 256 << 20, Size(1 << 20..=1 << 40);
        /// Events that are older are not posted any more.
        give_up: Duration = Duration::from_secs(3 * 86_400),
            Time(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400));
    }
}

section! {
    /// A collector of OpenTelemetry that messages are posted to as traces, as JSON (OTLP over HTTP): a span for the
    /// acceptance, one for each attempt, with one for each stage of its connection, and for what else happens.
    /// Addresses of mail are left out, but replies stand there whole. Spans wait on disk until it says 2xx.
    pub struct Collector {
        /// Where to: `"http://127.0.0.1:4318/v1/traces"`. Redirects are not followed.
        url: String = String::new(), URL, example(r#""http://127.0.0.1:4318/v1/traces""#);
        /// Events of a post at most; it is made of 1 MiB of events at most, too.
        batch: usize = 500, Count(1..=10_000), unit("events");
        /// How long a post waits for more events.
        wait: Duration = Duration::from_secs(1),
            Time(Duration::from_millis(10)..=Duration::from_secs(60));
        /// How long a post may take, the look-up of the host and its answer included.
        timeout: Duration = Duration::from_secs(15),
            Time(Duration::from_millis(100)..=Duration::from_secs(600));
        /// A file with a word of at most 4096 visible ASCII characters: sent as `Authorization: Bearer`. It
        /// is read for each post.
        token_file: Option<PathBuf> = None, Maybe(Path);
        /// PEM certificates of the authorities that its certificate is judged by. Without it, those that
        /// the system trusts.
        ca: Option<PathBuf> = None, Maybe(Path);
        /// Octets of the disk, below `DATA/events`, for what it has not taken yet: the oldest go first.
        size: u64 = 64 << 20, Size(1 << 20..=1 << 40);
        /// Events that are older are not posted any more.
        give_up: Duration = Duration::from_secs(3_600),
            Time(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400));
    }
}

choice! {
    /// A kind of event.
    pub enum EventKind {
        /// The next hop took it, or it is in a mailbox.
        Delivered,
        /// An attempt came to nothing for now.
        Deferred,
        /// It was refused for good, has expired, or was returned by an operator.
        Failed,
        /// It waits until somebody releases it.
        Held,
        /// TLS with a server or a client came to nothing, or is not as it must be.
        TlsFailure,
        /// It is in the queue.
        Accepted,
        /// A client was told that it is not taken.
        Refused,
        /// Held mail is delivered after all.
        Released,
        /// An operator removed it.
        Deleted,
        /// Its sender was told that it is late.
        Warned,
        /// It was taken and thrown away, as a filter said.
        Discarded,
        /// It went through the router once more.
        Rerouted,
        /// Its sender was sent a notice.
        Notified,
    }
}

impl EventKind {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 13] = [
        Self::Delivered,
        Self::Deferred,
        Self::Failed,
        Self::Held,
        Self::TlsFailure,
        Self::Accepted,
        Self::Refused,
        Self::Released,
        Self::Deleted,
        Self::Warned,
        Self::Discarded,
        Self::Rerouted,
        Self::Notified,
    ];

    /// The kinds that are told where nobody says which.
    pub const USUAL: [Self; 5] =
        [Self::Delivered, Self::Deferred, Self::Failed, Self::Held, Self::TlsFailure];

    /// As events have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::TlsFailure => "tls_failure",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Released => "released",
            Self::Deleted => "deleted",
            Self::Warned => "warned",
            Self::Discarded => "discarded",
            Self::Rerouted => "rerouted",
            Self::Notified => "notified",
        }
    }
}

impl EventFile {
    fn at(path: &str) -> Self {
        Self { path: path.into(), ..Self::blank() }
    }
}

impl Collector {
    fn at(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::blank() }
    }

    /// Where to; `None` only of a file with a mistake.
    pub fn place(&self) -> Option<WebUrl> {
        self.url.parse().ok()
    }
}

/// The name of the collector in metrics, in the log and `relais status`, and the folder of what waits for it.
pub const TRACES: &str = "traces";

impl Webhook {
    fn at(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::blank() }
    }

    /// Where to; `None` only of a file with a mistake.
    pub fn place(&self) -> Option<WebUrl> {
        self.url.parse().ok()
    }

    /// Its name: that which it is given, or its host.
    pub fn label(&self) -> String {
        let host = || self.place().map_or_else(|| "webhook".to_owned(), |place| place.host);
        // An address has colons, which no name of a folder needs.
        self.name.clone().unwrap_or_else(|| host().replace(':', "-"))
    }
}

/// A section, or the text that says enough of it.
struct OrText<S> {
    of: fn(&str) -> S,
    section: PhantomData<S>,
}

impl<S> OrText<S> {
    fn new(of: fn(&str) -> S) -> Self {
        Self { of, section: PhantomData }
    }
}

impl<S: Section + Clone> Kind<S> for OrText<S> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<S> {
        if node.text.starts_with('(') {
            let mut section = S::blank();
            read_into(node, reader, &mut section)?;
            return Some(section);
        }
        // The text is judged as the field would be.
        let text = Text.read(node, reader)?;
        let mut judged = First { text: node, reader, is_done: false, is_good: true };
        let mut section = (self.of)(&text);
        section.fields(&mut judged);
        judged.is_good.then_some(section)
    }

    fn print(&self, value: &S) -> Document {
        print_section(value)
    }

    fn notation(&self) -> Notation {
        let section = Notation::section::<S>();
        Notation {
            one: "text, or section".to_owned(),
            many: "texts or sections".to_owned(),
            ..section
        }
    }
}

/// The form that reads a text as the first field of a section.
struct First<'r, 'a> {
    text: &'r Node<'a>,
    reader: &'r mut Reader<'a>,
    is_done: bool,
    is_good: bool,
}

impl crate::file::form::Form for First<'_, '_> {
    fn field<T>(
        &mut self,
        _: &'static crate::file::setting::Setting,
        kind: impl Kind<T>,
        slot: &mut T,
    ) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        match kind.read(self.text, self.reader) {
            Some(value) => *slot = value,
            None => self.is_good = false,
        }
    }

    fn read_only(&mut self, _: &mut impl Section) {}
}

/// A list, or its only element without brackets.
struct OneOrMore<K>(Few<K>);

impl<T, K: Kind<T>> Kind<Vec<T>> for OneOrMore<K> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<T>> {
        if node.text.starts_with('[') || pieces::option(node.text).is_none() {
            return self.0.read(node, reader);
        }
        let Few(List(element), _) = &self.0;
        element.read(node, reader).map(|only| vec![only])
    }

    fn print(&self, value: &Vec<T>) -> Document {
        self.0.print(value)
    }

    fn notation(&self) -> Notation {
        let notation = self.0.notation();
        Notation { one: format!("text, section, or {}", notation.one), ..notation }
    }
}

const KINDS: Few<Choice> = Few(List(Choice), EventKind::ALL.len());
const URL: Formed = Formed {
    is: |text| text.parse::<WebUrl>().is_ok(),
    expected: "a URL is expected: \"https://host/path\" or \"http://host/path\", without user, password and \"#\"",
};
const NAME: Formed = Formed {
    is: |text| {
        let is_inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        (1..=64).contains(&text.len()) && text.bytes().all(is_inner) && !text.starts_with('.')
    },
    expected: "1 to 64 of letters, digits, '.', '_' and '-' are expected, such as \"billing\"",
};
