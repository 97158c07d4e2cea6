//! The fields of a channel as they stand in the file, and `channel_defaults`.

use std::time::Duration;

use crate::{
    file::{
        collections::{Maybe, Series},
        document::Document,
        form::{Fields, Form, Kind, Section, print_section},
        kinds::{Choice, Count, Flag, Formed, PATIENCE, Size, Text, Time},
        names::{CHANNEL, NEXT_HOP, TAG, TRANSPORT},
        reader::{Node, Reader},
    },
    language::kinds::FileInto,
    sections::{
        channel::{Channel, Copies, MAX_ADDRSPERFILE, Mx, PostmasterCopy, Program, Switch},
        tls::{SaslSides, TlsSides},
    },
};

/// What `channel_defaults` gives.
pub(crate) struct Defaults {
    /// A channel that says nothing itself.
    base: Channel,
    /// The fields that need not be repeated.
    given: Vec<&'static str>,
}

/// `channel_defaults`, and the channels they are merged into.
pub(crate) struct Channels {
    defaults: Defaults,
}

impl Defaults {
    pub(crate) fn none() -> Self {
        Self { base: blank(), given: Vec::new() }
    }
}

impl Channels {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self { defaults }
    }
}

/// The section above the channels; it exists in the file only.
impl Section for Defaults {
    fn fields(&mut self, form: &mut impl Form) {
        struct Body;
        impl Kind<Defaults> for Body {
            fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Defaults> {
                let mut defaults = Defaults::none();
                let mut fields = Fields::open(node, reader)?.settled(REQUIRED);
                defaults.base.fields(&mut fields);
                defaults.given = fields.finish();
                Some(defaults)
            }

            fn print(&self, value: &Defaults) -> Document {
                print_section(&value.base)
            }
        }
        form.field("channel_defaults", Body, self);
    }
}

impl Kind<Channel> for Channels {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Channel> {
        let Defaults { base, given } = &self.defaults;
        let mut channel = base.clone();
        // Kept even when it cannot be read: the index of the others must not change.
        let Some(fields) = Fields::open(node, reader) else { return Some(channel) };
        let mut fields = fields.settled(given);
        channel.fields(&mut fields);
        if !fields.finish().contains(&"private") && !given.contains(&"private") {
            channel.private = channel.multigate;
        }
        Some(channel)
    }

    fn print(&self, value: &Channel) -> Document {
        print_section(value)
    }
}

impl Section for Channel {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("name", r#""tcp_local""#, CHANNEL, &mut self.name);
        form.required("tag", r#""tcp_local-daemon""#, TAG, &mut self.tag);
        form.required("program", "Lmtp", Choice(PROGRAMS), &mut self.program);
        self.destination_fields(form);
        self.queue_fields(form);
        self.notice_fields(form);
        self.policy_fields(form);
        self.limit_fields(form);
    }
}

impl Channel {
    /// Where its jobs connect to.
    fn destination_fields(&mut self, form: &mut impl Form) {
        form.field("port", Maybe(Count(1..=65_535)), &mut self.port);
        form.field("daemon", Maybe(NEXT_HOP), &mut self.daemon);
        form.field("multigate", Flag, &mut self.multigate);
        form.field("connectcanonical", Flag, &mut self.connectcanonical);
        form.field("dequeue_removeroute", Flag, &mut self.dequeue_removeroute);
        form.field("private", Flag, &mut self.private);
        form.field("mx", Choice(MX), &mut self.mx);
    }

    /// How its entries are made and tried.
    fn queue_fields(&mut self, form: &mut impl Form) {
        form.field("copies", Choice(COPIES), &mut self.copies);
        form.field("addrsperfile", Count(1..=MAX_ADDRSPERFILE as u64), &mut self.addrsperfile);
        form.field("max_rcpt", Count(1..=1_000_000), &mut self.max_rcpt);
        form.field("maxjobs", Count(1..=10_000), &mut self.maxjobs);
        form.field("threaddepth", Count(1..=1_000_000), &mut self.threaddepth);
        form.field("pool", Text, &mut self.pool);
        let backoff = || Maybe(Series { most: 8, repeats: true });
        form.field("backoff", backoff(), &mut self.backoff);
        form.field("urgentbackoff", backoff(), &mut self.urgentbackoff);
        form.field("normalbackoff", backoff(), &mut self.normalbackoff);
        form.field("nonurgentbackoff", backoff(), &mut self.nonurgentbackoff);
        form.field("mailbox_busy_fast_retry", Flag, &mut self.mailbox_busy_fast_retry);
        form.field("max_client_threads", Count(1..=1_000), &mut self.max_client_threads);
        form.field("filesperjob", Maybe(Count(1..=1_000_000)), &mut self.filesperjob);
        let life = Time(Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600));
        form.field("max_life_time", life, &mut self.max_life_time);
        form.field("max_life_conns", Count(1..=1_000_000_000), &mut self.max_life_conns);
    }

    /// Who hears of what does not arrive, and when.
    fn notice_fields(&mut self, form: &mut impl Form) {
        let ages = || Maybe(Series { most: 5, repeats: false });
        form.field("notices", ages(), &mut self.notices);
        form.field("urgentnotices", ages(), &mut self.urgentnotices);
        form.field("normalnotices", ages(), &mut self.normalnotices);
        form.field("nonurgentnotices", ages(), &mut self.nonurgentnotices);
        form.field("sendpost", Choice(POSTMASTER_COPY), &mut self.sendpost);
        form.field("warnpost", Maybe(Choice(POSTMASTER_COPY)), &mut self.warnpost);
    }

