//! `CI_DEBUG_SERVICES`: what a job's services write, in the log of its user stages, each line with the
//! service's name before it and masked like everything else.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::engine::{Engine, EngineError, Output};
use crate::job::Stage;
use crate::secrets::{MaskSet, Masker};

use super::call::Call;
use super::sink::RunnerSink;

/// GitLab's variable by which a job asks.
const ASK: &str = "CI_DEBUG_SERVICES";

/// Longest line that is held back to be written as one.
const LONGEST_LINE: usize = 64 * 1024;

/// Whether the job wants to see what its services write.
pub fn is_asked(call: &Call<'_>) -> bool {
    let asked = call.context.variable(ASK).is_some_and(|said| matches!(said, "true" | "1"));
    asked && !call.plan.services.is_empty()
}

/// Passes on what the services write: all so far with the first user stage, and what is new with later
/// ones. Never returns; it is dropped with its stage.
pub async fn follow<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    stage: &Stage,
    to: (&RunnerSink, &MaskSet),
) -> Infallible {
    let tail = (!stage.is_first_of_user()).then_some(0);
    let streams = call.plan.services.iter().enumerate().map(|(index, service)| {
        let name = service.aliases.last().unwrap_or(&service.image.reference);
        let lines = Lines { prefix: format!("[service:{name}] "), to, begun: Vec::new() };
        pass_on(engine, call.plan.service_name(index), tail, lines)
    });
    join_all(streams).await;
    std::future::pending().await
}

async fn pass_on<E: Engine>(
    engine: &E,
    container: String,
    tail: Option<usize>,
    mut lines: Lines<'_>,
) {
    if let Err(error) = stream(engine, &container, tail, &mut lines).await {
        lines.push(format!("({})\n", error.cause).as_bytes()).await;
    }
}

async fn stream<E: Engine>(
    engine: &E,
    container: &str,
    tail: Option<usize>,
    lines: &mut Lines<'_>,
) -> Result<(), EngineError> {
    let mut output = engine.logs(container, tail, true).await?;
    let mut masker = Masker::new(lines.to.1);
    let mut shown = Vec::new();
    while let Some(piece) = output.next().await {
        match piece? {
            Output::Stdout(bytes) | Output::Stderr(bytes) => masker.push(&bytes, &mut shown),
        }
        lines.push(&shown).await;
        shown.clear();
    }
    masker.finish(&mut shown);
    lines.push(&shown).await;
    Ok(())
}

/// Whole lines of one service.
struct Lines<'a> {
    prefix: String,
    to: (&'a RunnerSink, &'a MaskSet),
    begun: Vec<u8>,
}

impl Lines<'_> {
    async fn push(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let end = self.begun.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let overlong = (self.begun.len() > LONGEST_LINE).then_some(self.begun.len());
        let Some(end) = end.or(overlong) else { return };
        let mut text = Vec::new();
        for line in self.begun[..end].split_inclusive(|byte| *byte == b'\n') {
            text.extend_from_slice(self.prefix.as_bytes());
            text.extend_from_slice(line.trim_ascii_end());
            text.push(b'\n');
        }
        self.begun.drain(..end);
        // Where the runner takes nothing any more, the stage's own output says so.
        drop(self.to.0.beside(Bytes::from(text)).await);
    }
}
