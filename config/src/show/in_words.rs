//! The configuration in force as RON: defaults filled in, fields that do nothing left out.

use crate::{
    check::roles::{Roles, never},
    file::{
        document::{Document, WIDTH},
        form::{Section, print_section},
    },
    sections::{
        channel::{
            Channel, NONURGENT_BACKOFF_MINUTES, NORMAL_BACKOFF_MINUTES, NOTICES_DAYS, Program,
            URGENT_BACKOFF_MINUTES,
        },
        config::Config,
        dispatcher::Service,
        job_controller::{JobController, Pool},
        settings::is_required,
    },
};
use std::time::Duration;

impl Config {
    /// The configuration in force, every default filled in, as RON that loads to the same. A field
    /// that does nothing is only there when it was given another value than its default.
    pub fn to_ron(&self) -> String {
        self.document(false).render(WIDTH)
    }

    pub(crate) fn document(&self, changed: bool) -> Document {
        let completed = self.completed();
        let roles = Roles::of(&completed);
        let Document::Section(fields) = print_section(&completed) else {
            return Document::Section(Vec::new());
        };
        let mut blank = Self::blank();
        blank.notary.postmaster = Some(format!("postmaster@{}", self.default_domain));
        let blank = print_section(&blank);
        let fields = fields.into_iter().filter_map(|(name, value)| {
            let by_default = field(&blank, &name) == Some(&value);
            if by_default && (changed || never(&name)) {
                return None;
            }
            let value = match name.as_str() {
                "channels" => channels(value, &roles, changed),
                "dispatcher" => services(value, changed),
                "job_controller" => pools(value, changed),
                _ if changed => prune(value, field(&blank, &name), &|_| true),
                _ => value,
            };
            Some((name, value))
        });
        Document::Section(fields.collect())
    }

    /// The configuration with the built-in values where the file says nothing.
    pub(crate) fn completed(&self) -> Self {
        let mut config = self.clone();
        config.channels.iter_mut().for_each(Channel::complete);
        let postmaster = || format!("postmaster@{}", self.default_domain);
        config.notary.postmaster.get_or_insert_with(postmaster);
        for service in &mut config.dispatcher.services {
            let limits = &mut service.limits;
            let most = limits.max_procs.saturating_mul(limits.max_conns).clamp(5, 65_535);
            limits.backlog.get_or_insert(u32::try_from(most).unwrap_or(65_535));
        }
        config
    }
}

impl Channel {
    /// Fills in what the engine goes by where nothing is given.
    fn complete(&mut self) {
        let minutes = |series: [u64; 7]| series.map(|n| Duration::from_secs(60 * n)).to_vec();
        if self.backoff.is_none() {
            let series = [
                (&mut self.urgentbackoff, URGENT_BACKOFF_MINUTES),
                (&mut self.normalbackoff, NORMAL_BACKOFF_MINUTES),
                (&mut self.nonurgentbackoff, NONURGENT_BACKOFF_MINUTES),
            ];
            for (slot, built_in) in series {
                slot.get_or_insert_with(|| minutes(built_in));
            }
        }
        let days = || NOTICES_DAYS.map(|n| Duration::from_secs(86_400 * n)).to_vec();
        self.notices.get_or_insert_with(days);
        self.warnpost.get_or_insert(self.sendpost);
        let port = match self.program {
            Program::Smtp => 25,
            _ => 24,
        };
        self.port.get_or_insert(port);
    }
}

/// Leaves out what is by default and is not to be shown then.
fn prune(value: Document, blank: Option<&Document>, hidden: &dyn Fn(&str) -> bool) -> Document {
    match value {
        Document::Section(fields) => {
            let kept = fields.into_iter().filter(|(name, value)| {
                let by_default = blank.and_then(|blank| field(blank, name)) == Some(value);
                !by_default || is_required(name) || !hidden(name)
            });
            Document::Section(kept.collect())
        }
        Document::Variant(name, inner) => {
            Document::Variant(name, Box::new(prune(*inner, blank, hidden)))
        }
        other => other,
    }
}

fn channels(value: Document, roles: &Roles<'_>, changed: bool) -> Document {
    let mut blank = Channel::blank();
    blank.complete();
    let Document::List(list) = value else { return value };
    let pruned = list.into_iter().enumerate().map(|(i, channel)| {
        blank.private = roles.channel(i).multigate;
        blank.warnpost = Some(roles.channel(i).sendpost);
        blank.port = None;
        blank.program = roles.channel(i).program;
        blank.complete();
        let default = print_section(&blank);
        prune(channel, Some(&default), &|field| changed || !roles.is_in_force(i, field))
    });
    Document::List(pruned.collect())
}

fn services(value: Document, changed: bool) -> Document {
    let blank = print_section(&Service::by_default());
    each(value, "services", &|service| {
        prune(service, Some(&blank), &|field| {
            changed || never(&format!("dispatcher.services.{field}"))
        })
    })
}

fn pools(value: Document, changed: bool) -> Document {
    let blank = print_section(&Pool::blank());
    let value = each(value, "pools", &|pool| prune(pool, Some(&blank), &|_| changed));
    let controller = print_section(&JobController::blank());
    if changed { prune(value, Some(&controller), &|_| true) } else { value }
}

/// Changes every section of the map `name`.
fn each(value: Document, name: &str, change: &dyn Fn(Document) -> Document) -> Document {
    let Document::Section(fields) = value else { return value };
    let fields = fields.into_iter().map(|(field, value)| match value {
        Document::Map(entries) if field == name => {
            let entries = entries.into_iter().map(|(key, entry)| (key, change(entry)));
            (field, Document::Map(entries.collect()))
        }
        value => (field, value),
    });
    Document::Section(fields.collect())
}

fn field<'d>(document: &'d Document, name: &str) -> Option<&'d Document> {
    let Document::Section(fields) = document else { return None };
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}
