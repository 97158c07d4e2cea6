//! `dispatcher.cnf` and `job_controller.cnf`.

use super::cnf::{CnfOption, CnfSection};
use crate::{
    report::{Fate, Findings},
    ron::{Entry, Value, quoted},
};

/// A service of the new file.
#[derive(Clone, Debug)]
pub(super) struct NewService {
    pub(super) program: &'static str,
    pub(super) has_tls_ports: bool,
    pub(super) entry: Entry,
}

/// Settings and services of `dispatcher.cnf`.
#[derive(Debug, Default)]
pub(super) struct NewDispatcher {
    pub(super) defaults: Vec<Entry>,
    pub(super) services: Vec<NewService>,
}

/// Settings of the channels whose names fit a pattern.
#[derive(Clone, Debug)]
pub(super) struct JobSettings {
    pub(super) pattern: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// Settings, pools and channels of `job_controller.cnf`.
#[derive(Debug, Default)]
pub(super) struct NewController {
    pub(super) entries: Vec<Entry>,
    /// In the order of the file.
    pub(super) pools: Vec<(String, Entry)>,
    /// Settings of channels, by a pattern of their names.
    pub(super) channels: Vec<JobSettings>,
}

pub(super) fn dispatcher(sections: &[CnfSection], findings: &mut Findings) -> NewDispatcher {
    let mut new = NewDispatcher::default();
    for section in sections {
        if section.kind.is_empty() {
            for option in &section.options {
                new.defaults.extend(limit(option, findings));
            }
        } else if section.kind == "SERVICE" {
            new.services.extend(service(section, findings));
        } else {
            tell_section(section, findings);
        }
    }
    new
}

fn service(section: &CnfSection, findings: &mut Findings) -> Option<NewService> {
    let image = option(section, "IMAGE").map_or("", |image| image.value.as_str());
    let program = match image.rsplit([':', '/']).next().unwrap_or_default() {
        "tcp_smtp_server" => "Smtp",
        "tcp_lmtp_server" => "Lmtp",
        "tcp_lmtpn_server" => "LmtpNative",
        _ => {
            let of = format!("{}: IMAGE={image}", section.name);
            findings.missing(&section.head.place, &of, NO_SERVICE);
            for option in &section.options {
                findings.missing(&option.line.place, &option.shown(), NO_SERVICE);
            }
            return None;
        }
    };
    findings.carried(&section.head.place, &format!("SERVICE={}", section.name));
    let mut fields = vec![Entry::word("program", program)];
    let mut channel = "tcp_local".to_owned();
    let (mut more, mut comments) = (Vec::new(), vec![section.head.comment()]);
    let mut has_tls_ports = false;
    for option in &section.options {
        comments.push(option.line.comment());
        let carried = match option.name.as_str() {
            "PORT" => numbers("ports", option),
            "TLS_PORT" | "SSL_PORTS" => {
                has_tls_ports = true;
                numbers("tls_ports", option)
            }
            "INTERFACE_ADDRESS" => Some(Entry::text("interface_address", &option.value)),
            "PARAMETER" => match option.value.strip_prefix("CHANNEL=") {
                Some(name) => {
                    channel = name.trim().to_ascii_lowercase();
                    findings.carried(&option.line.place, &option.line.text);
                    continue;
                }
                None => None,
            },
            "IMAGE" => {
                findings.carried(&option.line.place, &option.line.text);
                continue;
            }
            "ENABLE" => {
                Some(Entry::word("enable", if option.value == "0" { "false" } else { "true" }))
            }
            _ => {
                more.extend(limit(option, findings));
                continue;
            }
        };
        match carried {
            Some(entry) => {
                findings.carried(&option.line.place, &option.line.text);
                more.push(entry);
            }
            None => findings.missing(&option.line.place, &option.line.text, ODD),
        }
    }
    fields.push(Entry::text("channel", &channel));
    fields.extend(more.into_iter().map(|entry| Entry { comments: Vec::new(), ..entry }));
    let entry = Entry::new(&section.name, Value::Section("", fields)).said_all(comments);
    Some(NewService { program, has_tls_ports, entry })
}

/// A limit of workers and sessions.
fn limit(option: &CnfOption, findings: &mut Findings) -> Option<Entry> {
    const NUMBERS: [&str; 8] = [
        "MIN_PROCS",
        "MAX_PROCS",
        "MIN_CONNS",
        "MAX_CONNS",
        "MAX_SHUTDOWN",
        "MAX_LIFE_CONNS",
        "BACKLOG",
        "MAX_HANDOFFS",
    ];
    const SECONDS: [&str; 3] = ["MAX_LIFE_TIME", "MAX_IDLE_TIME", "HISTORICAL_TIME"];
    let (place, text) = (&option.line.place, &option.line.text);
    let name = option.name.to_ascii_lowercase();
    let number = option.number();
    let entry = match option.name.as_str() {
        known if NUMBERS.contains(&known) => {
            // No worker at all would take no mail.
            let least = u64::from(known != "MAX_SHUTDOWN");
            number.map(|n| Entry::word(&name, &n.max(least).to_string()))
        }
        known if SECONDS.contains(&known) => {
            number.map(|n| Entry::word(&name, &quoted(&format!("{n}s"))))
        }
        "DNS_VERIFY_DOMAIN" => {
            let list = option.value.split(',').next().unwrap_or_default().trim();
            Some(Entry::new("dns_verify_domain", Value::texts([list])))
        }
        "STACKSIZE" | "LOGFILE" | "DEBUG" | "USER" => {
            findings.tell(place, text, Fate::NotNeeded, "one process serves all, and has one log");
            return None;
        }
        "IDENT" | "ENABLE_RBL" => {
            findings.tell(
                place,
                text,
                Fate::NotNeeded,
                "no client is asked by IDENT; block lists are dns_verify_domain",
            );
            return None;
        }
        "TLS_CERTIFICATE" => {
            findings.missing(place, text, "the section `tls` names certificate and key, as PEM");
            return None;
        }
        _ => {
            findings.missing(place, text, "no option that is known here");
            return None;
        }
    };
    if entry.is_some() {
        findings.carried(place, text);
    } else {
        findings.missing(place, text, ODD);
    }
    entry.map(|entry| entry.said(option.line.comment()))
}

pub(super) fn controller(sections: &[CnfSection], findings: &mut Findings) -> NewController {
    let mut new = NewController::default();
    for section in sections {
        match section.kind.as_str() {
            "" => {
                for option in &section.options {
                    new.entries.extend(general(option, findings));
                }
            }
            "POOL" => {
                let limit = option(section, "JOB_LIMIT");
                let number = limit.and_then(CnfOption::number).unwrap_or(10).max(1);
                let fields = vec![Entry::word("job_limit", &number.to_string())];
                let mut entry = Entry::new(&section.name, Value::Section("", fields));
                entry = entry.said(section.head.comment());
                findings.carried(&section.head.place, &section.head.text);
                for option in &section.options {
                    let (place, text) = (&option.line.place, &option.line.text);
                    if option.name == "JOB_LIMIT" && option.number().is_some() {
                        findings.carried(place, text);
                        entry = entry.said(option.line.comment());
                    } else {
                        findings.missing(place, text, "no option of a pool that is known here");
                    }
                }
                new.pools.push((section.name.clone(), entry));
            }
            "CHANNEL" => new.channels.push(channel(section, findings)),
            _ => tell_section(section, findings),
        }
    }
    new
}

fn general(option: &CnfOption, findings: &mut Findings) -> Option<Entry> {
    let (place, text) = (&option.line.place, &option.shown());
    let name = match option.name.as_str() {
        "MAX_MESSAGES" => "max_messages",
        "REBUILD_PARALLEL_CHANNEL" | "REBUILD_PARALLEL_CHANNELS" => "rebuild_parallel_channels",
        "TCP_PORT" | "UDP_PORT" | "SECRET" | "INTERFACE_ADDRESS" | "DEBUG" | "SYNCH_TIME"
        | "SLAVE_COMMAND" | "MASTER_COMMAND" => {
            let why = "jobs run in the engine itself, and the queue is its own";
            findings.tell(place, text, Fate::NotNeeded, why);
            return None;
        }
        "JOB_LIMIT" => {
            findings.missing(place, text, "pools that do not say otherwise have 10");
            return None;
        }
        name if name.contains("STRESS") => {
            findings.missing(place, text, "the front door alone knows stress (`stress`)");
            return None;
        }
        _ => {
            findings.missing(place, text, "no option that is known here");
            return None;
        }
    };
    let Some(number) = option.number() else {
        findings.missing(place, text, ODD);
        return None;
    };
    findings.carried(place, text);
    Some(Entry::word(name, &number.to_string()).said(option.line.comment()))
}

fn channel(section: &CnfSection, findings: &mut Findings) -> JobSettings {
    let mut fields = Vec::new();
    findings.carried(&section.head.place, &section.head.text);
    for option in &section.options {
        let (place, text) = (&option.line.place, &option.line.text);
        let field = match option.name.as_str() {
            "MAX_LIFE_AGE" | "MAX_LIFE_TIME" => {
                option.number().map(|n| ("max_life_time", Value::text(&format!("{}s", n.max(1)))))
            }
            "MAX_LIFE_CONNS" | "MAX_LIFE_ASKWORK" => {
                option.number().map(|n| ("max_life_conns", Value::Word(n.max(1).to_string())))
            }
            "MASTER_COMMAND" | "SLAVE_COMMAND" => {
                let why = "the channel's program is a part of relais";
                findings.tell(place, text, Fate::NotNeeded, why);
                continue;
            }
            _ => None,
        };
        match field {
            Some(field) => {
                findings.carried(place, text);
                fields.push(field);
            }
            None => findings.missing(place, text, "no option of a channel that is known here"),
        }
    }
    JobSettings { pattern: section.name.to_ascii_lowercase(), fields }
}

fn tell_section(section: &CnfSection, findings: &mut Findings) {
    let why = match section.kind.as_str() {
        "PERIODIC_JOB" => "what is to run at its time belongs into cron or a systemd timer",
        _ => "no section that is known here",
    };
    findings.missing(&section.head.place, &section.head.text, why);
    for option in &section.options {
        findings.missing(&option.line.place, &option.line.text, why);
    }
}

fn option<'a>(section: &'a CnfSection, name: &str) -> Option<&'a CnfOption> {
    section.options.iter().find(|option| option.name == name)
}

fn numbers(name: &str, option: &CnfOption) -> Option<Entry> {
    let ports = option.value.split(',').map(|port| port.trim().parse::<u16>());
    let ports: Vec<_> = ports.collect::<Result<_, _>>().ok()?;
    let ports = ports.iter().map(|port| Entry::word("", &port.to_string())).collect();
    Some(Entry::new(name, Value::List(ports)))
}

const NO_SERVICE: &str = "no service of relais does what it does";
const ODD: &str = "its value has no form that is known here";
