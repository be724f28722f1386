//! Plans of containers for tests of engines, which name what matters to them.

use longshore::plan::container::{
    ContainerNetwork, ContainerPlan, IsolationPlan, LimitPlan, ResolverPlan,
};

/// A container without anything.
pub fn plain() -> ContainerPlan {
    ContainerPlan {
        name: String::new(),
        image: String::new(),
        platform: None,
        entrypoint: Vec::new(),
        user: String::new(),
        env: [].into(),
        hostname: None,
        network: ContainerNetwork::Named { name: "none".to_owned(), aliases: Vec::new() },
        mounts: Vec::new(),
        limits: LimitPlan::default(),
        isolation: IsolationPlan::default(),
        resolver: ResolverPlan::default(),
        capabilities: Vec::new(),
        security: Vec::new(),
        labels: [].into(),
        own_process: None,
    }
}