    /// What it does with addresses and peers.
    fn policy_fields(&mut self, form: &mut impl Form) {
        form.field("viaaliasrequired", Flag, &mut self.viaaliasrequired);
        form.field("flagtransfer", Flag, &mut self.flagtransfer);
        form.field("trace", Maybe(Flag), &mut self.trace);
        form.field("defragment", Flag, &mut self.defragment);
        form.field("fileinto", Maybe(FileInto), &mut self.fileinto);
        form.field("tls", TlsSides, &mut self.tls);
        form.field("sasl", SaslSides, &mut self.sasl);
        form.field("submit", Flag, &mut self.submit);
        form.field("switchchannel", Choice(SWITCH), &mut self.switchchannel);
        form.field("saslswitchchannel", Maybe(Text), &mut self.saslswitchchannel);
        form.field("remotehost", Flag, &mut self.remotehost);
        form.field("reverse", Flag, &mut self.reverse);
        form.field("mailbox_transport", Maybe(TRANSPORT), &mut self.mailbox_transport);
        form.field("local_transport", Maybe(TRANSPORT), &mut self.local_transport);
        form.field("fallback_transport", Maybe(TRANSPORT), &mut self.fallback_transport);
        form.field("recipient_delimiter", DELIMITER, &mut self.recipient_delimiter);
    }

    /// What its sessions and jobs may take.
    fn limit_fields(&mut self, form: &mut impl Form) {
        form.field("sourceblocklimit", Size(1 << 10..=1 << 40), &mut self.sourceblocklimit);
        let blocks = || Maybe(Size(0..=1 << 40));
        form.field("urgentblocklimit", blocks(), &mut self.urgentblocklimit);
        form.field("normalblocklimit", blocks(), &mut self.normalblocklimit);
        form.field("nonurgentblocklimit", blocks(), &mut self.nonurgentblocklimit);
        form.field("holdlimit", Maybe(Count(1..=1_000_000)), &mut self.holdlimit);
        form.field("recipientlimit", Count(1..=1_000_000), &mut self.recipientlimit);
        form.field("strict_envelopes", Flag, &mut self.strict_envelopes);
        form.field("forbid_unauth_pipelining", Flag, &mut self.forbid_unauth_pipelining);
        form.field("commandlinelimit", Size(512..=1 << 16), &mut self.commandlinelimit);
        form.field("max_line", Size(1_000..=16 << 20), &mut self.max_line);
        let count = || Count(1..=1_000_000_000);
        form.field("disconnectcommandlimit", count(), &mut self.disconnectcommandlimit);
        form.field("disconnectbadcommandlimit", count(), &mut self.disconnectbadcommandlimit);
        form.field("command_receive_time", PATIENCE, &mut self.command_receive_time);
        form.field("data_receive_time", PATIENCE, &mut self.data_receive_time);
        form.field("connect_time", PATIENCE, &mut self.connect_time);
        form.field("command_transmit_time", PATIENCE, &mut self.command_transmit_time);
        form.field("status_data_receive_time", PATIENCE, &mut self.status_data_receive_time);
        let from_zero = Time(Duration::ZERO..=*PATIENCE.0.end());
        form.field("idle_time", from_zero, &mut self.idle_time);
    }
}

/// No name and no tag, and every default.
fn blank() -> Channel {
    Channel::new("", "", Program::Local)
}

const DELIMITER: Formed = Formed {
    is: |text| {
        text.len() <= 8 && text.bytes().all(|c| c.is_ascii_punctuation() && !b"@\"<>".contains(&c))
    },
    expected: "punctuation is expected, such as \"+\"; \"\" for none",
};

/// What must be given for each channel; as a default it may be given or not.
const REQUIRED: &[&str] = &["name", "tag", "program"];

const PROGRAMS: &[(&str, Program)] = &[
    ("Local", Program::Local),
    ("Smtp", Program::Smtp),
    ("Lmtp", Program::Lmtp),
    ("Process", Program::Process),
    ("Reprocess", Program::Reprocess),
    ("Hold", Program::Hold),
    ("Pipe", Program::Pipe),
    ("Bitbucket", Program::Bitbucket),
];

const COPIES: &[(&str, Copies)] =
    &[("SingleSys", Copies::SingleSys), ("Single", Copies::Single), ("Multiple", Copies::Multiple)];

const POSTMASTER_COPY: &[(&str, PostmasterCopy)] = &[
    ("Never", PostmasterCopy::Never),
    ("Error", PostmasterCopy::Error),
    ("Copy", PostmasterCopy::Copy),
    ("Always", PostmasterCopy::Always),
];

const MX: &[(&str, Mx)] =
    &[("Default", Mx::Default), ("Mx", Mx::Mx), ("NoMx", Mx::NoMx), ("NoDns", Mx::NoDns)];

const SWITCH: &[(&str, Switch)] =
    &[("Allow", Switch::Allow), ("Switch", Switch::Switch), ("No", Switch::No)];
