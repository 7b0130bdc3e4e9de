//! The data types of attributes, where a broker has other ones: what does not come back by itself as
//! it was stands in one header of the host's own, a JSON object of names and types.

use std::collections::BTreeMap;

use wasq_core::message::{AttributeData, AttributeValue, Attributes};

/// The header's name.
pub const DATA_TYPES: &str = "wasq-data-types";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct DataTypes(BTreeMap<String, String>);

impl DataTypes {
    /// Out of the header. Of one that cannot be read nothing is known.
    pub fn read(json: &[u8]) -> Self {
        Self(serde_json::from_slice(json).unwrap_or_default())
    }

    /// An attribute is sent, and comes back so unless its type is kept.
    pub fn keep(&mut self, name: &str, attribute: &AttributeValue, comes_back: &AttributeValue) {
        if attribute.data_type != comes_back.data_type {
            self.0.insert(name.to_owned(), attribute.data_type.clone());
        }
    }

    /// For the header. None where all types come back by themselves.
    pub fn json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::Value::from_iter(self.0.clone()).to_string())
    }

    /// Gives attributes the types that they had. A text stays a text, and bytes stay bytes.
    pub fn restore(&self, attributes: &mut Attributes) {
        for (name, data_type) in &self.0 {
            let Some(attribute) = attributes.get_mut(name) else { continue };
            let is_binary = data_type == "Binary" || data_type.starts_with("Binary.");
            if is_binary == matches!(attribute.value, AttributeData::Binary(_)) {
                attribute.data_type.clone_from(data_type);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_does_not_come_back_by_itself_is_kept_and_restored() {
        let text = |data_type: &str| AttributeValue { data_type: data_type.into(), ..AttributeValue::string("7") };
        let bytes = |data_type: &str| AttributeValue {
            data_type: data_type.into(),
            value: AttributeData::Binary([7][..].to_vec().into()),
        };
        let mut types = DataTypes::default();
        assert_eq!(types.json(), None);
        types.keep("plain", &text("String"), &text("String"));
        types.keep("number", &text("Number.int"), &text("Number.i64"));
        types.keep("picture", &bytes("Binary.png"), &bytes("Binary"));
        let json = types.json().expect("two are kept");
        assert_eq!(json, r#"{"number":"Number.int","picture":"Binary.png"}"#);
        assert_eq!(DataTypes::read(json.as_bytes()), types);
        assert_eq!(DataTypes::read(b"{"), DataTypes::default());

        let named = |number: &AttributeValue, picture: &AttributeValue| -> Attributes {
            [("number".to_owned(), number.clone()), ("picture".to_owned(), picture.clone())].into()
        };
        let mut attributes = named(&text("Number.i64"), &bytes("Binary"));
        types.restore(&mut attributes);
        assert_eq!(attributes, named(&text("Number.int"), &bytes("Binary.png")));
        // Whoever has written something else there meanwhile.
        let mut attributes = named(&bytes("Binary"), &text("String"));
        types.restore(&mut attributes);
        assert_eq!(attributes, named(&bytes("Binary"), &text("String")));
    }
}
