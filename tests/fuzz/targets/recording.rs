//! Bytes of a file: read as a recording to its end, and rendered.
#![no_main]
#![expect(
    unused_crate_dependencies,
    reason = "the library of this package uses them"
)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gw502_fuzz::recording(bytes));
