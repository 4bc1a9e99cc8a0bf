//! What proxies log: the same words for several causes, as nginx 1.22 and 1.26, HAProxy 2.6 and
//! 3.0, Apache 2.4, Caddy 2.6 and Envoy 1.40 were seen to write them.

pub(super) const REFUSED: &[&str] = &[
    "nginx: 502, `connect() failed (111: Connection refused) while connecting to upstream`",
    "HAProxy: 503, termination state SC, after its retries",
    "Apache: 503, `(111)Connection refused: AH00957: … attempt to connect to … failed`",
    "Envoy: 503 UF",
    "Caddy: 502, `dial tcp …: connect: connection refused`",
];

pub(super) const UNIX_HAPROXY: &str =
    "HAProxy: 503, termination state SC; Envoy: 503 UF; Caddy: 502";
pub(super) const UNIX_APACHE: &str = "Apache: 503, AH02454 with the same error";

pub(super) const CONNECT_TIMEOUT: &[&str] = &[
    "nginx: 504, `upstream timed out (110: Connection timed out) while connecting to upstream`",
    "HAProxy: 503, termination state sC",
    "Envoy: 504 UT, or 503 UF where its connect_timeout is the shorter one",
    "Apache: 503, (70007) The timeout specified has expired",
    "Caddy: 502, `dial tcp …: i/o timeout`",
];

pub(super) const READ_TIMEOUT: &[&str] = &[
    "nginx: 504, `upstream timed out (110: Connection timed out) while reading response header`",
    "HAProxy: 504, termination state sH",
    "Envoy: 504 UT",
    "Apache: 502 (not 504), (70007) with AH01102",
    "Caddy: 504, `net/http: timeout awaiting response headers`, if a time-out is configured",
];

pub(super) const RESET: &[&str] = &[
    "nginx: 502, `recv() failed (104: Connection reset by peer) while reading response header`",
    "HAProxy: 502, termination state SH",
    "Envoy: 503 UC",
    "Apache: 502, (104) with AH01102 and AH00898",
    "Caddy: 502, `read: connection reset by peer`",
];

pub(super) const CLOSED: &[&str] = &[
    "nginx: 502, `upstream prematurely closed connection while reading response header`",
    "HAProxy: 502, termination state SH",
    "Envoy: 503 UC",
    "Apache: 502, (20014) with AH01102 and AH00898",
    "Caddy: 502, `EOF`",
];

pub(super) const HOST_UNREACHABLE: &[&str] = &[
    "nginx: 502, `connect() failed (113: No route to host) while connecting to upstream`",
    "HAProxy: 503, termination state SC or sC",
    "Envoy: 503 UF; Apache: 503, (113)",
    "Caddy: 502, `connect: no route to host`",
];
