//! `sendmail -bv`: a recipient's places as Postfix itself says them.
//!
//! Asked is a copy of the configuration with a queue, a log and a master of its own, below a folder that goes
//! when it was asked: the operator's Postfix is not touched. In the copy each transport but local(8) is
//! discard(8), which answers with the next hop that it was given: nothing is connected to, nothing is run, and
//! nothing is delivered. The answers are lines of its log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write,
    fs::{self, Permissions},
    io::{self, Read},
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};

use super::{
    postfix_asked::PostfixAsked,
    postfix_words::{
        Ends, LATER, THROWN_AWAY, UNKNOWN, place, run, to_command, to_file, to_program,
    },
};

/// A Postfix that answers and delivers nothing.
pub(super) struct PostfixProbe {
    root: ProbeFolder,
    master: Child,
    until: Instant,
}

/// A folder that goes with its value.
struct ProbeFolder(PathBuf);

/// Answers of Postfix about an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Probed {
    ends: Ends,
    /// Addresses that an alias forwards to.
    further: BTreeSet<String>,
}

/// A line of the log about a recipient.
#[derive(Debug, Eq, PartialEq)]
struct ProbeLine<'a> {
    /// The transport that stands in for another one; nothing: the program answers for itself.
    transport: &'a str,
    to: &'a str,
    asked: &'a str,
    is_deliverable: bool,
    is_final: bool,
    reason: &'a str,
}

