//! JSON with one reading only (T5): one document, no key twice at any level, at most 16 deep. Pure.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::broker::refusal::Refusal;

/// Deepest nesting.
const DEPTH: usize = 16;

/// Reads one document.
///
/// # Errors
/// Malformed, with the place and never the text.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: DEPTH }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        let what = match error.to_string() {
            text if text.starts_with(TWICE) => TWICE,
            text if text.starts_with(DEEP) => DEEP,
            _ => "the JSON is malformed, or something follows it",
        };
        let (line, column) = (error.line(), error.column());
        Refusal::malformed("json", format!("{what} (line {line}, column {column})"))
    })
}

const TWICE: &str = "a key comes twice in one JSON object";
const DEEP: &str = "the JSON is nested too deeply";

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom(DEEP))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut all = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            if all.insert(key, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_document_is_read_as_it_stands() {
        let text = br#"{"a": [1, -2, 0.5, null, true], "b": {"c": "x"}}"#;
        assert_eq!(read(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{},"\u0061":{}}"#,
            r#"[{"b":{"x":1,"x":1}}]"#,
            "{} {}",
            "{}x",
            "",
            "\u{feff}{}",
            "{\"a\":1,}",
            &deep,
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().status, 400, "{text}");
        }
        assert_eq!(read(b"{\"a\":\"\xff\"}").unwrap_err().status, 400);
        assert!(read("[".repeat(16).as_bytes()).is_err());
        assert!(read(format!("{}{}", "[".repeat(16), "]".repeat(16)).as_bytes()).is_ok());
    }
}
