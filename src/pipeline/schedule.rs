//! Which job runs when: stages one after another, jobs of a stage side by side, artifacts and dotenv
//! variables handed from earlier jobs to later ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::artifact_store::ArtifactStore;
use super::console::Console;
use super::job_run::{Caller, Ending, JobReport, JobRun};
use super::model::{AllowFailure, Decision, Job, Pipeline, When};
use super::predefined::{self, Naming};
use super::report::{Row, Verdict, reason};
use super::spec::{Dependency, JobSpec, expanded};

/// GitLab's limit for a job that names none.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Job numbers of a pipeline follow from its own; the product stays exact in JSON's numbers.
const JOBS: u64 = 1000;

/// A job with its place in the pipeline.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What the file says.
    pub job: Job,
    /// Its number.
    pub id: u64,
    /// Its place in the file.
    pub index: usize,
    /// What its rules say.
    pub decision: Decision,
    /// Whether it was asked for.
    pub wanted: bool,
    /// Whether it was named.
    pub named: bool,
}

impl Planned {
    /// Whether later stages wait for it while it waits for a person. Source: GitLab's "Types of manual
    /// jobs": one that is allowed to fail is optional.
    fn blocks(&self) -> bool {
        !matches!(&self.decision, Decision::Run { allow_failure: AllowFailure::Yes, .. })
    }
}

/// A pipeline on its way.
pub struct Schedule {
    /// The file.
    pub pipeline: Pipeline,
    /// How the driver is called.
    pub caller: Arc<Caller>,
    /// Where artifacts go.
    pub store: Arc<ArtifactStore>,
    /// Where lines go.
    pub console: Console,
    /// Where scripts lie while they run.
    pub scripts: PathBuf,
    /// A token for each job, by its place.
    pub tokens: Vec<String>,
    /// Who ran so far.
    pub rows: Vec<(Planned, Row)>,
}

/// Numbers the jobs and lets their rules decide; `wanted` are those asked for, none for all.
pub fn plan(pipeline: &Pipeline, caller: &Caller, wanted: &[String]) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (index, job) in pipeline.jobs.iter().enumerate() {
        let id = caller.facts.pipeline_id * JOBS + index as u64;
        let naming = Naming { facts: &caller.facts, job, id, token: "" };
        let known = expanded(&predefined::all(&naming, pipeline, &job.variables, &[]));
        let lookup =
            |name: &str| known.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        planned.push(Planned {
            decision: job.decide(lookup),
            wanted: wanted.is_empty() || wanted.contains(&job.name),
            named: wanted.contains(&job.name),
            job: job.clone(),
            id,
            index,
        });
    }
    planned
}

/// Whether there is anything to run: GitLab makes no pipeline without jobs, and a job that was named and
/// is left out must not look like one that passed.
///
/// # Errors
/// In words for who asked.
pub fn check(planned: &[Planned]) -> Result<(), String> {
    let left_out = |one: &&Planned| matches!(one.decision, Decision::Skip);
    if let Some(one) = planned.iter().find(|one| one.named && left_out(one)) {
        let name = &one.job.name;
        return Err(format!("the job {name:?} is not in this pipeline: its rules leave it out"));
    }
    if planned.iter().all(|one| left_out(&one)) {
        return Err("no job is in this pipeline: the rules leave all of them out".to_owned());
    }
    Ok(())
}

impl Schedule {
    /// Runs everything, at most `side_by_side` jobs at a time.
    pub async fn run(mut self, planned: Vec<Planned>, side_by_side: usize) -> Vec<Row> {
        let places = Arc::new(Semaphore::new(side_by_side));
        for stage in self.pipeline.stages.clone() {
            let failed = self.rows.iter().any(|(_, row)| row.result == Verdict::Failed);
            let blocked = self.rows.iter().any(|(_, row)| row.result == Verdict::Blocking);
            let mut running = JoinSet::new();
            for one in planned.iter().filter(|one| one.job.stage == stage) {
                if let Some(verdict) = self.left_out(one, failed, blocked) {
                    self.rows.push((one.clone(), row(one, verdict, None)));
                    continue;
                }
                let (run, allow_failure) = self.start(one);
                let one = one.clone();
                let places = Arc::clone(&places);
                running.spawn(async move {
                    // The semaphore is never closed.
                    let _place = places.acquire_owned().await;
                    let report = match run {
                        Ok(run) => run.run().await,
                        Err(error) => failed_report(&error),
                    };
                    (one, report, allow_failure)
                });
            }
            while let Some(done) = running.join_next().await {
                let Ok((one, report, allow_failure)) = done else { continue };
                self.finish(one, report, &allow_failure);
            }
        }
        self.rows.sort_by_key(|(one, _)| one.index);
        self.rows.into_iter().map(|(_, row)| row).collect()
    }

