//! The head of a request: whatever the bytes, it is read or refused, and what is read has a target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::broker::request;
use longshore::broker::transport;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(length)) = transport::length(bytes) else { return };
    assert!(length <= transport::MAX_HEAD && length <= bytes.len());
    if let Ok(envelope) = transport::read(&bytes[..length]) {
        assert!(envelope.head.target.starts_with('/'));
        drop(request::route(&envelope.head));
    }
});
