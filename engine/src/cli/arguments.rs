//! Arguments that may be typed. The texts here are the manual: `relais --help`, `relais queue list
//! --help`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use relais_actors::{
    metrics::QueueState,
    standing::{OrderRate, StandingKind},
    timestamp::Timestamp,
};
use relais_config::{
    facts::SPF_RESULTS,
    grammar::{is_nameable, is_unprintable},
    units::{self, UnitError},
};

use crate::{
    admin::RouteQuestion,
    api::{AddressPattern, MAX_REASON, NamePattern, QueueFilter},
};

/// A mail routing engine: SMTP and LMTP in and out, rewrite rules and directory, a durable queue,
/// mailboxes.
///
/// Without a command it runs the engine. Without --config it reads ./relais.ron, else /etc/relais/relais.ron, else the default that is built in.
#[derive(Debug, Parser)]
#[command(name = "relais", version, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Spool, index, mailboxes and admin socket lie here; stands above `data` in the file
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) data: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// `relais send`.
#[derive(Args, Debug)]
pub(super) struct Send {
    /// The server: a host and its port, `[ADDRESS]:PORT`, `unix:/PATH`
    #[arg(long, value_name = "SERVER")]
    pub(super) server: Option<String>,
    /// The sender of the envelope; <>: the null sender. Else the user who sends
    #[arg(short = 'f', long = "from", value_name = "ADDRESS")]
    pub(super) sender: Option<String>,
    /// The sender's name, where the message has no From
    #[arg(short = 'F', long = "name", value_name = "NAME", value_parser = seen)]
    pub(super) name: Option<String>,
    /// A recipient; may be given several times. Without one those of To, Cc and Bcc get it
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Vec<String>,
    /// Addresses of To, Cc and Bcc get it, beside those of --to
    #[arg(short = 't')]
    pub(super) header: bool,
    /// A line with a dot alone does not end the message; it never does
    #[arg(short = 'i')]
    pub(super) ignore_dots: bool,
    /// The message; without it, standard input
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the engine until SIGTERM, SIGINT or `relais stop`
    ///
    /// Sockets that the service manager lends (systemd's `LISTEN_FDS`) are taken by the services that are to listen there.
    Run {
        /// Take the place of the engine that runs on this data directory: it gives its sockets and ends, and no connection is refused meanwhile. Where none runs, just start
        #[arg(long)]
        take_over: bool,
    },
    /// Tell every mistake in the configuration file, with line and column, and whatever on this machine keeps the engine from starting
    ///
    /// Makes nothing, listens nowhere and connects to no engine's services: an engine may be running. Check as the user whom the engine runs as.
    Check {
        /// A list of {file, line, column, field, message, severity}; severity `error`: the engine does not start with it
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in force, all defaults filled in, as RON: of the engine when one runs, else of the file
    #[command(after_help = CONFIG_HELP)]
    Config(Print),
    /// Show step by step how an address is routed: by the running engine, else by the configuration
    #[command(after_help = ROUTE_HELP)]
    Route(Route),
    /// Show step by step what a mapping table makes of an input: the running engine's table, else the configuration's
    #[command(after_help = MAPPING_HELP)]
    Mapping(Mapping),
    /// Try what would be answered, without a client
    #[command(subcommand)]
    Test(TestCommand),
    /// Check Sieve scripts, and try one on a message; no engine need run
    ///
    /// Limits, and the sign between user and detail, are those of the configuration where there is one that can be used, else the default ones.
    #[command(subcommand)]
    Sieve(SieveCommand),
    /// Write a configuration of relais from one of another mail system, with each line of it in a comment
    ///
    /// Nothing of the source is run or changed. Every setting without a counterpart is named at the end of the
    /// new file and on standard error, with what it means for mail. Exit status 1: the new file has a
    /// mistake, or --verify finds a difference.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Show services and workers, pools and jobs, channels, queue
    Status {
        /// Each worker instead: its state, sessions, and since when it is there
        #[arg(long, conflicts_with = "json")]
        workers: bool,
        /// Every row, also where they are more than the screen has lines
        #[arg(long)]
        all: bool,
        /// One object, each worker included
        #[arg(long)]
        json: bool,
    },
    /// Follow the engine on the terminal: what flows, what waits, hosts in trouble, what limits it; ? names the keys
    ///
    /// From a host Enter leads to its messages, to one of them, to why it waits. Without a terminal, or with --once, one snapshot is printed.
    Top {
        /// Print one snapshot
        #[arg(long)]
        once: bool,
        /// One object, once: {at, ready, cpu, flow, queue, channels, pools, services, hosts, limiting, waits, directory, certificates, orders, ...}
        #[arg(long)]
        json: bool,
    },
    /// Print the metrics of the running engine as Prometheus scrapes them; or a dashboard, or alert rules, made of all metrics that there are
    Metrics {
        /// A dashboard for Grafana instead, as the JSON model that it imports: an overview, and a panel for each metric; no engine need run
        #[arg(long, conflicts_with = "alerts")]
        dashboard: bool,
        /// Alert rules for Prometheus instead, as the rule file that it reads; no engine need run
        #[arg(long)]
        alerts: bool,
    },
    /// Say what limits the engine now, at which rate mail leaves, until when, and which command helps; with ID why that message does not move
    Why {
        /// A message: the same as `relais queue why ID`
        id: Option<String>,
        /// Without ID one object: {at, waits, limiting: [{what, words, subject, key, value, used, messages, rate, since, until, `would_help`}]}
        #[arg(long)]
        json: bool,
    },
    /// Show what is in the queue, and say what is to become of it
    #[command(subcommand)]
    Queue(Queue),
    /// List channels; stop one, so that nothing leaves by it, and start it again
    #[command(subcommand)]
    Channel(Channel),
    /// List hosts that get nothing for a while; suspend one, and let it go on
    #[command(subcommand)]
    Host(Host),
    /// Orders that stand: for what waits and for what comes, over restarts, with an end
    #[command(subcommand)]
    Order(OrderCommand),
    /// Show the limits of the running engine, or change one
    #[command(after_help = SET_HELP)]
    Set(Set),
    /// Look after the files that messages are kept in
    #[command(subcommand)]
    Spool(Spool),
    /// Look after the store's mailboxes: of the running engine, else of the files
    #[command(subcommand)]
    Mailbox(MailboxCommand),
    /// Show the orders that operators gave: who, when, what, why, and what came of each
    #[command(after_help = AUDIT_HELP)]
    Audit(AuditShown),
    /// Show what became of a message: accepted, each attempt, where it went, what the next server calls it
    ///
    /// Of the running engine, which asks the stores that `history.stores` names, too; else of the files. Exit status 1: nothing is known.
    #[command(after_help = TRACE_HELP)]
    Trace(Trace),
    /// Show what each channel has done so far, restarts included
    Counters {
        /// {channel: {event: {messages, recipients, bytes}}}
        #[arg(long)]
        json: bool,
    },
    /// Show the certificates that clients are shown: files, names, days left; of the running engine, else of the files
    ///
    /// Exit status 1: one has expired.
    Cert {
        /// A list of {file, `key_file`, names, issuer, serial, key, chain, `not_before`, `not_after`, `days_left`, remarks}
        #[arg(long)]
        json: bool,
    },
    /// Show which TLS the servers of a domain are owed and why, and connect to each of them; no engine need run
    ///
    /// What DNS, DNSSEC and MTA-STS say of it, the operator's entry, and how far each server keeps to it. No
    /// mail is sent. Exit status 1: none of them would get any.
    Tls(TlsQuestion),
    /// Have the running engine read its file again, and put it in force as a whole; a bad file changes nothing
    ///
    /// Sessions and jobs that run finish with the settings that they began with. SIGHUP does the same.
    Reload {
        /// Route mail of channels that are not in the file any more again; without this such a file is refused
        #[arg(long)]
        reroute: bool,
        /// Say what would change; change nothing
        #[arg(long)]
        dry_run: bool,
        /// One object: {file, refused, changed, later, warnings, rerouted}
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        why: Because,
    },
    /// Explain a command, or show a topic of the handbook: `relais help ten-problems`
    Help {
        /// A command, or a topic; without, all of them are listed
        words: Vec<String>,
    },
    /// Hand a message to the running engine, as local programs do: a header, a blank line, a body
    ///
    /// Lines may end as they like; Date, From and Message-ID are made where they are not there, Bcc is
    /// taken away. The server is the engine of the configuration where that can be read, else
    /// 127.0.0.1:25, without TLS. Nothing is kept here: when the server does not take the message, it is not sent.
    /// Called as `sendmail`, the program takes sendmail's arguments and has its exit status.
    Send(Send),
    /// Print what completes commands in a shell: `relais completions bash >/etc/bash_completion.d/relais`
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write a manual page for the program and each of its commands
    Man {
        /// Into this folder
        folder: PathBuf,
    },
    /// Let the running engine finish what it does, and end; or stop one part of it
    ///
    /// Clients and next hops may delay its end by at most `max_shutdown`.
    #[command(after_help = PART_HELP)]
    Stop {
        /// Only this part: dispatcher (all services), `job_controller` (all that leaves), or a service
        #[arg(conflicts_with = "wait")]
        part: Option<String>,
        /// Return when it has ended
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        why: Because,
    },
    /// Start a part that was stopped
    #[command(after_help = PART_HELP)]
    Start {
        /// dispatcher (all services), `job_controller` (all that leaves), or a service; without it, the first two
        part: Option<String>,
        #[command(flatten)]
        why: Because,
    },
    /// Restart a part: what is new goes to new workers or jobs, what runs finishes; no connection is refused
    #[command(after_help = PART_HELP)]
    Restart {
        /// dispatcher (all services), `job_controller` (all that leaves), a service, or SERVICE/N for one of its workers; without it, the first two
        part: Option<String>,
        #[command(flatten)]
        why: Because,
    },
}

/// Of `relais audit`.
#[derive(Args, Debug)]
pub(super) struct AuditShown {
    /// Given this long ago at most (2h, 7d), or since a time (2026-08-30T23:45:00Z)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// By this operator: a user's name or number, an address, or the user before `sudo`
    #[arg(long, value_name = "WHO")]
    pub(super) by: Option<String>,
    /// Orders at most, the newest; else 1000
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// One object a line: {order, at, who, command, what, reason, end: {at, result, touched, recipients, text}}
    #[arg(long)]
    pub(super) json: bool,
}

/// Why an order is given that has no other place for it.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Because {
    /// Why: for `relais audit`
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Sun Java System Messaging Server: imta.cnf, dispatcher.cnf, `job_controller.cnf`, mappings, option.dat, aliases, msg.conf
    Sun(ImportSource),
    /// Postfix: main.cf, master.cf, and the tables that they name, as texts
    Postfix(ImportSource),
}

