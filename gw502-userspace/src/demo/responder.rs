//! The far side of the TUN device: a host that is silent and a firewall that rejects.
//!
//! Both live in TEST-NET-1 (RFC 5737). A user-space responder needs no firewall rules, and it gives
//! what loopback cannot: an ICMP error that arrives while the proxy waits, as from a real network,
//! instead of within its call of `connect()`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// Our own address on the TUN device.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// Never answers anything.
pub(super) const SILENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Has a firewall before it.
pub(super) const REJECTED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// That firewall: who says that [`REJECTED`] is out of bounds.
const FIREWALL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// The way there and back: long enough for the proxy to be waiting when the answer comes.
const ROUND_TRIP: Duration = Duration::from_millis(10);
/// The default MTU of a TUN device: no packet is longer.
const MTU: usize = 1500;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;
const ICMP_UNREACHABLE: u8 = 3;
/// "Communication administratively prohibited" (RFC 1812, section 5.2.7.1).
const ICMP_ADMIN_PROHIBITED: u8 = 13;

/// Answers the packets of `tun` for as long as the process lives.
pub(super) fn spawn(mut tun: File) -> anyhow::Result<()> {
    thread::Builder::new()
        .name("responder".to_owned())
        .spawn(move || {
            if let Err(error) = respond(&mut tun) {
                log::warn!("the responder ended: {error}");
            }
        })
        .context("cannot start the responder thread")?;
    Ok(())
}

fn respond(tun: &mut File) -> io::Result<()> {
    let mut buffer = [0; MTU];
    loop {
        let length = tun.read(&mut buffer)?;
        if let Some(reply) = buffer.get(..length).and_then(reply_to) {
            thread::sleep(ROUND_TRIP);
            tun.write_all(&reply)?;
        }
    }
}

/// What the network answers to this packet: an ICMP error to a SYN for [`REJECTED`], else nothing.
fn reply_to(packet: &[u8]) -> Option<Vec<u8>> {
    let syn = Syn::parse(packet)?;
    (syn.destination == REJECTED).then(|| prohibited(&syn))
}

/// The SYN of a TCP connection over IPv4.
struct Syn<'a> {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// The IP header and the 8 bytes after it: enough to find the connection again (RFC 792).
    quote: &'a [u8],
}

impl<'a> Syn<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let (version, words) = packet.first().map(|byte| (byte >> 4, byte & 0x0f))?;
        let (ip, tcp) = packet.split_at_checked(usize::from(words) * 4)?;
        let is_tcp = version == 4 && *ip.get(9)? == PROTOCOL_TCP;
        let is_syn = tcp.get(13)? & (TCP_SYN | TCP_ACK) == TCP_SYN;
        (is_tcp && is_syn).then_some(Self {
            source: address_at(ip, 12)?,
            destination: address_at(ip, 16)?,
            quote: packet.get(..ip.len() + 8)?,
        })
    }
}

fn address_at(header: &[u8], offset: usize) -> Option<Ipv4Addr> {
    header
        .get(offset..)?
        .first_chunk::<4>()
        .copied()
        .map(Ipv4Addr::from)
}

/// The firewall's answer to a SYN, as an IPv4 packet.
fn prohibited(syn: &Syn<'_>) -> Vec<u8> {
    let icmp = |sum: u16| {
        let kind = [ICMP_UNREACHABLE, ICMP_ADMIN_PROHIBITED];
        [&kind, &sum.to_be_bytes()[..], &[0; 4], syn.quote].concat()
    };
    let message = icmp(checksum(&icmp(0)));
    [ip_header(syn.source, message.len()), message].concat()
}

/// An IPv4 header without options, from [`FIREWALL`], for an ICMP message of that length.
fn ip_header(destination: Ipv4Addr, payload: usize) -> Vec<u8> {
    // At most 60 bytes of IP header, 8 of TCP and 8 of ICMP are behind it: 16 bits are plenty.
    let total = u16::try_from(20 + payload).unwrap_or(u16::MAX);
    let header = |sum: u16| {
        [
            &[0x45, 0xc0][..], // IPv4, 5 words long; precedence of control traffic
            &total.to_be_bytes(),
            &[0, 0, 0x40, 0, 64, PROTOCOL_ICMP], // no id, never fragmented, 64 hops
            &sum.to_be_bytes(),
            &FIREWALL.octets(),
            &destination.octets(),
        ]
        .concat()
    };
    header(checksum(&header(0)))
}

/// The Internet checksum (RFC 1071): 0 for data that carries its own right one.
fn checksum(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|pair| match *pair {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    });
    !words.fold(0, |sum: u16, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN from port 0x8888 to port 80, as the kernel sends it but for options and checksums.
    fn packet(destination: Ipv4Addr, flags: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0];
        packet.extend(ADDRESS.octets());
        packet.extend(destination.octets());
        packet.extend([
            0x88, 0x88, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff,
        ]);
        packet.extend([0; 4]);
        packet
    }

    #[test]
    fn the_checksum_of_rfc_1071s_example_is_right() {
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[test]
    fn a_carry_out_of_the_checksum_comes_back_in() {
        assert_eq!(checksum(&[0xff, 0xff, 0xff, 0xff]), 0);
        assert_eq!(checksum(&[0xff, 0xff, 0x00, 0x01]), !0x0001);
        assert_eq!(checksum(&[0x01]), !0x0100);
    }

    #[test]
    fn a_syn_to_the_rejected_host_is_answered_by_the_firewall() {
        let syn = packet(REJECTED, TCP_SYN);
        let reply = reply_to(&syn).expect("an ICMP error");
        let (ip, icmp) = reply.split_at(20);

        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), reply.len());
        assert_eq!(ip[9], PROTOCOL_ICMP);
        assert_eq!(address_at(ip, 12), Some(FIREWALL));
        assert_eq!(address_at(ip, 16), Some(ADDRESS), "goes back to the sender");
        assert_eq!(checksum(ip), 0);

        assert_eq!(icmp[..2], [ICMP_UNREACHABLE, ICMP_ADMIN_PROHIBITED]);
        assert_eq!(
            icmp[8..],
            syn[..28],
            "quotes the IP header and 8 bytes of TCP"
        );
        assert_eq!(checksum(icmp), 0);
    }

    #[test]
    fn ip_options_are_quoted_too() {
        let mut syn = packet(REJECTED, TCP_SYN);
        syn[0] = 0x46;
        syn.splice(20..20, [1; 4]);
        let reply = reply_to(&syn).expect("an ICMP error");
        assert_eq!(reply[28..], syn[..32]);
    }

    #[test]
    fn nothing_else_is_answered() {
        let ipv6 = [&[0x60][..], &[0; 59]].concat();
        let udp = {
            let mut packet = packet(REJECTED, TCP_SYN);
            packet[9] = 17;
            packet
        };
        assert_eq!(reply_to(&packet(SILENT, TCP_SYN)), None);
        assert_eq!(reply_to(&packet(REJECTED, TCP_SYN | TCP_ACK)), None);
        assert_eq!(reply_to(&packet(REJECTED, TCP_ACK)), None);
        assert_eq!(reply_to(&udp), None);
        assert_eq!(reply_to(&ipv6), None);
    }

    #[test]
    fn no_truncated_packet_is_answered_or_panics() {
        let syn = packet(REJECTED, TCP_SYN);
        for length in 0..34 {
            assert_eq!(reply_to(&syn[..length]), None, "{length} bytes");
        }
    }
}
