//! Where a queue's messages say their type: `type_from = ["attribute:type", "envelope", "/type"]`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use wasq_queues::{Value, check_attribute};

use super::{Envelope, QueueConfig};
use crate::json::pointer_fault;

/// The places, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TypeFrom(pub Vec<TypeSource>);

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r"^(attribute:.+|envelope|/.*)$", "examples" = ["attribute:type", "envelope", "/type"]))]
pub enum TypeSource {
    /// `attribute:NAME`: a message attribute.
    Attribute(String),
    /// `envelope`: what the envelope says, where the queue's `envelope` opens one.
    Envelope,
    /// `/type`: the topmost field.
    Field,
    /// Any other JSON pointer: into the message, then into the envelopes around it.
    Pointer(String),
}

const ATTRIBUTE: &str = "attribute:";
const ENVELOPE: &str = "envelope";
const FIELD: &str = "/type";

impl Default for TypeFrom {
    fn default() -> Self {
        Self(vec![TypeSource::Attribute("type".to_owned()), TypeSource::Envelope, TypeSource::Field])
    }
}

impl TypeFrom {
    /// A place that can never say a type: its text, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        if self.0.is_empty() {
            return Some(("empty".to_owned(), "name a place, or leave it out".to_owned()));
        }
        let twice = self.0.iter().enumerate().find(|(index, source)| self.0[..*index].contains(source));
        twice
            .map(|(_, source)| (source.to_string(), "it is named twice: the second time it can never match".to_owned()))
    }
}

impl QueueConfig {
    /// Whether a subscription to this topic is to be confirmed.
    pub fn wants_topic(&self, arn: &str) -> bool {
        let is_it = |topic: &String| match topic.strip_suffix('*') {
            Some(prefix) => arn.starts_with(prefix),
            None => topic == arn,
        };
        self.confirm_subscriptions && self.topics.iter().any(is_it)
    }

    /// What is wrong with what it says of types and topics: key, value and rule.
    pub(super) fn type_fault(&self) -> Option<(String, String, String)> {
        let fault = |field: &str, value: &str, rule: &str| Some((field.to_owned(), value.to_owned(), rule.to_owned()));
        if let Some((value, rule)) = self.type_from.fault() {
            return fault("type_from", &value, &rule);
        }
        if self.type_prefix.as_ref().is_some_and(String::is_empty) {
            return fault("type_prefix", "empty", "give it a text, or leave it out");
        }
        if let Some((found, _)) = self.type_map.iter().find(|(found, named)| found.is_empty() || named.is_empty()) {
            return fault("type_map", &format!("`{found}` without a name"), "write \"TYPE THAT IS FOUND\" = \"TYPE\"");
        }
        if self.split && !matches!(self.envelope, Envelope::Auto | Envelope::Cloudevents) {
            return fault("split", "true", "set `envelope = \"auto\"` beside it: no other queue knows batches");
        }
        if !(1..=10_000).contains(&self.split_max) {
            return fault("split_max", &self.split_max.to_string(), "use 1 to 10000");
        }
        if self.confirm_subscriptions && self.topics.is_empty() {
            return fault("confirm_subscriptions", "true without topics", "name the topics by their ARNs in `topics`");
        }
        let is_topic = |arn: &&String| arn.starts_with("arn:aws") && arn.split(':').nth(2) == Some("sns");
        if let Some(topic) = self.topics.iter().find(|arn| !is_topic(arn)) {
            let rule = "a topic's ARN is arn:aws:sns:REGION:ACCOUNT:NAME; `*` at its end stands for any rest";
            return fault("topics", &format!("{topic:?}"), rule);
        }
        None
    }
}

impl TryFrom<String> for TypeSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(ATTRIBUTE) {
            return match check_attribute(name, "String", Value::Text("type")) {
                Ok(()) => Ok(Self::Attribute(name.to_owned())),
                Err(rule) => Err(format!("`{text}` can never match: {rule}")),
            };
        }
        match text.as_str() {
            ENVELOPE => Ok(Self::Envelope),
            FIELD => Ok(Self::Field),
            _ if text.starts_with('/') => match pointer_fault(&text) {
                None => Ok(Self::Pointer(text)),
                Some(rule) => Err(format!("`{text}` can never match: {rule}")),
            },
            _ => Err(format!("`{text}` is none of attribute:NAME, {ENVELOPE} and a JSON pointer, as {FIELD}")),
        }
    }
}

impl fmt::Display for TypeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "{ATTRIBUTE}{name}"),
            Self::Envelope => f.write_str(ENVELOPE),
            Self::Field => f.write_str(FIELD),
            Self::Pointer(pointer) => f.write_str(pointer),
        }
    }
}

impl fmt::Display for TypeFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}
