//! Ourselves: the names and places by which mail comes back to this machine.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use relais_config::{Config, channel::Program, dispatcher};

/// Names and places of this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Ourselves {
    /// In lower case.
    names: HashSet<Box<str>>,
    /// Where services take mail in; an address of no host stands for every address of this machine.
    services: Vec<SocketAddr>,
}

impl Ourselves {
    pub(super) fn of(config: &Config) -> Self {
        let local = config.channels.iter().filter(|channel| channel.program == Program::Local);
        let names = local.map(|channel| channel.tag.as_str()).chain([config.host.as_str()]);
        let smtp = |its: &&dispatcher::Service| its.program == dispatcher::Program::Smtp;
        let services = config.dispatcher.enabled().filter(smtp).flat_map(|service| {
            let address = service.interface_address.unwrap_or(EVERYWHERE);
            let ports = service.ports.iter().chain(&service.tls_ports);
            ports.map(move |port| SocketAddr::new(address, *port))
        });
        let names = names.map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
        Self { names: names.collect(), services: services.collect() }
    }

    /// Whether this is a name of ours, in lower case.
    pub(super) fn is_name(&self, host: &str) -> bool {
        self.names.contains(host)
    }

    /// Whether mail that is sent there comes back to us: a service of ours listens there, or it is
    /// the port of mail of an address of this machine that others can reach.
    pub(super) fn is_place(&self, place: SocketAddr) -> bool {
        let ip = place.ip().to_canonical();
        let listens = |service: &SocketAddr| {
            let everywhere = service.ip().is_unspecified();
            service.port() == place.port() && (everywhere || service.ip().to_canonical() == ip)
        };
        let mail = place.port() == MAIL && !ip.is_loopback();
        (mail || self.services.iter().any(listens)) && is_of_this_machine(ip)
    }
}

/// Whether an address is of this machine: nobody can bind to that of another.
pub fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

const EVERYWHERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
const MAIL: u16 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_of_ours() {
        let own = |services: &[&str]| Ourselves {
            names: HashSet::from(["relay.test".into()]),
            services: services.iter().map(|its| its.parse().unwrap()).collect(),
        };
        assert!(own(&[]).is_name("relay.test") && !own(&[]).is_name("other.test"));
        // services, a place, whether it is ours
        let rows: [(&[&str], &str, bool); 7] = [
            (&["[::]:2525"], "127.0.0.1:2525", true),
            (&["127.0.0.1:2525"], "127.0.0.1:2525", true),
            (&["127.0.0.1:2525"], "[::ffff:127.0.0.1]:2525", true),
            (&["127.0.0.1:2525"], "127.0.0.2:2525", false),
            (&["127.0.0.1:2525"], "127.0.0.1:26", false),
            (&["[::]:25"], "192.0.2.1:25", false),
            // Another MTA of this machine, behind which nobody from outside comes.
            (&[], "127.0.0.1:25", false),
        ];
        for (services, place, want) in rows {
            assert_eq!(own(services).is_place(place.parse().unwrap()), want, "{place}");
        }
    }
}
