//! Addresses that strangers have no business to send our mail to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address, if no server of the Internet is to be found there
/// (IANA's registries of special-purpose addresses, RFC 6890).
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, second, third, _] = address.octets();
    Some(match first {
        0 => "an address of no host",
        127 => "a loopback address",
        169 if second == 254 => "a link-local address",
        100 if second & 0xc0 == 64 => "an address of a provider's inside",
        192 if second == 0 && third == 0 => "an address of protocols",
        198 if second & 0xfe == 18 => "an address of benchmarks",
        224..=239 => "a multicast address",
        240.. => "a reserved address",
        _ if address.is_private() => "a private address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, ..] = address.segments();
    Some(match first {
        _ if address.is_unspecified() => "an address of no host",
        _ if address.is_loopback() => "a loopback address",
        _ if first & 0xff00 == 0xff00 => "a multicast address",
        _ if first & 0xffc0 == 0xfe80 => "a link-local address",
        _ if first & 0xffc0 == 0xfec0 || first & 0xfe00 == 0xfc00 => "a private address",
        // An IPv4 address behind a translator (RFC 6052).
        0x64 if address.segments()[1..6] == [0xff9b, 0, 0, 0, 0] => {
            let [.., high, low] = address.segments();
            return special_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_no_server_of_the_internet() {
        let rows = [
            ("192.0.2.1", ""),
            ("8.8.8.8", ""),
            ("172.32.0.1", ""),
            ("100.128.0.1", ""),
            ("2001:db8::1", ""),
            ("64:ff9b::8.8.8.8", ""),
            ("0.0.0.0", "no host"),
            ("127.0.0.2", "loopback"),
            ("10.1.2.3", "private"),
            ("172.16.0.1", "private"),
            ("192.168.1.1", "private"),
            ("169.254.1.1", "link-local"),
            ("100.64.0.1", "provider"),
            ("198.19.0.1", "benchmarks"),
            ("192.0.0.8", "protocols"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "no host"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("fe80::1", "link-local"),
            ("fd00::1", "private"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
            ("64:ff9b::10.0.0.1", "private"),
        ];
        for (address, want) in rows {
            let got = special(address.parse().unwrap()).unwrap_or_default();
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{address}: {got}");
        }
    }
}
