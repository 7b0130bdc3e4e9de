//! Which addresses a guest may never reach, however they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet: not private, loopback, link-local, metadata,
/// shared, multicast, documentation or reserved, and no IPv6 form that carries such an IPv4
/// address. By the IANA special-purpose registries.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether an address is in one of the networks that an operator may open: loopback, private,
/// shared and unique-local ones. Never the link-local and metadata addresses, and no form that
/// carries an IPv4 address, but for a mapped one.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || (a == 100 && (b & 0xc0) == 64)
        }
        IpAddr::V6(v6) => {
            // AWS has its metadata, DNS and time services in fd00:ec2::/32.
            let aws = v6.segments()[..2] == [0xfd00, 0x0ec2];
            (v6.is_loopback() || v6.is_unique_local()) && !aws
        }
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
    // Only 2000::/3 is handed out; that leaves out loopback, mapped, NAT64, unique-local,
    // link-local and multicast.
    let global = (s[0] & 0xe000) == 0x2000;
    let ietf_protocols = s[0] == 0x2001 && s[1] < 0x0200; // 2001::/23, Teredo within
    let six_to_four = s[0] == 0x2002;
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000);
    global && !ietf_protocols && !six_to_four && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By kind; each line is the first and the last of a range, or a single address.
    const DENIED: &str = "
        0.0.0.0 0.255.255.255
        10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
        100.64.0.0 100.127.255.255
        127.0.0.0 127.255.255.255
        169.254.0.0 169.254.169.254 169.254.170.2 169.254.170.23 169.254.255.255
        192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255
        192.88.99.0 192.88.99.255
        198.18.0.0 198.19.255.255
        224.0.0.0 239.255.255.255
        240.0.0.0 255.255.255.255
        :: ::1 ::7f00:1 ::a9fe:a9fe
        ::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
        64:ff9b:: 64:ff9b::a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b::ffff:ffff
        64:ff9b:1:: 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff
        100:: 100::ffff:ffff:ffff:ffff
        2001:: 2001:0:a9fe:a9fe:: 2001:0:ffff:ffff:ffff:ffff:5601:5601 2001:10:: 2001:20:: 2001:1ff:ffff::
        2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 3fff:: 3fff:fff:ffff::
        2002:: 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff
        4000:: 5f00:: 8000::
        fc00:: fd00:ec2::254 fd00:ec2::23 fdff:ffff::
        fe80:: fe80::a9fe:a9fe febf:ffff:: fec0::
        ff00:: ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

    const ALLOWED: &str = "
        1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255
        192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
        2001:200:: 2001:4860:4860::8888 2003:: 2606:4700::1111 2a00:1450::1 3ffe:: 3fff:1000::";

    fn addresses(text: &str) -> impl Iterator<Item = IpAddr> {
        text.split_whitespace().map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn special_ranges_are_not_public() {
        for address in addresses(DENIED) {
            assert!(!is_public(address), "{address} must be denied");
        }
        for address in addresses(ALLOWED) {
            assert!(is_public(address), "{address} must be allowed");
        }
    }

    #[test]
    fn an_operator_opens_local_networks_and_not_the_metadata() {
        let local = "10.1.2.3 172.16.0.1 192.168.1.1 127.0.0.1 127.9.9.9 100.64.0.1 ::1 fd12::1 ::ffff:10.1.2.3";
        for address in addresses(local) {
            assert!(is_local(address), "{address} may be opened");
        }
        let never = "0.0.0.0 169.254.169.254 169.254.170.2 169.254.170.23 fd00:ec2::254 fd00:ec2::23 fe80::1 :: \
            ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1 2002:a9fe:a9fe:: 2001:0:a9fe:a9fe:: \
            224.0.0.1 ff02::1 255.255.255.255 ::a9fe:a9fe ::7f00:1 8.8.8.8";
        for address in addresses(never) {
            assert!(!is_local(address), "{address} is not local");
        }
    }
}
