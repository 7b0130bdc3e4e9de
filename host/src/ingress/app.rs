//! What the port's handlers share.

use std::sync::Arc;

use wasq_core::message::MessageType;

use super::access::Access;
use super::sender::Senders;
use super::types::IngressTypes;
use crate::config::Config;
use crate::flow::{QueueRuntime, Services};
use crate::growing_list::GrowingList;
use crate::sandbox::egress::Secrets;

/// What the port serves.
pub struct App {
    pub(super) services: Arc<Services>,
    pub(super) config: Arc<Config>,
    /// The queues that are open, with what is known of them.
    pub(super) runtimes: GrowingList<Arc<QueueRuntime>>,
    pub(super) access: Access,
    pub(super) types: IngressTypes,
    pub(super) senders: Senders,
}

impl App {
    pub fn new(
        services: Arc<Services>,
        config: Arc<Config>,
        runtimes: GrowingList<Arc<QueueRuntime>>,
        secrets: Arc<Secrets>,
        types: IngressTypes,
    ) -> Self {
        let access = Access::new(&config.ingress, secrets);
        let senders = Senders::new(services.outlets.clone());
        Self { services, config, runtimes, access, types, senders }
    }

    /// Whether messages of this type have somewhere to go: the config names it, or a plugin of this
    /// host handles it.
    pub(super) fn knows(&self, kind: &str) -> bool {
        let catalog = self.services.catalogs.current();
        self.config.ingress.types.contains_key(kind) || !catalog.route(&MessageType(kind.to_owned())).is_empty()
    }
}
