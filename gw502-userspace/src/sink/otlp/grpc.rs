//! OTLP/gRPC: a unary call is one HTTP/2 request with a length before its message, and a status in
//! the trailers of its response.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use tonic::Status;

use super::answer::{Answer, of_grpc, of_http};
use super::connect::{ConnectError, Endpoint, Opened, driven};
use super::exporter::{Broken, read};
use super::payload::Payload;

/// A connection that takes calls.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Connection {
    pub(super) async fn new(endpoint: &Endpoint, opened: Opened) -> Result<Self, ConnectError> {
        let Opened { wire, mut headers } = opened;
        let sender = driven(endpoint, handshake(TokioExecutor::new(), wire).await)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        Ok(Self { sender, headers })
    }

    /// Calls, and reads what comes of it.
    pub(super) async fn send(
        &mut self,
        endpoint: &Endpoint,
        payload: &Payload,
        timeout: Duration,
    ) -> Result<Answer, Broken> {
        let uri = format!(
            "{}://{}{}",
            endpoint.scheme(),
            endpoint.authority,
            payload.signal.method()
        );
        let mut request = Request::post(uri)
            .body(Full::new(frame(&payload.bytes)?))
            .map_err(Broken::of)?;
        request.headers_mut().clone_from(&self.headers);
        // The receiver need not go on when we have stopped waiting.
        let timeout = format!("{}m", timeout.as_millis().min(99_999_999));
        let timeout = HeaderValue::from_str(&timeout).map_err(Broken::of)?;
        request.headers_mut().insert("grpc-timeout", timeout);

        self.sender.ready().await.map_err(Broken::of)?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(Broken::of)?;
        let (head, body) = read(response).await?;
        // Without a message the status is in the headers.
        let trailers = body.trailers().and_then(Status::from_header_map);
        let status = trailers.or_else(|| Status::from_header_map(&head.headers));
        match status {
            Some(status) => Ok(of_grpc(payload.signal, &status, unframe(body.to_bytes()))),
            // Somebody on the way has cut it off.
            None if head.status == StatusCode::OK => {
                Err(Broken("its answer ends without a gRPC status".to_owned()))
            }
            // Somebody on the way has answered, who does not know gRPC.
            None => Ok(of_http(
                payload.signal,
                head.status,
                &head.headers,
                body.to_bytes(),
            )),
        }
    }
}

/// The message with a byte that says "not compressed" and its length before it.
fn frame(message: &Bytes) -> Result<Bytes, Broken> {
    let length = u32::try_from(message.len()).map_err(Broken::of)?;
    let mut frame = BytesMut::with_capacity(message.len().saturating_add(PREFIX));
    frame.put_u8(0);
    frame.put_u32(length);
    frame.extend_from_slice(message);
    Ok(frame.freeze())
}

/// Bytes before a message.
const PREFIX: usize = 5;

/// The message. One cut off does not decode.
fn unframe(mut body: Bytes) -> Bytes {
    body.advance(PREFIX.min(body.len()));
    body
}
