//! YAML text as a tree of lines and plain values: anchors, aliases and merge keys resolved the way
//! GitLab's reader (Ruby's Psych) does. Knows nothing of GitLab's keys.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::fault::{Fault, Read};

/// A value and the line it begins on, from 1.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    /// Text, quoted or not to be mistaken for anything else.
    Text(String),
    /// A number that reads back as it is written.
    Number(String),
    Bool(bool),
    /// An unquoted word that Psych reads as something else than it looks like: `yes`, `1.10`, `0755`.
    Odd(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
    merged: bool,
}

/// Reads the one document of a text.
pub(super) fn load(text: &str) -> Read<Node> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| {
        Fault::Syntax { what: error.info().to_owned() }.at(error.marker().line())
    })?;
    let reader = Reader { text: text.chars().collect() };
    match documents.as_slice() {
        [document] => reader.node(document),
        [_, second, ..] => {
            Err(Fault::Documents { count: documents.len() }.at(second.span.start.line()))
        }
        [] => Ok(Node { line: 1, value: Value::Null }),
    }
}

struct Reader {
    text: Vec<char>,
}

impl Reader {
    fn node(&self, yaml: &MarkedYaml<'_>) -> Read<Node> {
        let line = yaml.span.start.line();
        let value = match &yaml.data {
            YamlData::Sequence(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect::<Read<_>>()?)
            }
            YamlData::Mapping(pairs) => {
                let mut entries = Vec::new();
                for (key, value) in pairs {
                    self.insert(&mut entries, key, value)?;
                }
                Value::Map(entries)
            }
            YamlData::Value(scalar) => self.scalar(scalar, yaml),
            YamlData::Tagged(tag, _) => {
                return Err(Fault::Tag { tag: format!("{}{}", tag.handle, tag.suffix) }.at(line));
            }
            // An empty document, or a core tag that does not fit its value.
            YamlData::BadValue | YamlData::Representation(..) | YamlData::Alias(_) => Value::Null,
        };
        Ok(Node { line, value })
    }

    /// Adds a pair in the order of the text: a merge below a key replaces its value, as in Psych.
    fn insert(
        &self,
        entries: &mut Vec<Entry>,
        key: &MarkedYaml<'_>,
        value: &MarkedYaml<'_>,
    ) -> Read<()> {
        let line = key.span.start.line();
        let name = self.key(key)?;
        let node = self.node(value)?;
        if name == "<<" {
            for entry in merged(node, line)? {
                put(entries, Entry { merged: true, ..entry });
            }
            return Ok(());
        }
        if entries.iter().any(|entry| entry.key == name && !entry.merged) {
            return Err(Fault::Duplicate { key: name }.at(line));
        }
        put(entries, Entry { key: name, line, node, merged: false });
        Ok(())
    }

    fn key(&self, yaml: &MarkedYaml<'_>) -> Read<String> {
        let node = self.node(yaml)?;
        match node.value {
            Value::Text(text) | Value::Number(text) => Ok(text),
            Value::Odd(text) => Err(Fault::Unquoted { key: text.clone(), text }.at(node.line)),
            Value::Bool(flag) => {
                Err(Fault::Unquoted { key: flag.to_string(), text: flag.to_string() }.at(node.line))
            }
            _ => Err(Fault::Shape { key: "a key".to_owned(), wanted: "text" }.at(node.line)),
        }
    }

    fn scalar(&self, scalar: &Scalar<'_>, yaml: &MarkedYaml<'_>) -> Value {
        let written = self.written(yaml);
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(read) => number(read.to_string(), written),
            Scalar::FloatingPoint(read) => number(read.to_string(), written),
            Scalar::String(text)
                if written == **text && psych_reads_no_text(text) && !self.is_block(yaml) =>
            {
                Value::Odd(written)
            }
            Scalar::String(text) => Value::Text(text.to_string()),
        }
    }

    /// Whether the scalar is the body of a `|` or `>` block: those are always text, and their spans
    /// begin after the header.
    fn is_block(&self, yaml: &MarkedYaml<'_>) -> bool {
        let before = self.text.get(..yaml.span.start.index()).unwrap_or_default();
        let header = before.iter().rev().skip_while(|c| c.is_whitespace());
        let mut header = header.skip_while(|c| matches!(c, '+' | '-' | '0'..='9'));
        matches!(header.next(), Some('|' | '>'))
    }

    /// The scalar as it stands in the text, quotes included.
    fn written(&self, yaml: &MarkedYaml<'_>) -> String {
        let (start, end) = (yaml.span.start.index(), yaml.span.end.index());
        let slice = self.text.get(start..end).unwrap_or_default();
        slice.iter().collect::<String>().trim_end().to_owned()
    }
}

fn number(canonical: String, written: String) -> Value {
    // An alias stands for a number written elsewhere.
    if written == canonical || written.starts_with('*') {
        Value::Number(canonical)
    } else {
        Value::Odd(written)
    }
}

fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|old| old.key == entry.key) {
        Some(old) => *old = entry,
        None => entries.push(entry),
    }
}

fn merged(node: Node, line: usize) -> Read<Vec<Entry>> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            let mut all = Vec::new();
            // Among the maps of a list the first one wins.
            for item in items.into_iter().rev() {
                let Value::Map(entries) = item.value else {
                    return Err(Fault::Merge.at(line));
                };
                for entry in entries {
                    put(&mut all, entry);
                }
            }
            Ok(all)
        }
        _ => Err(Fault::Merge.at(line)),
    }
}

/// YAML 1.1 words that a YAML 1.2 reader takes for text: booleans, numbers with separators,
/// sexagesimal numbers, dates.
fn psych_reads_no_text(text: &str) -> bool {
    const BOOLEANS: [&str; 6] = ["yes", "no", "on", "off", "true", "false"];
    if BOOLEANS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return true;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || "_,.:-".contains(c))
        && (is_number(digits) || is_sexagesimal(digits) || is_date(digits))
}

fn is_number(text: &str) -> bool {
    text.chars().filter(|c| *c == '.').count() <= 1 && !text.contains([':', '-'])
}

fn is_sexagesimal(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let short = |part: &&str| matches!(part.parse::<u8>(), Ok(0..60)) && part.len() <= 2;
    parts.len() > 1 && parts[1..].iter().all(short)
}

fn is_date(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    matches!(lengths[..], [4, 1..=2, 1..=2])
}
