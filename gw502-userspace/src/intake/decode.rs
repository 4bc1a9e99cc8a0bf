//! Pure: the bytes of a record into a value. Never panics, whatever the bytes.

use gw502_common::ending::Ending;
use gw502_common::wire::{FailureRecord, WIRE_VERSION};
use zerocopy::FromBytes as _;

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
    /// A kind of ending that this version does not know.
    #[error("record of unknown kind {got}")]
    Kind {
        /// Kind found.
        got: u8,
    },
}

/// A record and what its kind means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The shape of the end.
    pub ending: Ending,
    /// Everything else.
    pub record: FailureRecord,
}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let record =
        FailureRecord::read_from_bytes(bytes).map_err(|_wrong_size| DecodeError::Length {
            got: bytes.len(),
            expected: size_of::<FailureRecord>(),
        })?;
    let header = record.header;
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
    let ending =
        Ending::try_from(header.kind).map_err(|unknown| DecodeError::Kind { got: unknown.0 })?;
    Ok(Decoded { ending, record })
}

#[cfg(test)]
mod tests {
    use gw502_common::wire::RecordHeader;
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
            Decoded {
                ending: Ending::Refused,
                record
            }
        );
    }

    #[test]
    fn any_other_length_is_refused() {
        let bytes = [record().as_bytes(), &[0]].concat();
        assert_eq!(
            decode(&bytes),
            Err(DecodeError::Length {
                got: 233,
                expected: 232
            })
        );
        assert_eq!(
            decode(&[]),
            Err(DecodeError::Length {
                got: 0,
                expected: 232
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
        for kind in [0, 10, 255] {
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
                got: 232
            })
        );
    }
}
