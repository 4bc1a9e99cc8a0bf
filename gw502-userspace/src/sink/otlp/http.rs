//! OTLP/HTTP: binary protobuf in a POST over HTTP/1.1.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};

use super::answer::{Answer, of_http};
use super::connect::{ConnectError, Endpoint, Opened, driven};
use super::exporter::{Broken, read};
use super::payload::Payload;

/// A connection that takes requests.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Connection {
    pub(super) async fn new(endpoint: &Endpoint, opened: Opened) -> Result<Self, ConnectError> {
        let Opened { wire, mut headers } = opened;
        let sender = driven(endpoint, handshake(wire).await)?;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        Ok(Self { sender, headers })
    }

    /// Posts, and reads what comes of it.
    pub(super) async fn send(
        &mut self,
        endpoint: &Endpoint,
        payload: &Payload,
    ) -> Result<Answer, Broken> {
        let path = endpoint.below(payload.signal.path());
        let path = path.ok_or_else(|| Broken("the endpoint has an impossible path".to_owned()))?;
        let mut request = Request::post(path.as_str())
            .body(Full::new(payload.bytes.clone()))
            .map_err(Broken::of)?;
        let host = HeaderValue::from_str(endpoint.authority.as_str()).map_err(Broken::of)?;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(HOST, host);

        self.sender.ready().await.map_err(Broken::of)?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(Broken::of)?;
        let (head, body) = read(response).await?;
        Ok(of_http(
            payload.signal,
            head.status,
            &head.headers,
            body.to_bytes(),
        ))
    }
}
