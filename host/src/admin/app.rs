//! What the admin port serves, and what its pages and answers say of the whole host.

use std::sync::Arc;

use axum::extract::FromRef;
use wasq_core::message::MessageType;

use super::access::{Access, Visitor};
use super::history::History;
use super::letters::DeadLetterQueues;
use super::profiles::Profiles;
use crate::admission::permits::Usage;
use crate::flow::unroutable::UnroutableType;
use crate::telemetry::export::Source;
use crate::telemetry::health::Verdict;

/// What the port serves.
pub struct App {
    pub source: Source,
    pub access: Access,
    pub history: Arc<History>,
    /// Where each queue's dead letters are.
    pub dead_letter_queues: Arc<DeadLetterQueues>,
    pub profiles: Arc<Profiles>,
}

impl FromRef<Arc<App>> for Source {
    fn from_ref(app: &Arc<App>) -> Self {
        app.source.clone()
    }
}

impl Source {
    /// Whether the host is ready; with what is paused, which is no reason not to be.
    pub(super) fn ready(&self) -> Verdict {
        let services = &self.services;
        let paused = services.pauses.current(services.clock.unix_ms());
        let notes = paused.iter().map(|pause| format!("{} is paused, by {}", pause.target, pause.by)).collect();
        let mut verdict = Verdict { notes, ..services.health.ready() };
        if services.pauses.are_unread() {
            verdict
                .reasons
                .push("what is paused cannot be read from the ledger; nothing is polled until it can".into());
            verdict.ok = false;
        }
        verdict
    }

    /// The types that came and that no plugin handles.
    pub(super) fn unroutable(&self) -> Vec<UnroutableType> {
        let services = &self.services;
        let catalog = services.catalogs.current();
        let has_plugin = |kind: &str| !catalog.route(&MessageType(kind.to_owned())).is_empty();
        services.recent.unroutable.listed(services.clock.unix_ms(), has_plugin)
    }

    /// How full all permits are, by the names that the metrics have for them.
    pub(super) fn permits(&self) -> impl Iterator<Item = (String, Usage)> {
        let services = &self.services;
        let catalog = services.catalogs.current();
        let plugins = catalog.plugins().map(|plugin| {
            let usage = Usage::of(&plugin.permits, plugin.max_concurrency);
            (format!("plugin:{}", plugin.manifest.name), usage)
        });
        let plugins: Vec<_> = plugins.collect();
        let fleet = services.fleet_pools.status();
        let fleet = fleet.iter().map(|pool| (pool.name.as_str(), Usage { busy: pool.busy, limit: pool.size }));
        let pools = services.catalogs.pools().usage().chain(fleet);
        let pools: Vec<_> = pools.map(|(name, usage)| (format!("pool:{name}"), usage)).collect();
        [("host".to_owned(), services.permits.usage())].into_iter().chain(pools).chain(plugins)
    }
}

impl App {
    /// What a form that this visitor is shown carries; none where nothing may be done.
    pub fn form_token(&self, visitor: &Visitor) -> Option<String> {
        self.access.allows_actions().then(|| self.access.form_token(visitor))
    }
}
