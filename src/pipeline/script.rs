//! The frame of a stage's script, and how text is quoted in it. Pure.
//!
//! Shape as GitLab Runner's bash scripts have it: an export block, then everything as one quoted blob
//! that is evaluated in a subshell without standard input.

use std::fmt::Write;

/// Lines of a script that grow one by one.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// One line of shell.
    #[must_use]
    pub fn line(mut self, text: impl AsRef<str>) -> Self {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
        self
    }

    /// A command of words, each quoted.
    #[must_use]
    pub fn command<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let quoted: Vec<String> = words.into_iter().map(quote).collect();
        self.line(quoted.join(" "))
    }

    /// A message in the log.
    #[must_use]
    pub fn say(self, text: &str) -> Self {
        let text = quote(text);
        self.line(format!("printf '%s\\n' {text}"))
    }

    /// A user's commands, each shown before it runs.
    #[must_use]
    pub fn user(mut self, commands: &[String]) -> Self {
        for command in commands {
            self = self.say(&shown(command)).line(command);
        }
        self
    }

    /// The whole.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A command in green; of one with several lines only the first, as GitLab shows it.
fn shown(command: &str) -> String {
    let mut lines = command.lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { " # collapsed multi-line command" } else { "" };
    format!("\x1b[32;1m$ {first}{more}\x1b[0;m")
}

/// Exports every variable, and takes over what earlier stages wrote to `$GITLAB_ENV`.
pub fn exports(variables: &[(String, String)], project_dir: &str) -> String {
    let mut text = String::new();
    for (key, value) in variables {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "export {key}={}", quote(value));
    }
    let directory = quote(&format!("{project_dir}.tmp"));
    let file = quote(&format!("{project_dir}.tmp/gitlab_runner_env"));
    let _ = write!(
        text,
        "mkdir -p {directory}\nexport GITLAB_ENV={file}\nif [ -f {file} ]; then\n\
         while IFS= read -r pair; do export \"$pair\"; done < {file}\nfi\n"
    );
    text
}

/// The frame: dies of TERM with 1, stops at the first failure, gives the commands no standard input.
pub fn frame(text: &str) -> String {
    format!(
        "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\
         if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n\
         set -o errexit\nset +o noclobber\n(eval {}) </dev/null\nexit 0\n",
        quote_ansi(text)
    )
}

/// Single quotes: every shell takes what is between them as it is.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `$'...'`, which bash and busybox read; bytes outside ASCII are written one by one.
fn quote_ansi(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 8);
    quoted.push_str("$'");
    for byte in text.bytes() {
        match byte {
            b'\'' => quoted.push_str("\\'"),
            b'\\' => quoted.push_str("\\\\"),
            b'\n' => quoted.push_str("\\n"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('\'');
    quoted
}
