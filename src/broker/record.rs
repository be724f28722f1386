//! What became of images by a job's requests, from the daemon's own words: what the ledger is told. It asks
//! nobody, and what a command of the job prints counts for nothing.

use serde_json::Value;

use super::outgoing::{Deed, Note, Outgoing};
use super::view::JobView;

/// One thing that was done to images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// What.
    pub deed: Deed,
    /// As the daemon knows them, the job's own names without our prefix.
    pub references: Vec<String>,
    /// Their ids; of a build those of all its stages.
    pub images: Vec<String>,
    /// `host/path@sha256:…`, where a registry was asked.
    pub digest: Option<String>,
}

/// What a stream of documents has told so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// What a registry knows the image by.
    digest: Option<String>,
    /// Ids of images that were made.
    images: Vec<String>,
    /// The one line of a quiet build, which is the image's id where all went well.
    quiet: Option<String>,
    /// Why it failed, in the daemon's words.
    pub(super) failure: Option<String>,
}

impl Heard {
    /// Of one image, and no stream.
    pub(super) fn of(image: &str) -> Self {
        Self { images: vec![image.to_owned()], ..Self::default() }
    }

    /// Takes in one document of the stream that answers this request.
    pub(super) fn document(&mut self, outgoing: &Outgoing, document: &Value) {
        let text = |path: &str| document.pointer(path).and_then(Value::as_str);
        if document.get("error").is_some() || document.get("errorDetail").is_some() {
            let words = text("/error").or_else(|| text("/errorDetail/message"));
            self.failure = Some(words.unwrap_or("it failed").to_owned());
        }
        match outgoing.path.as_str() {
            "/build" => {
                // What commands print comes as `stream`.
                self.images.extend(text("/aux/ID").filter(|id| is_digest(id)).map(str::to_owned));
                self.quiet = text("/stream").map(|line| line.trim().to_owned());
            }
            "/images/create" => {
                let told = text("/status").and_then(|status| status.strip_prefix("Digest: "));
                self.digest =
                    told.filter(|told| is_digest(told)).map(str::to_owned).or(self.digest.take());
            }
            _ => {
                let told = text("/aux/Digest").or_else(|| pushed(document));
                let told = told.filter(|told| is_digest(told));
                self.digest = told.map(str::to_owned).or(self.digest.take());
            }
        }
    }

    /// The images that a build made, once it has ended well.
    pub(super) fn built(&mut self, outgoing: &Outgoing) -> &[String] {
        let is_quiet = outgoing.query.iter().any(|(key, _)| *key == "q");
        // A build that fails pours out what its commands printed, and could be made to name any image.
        if is_quiet && self.failure.is_none() {
            self.images.extend(self.quiet.take().filter(|id| is_digest(id)));
        }
        &self.images
    }

    /// Whether a push has been done: without a digest nobody has said so.
    pub(super) fn is_pushed(&self) -> bool {
        self.failure.is_none() && self.digest.is_some()
    }
}

/// What is to be written down once a request has been done.
pub(super) fn of(view: &JobView, outgoing: &Outgoing, heard: &Heard) -> Vec<ImageRecord> {
    outgoing.notes.iter().filter_map(|note| of_note(view, note, heard)).collect()
}

fn of_note(view: &JobView, note: &Note, heard: &Heard) -> Option<ImageRecord> {
    let (deed, references) = match note {
        Note::Images { deed: Some(deed), references } => (*deed, references.clone()),
        Note::Pushed { reference } if heard.is_pushed() => (Deed::Pushed, vec![reference.clone()]),
        _ => return None,
    };
    let known = references.iter().filter_map(|one| view.own.images.get(one));
    let mut images: Vec<String> = known.chain(&heard.images).cloned().collect();
    images.sort_unstable();
    images.dedup();
    let repository = references.first().map(|one| repository(one));
    let digest = heard.digest.as_ref().zip(repository);
    let shown = |one: &String| one.replace(&view.local_prefix(), "");
    Some(ImageRecord {
        deed,
        references: references.iter().map(shown).collect(),
        images,
        digest: digest.map(|(digest, repository)| format!("{repository}@{digest}")),
    })
}

/// A reference without its tag or digest.
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

/// The digest in the last line of a push, `TAG: digest: sha256:… size: N`: all that a daemon tells whose images
/// are kept by containerd. Lines about single layers have an id.
fn pushed(document: &Value) -> Option<&str> {
    if document.get("id").is_some() {
        return None;
    }
    let (_tag, told) = document.get("status")?.as_str()?.split_once(": digest: ")?;
    told.split_once(" size: ").map(|(digest, _size)| digest)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && super::name::is_hex(hex))
}

#[cfg(test)]
mod tests;
