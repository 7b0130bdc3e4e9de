//! Faults that tests order: calls that are late, lost, refused, torn or doubled.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call takes effect, and is answered, this much later.
    Delay(Duration),
    /// The call is never answered and has no effect.
    Hang,
    /// The call is refused with this error code (as in `AWS.SimpleQueueService.NonExistentQueue` or
    /// `ServiceUnavailable`) and HTTP status, and has no effect.
    FailBefore { code: String, status: u16 },
    /// The call takes effect, and is answered with this error all the same.
    FailAfter { code: String, status: u16 },
    /// The entries of a batch at these places fail with this error code and have no effect; the
    /// others succeed.
    FailEntries { places: Vec<usize>, code: String },
    /// ReceiveMessage: the messages are delivered, and stay visible.
    Duplicate,
    /// The connection is closed before the call takes effect.
    DropConnection,
    /// The call takes effect, and its answer is cut in half.
    Garble,
}

/// A rule: which calls go wrong, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: String,
    queue: Option<String>,
    times: Option<u32>,
    effect: Effect,
}

impl Fault {
    /// Every call of this operation, as in `DeleteMessageBatch`, until cleared.
    pub fn on(operation: impl Into<String>, effect: Effect) -> Self {
        Self { operation: operation.into(), queue: None, times: None, effect }
    }

    /// Only calls that name this queue.
    pub fn queue(self, name: impl Into<String>) -> Self {
        Self { queue: Some(name.into()), ..self }
    }

    /// Only the next so many calls.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

/// The faults in force, and a count of all calls.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    called: Notify,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    /// By operation. There are as many as operations, whatever clients send.
    calls: HashMap<&'static str, u64>,
}

impl Faults {
    /// Puts a fault in force. Of several that fit a call, the oldest is used.
    pub fn add(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Ends all faults. Calls that hang go on hanging.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// How many faults are still in force. One with a number of times ends when it has met its last
    /// call.
    pub fn in_force(&self) -> usize {
        self.state().faults.len()
    }

    /// How many calls of an operation have arrived.
    pub fn calls(&self, operation: &str) -> u64 {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// The calls that have arrived, by operation.
    pub fn all_calls(&self) -> BTreeMap<String, u64> {
        self.state().calls.iter().map(|(operation, calls)| ((*operation).to_owned(), *calls)).collect()
    }

    /// Waits until so many calls of an operation have arrived.
    pub async fn calls_reach(&self, operation: &str, calls: u64) {
        loop {
            let called = self.called.notified();
            if self.calls(operation) >= calls {
                return;
            }
            called.await;
        }
    }

    /// Counts a call, and gives the fault that it meets. The queue's name is asked for only
    /// if some fault wants it.
    pub(super) fn meet(&self, operation: &'static str, queue: impl FnOnce() -> String) -> Option<Effect> {
        let mut state = self.state();
        *state.calls.entry(operation).or_default() += 1;
        self.called.notify_waiters();
        if state.faults.is_empty() {
            return None;
        }
        let queue = queue();
        let fits =
            |fault: &Fault| fault.operation == operation && fault.queue.as_ref().is_none_or(|name| *name == queue);
        let place = state.faults.iter().position(fits)?;
        let fault = &mut state.faults[place];
        let effect = fault.effect.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                state.faults.remove(place);
            }
        }
        Some(effect)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_its_calls_so_often_as_told() {
        let faults = Faults::default();
        faults.add(Fault::on("SendMessage", Effect::Hang).queue("a").times(2));
        let meet = |operation: &'static str, queue: &str| faults.meet(operation, || queue.to_owned());
        assert_eq!(meet("SendMessage", "b"), None);
        assert_eq!(meet("DeleteMessage", "a"), None);
        assert_eq!(meet("SendMessage", "a"), Some(Effect::Hang));
        assert_eq!(faults.in_force(), 1);
        assert_eq!(meet("SendMessage", "a"), Some(Effect::Hang));
        assert_eq!(faults.in_force(), 0);
        assert_eq!(meet("SendMessage", "a"), None);
        assert_eq!((faults.calls("SendMessage"), faults.calls("DeleteMessage")), (4, 1));
        assert_eq!(faults.all_calls(), [("SendMessage".to_owned(), 4), ("DeleteMessage".to_owned(), 1)].into());
    }
}
