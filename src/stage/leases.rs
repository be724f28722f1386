//! What is leased to a job lives as long as the job: renewed while its stages run, ended with it, and, where
//! nobody was left to end it, by `reap`.

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;

use crate::secrets::vault::Kept;
use crate::settings::Settings;
use crate::world::{World, unix};

use super::sink::RunnerSink;
use super::vault::{self, Source};

/// Sees work through while the job's leases are renewed beside it. What cannot be renewed is told after
/// the stage's own output.
pub async fn renewed<T>(source: &Source, sink: &RunnerSink, work: impl Future<Output = T>) -> T {
    let told = RefCell::new(Vec::new());
    let done = tokio::select! {
        done = work => done,
        never = source.renew(|line| told.borrow_mut().push(line)) => match never {},
    };
    for line in told.into_inner() {
        // A runner that is gone has no use for it.
        drop(sink.line(&format!("longshore: {line}")).await);
    }
    done
}

/// Ends all that is kept for a job; answers sentences about what could not be ended.
pub async fn end_of_job(settings: &Settings, world: &World, job: &str) -> Vec<String> {
    let mine = vault::kept(settings).into_iter().filter(|(_, kept)| kept.holder.job == job);
    end(settings, world, mine.collect()).await
}

/// Ends kept tokens and what hangs on them; answers sentences about what could not be ended.
pub async fn end(settings: &Settings, world: &World, kept: Vec<(PathBuf, Kept)>) -> Vec<String> {
    let source = vault::source(settings, world);
    let mut left = Vec::new();
    for (path, kept) in kept {
        let now = unix((world.clock)());
        left.extend(source.end(&path, &kept, now).await.err());
    }
    left
}
