//! What a Dockerfile comes down to: the images it needs, and the file that the daemon gets.

use std::collections::BTreeMap;

use crate::plan::BrokerPlan;

use super::dockerfile::{Dockerfile, Instruction, check_trigger, unsure};
use super::variables;
use crate::broker::outgoing::Outgoing;
use crate::broker::policy::{self, BuildPlan};
use crate::broker::refusal::Refusal;
use crate::broker::view::JobView;

/// An image that a build is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Needed {
    /// Its reference or id at the daemon.
    pub reference: String,
    /// How it is pulled; `None` for one of the job's own making.
    pub pull: Option<Outgoing>,
    /// When it is.
    pub when: When,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only where the daemon does not have it.
    Absent,
    /// In any case.
    Always,
}

/// What the daemon tells of an image: `GET /images/REFERENCE/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `Id`
    pub id: String,
    /// `Config.OnBuild`
    pub triggers: Vec<String>,
}

/// Where an instruction takes files or a root from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Nothing, a stage before, or the context: as it is written.
    Written,
    /// An image, by its number among those needed.
    Image(usize),
}

/// A Dockerfile that may be built, once the facts about its images are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    escape: char,
    lines: Vec<(Instruction, Source)>,
    /// Images to be looked at, in this order.
    pub images: Vec<Needed>,
}

/// What is known while the lines are read.
struct Reading<'a> {
    plan: &'a BuildPlan,
    view: &'a JobView,
    rules: &'a BrokerPlan,
    /// Names of the stages so far; unnamed ones are empty.
    stages: Vec<String>,
    /// Arguments before the first stage.
    arguments: BTreeMap<String, String>,
    images: Vec<Needed>,
}

impl Recipe {
    /// Reads and judges a Dockerfile.
    ///
    /// # Errors
    /// Where it holds a secret, names an image that the job may not use, or can be read in two ways.
    pub fn read(
        text: &[u8],
        plan: &BuildPlan,
        (view, rules): (&JobView, &BrokerPlan),
    ) -> Result<Self, Refusal> {
        if let Some(secret) = (view.secrets)(&String::from_utf8_lossy(text)) {
            let message = format!("the Dockerfile holds the secret {secret}");
            return Err(Refusal::forbidden("build-arg-secret", message));
        }
        let file = Dockerfile::read(text)?;
        let mut reading = Reading {
            plan,
            view,
            rules,
            stages: Vec::new(),
            arguments: BTreeMap::new(),
            images: Vec::new(),
        };
        let lines = file.instructions.into_iter();
        let lines: Result<Vec<_>, Refusal> = lines.map(|one| reading.line(one)).collect();
        let lines = lines?;
        if reading.stages.is_empty() {
            return Err(unsure("the Dockerfile has no FROM"));
        }
        Ok(Self { escape: file.escape, lines, images: reading.images })
    }

    /// The file for the daemon, with the facts of [`Self::images`] in their order.
    ///
    /// # Errors
    /// Where an image makes its builds do what is not allowed, or is missing.
    pub fn write(&self, facts: &[Facts]) -> Result<Vec<u8>, Refusal> {
        let mut text = format!("# escape={}\n", self.escape);
        let mut meant = Vec::with_capacity(self.lines.len());
        for (instruction, source) in &self.lines {
            let instruction = match source {
                Source::Written => instruction.clone(),
                Source::Image(number) => {
                    let facts = facts.get(*number).filter(|facts| facts.id.starts_with("sha256:"));
                    let facts =
                        facts.ok_or_else(|| unsure("an image of the Dockerfile is not here"))?;
                    pinned(instruction, facts)?
                }
            };
            text.push_str(&instruction.line());
            text.push('\n');
            meant.push(instruction);
        }
        let read = Dockerfile::read(text.as_bytes())?;
        if (read.escape, read.instructions) != (self.escape, meant) {
            return Err(unsure("the Dockerfile can be read in two ways"));
        }
        Ok(text.into_bytes())
    }
}

