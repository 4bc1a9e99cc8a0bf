//! What the settings are called that patterns speak of.

use crate::diagnose::track::Patience;

/// Where a proxy has its patience from: the setting, and a command that shows it.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) shown_by: &'static str,
}

/// The setting of a proxy for a wait.
pub(super) fn patience(comm: &str, patience: Patience) -> Option<Setting> {
    use Patience::{Answer, Connect, Send};
    let (name, shown_by) = match (comm, patience) {
        ("nginx" | "openresty" | "angie", Connect) => {
            ("proxy_connect_timeout", "nginx -T | grep connect_timeout")
        }
        ("nginx" | "openresty" | "angie", Answer) => {
            ("proxy_read_timeout", "nginx -T | grep read_timeout")
        }
        ("nginx" | "openresty" | "angie", Send) => {
            ("proxy_send_timeout", "nginx -T | grep send_timeout")
        }
        ("haproxy", Connect) => (
            "timeout connect",
            "grep -n 'timeout connect' /etc/haproxy/haproxy.cfg",
        ),
        ("haproxy", Answer | Send) => (
            "timeout server",
            "grep -n 'timeout server' /etc/haproxy/haproxy.cfg",
        ),
        ("apache2" | "httpd", Connect) => (
            "connectiontimeout",
            "grep -rniE 'connectiontimeout|ProxyTimeout' /etc/apache2 /etc/httpd",
        ),
        ("apache2" | "httpd", Answer | Send) => (
            "ProxyTimeout",
            "grep -rniE 'ProxyTimeout|[ \"]timeout' /etc/apache2 /etc/httpd",
        ),
        ("envoy", Connect) => ("connect_timeout", "grep -rn connect_timeout /etc/envoy"),
        ("envoy", Answer) => ("timeout of the route", "grep -rn timeout: /etc/envoy"),
        ("caddy", Connect) => ("dial_timeout", "grep -n dial_timeout /etc/caddy/Caddyfile"),
        ("caddy", Answer) => (
            "response_header_timeout",
            "grep -n response_header_timeout /etc/caddy/Caddyfile",
        ),
        ("varnishd", Connect) => ("connect_timeout", "varnishadm param.show connect_timeout"),
        ("varnishd", Answer) => (
            "first_byte_timeout",
            "varnishadm param.show first_byte_timeout",
        ),
        _ => return None,
    };
    Some(Setting { name, shown_by })
}

/// What keeps a proxy from using a connection that was idle for longer than this: a line of its
/// configuration.
pub(super) fn shorter_idle(comm: &str, than_ms: u64) -> Option<String> {
    let seconds = than_ms / 1000;
    let time = if seconds > 0 {
        format!("{seconds}s")
    } else {
        format!("{than_ms}ms")
    };
    Some(match comm {
        "nginx" | "openresty" | "angie" => format!("keepalive_timeout {time};"),
        "haproxy" => format!("pool-purge-delay {time}"),
        "apache2" | "httpd" => format!("ProxyPass … ttl={}", seconds.max(1)),
        "envoy" => format!("common_http_protocol_options: {{ idle_timeout: {time} }}"),
        "caddy" => format!("keepalive {time}"),
        _ => return None,
    })
}

/// The upstream's own limit, by the name of its process.
pub(super) fn idle_limit(comm: &str) -> Option<&'static str> {
    const LIMITS: &[(&str, &str)] = &[
        ("node", "server.keepAliveTimeout"),
        ("gunicorn", "gunicorn --keep-alive"),
        ("uvicorn", "uvicorn --timeout-keep-alive"),
        ("nginx", "keepalive_timeout"),
        ("apache2", "KeepAliveTimeout"),
        ("httpd", "KeepAliveTimeout"),
    ];
    let known = LIMITS.iter().find(|(name, _)| comm.starts_with(name));
    known.map(|(_, setting)| *setting)
}
