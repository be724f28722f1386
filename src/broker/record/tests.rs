//! What counts as done to an image, and what does not.

use serde_json::json;

use super::*;
use crate::broker::outgoing::Outgoing;
use crate::broker::policy::Decision;
use crate::broker::request::Method::Post;
use crate::broker::stand_in::{BUSYBOX, allowed, ask, view};

const REPOSITORY: &str = "registry.example/team/app";

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn push() -> Outgoing {
    allowed(Post, "/images/registry.example/team/app/push?tag=test", "")
}

fn build(query: &str) -> Outgoing {
    match ask(Post, &format!("/build?{query}"), "") {
        Decision::Build(plan) => plan.outgoing,
        other => panic!("{other:?}"),
    }
}

fn heard(outgoing: &Outgoing, documents: &[Value]) -> Heard {
    let mut heard = Heard::default();
    for document in documents {
        heard.document(outgoing, document);
    }
    heard
}

fn written(outgoing: &Outgoing, documents: &[Value]) -> Vec<ImageRecord> {
    of(&view(), outgoing, &heard(outgoing, documents))
}

#[test]
fn a_push_counts_by_its_digest() {
    let done =
        json!({"progressDetail": {}, "aux": {"Tag": "test", "Digest": digest("a"), "Size": 1}});
    let told = json!({"status": format!("test: digest: {} size: 1", digest("a"))});
    let expected = [ImageRecord {
        deed: Deed::Pushed,
        references: vec![format!("{REPOSITORY}:test")],
        images: Vec::new(),
        digest: Some(format!("{REPOSITORY}@{}", digest("a"))),
    }];
    let layer = json!({"status": format!("x: digest: {} size: 1", digest("b")), "id": "x"});
    for documents in [vec![told.clone(), done.clone()], vec![done], vec![told]] {
        let documents = [vec![layer.clone()], documents].concat();
        assert_eq!(written(&push(), &documents), expected, "{documents:?}");
    }
}

#[test]
fn a_push_that_tells_an_error_does_not_count_whatever_else_it_tells() {
    let done = json!({"aux": {"Tag": "test", "Digest": digest("a"), "Size": 1}});
    let error = json!({"errorDetail": {"message": "denied"}, "error": "denied"});
    for documents in [
        vec![],
        vec![json!({"status": "Pushed", "id": "x"})],
        vec![error.clone()],
        vec![done.clone(), error.clone()],
        vec![error, done],
        vec![json!({"aux": {"Digest": "sha256:short"}})],
    ] {
        assert_eq!(written(&push(), &documents), [], "{documents:?}");
    }
}

#[test]
fn a_pull_tells_the_digest() {
    let pull = allowed(Post, "/images/create?fromImage=busybox&tag=1", "");
    let documents = [
        json!({"status": format!("Digest: {}", digest("b"))}),
        json!({"status": "Status: Downloaded"}),
    ];
    let [record] = written(&pull, &documents).try_into().unwrap();
    assert_eq!(record.deed, Deed::Pulled);
    assert_eq!(record.images, [BUSYBOX]);
    assert_eq!(record.digest.unwrap(), format!("docker.io/library/busybox@{}", digest("b")));
}

#[test]
fn a_build_tells_the_images_of_its_stages_and_not_what_its_commands_print() {
    let build = build("t=registry.example/team/app:test");
    let documents = [
        json!({"aux": {"ID": digest("1")}}),
        json!({"stream": format!("{{\"aux\": {{\"ID\": \"{}\"}}}}\n", digest("9"))}),
        json!({"stream": format!("{}\n", digest("9"))}),
        json!({"aux": {"ID": digest("2")}}),
    ];
    let mut heard = heard(&build, &documents);
    assert_eq!(heard.built(&build), [digest("1"), digest("2")]);
    let records = of(&view(), &build, &heard);
    assert_eq!(records[0].images, [digest("1"), digest("2")]);
    assert_eq!(records[0].references, [format!("{REPOSITORY}:test")]);
}

#[test]
fn names_that_are_the_jobs_alone_are_told_as_the_job_wrote_them() {
    let tag = allowed(Post, "/images/busybox:1/tag?repo=mine&tag=2", "");
    let records = of(&view(), &tag, &Heard::default());
    assert_eq!((records[0].deed, records[0].references[0].as_str()), (Deed::Tagged, "mine:2"));
}

#[test]
fn a_quiet_build_tells_its_image_only_where_it_went_well() {
    let build = build("q=1");
    let last = json!({"stream": format!("{}\n", digest("3"))});
    assert_eq!(heard(&build, std::slice::from_ref(&last)).built(&build), [digest("3")]);
    let error = json!({"error": "exit 1", "errorDetail": {"message": "exit 1"}});
    for failed in [[last.clone(), error.clone()], [error, last]] {
        assert_eq!(heard(&build, &failed).built(&build), Vec::<String>::new());
    }
}
