//! Which addresses a new slot network gets. Pure: it is told what is taken.

use crate::settings::Subnet;

/// The prefix of a slot's own network: room for 61 containers, a job and its services and what a script
/// starts beside them.
pub const SLOT_PREFIX: u8 = 26;

/// The first part of a pool that overlaps nothing taken.
pub fn free(pool: Subnet, taken: &[Subnet]) -> Option<Subnet> {
    // What lies elsewhere need not be looked at for each of the parts.
    let near: Vec<&Subnet> = taken.iter().filter(|one| one.overlaps(&pool)).collect();
    pool.parts(SLOT_PREFIX).find(|part| !near.iter().any(|one| one.overlaps(part)))
}

/// What a pool of the operator's must keep clear of among the host's routes: those that lead into a part
/// of it. A route to more than the pool is what the operator took it out of.
pub fn in_the_way(pool: Subnet, routes: Vec<Subnet>) -> Vec<Subnet> {
    let narrower = |route: &Subnet| route.prefix() >= pool.prefix() && route.overlaps(&pool);
    routes.into_iter().filter(narrower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets(texts: &[&str]) -> Vec<Subnet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn free_of(pool: &str, taken: &[&str]) -> Option<String> {
        free(pool.parse().unwrap(), &subnets(taken)).map(|part| part.to_string())
    }

    #[test]
    fn the_lowest_part_that_is_free_is_chosen() {
        assert_eq!(free_of("10.9.0.0/24", &[]).as_deref(), Some("10.9.0.0/26"));
        let taken = ["10.9.0.0/29", "10.9.0.128/26", "192.168.0.0/16"];
        assert_eq!(free_of("10.9.0.0/24", &taken).as_deref(), Some("10.9.0.64/26"));
        assert_eq!(free_of("10.9.0.0/24", &["10.9.0.0/25", "10.9.0.128/25"]), None);
        assert_eq!(free_of("10.9.0.0/24", &["10.0.0.0/8"]), None);
    }

    #[test]
    fn only_routes_into_the_pool_are_in_its_way() {
        let routes = subnets(&["10.0.0.0/8", "10.9.0.64/26", "10.9.1.7/32", "172.18.0.0/16"]);
        let kept = in_the_way("10.9.0.0/16".parse().unwrap(), routes);
        assert_eq!(kept, subnets(&["10.9.0.64/26", "10.9.1.7/32"]));
    }
}
