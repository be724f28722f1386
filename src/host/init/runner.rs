//! The `[[runners]]` block of GitLab Runner's configuration. It is added at the end or printed, so that no word
//! of what is there is lost. Pure.

use std::path::Path;

use serde_json::json;
use toml::Value;

/// The whole file that newcomers copy from.
const EXAMPLE: &str = include_str!("../../../config.toml.example");

/// What the block is told of this host.
pub(super) struct Place<'a> {
    pub(super) executable: &'a Path,
    pub(super) settings_path: &'a Path,
    pub(super) name: &'a str,
    pub(super) url: Option<&'a str>,
    pub(super) token: Option<&'a str>,
}

/// The block.
pub(super) fn block(place: &Place<'_>) -> String {
    let mut text = String::new();
    for line in EXAMPLE.lines().skip_while(|line| *line != "[[runners]]") {
        text.push_str(&filled(line, place).unwrap_or_else(|| line.to_owned()));
        text.push('\n');
    }
    text
}

/// A line of the example with this host's own value; `None` where it has none.
fn filled(line: &str, place: &Place<'_>) -> Option<String> {
    let (key, value) = line.split_once(" = ")?;
    let value = match key.trim() {
        "name" => string(place.name),
        "url" => string(place.url?),
        "token" => string(place.token?),
        name if name.ends_with("_exec") => string(&place.executable.display().to_string()),
        name if name.ends_with("_args") => {
            let call = value.trim_matches(['[', ']', '"']);
            let settings = place.settings_path.display().to_string();
            json!(["--settings", settings, call])
        }
        _ => return None,
    };
    Some(format!("{key} = {value}"))
}

/// As JSON has it: strings and lists are the same in both languages.
fn string(text: &str) -> serde_json::Value {
    json!(text)
}

/// Whether a configuration has such a block already: a runner whose jobs this binary prepares.
///
/// # Errors
/// What is wrong with the file where it is no TOML.
pub(super) fn is_there(config: &str, executable: &Path) -> Result<bool, String> {
    let table: toml::Table = config.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let runners = table.get("runners").and_then(Value::as_array).into_iter().flatten();
    let prepares = |runner: &Value| {
        runner.get("custom").and_then(|custom| custom.get("prepare_exec")).and_then(Value::as_str)
            == executable.to_str()
    };
    Ok(runners.into_iter().any(prepares))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place {
            executable: Path::new("/opt/bin/longshore"),
            settings_path: Path::new("/etc/longshore/longshore.toml"),
            name: "a \"host\"",
            url: Some("https://gitlab.example.com"),
            token: Some("glrt-x"),
        }
    }

    #[test]
    fn the_block_is_a_runner_with_this_hosts_values() {
        let block = block(&place());
        let table: toml::Table = block.parse().unwrap();
        let runner = &table["runners"][0];
        assert_eq!(runner["name"].as_str(), Some("a \"host\""));
        assert_eq!(runner["token"].as_str(), Some("glrt-x"));
        assert_eq!(runner["executor"].as_str(), Some("custom"));
        let custom = &runner["custom"];
        for call in ["config", "prepare", "run", "cleanup"] {
            assert_eq!(custom[format!("{call}_exec")].as_str(), Some("/opt/bin/longshore"));
            let words = custom[format!("{call}_args")].as_array().unwrap();
            assert_eq!(words.last().unwrap().as_str(), Some(call));
            assert_eq!(words.len(), 3);
        }
        assert!(is_there(&block, place().executable).unwrap());
        assert!(!is_there(&block, Path::new("/other")).unwrap());
        assert!(!is_there("concurrent = 1\n", place().executable).unwrap());
        is_there("concurrent =", place().executable).unwrap_err();
    }

    #[test]
    fn without_a_token_the_block_says_where_it_goes() {
        let block = block(&Place { token: None, url: None, ..place() });
        assert!(block.contains("glrt-REPLACE_ME") && block.contains("https://gitlab.example.com"));
    }
}