#[derive(Args, Debug)]
pub(super) struct ImportSource {
    /// The folder with its files
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Write the new file here; without it, to standard output. A file that is there already is not touched
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Also route the addresses of this file, one a line, under the old configuration and the new, and print those that go another way; -: standard input
    #[arg(long, value_name = "ADDRESSES")]
    pub(super) verify: Option<PathBuf>,
    /// The fate of each setting on standard output, a line each: {file, line, setting, fate, meaning}
    #[arg(long, requires = "output")]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Trace {
    /// A queue id, an address, a `Message-ID`, or the id that another server gave it
    #[arg(required_unless_present = "forget", conflicts_with = "forget")]
    pub(super) name: Option<String>,
    /// Not what happened earlier: a time, or how long ago: `2026-11-30T08:00:00Z`, `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// Not what happened later
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<Timestamp>,
    /// Messages, the newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(super) limit: u64,
    /// Do not ask the stores
    #[arg(long)]
    pub(super) alone: bool,
    /// Forget this address instead: records of which it is the sender or the only recipient, or that name it, are gone from the disk
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["since", "until", "alone"])]
    pub(super) forget: Option<String>,
    /// One object: {messages: [{id, from, size, client, `message_id`, queued, events: [{at, action, recipients, reply, peer, `peer_id`, mailbox}], stores}], more, lost, damaged, unasked}; with --forget {records, shortened}
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Print {
    /// One value, or a part: `spool.min_free`, `max_messages`, `tcp_local.maxjobs`, `tcp_local`, `dispatcher.services.SMTP.ports`
    #[arg(conflicts_with = "default")]
    pub(super) key: Option<String>,
    /// Only what differs from the defaults
    #[arg(long, conflicts_with_all = ["default", "key"])]
    pub(super) changed: bool,
    /// The one that is built in, with its comments
    #[arg(long)]
    pub(super) default: bool,
    /// Every setting of the file: what it means, what fits, its default, whether `relais set` changes it, and whether it is in force yet; as Markdown. With KEY, the settings of that name
    #[arg(long, conflicts_with_all = ["default", "changed", "json"])]
    pub(super) reference: bool,
    #[arg(long, conflicts_with = "default", help = CONFIG_JSON)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Route {
    /// The recipient, without angle brackets; of several there is a line each
    #[arg(value_name = "ADDRESS")]
    pub(super) addresses: Vec<String>,
    /// Also every address in this file, one a line (`# ` begins a comment); -: standard input
    #[arg(long, value_name = "LIST")]
    pub(super) file: Option<PathBuf>,
    /// The sender; <>: the null sender, as without this; with --message else that of its Return-Path, Sender or From
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// The channel the message comes in by
    #[arg(long, value_name = "CHANNEL")]
    pub(super) channel: Option<String>,
    /// The address of the client: what the access tables say of it counts; else it is a stranger
    #[arg(long, value_name = "IP")]
    pub(super) client: Option<IpAddr>,
    #[command(flatten)]
    pub(super) facts: SpfAsked,
    /// The address stands in a header line, not in the envelope
    #[arg(long)]
    pub(super) header: bool,
    /// Also show what the Sieve scripts on its way would decide about this message, and where the copies go that they redirect; -: standard input
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    pub(super) message: Option<PathBuf>,
    /// Also ask name servers, as the configuration file says: the servers in the order in which they would be tried, and those that would not be
    #[arg(long, conflicts_with = "compare")]
    pub(super) dns: bool,
    /// Route by this configuration, too, and print only addresses that it routes in another way
    #[arg(long, value_name = "NEW.ron")]
    pub(super) compare: Option<PathBuf>,
    /// Compare the recipients of all that waits in the queue
    #[arg(long, requires = "compare")]
    pub(super) queue: bool,
    /// Compare the recipients of the last day, as `admin.recent` has them written down
    #[arg(long, requires = "compare")]
    pub(super) recent: bool,
    /// Ask the configuration and the files that it names, even if an engine runs
    #[arg(long)]
    pub(super) offline: bool,
    #[arg(long, help = ROUTE_JSON)]
    pub(super) json: bool,
}