/// An instruction with an image's id in the place of its name.
fn pinned(instruction: &Instruction, facts: &Facts) -> Result<Instruction, Refusal> {
    let mut pinned = instruction.clone();
    if instruction.keyword == "FROM" {
        for trigger in &facts.triggers {
            // Images keep them as the default escape has them.
            check_trigger(trigger, '\\')?;
        }
        let (_, name) = split(&instruction.rest);
        pinned.rest = format!("{}{name}", facts.id);
    } else {
        for flag in pinned.flags.iter_mut().filter(|flag| flag.starts_with("--from=")) {
            *flag = format!("--from={}", facts.id);
        }
    }
    Ok(pinned)
}

/// As the builder wants it, in lower case.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The first word, and what follows it with its blanks.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text.split_at(end)
}

impl Reading<'_> {
    fn line(&mut self, instruction: Instruction) -> Result<(Instruction, Source), Refusal> {
        let source = match instruction.keyword.as_str() {
            "FROM" => return self.from(instruction),
            "ARG" if self.stages.is_empty() => {
                self.argument(&instruction.rest)?;
                Source::Written
            }
            _ if self.stages.is_empty() => {
                return Err(unsure("only ARG stands before the first FROM"));
            }
            "COPY" => match instruction.flag("--from") {
                Some(from) => self.copy(from)?,
                None => Source::Written,
            },
            _ => Source::Written,
        };
        Ok((instruction, source))
    }

    fn argument(&mut self, rest: &str) -> Result<(), Refusal> {
        for word in rest.split_whitespace() {
            let (name, default) = word.split_once('=').unwrap_or((word, ""));
            if default.contains(['"', '\'', '\\', '`']) {
                return Err(unsure("write ARG before FROM without quotes"));
            }
            let default = variables::expanded(&self.arguments, default)?;
            let given = self.plan.arguments.get(name).cloned().flatten();
            self.arguments.insert(name.to_owned(), given.unwrap_or(default));
        }
        Ok(())
    }

    fn from(&mut self, mut instruction: Instruction) -> Result<(Instruction, Source), Refusal> {
        let known = |flag: &String| flag.starts_with("--platform=") && !flag.contains('$');
        if !instruction.flags.iter().all(known) {
            return Err(unsure("FROM has a flag other than a plain --platform"));
        }
        let words: Vec<String> = instruction.rest.split_whitespace().map(str::to_owned).collect();
        let (image, stage) = match words.as_slice() {
            [image] => (image, String::new()),
            [image, word, name] if word.eq_ignore_ascii_case("as") => (image, name.to_lowercase()),
            _ => return Err(unsure("FROM is IMAGE [AS NAME]")),
        };
        if !stage.is_empty() && !is_stage_name(&stage) {
            return Err(unsure("the name of a stage is not of letters, digits, `-`, `_` and `.`"));
        }
        let image = variables::expanded(&self.arguments, image)?;
        let before = self.stages.iter().any(|stage| *stage == image.to_lowercase());
        let platform = instruction.flag("--platform").map(str::to_owned);
        let source = if image == "scratch" || before {
            Source::Written
        } else {
            let platform = platform.or_else(|| self.plan.platform.clone());
            self.image(&image, self.plan.pull, platform.as_deref())?
        };
        // Expanded here, so that nobody expands it otherwise.
        instruction.rest = if stage.is_empty() { image } else { format!("{image} AS {stage}") };
        self.stages.push(stage);
        Ok((instruction, source))
    }

    fn copy(&mut self, from: &str) -> Result<Source, Refusal> {
        if from.is_empty() || from.contains('$') {
            return Err(unsure("COPY --from names a stage or an image, without variables"));
        }
        // Stages before this one, by name or number; the daemon takes everything else for an image.
        let lower = from.to_lowercase();
        let before = &self.stages[..self.stages.len() - 1];
        let numbered = from.parse::<usize>().is_ok_and(|number| number < before.len());
        if numbered || before.contains(&lower) {
            return Ok(Source::Written);
        }
        if from.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unsure("COPY --from names a stage that does not come before"));
        }
        self.image(from, false, None)
    }

    fn image(
        &mut self,
        image: &str,
        pull: bool,
        platform: Option<&str>,
    ) -> Result<Source, Refusal> {
        let needed = policy::needed((self.view, self.rules), image, (pull, platform))?;
        let known = self.images.iter().position(|known| *known == needed);
        let number = known.unwrap_or_else(|| {
            self.images.push(needed);
            self.images.len() - 1
        });
        Ok(Source::Image(number))
    }
}
