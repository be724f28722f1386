//! What holds for every host: worlds of layers, images on them and uses, at random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// How a random image comes to be: on which other one, with how many layers of its own, and its fate.
type Recipe = (usize, usize, u64, u8, bool);

/// Builds images on images, as builds do, with the sizes that an engine would tell.
fn world(recipes: &[Recipe]) -> Observed {
    let mut images: Vec<Image> = Vec::new();
    for (at, (base, own, hours, fate, by_builder)) in recipes.iter().enumerate() {
        let name = format!("i{at}");
        // A third of them on nothing.
        let on = images.get(base % (images.len() * 3 / 2 + 1)).cloned();
        let mut layers = on.as_ref().map(|on| on.layers.clone()).unwrap_or_default();
        layers.extend((0..*own).map(|layer| format!("{name}.{layer}")));
        if layers.is_empty() {
            layers.push(format!("{name}.base"));
        }
        let parent = on.filter(|_| *by_builder).map(|on| on.id).unwrap_or_default();
        let layers = layers.iter().map(String::as_str).collect::<Vec<_>>();
        let (used, leased) = (*fate == 0, *fate == 1);
        images.push(Image { parent, used, leased, ..image(&name, &layers, *hours) });
    }
    observed(images)
}

fn recipes() -> impl Strategy<Value = Vec<Recipe>> {
    vec((0_usize..1000, 0_usize..4, 0_u64..50, 0_u8..12, any::<bool>()), 1..30)
}

/// Whether one is built on the other.
fn is_on(child: &Image, parent: &Image) -> bool {
    let more = child.layers.len() > parent.layers.len();
    child.id != parent.id
        && (child.parent == parent.id || (more && child.layers.starts_with(&parent.layers)))
}

/// Bytes of the layers that only those have that go.
fn truly_freed(observed: &Observed, gone: &[&str]) -> u64 {
    let chains = |goes: bool| -> BTreeSet<String> {
        let images =
            observed.images.iter().filter(|image| gone.contains(&image.id.as_str()) == goes);
        images.flat_map(|one| (1..=one.layers.len()).map(|to| one.layers[..to].join("/"))).collect()
    };
    100 * chains(true).difference(&chains(false)).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_loses_what_is_in_use_and_children_go_first(recipes in recipes(), need in 0_u64..4000) {
        let observed = world(&recipes);
        let plan = Wish::space(need).plan(&observed);
        let gone = gone(&plan);
        let place = |image: &Image| gone.iter().position(|id| *id == image.id);
        for image in observed.images.iter().filter(|image| place(image).is_some()) {
            prop_assert!(!image.used && !image.leased && image.last_use + HOUR <= NOW);
            for child in observed.images.iter().filter(|other| is_on(other, image)) {
                prop_assert!(place(child) < place(image) && place(child).is_some());
            }
        }
        prop_assert_eq!(gone.len() + plan.kept.len(), observed.images.len());
    }

    #[test]
    fn it_frees_no_less_than_it_says_and_no_more_than_is_wanted(
        recipes in recipes(), need in 1_u64..4000,
    ) {
        let observed = world(&recipes);
        let plan = Wish::space(need).plan(&observed);
        prop_assert!(truly_freed(&observed, &gone(&plan)) >= plan.bytes);
        let told: u64 = plan.remove.iter().map(|one| one.bytes).sum();
        prop_assert_eq!(told, plan.bytes);
        if plan.missing_bytes == 0 {
            let last = plan.remove.last().map_or(0, |one| one.bytes);
            prop_assert!(plan.bytes >= need && plan.bytes - last < need);
        } else {
            prop_assert_eq!(plan.bytes + plan.missing_bytes, need);
            prop_assert!(plan.kept.iter().all(|one| one.reason != Stay::Enough));
        }
    }

    #[test]
    fn all_of_a_host_without_jobs_can_go_and_is_counted(recipes in recipes()) {
        let mut observed = world(&recipes);
        for image in &mut observed.images {
            (image.used, image.leased, image.last_use) = (false, false, 0);
        }
        let plan = Wish::space(u64::MAX).plan(&observed);
        prop_assert_eq!(plan.remove.len(), observed.images.len());
        prop_assert!(plan.bytes <= observed.images_bytes);
        prop_assert_eq!(truly_freed(&observed, &gone(&plan)), observed.images_bytes);
    }

    #[test]
    fn volumes_go_strictly_by_age(uses in vec((0_u64..50, 1_u64..100), 0..40), room in 0_u64..2000) {
        let volume = |(at, (hours, size)): (usize, &(u64, u64))| Volume {
            name: format!("v{at}"), size: *size, last_use: NOW - hours * HOUR, used: false,
        };
        let volumes = uses.iter().enumerate().map(volume).collect();
        let observed = Observed { volumes, ..Observed::default() };
        let room = Room { cache_volumes: Some(room), ..Room::default() };
        let plan = Wish { room, ..Wish::none() }.plan(&observed);
        let use_of = |name: &str| observed.volumes.iter().find(|one| one.name == name).unwrap().last_use;
        let youngest = plan.remove.iter().map(|one| one.last_use).max();
        let kept = plan.kept.iter().filter(|one| one.reason == Stay::Enough);
        let oldest_kept = kept.map(|one| use_of(&one.name)).min();
        prop_assert!(oldest_kept.is_none_or(|oldest| youngest.is_none_or(|gone| oldest >= gone)));
        let left: u64 = observed.volumes.iter().map(|one| one.size).sum::<u64>() - plan.bytes;
        prop_assert_eq!(left.saturating_sub(room.cache_volumes.unwrap()), plan.missing_bytes);
    }
}
