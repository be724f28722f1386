//! Tests of what is taken from the daemon's lists.

use super::*;

fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_container_that_others_link_to_has_its_own_name() {
    let answer = read(
        r#"{"Id": "ab", "Names": ["/other/alias", "/job"], "ImageID": "sha256:1", "State": "running",
            "Created": 5, "NetworkSettings": {"Networks": {"b": {}, "a": {}}},
            "Mounts": [{"Type": "volume", "Name": "v"}, {"Type": "tmpfs"}]}"#,
    );
    let expected = ContainerSummary {
        id: "ab".to_owned(),
        name: "job".to_owned(),
        image_id: "sha256:1".to_owned(),
        state: "running".to_owned(),
        labels: [].into(),
        networks: vec!["a".to_owned(), "b".to_owned()],
        volumes: vec!["v".to_owned()],
        created: 5,
    };
    assert_eq!(container_summary(answer), expected);
}

#[test]
fn an_image_without_a_config_is_roots_and_has_no_entrypoint() {
    let answer = read(r#"{"Id": "sha256:1", "Os": "linux", "Architecture": "arm64", "Size": 9}"#);
    let expected = ImageFacts {
        id: "sha256:1".to_owned(),
        platform: "linux/arm64".to_owned(),
        size: 9,
        ..ImageFacts::default()
    };
    assert_eq!(image_facts(answer), expected);
}

#[test]
fn a_variant_is_part_of_the_platform_and_an_empty_one_is_not() {
    let variant = read(r#"{"Os": "linux", "Architecture": "arm", "Variant": "v7"}"#);
    assert_eq!(image_facts(variant).platform, "linux/arm/v7");
    let empty = read(r#"{"Os": "linux", "Architecture": "amd64", "Variant": ""}"#);
    assert_eq!(image_facts(empty).platform, "linux/amd64");
}

#[test]
fn a_dangling_image_has_neither_tag_nor_digest() {
    let answer = read(
        r#"{"Id": "sha256:1", "ParentId": "", "RepoTags": ["<none>:<none>"], "Created": 3,
            "RepoDigests": ["<none>@<none>"], "Size": 2, "SharedSize": -1, "Labels": null,
            "Containers": -1}"#,
    );
    let expected =
        ImageSummary { id: "sha256:1".to_owned(), created: 3, size: 2, ..ImageSummary::default() };
    assert_eq!(image_summary(answer), expected);
}

#[test]
fn the_gateway_is_the_ipv4_one_where_there_are_two() {
    let both = read(r#"{"IPAM": {"Config": [{"Gateway": "fd00::1"}, {"Gateway": "172.18.0.1"}]}}"#);
    assert_eq!(gateway(both).as_deref(), Some("172.18.0.1"));
    assert_eq!(gateway(read(r#"{"IPAM": {"Config": [{"Gateway": ""}]}}"#)), None);
    assert_eq!(gateway(read("{}")), None);
}

#[test]
fn progress_without_an_end_tells_no_bytes() {
    let line =
        r#"{"id": "ab", "status": "Downloading", "progressDetail": {"current": 5, "total": 9}}"#;
    assert_eq!(progress(read(line)).bytes, Some((5, 9)));
    let line = r#"{"id": "ab", "status": "Waiting", "progressDetail": {}}"#;
    assert_eq!(progress(read(line)).bytes, None);
}

#[test]
fn a_default_bridge_that_tells_no_gateway_has_the_first_address_of_its_subnet() {
    let answer = read(r#"{"IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}"#);
    assert_eq!(gateway(answer).as_deref(), Some("172.17.0.1"));
    let told = read(r#"{"IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.7"}]}}"#);
    assert_eq!(gateway(told).as_deref(), Some("10.9.0.7"));
}

#[test]
fn a_time_is_told_in_the_daemons_own_zone() {
    let expected = Some(1_767_323_045);
    for text in [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.123456789Z",
        "2026-01-02T04:34:05.1+01:30",
        "2026-01-01T22:04:05-05:00",
    ] {
        assert_eq!(moment(text), expected, "{text}");
    }
    assert_eq!([moment("0001-01-01T00:00:00Z"), moment(""), moment("soon")], [None; 3]);
}
