//! Services: what they listen on, and whether something stands behind them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use crate::{
    check::{
        known::{Known, list},
        own_files::in_the_way,
    },
    file::reader::Reader,
    grammar::LONGEST_SOCKET,
    sections::{
        channel,
        config::Config,
        dispatcher::{DEFAULT_SOCKET_MODE, Program, Service},
    },
};

pub(crate) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    let services = &config.dispatcher.services;
    if config.dispatcher.enabled().next().is_none() && reader.is_sound("dispatcher") {
        reader.warning_at("dispatcher.services", "no service listens: nothing comes in", false);
    }
    for service in services {
        has_a_name_of_its_own(service, reader);
        listens(config, service, reader);
        socket_access(config, service, reader);
        limits(service, reader);
        has_channel(config, known, service, reader);
        if service.enable {
            has_store(config, service, reader);
        }
    }
    addresses_differ(config, reader);
}

fn path(service: &Service, field: &str) -> String {
    format!("dispatcher.services[{:?}]{field}", crate::file::source::shorten(&service.name))
}

/// Operators stop, start and restart services by their names.
fn has_a_name_of_its_own(service: &Service, reader: &mut Reader<'_>) {
    let name = &service.name;
    if PARTS.iter().any(|part| name.eq_ignore_ascii_case(part)) {
        let message = format!("{name} names another part of the engine");
        reader.mistake_at(&path(service, ""), &message, "another name is expected");
    }
}

fn listens(config: &Config, service: &Service, reader: &mut Reader<'_>) {
    let ports = service.ports.len() + service.tls_ports.len();
    if ports == 0 && service.socket.is_none() && reader.is_sound(&path(service, "")) {
        let message = "the service listens nowhere";
        reader.mistake_at(&path(service, ""), message, "ports, tls_ports or socket is expected");
    } else if ports > 0 && service.socket.is_some() {
        let message = "a service has ports or a socket, not both";
        reader.mistake_at(&path(service, ".socket"), message, "make it two services");
    } else if service.socket.is_some() && service.interface_address.is_some() {
        let message = "a socket has no interface address";
        reader.mistake_at(&path(service, ".interface_address"), message, "leave it out");
    }
    if !service.tls_ports.is_empty() && config.tls.is_none() {
        let message = "there is no certificate for TLS";
        let accepted = "tls: (certificate: \"...\", key: \"...\") is expected beside dispatcher";
        reader.mistake_at(&path(service, ".tls_ports"), message, accepted);
    }
    let socket = service.socket.as_ref().map(|socket| config.path(socket));
    if let Some(taken) = socket.as_ref().and_then(|socket| in_the_way(config, socket)) {
        let message = format!("the engine itself keeps {taken} there");
        reader.mistake_at(&path(service, ".socket"), &message, "another path is expected");
    }
    if socket.is_some_and(|socket| socket.as_os_str().len() > LONGEST_SOCKET) {
        let accepted = format!("{LONGEST_SOCKET} octets at most, data included, are allowed");
        reader.mistake_at(
            &path(service, ".socket"),
            "the path is too long for a socket",
            &accepted,
        );
    }
}

/// Checks `socket_mode` and `socket_owner`: they mean something only for a service with a socket,
/// and the accounts that they name can reach it.
fn socket_access(config: &Config, service: &Service, reader: &mut Reader<'_>) {
    let Some(socket) = &service.socket else {
        let given = [
            (".socket_mode", service.socket_mode != DEFAULT_SOCKET_MODE),
            (".socket_owner", service.socket_owner.is_some()),
            (".socket_group", service.socket_group.is_some()),
        ];
        let message = "the service has no socket that this could be said of";
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            reader.mistake_at(&path(service, field), message, "leave it out");
        }
        let mode = path(service, ".socket_mode");
        if service.socket_mode == DEFAULT_SOCKET_MODE && reader.is_given(&mode) {
            reader.warning_at(&mode, message, false);
        }
        return;
    };
    let group = service.socket_group.as_ref();
    if let Some(group) = group.filter(|_| service.socket_mode & 0o020 == 0) {
        let mode = service.socket_mode;
        let message = format!(
            "with socket_mode \"{mode:04o}\" the group {group} cannot connect: \"0660\" lets it"
        );
        reader.warning_at(&path(service, ".socket_group"), &message, false);
    }
    let others = service.socket_mode & 0o022 != 0 || service.socket_owner.is_some();
    if others && socket.is_relative() {
        let data = config.data.display();
        let message = format!(
            "the socket lies below {data}, which is for the engine alone: others cannot connect; an \
             absolute path elsewhere lets them"
        );
        reader.warning_at(&path(service, ".socket"), &message, false);
    }
}

fn limits(service: &Service, reader: &mut Reader<'_>) {
    let limits = &service.limits;
    let pairs = [
        ("procs", limits.min_procs, limits.max_procs),
        ("conns", limits.min_conns, limits.max_conns),
    ];
    for (what, least, most) in pairs {
        if least > most {
            let (low, high) = (format!("min_{what}"), format!("max_{what}"));
            let accepted = format!("{low} may be {most} at most, or {high} must be larger");
            let mut place = path(service, &format!(".{low}"));
            if !reader.is_given(&place) && reader.is_given(&path(service, &format!(".{high}"))) {
                place = path(service, &format!(".{high}"));
            }
            let message = format!("{low} {least} is above {high} {most}");
            reader.mistake_at(&place, &message, &accepted);
        }
    }
}

