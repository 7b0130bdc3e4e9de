//! A rate as a manifest names it: `stripe`, or `stripe:{/account_id}`.

use std::fmt::{Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::KeyTemplate;

/// A rate that a plugin's runs keep to: one for all of them, or one for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[^{}:]+(:.*\{.+\}.*)?$", "examples" = ["stripe", "stripe:{/account_id}"]))]
pub struct RateUse {
    /// Its name in the operator's config.
    pub rate: String,
    /// What its messages are told apart by.
    pub key: Option<KeyTemplate>,
}

impl TryFrom<String> for RateUse {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (rate, template) = match text.split_once(':') {
            Some((rate, template)) => (rate, Some(template)),
            None => (text.as_str(), None),
        };
        if rate.is_empty() || rate.contains(['{', '}']) {
            return Err(format!(
                "{text:?} names no rate; write `stripe`, or `stripe:{{/account_id}}` for a rate of each key"
            ));
        }
        let key = template.map(|template| KeyTemplate::try_from(template.to_owned())).transpose();
        Ok(Self { rate: rate.to_owned(), key: key.map_err(|fault| format!("the rate {text:?}: {fault}"))? })
    }
}

impl From<RateUse> for String {
    fn from(used: RateUse) -> Self {
        used.to_string()
    }
}

impl Display for RateUse {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            None => formatter.write_str(&self.rate),
            Some(key) => write!(formatter, "{}:{}", self.rate, String::from(key.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_named_with_or_without_a_key() {
        let parse = |text: &str| RateUse::try_from(text.to_owned());
        assert_eq!(parse("stripe"), Ok(RateUse { rate: "stripe".into(), key: None }));
        let keyed = parse("stripe:{/account}:{attribute:tenant}").expect("it is one");
        assert_eq!(
            (keyed.rate.as_str(), keyed.to_string().as_str()),
            ("stripe", "stripe:{/account}:{attribute:tenant}")
        );
        for (text, part) in [
            ("", "names no rate"),
            (":{/a}", "names no rate"),
            ("stripe{/a}", "stripe:{/account_id}"),
            ("stripe:", "no `{/pointer}`"),
            ("stripe:account", "no `{/pointer}`"),
            ("stripe:{account}", "{/account}"),
            ("stripe:{/account", "without its `}`"),
        ] {
            let error = parse(text).expect_err("it is none");
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
