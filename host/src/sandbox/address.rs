//! Which addresses a guest may never reach, however they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet: not private, loopback, link-local, metadata, shared, multicast,
/// documentation or reserved, and no IPv6 form that carries such an IPv4 address. By the IANA special-purpose registries.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (b & 0xc0) == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b & 0xfe) == 18))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    // Only 2000::/3 is handed out; that leaves out loopback, mapped, NAT64, unique-local, link-local and multicast.
    let global = (s[0] & 0xe000) == 0x2000;
    let ietf_protocols = s[0] == 0x2001 && s[1] < 0x0200; // 2001::/23, Teredo within
    let six_to_four = s[0] == 0x2002;
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000);
    global && !ietf_protocols && !six_to_four && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_ranges_are_not_public() {
        let denied = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 169.254.170.2 169.254.170.23 172.16.0.1 \
            192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 \
            ::ffff:169.254.169.254 ::ffff:8.8.8.8 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: \
            2001:0:1::1 2001:db8::1 fd00:ec2::254 fe80::1 ff02::1 fc00::1 3fff::1";
        for text in denied.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text} must be denied");
        }
        for text in "8.8.8.8 1.1.1.1 192.0.1.1 2606:4700::1111 2a00:1450::1".split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text} must be allowed");
        }
    }
}
