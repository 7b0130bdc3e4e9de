//! Which of several patterns gets a type: the most specific. What is equally specific gets it too.

use std::collections::{BTreeMap, HashMap};

use wasq_core::message::MessageType;

use super::type_pattern::TypePattern;

/// What handles which type.
pub struct TypeTable<T> {
    exact: HashMap<MessageType, Vec<T>>,
    /// The longest prefix first.
    prefixes: Vec<(String, Vec<T>)>,
}

impl<T> Default for TypeTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: Vec::new() }
    }
}

impl<T> TypeTable<T> {
    pub fn new(patterns: impl Iterator<Item = (TypePattern, T)>) -> Self {
        let mut exact: HashMap<MessageType, Vec<T>> = HashMap::new();
        let mut prefixes: BTreeMap<String, Vec<T>> = BTreeMap::new();
        for (pattern, handler) in patterns {
            match pattern {
                TypePattern::Exactly(kind) => exact.entry(kind).or_default().push(handler),
                TypePattern::Prefix(prefix) => prefixes.entry(prefix).or_default().push(handler),
            }
        }
        let mut prefixes: Vec<_> = prefixes.into_iter().collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { exact, prefixes }
    }

    pub fn of(&self, kind: &MessageType) -> &[T] {
        if let Some(handlers) = self.exact.get(kind) {
            return handlers;
        }
        let longest = self.prefixes.iter().find(|(prefix, _)| kind.0.starts_with(prefix.as_str()));
        longest.map_or(&[], |(_, handlers)| handlers)
    }

    /// Every pattern with what handles it, in the order of their texts.
    pub fn table(&self) -> BTreeMap<String, &[T]> {
        let exact = self.exact.iter().map(|(kind, handlers)| (kind.0.clone(), handlers.as_slice()));
        exact
            .chain(self.prefixes.iter().map(|(prefix, handlers)| (format!("{prefix}*"), handlers.as_slice())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_gets_a_type_and_equals_get_it_too() {
        let patterns = [
            ("*", "audit"),
            ("s3:*", "copy"),
            ("s3:ObjectCreated:*", "thumbs"),
            ("s3:ObjectCreated:*", "index"),
            ("s3:ObjectCreated:Put", "put"),
        ];
        let read = |(text, handler): (&str, _)| (TypePattern::try_from(text.to_owned()).unwrap(), handler);
        let routes = TypeTable::new(patterns.into_iter().map(read));
        let check = |kind: &str, expect: &[&str]| assert_eq!(routes.of(&MessageType(kind.into())), expect, "{kind}");
        check("s3:ObjectCreated:Put", &["put"]);
        check("s3:ObjectCreated:Copy", &["thumbs", "index"]);
        check("s3:ObjectRemoved:Delete", &["copy"]);
        check("order", &["audit"]);
        check("s3:", &["copy"]);
        assert!(TypeTable::<()>::default().of(&MessageType("order".into())).is_empty());
        for bad in ["", "a*b", "*b", "**", "s3:*:Put", &"x".repeat(257)] {
            assert!(TypePattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
