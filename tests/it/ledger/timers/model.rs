//! Random operations: a store gives the answers of the pure functions.

use std::collections::BTreeMap;
use std::time::Duration;

use wasq_core::clock;
use wasq_core::message::UnixMs;
use wasq_ledgers::timers::{Due, NewTimer, TimerId, Timers, Timetable, Update, When};
use wasq_ledgers::{Fence, LedgerError};

use super::{FAR, Hosts, past};
use crate::ledger::contract::{ENDED, LONG};

const SEQUENCES: u64 = 4;
const OPERATIONS: u32 = 40;
const IDS: u64 = 6;

/// Something to do to a service's timers.
#[derive(Clone, Debug)]
enum Operation {
    Set(Vec<(TimerId, When)>),
    Take(Duration),
    /// With a fence that was given out, the newest or an older one.
    Done(TimerId, usize),
    Update(TimerId, usize, When, bool),
    Cancel(TimerId),
    Get(TimerId),
    List,
    Counts,
}

impl Operation {
    fn chosen(choose: &mut fastrand::Rng) -> Self {
        let id = |choose: &mut fastrand::Rng| TimerId(format!("timer {}", choose.u64(..IDS)));
        let when = |choose: &mut fastrand::Rng| match choose.u8(..5) {
            0..3 => past(choose.u64(..4)),
            3 => FAR,
            _ => When::At(UnixMs(u64::MAX)),
        };
        let age = if choose.u8(..4) == 0 { 1 } else { 0 };
        match choose.u8(..14) {
            0..4 => Self::Set((0..choose.usize(1..4)).map(|_| (id(choose), when(choose))).collect()),
            4..7 => Self::Take(if choose.bool() { ENDED } else { LONG }),
            7..9 => Self::Done(id(choose), age),
            9..11 => Self::Update(id(choose), age, when(choose), choose.bool()),
            11 => Self::Cancel(id(choose)),
            12 => Self::Get(id(choose)),
            _ => [Self::List, Self::Counts][choose.usize(..2)].clone(),
        }
    }
}

/// The fences of each timer in the order in which they were seen, of one of both sides.
#[derive(Default)]
struct Fences(BTreeMap<TimerId, Vec<Fence>>);

impl Fences {
    fn saw(&mut self, id: &TimerId, fence: Option<Fence>) {
        let seen = self.0.entry(id.clone()).or_default();
        seen.extend(fence.filter(|fence| !seen.contains(fence)));
    }

    /// The newest, or so many before it.
    fn pick(&self, id: &TimerId, age: usize) -> Fence {
        let seen = self.0.get(id).map_or(&[][..], Vec::as_slice);
        seen.iter().rev().nth(age).copied().unwrap_or(Fence(1))
    }
}

fn message(id: &TimerId, n: u32) -> String {
    format!("message {n} of {id}")
}

/// What is taken, without the fences: they differ from store to store.
fn shown(due: &Due) -> Vec<String> {
    assert!(due.damaged.is_empty(), "{:?}", due.damaged);
    due.taken.iter().map(|taken| format!("{} {} {} {:?}", taken.id, taken.due, taken.queue, taken.message)).collect()
}

/// What the model answers; its clock stands at `now`.
fn on_model(model: &mut Timetable, operation: &Operation, n: u32, fences: &mut Fences, next: &mut u64) -> String {
    let now = clock::unix_ms();
    let mut next_fence = || {
        *next += 1;
        Fence(*next)
    };
    match operation {
        Operation::Set(timers) => {
            let set = |(id, due): &(TimerId, When)| {
                let timer =
                    NewTimer { id: id.clone(), due: *due, queue: "mail".into(), message: message(id, n).into() };
                model.set(timer, next_fence(), now)
            };
            format!("{:?}", timers.iter().map(set).collect::<Vec<_>>())
        }
        Operation::Take(lease) => {
            let due = model.take_due(*lease, 100, now, next_fence);
            due.taken.iter().for_each(|taken| fences.saw(&taken.id, Some(taken.fence)));
            format!("{:?}", shown(&due))
        }
        Operation::Done(id, age) => format!("{:?}", model.done(id, fences.pick(id, *age))),
        Operation::Update(id, age, due, changes) => {
            let message = changes.then(|| message(id, n).into());
            let update = Update { id: id.clone(), fence: fences.pick(id, *age), due: *due, message };
            format!("{:?}", model.update(update, next_fence(), now))
        }
        Operation::Cancel(id) => format!("{:?}", Ok::<_, LedgerError>(model.cancel(id, now))),
        Operation::Get(id) => {
            let found = model.get(id, now);
            fences.saw(id, found.as_ref().and_then(|timer| timer.fence));
            format!("{:?}", found.map(|timer| (timer.due, timer.queue, timer.message, timer.fence.is_some())))
        }
        Operation::List => {
            let mut timers = model.list(100, None, now).timers;
            timers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            format!("{timers:?}")
        }
        Operation::Counts => format!("{:?}", model.counts(now)),
    }
}

async fn on_store(timers: &dyn Timers, operation: &Operation, n: u32, fences: &mut Fences) -> String {
    match operation {
        Operation::Set(all) => {
            let new = |(id, due): &(TimerId, When)| NewTimer {
                id: id.clone(),
                due: *due,
                queue: "mail".into(),
                message: message(id, n).into(),
            };
            format!("{:?}", timers.set_batch(all.iter().map(new).collect()).await)
        }
        Operation::Take(lease) => {
            let due = timers.take_due(*lease, 100).await.expect("the store answers");
            due.taken.iter().for_each(|taken| fences.saw(&taken.id, Some(taken.fence)));
            format!("{:?}", shown(&due))
        }
        Operation::Done(id, age) => format!("{:?}", timers.done_batch(&[(id.clone(), fences.pick(id, *age))]).await[0]),
        Operation::Update(id, age, due, changes) => {
            let message = changes.then(|| message(id, n).into());
            let update = Update { id: id.clone(), fence: fences.pick(id, *age), due: *due, message };
            format!("{:?}", timers.update_batch(vec![update]).await[0])
        }
        Operation::Cancel(id) => format!("{:?}", timers.cancel_batch(std::slice::from_ref(id)).await[0]),
        Operation::Get(id) => {
            let found = timers.get(id).await.expect("the store answers");
            fences.saw(id, found.as_ref().and_then(|timer| timer.fence));
            format!("{:?}", found.map(|timer| (timer.due, timer.queue, timer.message, timer.fence.is_some())))
        }
        Operation::List => {
            let mut timers = timers.list(100, None).await.expect("the store answers").timers;
            timers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            format!("{timers:?}")
        }
        Operation::Counts => format!("{:?}", timers.counts().await.expect("the store answers")),
    }
}

/// The same operations, of which nobody chose the order, get the same answers from this store as
/// from the pure functions, whichever of two hosts asks.
pub async fn it_decides_as_the_timetable_does(hosts: &Hosts) {
    let mut model = Timetable::default();
    let (mut expected_fences, mut fences, mut next) = (Fences::default(), Fences::default(), 1);
    for seed in 0..SEQUENCES {
        let mut choose = fastrand::Rng::with_seed(seed);
        let mut told = Vec::new();
        for n in 0..OPERATIONS {
            let host = if choose.bool() { &hosts.one } else { &hosts.other };
            let operation = Operation::chosen(&mut choose);
            let expected = on_model(&mut model, &operation, n, &mut expected_fences, &mut next);
            let answered = on_store(&**host, &operation, n, &mut fences).await;
            told.push(format!("{operation:?}: {expected}"));
            assert_eq!(answered, expected, "seed {seed}: {told:#?}");
        }
    }
}
