//! What a JSON body says of itself in its topmost fields. The rest of it is only walked over: it is
//! the handler's to read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use wasq_core::message::KEY_FIELD;

use super::envelope::MARKERS;

/// The fields that decide over a message's type and key.
const NAMES: [&str; 2] = [TYPE_FIELD, KEY_FIELD];
const TYPE_FIELD: &str = "type";

/// Those that a body has. Of a field that comes twice the last counts, as everywhere.
#[derive(Default)]
pub struct Fields<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
    /// Whether it has a field that an envelope would have.
    pub has_marker: bool,
    /// Whether it is an array, as a batch of events is.
    pub is_array: bool,
}

impl<'a> Fields<'a> {
    /// With `marks`, it says whether there is a field that an envelope would have.
    ///
    /// # Errors
    /// Why the body is no JSON.
    pub fn read(body: &'a [u8], marks: bool) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = match marks {
            true => json.deserialize_any(Top::<true>),
            false => json.deserialize_any(Top::<false>),
        };
        fields.and_then(|fields| json.end().map(|()| fields)).map_err(|error| error.to_string())
    }

    /// The type that it names, if that is a string.
    pub fn kind(&self) -> Option<String> {
        self.text(0)
    }

    /// The key that it names, if that is a string.
    pub fn key(&self) -> Option<String> {
        self.text(1)
    }

    fn text(&self, index: usize) -> Option<String> {
        serde_json::from_str(self.values[index]?.get()).ok()
    }
}

/// Takes fields from an object; all other JSON has none.
struct Top<const MARKS: bool>;

impl<'de, const MARKS: bool> Visitor<'de> for Top<MARKS> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<Name<MARKS>>()? {
            match name.0 {
                Kind::Field(index) => fields.values[index] = Some(map.next_value()?),
                Kind::Marker => {
                    fields.has_marker = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Kind::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Fields<'de>, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Fields { is_array: true, ..Fields::default() })
    }

    fn visit_str<E>(self, _: &str) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }

    fn visit_unit<E>(self) -> Result<Fields<'de>, E> {
        Ok(Fields::default())
    }
}

/// A field's name, as what it says. Markers are looked for only where they count: there are many.
struct Name<const MARKS: bool>(Kind);

enum Kind {
    Field(usize),
    Marker,
    Other,
}

impl<'de, const MARKS: bool> Deserialize<'de> for Name<MARKS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor<const MARKS: bool>;
        impl<const MARKS: bool> Visitor<'_> for NameVisitor<MARKS> {
            type Value = Name<MARKS>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<MARKS>, E> {
                Ok(Name(match NAMES.iter().position(|known| *known == name) {
                    Some(index) => Kind::Field(index),
                    None if MARKS && MARKERS.contains(&name) => Kind::Marker,
                    None => Kind::Other,
                }))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests;
