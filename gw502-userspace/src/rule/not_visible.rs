//! The page of what TCP cannot show: statuses 5xx that are no failed connection.

use super::{Page, Step};

/// What a proxy answers 502 for, and gw502 cannot see.
pub static NOT_VISIBLE: Page = Page {
    title: "a 502, 503 or 504 without a failure here: what TCP cannot show",
    symptom: &[
        "The proxy answered 5xx, and gw502 shows no failure of that upstream at that time.",
        "nginx: `upstream sent invalid header`, `upstream sent too big header` (502)",
        "nginx: `no live upstreams`, `… could not be resolved` (502)",
        "nginx: `upstream SSL certificate verify error`, `SSL_do_handshake() failed` (502)",
        "nginx: no error line, and $upstream_status 5xx: the application answered so itself",
        "nginx: 200, but cut off, `… while reading upstream` (an answer that broke off)",
        "HAProxy: 502 PH (malformed), 503 <NOSRV> SC (all down), 503 sQ (its queue), ---- (the app)",
        "Envoy: UH (no healthy host), UO (overflow), UPE (protocol), via_upstream (the app)",
        "Caddy: `no upstreams available`; Apache: AH01170, AH01110",
    ],
    kernel_saw: &[
        "Bytes of an answer came back, and then the connection ended: to TCP the end of any answer, or no connection was tried at all.",
    ],
    reasons: &[
        "An answer that breaks off or stalls after its first byte: only HTTP's framing could tell.",
        "An answer that the proxy finds malformed or too big (headers, cookies, another protocol).",
        "A 5xx that the application wrote: a normal answer. gunicorn's worker time-out is a 500.",
        "TLS verification: the handshake's alert is only some bytes and a close.",
        "DNS: the name of the upstream did not resolve, so there was nothing to connect to.",
        "`no live upstreams`: after failures (which gw502 shows) the proxy has marked all down.",
        "The proxy's own limits: queues, circuit breakers, worker_connections.",
        "A stream of an HTTP/2 or gRPC connection that was reset, while the connection goes on.",
    ],
    check: &[
        Step::new(
            "tail -f /var/log/nginx/error.log",
            "nginx says which one it is; HAProxy's log has the termination state",
        ),
        Step::new(
            "log_format up '$time_iso8601 $status $upstream_addr $upstream_status $request';",
            "nginx: whether the 5xx came from the upstream ($upstream_status)",
        ),
        Step::new(
            "curl -sv -o /dev/null http://{endpoint}/PATH",
            "the upstream's own answer, without the proxy",
        ),
        Step::new(
            "openssl s_client -connect {endpoint} -servername NAME </dev/null",
            "the upstream's certificate, and whether the handshake works",
        ),
        Step::new(
            "getent ahosts NAME",
            "whether the name resolves on this host",
        ),
        Step::new(
            "gw502 trace --include-aborted",
            "also what the proxy cancelled itself; `gw502 doctor` says what this kernel hides",
        ),
    ],
    fix: &[
        Step::new(
            "proxy_buffer_size 16k; proxy_buffers 8 16k;",
            "nginx: `too big header` (4k or 8k by default); php-fpm: fastcgi_buffer_size, fastcgi_buffers",
        ),
        Step::new("tune.bufsize 32768", "HAProxy: the same, in `global`"),
        Step::new(
            "server ADDRESS max_fails=3 fail_timeout=10s;",
            "nginx: after how many failures a server counts as down, and for how long",
        ),
        Step::new(
            "proxy_ssl_name NAME; proxy_ssl_server_name on; proxy_ssl_trusted_certificate FILE;",
            "nginx: the name and the authority that the upstream's certificate has",
        ),
    ],
};
