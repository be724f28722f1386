//! Who goes first, who never goes, and what that frees.

use super::*;

mod properties;

const NOW: u64 = 1_000_000;
const HOUR: u64 = 3600;

/// An image of these layers, each of 100 bytes unless it is another's too.
fn image(id: &str, layers: &[&str], hours_ago: u64) -> Image {
    Image {
        id: id.to_owned(),
        references: vec![format!("{id}:1")],
        layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
        last_use: NOW - hours_ago * HOUR,
        ..Image::default()
    }
}

/// Fills in the sizes as the engine would tell them.
fn observed(mut images: Vec<Image>) -> Observed {
    let chain = |image: &Image, upto: usize| image.layers[..upto].join("/");
    let users = |images: &[Image], chain_of: &str, upto: usize| {
        images.iter().filter(|one| one.layers.len() >= upto && chain(one, upto) == chain_of).count()
    };
    let mut all = BTreeSet::new();
    for at in 0..images.len() {
        let layers = images[at].layers.len();
        images[at].size = 100 * layers as u64;
        let shared = (1..=layers).filter(|upto| {
            let name = chain(&images[at], *upto);
            all.insert(name.clone());
            users(&images, &name, *upto) > 1
        });
        images[at].shared = 100 * shared.count() as u64;
    }
    let images_bytes = 100 * all.len() as u64;
    Observed { images, images_bytes, ..Observed::default() }
}

struct Wish {
    room: Room,
    need_bytes: u64,
    keep: Patterns,
    named: BTreeSet<String>,
}

impl Wish {
    fn none() -> Self {
        let (room, named) = (Room::default(), BTreeSet::new());
        Self { room, need_bytes: 0, keep: Patterns::nothing(), named }
    }

    fn images(bytes: u64) -> Self {
        Self { room: Room { images: Some(bytes), ..Room::default() }, ..Self::none() }
    }

    fn space(need_bytes: u64) -> Self {
        Self { need_bytes, ..Self::none() }
    }

    fn keeping(mut self, pattern: &str) -> Self {
        self.keep = Patterns::new(vec![pattern.to_owned()]).unwrap();
        self
    }

    fn plan(&self, observed: &Observed) -> GcPlan {
        let Self { room, need_bytes, keep, named } = self;
        let (room, need_bytes) = (*room, *need_bytes);
        plan(observed, &Policy { room, need_bytes, min_age: HOUR, now: NOW, keep, named })
    }
}

fn gone(plan: &GcPlan) -> Vec<&str> {
    plan.remove.iter().map(|going| going.name.as_str()).collect()
}

fn why(plan: &GcPlan, name: &str) -> Stay {
    plan.kept.iter().find(|one| one.name == format!("{name}:1")).unwrap().reason
}

#[test]
fn the_least_recently_used_goes_until_the_rest_has_room() {
    let images = vec![image("a", &["a"], 2), image("b", &["b"], 9), image("c", &["c"], 5)];
    let observed = observed(images);
    let plan = Wish::images(150).plan(&observed);
    assert_eq!(gone(&plan), ["b", "c"]);
    assert_eq!((plan.bytes, plan.missing_bytes, why(&plan, "a")), (200, 0, Stay::Enough));
    assert_eq!(plan.remove[0].reason, Reason::OverBudget);
    assert!(Wish::images(300).plan(&observed).is_empty());
    assert!(Wish::none().plan(&observed).is_empty());
}

#[test]
fn an_image_goes_after_those_that_are_built_on_it_and_is_as_young_as_they() {
    let base = image("base", &["l0"], 99);
    let images = vec![base, image("app", &["l0", "l1"], 3), image("other", &["x"], 50)];
    let observed = observed(images);
    assert_eq!(gone(&Wish::images(200).plan(&observed)), ["other"]);
    let plan = Wish::space(1000).plan(&observed);
    assert_eq!(gone(&plan), ["other", "app", "base"]);
    assert_eq!(plan.remove.iter().map(|one| one.bytes).collect::<Vec<_>>(), [100, 100, 100]);
    assert_eq!((plan.bytes, plan.missing_bytes), (300, 700));
    assert_eq!(plan.remove[0].reason, Reason::LowSpace);
}

/// The classic builder knows parents that have the very same layers (`FROM base` and `ENV`).
#[test]
fn a_parent_by_the_engines_word_goes_after_its_child() {
    let mut child = image("child", &["l0"], 9);
    child.parent = "parent".to_owned();
    let observed = observed(vec![image("parent", &["l0"], 9), child]);
    let plan = Wish::space(1).plan(&observed);
    // The first of the two frees nothing.
    assert_eq!(gone(&plan), ["child", "parent"]);
    assert_eq!((plan.remove[0].bytes, plan.remove[1].bytes), (0, 100));
}

#[test]
fn parents_that_go_round_in_a_circle_do_not_keep_it_from_ending() {
    let mut first = image("a", &["l0"], 9);
    first.parent = "b".to_owned();
    let mut second = image("b", &["l0"], 9);
    second.parent = "a".to_owned();
    assert_eq!(Wish::space(1).plan(&observed(vec![first, second])).bytes, 100);
}

