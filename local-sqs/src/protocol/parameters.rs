//! The Query protocol's parameters, as AWS JSON.
//!
//! `Attribute.1.Name=DelaySeconds&Attribute.1.Value=5` is `{"Attributes": {"DelaySeconds": "5"}}`.
//! Lists and maps are flattened, as SQS's SDKs write them; `Attributes.entry.1.key` and
//! `TagKeys.member.1` are read as well.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::{Code, SqsError, SqsResult};

/// Parameters of a request at most: a full batch has some 500.
const MAX_PARAMETERS: usize = 10_000;
/// Parts of a parameter's name at most: a message attribute in a batch, not flattened, has 8.
const MAX_PARTS: usize = 8;

/// All parameters of a request.
#[derive(Debug, Default)]
pub struct Parameters {
    tree: Tree,
    count: usize,
}

/// Parameters by the parts of their names.
#[derive(Debug, Default)]
struct Tree {
    value: Option<String>,
    children: BTreeMap<String, Tree>,
}

/// What a parameter is, beside text.
enum Kind {
    Number,
    List,
    /// A map from the one field to the other.
    Map(&'static str, &'static str),
    /// A list of structures with parameters of their own.
    Entries,
}

/// Parameters that are not text: their names on the wire, and in AWS JSON.
const KINDS: [(&[&str], &str, Kind); 20] = [
    (&["DelaySeconds"], "DelaySeconds", Kind::Number),
    (&["MaxNumberOfMessages"], "MaxNumberOfMessages", Kind::Number),
    (&["MaxNumberOfMessagesPerSecond"], "MaxNumberOfMessagesPerSecond", Kind::Number),
    (&["MaxResults"], "MaxResults", Kind::Number),
    (&["VisibilityTimeout"], "VisibilityTimeout", Kind::Number),
    (&["WaitTimeSeconds"], "WaitTimeSeconds", Kind::Number),
    (&["AWSAccountId", "AWSAccountIds"], "AWSAccountIds", Kind::List),
    (&["ActionName", "Actions"], "Actions", Kind::List),
    (&["AttributeName", "AttributeNames"], "AttributeNames", Kind::List),
    (&["MessageAttributeName", "MessageAttributeNames"], "MessageAttributeNames", Kind::List),
    (&["MessageSystemAttributeName", "MessageSystemAttributeNames"], "MessageSystemAttributeNames", Kind::List),
    (&["TagKey", "TagKeys"], "TagKeys", Kind::List),
    (&["Attribute", "Attributes"], "Attributes", Kind::Map("Name", "Value")),
    (&["Tag", "Tags"], "Tags", Kind::Map("Key", "Value")),
    (&["MessageAttribute", "MessageAttributes"], "MessageAttributes", Kind::Map("Name", "Value")),
    (&["MessageSystemAttribute", "MessageSystemAttributes"], "MessageSystemAttributes", Kind::Map("Name", "Value")),
    (&["SendMessageBatchRequestEntry"], "Entries", Kind::Entries),
    (&["DeleteMessageBatchRequestEntry"], "Entries", Kind::Entries),
    (&["ChangeMessageVisibilityBatchRequestEntry"], "Entries", Kind::Entries),
    (&["Entries"], "Entries", Kind::Entries),
];

impl Parameters {
    /// Adds a parameter. Those past the limit, and those that no operation has, are not kept.
    pub fn insert(&mut self, name: &str, value: String) {
        self.count += 1;
        if self.count > MAX_PARAMETERS || name.split('.').count() > MAX_PARTS {
            return;
        }
        let mut node = &mut self.tree;
        for part in name.split('.') {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(value);
    }

    /// The value of a parameter with a simple name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tree.children.get(name)?.value.as_deref()
    }