impl PostfixProbe {
    /// Starts it; the error says why that cannot be.
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("its master runs as root alone".to_owned());
        }
        let until = Instant::now() + PATIENCE;
        let setting = |name: &str| {
            let mut command = Command::new("postconf");
            command.arg("-c").arg(folder).args(["-x", "-h", name]);
            Ok::<_, String>(run(&mut command, "")?.trim().to_owned())
        };
        let (daemons, owner) = (setting("daemon_directory")?, setting("mail_owner")?);
        let mut services = Command::new("postconf");
        let services = run(services.arg("-c").arg(folder).arg("-M"), "")?;
        let root = ProbeFolder::new().map_err(|error| format!("no folder for it: {error}"))?;
        let copied = root.fill(folder, &services, &owner);
        copied.map_err(|error| format!("its configuration cannot be copied: {error}"))?;
        let etc = root.0.join("etc");
        // Makes the folders of the queue.
        let mut check = Command::new("postfix");
        run(check.arg("-c").arg(&etc).arg("check"), "")?;
        // Of a command that dies no master is left for longer.
        let longest = (PATIENCE.as_secs() + 30).to_string();
        let mut master = Command::new("timeout");
        master.args(["--signal=KILL", &longest]).arg(Path::new(&daemons).join("master"));
        master.arg("-c").arg(&etc).arg("-d").process_group(0);
        let aside = fs::File::create(root.0.join(ASIDE));
        let aside = aside.map_err(|error| format!("no file for its words: {error}"))?;
        master.stdin(Stdio::null()).stdout(Stdio::null()).stderr(aside);
        let master = master.spawn().map_err(|error| format!("its master does not run: {error}"))?;
        let probe = Self { root, master, until };
        probe.wait("it does not start", |log| log.contains("daemon started"))?;
        Ok(probe)
    }

    /// The ends of recipients. One that Postfix says nothing of is not among them.
    pub(super) fn ends(
        &self,
        recipients: &[String],
        known: &PostfixAsked,
    ) -> Result<HashMap<String, Ends>, String> {
        let mut told: HashMap<String, Probed> = HashMap::new();
        let fits = |address: &&String| {
            !address.is_empty() && *address != "<>" && !address.contains(char::is_control)
        };
        let mut open: BTreeSet<String> =
            recipients.iter().filter(fits).map(|its| known.qualified(its)).collect();
        for _ in 0..DEEPEST {
            let addresses: Vec<String> = open.iter().cloned().collect();
            for some in addresses.chunks(AT_ONCE) {
                let log = self.ask(some)?;
                for line in log.iter().filter_map(|line| ProbeLine::parse(line)) {
                    let probed = told.entry(line.asked.to_lowercase()).or_default();
                    line.add(known, probed);
                }
            }
            let further = told.values().flat_map(|its| &its.further);
            let further = further.map(|its| known.qualified(its));
            open = further.filter(|its| !told.contains_key(&its.to_lowercase())).collect();
            if open.is_empty() {
                break;
            }
        }
        let ends = |address: &String| {
            let whole = known.qualified(address).to_lowercase();
            let (mut ends, mut open, mut seen) = (Ends::new(), vec![whole], HashSet::new());
            while let Some(next) = open.pop() {
                if seen.insert(next.clone()) {
                    let its = told.get(&next)?;
                    ends.extend(its.ends.iter().cloned());
                    open.extend(its.further.iter().map(|its| known.qualified(its).to_lowercase()));
                }
            }
            Some((address.clone(), ends))
        };
        Ok(recipients.iter().filter_map(ends).collect())
    }

    /// The lines of the log about one message for these.
    fn ask(&self, recipients: &[String]) -> Result<Vec<String>, String> {
        let etc = self.root.0.join("etc");
        let before = self.log().len();
        let mut command = Command::new("sendmail");
        command.env("MAIL_CONFIG", &etc).arg("-C").arg(&etc);
        // Nobody is sent a report that is about a report.
        command.args(["-f", "double-bounce", "-bv", "--"]).args(recipients);
        run(&mut command, "")?;
        let id = |log: &str| {
            let is_taken = |line: &&str| line.contains("/pickup[") && line.contains(": uid=");
            let line = log.get(before..)?.lines().find(is_taken)?;
            Some(line.split(": ").nth(1)?.to_owned())
        };
        let is_over = |log: &str| {
            id(log).is_some_and(|id| log.contains(&format!(": {id}: removed")))
                || log.get(before..).is_some_and(|log| log.contains(NOT_ACCEPTED))
        };
        let log = self.wait("it does not answer in time", is_over)?;
        if let Some(line) = log.lines().find(|line| line.contains(NOT_ACCEPTED)) {
            return Err(line.split(": ").skip(2).collect::<Vec<_>>().join(": "));
        }
        let of = format!(": {}: to=<", id(&log).unwrap_or_default());
        Ok(log.lines().filter(|line| line.contains(&of)).map(str::to_owned).collect())
    }

    fn log(&self) -> String {
        let mut octets = Vec::new();
        if let Ok(file) = fs::File::open(self.root.0.join("log")) {
            // A log that grows beyond that is that of an error which comes again and again.
            let _ = file.take(LONGEST_LOG).read_to_end(&mut octets);
        }
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Waits for something in the log.
    fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<String, String> {
        loop {
            let log = self.log();
            if is_there(&log) {
                return Ok(log);
            }
            if Instant::now() > self.until {
                let aside = fs::read_to_string(self.root.0.join(ASIDE)).unwrap_or_default();
                let is_bad = |line: &&str| line.contains("warning: ") || line.contains("fatal: ");
                let last = aside.lines().chain(log.lines()).rfind(is_bad);
                let last = last.and_then(|line| line.split_once(": ")).map_or("", |its| its.1);
                return Err(format!("{what}: {last}").trim_end_matches(": ").to_owned());
            }
            sleep(LOOK_EVERY);
        }
    }
}

impl Drop for PostfixProbe {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.master);
        // The copy's queue is worth nothing: no process of it needs time to end.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.master.wait();
    }
}

