//! Values of the kinds CI keys take: texts, lists, words, lengths of time. Knows no particular key.

use std::time::Duration;

use super::{
    fault::{Fault, Read},
    node::{Entry, Node, Value},
};

const MAX_NESTING: usize = 10;

/// A value and the key it stands under, for messages.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) key: &'a str,
    pub(super) node: &'a Node,
}

impl<'a> From<&'a Entry> for Field<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { key: &entry.key, node: &entry.node }
    }
}

impl<'a> Field<'a> {
    pub(super) fn new(key: &'a str, node: &'a Node) -> Self {
        Self { key, node }
    }

    pub(super) fn wrong<T>(self, wanted: &'static str) -> Read<T> {
        let key = self.key.to_owned();
        let fault = match &self.node.value {
            Value::Odd(text) => Fault::Unquoted { key, text: text.clone() },
            _ => Fault::Shape { key, wanted },
        };
        Err(fault.at(self.node.line))
    }

    pub(super) fn text(self) -> Read<String> {
        self.text_or("text")
    }

    fn text_or(self, wanted: &'static str) -> Read<String> {
        let key = self.key.to_owned();
        match &self.node.value {
            Value::Text(text) => Ok(text.clone()),
            Value::Number(text) => {
                Err(Fault::Unquoted { key, text: text.clone() }.at(self.node.line))
            }
            Value::Bool(flag) => {
                Err(Fault::Unquoted { key, text: flag.to_string() }.at(self.node.line))
            }
            _ => self.wrong(wanted),
        }
    }

    /// Text or a number, as variables take it.
    pub(super) fn text_or_number(self) -> Read<String> {
        match &self.node.value {
            Value::Number(text) => Ok(text.clone()),
            _ => self.text_or("text, a number, or a mapping with \"value\""),
        }
    }

    pub(super) fn flag(self) -> Read<bool> {
        match &self.node.value {
            Value::Bool(flag) => Ok(*flag),
            _ => self.wrong("true or false"),
        }
    }

    /// A list of texts.
    pub(super) fn texts(self) -> Read<Vec<String>> {
        let Value::List(items) = &self.node.value else { return self.wrong("a list of texts") };
        items.iter().map(|item| Field::new(self.key, item).text()).collect()
    }

    /// One text or a list of them.
    pub(super) fn text_or_texts(self) -> Read<Vec<String>> {
        match &self.node.value {
            Value::Text(text) => Ok(vec![text.clone()]),
            Value::List(_) => self.texts(),
            _ => self.wrong("text or a list of texts"),
        }
    }

    /// Commands: one text, or a list whose lists are flattened.
    pub(super) fn commands(self) -> Read<Vec<String>> {
        let mut commands = Vec::new();
        self.flatten(&mut commands, MAX_NESTING)?;
        Ok(commands)
    }

    fn flatten(self, into: &mut Vec<String>, left: usize) -> Read<()> {
        match &self.node.value {
            Value::List(items) if left > 0 => {
                items.iter().try_for_each(|item| Field::new(self.key, item).flatten(into, left - 1))
            }
            Value::List(_) => self.wrong("nested at most 10 lists deep"),
            Value::Map(_) => {
                self.wrong("a command or a list of commands; quote a command that holds \": \"")
            }
            _ => {
                into.push(self.text_or("a command or a list of commands")?);
                Ok(())
            }
        }
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(self, words: &[(&str, T)]) -> Read<T> {
        let text = self.text()?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let (key, allowed) = (self.key.to_owned(), allowed.join(", "));
            Fault::Value { key, value: text, allowed }.at(self.node.line)
        })
    }

    /// A length of time over zero in GitLab's words, and the words.
    pub(super) fn duration(self) -> Read<(Duration, String)> {
        let text = match &self.node.value {
            Value::Number(seconds) => seconds.clone(),
            _ => self.text()?,
        };
        match duration(&text) {
            Some(duration) => Ok((duration, text)),
            None => Err(Fault::Duration { key: self.key.to_owned(), text }.at(self.node.line)),
        }
    }
}

/// "1h 30m", "3 hours and 15 minutes", "1 week"; a number alone is seconds.
fn duration(text: &str) -> Option<Duration> {
    let words = text.to_lowercase().replace(',', " ");
    let words: Vec<&str> = words.split_whitespace().filter(|word| *word != "and").collect();
    let duration = match words[..] {
        [number] if number.bytes().all(|b| b.is_ascii_digit()) => {
            Duration::from_secs(number.parse().ok()?)
        }
        _ => humantime::parse_duration(&words.join(" ")).ok()?,
    };
    (!duration.is_zero()).then_some(duration)
}
