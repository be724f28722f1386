//! Which layers images share, and so what is freed when one goes. Pure.
//!
//! The engine tells each image's size and how much of it lies in layers that another image has too. The
//! shared layers are the lowest ones, up to where the images' ways part; so the two numbers are the sizes
//! of two stretches of its way, and all images together give the size of each stretch.

use std::collections::HashMap;

use super::Image;

/// The layers of all images as a tree: images that begin with the same layers begin with the same nodes.
pub(super) struct Layers {
    nodes: Vec<Node>,
    /// The highest node of each image.
    ends: Vec<usize>,
}

struct Node {
    below: usize,
    /// How many layers lie below and in it.
    depth: usize,
    /// Images with this layer.
    images: usize,
    /// Bytes of this stretch, as far as it can be told apart from what lies below.
    bytes: u64,
}

/// Below all layers.
const GROUND: usize = 0;

impl Layers {
    pub(super) fn of(images: &[Image]) -> Self {
        let ground = Node { below: GROUND, depth: 0, images: 0, bytes: 0 };
        let mut layers = Self { nodes: vec![ground], ends: Vec::with_capacity(images.len()) };
        let mut known: HashMap<(usize, &str), usize> = HashMap::new();
        for image in images {
            let mut at = GROUND;
            for layer in &image.layers {
                at = *known.entry((at, layer)).or_insert_with(|| layers.add(at));
            }
            if at == GROUND {
                // Its layers are not known: it has a stretch of its own.
                at = layers.add(GROUND);
            }
            layers.ends.push(at);
            layers.count(at, |images| *images += 1);
        }
        layers.weigh(images);
        layers
    }

    fn add(&mut self, below: usize) -> usize {
        let depth = self.nodes[below].depth + 1;
        self.nodes.push(Node { below, depth, images: 0, bytes: 0 });
        self.nodes.len() - 1
    }

    fn count(&mut self, end: usize, change: impl Fn(&mut usize)) {
        let mut at = end;
        while at != GROUND {
            change(&mut self.nodes[at].images);
            at = self.nodes[at].below;
        }
    }

    fn weigh(&mut self, images: &[Image]) {
        // What lies below and in a node, where an image tells it.
        let mut told: Vec<Option<u64>> = vec![None; self.nodes.len()];
        for (image, end) in images.iter().zip(&self.ends) {
            told[*end] = Some(image.size);
            let parting = self.way(*end).find(|at| self.nodes[*at].images > 1);
            if let Some(parting) = parting {
                told[parting].get_or_insert(image.shared);
            }
            if image.layers.is_empty() {
                told[*end] = Some(image.size.saturating_sub(image.shared));
            }
        }
        // A node comes after what lies below it.
        let mut sums = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter_mut().enumerate().skip(1) {
            let below: u64 = sums[node.below];
            let sum = told[at].unwrap_or(below).max(below);
            node.bytes = sum - below;
            sums[at] = sum;
        }
    }

    /// From an image's highest node down.
    fn way(&self, end: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(end), |at| Some(self.nodes[*at].below))
            .take_while(|at| *at != GROUND)
    }

    /// Takes an image away; answers the bytes of layers that no image has any more.
    pub(super) fn remove(&mut self, image: usize) -> u64 {
        let end = self.ends[image];
        self.count(end, |images| *images = images.saturating_sub(1));
        let gone = self.way(end).take_while(|at| self.nodes[*at].images == 0);
        gone.map(|at| self.nodes[at].bytes).sum()
    }

    /// Whether another image, that was not taken away, has all layers of this one.
    pub(super) fn is_covered(&self, image: usize) -> bool {
        self.nodes[self.ends[image]].images > 0
    }

    /// The images whose layers are the next lower ones of each image, and how many layers it has.
    pub(super) fn parents(&self) -> Vec<(usize, Vec<usize>)> {
        let mut ending: HashMap<usize, Vec<usize>> = HashMap::new();
        for (image, end) in self.ends.iter().enumerate() {
            ending.entry(*end).or_default().push(image);
        }
        let parents = |end: usize| self.way(end).skip(1).find_map(|at| ending.get(&at));
        let of = |end: &usize| (self.nodes[*end].depth, parents(*end).cloned().unwrap_or_default());
        self.ends.iter().map(of).collect()
    }
}
