//! Packs one block of bytes by deflate or Zstandard, so that blocks put one after another unpack as one
//! stream. Pure work on memory.

use super::Level;
use flate2::{Compress, Crc, FlushCompress, Status};
use rawzip::CompressionMethod;
use std::io;

/// Bits in a byte that cannot be packed; what comes this close is not worth the time.
const HOPELESS: f64 = 7.95;
/// Bytes looked at, in some places of a block, to tell.
const SAMPLE: usize = 16 * 1024;

/// How blocks are packed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compression {
    Deflate(Level),
    Zstd(Level),
}

impl Compression {
    /// Zip's number for it.
    pub(super) fn method(self) -> CompressionMethod {
        match self {
            Self::Deflate(_) => CompressionMethod::DEFLATE,
            Self::Zstd(_) => CompressionMethod::ZSTD,
        }
    }

    /// One thread's own packer.
    pub(super) fn packer(self) -> Packer {
        let tight = |level: Level| Compress::new(flate2::Compression::new(level.deflate()), false);
        match self {
            Self::Deflate(level) => Packer::Deflate(Box::new(Deflater {
                tight: tight(level),
                none: Compress::new(flate2::Compression::none(), false),
                thorough: matches!(level, Level::Slow | Level::Slowest),
            })),
            Self::Zstd(level) => Packer::Zstd { level: level.zstd() },
        }
    }
}

/// A packed block.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// Of the bytes before packing, and how many they were.
    pub(super) crc: Crc,
    pub(super) length: u64,
}

/// Packs by deflate; kept from block to block for its memory alone.
#[derive(Debug)]
pub(super) struct Deflater {
    tight: Compress,
    none: Compress,
    /// Whether to try hard even on what looks packed already.
    thorough: bool,
}

/// Packs block after block, each on its own.
#[derive(Debug)]
pub(super) enum Packer {
    Deflate(Box<Deflater>),
    Zstd { level: i32 },
}

impl Packer {
    /// Packs a block; `last` is the last of its file.
    pub(super) fn pack(&mut self, bytes: &[u8], last: bool) -> io::Result<Packed> {
        let mut crc = Crc::new();
        crc.update(bytes);
        let packed = match self {
            Self::Deflate(with) => {
                let store = !with.thorough && is_hopeless(bytes);
                deflate(if store { &mut with.none } else { &mut with.tight }, bytes, last)?
            }
            // An empty last block after others would be a frame of nothing, which is fine too.
            Self::Zstd { level } => zstd::bulk::compress(bytes, *level)?,
        };
        Ok(Packed { bytes: packed, crc, length: bytes.len() as u64 })
    }
}

/// All but the last block end at a byte's border, so that the next can follow.
fn deflate(compress: &mut Compress, bytes: &[u8], last: bool) -> io::Result<Vec<u8>> {
    compress.reset();
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
    let mut packed = Vec::with_capacity(bytes.len() / 2 + 64);
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(read..).unwrap_or_default();
        let status = compress.compress_vec(rest, &mut packed, flush).map_err(io::Error::other)?;
        let all_read = compress.total_in() == bytes.len() as u64;
        // A flush is complete only when there was room left after it.
        let complete = if last {
            status == Status::StreamEnd
        } else {
            all_read && packed.len() < packed.capacity()
        };
        if complete {
            return Ok(packed);
        }
        packed.reserve(bytes.len() / 4 + 64);
    }
}

/// Whether the bytes look like noise, as what is packed already does: by the entropy of a sample.
fn is_hopeless(bytes: &[u8]) -> bool {
    if bytes.len() < SAMPLE {
        return false;
    }
    let mut counts = [0_u32; 256];
    let part = SAMPLE / 4;
    for place in 0..4 {
        let start = (bytes.len() - part) / 3 * place;
        for byte in &bytes[start..start + part] {
            counts[usize::from(*byte)] += 1;
        }
    }
    let total = f64::from(u32::try_from(SAMPLE).unwrap_or(u32::MAX));
    let bits = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum::<f64>() > HOPELESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56).to_le_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::DeflateDecoder::new(packed).read_to_end(&mut out).expect("one stream");
        out
    }

    #[test]
    fn blocks_put_together_are_one_stream() {
        let text = "all work and no play ".repeat(5000).into_bytes();
        for (name, parts) in [
            ("one", vec![text.clone()]),
            ("several", vec![text.clone(), noise(70_000), text.clone()]),
            ("nothing", vec![Vec::new()]),
            ("noise alone", vec![noise(100_000), noise(3)]),
        ] {
            let mut packer = Compression::Deflate(Level::Default).packer();
            let mut stream = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let block = packer.pack(part, at + 1 == parts.len()).expect("a block");
                stream.extend_from_slice(&block.bytes);
            }
            assert!(unpacked(&stream) == parts.concat(), "{name}");
        }
    }

    #[test]
    fn noise_is_told_from_what_can_be_packed() {
        assert!(is_hopeless(&noise(40_000)));
        assert!(!is_hopeless(&"text of some kind, 0123456789".repeat(2000).into_bytes()));
        assert!(!is_hopeless(&noise(100)), "too short to tell");
        let base64: Vec<u8> = noise(40_000).iter().map(|byte| b'A' + byte % 64).collect();
        assert!(!is_hopeless(&base64));
    }
}
