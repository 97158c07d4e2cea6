//! Knowledge of a setting beside its value: a row of the table of its section.

/// A setting of the file. Each is written once, in the table of its section (`section!`).
#[derive(Debug)]
pub(crate) struct Setting {
    /// As it stands in the file.
    pub(crate) name: &'static str,
    /// The documentation of the field.
    pub(crate) meaning: &'static str,
    /// A value, of a setting that has no default.
    pub(crate) example: Option<&'static str>,
    /// When something comes of it.
    pub(crate) need: Need,
    /// `relais set` changes it in an engine that runs: to this number, or milliseconds, at least.
    pub(crate) live: Option<u64>,
    /// The things that a number counts.
    pub(crate) unit: &'static str,
    /// The heading above it, where a group of settings begins.
    pub(crate) group: Option<&'static str>,
}

/// When something comes of a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// Always.
    Nothing,
    /// When mail comes into the queue.
    Queue,
    /// Never yet; and what to say about it.
    Behaviour(&'static str),
    /// When its channel is that.
    Role(Role),
}

/// The role of a channel in which a setting does something.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Role {
    /// A service takes mail in by it.
    Source,
    /// An SMTP service does.
    SmtpSource,
    /// An SMTP service does, or addresses of its clients might lead there.
    Switching,
    /// Mail that is rewritten comes in by it.
    Rewriting,
    /// The same, or recipients are routed to it.
    RewritingOrDestination,
    /// An LMTP service does.
    LmtpSource,
    /// Recipients are routed to it.
    Destination,
    /// Mail is routed to the channel, or it is the local one.
    DestinationOrLocal,
    /// Its jobs do something with what is routed to it.
    Served,
    /// Mail is routed to the channel, and the channel connects to hosts.
    Connecting,
    /// Its jobs connect to hosts and deliver there.
    Delivering,
    /// Its jobs deliver by SMTP.
    SmtpDelivering,
    /// A service takes mail in by it, or its jobs deliver.
    SourceOrDelivering,
    /// It is one of program Local.
    Local,
}

/// A row reads `.example("25").live()`: each of these says one more thing about the setting.
impl Setting {
    pub(crate) const fn new(name: &'static str, meaning: &'static str) -> Self {
        let need = Need::Nothing;
        Self { name, meaning, example: None, need, live: None, unit: "", group: None }
    }

    /// The setting must be given, as in this example.
    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// Something comes of it when mail comes into the queue.
    pub(crate) const fn queue(self) -> Self {
        Self { need: Need::Queue, ..self }
    }

    /// Something comes of it when its channel has this role.
    pub(crate) const fn of(self, role: Role) -> Self {
        Self { need: Need::Role(role), ..self }
    }

    /// It is accepted and without effect; `why` is what `relais check` warns of.
    pub(crate) const fn not_yet(self, why: &'static str) -> Self {
        Self { need: Need::Behaviour(why), ..self }
    }

    /// `relais set` changes it, in the range that the file has, too.
    pub(crate) const fn live(self) -> Self {
        self.live_from(0)
    }

    /// The same, from this number or these milliseconds on.
    pub(crate) const fn live_from(self, least: u64) -> Self {
        Self { live: Some(least), ..self }
    }

    /// Names the things that its number counts.
    pub(crate) const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// A group of settings begins with it.
    pub(crate) const fn group(self, group: &'static str) -> Self {
        Self { group: Some(group), ..self }
    }
}