#[test]
fn what_stays_keeps_what_it_is_built_on() {
    let mut app = image("app", &["l0", "l1", "l2"], 99);
    app.used = true;
    let images = vec![image("base", &["l0"], 99), image("middle", &["l0", "l1"], 99), app];
    let plan = Wish::space(1).plan(&observed(images));
    assert!(plan.is_empty());
    assert_eq!(why(&plan, "app"), Stay::Used);
    assert_eq!([why(&plan, "base"), why(&plan, "middle")], [Stay::HasChildren; 2]);
    assert_eq!(plan.missing_bytes, 1);
}

#[test]
fn what_is_wanted_never_goes() {
    let mut leased = image("leased", &["a"], 99);
    leased.leased = true;
    let images = vec![leased, image("young", &["b"], 0), image("kept", &["c"], 99)];
    let mut images = [images, vec![image("named", &["d"], 99)]].concat();
    images[1].last_use = NOW - HOUR + 1;
    let mut wish = Wish::space(1).keeping("docker.io/library/kep*:1");
    wish.named = ["docker.io/library/named:1".to_owned()].into();
    let plan = wish.plan(&observed(images));
    assert!(plan.is_empty(), "{plan:?}");
    for (name, reason) in [
        ("leased", Stay::Leased),
        ("young", Stay::Young),
        ("kept", Stay::Keep),
        ("named", Stay::Named),
    ] {
        assert_eq!(why(&plan, name), reason, "{name}");
    }
}

#[test]
fn a_use_in_the_future_is_young() {
    let mut tomorrow = image("a", &["a"], 0);
    tomorrow.last_use = NOW + 24 * HOUR;
    assert!(Wish::space(1).plan(&observed(vec![tomorrow])).is_empty());
}

/// Two tags of the same bytes with other metadata: while one stays, the other frees nothing.
#[test]
fn what_frees_nothing_stays() {
    let mut used = image("used", &["l0"], 9);
    used.used = true;
    let plan = Wish::space(1).plan(&observed(vec![used, image("twin", &["l0"], 9)]));
    assert!(plan.is_empty());
    assert_eq!((why(&plan, "twin"), plan.missing_bytes), (Stay::FreesNothing, 1));
}

#[test]
fn volumes_and_build_cache_have_a_room_each_and_go_together_for_space() {
    let volume = |name: &str, hours: u64| Volume {
        name: name.to_owned(),
        size: 100,
        last_use: NOW - hours * HOUR,
        used: false,
    };
    let record = |hours: u64| Record { size: 10, last_use: NOW - hours * HOUR, used: hours == 30 };
    let mut observed = observed(vec![image("a", &["a"], 7)]);
    observed.volumes = vec![volume("v5", 5), volume("v8", 8), volume("v0", 0)];
    observed.records = [6, 4, 20, 30].map(record).to_vec();
    let room = Room { cache_volumes: Some(250), build_cache: Some(30), ..Room::default() };
    let plan = Wish { room, ..Wish::none() }.plan(&observed);
    assert_eq!(gone(&plan), ["v8"]);
    let cache = plan.build_cache.unwrap();
    assert_eq!((cache.keep_bytes, cache.bytes, cache.unused_for_seconds), (30, 10, HOUR));

    // By age: 20 hours (a record), 8 (a volume), 7 (the image).
    let plan = Wish::space(111).plan(&observed);
    assert_eq!(gone(&plan), ["v8", "a"]);
    assert_eq!(plan.build_cache.unwrap().bytes, 10);
    // What goes for its kind's room counts.
    let room = Room { cache_volumes: Some(100), ..Room::default() };
    let plan = Wish { room, ..Wish::space(150) }.plan(&observed);
    assert_eq!(gone(&plan), ["v8", "v5"]);
    assert!(plan.build_cache.is_none());
}

#[test]
fn an_image_without_known_layers_has_what_it_does_not_share_for_itself() {
    let mut images = observed(vec![image("a", &["l0"], 8), image("b", &["l0", "l1"], 9)]);
    images.images[1].layers.clear();
    let plan = Wish::space(1).plan(&images);
    assert_eq!((gone(&plan), plan.bytes), (vec!["b"], 100));
}

#[test]
fn settings_name_images_as_people_write_them() {
    let toml = "[docker]\ndefault_image = \"python\"\nhelper_image = \"reg:5000/git@sha256:11\"\n\
                allowed_images = [\"debian:13\", \"team/**\"]\n\
                mirror = [{ registry = \"docker.io\", mirror = \"mirror.example/hub\" }]\n\
                [[services]]\nname = \"postgres:$VERSION\"\n[[services]]\nname = \"redis:7\"\n\
                [[project]]\nprojects = [\"a\"]\ndefault_image = \"docker.io/library/node:24\"\n\
                allowed_images = [\"a\"]\n";
    let settings = Settings::parse(toml, std::path::Path::new("x")).unwrap();
    let named = named(&settings);
    let hub = ["python:latest", "debian:13", "redis:7", "node:24", "a:latest"];
    let mut expected: BTreeSet<String> = ["reg:5000/git@sha256:11".to_owned()].into();
    for name in hub {
        expected.insert(format!("docker.io/library/{name}"));
        expected.insert(format!("mirror.example/hub/library/{name}"));
    }
    assert_eq!(named, expected);
}
