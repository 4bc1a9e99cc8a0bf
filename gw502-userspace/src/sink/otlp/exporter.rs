//! Requests, one after the other, over a connection that is kept as long as all goes well.

use std::error::Error;

use ::http::Response;
use ::http::response::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::Incoming;

use super::answer::Answer;
use super::connect::{ConnectError, Endpoint, EndpointError, open};
use super::payload::Payload;
use super::{grpc, headers, http};
use crate::config::{OtlpConfig, OtlpProtocol};
use crate::sink::ship::{DeliverError, in_a_line};

/// Bytes of a response that are read: it says how many were refused, and why.
const RESPONSE_BYTES: usize = 1 << 20;

/// The connection is of no use any more, and with it the request.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

impl Broken {
    pub(super) fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(in_a_line(error.into().as_ref()))
    }
}

/// A response as a whole.
pub(super) async fn read(
    response: Response<Incoming>,
) -> Result<(Parts, Collected<Bytes>), Broken> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, RESPONSE_BYTES).collect().await;
    Ok((head, body.map_err(Broken::of)?))
}

/// What sends requests.
#[derive(Debug)]
pub(super) struct Exporter {
    config: OtlpConfig,
    endpoint: Endpoint,
    kept: Option<Connection>,
}

#[derive(Debug)]
enum Connection {
    Grpc(grpc::Connection),
    Http(http::Connection),
}

impl Exporter {
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, EndpointError> {
        headers::check(config)?;
        Ok(Self {
            endpoint: Endpoint::parse(config)?,
            config: config.clone(),
            kept: None,
        })
    }

    /// Sends a request and waits for what the receiver makes of it, as long as the configuration
    /// allows.
    pub(super) async fn export(&mut self, payload: &Payload) -> Result<(), DeliverError> {
        let limit = self.config.timeout;
        let answer = match tokio::time::timeout(limit, self.attempt(payload)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Broken(why))) => Answer::Later { why, after: None },
            Err(_elapsed) => Answer::Later {
                why: format!("{} has not answered in {limit:?}", self.endpoint.authority),
                after: None,
            },
        };
        answer.result(payload)
    }

    /// Takes the connection away and puts it back when all went well: one that broke, that was given
    /// up in the middle or whose credentials were refused is not used again.
    async fn attempt(&mut self, payload: &Payload) -> Result<Answer, Broken> {
        if let Some(mut kept) = self.kept.take() {
            match self.send(&mut kept, payload).await {
                // Nothing came of it: the receiver has closed it meanwhile, as any server does with
                // idle connections, or what it knows us by has changed. Once more, on a new one.
                Err(Broken(why)) => log::debug!("connecting to the OTLP receiver again: {why}"),
                Ok(answer) if answer.is_about_credentials() => {}
                Ok(answer) => return Ok(self.keep(kept, answer)),
            }
        }
        let mut fresh = self.connect().await.map_err(Broken::of)?;
        let answer = self.send(&mut fresh, payload).await?;
        Ok(self.keep(fresh, answer))
    }

    fn keep(&mut self, connection: Connection, answer: Answer) -> Answer {
        if matches!(answer, Answer::Taken { .. }) {
            self.kept = Some(connection);
        }
        answer
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let opened = open(&self.endpoint, &self.config).await?;
        Ok(match self.config.protocol {
            OtlpProtocol::Grpc => {
                Connection::Grpc(grpc::Connection::new(&self.endpoint, opened).await?)
            }
            OtlpProtocol::Http => {
                Connection::Http(http::Connection::new(&self.endpoint, opened).await?)
            }
        })
    }

    async fn send(&self, over: &mut Connection, payload: &Payload) -> Result<Answer, Broken> {
        match over {
            Connection::Grpc(grpc) => {
                grpc.send(&self.endpoint, payload, self.config.timeout)
                    .await
            }
            Connection::Http(http) => http.send(&self.endpoint, payload).await,
        }
    }
}
