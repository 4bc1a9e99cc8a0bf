//! Sockets of a network namespace, asked of the kernel by `sock_diag(7)`.

use std::io;
use std::net::IpAddr;

use gw502_common::tcp::state;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_packet_sock_diag::unix;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

use crate::event::Endpoint;

/// A cookie that fits every socket (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// The kernel makes no message of a dump larger than this (`netlink_dump()`, 32 KiB).
const LARGEST: usize = 64 * 1024;

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where; `0.0.0.0` and `::` stand for every address.
    pub at: Endpoint,
    /// Whether a listener on `::` leaves IPv4 to others.
    pub only_v6: bool,
    /// Whether it is bound to one interface, and takes only what comes in there.
    pub is_bound: bool,
    /// Inode number of the socket.
    pub inode: u32,
    /// Connections that wait for `accept()` (`sk_ack_backlog`).
    pub length: u32,
    /// How many may wait; one more than this is still taken (`sk_max_ack_backlog`).
    pub limit: u32,
    /// Segments that the socket dropped since it listens (`sk_drops`), where the kernel says.
    pub drops: Option<u32>,
}

impl Listening {
    /// Whether a connection to `to` would be this socket's.
    pub fn takes(&self, to: Endpoint) -> bool {
        if self.at.port != to.port {
            return false;
        }
        match self.at.address {
            own if own == to.address => true,
            IpAddr::V4(own) => own.is_unspecified() && to.address.is_ipv4(),
            IpAddr::V6(own) => own.is_unspecified() && (to.address.is_ipv6() || !self.only_v6),
        }
    }

    /// Whether no further connection fits (`sk_acceptq_is_full()`).
    pub const fn is_full(&self) -> bool {
        self.length > self.limit
    }
}

/// A unix socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListening {
    /// Its name; zero bytes of an abstract one are written as `@`.
    pub path: String,
    /// Inode number of the socket.
    pub inode: u32,
    /// Connections that wait for `accept()`.
    pub length: u32,
    /// How many may wait; one more than this is still taken.
    pub limit: u32,
}

/// A way to ask about the network namespace that it was opened in.
#[derive(Debug)]
pub struct SockDiag(Socket);

impl SockDiag {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Every TCP socket that listens.
    pub fn listening(&self) -> io::Result<Vec<Listening>> {
        let mut found = Vec::new();
        for family in [AF_INET, AF_INET6] {
            self.tcp(NLM_F_DUMP, request(family, StateFlags::LISTEN), |answer| {
                found.push(listening(&answer));
            })?;
        }
        Ok(found)
    }

    /// Inode number of the open connection from `peer` to `own`, asked at the end of `own`: 0 when
    /// no program has accepted it; `None` when there is none, or `own` has closed it. (A closed one
    /// has no inode either.)
    pub fn accepted(&self, own: Endpoint, peer: Endpoint) -> io::Result<Option<u32>> {
        let family = if own.address.is_ipv4() {
            AF_INET
        } else {
            AF_INET6
        };
        let mut request = request(family, StateFlags::all());
        request.socket_id = SocketId {
            source_port: own.port,
            destination_port: peer.port,
            source_address: own.address,
            destination_address: peer.address,
            interface_id: 0,
            cookie: ANY_COOKIE,
        };
        let mut found = None;
        let asked = self.tcp(0, request, |answer| {
            let id = &answer.header.socket_id;
            let is_open = matches!(answer.header.state, state::ESTABLISHED | state::CLOSE_WAIT);
            // A listener answers for connections that are not there.
            if is_open && id.destination_port == peer.port {
                found = Some(answer.header.inode);
            }
        });
        match asked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(|()| found),
        }
    }

    /// How many TCP sockets, of whatever state, were connected to `to` from here.
    pub fn towards(&self, to: Endpoint) -> io::Result<u32> {
        let mut count = 0;
        for family in [AF_INET, AF_INET6] {
            self.tcp(NLM_F_DUMP, request(family, StateFlags::all()), |answer| {
                let id = &answer.header.socket_id;
                let peer = Endpoint {
                    address: id.destination_address.to_canonical(),
                    port: id.destination_port,
                };
                count += u32::from(peer == to);
            })?;
        }
        Ok(count)
    }

    /// Every unix socket that listens.
    pub fn unix_listening(&self) -> io::Result<Vec<UnixListening>> {
        let request = unix::UnixRequest {
            state_flags: unix::StateFlags::LISTEN,
            inode: 0,
            show_flags: unix::ShowFlags::NAME | unix::ShowFlags::RQLEN,
            cookie: [0; 8],
        };
        let mut found = Vec::new();
        self.ask(
            NLM_F_DUMP,
            SockDiagMessage::UnixRequest(request),
            |answer| {
                if let SockDiagMessage::UnixResponse(answer) = answer {
                    found.extend(unix_listening(&answer));
                }
            },
        )?;
        Ok(found)
    }

    fn tcp(
        &self,
        flags: u16,
        request: InetRequest,
        mut take: impl FnMut(InetResponse),
    ) -> io::Result<()> {
        self.ask(flags, SockDiagMessage::InetRequest(request), |answer| {
            if let SockDiagMessage::InetResponse(answer) = answer {
                take(*answer);
            }
        })
    }

    /// One question and all of its answers.
    fn ask(
        &self,
        flags: u16,
        question: SockDiagMessage,
        mut take: impl FnMut(SockDiagMessage),
    ) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        loop {
            let mut bytes = Vec::with_capacity(LARGEST);
            self.0.recv(&mut bytes, 0)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => take(answer),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok(());
                }
                // Messages are padded to four bytes (NLMSG_ALIGN).
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn request(family: u8, states: StateFlags) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states,
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    }
}

