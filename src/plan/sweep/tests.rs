//! What a sweep takes, and above all what it leaves.

use super::*;

fn owner() -> Owner {
    Owner { boot_id: "b".into(), pid_namespace: "n".into(), pid: 1, start_time: 2 }
}

fn object(kind: Kind, label: &str) -> Object {
    let mut labels = Labels::from([
        ("longshore.kind".to_owned(), label.to_owned()),
        ("longshore.job".to_owned(), "7-ab".to_owned()),
    ]);
    owner().write(&mut labels);
    at(100).write_deadline(&mut labels);
    let name = format!("longshore-7-ab-{label}");
    Object { kind, name, labels, used: false, inherited: false }
}

fn at(uptime: u64) -> Moment {
    Moment { unix: 1_000_000 + uptime, uptime }
}

static NONE: BTreeSet<String> = BTreeSet::new();

fn host(uptime: u64) -> Host<'static> {
    Host {
        agent_volume: "current",
        slot_prefix: "longshore-slot-",
        kept_slots: 2,
        now: at(uptime),
        cut_short: &NONE,
    }
}

fn reason_of(object: &Object, alive: Option<bool>, now: u64) -> Option<&'static str> {
    plan(std::slice::from_ref(object), |_| alive, &host(now)).first().map(|one| one.reason)
}

#[test]
fn another_installations_slots_are_not_ours() {
    let mut slot = object(Kind::Network, "slot");
    slot.name = "longshore-other-slot-0".to_owned();
    assert_eq!(reason_of(&slot, None, 0), None);
}

#[test]
fn a_living_owner_keeps_its_things_until_the_deadline() {
    let job = object(Kind::Container, "job");
    assert_eq!(reason_of(&job, Some(true), 100), None);
    assert_eq!(reason_of(&job, Some(true), 101), Some("its job's deadline has passed"));
}

#[test]
fn an_owner_that_cannot_be_seen_counts_as_alive() {
    let job = object(Kind::Container, "job");
    assert_eq!(reason_of(&job, None, 50), None);
    assert_eq!(reason_of(&job, Some(false), 50), Some("its runner is gone"));
}

#[test]
fn without_our_labels_nothing_is_ours() {
    let mut foreign = object(Kind::Container, "job");
    foreign.labels.remove("longshore.kind");
    assert_eq!(reason_of(&foreign, Some(false), 1000), None);
}

#[test]
fn an_image_that_carries_our_labels_does_not_make_its_containers_ours() {
    let mut inherited = object(Kind::Container, "job");
    inherited.name = "somebodys-database".to_owned();
    assert_eq!(reason_of(&inherited, Some(false), 1000), None);
}

#[test]
fn idle_slots_and_old_agents_go_and_used_ones_stay() {
    let mut slot = object(Kind::Network, "slot");
    for (name, used, goes) in [
        ("longshore-slot-2", false, true),
        ("longshore-slot-2", true, false),
        ("longshore-slot-1", false, false),
        ("longshore-slot-x", false, false),
    ] {
        slot.name = name.to_owned();
        slot.used = used;
        assert_eq!(reason_of(&slot, None, 0).is_some(), goes, "{name} {used}");
    }
    let mut agent = object(Kind::Volume, "agent");
    assert!(reason_of(&agent, None, 0).is_some());
    agent.name = "current".to_owned();
    assert!(reason_of(&agent, None, 0).is_none());
}

/// The container that fills an agent volume is its job's; nothing but a volume is the agent's.
#[test]
fn a_container_that_says_it_is_the_agents_stays() {
    let container = object(Kind::Container, "agent");
    assert_eq!(reason_of(&container, Some(false), 1000), None);
}

#[test]
fn containers_go_before_what_they_use() {
    let objects = [object(Kind::Volume, "builds"), object(Kind::Container, "job")];
    let doomed = plan(&objects, |_| Some(false), &host(0));
    assert_eq!(doomed[0].kind, Kind::Container);
}

#[test]
fn a_clock_that_somebody_sets_ends_no_job() {
    let job = object(Kind::Container, "job");
    for unix in [0, 1_000_000, u64::MAX] {
        let host = Host { now: Moment { unix, uptime: 50 }, ..host(0) };
        assert_eq!(plan(std::slice::from_ref(&job), |_| None, &host), []);
    }
}

#[test]
fn without_an_owner_the_deadline_decides() {
    let mut job = object(Kind::Container, "job");
    job.labels.remove("longshore.owner.pid");
    assert_eq!(reason_of(&job, Some(false), 100), None);
    assert_eq!(reason_of(&job, Some(true), 101), Some("its job's deadline has passed"));
}

