//! AWS JSON as the Query protocol's XML: lists are flattened, maps are lists of pairs.

use serde_json::{Map, Value};
use wasq_sqs_rules::takes_char;

/// Lists and maps: their names in AWS JSON, and what each of their items is called.
const ITEMS: [(&str, Item); 10] = [
    ("QueueUrls", Item::List("QueueUrl")),
    ("queueUrls", Item::List("QueueUrl")),
    ("Messages", Item::List("Message")),
    ("Results", Item::List("ListMessageMoveTasksResultEntry")),
    ("Failed", Item::List("BatchResultErrorEntry")),
    ("Successful", Item::Batch),
    ("Attributes", Item::Map("Attribute", "Name")),
    ("MessageAttributes", Item::Map("MessageAttribute", "Name")),
    ("Tags", Item::Map("Tag", "Key")),
    ("tags", Item::Map("Tag", "Key")),
];

#[derive(Clone, Copy)]
enum Item {
    List(&'static str),
    /// Of a batch: called after the operation.
    Batch,
    /// Pairs, and what a pair's key is called.
    Map(&'static str, &'static str),
}

/// Writes the fields of an operation's answer.
pub fn fields(xml: &mut String, operation: &str, json: &Map<String, Value>) {
    for (name, value) in json {
        let item = ITEMS.iter().find(|(known, _)| known == name).map(|(_, item)| *item);
        match (item, value) {
            (Some(Item::List(item)), Value::Array(items)) => {
                items.iter().for_each(|one| element(xml, operation, item, one))
            }
            (Some(Item::Batch), Value::Array(items)) => {
                let item = format!("{operation}ResultEntry");
                items.iter().for_each(|one| element(xml, operation, &item, one));
            }
            (Some(Item::Map(item, key)), Value::Object(pairs)) => {
                for (name, value) in pairs {
                    xml.push_str(&format!("<{item}>"));
                    text(xml, key, name);
                    element(xml, operation, "Value", value);
                    xml.push_str(&format!("</{item}>"));
                }
            }
            (Some(_) | None, value) => element(xml, operation, name, value),
        }
    }
}

fn element(xml: &mut String, operation: &str, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(json) => {
            xml.push_str(&format!("<{name}>"));
            fields(xml, operation, json);
            xml.push_str(&format!("</{name}>"));
        }
        Value::Array(items) => items.iter().for_each(|item| element(xml, operation, name, item)),
        Value::String(string) => text(xml, name, string),
        Value::Number(_) | Value::Bool(_) => text(xml, name, &value.to_string()),
    }
}

/// Writes an element with a text. A character that XML cannot have, as an error may quote one, is
/// replaced.
pub fn text(xml: &mut String, name: &str, text: &str) {
    xml.push_str(&format!("<{name}>"));
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            // A parser would read a bare one as a line feed.
            '\r' => xml.push_str("&#xD;"),
            c if takes_char(c) => xml.push(c),
            _ => xml.push(char::REPLACEMENT_CHARACTER),
        }
    }
    xml.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_written_as_sqs_writes_them() {
        let check = |operation: &str, json: Value, expect: &str| {
            let mut xml = String::new();
            fields(&mut xml, operation, json.as_object().unwrap());
            assert_eq!(xml, expect);
        };
        check("ListQueues", json!({ "QueueUrls": ["a", "b"] }), "<QueueUrl>a</QueueUrl><QueueUrl>b</QueueUrl>");
        check(
            "GetQueueAttributes",
            json!({ "Attributes": { "DelaySeconds": "0" } }),
            "<Attribute><Name>DelaySeconds</Name><Value>0</Value></Attribute>",
        );
        check(
            "ReceiveMessage",
            json!({ "Messages": [{
                "Body": "<&>\r\n\"",
                "MessageAttributes": { "a": { "DataType": "String", "StringValue": "v" } },
            }] }),
            "<Message><Body>&lt;&amp;&gt;&#xD;\n&quot;</Body><MessageAttribute><Name>a</Name><Value><DataType>String\
             </DataType><StringValue>v</StringValue></Value></MessageAttribute></Message>",
        );
        check("GetQueueUrl", json!({ "QueueUrl": "a\u{8}" }), "<QueueUrl>a\u{fffd}</QueueUrl>");
        check(
            "DeleteMessageBatch",
            json!({ "Failed": [{ "Id": "b", "SenderFault": true }], "Successful": [{ "Id": "a" }] }),
            "<BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault></BatchResultErrorEntry>\
             <DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry>",
        );
    }
}
