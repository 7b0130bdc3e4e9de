//! One plugin's attempt of a delivery: what every step of the flow is given. It borrows everything,
//! and lives as long as the delivery is worked on.

use std::time::Duration;

use wasq_core::message::{Delivery, Message};

use super::batch::Batch;
use super::decide::Settlement;
use super::services::{QueueRuntime, Services};
use crate::admission::hidden::ToHide;
use crate::admission::in_hand::{Claimant, InHand};
use crate::exit::Exit;
use crate::lease::Lease;
use crate::plugins::Plugin;
use crate::telemetry::spans::Span;

/// One plugin's attempt of a delivery; or the delivery itself, where no plugin sees it.
#[derive(Clone, Copy)]
pub(super) struct PluginAttempt<'a> {
    pub(super) services: &'a Services,
    pub(super) runtime: &'a QueueRuntime,
    pub(super) batch: &'a Batch<'a>,
    pub(super) delivery: &'a Delivery,
    pub(super) lease: &'a Lease,
    pub(super) in_hand: &'a InHand,
    /// None when it cannot be read.
    pub(super) message: Option<&'a Message>,
    pub(super) plugin: Option<&'a Plugin>,
    /// Whether no other plugin handles the type: then its delay is the delivery's.
    pub(super) is_only_plugin: bool,
    /// The plugin's `process`, which its calls and logs are in.
    pub(super) span: &'a Span,
}

/// How a plugin's attempt ended.
pub(super) struct AttemptEnd {
    pub(super) exit: Exit,
    pub(super) settlement: Settlement,
    /// What holds the message back, where it is hidden for that.
    pub(super) to_hide: Option<Box<ToHide>>,
}

impl<'a> PluginAttempt<'a> {
    pub(super) fn of(&self, plugin: &'a Plugin) -> PluginAttempt<'a> {
        PluginAttempt { plugin: Some(plugin), ..*self }
    }

    pub(super) fn with(&self, message: &'a Message) -> PluginAttempt<'a> {
        PluginAttempt { message: Some(message), ..*self }
    }

    /// The type and the plugin, as logs and metrics name them; empty where there is none.
    pub(super) fn names(&self) -> (&'a str, &'a str) {
        let kind = self.message.map_or("", |message| message.kind.0.as_str());
        (kind, self.plugin.map_or("", |plugin| plugin.manifest.name.as_str()))
    }

    /// blake3 of the plugin's component, in hexadecimal.
    pub(super) fn digest(&self) -> Option<&'a str> {
        self.plugin.map(|plugin| plugin.digest.as_str())
    }

    /// The message, where it has to wait for what its plugin's limits allow.
    pub(super) fn claimant(&self) -> Claimant<'a> {
        Claimant {
            sent_at: self.delivery.sent_at,
            is_returned: self.delivery.receive_count > 1,
            in_hand: self.in_hand,
            room: &self.runtime.waiting_room,
        }
    }

    /// How long ago the message was sent, by the wall clock.
    pub(super) fn age(&self) -> Duration {
        self.services.clock.unix_ms().since(self.delivery.sent_at)
    }

    /// How long its queue has had it.
    pub(super) fn queue_age(&self) -> Duration {
        self.services.clock.unix_ms().since(self.delivery.enqueued_at)
    }
}
