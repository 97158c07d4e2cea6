//! Classes of domains, and the tables `transport`, `virtual_alias` and `aliases`.

use std::collections::{BTreeSet, HashSet};

use super::{
    addresses::Reversal,
    maps::{MapEntry, MapForm},
    patterns::{KeyForm, PatternLeft, SortedRows},
    tables::{Classes, PERHAPS, PostfixFiles, left_out},
    transports::Transports,
    ways::{Way, Ways, tag},
};
use crate::{
    report::{Fate, Findings},
    ron::{Entry, Value},
    source::{ImportError, Line},
};

/// Rules and tables of the new file.
#[derive(Debug, Default)]
pub(super) struct Routing {
    pub(super) rules: Vec<Entry>,
    pub(super) transport: Vec<Entry>,
    pub(super) virtual_alias: Vec<Entry>,
    pub(super) aliases: Vec<Entry>,
    /// Files that aliases append to lie in these folders.
    pub(super) folders: BTreeSet<String>,
    /// The mapping `FORWARD`.
    pub(super) forward: Vec<Entry>,
    pub(super) reversal: Reversal,
    /// Recipients that have a way and are not ours, as probes of `ORIG_MAIL_ACCESS` end.
    pub(super) strangers: Vec<String>,
}

impl Routing {
    /// Has ways to these instead of those that were there.
    pub(super) fn replace_ways(&mut self, mut ways: Vec<Entry>) {
        let keys: HashSet<_> = ways.iter().map(|entry| entry.name.clone()).collect();
        self.transport.retain(|known| !keys.contains(&known.name));
        self.transport.append(&mut ways);
    }

    /// The end of whatever is in no class; `*` stands for the domains of classes as well, which go by
    /// their rules.
    fn refuse_others(&mut self, classes: &Classes, way: &str, comments: Vec<String>) {
        let known: HashSet<_> = self.transport.iter().map(|its| its.name.clone()).collect();
        if known.contains("*") {
            return;
        }
        let ruled = classes.local.iter().chain(&classes.relay).cloned();
        let below = classes.relay.iter().map(|domain| format!(".{domain}"));
        let open = ruled.chain(below).filter(|name| !known.contains(name));
        self.transport.extend(open.map(|name| Entry::text(&name, ":")));
        self.transport.push(Entry::text("*", way).said_all(comments));
    }

    /// Has virtual aliases of `myorigin` hold for bare names where the local channel has not its name.
    fn name_for_origin(&mut self, origin: &str, local_tag: &str) {
        let known: HashSet<_> = self.virtual_alias.iter().map(|its| its.name.clone()).collect();
        let mut made = Vec::new();
        for entry in &self.virtual_alias {
            let (user, domain) = entry.name.split_once('@').unwrap_or((&entry.name, ""));
            let is_bare = domain.is_empty() && !user.contains('.');
            if !is_bare && !domain.eq_ignore_ascii_case(origin) {
                continue;
            }
            let domains = [origin, local_tag].into_iter().map(|domain| format!("{user}@{domain}"));
            for name in domains.filter(|name| !known.contains(name)) {
                made.push(Entry { name, comments: Vec::new(), ..entry.clone() });
            }
        }
        let mut seen = HashSet::new();
        made.retain(|entry| seen.insert(entry.name.clone()));
        self.virtual_alias.append(&mut made);
    }
}

