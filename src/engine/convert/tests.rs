//! Tests of the bodies that plans become.

use super::*;
use crate::plan::ServiceEnv;
use crate::plan::container::{
    Gpus, IsolationPlan, LimitPlan, MountSource, OwnProcess, ResolverPlan,
};

fn volume_mount(name: &str, target: &str, tmpfs_bytes: Option<u64>) -> MountPlan {
    MountPlan {
        target: target.to_owned(),
        source: MountSource::Volume {
            name: name.to_owned(),
            labels: [("longshore.job".to_owned(), "7".to_owned())].into(),
            tmpfs_bytes,
        },
        read_only: false,
    }
}

/// A job container that uses all there is in a plan.
fn job() -> ContainerPlan {
    let agent =
        MountPlan { read_only: true, ..volume_mount("longshore-agent-ab12", "/longshore", None) };
    let socket = MountSource::HostPath("/var/run/docker.sock".to_owned());
    ContainerPlan {
        name: "longshore-7-job".to_owned(),
        image: "registry.example.com/team/image:1".to_owned(),
        platform: Some("linux/amd64".to_owned()),
        entrypoint: vec!["/longshore/longshore".to_owned(), "agent".to_owned()],
        user: "0:0".to_owned(),
        env: [("CI".into(), "true".into()), ("LINES".into(), "one\ntwo=2".into())].into(),
        hostname: Some("runner-7".to_owned()),
        network: ContainerNetwork::Named {
            name: "longshore-slot-1".to_owned(),
            aliases: vec!["job".to_owned()],
        },
        mounts: vec![
            agent,
            volume_mount("longshore-7-builds", "/builds/team/app", None),
            volume_mount("longshore-7-tmp", "/builds/team/app.tmp", Some(16 << 20)),
            MountPlan {
                target: "/run/longshore".to_owned(),
                source: MountSource::Tmpfs { bytes: 1 << 20 },
                read_only: false,
            },
            MountPlan { target: "/var/run/docker.sock".into(), source: socket, read_only: false },
        ],
        limits: limits(),
        isolation: IsolationPlan {
            privileged: true,
            runtime: Some("runc".to_owned()),
            userns: Some("host".to_owned()),
            devices: vec![("/dev/null".into(), "/dev/nothing".into(), "r".into())],
            device_cgroup_rules: vec!["c 1:3 r".to_owned()],
            gpus: Some(Gpus::Devices(vec!["0".to_owned()])),
            sysctls: [("net.core.somaxconn".into(), "10".into())].into(),
            group_add: vec!["7".to_owned()],
            tmpfs: [("/scratch".into(), "size=1m".into())].into(),
        },
        resolver: ResolverPlan {
            dns: vec!["192.0.2.1".to_owned()],
            dns_search: vec!["example.com".to_owned()],
            dns_options: vec!["ndots:2".to_owned()],
            extra_hosts: vec!["db:192.0.2.2".to_owned()],
        },
        capabilities: vec!["CHOWN".to_owned(), "SETUID".to_owned()],
        security: vec!["no-new-privileges".to_owned()],
        labels: [("longshore.job".to_owned(), "7".to_owned())].into(),
        own_process: None,
    }
}

fn limits() -> LimitPlan {
    LimitPlan {
        memory_bytes: Some(32 << 20),
        memory_swap_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(16 << 20),
        nano_cpus: Some(1_500_000_000),
        cpuset_cpus: Some("0".to_owned()),
        cpuset_mems: Some("0".to_owned()),
        cpu_shares: Some(512),
        pids: Some(512),
        shm_bytes: Some(8 << 20),
        ulimits: vec![("nofile".to_owned(), 1024, 2048)],
        cgroup_parent: Some("/ci".to_owned()),
    }
}

/// A helper as plain as can be, in the job container's network.
fn helper() -> ContainerPlan {
    ContainerPlan {
        name: "longshore-7-helper".to_owned(),
        platform: None,
        hostname: None,
        network: ContainerNetwork::Join("longshore-7-job".to_owned()),
        mounts: Vec::new(),
        limits: LimitPlan::default(),
        isolation: IsolationPlan::default(),
        resolver: ResolverPlan::default(),
        env: [].into(),
        ..job()
    }
}

/// The body as it goes over the wire, keys in order.
fn body(plan: &ContainerPlan) -> serde_json::Value {
    serde_json::to_value(create_body(plan).unwrap()).unwrap()
}

#[test]
fn a_job_container_uses_all_there_is_in_a_plan() {
    insta::assert_json_snapshot!("job_container", body(&job()));
}

#[test]
fn a_helper_joins_the_job_containers_network_without_name_or_limits_of_its_own() {
    insta::assert_json_snapshot!("helper_container", body(&helper()));
}

#[test]
fn a_container_without_our_entrypoint_keeps_the_images_own_command_and_check() {
    let service = ContainerPlan { entrypoint: Vec::new(), ..helper() };
    insta::assert_json_snapshot!("image_entrypoint", body(&service));
}

#[test]
fn a_container_of_the_images_own_process_keeps_what_the_image_says() {
    let own = OwnProcess { command: Vec::new(), env: ServiceEnv::default(), log_bytes: 4096 };
    let service = ContainerPlan {
        entrypoint: Vec::new(),
        user: String::new(),
        own_process: Some(own.clone()),
        ..helper()
    };
    insta::assert_json_snapshot!("own_process", body(&service));
    let silent = OwnProcess { command: vec!["serve".to_owned()], log_bytes: 0, ..own };
    let silent = body(&ContainerPlan { own_process: Some(silent), ..service });
    assert_eq!(silent["Cmd"], serde_json::json!(["serve"]));
    assert_eq!(silent["HostConfig"]["LogConfig"]["Type"], "none");
}

#[test]
fn a_slot_must_be_leased_before_its_container_is_made() {
    let network = ContainerNetwork::Slot { aliases: Vec::new() };
    assert_eq!(create_body(&ContainerPlan { network, ..job() }), Err(Unleased));
}

#[test]
fn a_limit_beyond_the_daemons_numbers_is_its_largest_and_never_negative() {
    let limits =
        LimitPlan { memory_bytes: Some(u64::MAX), pids: Some(u32::MAX), ..LimitPlan::default() };
    let host = create_body(&ContainerPlan { limits, ..job() }).unwrap().host_config.unwrap();
    assert_eq!(host.memory, Some(i64::MAX));
    assert_eq!(host.pids_limit, Some(i64::from(u32::MAX)));
}
