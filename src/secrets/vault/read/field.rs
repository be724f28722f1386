//! Takes a reference's value out of the fields of its path. Pure; errors name fields, never values.

use serde_json::{Map, Value};

use crate::plan::SecretRef;
use crate::secrets::{Secret, SecretMissing};

/// A value.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its bytes.
    pub(super) whole: Secret,
    /// The texts and numbers inside of it, where it is JSON.
    pub(super) inside: Vec<Secret>,
}

/// The bytes of a reference's field, or all fields as one JSON object.
pub(super) fn value(
    secret: &SecretRef,
    fields: &Map<String, Value>,
) -> Result<Taken, SecretMissing> {
    let Some(field) = &secret.field else { return Ok(json(&Value::Object(fields.clone()))) };
    let (name, path) = (secret.name.clone(), secret.path.clone());
    match fields.get(field) {
        Some(Value::String(text)) => {
            Ok(Taken { whole: Secret::new(text.as_bytes()), inside: Vec::new() })
        }
        Some(Value::Null) => Err(SecretMissing::Null { name, path, field: field.clone() }),
        // 1.10 has become 1.1 by now, and a number of 30 digits has lost some.
        Some(Value::Number(number)) if number.is_f64() => {
            let reason = format!(
                "field {field:?} of {path} is a number with a fraction or very many digits, which do not \
                 come as they were written; store it as a string"
            );
            Err(SecretMissing::Reference { name, reason })
        }
        Some(other) => Ok(json(other)),
        None => {
            let mut has: Vec<String> = fields.keys().cloned().collect();
            has.sort_unstable();
            Err(SecretMissing::Field { name, path, field: field.clone(), has })
        }
    }
}

fn json(value: &Value) -> Taken {
    let mut inside = Vec::new();
    if value.is_object() || value.is_array() {
        texts(value, &mut inside);
    }
    Taken { whole: Secret::new(value.to_string()), inside }
}

fn texts(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => found.push(Secret::new(text.as_bytes())),
        Value::Number(number) => found.push(Secret::new(number.to_string())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| texts(item, found)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::SecretForm;

    fn take(field: Option<&str>) -> Result<(String, Vec<String>), SecretMissing> {
        let secret = SecretRef {
            name: "NAME".to_owned(),
            path: "kv/a".to_owned(),
            field: field.map(str::to_owned),
            version: None,
            kv: None,
            parameters: std::collections::BTreeMap::default(),
            form: SecretForm::Variable,
        };
        let Value::Object(fields) = json!({"text": "one\ntwo", "number": 5432, "no": null, "yes": true,
            "fraction": 1.10, "long": 123_456_789_012_345_678_901_234_567_890.0_f64, "empty": "",
            "map": {"b": ["deep", {"c": 7}], "a": ""}})
        else {
            unreachable!()
        };
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        value(&secret, &fields)
            .map(|taken| (text(&taken.whole), taken.inside.iter().map(text).collect()))
    }

    #[test]
    fn each_kind_of_value() {
        for (field, whole, inside) in [
            ("text", "one\ntwo", vec![]),
            ("number", "5432", vec![]),
            ("yes", "true", vec![]),
            ("empty", "", vec![]),
            ("map", r#"{"a":"","b":["deep",{"c":7}]}"#, vec!["deep", "7"]),
        ] {
            let inside = inside.into_iter().map(str::to_owned).collect();
            assert_eq!(take(Some(field)), Ok((whole.to_owned(), inside)), "{field}");
        }
    }

    #[test]
    fn what_is_no_value_names_the_field() {
        for (field, word) in [
            ("no", "\"no\" of kv/a is null"),
            ("fraction", "store it as a string"),
            ("long", "store it as a string"),
            ("none", "it has \"empty\", \"fraction\", \"long\", \"map\", \"no\""),
        ] {
            let error = take(Some(field)).unwrap_err().to_string();
            assert!(error.contains(word), "{field}: {error}");
            assert!(!error.contains("1.1"), "{error}");
        }
    }

    #[test]
    fn a_whole_secret_is_one_object_and_its_texts_are_told() {
        let (whole, inside) = take(None).unwrap();
        assert!(whole.starts_with(r#"{"empty":"","fraction":1.1,"#), "{whole}");
        assert_eq!(inside, ["1.1", "1.2345678901234568e+29", "deep", "7", "5432", "one\ntwo"]);
    }
}
