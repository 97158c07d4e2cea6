//! Names under which block lists keep addresses (RFC 5782).

use std::{
    fmt::Write,
    net::{IpAddr, Ipv6Addr},
};

/// The name under which a list keeps an address: `7.2.0.192.list.example`.
pub fn reversed(client: IpAddr, list: &str) -> String {
    let mut name = String::with_capacity(LONGEST + list.len());
    // Writing to a string cannot fail.
    match client.to_canonical() {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(address) => put_nibbles(address, &mut name),
    }
    name + list
}

fn put_nibbles(address: Ipv6Addr, name: &mut String) {
    for octet in address.octets().iter().rev() {
        let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
    }
}

/// Octets of an address of IPv6.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rfc_5782() {
        let rows = [
            ("192.0.2.99", "99.2.0.192.bad.example.com"),
            ("::ffff:192.0.2.99", "99.2.0.192.bad.example.com"),
            (
                "2001:db8:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bad.example.com",
            ),
        ];
        for (client, want) in rows {
            assert_eq!(reversed(client.parse().unwrap(), "bad.example.com"), want);
        }
    }
}
