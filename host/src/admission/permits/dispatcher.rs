//! Who gets a permit of the host that comes free, where queues have priorities: the run whose queue
//! has the highest, then the one whose plugin has, then the one that waits longest. A part is kept
//! for each queue ([`super::shares`]).

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::priority::Priority;
use super::shares::Shares;

/// The host's permits.
pub struct Dispatcher {
    queues: Vec<(String, u32)>,
    state: Mutex<State>,
}

struct State {
    shares: Shares,
    waiting: Vec<Class>,
    counter: u64,
}

/// Runs of one queue whose plugins have one priority.
struct Class {
    queue: usize,
    queue_priority: u32,
    priority: Priority,
    runs: VecDeque<(u64, oneshot::Sender<HostPermit>)>,
}

/// A permit of the host. It is given back when it is dropped.
pub struct HostPermit {
    dispatcher: Option<Arc<Dispatcher>>,
    queue: usize,
    priority: Priority,
}

/// A queue's part of the host's permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueShare {
    pub queue: String,
    pub priority: u32,
    /// Permits that no other queue's runs take.
    pub kept: usize,
    pub running: usize,
    /// Runs that wait for a permit of the host.
    pub waiting: usize,
}

impl Dispatcher {
    /// `queues` are their names and priorities, in the order of the shares.
    pub fn new(shares: Shares, queues: Vec<(String, u32)>) -> Self {
        Self { queues, state: Mutex::new(State { shares, waiting: Vec::new(), counter: 0 }) }
    }

    pub fn running(&self) -> usize {
        self.state.lock().shares.running()
    }

    /// What each queue has, by name.
    pub fn status(&self) -> Vec<QueueShare> {
        let state = self.state.lock();
        let share = |(number, (queue, priority)): (usize, &(String, u32))| {
            let (running, kept) = state.shares.of_queue(number);
            let waiting = state.waiting.iter().filter(|class| class.queue == number).map(Class::waiting).sum();
            QueueShare { queue: queue.clone(), priority: *priority, kept, running, waiting }
        };
        self.queues.iter().enumerate().map(share).collect()
    }

    /// A permit, where there is one for this queue now.
    pub fn try_acquire(self: &Arc<Self>, queue: usize, priority: Priority) -> Option<HostPermit> {
        let state = &mut *self.state.lock();
        state.shares.has_room(queue, priority).then(|| self.permit(state, queue, priority))
    }

    /// Waits for a permit.
    pub async fn acquire(self: &Arc<Self>, queue: usize, priority: Priority) -> HostPermit {
        let permit = {
            let state = &mut *self.state.lock();
            // Whoever waits has found no room.
            if state.shares.has_room(queue, priority) {
                return self.permit(state, queue, priority);
            }
            let (tell, permit) = oneshot::channel();
            let number = state.counter;
            state.counter += 1;
            state.class(queue, self.queues[queue].1, priority).runs.push_back((number, tell));
            permit
        };
        permit.await.expect("a run in line is told, or is gone")
    }

    fn permit(self: &Arc<Self>, state: &mut State, queue: usize, priority: Priority) -> HostPermit {
        state.shares.take(queue, priority);
        HostPermit { dispatcher: Some(self.clone()), queue, priority }
    }

    /// Gives what is free to those who wait.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        while let Some((class, tell)) = state.next() {
            let (queue, priority) = class;
            let permit = self.permit(state, queue, priority);
            if let Err(mut unwanted) = tell.send(permit) {
                // Its run is gone.
                unwanted.dispatcher = None;
                state.shares.give_back(queue, priority);
            }
        }
    }
}

impl State {
    fn class(&mut self, queue: usize, queue_priority: u32, priority: Priority) -> &mut Class {
        let found = self.waiting.iter().position(|class| class.queue == queue && class.priority == priority);
        let index = found.unwrap_or_else(|| {
            self.waiting.push(Class { queue, queue_priority, priority, runs: VecDeque::new() });
            self.waiting.len() - 1
        });
        &mut self.waiting[index]
    }

