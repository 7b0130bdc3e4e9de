//! An update of one item and the condition under which it is made, in DynamoDB's words.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{CLAIMED, FENCE, STATE, number, text};
use crate::ledger::Fence;

/// Expressions in the making. Every name goes by a placeholder: some are DynamoDB's reserved words.
#[derive(Debug, Default)]
pub struct Update {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    pub names: HashMap<String, String>,
    pub values: HashMap<String, AttributeValue>,
}

impl Update {
    /// Made only while the claim that `fence` was given for has not ended.
    pub fn of_claim(fence: Fence) -> Self {
        Self::default().only_if(FENCE, number(fence.0)).only_if(STATE, text(CLAIMED))
    }

    /// Made only if the attribute has this value.
    pub fn only_if(self, name: &str, value: AttributeValue) -> Self {
        self.compared(name, "=", value)
    }

    /// Made only if the attribute is more than this.
    pub fn only_if_above(self, name: &str, value: AttributeValue) -> Self {
        self.compared(name, ">", value)
    }

    fn compared(mut self, name: &str, operator: &str, value: AttributeValue) -> Self {
        let placeholder = self.name(name);
        self.values.insert(format!(":is_{name}"), value);
        self.conditions.push(format!("{placeholder} {operator} :is_{name}"));
        self
    }

    /// Made only if the attribute is there.
    pub fn only_if_there(mut self, name: &str) -> Self {
        let placeholder = self.name(name);
        self.conditions.push(format!("attribute_exists({placeholder})"));
        self
    }

    /// Made only if the attribute is not there.
    pub fn only_if_not_there(mut self, name: &str) -> Self {
        let placeholder = self.name(name);
        self.conditions.push(format!("attribute_not_exists({placeholder})"));
        self
    }

    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let placeholder = self.name(name);
        self.values.insert(format!(":{name}"), value);
        self.sets.push(format!("{placeholder} = :{name}"));
        self
    }

    pub fn set_all<'a>(self, attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> Self {
        attributes.into_iter().fold(self, |update, (name, value)| update.set(name, value))
    }

    /// Sets the attribute unless it is there.
    pub fn set_first(mut self, name: &str, value: AttributeValue) -> Self {
        let placeholder = self.name(name);
        self.values.insert(format!(":{name}"), value);
        self.sets.push(format!("{placeholder} = if_not_exists({placeholder}, :{name})"));
        self
    }

    /// Sets what the map `name` holds under `within`.
    pub fn set_within(mut self, name: &str, within: &str, value: AttributeValue) -> Self {
        let placeholder = self.name(name);
        self.names.insert("#within".into(), within.to_owned());
        self.values.insert(":within".into(), value);
        self.sets.push(format!("{placeholder}.#within = :within"));
        self
    }

    /// Adds to the end of a list, which is begun if it is not there.
    pub fn append(mut self, name: &str, value: AttributeValue) -> Self {
        let placeholder = self.name(name);
        self.values.insert(format!(":{name}"), AttributeValue::L(vec![value]));
        self.values.insert(":no_list".into(), AttributeValue::L(Vec::new()));
        self.sets.push(format!("{placeholder} = list_append(if_not_exists({placeholder}, :no_list), :{name})"));
        self
    }

    pub fn add(self, name: &str, amount: u64) -> Self {
        self.reckoned(name, "+", amount)
    }

    pub fn subtract(self, name: &str, amount: u64) -> Self {
        self.reckoned(name, "-", amount)
    }

    fn reckoned(mut self, name: &str, operator: &str, amount: u64) -> Self {
        let placeholder = self.name(name);
        self.values.insert(format!(":{name}"), number(amount));
        self.sets.push(format!("{placeholder} = {placeholder} {operator} :{name}"));
        self
    }

    pub fn remove(mut self, name: &str) -> Self {
        let placeholder = self.name(name);
        self.removes.push(placeholder);
        self
    }

    pub fn expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{word} {} ", parts.join(", ")),
        };
        clause("SET", &self.sets) + &clause("REMOVE", &self.removes)
    }

    /// None where it is made in any case.
    pub fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }
}
