//! A pause as the stores hold it.

use wasq_core::message::UnixMs;
use wasq_core::pause::{Pause, Target};

use super::LedgerError;

/// Who is said to have made a pause whose record cannot be read.
const UNREADABLE: &str = "(its record cannot be read; resume it)";

pub fn to_json(pause: &Pause) -> String {
    serde_json::to_string(pause).expect("a pause is two strings and two numbers")
}

/// Reads a pause. `name` is its target as the store has it beside the record. A record that cannot
/// be read is no reason for a host not to start: what it pauses stays paused until it is resumed,
/// and where nobody can say what that is, it pauses nothing.
pub fn from_json(name: Option<&str>, json: &[u8]) -> Option<Pause> {
    let error = match serde_json::from_slice(json) {
        Ok(pause) => return Some(pause),
        Err(error) => LedgerError::Damaged(format!("a pause: {error}")),
    };
    let in_record = || serde_json::from_slice::<serde_json::Value>(json).ok()?["target"].as_str().map(str::to_owned);
    let target = name.map(str::to_owned).or_else(in_record).and_then(|name| name.parse::<Target>().ok());
    match target {
        Some(target) => {
            tracing::warn!(%target, %error, "a pause stands until it is resumed: its record cannot be read");
            Some(Pause { target, by: UNREADABLE.to_owned(), at: UnixMs(0), until: None })
        }
        None => {
            tracing::error!(%error, "a pause holds nothing: its record does not say what");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_still_pauses_what_it_names() {
        let whole = Pause::new("type:a".parse().unwrap(), "ada", UnixMs(1), None).unwrap();
        assert_eq!(from_json(None, to_json(&whole).as_bytes()), Some(whole));
        let check = |name: Option<&str>, json: &str, expect: Option<&str>| {
            let pause = from_json(name, json.as_bytes());
            assert_eq!(pause.as_ref().map(|pause| pause.target.to_string()).as_deref(), expect, "{name:?} {json}");
            assert!(pause.is_none_or(|pause| pause.until.is_none() && pause.by.contains("resume it")));
        };
        check(Some("type:a"), "{", Some("type:a"));
        check(Some("queue:b"), r#"{"target":"type:a"}"#, Some("queue:b"));
        check(None, r#"{"target":"type:a","by":7}"#, Some("type:a"));
        check(None, r#"{"target":"a"}"#, None);
        check(Some("nothing"), "{", None);
        check(None, "", None);
    }
}
