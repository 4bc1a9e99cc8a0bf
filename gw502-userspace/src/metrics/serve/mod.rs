//! `/metrics` and `/health` over HTTP, on a thread of its own: a storm of failures does not keep
//! Prometheus waiting, and no reader keeps intake waiting.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::model::Measures;
use super::page::{Format, page};

/// Readers at the same time; others wait for their turn.
const READERS: usize = 16;
/// A reader that takes longer than this, from the first byte to the last, is sent away.
const PATIENCE: Duration = Duration::from_secs(10);
/// When nothing was shown anew for so long, the agent hangs.
const STALE: Duration = Duration::from_secs(15);
/// What an accept that failed is followed by: there are no descriptors, for example.
const AGAIN: Duration = Duration::from_millis(100);

/// What there is to show.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Of `/metrics`.
    pub measures: Arc<Measures>,
    /// Of `/health`: what is wrong, a sentence each.
    pub wrong: Vec<String>,
    /// When it was so.
    pub at: Instant,
}

impl Shown {
    /// Before anything was measured.
    pub fn nothing() -> Self {
        Self {
            measures: Arc::default(),
            wrong: Vec::new(),
            at: Instant::now(),
        }
    }
}

/// The page at work. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _end: oneshot::Sender<Infallible>,
}

impl Server {
    /// Serves what was shown last. Errors are those of the address, and of starting a thread.
    pub fn start(listen: SocketAddr, shown: watch::Receiver<Shown>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        error = serve(listener, shown) => {
                            log::error!("the page with metrics ended: {error}");
                        }
                        _ended = ended => {}
                    }
                });
            })?;
        Ok(Self { address, _end: end })
    }

    /// Where it is served.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Why it could not go on.
async fn serve(listener: TcpListener, shown: watch::Receiver<Shown>) -> io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        let permit = match Arc::clone(&readers).acquire_owned().await {
            Ok(permit) => permit,
            Err(closed) => return io::Error::other(closed),
        };
        let stream = match listener.accept().await {
            Ok((stream, _from)) => stream,
            Err(error) => {
                log::debug!("cannot accept a reader of metrics: {error}");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let shown = shown.clone();
        drop(tokio::spawn(async move {
            let answer = |request| {
                let response = answer(&request, &shown.borrow().clone());
                async move { Ok::<_, Infallible>(response) }
            };
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(16 << 10)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            match timeout(PATIENCE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("a reader of metrics left: {error}"),
                Err(_elapsed) => log::debug!("a reader of metrics was too slow"),
            }
            drop(permit);
        }));
    }
}

fn answer(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET is all there is\n");
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter();
            let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
            let format = Format::accepted(&accept.join(","));
            let body = page(&shown.measures, format);
            respond(StatusCode::OK, format.content_type(), body)
        }
        "/health" => health(shown),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics and /health\n"),
    }
}

/// `/health` as JSON.
#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'a str>,
}

fn health(shown: &Shown) -> Response<Full<Bytes>> {
    let age = Instant::now().saturating_duration_since(shown.at);
    let stale = format!("nothing was read from the kernel for {} s", age.as_secs());
    let mut reasons: Vec<_> = shown.wrong.iter().map(String::as_str).collect();
    if age > STALE {
        reasons.push(&stale);
    }
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "failing")
    };
    let body = serde_json::to_string(&Health { status, reasons });
    let body = body.unwrap_or_default() + "\n";
    respond(code, "application/json", body)
}

fn text(code: StatusCode, body: &str) -> Response<Full<Bytes>> {
    respond(code, "text/plain; charset=utf-8", body.to_owned())
}

fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
