//! Pure: the bytes of a record into a value. Never panics, whatever the bytes.

use gw502_common::ending::Ending;
use gw502_common::hooks::Backend;
use gw502_common::wire::{CONNECT_FAILED, CallRecord, FailureRecord, RecordHeader, WIRE_VERSION};
use zerocopy::FromBytes;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not as long as a record of this version.
    #[error("record of {got} bytes, expected {expected}")]
    Length {
        /// Bytes given.
        got: usize,
        /// Bytes of a record.
        expected: usize,
    },
    /// Written by another version of the kernel side.
    #[error("record of wire version {got}, expected {expected}", expected = WIRE_VERSION)]
    Version {
        /// Version found.
        got: u8,
    },
    /// The header's own length is not the record's.
    #[error("record says it has {claimed} bytes, but has {got}")]
    Claim {
        /// Length in the header.
        claimed: u16,
        /// Bytes given.
        got: usize,
    },
    /// A backend that this version does not know.
    #[error("record of unknown backend {got}")]
    Backend {
        /// Backend found.
        got: u8,
    },
    /// A kind of ending that this version does not know.
    #[error("record of unknown kind {got}")]
    Kind {
        /// Kind found.
        got: u8,
    },
}

/// A record, and what its kind means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A connection ended.
    Ended(Ended),
    /// A `connect()` failed, or does not return.
    Call(CallRecord),
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The shape of the end.
    pub ending: Ending,
    /// Everything else.
    pub record: FailureRecord,
}

impl From<Ended> for Decoded {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl Decoded {
    /// How the record starts, of whatever kind it is.
    pub const fn header(&self) -> &RecordHeader {
        match self {
            Self::Ended(ended) => &ended.record.header,
            Self::Call(record) => &record.header,
        }
    }
}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let expected = size_of::<RecordHeader>();
    let (header, _) =
        RecordHeader::read_from_prefix(bytes).map_err(|_too_short| DecodeError::Length {
            got: bytes.len(),
            expected,
        })?;
    if header.version != WIRE_VERSION {
        return Err(DecodeError::Version {
            got: header.version,
        });
    }
    if usize::from(header.len) != bytes.len() {
        return Err(DecodeError::Claim {
            claimed: header.len,
            got: bytes.len(),
        });
    }
    if header.kind == CONNECT_FAILED {
        let call: CallRecord = whole(bytes)?;
        let known = Backend::try_from(call.backend);
        return known
            .map(|_backend| Decoded::Call(call))
            .map_err(|got| DecodeError::Backend { got });
    }
    let ending =
        Ending::try_from(header.kind).map_err(|unknown| DecodeError::Kind { got: unknown.0 })?;
    let record = whole(bytes)?;
    Ok(Ended { ending, record }.into())
}

/// The record that `bytes` are, all of them.
fn whole<Record: FromBytes>(bytes: &[u8]) -> Result<Record, DecodeError> {
    Record::read_from_bytes(bytes).map_err(|_wrong_size| DecodeError::Length {
        got: bytes.len(),
        expected: size_of::<Record>(),
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    fn record() -> FailureRecord {
        FailureRecord {
            header: RecordHeader {
                len: u16::try_from(size_of::<FailureRecord>()).unwrap(),
                version: WIRE_VERSION,
                kind: Ending::Refused as u8,
                ..RecordHeader::default()
            },
            ..FailureRecord::default()
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let record = record();
        let decoded = decode(record.as_bytes()).unwrap();
        assert_eq!(
            decoded,
            Decoded::Ended(Ended {
                ending: Ending::Refused,
                record
            })
        );
    }

    #[test]
    fn a_call_comes_back_as_it_was() {
        let mut record = CallRecord {
            header: RecordHeader {
                len: u16::try_from(size_of::<CallRecord>()).unwrap(),
                version: WIRE_VERSION,
                kind: CONNECT_FAILED,
                ..RecordHeader::default()
            },
            error: 2,
            backend: Backend::Kprobe as u8,
            ..CallRecord::default()
        };
        assert_eq!(decode(record.as_bytes()), Ok(Decoded::Call(record)));

        record.backend = 99;
        let error = DecodeError::Backend { got: 99 };
        assert_eq!(decode(record.as_bytes()), Err(error));

        record.header.kind = Ending::Refused as u8;
        let (got, expected) = (size_of::<CallRecord>(), size_of::<FailureRecord>());
        let error = DecodeError::Length { got, expected };
        assert_eq!(decode(record.as_bytes()), Err(error));
    }

    #[test]
    fn any_other_length_is_refused() {
        let mut longer = record();
        longer.header.len += 1;
        let bytes = [longer.as_bytes(), &[0]].concat();
        assert_eq!(
            decode(&bytes),
            Err(DecodeError::Length {
                got: 257,
                expected: 256
            })
        );
        assert_eq!(
            decode(&[]),
            Err(DecodeError::Length {
                got: 0,
                expected: 24
            })
        );
    }

    #[test]
    fn another_version_is_refused() {
        let mut record = record();
        record.header.version = WIRE_VERSION + 1;
        assert_eq!(
            decode(record.as_bytes()),
            Err(DecodeError::Version {
                got: WIRE_VERSION + 1
            })
        );
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        for kind in [0, 11, 255] {
            let mut record = record();
            record.header.kind = kind;
            assert_eq!(
                decode(record.as_bytes()),
                Err(DecodeError::Kind { got: kind })
            );
        }
    }

    #[test]
    fn a_false_length_claim_is_refused() {
        let mut record = record();
        record.header.len = 3;
        assert_eq!(
            decode(record.as_bytes()),
            Err(DecodeError::Claim {
                claimed: 3,
                got: 256
            })
        );
    }
}
