//! Addresses that a name of somebody else must not lead to.

use std::net::IpAddr;

/// Whether an address is one of the Internet's own: neither of this machine nor of a private network.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(its) => {
            let [first, second, ..] = its.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(its.is_loopback()
                || its.is_private()
                || its.is_link_local()
                || its.is_multicast()
                || its.is_broadcast()
                || its.is_documentation()
                || first == 0
                || is_shared)
        }
        IpAddr::V6(its) => {
            !(its.is_loopback()
                || its.is_unspecified()
                || its.is_multicast()
                || its.is_unique_local()
                || its.is_unicast_link_local())
        }
    }
}