fn listening(answer: &InetResponse) -> Listening {
    let header = &answer.header;
    let only_v6 = answer
        .nlas
        .iter()
        .any(|nla| matches!(nla, Nla::SkV6Only(true)));
    let drops = answer.nlas.iter().find_map(|nla| match nla {
        Nla::MemInfo(memory) => Some(memory.drops),
        _ => None,
    });
    Listening {
        at: Endpoint {
            // One of `::ffff:127.0.0.1` takes what goes to 127.0.0.1 (Java listens so).
            address: header.socket_id.source_address.to_canonical(),
            port: header.socket_id.source_port,
        },
        only_v6,
        is_bound: header.socket_id.interface_id != 0,
        inode: header.inode,
        length: header.recv_queue,
        limit: header.send_queue,
        drops,
    }
}

fn unix_listening(answer: &unix::UnixResponse) -> Option<UnixListening> {
    let mut found = UnixListening {
        path: String::new(),
        inode: answer.header.inode,
        length: 0,
        limit: 0,
    };
    for nla in &answer.nlas {
        match nla {
            unix::nlas::Nla::Name(name) => found.path = name_of(name),
            unix::nlas::Nla::ReceiveQueueLength(length, limit) => {
                (found.length, found.limit) = (*length, *limit);
            }
            _ => {}
        }
    }
    (!found.path.is_empty()).then_some(found)
}

/// As [`crate::event::Upstream`] writes it.
fn name_of(name: &unix::nlas::UnixDiagName) -> String {
    match name {
        unix::nlas::UnixDiagName::Pathname(path) => path.to_string_lossy().into_owned(),
        unix::nlas::UnixDiagName::Abstract(name) => {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            format!("@{}", String::from_utf8_lossy(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use super::*;

    fn endpoint(address: std::net::SocketAddr) -> Endpoint {
        Endpoint {
            address: address.ip(),
            port: address.port(),
        }
    }

    fn listening_at(address: &str, only_v6: bool) -> Listening {
        Listening {
            at: endpoint(address.parse().unwrap()),
            only_v6,
            is_bound: false,
            inode: 1,
            length: 0,
            limit: 1,
            drops: None,
        }
    }

    #[test]
    fn a_listener_is_found_with_its_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = endpoint(listener.local_addr().unwrap());
        let diag = SockDiag::open().unwrap();
        let here = |diag: &SockDiag| {
            let all = diag.listening().unwrap();
            all.into_iter().find(|listening| listening.at == at)
        };
        let found = here(&diag).unwrap();
        assert_eq!((found.length, found.is_full()), (0, false));
        assert!(found.limit > 0 && found.inode != 0);
        let _client = TcpStream::connect((at.address, at.port)).unwrap();
        assert_eq!(here(&diag).unwrap().length, 1);
        drop(listener);
        assert_eq!(here(&diag), None);
    }

    #[test]
    fn a_connection_has_no_inode_before_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = endpoint(listener.local_addr().unwrap());
        let client = TcpStream::connect((own.address, own.port)).unwrap();
        let peer = endpoint(client.local_addr().unwrap());
        let diag = SockDiag::open().unwrap();
        assert_eq!(diag.accepted(own, peer).unwrap(), Some(0));
        let (server, _) = listener.accept().unwrap();
        assert!(diag.accepted(own, peer).unwrap().unwrap() > 0);
        assert_eq!(diag.towards(own).unwrap(), 1);
        drop(server);
        assert_eq!(diag.accepted(own, peer).unwrap(), None);
        let nobody = Endpoint { port: 1, ..peer };
        assert_eq!(diag.accepted(own, nobody).unwrap(), None);
    }

    #[test]
    fn unix_listeners_are_named_as_upstreams_are() {
        let name = format!("gw502-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let all = SockDiag::open().unwrap().unix_listening().unwrap();
        let path = format!("@{name}");
        assert!(all.iter().any(|one| one.path == path && one.length == 0));
    }

    #[test]
    fn a_wildcard_takes_what_its_family_allows() {
        let to = endpoint("10.0.0.1:80".parse().unwrap());
        for (at, only_v6, takes) in [
            ("10.0.0.1:80", false, true),
            ("10.0.0.1:81", false, false),
            ("10.0.0.2:80", false, false),
            ("0.0.0.0:80", false, true),
            ("[::]:80", false, true),
            ("[::]:80", true, false),
            ("[::1]:80", false, false),
        ] {
            assert_eq!(listening_at(at, only_v6).takes(to), takes, "{at} {only_v6}");
        }
    }
}
