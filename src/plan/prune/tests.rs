//! What a prune takes, keeps and says.

use std::collections::BTreeSet;

use super::super::container::Labels;
use super::*;

mod rivals;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

const REPOSITORY: &str = "reg.example:5000/team/app";

fn policy() -> PrunePolicy {
    PrunePolicy {
        project: "team/app".to_owned(),
        pipeline: 7,
        repository: REPOSITORY.to_owned(),
        keep: vec!["latest".to_owned(), "v*".to_owned()],
        drop: vec!["test".to_owned(), SHA.to_owned(), "*".to_owned()],
        own: vec![SHA.to_owned()],
        commit: SHA.to_owned(),
        min_age_seconds: 0,
    }
}

fn tagged(id: &str, tags: &[&str]) -> LocalImage {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    LocalImage { id: id.to_owned(), tags, ..LocalImage::default() }
}

fn seen(images: &[LocalImage], used: &[&str]) -> Seen {
    let used = used.iter().map(|id| (*id).to_owned()).collect();
    Seen { images: images.to_vec(), used, ..Seen::default() }
}

fn planned(images: &[LocalImage], used: &[&str]) -> PrunePlan {
    plan(&policy(), &seen(images, used))
}

/// Beside a pipeline of the same project with this commit.
fn beside(commit: &str, images: &[LocalImage]) -> PrunePlan {
    let rival = Pipeline { project: "team/app".into(), id: 8, commit: commit.into() };
    plan(&policy(), &Seen { at_work: [rival].into(), ..seen(images, &[]) })
}

fn goes(plan: &PrunePlan) -> Vec<&str> {
    plan.remove.iter().map(|one| one.reference.as_str()).collect()
}

fn stays(plan: &PrunePlan) -> Vec<(&str, &Why)> {
    plan.spared.iter().map(|one| (one.reference.as_str(), &one.why)).collect()
}

