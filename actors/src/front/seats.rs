//! How many connections of one client, and of one network, there are at once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use relais_config::grammar::Network;

/// The place of a connection among those of its client and its network; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Seat {
    taken: Option<(Arc<Seats>, [Option<SeatOf>; 2])>,
}

/// Connections of each client and each network that a limit holds for.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<HashMap<SeatOf, usize>>);

/// A client or a network, as limits count them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum SeatOf {
    Client(Network),
    Prefix(Network),
}

impl Seats {
    /// Takes all of these places, or none.
    pub(super) fn take(self: Arc<Self>, places: [Option<(SeatOf, usize)>; 2]) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full =
            |(place, most): &(SeatOf, usize)| taken.get(place).is_some_and(|count| count >= most);
        if places.iter().flatten().any(is_full) {
            return None;
        }
        let places = places.map(|place| place.map(|(place, _)| place));
        for place in places.iter().flatten() {
            *taken.entry(*place).or_default() += 1;
        }
        drop(taken);
        Some(Seat { taken: Some((self, places)) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((taken, places)) = self.taken.take() else { return };
        let mut taken = taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places.into_iter().flatten() {
            if let Some(count) = taken.get_mut(&place) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(&place);
                }
            }
        }
    }
}

/// The addresses that one host has: one of IPv4, 64 bits of IPv6.
pub(super) fn host(client: IpAddr) -> Network {
    Network::around(client, if client.to_canonical().is_ipv4() { 32 } else { 64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_and_its_network_have_so_many_places_each() {
        let taken = Arc::new(Seats::default());
        let take = |client: &str, bits| {
            let client: IpAddr = client.parse().unwrap();
            let prefix = SeatOf::Prefix(Network::around(client, bits));
            taken.clone().take([Some((SeatOf::Client(host(client)), 2)), Some((prefix, 3))])
        };
        let first = take("192.0.2.1", 24).expect("room");
        let _second = take("192.0.2.1", 24).expect("room");
        assert!(take("192.0.2.1", 24).is_none(), "the client has its two");
        let third = take("192.0.2.2", 24).expect("room");
        assert!(take("192.0.2.3", 24).is_none(), "the network has its three");
        let _other = take("192.0.3.1", 24).expect("another network");
        drop(first);
        let _again = take("192.0.2.3", 24).expect("room");
        drop(third);
        let _one = take("2001:db8::1", 48).expect("room");
        let _two = take("2001:db8::2", 48).expect("room");
        assert!(take("2001:db8::3", 48).is_none(), "one host of IPv6");
        assert_eq!(taken.0.lock().unwrap().len(), 7, "places that nobody takes are not kept");
    }
}
