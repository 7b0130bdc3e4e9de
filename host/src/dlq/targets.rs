//! Where a letter came from, and so where it goes.

use std::collections::HashMap;
use std::sync::Arc;

use wasq_queues::Queue;

use super::letter_view::{Envelope, LetterView};

/// Finds the queue of each letter, and keeps those that it opened.
pub struct ReplayTargets {
    dlq: Arc<dyn Queue>,
    /// All go there.
    to: Option<Arc<dyn Queue>>,
    targeted: Arc<dyn Queue>,
    /// The user named the targeted queue.
    named: bool,
    opened: HashMap<String, Result<Arc<dyn Queue>, String>>,
    /// Where letters without an envelope go, once it is known.
    nameless: Option<Result<Arc<dyn Queue>, String>>,
}

impl ReplayTargets {
    /// `targeted` is the queue whose DLQ this is, `named` whether the user said so; `to` is where
    /// all letters go instead.
    pub fn new(dlq: Arc<dyn Queue>, targeted: Arc<dyn Queue>, named: bool, to: Option<Arc<dyn Queue>>) -> Self {
        Self { dlq, to, targeted, named, opened: HashMap::new(), nameless: None }
    }

    /// The queue that a letter goes to: the one that was asked for, else the one that it names. A
    /// letter that names none goes to the queue that the user named, else to the DLQ's only source.
    /// An error says why there is none.
    pub async fn of(&mut self, view: &LetterView) -> Result<Arc<dyn Queue>, String> {
        if let Some(to) = &self.to {
            return Ok(to.clone());
        }
        match &view.envelope {
            Envelope::Letter(letter) => self.open(&letter.queue).await,
            Envelope::MovedBySqs | Envelope::Unreadable(_) => {
                if self.nameless.is_none() {
                    self.nameless = Some(self.only_source().await);
                }
                self.nameless.clone().unwrap_or_else(|| Ok(self.targeted.clone()))
            }
        }
    }

    async fn open(&mut self, name: &str) -> Result<Arc<dyn Queue>, String> {
        if name == self.targeted.name() {
            return Ok(self.targeted.clone());
        }
        if !self.opened.contains_key(name) {
            let opened = self.targeted.sibling(name).await;
            let opened = opened.map_err(|error| {
                format!("its queue `{name}` cannot be opened: {error}; --to sends it to another queue")
            });
            self.opened.insert(name.to_owned(), opened);
        }
        self.opened[name].clone()
    }

    async fn only_source(&self) -> Result<Arc<dyn Queue>, String> {
        let targeted = || Ok(self.targeted.clone());
        if self.named {
            return targeted();
        }
        let dlq = self.dlq.name();
        let urls = self.dlq.sources().await.map_err(|error| {
            format!("it does not say its queue, and the sources of {dlq} cannot be listed: {error}; say one with --to")
        })?;
        match urls.as_slice() {
            [] => targeted(),
            [url] => self.dlq.sibling(url).await.map_err(|error| error.to_string()),
            several => {
                let names: Vec<_> = several.iter().filter_map(|url| url.rsplit('/').next()).collect();
                Err(format!(
                    "it does not say its queue, and {dlq} has several sources ({}); say one with --to",
                    names.join(", ")
                ))
            }
        }
    }
}