/// Results of SPF, as if name servers had been asked.
#[derive(Args, Clone, Debug)]
pub(super) struct SpfAsked {
    /// SPF of the sender has this result
    #[arg(long, value_name = "RESULT", value_parser = SPF_RESULTS)]
    pub(super) spf: Option<String>,
    /// SPF of the name in HELO has this result
    #[arg(long, value_name = "RESULT", value_parser = SPF_RESULTS)]
    pub(super) spf_helo: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TestCommand {
    /// Show what the front door answers a client, and which entry of which table says so
    #[command(after_help = ACCESS_HELP)]
    Access(TestAccess),
    /// Rewrite an address: every pattern, each rule that was tried, why it did not apply; then channel and address
    #[command(after_help = REWRITE_HELP)]
    Rewrite(TestRewrite),
    /// The same as `relais mapping`
    #[command(after_help = MAPPING_HELP)]
    Mapping(Mapping),
    /// Show whom a name or an address of ours stands for, one level deep
    #[command(after_help = ALIAS_HELP, mut_arg("input", |its| its.help(ALIAS_INPUT)))]
    Alias(TestStage),
    /// Show each delivery option of the entry of an address: active or why not, and where it leads
    #[command(after_help = OPTION_HELP)]
    Option(TestStage),
    /// Look an address or a URL up in the directory: each search, its outcome, its time
    #[command(after_help = LDAP_HELP, mut_arg("input", |its| its.help(LDAP_INPUT)))]
    Ldap(TestStage),
}

#[derive(Debug, Subcommand)]
pub(super) enum SieveCommand {
    /// Tell every mistake in scripts, with line and column
    ///
    /// Exit status 1: there is one.
    Check {
        /// The scripts; -: standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// A list of {file, line, column, field, message, severity}, as `relais check` has it
        #[arg(long)]
        json: bool,
    },
    /// Show each step of a script for a message, each action, and what would become of the message
    #[command(after_help = SIEVE_TEST_HELP)]
    Test(SieveTest),
}

#[derive(Args, Debug)]
pub(super) struct SieveTest {
    /// The script; -: standard input
    pub(super) file: PathBuf,
    /// The message, header and body; -: standard input
    pub(super) message: PathBuf,
    /// The sender of the envelope; <>: the null sender. Else that of Return-Path, Sender or From
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// The recipient of the envelope, whose script it is. Else the first of Envelope-To, Delivered-To or To
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Option<String>,
    /// Scripts that run before it, in this order
    #[arg(long, value_name = "FILE")]
    pub(super) before: Vec<PathBuf>,
    /// Scripts that run behind it, in this order
    #[arg(long, value_name = "FILE")]
    pub(super) after: Vec<PathBuf>,
    #[arg(long, help = SIEVE_TEST_JSON)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct TestRewrite {
    #[command(flatten)]
    pub(super) test: TestStage,
    /// The address stands in a header line, not in the envelope
    #[arg(long)]
    pub(super) header: bool,
    /// It is a sender's, not a recipient's
    #[arg(long)]
    pub(super) sender: bool,
}

#[derive(Args, Debug)]
pub(super) struct TestStage {
    #[arg(value_name = "ADDRESS", help = STAGE_INPUT)]
    pub(super) input: String,
    /// The channel the message comes in by
    #[arg(long, value_name = "CHANNEL")]
    pub(super) channel: Option<String>,
    /// Ask the configuration and the files that it names, even if an engine runs
    #[arg(long)]
    pub(super) offline: bool,
    /// One object: {stage, input, passed, steps: [{step, detail}], facts: [{name, value}], asked}
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct TestAccess {
    /// The address of the client
    #[arg(value_name = "IP")]
    pub(super) client: IpAddr,
    /// The service that it connects to; else the one that strangers bring mail by
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// The sender of its MAIL; <>: the null sender
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// The recipient of its RCPT
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Option<String>,
    /// The name that it gives itself in EHLO
    #[arg(long, value_name = "NAME")]
    pub(super) hello: Option<String>,
    /// It has said STARTTLS
    #[arg(long)]
    pub(super) tls: bool,
    /// It has logged in as this user
    #[arg(long, value_name = "ADDRESS")]
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) facts: SpfAsked,
    /// Ask the configuration, even if an engine runs
    #[arg(long)]
    pub(super) offline: bool,
    #[arg(long, help = ACCESS_JSON)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Mapping {
    /// The table, in any case
    pub(super) table: String,
    /// The input
    #[arg(allow_hyphen_values = true)]
    pub(super) input: String,
    /// Flags that are set before the first entry, as whoever probes the table sets them: AT
    #[arg(long)]
    pub(super) flags: Option<String>,
    #[command(flatten)]
    pub(super) facts: SpfAsked,
    /// Ask the configuration, even if an engine runs
    #[arg(long)]
    pub(super) offline: bool,
    /// One object: {table, input, matched, flags, text, entry, steps: [{step, depth, detail}], asked}
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List entries: the recipients of one message that leave together
    #[command(
        after_help = "Example: relais queue list --state delayed --older-than 1h --host store1.example"
    )]
    List(List),
    /// Show one message with all its recipients
    Show {
        /// Its queue id, as in the log and in `queue list`
        id: String,
        /// Its content, header and body; on a terminal with control characters made harmless, else octet by octet
        #[arg(long, conflicts_with = "json")]
        content: bool,
        /// The first lines of it only
        #[arg(long, value_name = "N", requires = "content", value_parser = clap::value_parser!(u64).range(1..))]
        head: Option<u64>,
        /// One object
        #[arg(long)]
        json: bool,
    },
    /// Say in a few sentences why a message is where it is
    Why {
        /// Its queue id
        id: String,
        /// A list of {channel, host, `waits_for`, limit, since, order, text}
        #[arg(long)]
        json: bool,
    },
    /// Show everything that happened to a message so far
    History {
        /// Its queue id
        id: String,
        /// A list of {at, channel, host, state, due, attempts, replies, reason}
        #[arg(long)]
        json: bool,
    },
    /// Keep entries until they are released
    Hold(Order),
    /// Deliver what was held, before all else
    ///
    /// Of an entry that a job has in hand, and that is to be held, returned or deleted as soon as it is back, the order is withdrawn.
    Release(Order),
    /// Try entries now, whenever they are due
    Retry(Order),
    /// Return entries to their senders, with a notice
    Return(Order),
    /// Remove entries without a word to anybody
    Delete(Order),
    /// Run entries through the router again, as things are now: a new mail host, a new rule
    ///
    /// Recipients that would go another way do; the others stay where they are, and so do those that cannot be routed. So does what a job has in hand. What is held goes the new way, too, and stays held there.
    Reroute(Order),
    /// Show what waits, by channel and by host
    Summary {
        /// {channels: [...], hosts: [...]}
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MailboxCommand {
    /// List mailboxes, as they lie on the disk: domain by domain
    ///
    /// Exit status 1: a partition is away, and its mailboxes are missing.
    List {
        /// Only of this domain
        #[arg(long, value_name = "NAME")]
        domain: Option<String>,
        /// Mailboxes at most
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        how: MailboxHow,
    },
    /// Make a mailbox
    Create {
        #[command(flatten)]
        which: OneMailbox,
    },
    /// Show the limits of a mailbox, who says so, and how full it is
    #[command(after_help = MAILBOX_QUOTA_HELP)]
    Quota {
        #[command(flatten)]
        which: OneMailbox,
    },
    /// Count mailboxes anew, and tell what is wrong with them; exit status 1: something is
    #[command(after_help = MAILBOX_CHECK_HELP)]
    Check {
        /// Addresses, or users of the default domain
        #[arg(value_name = "MAILBOX", required_unless_present = "all", conflicts_with = "all")]
        mailboxes: Vec<String>,
        /// Every mailbox
        #[arg(long)]
        all: bool,
        /// Mend what is wrong
        #[arg(long)]
        repair: bool,
        #[command(flatten)]
        how: MailboxHow,
    },
    /// Give a mailbox another name, with everything in it; the directory is yours to change
    ///
    /// Mail for the two is put off meanwhile, and for nobody else. Into another domain, too; it stays in its partition.
    Rename {
        #[command(flatten)]
        which: OneMailbox,
        /// The new name, which has no mailbox yet
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Delete a mailbox with all of its mail
    Delete {
        #[command(flatten)]
        which: OneMailbox,
        /// Do not ask for its name
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct OneMailbox {
    /// An address, or a user of the default domain
    #[arg(value_name = "MAILBOX")]
    pub(super) mailbox: String,
    #[command(flatten)]
    pub(super) how: MailboxHow,
}

#[derive(Args, Debug)]
pub(super) struct MailboxHow {
    /// Do it on the files, under the lock of the store: no engine may run there
    #[arg(long)]
    pub(super) offline: bool,
    #[arg(long, help = MAILBOX_JSON)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) why: Because,
}

#[derive(Debug, Subcommand)]
pub(super) enum Channel {
    /// List channels with their jobs and what waits in them
    List {
        /// As in `relais status --json`
        #[arg(long)]
        json: bool,
    },
    /// Let nothing leave by a channel any more, restarts included; mail for it is still taken, and so is what comes in by it
    Stop {
        /// Its name
        name: String,
        #[command(flatten)]
        why: Because,
    },
    /// Let mail leave by a channel again
    Start {
        /// Its name
        name: String,
        #[command(flatten)]
        why: Because,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Host {
    /// List hosts that get nothing, or less, by an operator's order or a reply of theirs
    List {
        /// A list of {host, channel, by, rate, since, until, reason}
        #[arg(long)]
        json: bool,
    },
    /// Let mail for a host wait for a time, restarts included
    ///
    /// It is taken and kept, its senders are warned and told by its age as always. What its connections have in hand they finish. `relais queue retry` does not end it.
    Suspend {
        /// The host as `relais queue summary` names it; `.example.net`: all below example.net
        #[arg(value_name = "HOST")]
        host: String,
        /// Only mail that leaves by this channel
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<String>,
        /// For how long: 1m to 30d
        #[arg(long = "for", value_name = "TIME", value_parser = age)]
        time: Duration,
        /// Why: for the log, the status and whoever asks why mail waits
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// One object: {host, channel, until, `was_suspended`}
        #[arg(long)]
        json: bool,
    },
    /// Let mail for a host go again, and forget what its replies led to
    Resume {
        /// The host of the order, or as `relais host list` names it
        #[arg(value_name = "HOST")]
        host: String,
        /// The channel of the order
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<String>,
        /// One object: {host, channel, `was_suspended`}
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        why: Because,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// Put an order in force
    #[command(after_help = ADD_ORDER_HELP)]
    Add(Box<AddOrder>),
    /// List the orders that stand, and hosts that `relais host suspend` has mail wait for
    List {
        /// {orders: [{id, kind, from, to, host, channel, target, rate, release, since, until, reason, by, messages, recipients, ending}], hosts}
        #[arg(long)]
        json: bool,
    },
    /// Show one order
    Show {
        /// Its number
        id: u64,
        /// One object, as in the list
        #[arg(long)]
        json: bool,
    },
    /// End an order: what it put off goes on; what it has held stays held without --release
    Remove {
        /// Its number
        id: u64,
        /// Release what it has held
        #[arg(long)]
        release: bool,
        /// One object, as in the list
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        why: Because,
    },
}

/// Which mail, what is to become of it, until when, and why.
#[derive(Args, Debug)]
pub(super) struct AddOrder {
    /// hold: held; suspend: waits, and its senders are told by its age; return: refused at the door, else returned; reroute: goes elsewhere; slow: goes at a rate
    #[arg(value_parser = standing_kind, value_name = "hold|suspend|return|reroute|slow")]
    pub(super) kind: StandingKind,
    /// From this sender; @DOMAIN: from all of a domain; ~TEXT: from those that hold the text; '<>': the null sender
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<AddressPattern>,
    /// With this recipient, as with --from; the other recipients of its entry come with it
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Option<AddressPattern>,
    /// Going to this host; .DOMAIN: to all below it; ~TEXT: to those whose name holds the text
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<NamePattern>,
    /// Leaving by this channel; ~TEXT: by those whose name holds the text
    #[arg(long, value_name = "NAME")]
    pub(super) channel: Option<NamePattern>,
    /// It ends after this time: 1s to 365d; without an end it stands until it is removed
    #[arg(long = "for", value_name = "TIME", value_parser = age, conflicts_with = "until")]
    pub(super) time: Option<Duration>,
    /// It ends then: 2026-08-30T23:45:00Z
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Timestamp>,
    /// Of hold: what it has held is released when it ends; else it stays held
    #[arg(long)]
    pub(super) release: bool,
    /// Of slow: messages in a time: 10/1m
    #[arg(long, value_name = "RATE", value_parser = order_rate)]
    pub(super) rate: Option<OrderRate>,
    /// Of reroute: to this address
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["new_host", "new_channel"])]
    pub(super) new_address: Option<String>,
    /// Of reroute: to this host
    #[arg(long, value_name = "NAME")]
    pub(super) new_host: Option<String>,
    /// Of reroute: by this channel
    #[arg(long, value_name = "NAME")]
    pub(super) new_channel: Option<String>,
    /// Why: for the list, the log, whoever asks why mail waits and, with return, the reply and the notice
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: String,
    /// Say how many entries it would touch now, and show some; with reroute, where they would go
    #[arg(long)]
    pub(super) dry_run: bool,
    /// One object, as in the list; with --dry-run as of `relais queue hold --dry-run --json`
    #[arg(long)]
    pub(super) json: bool,
}

/// A limit, and what it is to be.
#[derive(Args, Debug)]
pub(super) struct Set {
    /// `max_messages`, `POOL.job_limit`, `CHANNEL.maxjobs`, `CHANNEL.max_client_threads`, `CHANNEL.threaddepth`, `CHANNEL.idle_time`, `CHANNEL.max_life_time`, `CHANNEL@HOST.connections`, `CHANNEL@HOST.rate`; without one all are shown
    pub(super) key: Option<String>,
    /// The new value: a number, a time (90s, 5m), a rate (100/1m), `none` (of a host: no limit of its own), `default` (as the configuration file says); without one it is shown
    pub(super) value: Option<String>,
    /// Keep it over restarts, in `DATA/limits.ron`, and print the line for the configuration file
    #[arg(long, requires = "value")]
    pub(super) save: bool,
    /// One object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) why: Because,
}

/// The entries that an order is for, and how it is carried out.
#[derive(Args, Debug)]
#[command(after_help = ORDER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Order {
    /// Queue ids; else the entries that the options below name
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// All entries of the queue
    #[arg(long)]
    pub(super) all: bool,
    /// Show the first twenty with which it would be done and say how many there are; do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask: on a terminal `return`, `delete` and whatever has --all ask once
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Why: for the log, the history and, with `return`, the notice to the sender
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
    /// One object: {seen, of, done, recipients, later, idle, moved, ended}, `unknown` ids and, with --dry-run, the `first` entries
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Spool {
    /// Read every record and compare its checksum; changes nothing
    ///
    /// Tells what is damaged and where, how many messages are alive, held or done, which content is missing, and what has been put into quarantine. An engine may be running; the numbers are approximate then. Exit status 1: something that was safe is damaged or missing.
    Check {
        #[arg(long, help = SPOOL_CHECK_JSON)]
        json: bool,
    },
    /// Throw the queue index away and make it anew from the segments; the engine must not run
    ///
    /// The index holds nothing that is not in the segments as well, and an engine makes it anew by itself when it finds it damaged: this is for when you would rather be sure.
    Rebuild {
        #[arg(long, help = SPOOL_REBUILD_JSON)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) filter: Filter,
    /// One object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Which entries.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Which entries")]
pub(super) struct Filter {
    /// Leaving by this channel; ~TEXT: by those whose name holds the text
    #[arg(long, value_name = "NAME")]
    pub(super) channel: Option<NamePattern>,
    /// Going to this host; ~TEXT: to those whose name holds the text
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<NamePattern>,
    /// From this sender; @DOMAIN: from all of a domain; ~TEXT: from those that hold the text; '<>': the null sender
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<AddressPattern>,
    /// With this recipient, not done yet, or one that a list made of it; @DOMAIN and ~TEXT as with --from. The entry's other recipients come with it
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Option<AddressPattern>,
    /// Accepted at least this long ago: 10m, 1h20m, 1d, PT10M
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub(super) older_than: Option<Duration>,
    /// In this state: ready, active, delayed, held
    #[arg(long, value_parser = state)]
    pub(super) state: Option<QueueState>,
    /// The same as --state held
    #[arg(long, conflicts_with = "state")]
    pub(super) held: bool,
    /// Of more octets than this: 10000, 10MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) larger_than: Option<u64>,
    /// With such a recipient of whom the last reply holds this text, without regard to case
    #[arg(long, value_name = "TEXT", value_parser = text)]
    pub(super) reply: Option<String>,
    /// Entries at most
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
}

impl Route {
    /// As it is put to the router.
    pub(super) fn question(&self, address: &str) -> RouteQuestion {
        RouteQuestion {
            address: address.to_owned(),
            from: self.from.as_ref().map(|from| from.trim_matches(['<', '>']).to_owned()),
            channel: self.channel.clone(),
            client: self.client,
            header: self.header,
            vouched: false,
            scripts: self.message.is_some(),
            redirected: false,
            spf: self.facts.spf.clone(),
            spf_helo: self.facts.spf_helo.clone(),
        }
    }
}

impl Filter {
    /// Said when nothing was found: what is exact may have been meant for a part.
    pub(super) fn hint(&self) -> Option<String> {
        let exact = |pattern: &&AddressPattern| pattern.may_be_a_part();
        let pattern = self.from.iter().chain(&self.to).find(exact)?;
        let text = pattern.to_string();
        let text = text.trim_matches(['<', '>']);
        Some(format!(
            "{text:?} names exactly this address; \"~{text}\" names those that hold the text"
        ))
    }

    /// As it is put to the engine.
    pub(super) fn asked(self) -> QueueFilter {
        let Self { channel, host, from, to, older_than, state, held, larger_than, reply, limit } =
            self;
        let state = if held { Some(QueueState::Held) } else { state };
        let older_than = older_than.map(|age| age.as_secs());
        QueueFilter { channel, host, from, to, older_than, larger_than, reply, state, limit }
    }
}

/// An empty one would name every entry.
fn text(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "~" {
        Err("must not be empty".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > MAX_REASON {
        return Err(format!("one line of 1 to {MAX_REASON} characters is expected"));
    }
    seen(text)
}

/// A text for people, none of whose characters hides, or turns others around.
fn seen(text: &str) -> Result<String, String> {
    match text.chars().find(|c| is_unprintable(*c)) {
        Some(c) if !is_nameable(text) => Err(format!("{} is not printable", c.escape_unicode())),
        _ => Ok(text.to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).map_err(|error| match error {
        UnitError::TooLarge(_) => error.to_string(),
        _ => units::SIZE_FORMS.to_owned(),
    })
}

fn age(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|_| units::DURATION_FORMS.to_owned())
}

fn standing_kind(text: &str) -> Result<StandingKind, String> {
    let named = |kind: &StandingKind| kind.name() == text;
    let unknown = || "one of hold, suspend, return, reroute, slow is expected".to_owned();
    StandingKind::ALL.into_iter().find(named).ok_or_else(unknown)
}

fn order_rate(text: &str) -> Result<OrderRate, String> {
    text.parse().map(OrderRate).map_err(|error: relais_config::rate::RateError| error.to_string())
}

fn state(text: &str) -> Result<QueueState, String> {
    let named = |state: &QueueState| state.name() == text;
    let unknown = || "one of ready, active, delayed, held is expected".to_owned();
    QueueState::ALL.into_iter().find(named).ok_or_else(unknown)
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    let since_1970 = |age: Duration| {
        let now = Timestamp::now().0;
        Timestamp(now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    };
    let ago = units::parse_duration(text).map(since_1970);
    ago.or_else(|_| text.parse()).map_err(|_| {
        "a time is expected, such as 2026-11-30T08:00:00Z, or how long ago: 2h".to_owned()
    })
}

const TRACE_HELP: &str = "\
Examples:
  relais trace ann@example.org              every message from or to her, the newest first
  relais trace --since 2h ann@example.org
  relais trace '<20261130.1@example.org>'   by its Message-ID
  relais trace 4XYZ1b2c3d                   by what another server calls it
  relais trace --forget ann@example.org";

const ORDER_HELP: &str = "\
Addresses are exact: domains compare without regard to case, local parts octet by octet, as the queue keeps them. @DOMAIN names a domain, ~TEXT a part, without regard to case.
Without ids it is done with every entry that the options name; without any option --all must be said.
An entry that a job has in hand is dealt with as soon as it is back (\"later\"), or when the engine stops; after a crash the next start does it. `queue release` withdraws that.
Examples:
  relais queue hold 1K80UO39M0000
  relais queue delete --from spammer@example.org --dry-run
  relais queue return --to @closed.example --reason \"closed.example has closed\"
  relais queue retry --host store1.example
  relais queue reroute --host store1.example --dry-run";

const ADD_ORDER_HELP: &str = "\
All that the options say has to be so of the mail. Of several orders for the same mail the kind counts that comes first: hold, suspend, return, reroute, slow; of one kind the oldest.
What a connection has in hand it finishes. `queue retry` ends no order.
Examples:
  relais order add hold --from @example.net --for 2h --reason 'odd attachments' --dry-run
  relais order add suspend --channel tcp_local --host .example.net --for 2h --reason 'they move house'
  relais order add return --to @closed.example --reason 'closed.example has closed'
  relais order add reroute --host old.example --new-host new.example --reason 'old.example is down'
  relais order add slow --from news@relais.example --rate 100/1m --reason 'newsletter'";

const AUDIT_HELP: &str = "\
The orders of DATA/audit.log and of the older ones beside it; no engine need run.
Examples:
  relais audit --since 1d
  relais audit --by alice --json";

const PART_HELP: &str = "\
Examples:
  relais stop SMTP              closes its ports; its sessions finish
  relais start SMTP
  relais restart dispatcher     new workers for every service
  relais restart SMTP/3         one worker, as `relais status --workers` names them
  relais stop job_controller    nothing leaves; mail is taken
A part that was stopped runs again when the engine is started anew.";

const SET_HELP: &str = "\
Examples:
  relais set SMTP_POOL.job_limit 40
  relais set tcp_lmtpcs.maxjobs 20 --save
  relais set tcp_lmtpcs.maxjobs default --save
  relais set tcp_lmtpcs@store1.example.connections 4
  relais set tcp_lmtpcs.idle_time 5m";

const CONFIG_HELP: &str = "\
Examples:
  relais config tcp_lmtpcs                 a channel, pool or service by its name
  relais config 'channels[\"tcp_lmtpcs\"].maxjobs'
  relais config max_messages               a field of which there is one
  relais config --reference > settings.md  every setting, explained
  relais config --reference maxjobs        one of them
  relais config --json | jq '.configuration.channels[].name'";

const CONFIG_JSON: &str = "One object: {asked, configuration, live}, with a key {asked, key, value, idle, live}. Sections and maps are objects, lists and pairs are arrays, times and sizes are strings; live: {limit: {value, configured, saved}}";

const ACCESS_HELP: &str = "\
Exit status 1: the client is turned away. Block lists are asked as the service would ask them.
Examples:
  relais test access 192.0.2.7
  relais test access 192.0.2.7 --service LMTPSS
  relais test access 192.0.2.7 --from a@example.org --to alice@relais.example --hello mail.example.org";

const ACCESS_JSON: &str = "One object: {client, service, accepted, reply, table, entry, text, steps: [{table, probe, entry, verdict, is_refusal}], asked}";

const STAGE_INPUT: &str = "The address, without angle brackets";
const ALIAS_INPUT: &str = "The address, or a bare name of the default domain";
const LDAP_INPUT: &str = "The address, or ldap:///BASE?ATTRIBUTE?SCOPE?FILTER: as a rule or a mapping has it, the value of the one entry found; with an empty ATTRIBUTE, as memberURL of a list has it, the addresses of all";

const SIEVE_TEST_HELP: &str = "\
Nothing is sent and nothing is kept: replies, and messages seen before (`duplicate`), are as if this were the first.
Exit status 1: a script is broken, or hits a bound; its message would go to the INBOX.
Examples:
  relais sieve test ann.sieve message.eml
  relais sieve test ann.sieve message.eml --from bob@example.net --to ann+work@example.org";

const SIEVE_TEST_JSON: &str = "One object: {script, message, from, to, steps: [{script, line, step, detail}], actions: [TEXT], outcome, error, notes: [TEXT]}";

const REWRITE_HELP: &str = "\
Exit status 1: it leads to no channel. The last two lines are the channel and the address.
Examples:
  relais test rewrite alice@relais.example
  relais test rewrite bob@example.net --channel tcp_local --sender
  relais test rewrite bob@example.net --header --json";

const ALIAS_HELP: &str = "\
Exit status 1: nobody knows it.
Examples:
  relais test alias postmaster
  relais test alias team@relais.example --offline";

const OPTION_HELP: &str = "\
Exit status 1: there is no such entry, or it takes no mail.
Example:
  relais test option alice@relais.example";

const LDAP_HELP: &str = "\
Exit status 1: nothing is found. What the engine remembers does not count: every server is asked anew.
Examples:
  relais test ldap alice@relais.example
  relais test ldap 'ldap:///dc=example,dc=org?mailHost?sub?(uid=alice)'
  relais test ldap 'ldap:///dc=example,dc=org??sub?(departmentNumber=7)'";

const MAPPING_HELP: &str = "\
Exit status 1: no entry applies. Numbers of a sequence are looked at, not drawn.
Examples:
  relais mapping PORT_ACCESS 'TCP|192.0.2.1|25|198.51.100.7|40000'
  relais mapping internal_ip 192.0.2.7 --json";

const ROUTE_HELP: &str = "\
Examples:
  relais route alice@relais.example
  relais route bob@example.net --client 192.0.2.7    may this client send there?
  relais route --file addresses.txt --json           for scripts: one object a line
  relais route alice@relais.example --config new.ron --offline
  relais route --compare new.ron --recent            what would a new file change?
  relais route --compare new.ron --queue --file addresses.txt
With --compare, exit status 0: all go the same way; 1: some do not; 2: wrong use, or a file that cannot be used.";

const ROUTE_JSON: &str = "One object for each address: {input, accepted, reply, results: [{address, channel, tag, next_hop, host, quota, size_limit, limits: {pool, job_limit, pool_jobs, maxjobs, jobs, threaddepth, max_client_threads, host_limit, connections, waiting, stopped, suspended_until, last_reply, backoff}}], steps: [{step, detail, ...}], asked}; with --message also source_channel, in results scripts: {to, addresses, texts} and sieve (as `relais sieve test` has it), and redirects: [{by, to, stays, results}]; with --compare for each that differs: {input, channel, before: {accepted, reply, results}, after: {...}}";

const MAILBOX_JSON: &str = "list: {mailbox, path}, one a line; the others: {mailbox, to, changed, usage: {size, messages}, limits: [{by, size, messages}], quota_file: {size, messages}, findings: [{place, fault, text, mended}], more}";

const MAILBOX_QUOTA_HELP: &str = "\
The first limit is the one that counts for the next delivery: what the directory says; else what maildirsize holds, the last word of a relay or of the IMAP server; else store.default_quota.";

const MAILBOX_CHECK_HELP: &str = "\
What is found and mended: missing directories are made, what is no message is moved to .lost below the store, names that tell a wrong size lose it, messages that nobody finished for 36 hours are removed, maildirsize is written anew. A mailbox that lies in two partitions is told of, and not mended.
Examples:
  relais mailbox check alice@relais.example
  relais mailbox check --all --json | jq 'select(.findings)'
  relais mailbox check --all --repair";

const SPOOL_CHECK_JSON: &str = "{segments, octets, messages: {alive, held, done}, tail, damage: [{file, offset, length, id, acknowledged}], damaged, lost: [FILE], large: {files, missing, missing_count, left_over}, quarantine: [{name, octets}]}";

const SPOOL_REBUILD_JSON: &str = "{entries: {channel: {untried, tried, held}}, damage: [...], lost: [FILE], missing: [...], cut, replayed, seconds}";

const EXAMPLES: &str = "\
Examples:
  relais                                     run on the built-in default
  relais check --config /etc/relais/relais.ron
  relais config --default > relais.ron       a file to start from
  relais config --reference                  every setting, explained
  relais route alice@relais.example          where would this go, and why?
  relais queue list --older-than 1h --json   for scripts: one object a line
  relais top                                 the engine on the terminal
  relais metrics --alerts > relais.rules.yml rules for Prometheus
  relais why                                 what limits it now, and what helps?
  relais queue why 06C1FJ4V80000             why does it not move?
  relais queue retry --host store1.example
  relais order add hold --from @example.net --for 2h --reason 'odd attachments'
  relais host suspend mx.example.net --for 2h --reason 'they move house'
  relais audit --since 1d                    who ordered what?
  relais channel stop tcp_lmtpcs             what leaves by it waits, over restarts too
  relais queue show 06C1FJ4V80000
  relais spool check                         is everything on the disk as it was written?
  relais mailbox quota alice@relais.example
  relais sieve check ann.sieve               every mistake, with line and column
  relais stop

Every command that shows something takes --json. Times are RFC 3339 in UTC.
Exit status: 0 yes, 1 no (refused, a mistake, nothing runs, no such message, nothing that an order's options name), 2 wrong use. A listing of nothing is a listing: 0.";

/// Of `relais tls`.
#[derive(Debug, Args)]
pub(super) struct TlsQuestion {
    /// The domain that mail is for, or a host
    pub(super) domain: String,
    /// The channel it leaves by; else the first of program Smtp that looks for what domains publish, or the first
    #[arg(long)]
    pub(super) channel: Option<String>,
    /// One object: name, `by_mx`, trouble, entry, `mx_proof`, `mta_sts`, `mta_sts_id`, `mta_sts_fault`, servers, `left_out`
    #[arg(long)]
    pub(super) json: bool,
}
