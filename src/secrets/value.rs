//! A secret value. It has no `Display`, no `Serialize`, and a `Debug` that says nothing.

use zeroize::Zeroizing;

/// Bytes that must not be printed, written to disk, or put into an argv, label or container Env.
///
/// The memory is overwritten when the value is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of secret bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Each caller has to say, by calling this, that it knows what it does.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}