    /// The first in line of those for whom there is a permit.
    fn next(&mut self) -> Option<((usize, Priority), oneshot::Sender<HostPermit>)> {
        let shares = &self.shares;
        let ready = self.waiting.iter_mut().filter(|class| shares.has_room(class.queue, class.priority));
        let waiting = ready.filter_map(|class| {
            while class.runs.front().is_some_and(|(_, tell)| tell.is_closed()) {
                class.runs.pop_front();
            }
            let first = class.runs.front()?.0;
            Some(((Reverse(class.queue_priority), class.priority, first), class))
        });
        let (_, class) = waiting.min_by_key(|(order, _)| *order)?;
        let (_, tell) = class.runs.pop_front()?;
        Some(((class.queue, class.priority), tell))
    }
}

impl Class {
    fn waiting(&self) -> usize {
        self.runs.iter().filter(|(_, tell)| !tell.is_closed()).count()
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            let state = &mut *dispatcher.state.lock();
            state.shares.give_back(self.queue, self.priority);
            dispatcher.dispatch(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const PAYMENTS: usize = 0;
    const ANALYTICS: usize = 1;
    const MAIL: usize = 2;

    fn dispatcher(permits: usize) -> Arc<Dispatcher> {
        let shares = Shares::new([permits, permits, permits], &[Some(0.0), Some(0.0), Some(0.0)]);
        let queues = [("payments", 10), ("analytics", 0), ("mail", 0)];
        Arc::new(Dispatcher::new(shares, queues.map(|(name, priority)| (name.to_owned(), priority)).into()))
    }

    /// Runs that wait, in this order, and the order in which they get the one permit that comes
    /// free.
    fn order(waiting: &[(usize, Priority)]) -> Vec<(usize, Priority)> {
        let dispatcher = dispatcher(6);
        let mut lasting: Vec<_> = std::iter::from_fn(|| dispatcher.try_acquire(ANALYTICS, Priority::High)).collect();
        assert_eq!(lasting.len(), 4, "one is kept for each of the others");
        let mut held = lasting.pop();
        lasting
            .extend([PAYMENTS, MAIL].map(|queue| dispatcher.try_acquire(queue, Priority::High).expect("it is kept")));
        let mut left: Vec<_> =
            waiting.iter().map(|(queue, priority)| Some(Box::pin(dispatcher.acquire(*queue, *priority)))).collect();
        for waits in left.iter_mut().flatten() {
            assert!(waits.now_or_never().is_none(), "nothing is free");
        }
        let mut order = Vec::new();
        while order.len() < waiting.len() {
            drop(held.take());
            for (waits, who) in left.iter_mut().zip(waiting) {
                if let Some(permit) = waits.as_mut().and_then(|waits| waits.now_or_never()) {
                    *waits = None;
                    assert!(held.is_none(), "two permits for one");
                    held = Some(permit);
                    order.push(*who);
                }
            }
        }
        drop(lasting);
        order
    }

    #[test]
    fn the_queue_s_priority_goes_before_the_plugin_s_and_that_before_who_came_first() {
        use Priority::{High, Low, Normal};
        let waiting = [
            (ANALYTICS, Low),
            (MAIL, Normal),
            (ANALYTICS, Normal),
            (PAYMENTS, Low),
            (PAYMENTS, High),
            (ANALYTICS, High),
        ];
        let expect = [
            (PAYMENTS, High),
            (PAYMENTS, Low),
            (ANALYTICS, High),
            (MAIL, Normal),
            (ANALYTICS, Normal),
            (ANALYTICS, Low),
        ];
        assert_eq!(order(&waiting), expect);
    }

    #[test]
    fn a_run_that_is_gone_takes_nothing() {
        let dispatcher = dispatcher(2);
        let held: Vec<_> = std::iter::from_fn(|| dispatcher.try_acquire(ANALYTICS, Priority::High)).collect();
        assert_eq!(held.len(), 2);
        let mut gone = Box::pin(dispatcher.acquire(PAYMENTS, Priority::High));
        let mut waits = Box::pin(dispatcher.acquire(MAIL, Priority::High));
        assert!((&mut gone).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(gone);
        assert_eq!(dispatcher.status().iter().map(|share| share.waiting).collect::<Vec<_>>(), [0, 0, 1]);
        drop(held);
        assert!(waits.now_or_never().is_some() && dispatcher.running() == 0);
    }
}
