//! What stays for other pipelines that have built the same.

use super::*;

/// Both have built the same: the image is what was delivered, and what the other one is about to test.
#[test]
fn the_test_image_that_another_pipeline_has_too_stays_until_it_has_delivered() {
    let commit = "89abcdef0123456789abcdef0123456789abcdef";
    let (sha, short) = (of(commit), of("build-89abcdef"));
    let all = [of("test"), of("latest"), of(SHA)];
    let both = |more: &[&str]| {
        let tags: Vec<&str> = all.iter().map(String::as_str).chain(more.iter().copied()).collect();
        tagged("a", &tags)
    };
    let ledger = Pipeline { project: "team/app".into(), id: 8, commit: String::new() };
    let told = LocalImage { pipeline: Some(ledger), ..both(&[]) };
    let labelled = LocalImage { revision: Some(commit.into()), ..both(&[]) };
    let mut policy = policy();
    policy.drop.pop();
    for image in [both(&[&sha]), both(&[&short]), told, labelled] {
        let rival = Pipeline { project: "team/app".into(), id: 8, commit: commit.into() };
        let images = seen(std::slice::from_ref(&image), &[]);
        let at_work = Seen { at_work: [rival.clone()].into(), ..images.clone() };
        let recent = Seen { recent: [rival.clone()].into(), ..images.clone() };
        for beside in [at_work, recent] {
            let plan = plan(&policy, &beside);
            assert_eq!(goes(&plan), [of(SHA)], "{image:?}");
            assert!(stays(&plan).contains(&(of("test").as_str(), &Why::AtWork(8))), "{image:?}");
        }
        // Another project's, this very one, and one of the same commit that is at nothing.
        for other in [
            Pipeline { project: "fork/app".into(), ..rival.clone() },
            Pipeline { id: 7, ..rival.clone() },
            Pipeline { commit: SHA.into(), ..rival.clone() },
        ] {
            let plan = plan(&policy, &Seen { recent: [other].into(), ..images.clone() });
            assert_eq!(goes(&plan), [of(SHA), of("test")], "{image:?}");
        }
    }
    let plan = plan(&policy, &seen(&[both(&[&sha])], &[]));
    assert_eq!(goes(&plan), [of(SHA), of("test")]);
}

#[test]
fn the_registrys_test_that_another_pipeline_has_too_stays() {
    let commit = "89abcdef0123456789abcdef0123456789abcdef";
    let tag = |tag: &str, digest: &str| RemoteTag {
        tag: tag.into(),
        digest: digest.into(),
        emptied: false,
    };
    let mut tags = vec![tag("latest", "d"), tag("test", "d"), tag(SHA, "d"), tag(commit, "d")];
    let mut policy = policy();
    policy.drop.pop();
    let rival = Pipeline { project: "team/app".into(), id: 8, commit: commit.into() };
    let names: Vec<String> = tags.iter().map(|one| one.tag.clone()).collect();
    let mut beside = Seen { recent: [rival.clone()].into(), ..Seen::default() };
    let went = |tags: &[RemoteTag], seen: &Seen| {
        let plan = plan_remote(&policy, tags, &Rivals::of(&policy, seen));
        plan.remove.into_iter().map(|one| one.tag).collect::<Vec<_>>()
    };
    let rivals = Rivals::of(&policy, &beside);
    assert_eq!(asked_remote(&policy, &names, &rivals).len(), 4);
    assert_eq!(asked_remote(&policy, &names, &Rivals::default()).len(), 3);
    assert_eq!(went(&tags, &beside), [SHA]);
    assert_eq!(went(&tags, &Seen::default()), ["test", SHA]);
    // Its own is another by now.
    tags[3].digest = "e".into();
    assert_eq!(went(&tags, &beside), ["test", SHA]);
    // By the ledger, without a tag of its own.
    let digests = vec![format!("{REPOSITORY}@d")];
    let made = LocalImage { digests, pipeline: Some(rival), ..LocalImage::default() };
    beside.images = vec![made];
    assert_eq!(went(&tags, &beside), [SHA]);
}
