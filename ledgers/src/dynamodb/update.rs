//! An update of one item and the condition under which it is made, in DynamoDB's words.

use std::fmt::{Arguments, Write};

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{CLAIMED, FENCE, STATE, number, text};
use crate::ledger::Fence;

/// Expressions in the making. Every name goes by a placeholder: some are DynamoDB's reserved words.
#[derive(Debug, Default)]
pub struct Update {
    sets: String,
    removes: String,
    conditions: String,
    /// What the placeholders stand for, each once.
    pub names: Vec<(String, String)>,
    pub values: Vec<(String, AttributeValue)>,
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
        self.name(name);
        self.values.push((format!(":is_{name}"), value));
        self.condition_that(format_args!("#{name} {operator} :is_{name}"))
    }

    fn condition_that(mut self, condition: Arguments<'_>) -> Self {
        add(&mut self.conditions, " AND ", condition);
        self
    }

    fn setting(mut self, assignment: Arguments<'_>) -> Self {
        add(&mut self.sets, ", ", assignment);
        self
    }

    /// Made only if the attribute is there.
    pub fn only_if_there(mut self, name: &str) -> Self {
        self.name(name);
        self.condition_that(format_args!("attribute_exists(#{name})"))
    }

    /// Made only if the attribute is not there.
    pub fn only_if_not_there(mut self, name: &str) -> Self {
        self.name(name);
        self.condition_that(format_args!("attribute_not_exists(#{name})"))
    }

    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.name(name);
        self.values.push((format!(":{name}"), value));
        self.setting(format_args!("#{name} = :{name}"))
    }

    pub fn set_all<'a>(self, attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> Self {
        attributes.into_iter().fold(self, |update, (name, value)| update.set(name, value))
    }

    /// Sets the attribute unless it is there.
    pub fn set_first(mut self, name: &str, value: AttributeValue) -> Self {
        self.name(name);
        self.values.push((format!(":{name}"), value));
        self.setting(format_args!("#{name} = if_not_exists(#{name}, :{name})"))
    }

    /// Sets what the map `name` holds under `within`.
    pub fn set_within(mut self, name: &str, within: &str, value: AttributeValue) -> Self {
        self.name(name);
        self.names.push(("#within".into(), within.to_owned()));
        self.values.push((":within".into(), value));
        self.setting(format_args!("#{name}.#within = :within"))
    }

    /// Adds to the end of a list, which is begun if it is not there.
    pub fn append(mut self, name: &str, value: AttributeValue) -> Self {
        self.name(name);
        self.values.push((format!(":{name}"), AttributeValue::L(vec![value])));
        self.values.push((":no_list".into(), AttributeValue::L(Vec::new())));
        self.setting(format_args!("#{name} = list_append(if_not_exists(#{name}, :no_list), :{name})"))
    }

    pub fn add(self, name: &str, amount: u64) -> Self {
        self.reckoned(name, "+", amount)
    }

    pub fn subtract(self, name: &str, amount: u64) -> Self {
        self.reckoned(name, "-", amount)
    }

    fn reckoned(mut self, name: &str, operator: &str, amount: u64) -> Self {
        self.name(name);
        self.values.push((format!(":{name}"), number(amount)));
        self.setting(format_args!("#{name} = #{name} {operator} :{name}"))
    }

    pub fn remove(mut self, name: &str) -> Self {
        self.name(name);
        add(&mut self.removes, ", ", format_args!("#{name}"));
        self
    }

    pub fn expression(&self) -> String {
        match (self.sets.as_str(), self.removes.as_str()) {
            (sets, "") => format!("SET {sets}"),
            ("", removes) => format!("REMOVE {removes}"),
            (sets, removes) => format!("SET {sets} REMOVE {removes}"),
        }
    }

    /// None where it is made in any case.
    pub fn condition(&self) -> Option<&str> {
        (!self.conditions.is_empty()).then_some(&self.conditions)
    }

    /// `#NAME` stands for the name from now on.
    fn name(&mut self, name: &str) {
        if !self.names.iter().any(|(_, known)| known == name) {
            self.names.push((format!("#{name}"), name.to_owned()));
        }
    }
}

/// Adds to a list of expressions.
fn add(list: &mut String, separator: &str, expression: Arguments<'_>) {
    if !list.is_empty() {
        list.push_str(separator);
    }
    list.write_fmt(expression).expect("a string takes all");
}
