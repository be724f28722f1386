//! Images and what is built on them: in which order they may go, and what that frees. Pure.

use std::collections::HashMap;

use super::layers::Layers;
use super::{Image, Policy, Stay, Staying};

/// All images with their relations.
pub(super) struct Family<'a> {
    images: &'a [Image],
    layers: Layers,
    /// Those that may go, children first, each with its last use: its own or that of what is built on it.
    order: Vec<(usize, u64)>,
}

impl<'a> Family<'a> {
    /// Works out who may go; answers also who stays, and why.
    pub(super) fn new(images: &'a [Image], policy: &Policy<'_>) -> (Self, Vec<Staying>) {
        let layers = Layers::of(images);
        let relations = relations(images, &layers);
        let mut youngest_first: Vec<usize> = (0..images.len()).collect();
        youngest_first.sort_by_key(|at| std::cmp::Reverse(relations[*at].generation));

        let mut last_use: Vec<u64> = images.iter().map(|image| image.last_use).collect();
        let mut stays: Vec<Option<Stay>> =
            images.iter().map(|image| policy.image_stays(image)).collect();
        let mut order = Vec::new();
        for at in youngest_first {
            for parent in &relations[at].parents {
                last_use[*parent] = last_use[*parent].max(last_use[at]);
                if stays[at].is_some() {
                    stays[*parent].get_or_insert(Stay::HasChildren);
                }
            }
            if stays[at].is_none() {
                order.push((at, last_use[at]));
            }
        }
        // Stable: of the same time, children stay before parents.
        order.sort_by_key(|(_, last_use)| *last_use);
        let kept = images.iter().zip(stays);
        let kept = kept.filter_map(|(image, stay)| stay.map(|stay| image.staying(stay))).collect();
        (Self { images, layers, order }, kept)
    }

    /// Those that may go, in their order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (usize, u64)> {
        self.order.iter().copied()
    }

    /// Takes an image away; answers the bytes that this frees.
    pub(super) fn remove(&mut self, at: usize) -> u64 {
        self.layers.remove(at)
    }

    /// Whether an image that was taken away is, in all its bytes, part of one that was not.
    pub(super) fn is_shared(&self, at: usize) -> bool {
        self.images[at].size > 0 && self.layers.is_covered(at)
    }
}

/// What an image is built on.
struct Relation {
    parents: Vec<usize>,
    /// Higher than that of each of its parents.
    generation: (usize, usize),
}

/// An image is built on another by the engine's own word, or by having its layers and more.
fn relations(images: &[Image], layers: &Layers) -> Vec<Relation> {
    let places: HashMap<&str, usize> =
        images.iter().enumerate().map(|(at, image)| (image.id.as_str(), at)).collect();
    let told = |at: usize| {
        let parent = places.get(images[at].parent.as_str()).copied();
        // Never more layers than its child; whatever else an engine says would turn the order round.
        parent.filter(|parent| {
            *parent != at && images[*parent].layers.len() <= images[at].layers.len()
        })
    };
    let steps = |at: usize| {
        let line = std::iter::successors(Some(at), |at| told(*at));
        line.take(images.len()).count()
    };
    let by_layers = layers.parents().into_iter().enumerate();
    by_layers
        .map(|(at, (depth, mut parents))| {
            parents.extend(told(at).filter(|parent| !parents.contains(parent)));
            Relation { parents, generation: (depth, steps(at)) }
        })
        .collect()
}
