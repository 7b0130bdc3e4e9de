//! What holds a message back that is hidden, so that it can be shown again when that is gone.

use wasq_core::clock;

use super::plugin_attempt::PluginAttempt;
use super::rate_limit;
use crate::admission::breaker::Standing;
use crate::admission::hidden::{HeldBy, ToHide};
use crate::exit::Exit;

/// What an attempt that ended so waits for; none where it waits for its time alone.
pub fn held_back(plugin_attempt: &PluginAttempt<'_>, exit: &Exit) -> Option<ToHide> {
    let PluginAttempt { services, runtime, delivery, message, plugin, .. } = *plugin_attempt;
    let message = message?;
    let held_by = match exit {
        // Where it was told when to come again, it does that.
        Exit::BreakerOpen { .. } | Exit::Unavailable { after: None, .. } => {
            let scope = rate_limit::breaker_scope(services, message, plugin?);
            // One failure opens none, and has the message wait for its time.
            let is_closed = services.breakers.standing(&scope, services.clock.now()) == Standing::Closed;
            (!is_closed).then(|| HeldBy::Breaker(scope.into_owned()))?
        }
        Exit::RateLimited { rate, .. } => HeldBy::Rate(rate_limit::bucket_of(services, message, plugin?, rate)?),
        Exit::Paused { .. } => {
            let now = || services.clock.unix_ms();
            HeldBy::Pause(services.pauses.of_message(&runtime.name, &message.kind.0, now)?.0.target)
        }
        _ => return None,
    };
    let label = held_by.label(|bucket| services.rates.name(bucket).to_owned());
    runtime.meters.limited(label, clock::now());
    Some(ToHide { held_by, sent_at: delivery.sent_at })
}
