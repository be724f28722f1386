//! Reads a Dockerfile as the classic builder does, instruction by instruction, and refuses what could be
//! read in two ways.

use super::words;
use crate::broker::refusal::Refusal;

/// Longest instruction: the daemon's own reader takes no longer line.
const LONGEST: usize = 60_000;

/// One instruction, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Upper case.
    pub(super) keyword: String,
    /// `--name=value`, each.
    pub(super) flags: Vec<String>,
    /// What follows them.
    pub(super) rest: String,
}

/// A file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    pub(super) escape: char,
    pub(super) instructions: Vec<Instruction>,
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub(super) fn unsure(message: impl Into<String>) -> Refusal {
    Refusal::forbidden("dockerfile", message)
}

impl Dockerfile {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| unsure("the Dockerfile is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // Some readers take them for blanks, or for the end of a line, and some do not.
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(unsure("the Dockerfile has control characters"));
        }
        let lines: Vec<&str> =
            text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let escape = escape(&lines)?;
        let mut instructions = Vec::new();
        let mut pending = String::new();
        for line in lines {
            let bare = line.trim_start();
            if bare.starts_with('#') || bare.is_empty() {
                continue;
            }
            let line = if pending.is_empty() { bare } else { line };
            let (part, continues) = continuation(line, escape)?;
            pending.push_str(part);
            if pending.len() > LONGEST {
                return Err(unsure("an instruction of the Dockerfile is too long"));
            }
            if !continues && !pending.trim().is_empty() {
                instructions.push(Instruction::read(&std::mem::take(&mut pending), escape)?);
            }
        }
        if !pending.trim().is_empty() {
            return Err(unsure("the Dockerfile ends within an instruction"));
        }
        Ok(Self { escape, instructions })
    }
}

/// `# escape=` among the comments at the beginning. Others mean nothing to the classic builder.
fn escape(lines: &[&str]) -> Result<char, Refusal> {
    for line in lines {
        let Some(comment) = line.trim_start().strip_prefix('#') else { break };
        let Some((key, value)) = comment.split_once('=') else { break };
        if key.trim().eq_ignore_ascii_case("escape") {
            return match value.trim() {
                "\\" => Ok('\\'),
                "`" => Ok('`'),
                _ => Err(unsure("escape is a backslash or a backtick")),
            };
        }
    }
    Ok('\\')
}

/// A line without the mark that the next one belongs to it. Builders differ on two marks in a row.
fn continuation(line: &str, escape: char) -> Result<(&str, bool), Refusal> {
    let bare = line.trim_end_matches([' ', '\t']);
    let Some(part) = bare.strip_suffix(escape) else { return Ok((line, false)) };
    if part.ends_with(escape) {
        return Err(unsure("a line of the Dockerfile ends with two escape characters"));
    }
    Ok((part, true))
}

impl Instruction {
    pub(super) fn read(line: &str, escape: char) -> Result<Self, Refusal> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let keyword = word.to_ascii_uppercase();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(unsure("the Dockerfile has an instruction that is unknown here"));
        }
        let (flags, rest) = words::flags(&keyword, rest.trim_start())?;
        // What stood behind it was a blank to us; for the daemon the next line would belong to it.
        if rest.ends_with(escape) {
            return Err(unsure("an instruction of the Dockerfile ends with the escape character"));
        }
        // The daemon would take a heredoc's lines, which are our next instructions.
        let copies = matches!(keyword.as_str(), "RUN" | "COPY" | "ADD" | "ONBUILD");
        if copies && words::begins_heredoc(rest) {
            return Err(unsure(format!(
                "{keyword} with a heredoc (<<) needs BuildKit, which is not offered"
            )));
        }
        let instruction = Self { keyword, flags, rest: rest.to_owned() };
        instruction.check(escape)?;
        Ok(instruction)
    }

    /// What can be told from an instruction alone.
    fn check(&self, escape: char) -> Result<(), Refusal> {
        match self.keyword.as_str() {
            "ADD" => self.check_add(escape),
            "LABEL" => words::check_labels(&self.rest, escape),
            "ONBUILD" => check_trigger(&self.rest, escape),
            _ => Ok(()),
        }
    }

    /// The daemon would fetch it, from the host's network.
    fn check_add(&self, escape: char) -> Result<(), Refusal> {
        let rest = &self.rest;
        let hidden = rest.contains(['$', escape, '\\'])
            || (!rest.starts_with('[') && rest.contains(['"', '\'']));
        if hidden || rest.contains("://") || rest.contains("git@") || rest.contains(".git") {
            return Err(Refusal::forbidden(
                "add-url",
                "ADD takes plain files of the context here; fetch others in a RUN, or use COPY",
            ));
        }
        Ok(())
    }

    /// The value of a flag.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find_map(|flag| flag.strip_prefix(name)?.strip_prefix('='))
    }

    /// On one line.
    pub(super) fn line(&self) -> String {
        let parts =
            [self.keyword.as_str()].into_iter().chain(self.flags.iter().map(String::as_str));
        parts.chain([self.rest.as_str()]).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }
}

/// What an image makes later builds do: nothing that names another image or an address.
pub(super) fn check_trigger(line: &str, escape: char) -> Result<(), Refusal> {
    if line.contains('\n') {
        return Err(unsure("ONBUILD has more than one line"));
    }
    let trigger = Instruction::read(line, escape)?;
    let forbidden = matches!(trigger.keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER");
    if forbidden || trigger.flags.iter().any(|flag| flag.starts_with("--from")) {
        return Err(unsure("ONBUILD may not name other images"));
    }
    Ok(())
}