    /// What becomes of a job that does not run; `None` where it does.
    fn left_out(&self, one: &Planned, failed: bool, blocked: bool) -> Option<Verdict> {
        let Decision::Run { when, .. } = &one.decision else {
            return Some(Verdict::Skipped("its rules do not hold"));
        };
        if !one.wanted {
            return Some(Verdict::Skipped("not asked for"));
        }
        if *self.caller.cancelled.borrow() {
            return Some(Verdict::Skipped("the pipeline was cancelled"));
        }
        let why = match when {
            When::OnSuccess if failed => "an earlier job failed",
            When::OnSuccess if blocked => "an earlier job waits for a person",
            When::OnFailure if !failed => "no earlier job failed",
            When::Manual if one.named => return None,
            When::Manual if one.blocks() && !failed && !blocked => return Some(Verdict::Blocking),
            When::Manual => "manual: name it to run it",
            When::Never => "when: never",
            _ => return None,
        };
        Some(Verdict::Skipped(why))
    }

    fn start(&self, one: &Planned) -> (std::io::Result<JobRun>, AllowFailure) {
        let lines = self.console.job(&one.job.name, one.index);
        let spec = self.spec(one, &|text| lines.error(text));
        self.store.admit(&spec.token, spec.id);
        let allow_failure = spec.allow_failure.clone();
        let lines = lines.masking(spec.masked());
        (JobRun::new(Arc::clone(&self.caller), spec, lines, &self.scripts), allow_failure)
    }

    /// The job as a runner would be handed it now.
    pub fn spec(&self, one: &Planned, warn: &dyn Fn(&str)) -> JobSpec {
        let token = self.tokens.get(one.index).cloned().unwrap_or_default();
        let mut own = one.job.variables.clone();
        let allow_failure = match &one.decision {
            Decision::Run { allow_failure, variables, .. } => {
                own.extend(variables.iter().cloned());
                allow_failure.clone()
            }
            Decision::Skip => AllowFailure::No,
        };
        let (dependencies, dotenv) = self.inherited(&one.job, warn);
        let naming = Naming { facts: &self.caller.facts, job: &one.job, id: one.id, token: &token };
        JobSpec {
            variables: predefined::all(&naming, &self.pipeline, &own, &dotenv),
            job: one.job.clone(),
            id: one.id,
            token,
            dependencies,
            timeout: one.job.timeout.unwrap_or(TIMEOUT),
            allow_failure,
        }
    }

    /// Archives and dotenv variables of the jobs of earlier stages that this one depends on.
    fn inherited(
        &self,
        job: &Job,
        warn: &dyn Fn(&str),
    ) -> (Vec<Dependency>, Vec<(String, String)>) {
        let (mut dependencies, mut dotenv) = (Vec::new(), Vec::new());
        for (earlier, _) in &self.rows {
            let named =
                job.dependencies.as_ref().is_none_or(|names| names.contains(&earlier.job.name));
            if !named || earlier.job.stage == job.stage {
                continue;
            }
            if let Some((_, size)) = self.store.find(earlier.id, "archive") {
                dependencies.push(Dependency {
                    id: earlier.id,
                    name: earlier.job.name.clone(),
                    size,
                });
            }
            match self.store.dotenv(earlier.id) {
                Ok(variables) => dotenv.extend(variables),
                Err(why) => warn(&format!("WARNING: no variables of {}: {why}", earlier.job.name)),
            }
        }
        (dependencies, dotenv)
    }

    fn finish(&mut self, one: Planned, report: JobReport, allow_failure: &AllowFailure) {
        if let Some(token) = self.tokens.get(one.index) {
            self.store.dismiss(token);
        }
        let verdict = Verdict::of(&report.ending, allow_failure);
        let row = row(&one, verdict, Some(report));
        let lines = self.console.job(&one.job.name, one.index);
        let why = reason(&row);
        match row.result {
            Verdict::Passed => lines.title("Job succeeded"),
            _ if why.is_empty() => lines.error(&format!("Job {}", row.result.text())),
            _ => lines.error(&format!("Job {}: {why}", row.result.text())),
        }
        self.rows.push((one, row));
    }
}

fn failed_report(error: &std::io::Error) -> JobReport {
    let why = format!("failed to make the job's directory: {error}");
    JobReport { ending: Ending::SystemFailed(why), times: Vec::new() }
}

fn row(one: &Planned, result: Verdict, report: Option<JobReport>) -> Row {
    Row { name: one.job.name.clone(), stage: one.job.stage.clone(), result, report }
}
