//! Networks: `192.0.2.0/24`, `2001:db8::/32`, or a single address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The addresses that share their first bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text that is no network, or an address with bits behind its prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a network is an address, or an address, a slash and a number of bits")]
pub struct NetworkError;

impl Network {
    /// The network of `bits` bits that `address` is in; an address of IPv4 in IPv6 counts as IPv4.
    pub fn around(address: IpAddr, bits: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { first: Ipv4Addr::from_bits(address.to_bits() & mask).into(), bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { first: Ipv6Addr::from_bits(address.to_bits() & mask).into(), bits }
            }
        }
    }

    /// How many bits its addresses share.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Self::around(address, self.bits) == *self
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |bits: &&str| bits.bytes().all(|c| c.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => {
                Some(bits).filter(digits).and_then(|bits| bits.parse().ok()).ok_or(NetworkError)?
            }
        };
        let network = Self { first: address, bits };
        let fits = bits <= most && Self::around(address, bits) == network;
        fits.then_some(network).ok_or(NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, bits } = self;
        let most = if first.is_ipv4() { 32 } else { 128 };
        if *bits == most { write!(f, "{first}") } else { write!(f, "{first}/{bits}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_network_and_who_is_in_it() {
        // text, an address in it, one that is not
        let rows = [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/24", "::ffff:192.0.2.7", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
        ];
        for (text, inside, outside) in rows {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), text);
            assert!(network.contains(inside.parse().unwrap()), "{inside} is in {text}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} is not in {text}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([8, 8, 8, 8].into()) && !all.contains("::1".parse().unwrap()));
        for text in ["", "x", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "::/129", "1.2.3.4/+8"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
        assert_eq!(
            Network::around("2001:db8::1".parse().unwrap(), 64).to_string(),
            "2001:db8::/64"
        );
    }
}
