//! An IPv4 network as people write it, `10.20.0.0/16`, and what two of them have in common.

use core::net::Ipv4Addr;
use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// An IPv4 network. Its address has no bit set below the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    address: u32,
    prefix: u8,
}

impl Subnet {
    /// The network of this prefix that an address lies in; `None` for a prefix over 32.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { address: u32::from(address) & mask(prefix), prefix })
    }

    /// How many leading bits all its addresses share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.address & shorter == other.address & shorter
    }

    /// Its parts of this longer prefix, ascending; none where the prefix is not longer or over 32.
    pub fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let is_part = self.prefix <= prefix && (1..=32).contains(&prefix);
        let count = if is_part { 1_u64 << (prefix - self.prefix) } else { 0 };
        let size = 1_u64 << (32 - u32::from(prefix.min(32)));
        (0..count).filter_map(move |number| {
            let address = u32::try_from(u64::from(self.address) + number * size).ok()?;
            Some(Self { address, prefix })
        })
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.address), self.prefix)
    }
}

/// The text is no IPv4 network.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no IPv4 network such as \"10.20.0.0/16\"")]
pub struct NoSubnet {
    text: String,
}

impl FromStr for Subnet {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
            Self::new(address, prefix).filter(|subnet| subnet.address == u32::from(address))
        };
        read().ok_or_else(|| NoSubnet { text: text.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Subnet;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/-1", "::/0", "x/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert_eq!(subnet("0.0.0.0/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn two_networks_overlap_where_one_holds_the_other() {
        let all = subnet("0.0.0.0/0");
        let (wide, part) = (subnet("172.18.0.0/16"), subnet("172.18.255.192/26"));
        for (one, other) in [(all, wide), (wide, part), (part, all), (part, part)] {
            assert!(one.overlaps(&other) && other.overlaps(&one), "{one} {other}");
        }
        assert!(!part.overlaps(&subnet("172.18.255.128/26")));
        assert!(!wide.overlaps(&subnet("172.19.0.0/16")));
    }

    #[test]
    fn parts_fill_a_network_and_nothing_else() {
        let parts: Vec<String> =
            subnet("10.1.0.0/24").parts(26).map(|part| part.to_string()).collect();
        assert_eq!(parts, ["10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/26", "10.1.0.192/26"]);
        assert_eq!(subnet("10.1.0.0/26").parts(26).count(), 1);
        assert_eq!(subnet("10.1.0.0/27").parts(26).count(), 0);
        assert_eq!(subnet("255.255.255.0/24").parts(32).count(), 256);
        assert_eq!(subnet("0.0.0.0/0").parts(0).count(), 0);
    }
}
