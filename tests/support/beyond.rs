//! A host behind the upstream's, reached through it.
//!
//! ```text
//! proxy ══ link0 ══ upstream (now a router) ══ link1 ══ beyond
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::lab::{Family, Lab, network};
use crate::netns::Namespace;
use crate::process::run;

/// The device that joins the router and the host, by the same name on both sides.
const DEVICE: &str = "link1";

const ROUTER: u8 = 1;
const HOST: u8 = 2;

/// In the network behind the lab's.
fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 50, network() + 1, host)
}

/// A namespace that the proxy reaches through the upstream's.
#[derive(Debug)]
pub struct Beyond(Namespace);

impl Beyond {
    /// Makes one behind the upstream of `lab`, which has two namespaces.
    #[must_use]
    #[track_caller]
    pub fn new(lab: &Lab) -> Self {
        let (router, host) = (lab.upstream(), Namespace::new());
        let link = ["link", "add", DEVICE, "netns", router.name()];
        let veth = ["type", "veth", "peer", "name", DEVICE];
        run(
            "ip",
            &[&link[..], &veth[..], &["netns", host.name()]].concat(),
        );
        for (namespace, number) in [(router, ROUTER), (&host, HOST)] {
            namespace.add_address(DEVICE, &format!("{}/24", address(number)));
            namespace.ip(&["link", "set", DEVICE, "up"]);
        }
        router.set_sysctl("net/ipv4/ip_forward", "1");
        let via = lab.upstream_address(Family::V4).to_string();
        let network = format!("{}/24", address(0));
        lab.proxy().ip(&["route", "add", &network, "via", &via]);
        let router = address(ROUTER).to_string();
        host.ip(&["route", "add", "default", "via", &router]);
        Self(host)
    }

    /// The host's namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.0
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        address(HOST).into()
    }
}