fn of(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

#[test]
fn test_and_sha_go_and_latest_stays() {
    let sha = format!("reg.example:5000/team/app:{SHA}");
    let tags = ["reg.example:5000/team/app:test", &sha, "reg.example:5000/team/app:latest"];
    let plan = planned(&[tagged("a", &tags)], &[]);
    assert_eq!(goes(&plan), [sha.as_str(), "reg.example:5000/team/app:test"]);
    assert_eq!(plan.latest.as_deref(), Some("a"));
}

#[test]
fn other_repositories_stay_even_below_ours() {
    let tags = [
        "reg.example:5000/team/other:test",
        "reg.example:5000/team/app/sub:test",
        "reg.example:5000/team/app-two:test",
        "app:test",
    ];
    assert_eq!(planned(&[tagged("a", &tags)], &[]), PrunePlan::default());
}

#[test]
fn what_a_container_uses_stays_and_is_told() {
    let plan = planned(&[tagged("a", &["reg.example:5000/team/app:test"])], &["a"]);
    assert!(plan.remove.is_empty());
    assert_eq!(stays(&plan), [("reg.example:5000/team/app:test", &Why::Used)]);
}

#[test]
fn a_used_image_loses_a_tag_only_while_it_keeps_another() {
    let tags = ["reg.example:5000/team/app:test", "reg.example:5000/team/app:latest"];
    assert_eq!(goes(&planned(&[tagged("a", &tags)], &["a"])), tags[..1]);
}

#[test]
fn a_digest_goes_though_another_repository_has_a_tag() {
    let digest = "reg.example:5000/team/app@sha256:11".to_owned();
    let mut image = tagged("a", &["python:3.13"]);
    image.digests = vec![digest.clone(), "python@sha256:22".to_owned()];
    assert_eq!(goes(&planned(&[image], &[])), [digest]);
}

#[test]
fn a_stage_of_this_commit_with_a_name_elsewhere_stays() {
    let mut image = tagged("a", &["other:1"]);
    image.revision = Some(SHA.to_owned());
    assert_eq!(planned(&[image], &[]), PrunePlan::default());
}

#[test]
fn the_latest_of_the_pipeline_before_goes_by_its_digest() {
    let digest = "reg.example:5000/team/app@sha256:11".to_owned();
    let old = LocalImage { id: "a".into(), digests: vec![digest.clone()], ..LocalImage::default() };
    assert_eq!(goes(&planned(&[old], &[])), [digest]);
}

#[test]
fn a_nameless_stage_of_this_commit_goes_and_of_another_stays() {
    let stage = |id: &str, commit: &str| LocalImage {
        id: id.to_owned(),
        revision: Some(commit.to_owned()),
        ..LocalImage::default()
    };
    assert_eq!(goes(&planned(&[stage("mine", SHA), stage("theirs", "other")], &[])), ["mine"]);
}

#[test]
fn an_image_tells_its_commit_by_the_oci_label() {
    let labels = [("org.opencontainers.image.revision".to_owned(), SHA.to_owned())].into();
    assert_eq!(LocalImage::revision_of(&labels).as_deref(), Some(SHA));
    assert_eq!(LocalImage::revision_of(&[].into()), None);
}

#[test]
fn keep_wins_over_drop() {
    let plan = planned(&[tagged("a", &[&of("v1"), &of("old"), &of("latest")])], &[]);
    assert_eq!(goes(&plan), [of("old")]);
    assert_eq!(
        stays(&plan),
        [(of("latest").as_str(), &Why::Kept), (of("v1").as_str(), &Why::Kept)]
    );
}

#[test]
fn a_tag_of_all_pipelines_goes_while_nobody_else_is_at_work() {
    let test = || [tagged("a", &[&of("test")])];
    assert_eq!(planned(&test(), &[]).remove[0].why, Why::Dropped);
    assert_eq!(stays(&beside("other", &test())), [(of("test").as_str(), &Why::AtWork(8))]);
}

#[test]
fn it_goes_beside_others_where_its_image_is_this_pipelines() {
    let labelled = LocalImage { revision: Some(SHA.into()), ..tagged("a", &[&of("test")]) };
    let by_job = Pipeline { project: "team/app".into(), id: 7, commit: String::new() };
    let made = LocalImage { pipeline: Some(by_job), ..tagged("a", &[&of("test")]) };
    let delivered = tagged("a", &[&of("test"), &of("latest")]);
    let with_sha = tagged("a", &[&of("test"), &of(SHA)]);
    for image in [labelled, made, delivered, with_sha] {
        let plan = beside("other", std::slice::from_ref(&image));
        assert!(goes(&plan).contains(&of("test").as_str()), "{image:?}");
    }
}

#[test]
fn the_test_image_of_another_commit_stays() {
    let theirs = LocalImage { revision: Some("other".into()), ..tagged("a", &[&of("test")]) };
    let plan = planned(&[theirs], &[]);
    assert_eq!(stays(&plan), [(of("test").as_str(), &Why::OtherCommit("other".into()))]);
}

#[test]
fn the_test_image_that_another_pipeline_made_stays() {
    let by = |project: &str| Pipeline { project: project.into(), id: 6, commit: String::new() };
    let made =
        |project: &str| LocalImage { pipeline: Some(by(project)), ..tagged("a", &[&of("test")]) };
    let plan = planned(&[made("team/app")], &[]);
    assert_eq!(stays(&plan), [(of("test").as_str(), &Why::OtherPipeline(6))]);
    // What another project made and this one tagged is this one's name for it.
    assert_eq!(planned(&[made("fork/app")], &[]).remove[0].why, Why::Dropped);
    let delivered =
        LocalImage { pipeline: Some(by("team/app")), ..tagged("a", &[&of("test"), &of("latest")]) };
    assert_eq!(planned(&[delivered], &[]).remove[0].why, Why::OwnImage);
}

#[test]
fn a_pipeline_run_again_beside_keeps_the_tags_that_both_have() {
    let plan = beside(SHA, &[tagged("a", &[&of(SHA), &of("test"), &of("latest")])]);
    assert_eq!(goes(&plan), Vec::<&str>::new());
    assert!(stays(&plan).contains(&(of(SHA).as_str(), &Why::AtWork(8))));
}

#[test]
fn a_nameless_stage_stays_beside_a_fork_that_builds_the_same_commit() {
    let stage = LocalImage { revision: Some(SHA.into()), ..tagged("a", &[]) };
    let fork = Pipeline { project: "fork/app".into(), id: 7, commit: SHA.into() };
    let plan = plan(&policy(), &Seen { at_work: [fork].into(), ..seen(&[stage], &[]) });
    assert_eq!(stays(&plan), [("a", &Why::AtWork(7))]);
}

#[test]
fn a_digest_newer_than_what_was_delivered_is_the_other_pipelines() {
    let digest = |id: &str, created: i64| LocalImage {
        created,
        digests: vec![format!("{REPOSITORY}@sha256:{id}")],
        ..tagged(id, &[])
    };
    let latest = LocalImage { created: 10, ..tagged("a", &[&of("latest")]) };
    let plan = beside("other", &[latest, digest("old", 5), digest("new", 15)]);
    assert_eq!(goes(&plan), [format!("{REPOSITORY}@sha256:old")]);
    let new = format!("{REPOSITORY}@sha256:new");
    assert!(stays(&plan).contains(&(new.as_str(), &Why::AtWork(8))), "{plan:?}");
}

#[test]
fn what_is_young_stays() {
    let policy = PrunePolicy { min_age_seconds: 60, ..policy() };
    let image = |id: &str, tag: &str, created| LocalImage { created, ..tagged(id, &[&of(tag)]) };
    let images = vec![image("a", "one", 100), image("b", "two", 40)];
    let plan = plan(&policy, &Seen { images, now: 100, ..Seen::default() });
    assert_eq!(
        (goes(&plan), stays(&plan)),
        (vec![of("two").as_str()], vec![(of("one").as_str(), &Why::Young)])
    );
}

/// Each with the second it was made at and touched at, at 1000, where a minute's rest is asked for.
#[test]
fn an_old_image_that_was_pulled_tagged_or_used_a_moment_ago_is_young() {
    let policy = PrunePolicy { min_age_seconds: 60, ..policy() };
    for (created, touched, stays) in [
        (10, None, false),
        (10, Some(10), false),
        (10, Some(940), false),
        (10, Some(941), true),
        (10, Some(1000), true),
        (941, Some(10), true),
        (941, None, true),
        // By another clock than ours.
        (5000, None, true),
        (5000, Some(10), false),
        (5000, Some(941), true),
        (-5, Some(0), false),
    ] {
        let images =
            vec![LocalImage { created, touched, ..tagged("a", &[&of("test"), &of("latest")]) }];
        let seen = Seen { images, now: 1000, ..Seen::default() };
        let plan = plan(&policy, &seen);
        assert_eq!(goes(&plan).is_empty(), stays, "{created} {touched:?}");
        assert_eq!(stays, plan.spared.iter().any(|one| one.why == Why::Young), "{plan:?}");
        // Whatever is known so far: its age has to be found out.
        assert_eq!(candidates(&policy, &seen), ["a".to_owned()].into());
    }
}

#[test]
fn only_what_would_go_has_to_tell_its_age() {
    let images = [
        tagged("kept", &[&of("v1")]),
        tagged("another's", &["reg.example:5000/team/other:test"]),
        tagged("used", &[&of("test")]),
        tagged("goes", &[&of("old")]),
    ];
    assert_eq!(candidates(&policy(), &seen(&images, &["used"])), ["goes".to_owned()].into());
}

#[test]
fn a_job_tells_its_pipeline_by_its_labels() {
    let labels = |text: &str| -> Labels {
        text.split(' ')
            .map(|one| one.split_once('=').unwrap())
            .map(|(k, v)| (format!("longshore.{k}"), v.to_owned()))
            .collect()
    };
    let pipeline = Pipeline { project: "g/p".into(), id: 7, commit: "abc".into() };
    assert_eq!(Pipeline::of(&labels("project=g/p pipeline=7 commit=abc")), Some(pipeline));
    assert_eq!(Pipeline::of(&labels("project=g/p pipeline=x")), None);
}

#[test]
fn a_pattern_without_its_value_is_none() {
    let settings = PruneSettings {
        drop: ["test", "x-$CI_COMMIT_SHA", "$CI_PIPELINE_ID", "b-$CI_COMMIT_REF_NAME", "$NO"]
            .map(str::to_owned)
            .into(),
        ..PruneSettings::default()
    };
    let facts = Facts { pipeline: Some(7), reference: Some("main".into()), ..Facts::default() };
    let policy = PrunePolicy::by_hand(&facts, &settings);
    assert_eq!(
        (policy.drop, policy.own),
        (vec!["test".into(), "7".into(), "b-main".into()], vec!["7".to_owned()])
    );
}

fn remote(tags: &[(&str, &str)]) -> RemotePlan {
    let tag = |(tag, digest): &(&str, &str)| RemoteTag {
        tag: (*tag).into(),
        digest: (*digest).into(),
        emptied: *digest == "emptied",
    };
    plan_remote(&policy(), &tags.iter().map(tag).collect::<Vec<_>>(), &Rivals::default())
}

#[test]
fn in_the_registry_one_digest_has_all_three() {
    let plan = remote(&[("latest", "1"), ("test", "1"), (SHA, "1"), ("v1", "1")]);
    let gone: BTreeSet<&str> = plan.remove.iter().map(|one| one.tag.as_str()).collect();
    assert_eq!(gone, ["test", SHA].into());
    assert_eq!(plan.latest.as_deref(), Some("1"));
}

#[test]
fn what_another_pipeline_has_pushed_since_stays() {
    let plan = remote(&[("latest", "1"), ("test", "2"), (SHA, "1")]);
    assert_eq!(plan.remove.len(), 1);
    assert!(stays_in(&plan).contains(&(of("test"), Why::NotDelivered)));
}

/// Of whatever pipeline's: nobody can pull it. What the settings keep stays even so.
#[test]
fn a_tag_that_an_interrupted_prune_has_emptied_goes() {
    let plan = remote(&[("latest", "1"), ("test", "emptied"), ("v1", "emptied"), ("b", "2")]);
    let gone: Vec<&str> = plan.remove.iter().map(|one| one.tag.as_str()).collect();
    assert_eq!(gone, ["test"]);
    assert!(stays_in(&plan).contains(&(of("v1"), Why::Kept)));
    assert!(stays_in(&plan).contains(&(of("b"), Why::NotDelivered)));
}

fn stays_in(plan: &RemotePlan) -> Vec<(String, Why)> {
    plan.spared.iter().map(|one| (one.reference.clone(), one.why.clone())).collect()
}

#[test]
fn without_a_latest_nothing_goes_from_the_registry() {
    assert_eq!(remote(&[("test", "1"), (SHA, "1")]), RemotePlan::default());
}

#[test]
fn a_broken_pattern_takes_no_other_along() {
    let broken = "[broken".to_owned();
    let policy = PrunePolicy {
        keep: vec![broken.clone(), "v*".into()],
        drop: vec![broken, "*".into()],
        ..policy()
    };
    let plan = plan(&policy, &seen(&[tagged("a", &[&of("v1"), &of("old")])], &[]));
    assert_eq!(
        (goes(&plan), stays(&plan)),
        (vec![of("old").as_str()], vec![(of("v1").as_str(), &Why::Kept)])
    );
}
