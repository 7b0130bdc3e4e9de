//! What the queue is told of a delivery, out of what its plugins have come to.

use super::decide::{DEAD_LETTER, PARK, QueueAction, Settlement};
use super::plugin_attempt::AttemptEnd;
use crate::admission::hidden::ToHide;

/// What is told to the queue once every plugin has settled every record, and its name in traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    pub action: QueueAction,
    pub name: &'static str,
    /// Whether one of them sent a dead letter.
    pub has_letter: bool,
    /// What holds it back, where it is hidden for that.
    pub to_hide: Option<Box<ToHide>>,
}

impl Settled {
    pub fn of(settlement: &Settlement) -> Self {
        let has_letter = settlement.is_dead_letter();
        Self { action: settlement.queue, name: settlement.name(), has_letter, to_hide: None }
    }

    pub(super) fn of_attempt(ended: &AttemptEnd) -> Self {
        Self { to_hide: ended.to_hide.clone(), ..Self::of(&ended.settlement) }
    }

    /// The delivery is deleted when all say so, else hidden for the shortest delay.
    pub fn of_all(all: impl Iterator<Item = Self>) -> Self {
        let nobody = Self::of(&Settlement::unrecorded(QueueAction::Leave));
        all.reduce(|a, b| {
            let has_letter = a.has_letter || b.has_letter;
            let first = match (a.action, b.action) {
                (QueueAction::Leave, _) | (QueueAction::Hide(_), QueueAction::Delete) => a,
                (_, QueueAction::Leave) | (QueueAction::Delete, QueueAction::Hide(_)) => b,
                (QueueAction::Hide(a_delay), QueueAction::Hide(b_delay)) if a_delay <= b_delay => a,
                (QueueAction::Hide(_), QueueAction::Hide(_)) => b,
                // What one of them has parked comes back.
                (QueueAction::Delete, QueueAction::Delete) if b.name == PARK => b,
                (QueueAction::Delete, QueueAction::Delete) if a.name == PARK => a,
                // All are dead letters, or it counts as deleted.
                (QueueAction::Delete, QueueAction::Delete) if a.name == DEAD_LETTER => b,
                (QueueAction::Delete, QueueAction::Delete) => a,
            };
            Self { has_letter, ..first }
        })
        .unwrap_or(nobody)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasq_core::message::MessageId;
    use wasq_ledgers::Finish;

    use super::*;

    #[test]
    fn a_delivery_is_deleted_when_all_its_plugins_are_settled() {
        let delete = || Settlement::unrecorded(QueueAction::Delete);
        let hide = |s| Settlement::unrecorded(QueueAction::Hide(Duration::from_secs(s)));
        let leave = || Settlement::unrecorded(QueueAction::Leave);
        let dead_letter = || {
            let finish = Finish::DeadLettered { message_id: MessageId("m".into()), ttl: Duration::ZERO };
            Settlement { ledger: Some(finish), queue: QueueAction::Delete }
        };
        let park = || Settlement { ledger: Some(Finish::Released { ran: true }), queue: QueueAction::Delete };
        let check = |all: Vec<Settlement>, expect: Settlement| {
            let settled = Settled::of_all(all.iter().map(Settled::of));
            assert_eq!((settled.action, settled.name), (expect.queue, expect.name()), "{all:?}");
            assert_eq!(settled.has_letter, all.iter().any(Settlement::is_dead_letter), "{all:?}");
        };
        check(vec![delete(), delete()], delete());
        check(vec![delete(), dead_letter()], delete());
        check(vec![dead_letter(), delete()], delete());
        check(vec![delete(), park()], park());
        check(vec![park(), delete()], park());
        check(vec![dead_letter(), park()], park());
        check(vec![park(), hide(3)], hide(3));
        check(vec![dead_letter(), dead_letter()], dead_letter());
        check(vec![dead_letter(), hide(3)], hide(3));
        check(vec![hide(9), delete(), hide(2)], hide(2));
        check(vec![hide(9), leave(), delete()], leave());
    }
}
