//! Takes a reference's value out of the fields of its path. Pure; errors name fields, never values.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::plan::SecretRef;
use crate::secrets::{Secret, SecretMissing};

/// Fields as they came: a number's digits are as they were written, 1.10 is no 1.1.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// A value.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its bytes.
    pub(super) whole: Secret,
    /// The texts and numbers inside of it, where it is JSON.
    pub(super) inside: Vec<Secret>,
}

/// The bytes of a reference's field, or all fields as one JSON object.
pub(super) fn value(secret: &SecretRef, fields: &Fields) -> Result<Taken, SecretMissing> {
    let Some(field) = &secret.field else {
        let mut json = Json::default();
        json.object(fields);
        return Ok(json.taken());
    };
    let (name, path) = (secret.name.clone(), secret.path.clone());
    let Some(raw) = fields.get(field) else {
        let has = fields.keys().cloned().collect();
        return Err(SecretMissing::Field { name, path, field: field.clone(), has });
    };
    match Kind::of(raw.get()) {
        Kind::Null => Err(SecretMissing::Null { name, path, field: field.clone() }),
        Kind::Text(text) => Ok(plain(&text)),
        Kind::Number | Kind::Boolean => Ok(plain(raw.get())),
        Kind::Array(_) | Kind::Object(_) => {
            let mut json = Json::default();
            json.value(raw.get());
            Ok(json.taken())
        }
    }
}

fn plain(text: &str) -> Taken {
    Taken { whole: Secret::new(text), inside: Vec::new() }
}

/// What a JSON text is.
enum Kind {
    Null,
    Boolean,
    Number,
    Text(String),
    Array(Vec<Box<RawValue>>),
    Object(Fields),
}

impl Kind {
    /// Of a text that was found to be JSON before.
    fn of(raw: &str) -> Self {
        let parsed = match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map(Self::Text),
            Some(b'[') => serde_json::from_str(raw).map(Self::Array),
            Some(b'{') => serde_json::from_str(raw).map(Self::Object),
            Some(b'n') => Ok(Self::Null),
            Some(b't' | b'f') => Ok(Self::Boolean),
            _ => Ok(Self::Number),
        };
        // The text of its error is dropped: it may quote the value.
        parsed.unwrap_or(Self::Null)
    }
}

/// Compact JSON on its way, and what stands in it.
#[derive(Default)]
struct Json {
    text: String,
    inside: Vec<Secret>,
}

impl Json {
    fn value(&mut self, raw: &str) {
        match Kind::of(raw) {
            Kind::Null | Kind::Boolean => self.text.push_str(raw),
            Kind::Number => {
                self.text.push_str(raw);
                self.inside.push(Secret::new(raw));
            }
            Kind::Text(text) => {
                self.quoted(&text);
                if !text.is_empty() {
                    self.inside.push(Secret::new(text));
                }
            }
            Kind::Array(items) => {
                self.list('[', &items, |json, item| json.value(item.get()));
                self.text.push(']');
            }
            Kind::Object(fields) => self.object(&fields),
        }
    }

    fn object(&mut self, fields: &Fields) {
        self.list('{', fields, |json, (name, value)| {
            json.quoted(name);
            json.text.push(':');
            json.value(value.get());
        });
        self.text.push('}');
    }

    fn list<T>(
        &mut self,
        begin: char,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.text.push(begin);
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.text.push(',');
            }
            write(self, item);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.text.push_str(&serde_json::Value::from(text).to_string());
    }

    fn taken(self) -> Taken {
        Taken { whole: Secret::new(self.text), inside: self.inside }
    }
}

#[cfg(test)]
mod tests {
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
        let fields = r#"{"text": "one\ntwo", "number": 5432, "no": null, "yes": true, "fraction": 1.10,
            "long": 123456789012345678901234567890, "exponent": 1E+5, "empty": "",
            "map": {"b": ["deep", {"c": 7.50, "<": null}], "a": ""}}"#;
        let fields: Fields = serde_json::from_str(fields).unwrap();
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
            ("fraction", "1.10", vec![]),
            ("long", "123456789012345678901234567890", vec![]),
            ("exponent", "1E+5", vec![]),
            ("map", r#"{"a":"","b":["deep",{"<":null,"c":7.50}]}"#, vec!["deep", "7.50"]),
        ] {
            let inside = inside.into_iter().map(str::to_owned).collect();
            assert_eq!(take(Some(field)), Ok((whole.to_owned(), inside)), "{field}");
        }
    }

    #[test]
    fn what_is_no_value_names_the_field() {
        for (field, word) in [
            ("no", "\"no\" of kv/a is null"),
            ("none", "it has \"empty\", \"exponent\", \"fraction\", \"long\", \"map\", \"no\""),
        ] {
            let error = take(Some(field)).unwrap_err().to_string();
            assert!(error.contains(word), "{field}: {error}");
            assert!(!error.contains("1.1"), "{error}");
        }
    }

    #[test]
    fn a_whole_secret_is_one_object_and_its_texts_are_told() {
        let (whole, inside) = take(None).unwrap();
        assert!(whole.starts_with(r#"{"empty":"","exponent":1E+5,"fraction":1.10,"#), "{whole}");
        let long = "123456789012345678901234567890";
        assert_eq!(inside, ["1E+5", "1.10", long, "deep", "7.50", "5432", "one\ntwo"]);
    }
}