impl PostfixFiles<'_> {
    pub(super) fn routing(
        &self,
        ways: &mut Ways,
        (origin, local_tag): (&str, &str),
        findings: &mut Findings,
    ) -> Result<Routing, ImportError> {
        let mut new = Routing::default();
        let local = self.domains("mydestination", findings)?;
        let classes = Classes {
            relay: self.relay_domains(&local, findings)?,
            local,
            virtual_alias: self.virtual_domains(findings)?,
            mailbox: self.domains("virtual_mailbox_domains", findings)?,
        };
        if origin != local_tag {
            // Bare names are those of myorigin, whoever has its mail.
            let rule = Entry::pair(local_tag, &format!("$U%{origin}"));
            new.rules.push(rule.said(self.said("myorigin")));
        }
        self.local_rules(&classes, local_tag, &mut new);
        let relay = self.relay_rules(&classes, ways, &mut new, findings);
        let mut transports = Transports::new(self, &classes, (relay, ways), findings)?;
        transports.make(ways, findings)?;
        (new.transport, new.strangers) = (transports.made, transports.strangers);
        let patterns = self.virtual_aliases(&classes, &mut new, findings)?;
        if origin != local_tag {
            new.name_for_origin(origin, local_tag);
        }
        self.aliases(ways, &mut new, findings)?;
        let moved = self.relocated(&classes, findings)?;
        new.replace_ways(moved);
        new.forward = Self::forwards(&patterns, &classes, (&new.transport, &new.aliases), findings);
        new.reversal = self.reversal(&classes, findings)?;
        self.default_rule(&classes, ways, &mut new, findings);
        self.ways_of_senders(ways, findings)?;
        Ok(new)
    }

    fn local_rules(&self, classes: &Classes, tag: &str, new: &mut Routing) {
        for (n, domain) in classes.local.iter().enumerate() {
            let entry = Entry::pair(domain, &format!("$U%$D@{tag}"));
            let comment = (n == 0).then(|| self.said("mydestination"));
            new.rules.push(entry.said_all(comment));
        }
    }

    /// Relay domains, and those below them unless another class has them; the way of their transport.
    fn relay_rules(
        &self,
        classes: &Classes,
        ways: &mut Ways,
        new: &mut Routing,
        findings: &mut Findings,
    ) -> Option<String> {
        if classes.relay.is_empty() {
            return None;
        }
        let (relay, relayhost) = (self.main.get("relay_transport"), self.main.get("relayhost"));
        let place = self.place("relay_transport");
        let known = (self.main, self.services);
        let channel = ways.class((&relay, &relayhost), known, (&place, findings));
        let Some(channel) = channel else {
            findings.missing(&place, "relay_domains", "nothing takes mail for them: it waits");
            return None;
        };
        let is_below = self.matches_below("relay_domains");
        for (n, domain) in classes.relay.iter().enumerate() {
            let below = domain.strip_prefix('.');
            let comment = (n == 0).then(|| self.said("relay_domains"));
            if below.is_none() {
                new.rules.push(
                    Entry::pair(domain, &format!("$U%$D@{}", tag(&channel))).said_all(comment),
                );
            }
            if is_below || below.is_some() {
                let pattern = format!(".{}", below.unwrap_or(domain));
                new.rules.push(Entry::pair(&pattern, &format!("$U%$H$D@{}", tag(&channel))));
            }
        }
        Some(format!("{channel}:"))
    }

    fn virtual_aliases(
        &self,
        classes: &Classes,
        new: &mut Routing,
        findings: &mut Findings,
    ) -> Result<Vec<PatternLeft>, ImportError> {
        let is_listed = self.main.line("virtual_alias_domains").is_some();
        let before = left_out(findings);
        let sorted = self.recipient_rows(classes, findings)?;
        let is_whole = left_out(findings) == before;
        sorted.tell_in_place(findings);
        let SortedRows { entries, patterns, .. } = sorted;
        let is_ours = classes.ours();
        let is_domain = |key: &str| !key.contains('@') && key.contains('.');
        // Without a list of its own a domain alone among the keys is one of virtual aliases.
        let listed: HashSet<String> =
            entries.iter().map(|entry| entry.key.clone()).filter(|key| is_domain(key)).collect();
        for MapEntry { line, key, value } in entries {
            if let Some((_, domain)) = key.split_once('@')
                && !is_ours(domain)
                && (is_listed || !listed.contains(domain))
            {
                new.strangers.extend(self.strangers(&key));
            }
            if is_domain(&key) && is_listed {
                let why = "virtual_alias_domains lists the domains";
                findings.tell(&line.place, &line.text, Fate::SameByDefault, why);
                continue;
            }
            findings.carried(&line.place, &line.text);
            let list = Value::texts(members(&value).iter().map(String::as_str));
            new.virtual_alias.push(Entry::new(&key, list).said(line.comment()));
        }
        let ways: HashSet<_> = new.transport.iter().map(|entry| entry.name.clone()).collect();
        let waits = |domain: &String| {
            let is_of = |left: &PatternLeft| left.form.domain().is_none_or(|its| its == *domain);
            (!is_whole || patterns.iter().any(is_of)) && !ways.contains(domain)
        };
        for (n, domain) in classes.virtual_alias.iter().enumerate() {
            let comment = (n == 0).then(|| self.said("virtual_alias_domains"));
            if waits(domain) {
                new.transport.push(Entry::text(domain, PERHAPS).said_all(comment));
                continue;
            }
            let entry = Entry::new(domain, Value::texts(["virtual_alias_domains"]));
            new.virtual_alias.push(entry.said_all(comment));
        }
        if classes.virtual_alias.iter().any(waits) {
            let place = self.place("virtual_alias_maps");
            findings.missing(&place, "virtual_alias_maps", ALIASES_WAIT);
        }
        Ok(patterns)
    }

    /// The ends of probes about recipients whom an entry of `transport_maps` or `virtual_alias_maps` is for.
    pub(super) fn strangers(&self, key: &str) -> Vec<String> {
        if let Some(domain) = key.strip_prefix('.') {
            return vec![format!("@*.{domain}")];
        }
        match key.split_once('@') {
            None => vec![format!("@{key}")],
            Some(("", _)) => vec![key.to_owned()],
            Some((user, domain)) => {
                let delimiters = self.main.get("recipient_delimiter");
                let detailed = delimiters.chars().map(|c| format!("|{user}{c}*@{domain}"));
                std::iter::once(format!("|{key}")).chain(detailed).collect()
            }
        }
    }

    fn aliases(
        &self,
        ways: &mut Ways,
        new: &mut Routing,
        findings: &mut Findings,
    ) -> Result<(), ImportError> {
        for MapEntry { line, key, value } in
            self.entries("alias_maps", MapForm::Aliases, KeyForm::Addresses(&[]), findings)?
        {
            let mut kept = Vec::new();
            for member in members(&value) {
                if let Some(command) = member.strip_prefix('|') {
                    match listed(command, &line, ways) {
                        Some(member) => kept.push(member),
                        None => {
                            findings.missing(&line.place, &format!("{key}: {member}"), NO_SHELL);
                        }
                    }
                    continue;
                }
                if let Some((folder, _)) = member.strip_prefix('/').and(member.rsplit_once('/')) {
                    new.folders.insert(folder.to_owned());
                }
                // postalias drops it, so that the aliases of that name count, too.
                let bare = member.trim_start_matches('\\');
                if bare.len() < member.len() {
                    let of = format!("{key}: {member}");
                    findings.tell(&line.place, &of, Fate::SameByDefault, "postalias drops `\\`");
                }
                kept.push(bare.to_owned());
            }
            if kept.is_empty() {
                let why = "nothing of it is left: the name is unknown";
                findings.missing(&line.place, &line.text, why);
                continue;
            }
            findings.carried(&line.place, &line.text);
            let list = Value::texts(kept.iter().map(String::as_str));
            new.aliases.push(Entry::new(&key, list).said(line.comment()));
        }
        Ok(())
    }

    /// Ways that depend on the sender: a channel for each, and the order that leads mail there.
    fn ways_of_senders(&self, ways: &mut Ways, findings: &mut Findings) -> Result<(), ImportError> {
        let known = (self.main, self.services);
        let transport = self.main.get("default_transport");
        for name in ["sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"] {
            if self.main.line(name).is_none() {
                continue;
            }
            let keys = KeyForm::Addresses(&[]);
            for MapEntry { line, key, value } in
                self.entries(name, MapForm::Plain, keys, findings)?
            {
                let way = if name.ends_with("relayhost_maps") {
                    (transport.as_str(), value.as_str())
                } else {
                    (value.as_str(), "")
                };
                let why = match ways.class(way, known, (&line.place, findings)) {
                    Some(channel) => format!(
                        "its channel is in the new file, and `relais order add reroute --from {key} \
                         --new-channel {channel} --reason relayhost` leads its mail there"
                    ),
                    None => "no channel does what this transport does".to_owned(),
                };
                findings.missing(&line.place, &line.text, &why);
            }
        }
        Ok(())
    }

    fn default_rule(
        &self,
        classes: &Classes,
        ways: &mut Ways,
        new: &mut Routing,
        findings: &mut Findings,
    ) {
        let (transport, relayhost) =
            (self.main.get("default_transport"), self.main.get("relayhost"));
        let place = self.place("default_transport");
        let known = (self.main, self.services);
        let comments = [self.said("default_transport"), self.said("relayhost")];
        let is_said = [true, !relayhost.is_empty()];
        let comments = comments.into_iter().zip(is_said).filter(|its| its.1).map(|its| its.0);
        let ended =
            transport.split_once(':').filter(|its| ["error", "retry", "discard"].contains(&its.0));
        if ended.is_some() {
            if let Way::To(way) = ways.of(&transport, known, (&place, findings)) {
                new.refuse_others(classes, &way, comments.collect());
            }
            return;
        }
        match ways.class((&transport, &relayhost), known, (&place, findings)) {
            Some(channel) => {
                new.rules
                    .push(Entry::pair(".", &format!("$U%$H@{}", tag(&channel))).said_all(comments));
            }
            None => findings.missing(&place, &transport, "nothing takes mail for other domains"),
        }
    }
}

