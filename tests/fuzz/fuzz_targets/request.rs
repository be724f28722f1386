//! A request's target, up to the first line's end, and its JSON body: read or refused, never more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::broker::request::{Head, Method, Request};

const METHODS: [Method; 5] =
    [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let Ok(target) = std::str::from_utf8(&rest[..end]) else { return };
    let body = rest.get(end + 1..).unwrap_or_default();
    let head = Head {
        method: METHODS[usize::from(*first) % METHODS.len()],
        target: target.to_owned(),
        content_type: None,
        has_body: !body.is_empty(),
    };
    drop(Request::read(&head, body));
});
