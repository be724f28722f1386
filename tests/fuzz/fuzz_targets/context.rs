//! A build's context, in pieces of a size of its own: what passes is never more than what came, but for gzip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::broker::build::{Context, Packing};

/// Most bytes of a context.
const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut looking = Context::new("Dockerfile");
    let mut packing = Packing::new(MOST);
    let mut out = Vec::new();
    let mut each = |plain: &[u8]| looking.push(plain, &mut out);
    for piece in rest.chunks(usize::from(*first) + 1) {
        if packing.push(piece, &mut each).is_err() {
            return;
        }
    }
    if packing.finish(&mut each).is_ok() {
        drop(looking.finish());
    }
    assert!(out.len() as u64 <= MOST);
});
