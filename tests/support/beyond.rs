//! A host behind the upstream's, reached through it.
//!
//! ```text
//! proxy ══ link0 ══ upstream (now a router) ══ link1 ══ beyond
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::lab::{Family, Lab};
use crate::netns::Namespace;
use crate::process::run;

/// The device that joins the router and the host, by the same name on both sides.
const DEVICE: &str = "link1";

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 50, 3, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 50, 3, 2);
const NETWORK: &str = "10.50.3.0/24";

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
        for (namespace, address) in [(router, ROUTER), (&host, HOST)] {
            namespace.add_address(DEVICE, &format!("{address}/24"));
            namespace.ip(&["link", "set", DEVICE, "up"]);
        }
        router.set_sysctl("net/ipv4/ip_forward", "1");
        let via = lab.upstream_address(Family::V4).to_string();
        lab.proxy().ip(&["route", "add", NETWORK, "via", &via]);
        host.ip(&["route", "add", "default", "via", &ROUTER.to_string()]);
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
        HOST.into()
    }
}
