//! Pure: what a receiver made of a request, as the OTLP specification reads its answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::payload::{Payload, Signal};
use crate::sink::ship::DeliverError;

/// More of a receiver's words than this says nothing.
const LONGEST: usize = 300;

/// What the receiver made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it, except so many.
    Taken { refused: i64, words: String },
    /// It may take it later.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// It does not want it, now or ever; `credentials`: from us, who we are said to be.
    Never { why: String, credentials: bool },
}

impl Answer {
    /// The same to whoever delivers.
    pub(super) fn result(self, payload: &Payload) -> Result<(), DeliverError> {
        match self {
            Self::Taken { refused, words } => {
                match u64::try_from(refused).unwrap_or(0).min(payload.count) {
                    0 if words.is_empty() => Ok(()),
                    0 => {
                        log::debug!("the OTLP receiver took everything, and says: {words}");
                        Ok(())
                    }
                    refused => Err(DeliverError::Never {
                        refused,
                        why: words,
                    }),
                }
            }
            Self::Later { why, after } => Err(DeliverError::Later { why, after }),
            Self::Never { why, .. } => Err(DeliverError::Never {
                refused: payload.count,
                why,
            }),
        }
    }

    /// Whether nothing came of it because of who we are said to be.
    pub(super) const fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::Never {
                credentials: true,
                ..
            }
        )
    }
}

/// Reads a gRPC status and, where that is OK, the response.
pub(super) fn of_grpc(signal: Signal, status: &Status, response: Bytes) -> Answer {
    let code = status.code();
    if code == Code::Ok {
        return taken(signal, response);
    }
    let asked = status.get_details_retry_info();
    let after = asked
        .as_ref()
        .and_then(|info| info.retry_delay)
        .filter(|delay| !delay.is_zero());
    let why = match status.message() {
        "" => format!("gRPC status {code:?}"),
        words => one_line(&format!("gRPC status {code:?}: {words}")),
    };
    let again = match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // It is a limit that passes only where the receiver says so.
        Code::ResourceExhausted => asked.is_some(),
        _ => false,
    };
    if again {
        Answer::Later { why, after }
    } else {
        let credentials = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
        Answer::Never { why, credentials }
    }
}

/// Reads an HTTP response; of a gRPC receiver, one that bears no gRPC status.
pub(super) fn of_http(
    signal: Signal,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    if status.is_success() {
        return match media_type(headers) {
            Some("application/json") => taken_in_json(signal, &body),
            _ => taken(signal, body),
        };
    }
    let why = match tonic_types::Status::decode(body) {
        Ok(said) if !said.message.is_empty() => {
            one_line(&format!("HTTP status {status}: {}", said.message))
        }
        _ => format!("HTTP status {status}"),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Later {
            why,
            after: retry_after(headers),
        },
        _ => Answer::Never {
            why,
            credentials: matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        },
    }
}

/// A response to what was taken. Whatever else answers 200 to everything is no receiver.
fn taken(signal: Signal, response: Bytes) -> Answer {
    match signal.partial(response) {
        Ok((refused, words)) => Answer::Taken {
            refused,
            words: one_line(&words),
        },
        Err(error) => Answer::Never {
            why: format!("what answers there is no OTLP receiver: {error}"),
            credentials: false,
        },
    }
}

/// The same from a receiver that answers in JSON whatever it was asked in.
fn taken_in_json(signal: Signal, response: &[u8]) -> Answer {
    let response: serde_json::Value = match serde_json::from_slice(response) {
        Ok(response) => response,
        Err(error) => {
            return Answer::Never {
                why: format!("what answers there is no OTLP receiver: {error}"),
                credentials: false,
            };
        }
    };
    let partial = response.get("partialSuccess");
    let field = |name: &str| partial.and_then(|partial| partial.get(name));
    let refused = field(match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    });
    // 64-bit numbers are strings in OTLP's JSON.
    let number = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_i64(),
    };
    let words = field("errorMessage").and_then(serde_json::Value::as_str);
    Answer::Taken {
        refused: refused.and_then(number).unwrap_or(0),
        words: one_line(words.unwrap_or_default()),
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which counts from the receiver's
/// own `Date`: its clock may not be ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|wait| !wait.is_zero());
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok();
    let then = date(text)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    let seconds = then.timestamp().as_second() - now.timestamp().as_second();
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

/// A receiver's words fit into a line of a log.
fn one_line(words: &str) -> String {
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests;
