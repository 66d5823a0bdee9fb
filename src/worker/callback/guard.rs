//! Where callbacks may go: a caller names the URL, so it must not lead to what only this machine and
//! its networks can reach (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::Callbacks;

/// Tells which addresses a post may be sent to.
#[derive(Clone, Debug)]
pub struct Guard {
    deny_private_networks: bool,
    allow: Vec<IpNet>,
}

/// What is not the public internet (RFC 6890 and the registry that it founded).
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this network
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // shared by the customers of a provider
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, among it the metadata of cloud machines
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // relays of 6to4
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// All that is public of IPv6 lies in here. Loopback, link-local, unique local, multicast and
/// IPv4-compatible addresses do not.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);

/// What is not public in [`GLOBAL_V6`].
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23), // protocol assignments, among them Teredo, which hides an IPv4 address
    v6([0x2001, 0x0db8], 32), // documentation
    v6([0x2002, 0], 16), // 6to4, which leads to any IPv4 address
    v6([0x3fff, 0], 20), // documentation
];

/// A translator to IPv4 takes these (NAT64, RFC 6052); the IPv4 address is in the last 32 bits.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b], 96);

impl Guard {
    /// The guard of a configuration.
    pub fn new(settings: &Callbacks) -> Self {
        Self {
            deny_private_networks: settings.deny_private_networks,
            allow: settings.allow.clone(),
        }
    }

    /// Whether a post may go to this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let reached = reached(address);
        !self.deny_private_networks
            || is_public(reached)
            || self.allow.iter().any(|network| network.contains(&reached))
    }
}

/// The address at which a packet to this one arrives: an IPv4 address can be written as one of IPv6.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [.., a, b, c, d] = v6.octets();
    if v6.to_ipv4_mapped().is_some() || NAT64.contains(&v6) {
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            GLOBAL_V6.contains(&v6) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&v6))
        }
    }
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard {
            deny_private_networks: true,
            allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn only_the_public_internet_is_permitted() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ];
        for text in public {
            assert!(guard(&[]).permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_only_this_side_can_reach_is_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:0.0.0.0",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:0:1:2:3:4:80ff:fffe",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:101:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(!guard(&[]).permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn exceptions_are_judged_by_the_address_that_is_reached() {
        let cases = [
            ("10.1.0.0/16", "10.1.2.3", true),
            ("10.1.0.0/16", "10.2.2.3", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("10.1.0.0/16", "64:ff9b::10.1.2.3", true),
            ("fd00::/8", "fd00::1", true),
            ("2002::/16", "2002:7f00:1::1", true),
            ("::/0", "::1", true),
            ("::/0", "::ffff:127.0.0.1", false),
            ("0.0.0.0/0", "127.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
        ];
        for (allow, address, permitted) in cases {
            let guard = guard(&["192.0.2.7/32", allow]);
            let is = guard.permits(address.parse().unwrap());
            assert_eq!(is, permitted, "{address} with {allow}");
        }
    }

    #[test]
    fn a_guard_that_is_off_permits_everything() {
        let off = Guard {
            deny_private_networks: false,
            allow: Vec::new(),
        };
        assert!(off.permits("127.0.0.1".parse().unwrap()));
        assert!(off.permits("fe80::1".parse().unwrap()));
    }
}
