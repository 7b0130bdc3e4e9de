//! Plugins whose files are gone: for a while, or for good.
//!
//! A deploy may remove a file before it brings the next version, and that one is to have its trial
//! beside the version before it. A plugin that stays away was taken away: when one of its name
//! comes back months later, it is not tried beside the old one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a plugin's earlier version is kept without its file.
pub const KEPT_WHILE_GONE: Duration = Duration::from_secs(10 * 60);

/// The plugins that are gone, by name, and since when.
#[derive(Default)]
pub struct Gone(BTreeMap<String, Instant>);

impl Gone {
    /// Compares two catalogs, by the names of their plugins.
    pub fn note<T>(&mut self, before: &BTreeMap<String, T>, after: &BTreeMap<String, T>, now: Instant) {
        self.0.retain(|name, _| !after.contains_key(name));
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            self.0.entry(name.clone()).or_insert(now);
        }
    }

    /// Takes out those that do not come back.
    pub fn for_long(&mut self, now: Instant) -> Vec<String> {
        let for_long = |_: &String, since: &mut Instant| now.saturating_duration_since(*since) >= KEPT_WHILE_GONE;
        self.0.extract_if(.., for_long).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_gone_for_long_only_if_it_does_not_come_back_in_time() {
        let catalog = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ())).collect::<BTreeMap<_, _>>();
        let (began, second) = (wasq_core::clock::now(), Duration::from_secs(1));
        let mut gone = Gone::default();
        gone.note(&catalog(&["a", "b"]), &catalog(&[]), began);
        gone.note(&catalog(&[]), &catalog(&["c"]), began + second);
        gone.note(&catalog(&["c"]), &catalog(&["a", "c"]), began + 2 * second);
        assert_eq!(gone.for_long(began + KEPT_WHILE_GONE - second), [""; 0]);
        assert_eq!(gone.for_long(began + KEPT_WHILE_GONE), ["b"]);
        assert_eq!(gone.for_long(began + 2 * KEPT_WHILE_GONE), [""; 0], "a came back, and b was told");
    }
}