impl ProbeFolder {
    fn new() -> io::Result<Self> {
        let name = format!("relais-verify-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Nobody else's folder is taken for it.
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// The configuration with a queue of its own and stand-ins for its transports.
    fn fill(&self, folder: &Path, services: &str, owner: &str) -> io::Result<()> {
        let [etc, queue, data] = ["etc", "queue", "data"].map(|name| self.0.join(name));
        for path in [&self.0, &etc, &queue, &data] {
            if *path != self.0 {
                fs::create_dir(path)?;
            }
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        chown(&data, Some(user_id(owner)?), None)?;
        let folder = folder.canonicalize()?;
        for entry in fs::read_dir(&folder)?.take(MOST_FILES) {
            let name = entry?.file_name();
            if name != "main.cf" && name != "master.cf" {
                symlink(folder.join(&name), etc.join(&name))?;
            }
        }
        let main = fs::read_to_string(folder.join("main.cf"))?;
        fs::write(etc.join("main.cf"), main_cf(&main, &self.0))?;
        fs::write(etc.join("master.cf"), stand_ins(services))
    }
}

impl Drop for ProbeFolder {
    fn drop(&mut self) {
        // A process that ends at this moment may leave a file: the second look removes it.
        if fs::remove_dir_all(&self.0).is_err() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn user_id(name: &str) -> io::Result<u32> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let id = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    id.ok_or_else(|| io::Error::other(format!("{name} is no account of /etc/passwd")))
}

/// `main.cf` of the copy below `root`. Each parameter stands there once, as Postfix reads it.
fn main_cf(main: &str, root: &Path) -> String {
    let mut made: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = None;
    for line in main.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with(char::is_whitespace) {
            if let Some(value) = last.and_then(|name| made.get_mut(name)) {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once('=') {
            last = Some(name.trim());
            made.insert(name.trim(), value.to_owned());
        }
    }
    for (name, value) in &mut made {
        if name.ends_with("_destination_rate_delay") {
            "0s".clone_into(value);
        }
    }
    let own = OVERRIDES.lines().filter_map(|line| line.split_once(" ="));
    made.extend(own.map(|(name, value)| (name, value.to_owned())));
    let below = |name: &str| root.join(name).display().to_string();
    made.insert("queue_directory", below("queue"));
    made.insert("data_directory", below("data"));
    made.insert("maillog_file", below("log"));
    made.insert("maillog_file_prefixes", below(""));
    made.iter().fold(String::new(), |text, (name, value)| text + name + " = " + value + "\n")
}

/// `master.cf` of the copy.
fn stand_ins(services: &str) -> String {
    let mut made = SERVICES.to_owned();
    for line in services.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, "unix", _, _, _, _, _, program, ..] = words.as_slice() else { continue };
        let is_kept = SERVICES.lines().any(|known| known.split(' ').next() == Some(name));
        if ["smtp", "lmtp", "pipe", "virtual", "discard"].contains(program) && !is_kept {
            // Writing to a string cannot fail.
            let _ = writeln!(made, "{name} unix - n n - - discard -o syslog_name=relais/{name}");
        }
    }
    made
}

impl<'a> ProbeLine<'a> {
    /// `... relais/smtp/discard[1]: ID: to=<a@b>, orig_to=<c@d>, relay=none, ..., dsn=2.0.0, status=deliverable (hop)`.
    fn parse(line: &'a str) -> Option<Self> {
        let (head, rest) = line.split_once(": to=<")?;
        let (to, rest) = rest.split_once(">, ")?;
        let (asked, rest) = match rest.strip_prefix("orig_to=<") {
            Some(rest) => rest.split_once(">, ")?,
            None => (to, rest),
        };
        let transport = head.split_once(" relais/").and_then(|its| its.1.split_once("/discard["));
        let (_, dsn) = rest.split_once("dsn=")?;
        let (_, status) = dsn.split_once("status=")?;
        let (status, reason) = status.split_once(" (")?;
        Some(Self {
            transport: transport.map_or("", |its| its.0),
            to,
            asked,
            is_deliverable: status == "deliverable",
            is_final: dsn.starts_with('5'),
            reason: reason.strip_suffix(')')?,
        })
    }

    /// In the words that are used of Postfix.
    fn add(&self, known: &PostfixAsked, probed: &mut Probed) {
        let Self { transport, to, reason, .. } = *self;
        let user = to.rsplit_once('@').map_or(to, |(user, _)| user);
        let end = if !transport.is_empty() {
            if transport == "discard" {
                THROWN_AWAY.to_owned()
            } else if known.is_pipe(transport) {
                to_program(to, transport)
            } else {
                place(to, transport, reason, known.setting("queue_directory"))
            }
        } else if !self.is_deliverable {
            if self.is_final { UNKNOWN.to_owned() } else { LATER.to_owned() }
        } else if let Some(further) = reason.strip_prefix("forwards to ") {
            probed.further.insert(further.to_owned());
            return;
        } else if let Some(file) = reason.strip_prefix("delivers to file: ") {
            to_file(file)
        } else if let Some(command) = reason.strip_prefix("delivers to command: ") {
            to_command(user, command.split_whitespace().next().unwrap_or_default())
        } else {
            format!("{to} to its account")
        };
        probed.ends.insert(end);
    }
}

/// Parts of Postfix that a recipient's way goes through.
const SERVICES: &str = "pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
/// Nothing else than the way of a recipient is asked for.
const OVERRIDES: &str = "syslog_name = postfix
content_filter =
receive_override_options =
non_smtpd_milters =
header_checks =
mime_header_checks =
nested_header_checks =
body_checks =
always_bcc =
sender_bcc_maps =
recipient_bcc_maps =
notify_classes =
double_bounce_sender = double-bounce
authorized_submit_users = static:anyone
enable_original_recipient = yes
in_flow_delay = 0s
multi_instance_enable = no
multi_instance_directories =
multi_instance_wrapper =
mailbox_command =
mailbox_command_maps =
";
/// The file of what the master says before it has a log.
const ASIDE: &str = "stderr";
const NOT_ACCEPTED: &str = "message not accepted, try again later";
/// For all questions of one list.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Recipients of a message.
const AT_ONCE: usize = 100;
/// Aliases within aliases that are followed.
const DEEPEST: usize = 10;
const MOST_FILES: usize = 1_000;
const LONGEST_LOG: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_read() {
        let head = "Dec 01 00:32:39 mail";
        let tail = "relay=none, delay=0.05, delays=0/0/0/0, dsn=5.0.0, status=undeliverable";
        let line =
            format!("{head} relais/smtp/discard[7]: 4X: to=<a@b>, orig_to=<c@d>, {tail} ([h]:25)");
        let want = ProbeLine {
            transport: "smtp",
            to: "a@b",
            asked: "c@d",
            is_deliverable: false,
            is_final: true,
            reason: "[h]:25",
        };
        assert_eq!(ProbeLine::parse(&line), Some(want));
        let line = format!("{head} postfix/error[7]: 4X: to=<a@b>, {tail} (gone (long ago))");
        let read = ProbeLine::parse(&line).unwrap();
        assert_eq!((read.transport, read.asked, read.reason), ("", "a@b", "gone (long ago)"));
        assert_eq!(ProbeLine::parse("x: to=<a"), None);
    }

    #[test]
    fn each_parameter_stands_in_the_copy_once() {
        let main = "# x\nmyhostname = a\nbody_checks = regexp:x\nmyhostname = b,\n  c\n\
                    smtp_destination_rate_delay=2s\nqueue_directory = /var/spool/postfix\n";
        let made = main_cf(main, Path::new("/copy"));
        for (name, want) in [
            ("myhostname", "myhostname =  b,\n  c\n"),
            ("body_checks", "body_checks = \n"),
            ("smtp_destination_rate_delay", "smtp_destination_rate_delay = 0s\n"),
            ("queue_directory", "queue_directory = /copy/queue\n"),
        ] {
            assert!(made.contains(want), "{want}\n{made}");
            assert_eq!(made.matches(&format!("{name} =")).count(), 1, "{made}");
        }
    }

    #[test]
    fn transports_are_stood_in_for_and_parts_of_postfix_are_not() {
        let services = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp -o x=y\nlocal unix - n n - - local\n\
                        maildrop unix - n n - - pipe flags=DRX argv=/bin/x\n";
        let made = stand_ins(services);
        let added = made.strip_prefix(SERVICES).unwrap();
        assert_eq!(
            added,
            "smtp unix - n n - - discard -o syslog_name=relais/smtp\n\
             maildrop unix - n n - - discard -o syslog_name=relais/maildrop\n"
        );
    }
}
