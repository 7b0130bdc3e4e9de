//! What the other hosts have yet to be told of this host's breakers.

use std::collections::{BTreeMap, BTreeSet};

/// What the other hosts do not know yet, by scope.
#[derive(Default)]
pub struct Untold(pub BTreeMap<String, News>);

#[derive(Default)]
pub struct News {
    pub is_closed: bool,
    /// Dependencies whose breakers have opened, or whose probes have failed.
    pub opened: BTreeSet<String>,
    pub wants_probe: bool,
}

impl Untold {
    pub fn closed(&mut self, scope: &str) {
        self.0.insert(scope.to_owned(), News { is_closed: true, ..News::default() });
    }

    pub fn opened(&mut self, scope: &str, dependency: &str) {
        self.0.entry(scope.to_owned()).or_default().opened.insert(dependency.to_owned());
    }

    pub fn wants_probe(&mut self, scope: &str) {
        self.0.entry(scope.to_owned()).or_default().wants_probe = true;
    }
}