#[test]
fn what_a_script_made_goes_with_its_job_whatever_its_name() {
    for kind in [Kind::Container, Kind::Network, Kind::Volume] {
        let mut made = object(kind, BROKERED);
        made.name = "db".to_owned();
        assert_eq!(reason_of(&made, Some(true), 50), None);
        assert_eq!(reason_of(&made, Some(false), 50), Some("its runner is gone"));
        made.inherited = true;
        assert_eq!(reason_of(&made, Some(false), 1000), None);
        // The broker named it so: an image that carries the labels does not keep it alive.
        made.name = "longshore-7-ab-x-db".to_owned();
        assert_eq!(reason_of(&made, Some(false), 50), Some("its runner is gone"));
    }
}

#[test]
fn a_cleanup_that_was_cut_short_is_finished_though_the_runner_lives() {
    let cut_short = BTreeSet::from(["7-ab".to_owned()]);
    let host = Host { cut_short: &cut_short, ..host(0) };
    let doomed = plan(&[object(Kind::Volume, "builds")], |_| Some(true), &host);
    assert_eq!(doomed[0].reason, "its job's cleanup was cut short");
    let mut inherited = object(Kind::Container, "job");
    inherited.name = "somebodys".to_owned();
    assert_eq!(plan(&[inherited], |_| Some(true), &host), []);
}

#[test]
fn containers_that_are_not_ours_are_told_apart() {
    let mut foreign = object(Kind::Container, "job");
    foreign.name = "db".to_owned();
    let mut bare = foreign.clone();
    bare.labels.clear();
    let volume = Object { kind: Kind::Volume, ..bare.clone() };
    let all = [object(Kind::Container, "job"), foreign, bare, volume];
    let names: Vec<_> = others(&all).map(|one| (one.kind, one.name.as_str())).collect();
    assert_eq!(names, [(Kind::Container, "db"); 2]);
}

#[test]
fn all_of_one_job_is_its_own_and_no_others() {
    let mut others = object(Kind::Container, "helper");
    others.labels.insert(JOB.to_owned(), "8-ab".to_owned());
    others.name = "longshore-8-ab-helper".to_owned();
    let mut inherited = object(Kind::Container, "job");
    inherited.name = "somebodys".to_owned();
    let mut agent = object(Kind::Volume, "agent");
    agent.labels.remove(JOB);
    let all = [object(Kind::Volume, "builds"), others, inherited, agent];
    let names: Vec<String> = of_job(&all, "7-ab").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["longshore-7-ab-builds"]);
}

fn image(name: &str) -> Object {
    let (name, labels) = (name.to_owned(), Labels::new());
    Object { kind: Kind::Image, name, labels, used: false, inherited: false }
}

#[test]
fn a_jobs_images_go_after_its_last_container() {
    let own = "longshore.invalid/7-ab/app:1";
    let all = [image(own), object(Kind::Container, "job")];
    assert_eq!(plan(&all, |_| Some(true), &host(50)), []);
    let doomed = plan(&all, |_| Some(false), &host(50));
    let kinds: Vec<Kind> = doomed.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Container, Kind::Image]);
    assert_eq!((doomed[1].name.as_str(), doomed[1].job.as_deref()), (own, Some("7-ab")));
    // A reap that was killed in between.
    let alone = plan(&all[..1], |_| None, &host(0));
    assert_eq!(alone[0].reason, "its job has no container any more");
}

#[test]
fn another_jobs_container_keeps_no_image_and_neither_does_an_heir() {
    let own = image("longshore.invalid/7-ab/app:1");
    let mut other = object(Kind::Container, "job");
    other.labels.insert(JOB.to_owned(), "8-ab".to_owned());
    other.name = "longshore-8-ab-job".to_owned();
    let mut heir = object(Kind::Container, BROKERED);
    (heir.name, heir.inherited) = ("db".to_owned(), true);
    let volume = object(Kind::Volume, "builds");
    let doomed = plan(&[own.clone(), other, heir, volume], |_| Some(true), &host(50));
    assert_eq!(doomed.iter().map(|one| &one.name).collect::<Vec<_>>(), [&own.name]);
}

#[test]
fn images_that_are_no_jobs_alone_stay() {
    for name in [
        "longshore.invalid/7-ab",
        "longshore.invalid/7-ab/",
        "longshore.invalid//app:1",
        "longshore.invalid/7-/app:1",
        "longshore.invalid/somebodys-0/app:1",
        "longshore.invalid/7-test/app:1",
        "registry.example/longshore.invalid/7-ab/app:1",
        "longshore.invalid.example/7-ab/app:1",
    ] {
        assert_eq!(plan(&[image(name)], |_| Some(false), &host(1000)), [], "{name}");
    }
    let used = Object { used: true, ..image("longshore.invalid/7-ab/app:1") };
    assert_eq!(plan(&[used], |_| Some(false), &host(1000)), []);
}

#[test]
fn the_images_of_one_job_are_its_own() {
    let all = ["7-ab/app:1", "7-ab/a/b:2", "7-abc/app:1", "8-ab/app:1"]
        .map(|name| image(&format!("longshore.invalid/{name}")));
    let names: Vec<String> = of_job(&all, "7-ab").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["longshore.invalid/7-ab/a/b:2", "longshore.invalid/7-ab/app:1"]);
}
