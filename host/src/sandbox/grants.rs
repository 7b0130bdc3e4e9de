//! What one plugin may do.

pub use crate::config::OWN_QUEUE;

/// What the operator granted. Files and sockets are never granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Where it may call: `scheme://host:port`, as written.
    pub hosts: Vec<String>,
    /// Queues that its outbox may send to, by their names in the config; [`OWN_QUEUE`] is its
    /// message's own.
    pub queues: Vec<String>,
    /// Secrets, by their names, in the headers that the operator sets on its requests.
    pub secrets: Vec<String>,
}

impl Grants {
    /// Whether the outbox may send to `queue`; empty is the message's own.
    pub fn may_send_to(&self, queue: &str) -> bool {
        let queue = if queue.is_empty() { OWN_QUEUE } else { queue };
        self.queues.iter().any(|granted| granted == queue)
    }
}
