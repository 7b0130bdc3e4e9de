//! Follows a JSON pointer through JSON text: what it does not lead to is only walked over.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a pointer (RFC 6901) leads to, as it is written. Of a name that comes twice the last
/// counts, as everywhere.
pub fn find<'a>(json: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut found = json;
    for token in pointer.split('/').skip(1) {
        let step = Step(token.replace("~1", "/").replace("~0", "~"));
        found = serde_json::Deserializer::from_str(found.get()).deserialize_any(step).ok()??;
    }
    Some(found)
}

/// Why a text is no JSON pointer (RFC 6901) into a body, if it is none.
pub fn pointer_fault(text: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        return Some("a JSON pointer begins with `/`");
    }
    let escapes_are_whole = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (!escapes_are_whole).then_some("in a JSON pointer `~` is written `~0`, and `/` in a name `~1`")
}

/// One level down: an object's field, or an array's element.
struct Step(String);

impl Step {
    /// As an index into an array, which has no sign and no leading zero.
    fn index(&self) -> Option<usize> {
        let canonical = self.0 == "0" || !self.0.starts_with(['0', '+']);
        self.0.parse().ok().filter(|_| canonical)
    }
}

impl<'de> Visitor<'de> for Step {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(&self.0))? {
            match is_it {
                true => found = Some(map.next_value()?),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let (index, mut found) = (self.index(), None);
        for position in 0.. {
            let next = match index == Some(position) {
                true => all.next_element()?.map(|element| found = Some(element)),
                false => all.next_element::<IgnoredAny>()?.map(drop),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// Whether an object's name is this one. Names are compared without a copy, unless they have
/// escapes.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_the_text_as_it_is_written() {
        let check = |json: &str, pointer: &str, expect: Option<&str>| {
            let found = find(serde_json::from_str(json).unwrap(), pointer);
            assert_eq!(found.map(RawValue::get), expect, "{pointer} in {json}");
        };
        check(r#"{"a":{"b":1.50}}"#, "/a/b", Some("1.50"));
        check(r#"{"a":[0,[1e3]]}"#, "/a/1/0", Some("1e3"));
        check(r#"{"a":1,"a":2}"#, "/a", Some("2"));
        check(r#"{"\u0061":1}"#, "/a", Some("1"));
        check(r#"{"a/b":{"~":1}}"#, "/a~1b/~0", Some("1"));
        check(r#"{"":1}"#, "/", Some("1"));
        check(r#"{"a":1}"#, "/b", None);
        check(r#"{"a":1}"#, "/a/b", None);
        check(r#"{"a":"text"}"#, "/a/0", None);
        check("null", "/a", None);
        for index in ["/2", "/00", "/+1", "/-", "/-1", "/x", "/99999999999999999999999"] {
            check("[1,2]", index, None);
        }
        let deep = format!(r#"{{"n":{}{},"a":7}}"#, "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, "/a", Some("7"));
    }
}
