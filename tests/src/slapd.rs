//! Debian's `OpenLDAP` server, with the tree of a test.

use std::{
    fmt::Write,
    fs,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{free_port, within};

/// An LDAP server on the loopback, with the tree `dc=siroe,dc=com`. Dropping it ends it.
#[derive(Debug)]
pub struct Slapd {
    /// Its port.
    pub port: u16,
    process: Option<Child>,
    folder: TempDir,
}

impl Slapd {
    /// Where Debian has it.
    pub const PROGRAM: &str = "/usr/sbin/slapd";
    /// The account that relais binds as.
    pub const DN: &str = "cn=relais,dc=siroe,dc=com";
    /// Its password.
    pub const PASSWORD: &str = "of the relay";

    /// Serves the root, the account of the relay, and these entries (LDIF).
    pub fn start(entries: &str) -> Self {
        Self::start_with("", entries)
    }

    /// The same, with more directives of `slapd.conf`.
    pub fn start_with(directives: &str, entries: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("slapd-").tempdir().expect("a folder");
        let port = free_port();
        let mut server = Self { port, process: None, folder };
        server.write_configuration(directives);
        server.load(entries);
        server.start_again();
        server
    }

    /// The directory's section of a configuration that asks this server as [`Self::DN`], with more
    /// fields.
    pub fn section(&self, fields: &str) -> String {
        self.section_of(&[&format!("ldap://127.0.0.1:{}", self.port)], fields)
    }

    /// The same with these servers.
    pub fn section_of(&self, servers: &[&str], fields: &str) -> String {
        let password = self.password_file();
        format!(
            "directory: Ldap(servers: {servers:?}, bind_dn: \"{}\", bind_password_file: \"{}\", \
             user_base: \"dc=siroe,dc=com\", {fields})",
            Self::DN,
            password.display()
        )
    }

    /// A file that holds [`Self::PASSWORD`].
    pub fn password_file(&self) -> PathBuf {
        let file = self.path().join("password");
        fs::write(&file, format!("{}\n", Self::PASSWORD)).expect("a file");
        file
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again on its port, after [`Self::stop`].
    pub fn start_again(&mut self) {
        let url = format!("ldap://127.0.0.1:{}/", self.port);
        let config = self.path().join("slapd.conf").display().to_string();
        let slapd = Command::new(Self::PROGRAM)
            // Any level keeps it in the foreground.
            .args(["-d", "0", "-f", &config, "-h", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(slapd.expect("slapd runs"));
        let answers = || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        assert!(within(Duration::from_secs(20), answers), "slapd does not answer");
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut slapd) = self.process.take() {
            let _ = slapd.kill();
            let _ = slapd.wait();
        }
    }

    /// Lets it hang: connections are accepted by the system, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // A thread on another core may answer once more before the signal reaches it.
        let id = self.process.as_ref().expect("it runs").id();
        let threads = format!("/proc/{id}/task");
        let is_stopped = || {
            let mut stats = fs::read_dir(&threads).into_iter().flatten().flatten().map(|thread| {
                let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
            });
            stats.all(|is_stopped| is_stopped)
        };
        assert!(within(Duration::from_secs(10), is_stopped), "slapd goes on");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Changes entries (LDIF with `changetype`), as an administrator would.
    pub fn modify(&self, changes: &str) {
        let url = format!("ldap://127.0.0.1:{}", self.port);
        let mut child = Command::new("/usr/bin/ldapmodify")
            .args(["-x", "-H", &url, "-D", "cn=admin,dc=siroe,dc=com", "-w", "admin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("ldapmodify runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(changes.as_bytes()).expect("a reader");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "{changes}");
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().expect("it runs").id();
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(id, signal).expect("it is ours");
    }

    fn write_configuration(&self, directives: &str) {
        let path = self.path().display();
        fs::create_dir(self.path().join("db")).expect("a folder");
        fs::write(self.path().join("mail.schema"), schema()).expect("a file");
        let indexed = "mail,mailAlternateAddress,mailEquivalentAddress,uid,sunPreferredDomain,associatedDomain";
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\ninclude {path}/mail.schema\n\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\n{directives}\n\
             database mdb\nmaxsize 1073741824\nsuffix \"dc=siroe,dc=com\"\n\
             rootdn \"cn=admin,dc=siroe,dc=com\"\nrootpw admin\ndirectory {path}/db\n\
             index objectClass eq\nindex {indexed} eq\ndbnosync\n"
        );
        fs::write(self.path().join("slapd.conf"), config).expect("a file");
    }

    fn load(&self, entries: &str) {
        let root = format!(
            "dn: dc=siroe,dc=com\nobjectClass: domain\nobjectClass: sunManagedOrganization\n\
             dc: siroe\nsunPreferredDomain: siroe.com\n\n\
             dn: {}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
             cn: relais\nuserPassword: {}\n\n",
            Self::DN,
            Self::PASSWORD
        );
        let file = self.path().join("tree.ldif");
        fs::write(&file, root + entries).expect("a file");
        let loaded = Command::new("/usr/sbin/slapadd")
            .args(["-q", "-f", &self.path().join("slapd.conf").display().to_string()])
            .args(["-l", &file.display().to_string()])
            .output()
            .expect("slapadd runs");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The names of the original's schema; their numbers are the test's own.
fn schema() -> String {
    let mut text = String::new();
    for (i, name) in ATTRIBUTES.iter().enumerate() {
        let (equality, syntax) = if DNS.contains(name) {
            ("distinguishedNameMatch", 12)
        } else {
            ("caseIgnoreMatch", 15)
        };
        let _ = writeln!(
            text,
            "attributetype ( 1.3.6.1.4.1.4203.666.77.1.{i} NAME '{name}' EQUALITY {equality} \
             SYNTAX 1.3.6.1.4.1.1466.115.121.1.{syntax} )"
        );
    }
    let standard = [
        "aliasedObjectName",
        "mail",
        "uniqueMember",
        "uid",
        "associatedDomain",
        "preferredLanguage",
    ];
    let all: Vec<_> = ATTRIBUTES.iter().copied().chain(standard).collect();
    for (i, class) in CLASSES.iter().enumerate() {
        let _ = writeln!(
            text,
            "objectclass ( 1.3.6.1.4.1.4203.666.77.2.{i} NAME '{class}' SUP top AUXILIARY MAY ( {} ) )",
            all.join(" $ ")
        );
    }
    text
}

const CLASSES: [&str; 7] = [
    "inetLocalMailRecipient",
    "inetMailUser",
    "inetMailGroup",
    "sunManagedOrganization",
    "mailDomain",
    "inetDomain",
    "inetDomainAlias",
];
const DNS: [&str; 1] = ["inetDomainBaseDN"];
const ATTRIBUTES: [&str; 47] = [
    "msgVanityDomain",
    "sunPreferredDomain",
    "inetDomainBaseDN",
    "inetCanonicalDomainName",
    "inetDomainStatus",
    "mailDomainStatus",
    "mailRoutingHosts",
    "mailRoutingSmartHost",
    "mailDomainCatchallAddress",
    "mailAlternateAddress",
    "mailEquivalentAddress",
    "mailHost",
    "mailRoutingAddress",
    "mailDeliveryOption",
    "mailForwardingAddress",
    "mailProgramDeliveryInfo",
    "inetUserStatus",
    "mailUserStatus",
    "mailQuota",
    "mailMsgQuota",
    "mailMsgMaxBlocks",
    "mailSieveRuleSource",
    "vacationStartDate",
    "vacationEndDate",
    "mailAutoReplyMode",
    "mailAutoReplySubject",
    "mailAutoReplyText",
    "mailAutoReplyTextInternal",
    "mailAutoReplyTimeOut",
    "inetMailGroupStatus",
    "mgrpRFC822MailMember",
    "memberURL",
    "mgrpDeliverTo",
    "mgrpErrorsTo",
    "mgrpAddHeader",
    "mgrpMsgRejectText",
    "mgrpAllowedDomain",
    "mgrpAllowedBroadcaster",
    "mgrpModerator",
    "mgrpBroadcasterPolicy",
    "mgrpDisallowedDomain",
    "mgrpDisallowedBroadcaster",
    "mgrpMsgRejectAction",
    "mailRejectText",
    "mgrpMsgMaxSize",
    "mgrpRemoveHeader",
    "mailDeferProcessing",
];
