//! Names that a job has for addresses (`--add-host`), in its containers and in the steps of its builds
//! alike: the operator's own and the job's, none of which leads to the host or to its cloud.

use std::net::IpAddr;

use super::Case;
use crate::broker::refusal::Refusal;
use crate::broker::request::network::is_host_name;

/// `NAME:ADDRESS` of each: what the operator says, and what the job asks for, written anew.
pub(super) fn named(case: Case<'_>, asked: &[String]) -> Result<Vec<String>, Refusal> {
    let own = asked.iter().map(|host| one(case, host));
    case.view.resolver.extra_hosts.iter().cloned().map(Ok).chain(own).collect()
}

fn one(case: Case<'_>, host: &str) -> Result<String, Refusal> {
    let forbidden = |message: &str| Refusal::forbidden("extra-hosts", message);
    let malformed = || Refusal::malformed("extra-hosts", "extra hosts are NAME:ADDRESS");
    let (name, address) = host.split_once([':', '=']).ok_or_else(malformed)?;
    if address == "host-gateway" {
        return Err(forbidden("the host itself is not for jobs: no extra host is host-gateway"));
    }
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(address).parse().map_err(|_| malformed())?;
    let gateway = case.view.gateway.as_deref().and_then(|gateway| gateway.parse::<IpAddr>().ok());
    // An IPv4 address in the form of an IPv6 one leads to the same place.
    let canonical = address.to_canonical();
    if is_link_local(canonical) || gateway == Some(canonical) {
        return Err(forbidden("the address of an extra host is the host's own, or its cloud's"));
    }
    if !is_host_name(name) {
        return Err(malformed());
    }
    Ok(format!("{name}:{address}"))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
