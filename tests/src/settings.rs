//! The standalone configuration, with ports of its own and the changes a test asks for.

use std::{fs, path::Path};

use crate::{Slapd, build::work_tree, free_port};

/// One of the shipped samples, `config/examples/NAME.ron`, as text.
pub fn example(name: &str) -> String {
    let path = work_tree().join("config/examples").join(format!("{name}.ron"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The standalone sample on free ports. Each change names text that must be there, so that a test
/// does not silently run without it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the SMTP service listens.
    pub smtp: u16,
    /// Where our LMTP store listens.
    pub lmtp: u16,
    /// Where the admin endpoint listens.
    pub admin: u16,
    text: String,
}

impl Settings {
    /// The sample as it is shipped, but for the ports.
    pub fn standalone() -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        Self { smtp, lmtp, admin, text: example("standalone") }
            .edit("ports: [2525]", &format!("ports: [{smtp}]"))
            .edit("ports: [2225]", &format!("ports: [{lmtp}]"))
            .edit("|2225|", &format!("|{lmtp}|"))
            .edit("port: 2225", &format!("port: {lmtp}"))
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
    }

    /// The shipped back end without an MTA: LMTP into our store on [`Settings::lmtp`], no queue in
    /// use, no job controller. Its native mailboxes and its fixed socket are left out.
    pub fn store() -> Self {
        Self::store_at("127.0.0.1", free_port())
    }

    /// The same on this address of the loopback and this port.
    pub fn store_at(address: &str, lmtp: u16) -> Self {
        let (smtp, admin) = (free_port(), free_port());
        let mut settings = Self { smtp, lmtp, admin, text: example("store") }
            .edit("ports: [225]", &format!("interface_address: \"{address}\", ports: [{lmtp}]"))
            .edit("(\"TCP|*|225|192.18.74.206|*\"", &format!("(\"TCP|*|{lmtp}|127.0.0.1|*\""))
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("path: \"/var/spool/relais/store\"", "path: \"store\"")
            .edit("native: (path: \"/var/mail\"),", "")
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"));
        for name in ["LMTPSN", "LMTPUX", "tcp_lmtpsn", "tcp_lmtpux", "|226|"] {
            let is_other = |line: &&str| line.contains("//") || !line.contains(name);
            settings.text = settings.text.lines().filter(is_other).collect::<Vec<_>>().join("\n");
        }
        settings
    }

    /// The shipped back end with all its services, for a relay at 127.0.0.1 and another at 127.0.0.2:
    /// UNIX mailboxes by LMTP on the port `native`, and a socket `lmtp` in `folder`, where the mailboxes
    /// lie in `mail`.
    pub fn whole_store(native: u16, folder: &Path) -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        let folder = folder.display();
        Self { smtp, lmtp, admin, text: example("store") }
            .edit("ports: [225]", &format!("ports: [{lmtp}]"))
            .edit("ports: [226]", &format!("ports: [{native}]"))
            .edit("|225|", &format!("|{lmtp}|"))
            .edit("|226|", &format!("|{native}|"))
            .edit("192.18.74.206", "127.0.0.1")
            .edit("192.18.74.129", "127.0.0.2")
            .edit("/run/relais/lmtp", &format!("{folder}/lmtp"))
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("path: \"/var/spool/relais/store\"", "path: \"store\"")
            .edit("/var/mail", &format!("{folder}/mail"))
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
    }

    /// [`Self::store`] with an LMTP service into UNIX mailboxes in `mail`, below the data directory; accounts
    /// are those of its file `accounts`.
    pub fn unix_mailboxes() -> Self {
        let store = Self::store();
        let begin = store.text.find("    store: (").expect("the section is there");
        let end = begin + store.text[begin..].find("\n    ),").expect("it ends");
        let section = store.text[begin..end + 7].to_owned();
        store
            .edit(&section, "    native: (path: \"mail\"),\n    accounts: \"accounts\",")
            .edit("program: Lmtp, channel", "program: LmtpNative, channel")
            .edit("program: Lmtp, flagtransfer: true", "program: Lmtp")
    }

    /// The shipped front end, before a store of ours that listens on the port `store` of this machine
    /// and a directory. Submission is on the free port `submit`.
    pub fn relay(submit: u16, store: u16, directory: &Slapd) -> Self {
        Self::relay_of_stores(submit, store, directory)
            .edit("\"store1.siroe.com\"", "\"localhost\"")
    }

    /// The same before the stores that it names, which listen on the port `store`.
    pub fn relay_of_stores(submit: u16, store: u16, directory: &Slapd) -> Self {
        let (smtp, admin) = (free_port(), free_port());
        let port = |port| format!("interface_address: \"127.0.0.1\", ports: [{port}]");
        let password = directory.password_file().display().to_string();
        let servers = [directory.port, free_port()].map(|port| format!("ldap://127.0.0.1:{port}"));
        Self { smtp, lmtp: store, admin, text: example("relay") }
            .edit("ports: [25]", &port(smtp))
            .edit("ports: [587], tls_ports: [465]", &port(submit))
            .edit("/etc/relais/relay1.", "relay1.")
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("port: 225", &format!("port: {store}"))
            .edit(
                "[\"ldap://ldap1.siroe.com:389\", \"ldap://ldap2.siroe.com:389\"]",
                &format!("{servers:?}"),
            )
            .edit("cn=relais,ou=services,dc=siroe,dc=com", Slapd::DN)
            .edit("/etc/relais/ldap.secret", &password)
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
            .without_dns()
    }

    /// The shipped sample of Postfix's way, on free ports.
    pub fn postfix() -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        Self { smtp, lmtp, admin, text: example("postfix") }
            .edit("ports: [25]", &format!("interface_address: \"127.0.0.1\", ports: [{smtp}]"))
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit(", sasl: (client: May, credentials: \"/etc/relais/lmtp.secrets\")", "")
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
            .without_dns()
    }

    /// One of the shipped samples after Postfix's documents, on free ports.
    pub fn after_postfix(name: &str) -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        Self { smtp, lmtp, admin, text: example(&format!("postfix/{name}")) }
            .edit("ports: [25]", &format!("interface_address: \"127.0.0.1\", ports: [{smtp}]"))
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
    }

    /// A file that `relais import` wrote, with its data beside it and its admin endpoint on a free port;
    /// where its services listen is the test's to move to [`Self::smtp`] and [`Self::lmtp`].
    pub fn imported(text: &str) -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        Self { smtp, lmtp, admin, text: text.to_owned() }
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
    }

    /// The shipped relay to the Internet, with its files in `folder` and submission on the free port
    /// `submit`, which asks the name server on the port `dns`; servers everywhere listen on the port
    /// `far`, but for the mail host inside, whose port is `inside`.
    pub fn internet(folder: &Path, submit: u16, dns: u16, [far, inside]: [u16; 2]) -> Self {
        let (smtp, lmtp, admin) = (free_port(), free_port(), free_port());
        let port = |port| format!("interface_address: \"127.0.0.1\", ports: [{port}]");
        let anchor = folder.join("anchor").display().to_string();
        let dns = format!("\"127.0.0.1:{dns}\"], trust_anchor: {anchor:?}");
        Self { smtp, lmtp, admin, text: example("internet") }
            .edit("ports: [25]", &port(smtp))
            .edit("ports: [587], tls_ports: [465]", &port(submit))
            .edit("/etc/relais", &folder.display().to_string())
            .edit("data: \"/var/lib/relais\"", "data: \"relais-data\"")
            .edit("\"127.0.0.1:53\"]", &dns)
            .edit("mail.inside.example.org", &format!("mail.inside.example.org:{inside}"))
            .channel("tcp_local", &format!("port: {far}, private_addresses: true"))
            .edit("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
    }

    /// Asks for names where nobody answers: mail for strangers waits, wherever a test runs.
    #[must_use]
    fn without_dns(self) -> Self {
        let nobody = free_port();
        self.section(&format!("dns: (servers: [\"127.0.0.1:{nobody}\"])"))
    }

    /// Takes a table of the file from a file of its own.
    #[must_use]
    pub fn table(mut self, name: &str, file: &str) -> Self {
        let begin = self.text.find(&format!("    {name}: {{")).expect("the table is there");
        let end = begin + self.text[begin..].find("\n    },").expect("the table ends");
        self.text.replace_range(begin..end + 7, &format!("    {name}: (file: {file:?}),"));
        self
    }

    /// Lets the channel `tcp_lmtpcs` deliver to a port of 127.0.0.1 instead of our own store.
    #[must_use]
    pub fn deliver_to(self, port: u16) -> Self {
        let lmtp = self.lmtp;
        self.edit(&format!("port: {lmtp}"), &format!("port: {port}"))
    }

    /// Adds the channel `stores`, which delivers to `port` of several addresses: mail for
    /// `one.test` to 127.0.0.1, for `two.test` to 127.0.0.2, for `three.test` to 127.0.0.3, and
    /// that for `gone.test` to a host whose name nobody knows.
    #[must_use]
    pub fn stores(self, port: u16) -> Self {
        let rule = |(domain, host)| {
            format!("\n        (\"{domain}\", \"$U%{domain}@{host}@stores-daemon\"),")
        };
        let hosts = [
            ("one", "[127.0.0.1]"),
            ("two", "[127.0.0.2]"),
            ("three", "[127.0.0.3]"),
            ("gone", "gone.invalid"),
        ];
        let rules = hosts.map(|(domain, host)| rule((format!("{domain}.test"), host))).concat();
        let channel = format!(
            "(name: \"stores\", tag: \"stores-daemon\", program: Lmtp, port: {port}, mx: NoDns, \
             multigate: true, private: false, dequeue_removeroute: true, pool: \"SMTP_POOL\"),"
        );
        self.edit("rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
            .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
            .edit("program: Local),", &format!("program: Local),\n        {channel}"))
    }

    /// Adds the channel `tcp_out`, which hands mail for `remote.test` to one place by SMTP, with these
    /// fields.
    #[must_use]
    pub fn smtp_out(self, place: &str, fields: &str) -> Self {
        self.smtp_outs(&[("remote.test", "tcp_out", place, fields)])
    }

    /// Adds channels that hand mail for domains to places by SMTP: domain, name of the channel, place,
    /// fields.
    #[must_use]
    pub fn smtp_outs(self, outs: &[(&str, &str, &str, &str)]) -> Self {
        let rule = |(domain, name, ..): &(&str, &str, &str, &str)| {
            format!("\n        (\"{domain}\", \"$U%{domain}@{name}-daemon\"),")
        };
        let channel = |(_, name, place, fields): &(&str, &str, &str, &str)| {
            format!(
                "\n        (name: \"{name}\", tag: \"{name}-daemon\", program: Smtp, \
                 daemon: \"{place}\", pool: \"SMTP_POOL\", {fields}),"
            )
        };
        let rules: String = outs.iter().map(rule).collect();
        let channels: String = outs.iter().map(channel).collect();
        let clients = "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],";
        self.edit("rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
            .edit("mappings: {", clients)
            .edit("program: Local),", &format!("program: Local),{channels}"))
    }

    /// Adds the channel `tcp_out`, which sends mail for hosts below these domains to the servers that MX
    /// records name, on this port, with these fields.
    #[must_use]
    pub fn by_mx(self, domains: &[&str], port: u16, fields: &str) -> Self {
        let rule = |domain: &&str| format!("\n        (\".{domain}\", \"$U%$H$D@out-daemon\"),");
        let rules: String = domains.iter().map(rule).collect();
        let channel = format!(
            "(name: \"tcp_out\", tag: \"out-daemon\", program: Smtp, port: {port}, mx: Mx, \
             pool: \"SMTP_POOL\", {fields}),"
        );
        self.edit("rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
            .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
            .edit("program: Local),", &format!("program: Local),\n        {channel}"))
    }

    /// Adds fields to a channel: `"maxjobs: 1"`.
    #[must_use]
    pub fn channel(self, name: &str, fields: &str) -> Self {
        let start = format!("(name: \"{name}\",");
        self.edit(&start, &format!("{start} {fields},"))
    }

    /// Adds fields to the dispatcher, for all services: `"max_procs: 20"`.
    #[must_use]
    pub fn dispatcher(self, fields: &str) -> Self {
        self.edit("dispatcher: (", &format!("dispatcher: (\n        {fields},"))
    }

    /// Adds a field to the file: `"spool: (segment_size: \"1MiB\")"`.
    #[must_use]
    pub fn section(self, field: &str) -> Self {
        self.edit("    admin: (listen", &format!("    {field},\n\n    admin: (listen"))
    }

    /// Replaces every `from`; it must be there.
    #[must_use]
    pub fn edit(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from:?} is not in\n{}", self.text);
        self.text = self.text.replace(from, to);
        self
    }

    /// The file.
    pub fn text(&self) -> &str {
        &self.text
    }
}
