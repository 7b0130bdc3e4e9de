//! The ledger's workload: callers that claim (which must reach the operating system) and then
//! complete (which must reach the disk), over one writer that puts into a batch what has come
//! meanwhile.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::stores::{Durable, Store};

/// Callers at once: a small host's permits.
const CALLERS: u64 = 16;
/// How long the callers keep at it.
const LOAD: Duration = Duration::from_secs(8);
const BATCH_MAX: usize = 256;
/// A claim's value and a completion's, in bytes, as the ledger encodes them.
pub const CLAIM_BYTES: usize = 60;
pub const DONE_BYTES: usize = 80;

pub type Key = [u8; 32];

/// Every caller's waits, and how long all of it took.
pub struct Load {
    pub claims: Vec<Duration>,
    pub completes: Vec<Duration>,
    pub took: Duration,
}

struct Operation {
    key: Key,
    value: Vec<u8>,
    durable: bool,
    answer: SyncSender<()>,
}

/// The clock, in one place.
#[allow(clippy::disallowed_methods, reason = "real waits are what is measured here")]
pub fn now() -> Instant {
    Instant::now()
}

/// A key that looks as random as a digest does.
pub fn key(n: u64) -> Key {
    let mut key = [0; 32];
    for (i, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(&mix(n.wrapping_mul(4).wrapping_add(i as u64)).to_le_bytes());
    }
    key
}

/// A value that does not compress, as digests do not.
pub fn value(n: u64, bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8) as u64).flat_map(|i| mix(n ^ (i << 48)).to_le_bytes()).take(bytes).collect()
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Runs the load over a store that holds the first `entries` keys.
pub fn run(store: Box<dyn Store>, entries: u64) -> Load {
    let (operations, inbox) = sync_channel(1024);
    let writer = thread::spawn(move || write(store, &inbox));
    let start = now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let operations = operations.clone();
            thread::spawn(move || call(&operations, entries + caller * 1_000_000_000, start + LOAD))
        })
        .collect();
    drop(operations);
    let mut load = Load { claims: Vec::new(), completes: Vec::new(), took: Duration::ZERO };
    for caller in callers {
        let (claims, completes) = caller.join().expect("a caller does not panic");
        load.claims.extend(claims);
        load.completes.extend(completes);
    }
    load.took = start.elapsed();
    writer.join().expect("the writer does not panic");
    load
}

fn call(operations: &SyncSender<Operation>, first: u64, until: Instant) -> (Vec<Duration>, Vec<Duration>) {
    let (mut claims, mut completes) = (Vec::new(), Vec::new());
    let (answer, answered) = sync_channel(1);
    for n in first.. {
        if now() >= until {
            break;
        }
        for (durable, bytes, waits) in [(false, CLAIM_BYTES, &mut claims), (true, DONE_BYTES, &mut completes)] {
            let start = now();
            let operation = Operation { key: key(n), value: value(n, bytes), durable, answer: answer.clone() };
            operations.send(operation).expect("the writer outlives the callers");
            answered.recv().expect("the writer answers");
            waits.push(start.elapsed());
        }
    }
    (claims, completes)
}

/// One batch after the other. Each operation reads its key first, as the ledger does to decide.
fn write(mut store: Box<dyn Store>, inbox: &Receiver<Operation>) {
    let durable = store.durable();
    let (to_sync, syncs) = sync_channel::<Vec<Operation>>(64);
    let syncer = match durable {
        Durable::Beside(mut sync) => Some(thread::spawn(move || {
            while let Ok(mut batch) = syncs.recv() {
                batch.extend(syncs.try_iter().flatten());
                sync();
                answer(batch);
            }
        })),
        Durable::InCommit => None,
    };
    while let Ok(first) = inbox.recv() {
        let batch: Vec<Operation> = std::iter::once(first).chain(inbox.try_iter().take(BATCH_MAX - 1)).collect();
        for operation in &batch {
            store.get(&operation.key);
        }
        let writes: Vec<_> = batch.iter().map(|operation| (operation.key, operation.value.clone())).collect();
        let (durable, quick): (Vec<_>, Vec<_>) = batch.into_iter().partition(|operation| operation.durable);
        store.commit(&writes, syncer.is_none() && !durable.is_empty());
        answer(quick);
        if syncer.is_none() {
            answer(durable);
        } else if !durable.is_empty() {
            to_sync.send(durable).expect("the syncer outlives the writer");
        }
    }
    drop(to_sync);
    if let Some(syncer) = syncer {
        syncer.join().expect("the syncer does not panic");
    }
}

fn answer(batch: Vec<Operation>) {
    for operation in batch {
        operation.answer.send(()).expect("the caller waits for it");
    }
}
