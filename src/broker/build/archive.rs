//! Archives as the daemon reads them: how one begins that is not packed, and the end that a build's context
//! gets. Pure.

use tar::{Builder, Header};

use crate::broker::refusal::Refusal;

pub(super) const BLOCK: usize = 512;

/// Says what of a context the daemon leaves out.
pub(super) const IGNORED: &str = ".dockerignore";

/// How compressed archives begin. An entry's name can begin so too: the daemon would unpack what follows, and
/// find another archive than the one that is looked through here. A zstd frame that is skipped begins with
/// one of 16 bytes.
const COMPRESSED: [&[u8]; 4] = [b"BZh", &[0x1f, 0x8b], &[0xfd, b'7', b'z'], &[0x28, 0xb5, 0x2f]];
const SKIPPED_ZSTD: [u8; 3] = [0x2a, 0x4d, 0x18];

/// What is compressed, or no archive at all, has no sum that fits.
pub(super) fn check_sum(header: &Header) -> Result<(), Refusal> {
    let bytes = header.as_bytes().iter().enumerate();
    let sum: u32 =
        bytes.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    if header.cksum().is_ok_and(|written| written == sum) {
        return Ok(());
    }
    Err(Refusal::malformed("context", "the build's context is no archive"))
}

/// Looks at an archive's first block.
pub(super) fn check_beginning(first: &[u8]) -> Result<(), Refusal> {
    let packed = COMPRESSED.iter().any(|begin| first.starts_with(begin))
        || first.get(1..4) == Some(&SKIPPED_ZSTD);
    if !packed {
        return Ok(());
    }
    let message = "the build's context begins like a compressed archive; put another file first";
    Err(Refusal::malformed("context", message))
}

/// The end of an archive: the file that is built from under a name that nobody can guess, and the mark after
/// it. The daemon takes out of the context what `.dockerignore` says of these two files, as for the command
/// line's own `-f -`: what differs from build to build must be neither in an image nor in what tells whether
/// a layer is built again.
pub fn end(name: &str, dockerfile: &[u8], ignored: &[u8]) -> Vec<u8> {
    let ignored = [ignored, format!("\n{IGNORED}\n{name}\n").as_bytes()].concat();
    let mut archive =
        Builder::new(Vec::with_capacity(dockerfile.len() + ignored.len() + 6 * BLOCK));
    for (name, content) in [(IGNORED, ignored.as_slice()), (name, dockerfile)] {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        // Writing into memory does not fail, and the names are our own.
        drop(archive.append_data(&mut header, name, content));
    }
    archive.into_inner().unwrap_or_default()
}
