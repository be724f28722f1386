//! What tells when an image was last used, pulled or tagged on this host: our own record, and the engine's
//! word on its tags. When it was made is no such thing: a base image was made long ago and elsewhere.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::StreamExt;

use super::{FORWARD, Kind, LastUse};
use crate::engine::{Engine, EngineError, ImageFacts};
use crate::world::unix;

/// Images that are asked for at once.
const AT_ONCE: usize = 8;

/// What is known of one image.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// `sha256:...`
    pub id: &'a str,
    /// By our own record, Unix seconds.
    pub recorded: Option<u64>,
    /// When one of its tags was last set, by the engine, Unix seconds.
    pub tagged: Option<u64>,
    /// When it was made, where it has no name: then a build on this host left it behind.
    pub built: Option<u64>,
}

impl LastUse {
    /// When this image was last used, pulled or tagged, Unix seconds.
    ///
    /// Of what was loaded, or pulled by somebody whom we do not see, the engine only knows when it was
    /// made: it counts from the first time that it is seen here, and this is written down.
    pub fn of_image(&self, traces: &Traces<'_>, now: SystemTime) -> u64 {
        let known = traces.recorded.max(believed(traces.tagged, now)).or(traces.built);
        // A clock that was wrong has written the record: it is put right.
        let is_wrong = traces.recorded.is_some_and(|recorded| is_to_come(recorded, now));
        if let Some(known) = known.filter(|_| !is_wrong) {
            return known.min(unix(now));
        }
        // What cannot be written down counts from now on the next time too.
        drop(self.note(Kind::Image, traces.id, now));
        unix(now)
    }
}

/// The time of a tag; none that lies in the future, where a clock was wrong: it cannot be put right, and would
/// keep the image until that time has come.
pub fn believed(tagged: Option<u64>, now: SystemTime) -> Option<u64> {
    tagged.filter(|tagged| !is_to_come(*tagged, now))
}

fn is_to_come(time: u64, now: SystemTime) -> bool {
    time > unix(now + FORWARD)
}

/// Layers, tag time and all else of images by their ids, asked for side by side. One that is gone
/// meanwhile has none.
///
/// # Errors
/// When the engine does not answer.
pub async fn facts<E: Engine>(
    engine: &E,
    ids: impl IntoIterator<Item = String>,
) -> Result<HashMap<String, ImageFacts>, EngineError> {
    let ask = |id: String| async move {
        engine.image(&id).await.map(|facts| (id, facts.unwrap_or_default()))
    };
    let asked: Vec<_> = ids.into_iter().map(ask).collect();
    let answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    answers.collect::<Vec<_>>().await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: u64 = 3600;
    const NOW: u64 = 1000 * HOUR;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// What it is said to be, and what is written down by that.
    fn told(
        recorded: Option<u64>,
        tagged: Option<u64>,
        built: Option<u64>,
    ) -> (u64, Option<SystemTime>) {
        let directory = tempfile::tempdir().unwrap();
        let record = LastUse::at(directory.path());
        let traces = Traces { id: "sha256:a", recorded, tagged, built };
        let told = record.of_image(&traces, at(NOW));
        (told, record.of(Kind::Image, "sha256:a"))
    }

    #[test]
    fn the_newest_of_record_and_tag_counts() {
        for (recorded, tagged, built, expected) in [
            (Some(5), None, None, 5),
            (None, Some(7), None, 7),
            (Some(5), Some(7), None, 7),
            (Some(9), Some(7), Some(100), 9),
            (None, None, Some(100), 100),
            // Of the same second, as clocks of files and of the engine go.
            (None, Some(NOW + 1), None, NOW),
            (None, None, Some(NOW + HOUR), NOW),
        ] {
            assert_eq!(told(recorded, tagged, built), (expected, None), "{recorded:?} {tagged:?}");
        }
    }

    #[test]
    fn what_nobody_knows_of_counts_from_now_on() {
        assert_eq!(told(None, None, None), (NOW, Some(at(NOW))));
    }

    /// The clock was an hour ahead when it was tagged, or used: it does not stay for that hour and more.
    #[test]
    fn a_time_to_come_is_none() {
        assert_eq!(told(None, Some(NOW + HOUR), None), (NOW, Some(at(NOW))));
        assert_eq!(told(Some(NOW + HOUR), None, None), (NOW, Some(at(NOW))));
        assert_eq!(told(Some(5), Some(NOW + HOUR), None), (5, None));
        assert_eq!(told(Some(NOW + HOUR), Some(5), None), (NOW, Some(at(NOW))));
        assert_eq!(told(None, Some(NOW + HOUR), Some(100)), (100, None));
    }
}
