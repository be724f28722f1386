//! What holds for each object that came to be through the socket, as the daemon tells of it (note 3.3).

use serde_json::{Value, json};

/// What the objects of one job may name.
pub(crate) struct Job {
    pub(crate) key: String,
    /// Ids of its container `web` and its network `net`.
    pub(crate) web: String,
    pub(crate) network: String,
}

impl Job {
    fn prefix(&self) -> String {
        format!("longshore-{}-x-", self.key)
    }

    pub(crate) fn labelled(&self, labels: &Value) {
        assert_eq!(labels["longshore.job"], *self.key, "{labels}");
        assert_eq!(labels["longshore.kind"], "brokered", "{labels}");
    }

    pub(crate) fn container(&self, told: &Value) {
        let host = &told["HostConfig"];
        assert!(told["Name"].as_str().unwrap()[1..].starts_with(&self.prefix()), "{told}");
        self.labelled(&told["Config"]["Labels"]);
        for (field, value) in [
            ("Privileged", json!(false)),
            ("PublishAllPorts", json!(false)),
            ("CgroupParent", json!("/longshore-fuzz")),
            ("PidMode", json!("")),
            ("UTSMode", json!("")),
            ("UsernsMode", json!("")),
            ("Runtime", json!("runc")),
            ("SecurityOpt", json!(["no-new-privileges"])),
        ] {
            assert_eq!(host[field], value, "{field}: {told}");
        }
        assert_eq!(host["RestartPolicy"]["Name"], "no", "{told}");
        for field in [
            "Binds",
            "CapAdd",
            "Devices",
            "DeviceCgroupRules",
            "DeviceRequests",
            "GroupAdd",
            "Links",
            "Sysctls",
            "StorageOpt",
            "OomKillDisable",
            "BlkioDeviceWriteBps",
        ] {
            let nothing = [json!(null), json!([]), json!({}), json!(false)];
            assert!(nothing.contains(&host[field]), "{field}: {told}");
        }
        limits(host);
        self.mounts(told);
        self.networks(told);
        let texts = told.to_string();
        assert!(!texts.contains("victim") && !texts.contains("host-gateway"), "{told}");
    }

    fn mounts(&self, told: &Value) {
        for mount in told["Mounts"].as_array().unwrap() {
            let name = mount["Name"].as_str().unwrap_or_default();
            let own = name.starts_with(&self.prefix())
                || name == format!("longshore-{}-builds", self.key);
            assert!(mount["Type"] == "tmpfs" || (mount["Type"] == "volume" && own), "{mount}");
        }
        let asked = told["HostConfig"]["Mounts"].as_array().cloned().unwrap_or_default();
        assert!(asked.iter().all(|mount| mount["Type"] != "bind"), "{told}");
        let from = told["HostConfig"]["VolumesFrom"].as_array().cloned().unwrap_or_default();
        for one in from {
            assert!(one.as_str().unwrap().starts_with(&self.web), "{one}");
        }
    }

    fn networks(&self, told: &Value) {
        let host = &told["HostConfig"];
        let container = format!("container:{}", self.web);
        let mode = host["NetworkMode"].as_str().unwrap();
        assert!(["none", "slot", &self.network, &container].contains(&mode), "{mode}");
        let ipc = host["IpcMode"].as_str().unwrap();
        assert!(["private", &container].contains(&ipc), "{ipc}");
        for bound in host["PortBindings"].as_object().into_iter().flat_map(|all| all.values()) {
            let all = bound.as_array().unwrap();
            assert!(all.iter().all(|one| one["HostIp"] == "172.20.0.1"), "{told}");
        }
        let net = format!("{}net", self.prefix());
        let networks = told["NetworkSettings"]["Networks"].as_object().unwrap();
        for name in networks.keys() {
            assert!(["none", "slot", &self.network, &net].contains(&name.as_str()), "{name}");
        }
    }

    pub(crate) fn volume(&self, told: &Value) {
        self.labelled(&told["Labels"]);
        assert!(told["Name"].as_str().unwrap().starts_with(&self.prefix()), "{told}");
        assert_eq!((&told["Driver"], &told["Options"]), (&json!("local"), &json!(null)), "{told}");
    }

    pub(crate) fn network(&self, told: &Value) {
        self.labelled(&told["Labels"]);
        assert!(told["Name"].as_str().unwrap().starts_with(&self.prefix()), "{told}");
        assert_eq!(told["Driver"], "bridge", "{told}");
        assert_eq!(told["IPAM"]["Driver"], "default", "{told}");
        let options = told["Options"].as_object().unwrap();
        assert!(options.keys().all(|key| key == "com.docker.network.driver.mtu"), "{told}");
        assert!(told["Ingress"] == false && told["ConfigOnly"] == false, "{told}");
    }

    /// A name that the job may have given an image.
    pub(crate) fn may_name(&self, tag: &str) -> bool {
        tag.starts_with(&format!("longshore.invalid/{}/", self.key))
            || tag.starts_with("registry.longshore.test:5443/team/app:")
            || tag.starts_with("registry.longshore.test:5443/team/app/")
    }
}

fn limits(host: &Value) {
    let number = |field: &str| host[field].as_i64().unwrap();
    assert!((1..=256 << 20).contains(&number("Memory")), "{host}");
    assert_eq!(number("Memory"), number("MemorySwap"), "{host}");
    assert!((1..=200).contains(&number("PidsLimit")), "{host}");
    assert!((1..=1_000_000_000).contains(&number("NanoCpus")), "{host}");
    assert!(number("OomScoreAdj") >= 0 && number("CpuShares") <= 1024, "{host}");
    assert!(number("ShmSize") <= 256 << 20, "{host}");
    let list = |field: &str| host[field].as_array().cloned().unwrap_or_default();
    for capability in ["NET_RAW", "MKNOD", "AUDIT_WRITE", "SYS_CHROOT"] {
        assert!(list("CapDrop").contains(&json!(capability)), "{host}");
    }
    assert!(list("MaskedPaths").len() > 5 && list("ReadonlyPaths").len() > 3, "{host}");
    let core = json!({"Name": "core", "Soft": 0, "Hard": 0});
    assert!(list("Ulimits").contains(&core), "{host}");
    assert!(list("Ulimits").iter().all(|one| one["Hard"].as_i64().unwrap() >= 0), "{host}");
    let log = host["LogConfig"]["Type"].as_str().unwrap();
    assert!(["json-file", "local", "none"].contains(&log), "{host}");
}
