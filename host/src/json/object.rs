//! One level of a JSON object: its fields as they are written, and errors that name their place.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's fields. Of a field that comes twice the last counts, as everywhere.
pub struct Object<'a> {
    /// The JSON pointer that leads to it from the body.
    path: String,
    fields: Fields<'a>,
}

/// What an envelope lacks, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {why}")]
pub struct Misfit {
    pub path: String,
    pub why: &'static str,
}

impl<'a> Object<'a> {
    /// The object that a whole text is; none for other JSON, and for what is no JSON.
    pub fn read(json: &'a str) -> Option<Self> {
        Some(Self { path: String::new(), fields: serde_json::from_str(json).ok()? })
    }

    /// The element of an array of objects.
    pub fn element(json: &'a RawValue, path: String) -> Option<Self> {
        Some(Self { path, fields: serde_json::from_str(json.get()).ok()? })
    }

    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Every field with its name, in the order in which they are written.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// Whether there is a string, be it empty.
    pub fn is_string(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| raw.get().starts_with('"'))
    }

    /// The object as it is written, with this JSON in the place of a field's.
    pub fn with(&self, name: &str, json: &str) -> String {
        let mut text = String::from("{");
        for (index, (field, raw)) in self.fields.0.iter().enumerate() {
            let value = if field == name { json } else { raw.get() };
            let comma = if index == 0 { "" } else { "," };
            text.push_str(&format!("{comma}{}:{value}", serde_json::Value::from(field.as_ref())));
        }
        text.push('}');
        text
    }

    /// The text of a string with anything in it.
    pub fn text(&self, name: &str) -> Option<String> {
        self.raw(name).and_then(text_of).filter(|text| !text.is_empty())
    }

    /// A string's text, or a number or boolean as it is written.
    pub fn scalar(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        match raw.get().as_bytes().first()? {
            b'"' => text_of(raw).filter(|text| !text.is_empty()),
            b'{' | b'[' | b'n' => None,
            _ => Some(raw.get().to_owned()),
        }
    }

    pub fn object(&self, name: &str) -> Option<Object<'a>> {
        Object::element(self.raw(name)?, format!("{}/{name}", self.path))
    }

    /// The elements of an array, each with the pointer to it.
    pub fn array(&self, name: &str) -> Option<Vec<(&'a RawValue, String)>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.raw(name)?.get()).ok()?;
        let path = |index| format!("{}/{name}/{index}", self.path);
        Some(elements.into_iter().enumerate().map(|(index, element)| (element, path(index))).collect())
    }

    /// # Errors
    /// There is no such field, or it is no string with anything in it.
    pub fn need_text(&self, name: &str) -> Result<String, Misfit> {
        self.text(name).ok_or_else(|| self.misfit(name, "is no string with anything in it"))
    }

    /// # Errors
    /// There is no such field, or it is no object.
    pub fn need_object(&self, name: &str) -> Result<Object<'a>, Misfit> {
        self.object(name).ok_or_else(|| self.misfit(name, "is no object"))
    }

    pub fn misfit(&self, name: &str, why: &'static str) -> Misfit {
        let why = if self.raw(name).is_some() { why } else { "is missing" };
        Misfit { path: format!("{}/{name}", self.path), why }
    }
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllFields;
        impl<'de> Visitor<'de> for AllFields {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(AllFields)
    }
}

/// A field's name, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_they_are_written_and_what_does_not_fit_is_named_with_its_place() {
        let json =
            r#"{"a":{"n":12345678901234567890123,"t":"","x":null},"l":[1,{"k":"v"}],"d":1,"d":"2","\u0065":1.50}"#;
        let body = Object::read(json).unwrap();
        let a = body.need_object("a").unwrap();
        assert_eq!(a.scalar("n").unwrap(), "12345678901234567890123");
        assert_eq!(body.text("d").unwrap(), "2");
        assert_eq!(body.scalar("e").unwrap(), "1.50");
        assert_eq!(a.scalar("x"), None);
        let misfit = |result: Result<String, Misfit>| result.unwrap_err().to_string();
        assert_eq!(misfit(a.need_text("t")), "`/a/t` is no string with anything in it");
        assert_eq!(misfit(a.need_text("gone")), "`/a/gone` is missing");
        let (second, path) = body.array("l").unwrap().remove(1);
        assert_eq!(Object::element(second, path).unwrap().need_text("q").unwrap_err().path, "/l/1/q");
        assert!(Object::read("[1]").is_none() && Object::read("{").is_none());
    }
}