fn has_channel(config: &Config, known: &Known<'_>, service: &Service, reader: &mut Reader<'_>) {
    if !reader.is_sound(&path(service, ".channel")) || !reader.are_sound("channels", "name") {
        return;
    }
    let place = path(service, ".channel");
    let wanted = match service.program {
        Program::Smtp => channel::Program::Smtp,
        Program::Lmtp | Program::LmtpNative => channel::Program::Lmtp,
    };
    let Some(i) = known.channels.get(service.channel.as_str()).copied() else {
        let message = format!("no channel is called {:?}", service.channel);
        let fitting = config.channels.iter().filter(|channel| channel.program == wanted);
        let names = fitting.map(|channel| channel.name.as_str());
        let names = list(&service.channel, names);
        let accepted = format!("{names} (of program {wanted:?})");
        return reader.mistake_at(&place, &message, &accepted);
    };
    let program = config.channels[i].program;
    let readable = reader.is_sound(&format!("channels[{i}].program"))
        && reader.is_sound(&path(service, ".program"));
    if program != wanted && readable {
        let message = format!(
            "the program of channel {} is {program:?}, that of this service {:?}",
            service.channel, service.program
        );
        let fitting = config.channels.iter().filter(|channel| channel.program == wanted);
        let accepted = format!(
            "a channel of program {wanted:?} is expected, {}",
            list(&service.channel, fitting.map(|channel| channel.name.as_str()))
        );
        reader.mistake_at(&place, &message, &accepted);
    }
}

/// Checks that the section is there that takes the mail of the service.
fn has_store(config: &Config, service: &Service, reader: &mut Reader<'_>) {
    let (missing, field, example) = match service.program {
        Program::Lmtp => (config.store.is_none(), "store", "store: (path: \"...\")"),
        Program::LmtpNative => (config.native.is_none(), "native", "native: (path: \"...\")"),
        Program::Smtp => {
            let example = "job_controller: (pools: {...})";
            (config.job_controller.is_none(), "job_controller", example)
        }
    };
    if missing && reader.is_sound(field) {
        let message =
            format!("a service of program {:?} needs {field}, which is not there", service.program);
        let accepted = format!("{example} is expected beside dispatcher");
        reader.mistake_at(&path(service, ".program"), &message, &accepted);
    }
}

/// The listeners so far, by port.
type Taken<'a> = HashMap<u16, Vec<Listener<'a>>>;

/// A listener with its address; without one it listens on every address.
struct Listener<'a> {
    name: &'a str,
    ip: Option<IpAddr>,
}

/// No two may take the same address.
fn addresses_differ(config: &Config, reader: &mut Reader<'_>) {
    let mut taken = Taken::new();
    let mut sockets: HashMap<PathBuf, &str> = HashMap::new();
    for service in config.dispatcher.enabled() {
        let lists = [("ports", &service.ports), ("tls_ports", &service.tls_ports)];
        for (field, ports) in lists {
            for (i, port) in ports.iter().enumerate() {
                let listener = Listener { name: &service.name, ip: service.interface_address };
                let place = path(service, &format!(".{field}[{i}]"));
                take(&mut taken, *port, listener, &place, reader);
            }
        }
        if let Some(socket) = &service.socket
            && let Some(name) = sockets.insert(config.path(socket), &service.name)
        {
            let message = format!("service {name} listens on this socket already");
            reader.mistake_at(&path(service, ".socket"), &message, "another path is expected");
        }
    }
    if config.admin.tls && config.tls.is_none() {
        let message = "there is no certificate to be shown: the file has no tls";
        reader.mistake_at("admin.tls", message, "tls: (certificate: ..., key: ...) is expected");
    }
    if let Some(listen) = config.admin.listen {
        let listener = Listener { name: "admin", ip: Some(listen.ip()) };
        take(&mut taken, listen.port(), listener, "admin.listen", reader);
    }
}

fn take<'a>(
    taken: &mut Taken<'a>,
    port: u16,
    Listener { name, ip }: Listener<'a>,
    place: &str,
    reader: &mut Reader<'_>,
) {
    // Port 0 is any that is free; an unspecified address is every interface, spelled out.
    if port == 0 {
        return;
    }
    let ip = ip.filter(|ip| !ip.is_unspecified());
    let overlaps = |other: &&Listener<'_>| other.ip.is_none() || ip.is_none() || other.ip == ip;
    let here = taken.entry(port).or_default();
    if let Some(Listener { name: other, ip: other_ip }) = here.iter().find(overlaps) {
        let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let address = SocketAddr::new(other_ip.unwrap_or(everywhere), port);
        let message = format!("{other} listens on {address} already");
        reader.mistake_at(place, &message, "another port or interface_address is expected");
    }
    here.push(Listener { name, ip });
}

/// Parts of the engine that operators name beside services.
const PARTS: [&str; 2] = ["dispatcher", "job_controller"];
