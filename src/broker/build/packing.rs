//! How a build's context is packed: as a plain archive, or as one that was compressed with gzip, as compose and
//! `docker build --compress` do. What passes from here on is plain, and bounded. Pure.

use std::io::Write;

use flate2::write::MultiGzDecoder;

use crate::broker::refusal::Refusal;

/// So much of what is compressed is looked at in one go: it may become a thousand times as much.
const PIECE: usize = 4 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// What the daemon would read too, and we do not: bzip2, xz, zstd.
const OTHERS: [&[u8]; 3] = [b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];

/// As many bytes as tell them apart.
const LONGEST_SIGN: usize = 5;

/// A context on its way.
#[derive(Debug)]
pub struct Packing {
    kind: Kind,
    /// Bytes that may still come out.
    left: u64,
}

#[derive(Debug)]
enum Kind {
    /// Its first bytes, too few to tell.
    Unknown(Vec<u8>),
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Packing {
    /// At most so many bytes come out.
    pub fn new(most: u64) -> Self {
        Self { kind: Kind::Unknown(Vec::new()), left: most }
    }

    /// How much of what comes is to be given at once, so that what comes out stays small.
    pub fn piece(&self) -> usize {
        if matches!(self.kind, Kind::Plain) { usize::MAX } else { PIECE }
    }

    /// Takes a piece as it came; hands out what it holds, little by little.
    ///
    /// # Errors
    /// Where it is packed otherwise, or too long, and what `each` answers.
    pub fn push(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Kind::Unknown(begun) = &mut self.kind else { return self.unpack(piece, each) };
        begun.extend_from_slice(piece);
        if begun.len() < LONGEST_SIGN {
            return Ok(());
        }
        self.begin(each)
    }

    /// Hands out the last of it.
    ///
    /// # Errors
    /// Where it is cut off, and what `each` answers.
    pub fn finish(
        mut self,
        each: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if matches!(self.kind, Kind::Unknown(_)) {
            self.begin(each)?;
        }
        if let Kind::Gzip(decoder) = &mut self.kind {
            decoder.try_finish().map_err(|_| broken())?;
            let rest = std::mem::take(decoder.get_mut());
            self.hand_out(&rest, each)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        each: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Kind::Unknown(begun) = std::mem::replace(&mut self.kind, Kind::Plain) else {
            return Ok(());
        };
        if OTHERS.iter().any(|sign| begun.starts_with(sign)) {
            let message =
                "the build's context is compressed otherwise than with gzip; leave it plain";
            return Err(Refusal::malformed("context", message));
        }
        if begun.starts_with(GZIP) {
            self.kind = Kind::Gzip(Box::new(MultiGzDecoder::new(Vec::new())));
        }
        self.unpack(&begun, each)
    }

    fn unpack(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if matches!(self.kind, Kind::Plain) {
            return self.hand_out(piece, each);
        }
        for part in piece.chunks(PIECE) {
            let Kind::Gzip(decoder) = &mut self.kind else { break };
            decoder.write_all(part).map_err(|_| broken())?;
            let plain = std::mem::take(decoder.get_mut());
            self.hand_out(&plain, each)?;
        }
        Ok(())
    }

    fn hand_out(
        &mut self,
        plain: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let left = self.left.checked_sub(plain.len() as u64);
        self.left = left.ok_or_else(|| {
            let message =
                "the build's context is longer than this job's may be ([broker] max_upload)";
            Refusal::malformed("build", message).with_status(413)
        })?;
        each(plain)
    }
}

fn broken() -> Refusal {
    Refusal::malformed("context", "the build's context is no whole gzip file")
}

#[cfg(test)]
mod tests {
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out in the end, and how much at once at most.
    fn unpacked(pieces: &[&[u8]], most: u64) -> Result<(Vec<u8>, usize), Refusal> {
        let (mut all, mut largest) = (Vec::new(), 0);
        let mut each = |plain: &[u8]| {
            all.extend_from_slice(plain);
            largest = largest.max(plain.len());
            Ok(())
        };
        let mut packing = Packing::new(most);
        for piece in pieces {
            packing.push(piece, &mut each)?;
        }
        packing.finish(&mut each)?;
        Ok((all, largest))
    }

    #[test]
    fn what_is_plain_stays_and_what_is_gzip_is_unpacked_however_it_is_cut() {
        let text: Vec<u8> = (0..20_000u32).flat_map(u32::to_be_bytes).collect();
        for given in [text.clone(), packed(&text)] {
            for size in [1, 3, 1000, 1 << 20] {
                let pieces: Vec<_> = given.chunks(size).collect();
                assert_eq!(unpacked(&pieces, 1 << 20).unwrap().0, text);
            }
        }
        assert_eq!(unpacked(&[b"abc"], 9).unwrap().0, b"abc");
        assert_eq!(unpacked(&[], 9).unwrap().0, b"");
    }

    #[test]
    fn a_bomb_is_stopped_and_never_large_in_memory() {
        let bomb = packed(&vec![0; 64 << 20]);
        let refused = unpacked(&[&bomb], 16 << 20).unwrap_err();
        assert_eq!((refused.rule, refused.status), ("build", 413));
        let (all, largest) = unpacked(&[&bomb], 64 << 20).unwrap();
        assert_eq!(all.len(), 64 << 20);
        assert!(largest <= 8 << 20, "{largest} bytes at once");
    }

    #[test]
    fn what_is_cut_off_or_packed_otherwise_is_refused() {
        let whole = packed(b"some words");
        for wrong in
            [&whole[..whole.len() - 1], b"\x1f\x8bnothing of the kind", b"BZh91AY", b"\xfd7zXZ\0.."]
        {
            assert_eq!(unpacked(&[wrong], 1 << 20).unwrap_err().rule, "context");
        }
    }
}
