//! Arbitrary records: decoded, classified, rendered.

use gw502_common::ending::Ending;
use gw502_common::hooks::Backend;
use gw502_common::wire::{CONNECT_FAILED, CallRecord, FailureRecord, RecordHeader, WIRE_VERSION};
use gw502_userspace::intake::decode::{Decoded, decode as decode_record};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use proptest::{prop_assert_eq, proptest, sample};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Bytes of which many are zero, as in real records.
pub(super) fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![2 => Just(0), 1 => Just(1), 3 => any::<u8>()],
        length,
    )
}

/// What a kernel may have set, and now and then anything.
pub(super) fn errno() -> impl Strategy<Value = i32> {
    let known = sample::select(vec![0, 32, 99, 101, 103, 104, 105, 110, 111, 113]);
    prop_oneof![9 => known, 1 => any::<i32>()]
}

/// A record with a valid header and anything else.
pub(super) fn record() -> impl Strategy<Value = FailureRecord> {
    let ending = sample::select(Ending::ALL.to_vec());
    let state = || 0..=12_u8;
    let body = bytes(size_of::<FailureRecord>());
    (ending, state(), state(), errno(), errno(), 0..=4_u8, body).prop_map(
        |(ending, old_state, new_state, error, soft_error, icmp_origin, body)| {
            let mut record = FailureRecord::read_from_bytes(&body).unwrap();
            record.header = RecordHeader {
                len: u16::try_from(size_of::<FailureRecord>()).unwrap(),
                version: WIRE_VERSION,
                kind: ending as u8,
                ..record.header
            };
            record.socket.old_state = old_state;
            record.socket.new_state = new_state;
            record.socket.error = error;
            record.socket.soft_error = soft_error;
            record.socket.icmp_origin = icmp_origin;
            record
        },
    )
}

/// The same of a `connect()` that failed.
pub(super) fn call() -> impl Strategy<Value = CallRecord> {
    let backend = sample::select(Backend::ALL.to_vec());
    let family = sample::select(vec![1_u16, 2, 10]);
    let body = bytes(size_of::<CallRecord>());
    (backend, family, errno(), body).prop_map(|(backend, family, error, body)| {
        let mut record = CallRecord::read_from_bytes(&body).unwrap();
        record.header = RecordHeader {
            len: u16::try_from(size_of::<CallRecord>()).unwrap(),
            version: WIRE_VERSION,
            kind: CONNECT_FAILED,
            ..record.header
        };
        record.connection.family = family;
        record.backend = backend as u8;
        record.error = error;
        record
    })
}

/// What was decoded, as bytes again.
fn encoded(decoded: &Decoded) -> &[u8] {
    match decoded {
        Decoded::Ended(ended) => ended.record.as_bytes(),
        Decoded::Call(call) => call.as_bytes(),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in vec(any::<u8>(), 0..600)) {
        crate::decode(&bytes);
    }

    #[test]
    fn any_record_comes_back_as_it_was(record in record()) {
        let decoded = decode_record(record.as_bytes()).unwrap();
        prop_assert_eq!(encoded(&decoded), record.as_bytes());
    }

    #[test]
    fn any_call_comes_back_as_it_was(record in call()) {
        let decoded = decode_record(record.as_bytes()).unwrap();
        prop_assert_eq!(encoded(&decoded), record.as_bytes());
        crate::decode(record.as_bytes());
    }
}

proptest! {
    #![proptest_config(super::few())]

    #[test]
    fn any_records_are_rendered_recorded_and_replayed(records in vec(record(), 1..8)) {
        let bytes: Vec<_> = records.iter().flat_map(FailureRecord::as_bytes).copied().collect();
        crate::decode(&bytes);
    }
}
