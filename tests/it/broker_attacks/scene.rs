//! A daemon with a victim, and a broker in front of it: sends attacks at both, and looks at what came of them.

use serde_json::Value;

use super::attack::{Attack, CANARY, IMAGE, body_of, head, request, send, status};
use super::victim::Victim;
use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

pub(super) struct Scene {
    pub(super) daemon: OwnDaemon,
    pub(super) victim: Victim,
    pub(super) brokered: Brokered,
    /// The attacker's own container.
    own: String,
}

/// Attacks whose answer may be a success: what it shows and touches is the job's own. A list or a prune knows
/// nothing of others; a name is one among the job's own objects, which lie under names of their own at the
/// daemon; what is asked for of the kernel's protection is left out or bounded. What was made is looked at.
const HARMLESS: [&str; 26] = [
    "97 listed by label",
    "97 listed by id",
    "97 listed by image",
    "97 listed by volume",
    "97 listed by network",
    "98 images listed",
    "94 own container on the default network",
    "events",
    "106 containers pruned",
    "106 volumes pruned",
    "106 networks pruned",
    "106 images pruned",
    "106 build cache pruned",
    "107 counts of the host",
    "login at a chosen server",
    "91 another job's volume",
    "volume",
    "volumes listed",
    "networks listed",
    "volume removed",
    "100 image tagged over",
    "109 named as another's short id",
    "created from the image",
    "image removed",
    "48 proc unmasked",
    "raised limits",
];

impl Scene {
    pub(super) fn set(daemon: OwnDaemon) -> Self {
        let victim = Victim::make(&daemon, "victim");
        daemon.docker(&["network", "create", "slot"]);
        let brokered = Brokered::start(daemon.socket(), "slot");
        let body = format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"sleep\",\"3600\"]}}");
        let made = send(&brokered.socket(), &request("POST", "/containers/create", &body));
        assert_eq!(status(&made), 201, "{made}");
        let made: Value = serde_json::from_str(body_of(&made)).unwrap();
        let own = made["Id"].as_str().unwrap().to_owned();
        Self { daemon, victim, brokered, own }
    }

    /// The attacker's own container, by id.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Sends it to the broker; what went wrong, if it was let through or told too much.
    pub(super) fn is_refused(&self, attack: &Attack, number: usize) -> Option<String> {
        let fill = |text: &str| self.victim.fill(text, number).replace("{own}", &self.own);
        let sent = request(attack.method, &fill(attack.target), &fill(attack.body));
        let answer = send(&self.brokered.socket(), &sent);
        let status = status(&answer);
        let harmless = HARMLESS.contains(&attack.name) && (200..300).contains(&status);
        let refused = (400..500).contains(&status) || harmless;
        // What the attacker asked for by name is no news to it.
        let asked = |part: &str| attack.target.contains(part) || attack.body.contains(part);
        let victim = &self.victim;
        let news = [
            ("{C}", &victim.container),
            ("{net}", &victim.network),
            ("{vol}", &victim.volume),
            ("{img}", &victim.image),
            ("{imgid}", &victim.image_id),
        ];
        let told = answer.contains(CANARY)
            || news.iter().any(|(part, secret)| !asked(part) && answer.contains(*secret));
        (!refused || told).then(|| format!("{}: broker: {}", attack.name, head(&answer)))
    }

    /// What must hold for every container that came to be through the socket (note 3.3).
    pub(super) fn assert_confined(&self) {
        let made = self.daemon.docker(&["ps", "-aq", "--filter", "label=longshore.kind=brokered"]);
        assert!(!made.is_empty());
        for id in made.split_whitespace() {
            let told: Value = serde_json::from_str(&self.daemon.docker(&["inspect", id])).unwrap();
            confined(&told[0], &self.brokered.key);
        }
    }
}

fn confined(told: &Value, key: &str) {
    let host = &told["HostConfig"];
    let list = |name: &str| host[name].as_array().cloned().unwrap_or_default();
    assert!(list("MaskedPaths").len() > 5 && list("ReadonlyPaths").len() > 3, "{host}");
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["PidMode"], "");
    assert_eq!(list("CapAdd"), Vec::<Value>::new());
    assert!(list("SecurityOpt").contains(&"no-new-privileges".into()), "{host}");
    assert_eq!(host["NetworkMode"], "slot");
    let networks: Vec<&String> =
        told["NetworkSettings"]["Networks"].as_object().unwrap().keys().collect();
    assert_eq!(networks, ["slot"]);
    assert_eq!(host["Memory"], 256 << 20, "{host}");
    assert_eq!(host["PidsLimit"], 200, "{host}");
    for limit in list("Ulimits") {
        assert!(limit["Hard"].as_i64().unwrap() >= 0, "{limit}");
    }
    for mount in told["Mounts"].as_array().unwrap() {
        assert_eq!(mount["Type"], "volume", "{mount}");
        let name = mount["Name"].as_str().unwrap();
        assert!(name.starts_with(&format!("longshore-{key}-x-")), "{mount}");
    }
}

/// Sends each attack to the bare daemon, at a scapegoat; those that do not work there.
pub(super) fn broken_on_bare(daemon: &OwnDaemon, attacks: &[&Attack]) -> Vec<String> {
    let scapegoat = Victim::make(daemon, "scapegoat");
    let mut broken = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let fill = |text: &str| scapegoat.fill(text, number).replace("{own}", &scapegoat.container);
        let sent = request(attack.method, &fill(attack.target), &fill(attack.body));
        let answer = send(daemon.socket(), &sent);
        if !attack.works.contains(&status(&answer)) {
            broken.push(format!("{}: bare daemon: {}", attack.name, head(&answer)));
        }
        // Later attacks need it alive.
        if attack.name.ends_with("kill") || attack.name.ends_with("stop") {
            daemon.docker(&["start", &scapegoat.container]);
        }
    }
    broken
}
