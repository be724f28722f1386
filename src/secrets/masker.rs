//! The streaming masker: bytes in, bytes out, with every form of every secret replaced by `[MASKED]`.
//! Pure: it neither reads nor writes, and does not know where its bytes go.

use std::sync::Arc;

use super::Secret;

/// All forms of a job's secrets, compiled once and shared by every stream of the job.
#[derive(Clone)]
pub struct MaskSet {
    values: Arc<Vec<Secret>>,
}

impl MaskSet {
    /// Compiles the forms of these secrets.
    pub fn new(values: Vec<Secret>) -> Self {
        Self {
            values: Arc::new(values),
        }
    }

    /// The values it was made from.
    pub fn values(&self) -> &[Secret] {
        &self.values
    }

    /// Masks one complete text.
    pub fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut masker = Masker::new(self);
        let mut out = Vec::with_capacity(text.len());
        masker.push(text, &mut out);
        masker.finish(&mut out);
        out
    }
}

/// Masks one stream; any chunking gives the same output as one write.
pub struct Masker {
    #[expect(dead_code, reason = "stub until the automaton lands")]
    set: MaskSet,
}

impl Masker {
    /// Starts a stream.
    pub fn new(set: &MaskSet) -> Self {
        Self { set: set.clone() }
    }

    /// Takes the next bytes and appends to `out` what is certain to be no secret.
    #[expect(clippy::unused_self, reason = "stub until the automaton lands")]
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(input);
    }

    /// Ends the stream and appends what was held back.
    #[expect(clippy::unused_self, reason = "stub until the automaton lands")]
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }
}