    /// The request as AWS JSON.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a number that is none, and for too many parameters.
    pub fn to_json(&self) -> SqsResult<Map<String, Value>> {
        if self.count > MAX_PARAMETERS {
            let message = format!("The request has {} parameters; {MAX_PARAMETERS} are the limit.", self.count);
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        self.tree.to_json()
    }
}

impl Tree {
    fn to_json(&self) -> SqsResult<Map<String, Value>> {
        let mut json = Map::new();
        for (name, node) in &self.children {
            let kind = KINDS.iter().find(|(names, ..)| names.contains(&name.as_str()));
            let (name, value) = match kind {
                None => (name.as_str(), node.value.clone().map(Value::from)),
                Some((_, json_name, kind)) => (*json_name, node.of_kind(name, kind)?),
            };
            json.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(json)
    }

    fn of_kind(&self, name: &str, kind: &Kind) -> SqsResult<Option<Value>> {
        Ok(match kind {
            Kind::Number => match self.value.as_deref().filter(|text| !text.is_empty()) {
                None => None,
                Some(text) => {
                    let number = text.parse::<i64>();
                    let number = number.map_err(|_| SqsError::invalid_value(name, text, "Must be an integer."))?;
                    Some(number.into())
                }
            },
            Kind::List => {
                let items = self.items().into_iter().filter_map(|item| item.value.clone().map(Value::from));
                Some(items.collect::<Vec<_>>().into())
            }
            Kind::Map(key, value) => Some(self.map(key, value).into()),
            Kind::Entries => {
                let entries = self.items().into_iter().map(|item| item.to_json().map(Value::from));
                Some(entries.collect::<SqsResult<Vec<_>>>()?.into())
            }
        })
    }

    /// A list's items in the order of their numbers. A list may stand for its only item.
    fn items(&self) -> Vec<&Self> {
        let wrapped = self.children.get("member").or_else(|| self.children.get("entry"));
        let items = &wrapped.unwrap_or(self).children;
        let mut numbered: Vec<(u64, &Self)> =
            items.iter().filter_map(|(number, item)| Some((number.parse().ok()?, item))).collect();
        numbered.sort_by_key(|(number, _)| *number);
        let mut items: Vec<&Self> = numbered.into_iter().map(|(_, item)| item).collect();
        if items.is_empty() && self.value.as_deref().is_some_and(|text| !text.is_empty()) {
            items.push(self);
        }
        items
    }

    fn map(&self, key: &str, value: &str) -> Map<String, Value> {
        let field = |item: &Self, name: &str| {
            let found = item.children.get(name).or_else(|| item.children.get(&name.to_ascii_lowercase()));
            found.map(Self::plain)
        };
        let entry = |item: &Self| {
            let key = field(item, key).or_else(|| item.children.get("key").map(Self::plain))?;
            Some((key.as_str()?.to_owned(), field(item, value).unwrap_or_else(|| Value::from(""))))
        };
        let items = self.items();
        match items.is_empty() {
            // A map of one pair may do without its number.
            true => entry(self).into_iter().collect(),
            false => items.into_iter().filter_map(entry).collect(),
        }
    }

    /// A text, or a structure of texts.
    fn plain(&self) -> Value {
        match &self.value {
            Some(text) => text.clone().into(),
            None => self.children.iter().map(|(name, node)| (name.clone(), node.plain())).collect::<Map<_, _>>().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_read_flattened_and_not() {
        let check = |parameters: &[(&str, &str)], expect: Value| {
            let mut tree = Parameters::default();
            for (name, value) in parameters {
                tree.insert(name, (*value).to_owned());
            }
            assert_eq!(tree.to_json().map(Value::from), Ok(expect), "{parameters:?}");
        };
        check(&[("QueueName", "q"), ("MaxResults", "3")], json!({ "QueueName": "q", "MaxResults": 3 }));
        check(
            &[("AttributeName.2", "b"), ("AttributeName.10", "c"), ("AttributeName.1", "a")],
            json!({ "AttributeNames": ["a", "b", "c"] }),
        );
        check(&[("AttributeName", "All")], json!({ "AttributeNames": ["All"] }));
        check(&[("TagKeys.member.1", "a")], json!({ "TagKeys": ["a"] }));
        for [name, value] in [
            ["Attribute.Name", "Attribute.Value"],
            ["Attribute.1.Name", "Attribute.1.Value"],
            ["Attributes.1.Name", "Attributes.1.Value"],
            ["Attributes.entry.1.key", "Attributes.entry.1.value"],
        ] {
            check(&[(name, "DelaySeconds"), (value, "5")], json!({ "Attributes": { "DelaySeconds": "5" } }));
        }
        check(&[("Tag.1.Key", "a"), ("Tag.1.Value", "")], json!({ "Tags": { "a": "" } }));
        let entry = "SendMessageBatchRequestEntry.1";
        check(
            &[
                (&format!("{entry}.Id"), "a"),
                (&format!("{entry}.DelaySeconds"), "1"),
                (&format!("{entry}.MessageAttribute.1.Name"), "x"),
                (&format!("{entry}.MessageAttribute.1.Value.DataType"), "String"),
                (&format!("{entry}.MessageAttribute.1.Value.StringValue"), "y"),
            ],
            json!({ "Entries": [{
                "Id": "a",
                "DelaySeconds": 1,
                "MessageAttributes": { "x": { "DataType": "String", "StringValue": "y" } },
            }] }),
        );
        let mut parameters = Parameters::default();
        parameters.insert("DelaySeconds", "soon".to_owned());
        let message = parameters.to_json().unwrap_err().message;
        assert_eq!(message, "Value soon for parameter DelaySeconds is invalid. Reason: Must be an integer.");
    }
    #[test]
    fn names_and_numbers_of_parameters_have_a_bound() {
        let mut parameters = Parameters::default();
        parameters.insert(&"a.".repeat(1_000_000), String::new());
        assert_eq!(parameters.to_json(), Ok(Map::new()));
        for index in 0..MAX_PARAMETERS {
            parameters.insert(&index.to_string(), String::new());
        }
        assert_eq!(parameters.to_json().unwrap_err().code, Code::InvalidParameterValue);
    }
}
