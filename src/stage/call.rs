//! From argv, environment and files to a plan: what each of the four calls begins with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::process::{Pid, getppid};

use crate::engine::meter::Meter;
use crate::host::ledger::{Event, Ledger};
use crate::host::{capacity, owner};
use crate::job::JobContext;
use crate::joblog::masks::Masks;
use crate::plan::container::Labels;
use crate::plan::owner::{Moment, Owner};
use crate::plan::{self, HostFacts, JobPlan};
use crate::secrets::vault::Holder;
use crate::settings::Settings;
use crate::world::World;

use super::error::CallError;
use super::{agent_volume, masking};

/// One call with all it was told, and what it will do.
pub struct Call<'a> {
    /// The surroundings.
    pub world: &'a World,
    /// The settings file that was read.
    pub settings_path: PathBuf,
    /// What the operator allows.
    pub settings: Settings,
    /// What GitLab said.
    pub context: JobContext,
    /// What we are going to do.
    pub plan: JobPlan,
    /// The process that called us.
    pub parent: Option<Pid>,
    /// This process itself, where `/proc` tells of it.
    pub own: Option<Owner>,
    /// What its time is spent on.
    pub meter: Meter,
    /// What our own words must not show.
    pub masks: Arc<Masks>,
    /// When it was read.
    pub began: SystemTime,
}

impl<'a> Call<'a> {
    /// Reads settings and job and compiles the plan.
    ///
    /// # Errors
    /// Ours where a file or variable is missing or wrong; the job's where it asks for what is not
    /// allowed.
    pub fn load(world: &'a World, settings_path: PathBuf) -> Result<Self, CallError> {
        let parent = getppid();
        let settings = read_settings(&settings_path)?;
        let context = read_context(world)?;
        let facts = host_facts(world)?;
        let plan = plan::compile(&context, &settings, &facts).map_err(CallError::job)?;
        let options = masking::options(&settings.masking);
        let masks = Arc::new(Masks::new(options));
        masks.add(context.masked_values());
        let (meter, began) = (Meter::default(), (world.clock)());
        let own = owner::describe(std::process::id()).ok();
        Ok(Self { world, settings_path, settings, context, plan, parent, own, meter, masks, began })
    }

    /// Whose the job's access to Vault is, as it stands on the labels of all that is the job's.
    pub fn holder(&self) -> Option<Holder> {
        let labels = &self.plan.labels;
        Some(Holder {
            job: self.plan.key.to_string(),
            owner: Owner::read(labels)?,
            deadline: Moment::read_deadline(labels)?,
        })
    }

    /// The job's labels for what this call removes itself before it ends: where it is killed before that,
    /// nobody has to wait for the end of the runner. Of this kind.
    pub fn passing_labels(&self, kind: &str) -> Labels {
        let mut labels = self.plan.labelled(kind);
        if let Some(own) = &self.own {
            own.write(&mut labels);
        }
        labels
    }

    /// Whether the process that called us has ended since.
    pub fn is_orphaned(&self) -> bool {
        getppid() != self.parent
    }

    /// Seconds since this call began; 0 where the clock was set back meanwhile.
    pub fn seconds(&self) -> f64 {
        let now = (self.world.clock)();
        now.duration_since(self.began).map_or(0.0, |passed| passed.as_secs_f64())
    }

    /// Writes an event to the ledger, which is history and not state: a job does not fail for it.
    pub fn record(&self, event: &Event<'_>) {
        let ledger = Ledger::at(&self.settings.state_dir);
        // A stage's line holds nothing but GitLab's own names, and compiling the masks would take as long
        // as the stage.
        let plain = matches!(event, Event::Stage { .. });
        let ledger = if plain { ledger } else { ledger.masked(&self.masks) };
        drop(ledger.append(event, (self.world.clock)()));
    }
}

/// Reads and parses the settings file.
///
/// # Errors
/// When it cannot be read or is not what it must be.
pub fn read_settings(path: &Path) -> Result<Settings, CallError> {
    let text = fs::read_to_string(path).map_err(|error| {
        CallError::system(format!(
            "failed to read the settings {}: {error}\n  copy longshore.toml.example there, or name \
             another file with --settings or LONGSHORE_SETTINGS",
            path.display()
        ))
    })?;
    Settings::parse(&text, path).map_err(CallError::system)
}

/// Reads the job that the runner described.
///
/// # Errors
/// When the runner did not describe one, or not as it should.
pub fn read_context(world: &World) -> Result<JobContext, CallError> {
    let path = world.variable("JOB_RESPONSE_FILE").ok_or_else(|| {
        CallError::system(
            "JOB_RESPONSE_FILE is not set: this command is called by GitLab Runner's custom executor \
             (see config.toml.example); to run a pipeline by hand use `longshore local`",
        )
    })?;
    let json = fs::read(path).map_err(|error| {
        CallError::system(format!(
            "failed to read the job that GitLab Runner wrote to {path}: {error}"
        ))
    })?;
    JobContext::new(world.job_variables(), &json).map_err(CallError::system)
}

fn host_facts(world: &World) -> Result<HostFacts, CallError> {
    let parent = getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let owner = owner::describe(parent.unsigned_abs()).map_err(|error| {
        CallError::system(format!("failed to read who called us from /proc: {error}"))
    })?;
    let capacity = capacity::read().map_err(|error| {
        CallError::system(format!("failed to read what this host has: {error}"))
    })?;
    let agent_volume = agent_volume::name(&world.executable)?;
    Ok(HostFacts { owner, agent_volume, now: owner::now(world), capacity })
}
