//! Limits that operators have set while the hosts run, in place of those of the config.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;
use wasq_ledgers::documents::Change;

/// The id of the document.
pub const LIMITS: &str = "limits";
/// Limits that can be set at once. A ledger's document must hold them all.
pub const SET_MAX: usize = 256;
/// What is set without an end stays until somebody resets it.
const KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// A limit of the config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LimitName {
    Rate(String),
    Pool(String),
}

/// What the ledger keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitDocument {
    pub set: BTreeMap<LimitName, SetLimit>,
}

/// A limit that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLimit {
    /// As the config would have it: `50/s` of a rate, `20` of a pool.
    pub value: String,
    pub by: String,
    pub at: UnixMs,
    /// From then on, the config's holds again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<UnixMs>,
}

/// There is no room for one more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SET_MAX} limits are set already; reset some")]
pub struct TooMany;

impl LimitDocument {
    /// Those that hold now.
    pub fn current(mut self, now: UnixMs) -> Self {
        self.set.retain(|_, limit| limit.until.is_none_or(|until| until > now));
        self
    }

    /// With one set; or reset, to what the config says. The answer is what was set before.
    pub fn change(
        found: Option<Self>,
        name: &LimitName,
        limit: Option<SetLimit>,
        now: UnixMs,
    ) -> (Result<Option<SetLimit>, TooMany>, Change<Self>) {
        let mut document = found.unwrap_or_default().current(now);
        let before = document.set.remove(name);
        if limit.is_none() && before.is_none() {
            return (Ok(None), Change::Leave);
        }
        if limit.is_some() && document.set.len() >= SET_MAX {
            return (Err(TooMany), Change::Leave);
        }
        document.set.extend(limit.map(|limit| (name.clone(), limit)));
        (Ok(before), Change::Write(document, KEPT))
    }
}

impl Display for LimitName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rate(name) => write!(formatter, "rate:{name}"),
            Self::Pool(name) => write!(formatter, "pool:{name}"),
        }
    }
}

impl From<LimitName> for String {
    fn from(name: LimitName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for LimitName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("rate", name)) => Ok(Self::Rate(name.to_owned())),
            Some(("pool", name)) => Ok(Self::Pool(name.to_owned())),
            Some(_) | None => Err(format!("{text:?} names no limit; write rate:NAME or pool:NAME")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(value: &str, until: Option<u64>) -> SetLimit {
        SetLimit { value: value.into(), by: "ann".into(), at: UnixMs(5), until: until.map(UnixMs) }
    }

    fn rate(name: &str) -> LimitName {
        LimitName::Rate(name.into())
    }

    fn set(document: LimitDocument, name: &LimitName, limit: SetLimit) -> LimitDocument {
        match LimitDocument::change(Some(document), name, Some(limit), UnixMs(10)) {
            (Ok(_), Change::Write(document, _)) => document,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_set_holds_until_its_end_or_until_it_is_reset() {
        let document = set(LimitDocument::default(), &rate("stripe"), limit("50/s", Some(100)));
        let document = set(document, &LimitName::Pool("stripe".into()), limit("3", None));
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<LimitDocument>(&text).unwrap(), document);
        assert_eq!(document.clone().current(UnixMs(99)).set.len(), 2);
        assert_eq!(
            document.clone().current(UnixMs(100)).set.keys().collect::<Vec<_>>(),
            [&LimitName::Pool("stripe".into())]
        );
        let (before, change) = LimitDocument::change(Some(document), &rate("stripe"), None, UnixMs(20));
        assert_eq!(before, Ok(Some(limit("50/s", Some(100)))));
        let Change::Write(document, _) = change else { panic!("nothing was reset") };
        assert_eq!(LimitDocument::change(Some(document), &rate("stripe"), None, UnixMs(20)), (Ok(None), Change::Leave));
    }

    #[test]
    fn there_is_room_for_so_many_and_what_is_over_takes_none() {
        let fill = |until| {
            (0..SET_MAX)
                .fold(LimitDocument::default(), |document, n| set(document, &rate(&n.to_string()), limit("1/s", until)))
        };
        let again = LimitDocument::change(Some(fill(None)), &rate("0"), Some(limit("2/s", None)), UnixMs(20)).0;
        assert_eq!(again, Ok(Some(limit("1/s", None))));
        let one_more =
            |document, now| LimitDocument::change(Some(document), &rate("new"), Some(limit("1/s", None)), now).0;
        assert_eq!(one_more(fill(None), UnixMs(20)), Err(TooMany));
        assert_eq!(one_more(fill(Some(15)), UnixMs(20)), Ok(None));
    }
}