/// A command of an alias, listed as a program; `None`: only a shell could run it.
fn listed(command: &str, line: &Line, ways: &mut Ways) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_plain = |word: &&str| {
        !word.contains(['$', '\'', '"', '`', ';', '|', '&', '<', '>', '\\', '*', '?', '(', ')'])
    };
    if !words.first()?.starts_with('/') || !words.iter().all(is_plain) {
        return None;
    }
    let command = words.join(" ");
    if ways.commands.insert(command.clone()) {
        // A transport of master.cf may have the name.
        let labels = (ways.commands.len()..).map(|n| format!("alias{n}"));
        let free = labels.into_iter().find(|label| !ways.programs.contains_key(label));
        let label = free.unwrap_or_default();
        let fields = vec![
            Entry::new("command", Value::texts(words.iter().copied())),
            Entry::text("user", "nobody").said("default_privs"),
        ];
        let entry = Entry::new(&label, Value::Section("", fields));
        ways.programs.insert(label, entry.said(format!("{}: |{command}", line.place)));
    }
    Some(format!("|{command}"))
}

/// Addresses of an entry, those in quotes as one.
fn members(value: &str) -> Vec<String> {
    let (mut all, mut one, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in value.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => all.push(std::mem::take(&mut one)),
            c => one.push(c),
        }
    }
    all.push(one);
    let plain = all.iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty());
    // virtual(5) divides addresses by blanks as well.
    plain
        .flat_map(|one| {
            let is_list =
                one.contains(' ') && one.split_whitespace().all(|word| word.contains('@'));
            if is_list { one.split_whitespace().map(str::to_owned).collect() } else { vec![one] }
        })
        .collect()
}

const ALIASES_WAIT: &str =
    "a part of it is left out: mail for addresses of its domains that no entry has waits (450)";
const NO_SHELL: &str = "no shell is asked: list a program of its own in `programs`";
