//! Where this host's packets go: its routes. Reads `/proc`, decides nothing.

use std::fs;
use std::net::Ipv4Addr;

use crate::settings::Subnet;

/// The IPv4 networks that this host has a route to, the default route aside. None where the kernel does
/// not tell: the engine then is the only one to object.
pub fn read() -> Vec<Subnet> {
    parse(&fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// Columns are interface, destination, gateway, flags, three counters, mask; addresses are hexadecimal in
/// the machine's byte order.
fn parse(table: &str) -> Vec<Subnet> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let route = |line: &str| {
        let mut columns = line.split_whitespace();
        let (destination, mask) = (number(columns.nth(1)?)?, number(columns.nth(5)?)?);
        let prefix = u8::try_from(mask.leading_ones()).ok().filter(|bits| *bits > 0)?;
        Subnet::new(Ipv4Addr::from(destination), prefix)
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    #[cfg(target_endian = "little")]
    #[test]
    fn routes_are_read_and_the_default_is_none() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            odd\n";
        let routes: Vec<String> = super::parse(table).iter().map(ToString::to_string).collect();
        assert_eq!(routes, ["172.17.0.0/16"]);
    }
}
