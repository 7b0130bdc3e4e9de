//! The cases that every store passes that many hosts share. Each takes two handles of one store.
//!
//! One of them waits for a lease to end by the server's clock; the others do not wait.

use std::sync::Arc;
use std::time::Duration;

use wasq_core::message::{Key, MessageId, UnixMs};
use wasq_ledgers::{Claim, ClaimRequest, Completion, Fence, Finish, Fresh, Ledger, LedgerError};

use super::{
    ENDED, LONG, assert_stale, claim, completion, dead_lettered, done, extend, finish, fresh, new_key, request,
};

/// As [`super::contract`], for a store that many hosts share. `$open` gives two handles of one
/// store, and what has to outlive them.
macro_rules! shared_contract {
    ($store:ident, $open:path) => {
        $crate::ledger::contract::shared_contract! { $store, $open;
            one_of_two_hosts_wins
            many_claims_of_two_hosts_win_once
            batches_of_two_hosts_in_any_order_win_each_key_once
            a_lease_ends_for_the_other_host_too
            an_extension_holds_for_the_other_host_too
            what_one_host_has_done_is_done_for_the_other
            of_racing_finishes_one_is_recorded
            of_racing_claims_each_counts
            of_racing_completions_one_is_recorded
            no_step_is_written_behind_a_newer_claim
            it_decides_as_the_local_store_does
        }
    };
    ($store:ident, $open:path; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let (one, other, _kept) = $open().await;
                    $crate::ledger::contract::shared::$case(one, other).await;
                })
                .await;
            }
        )*}
    };
}
pub(crate) use shared_contract;

type Shared = Arc<dyn Ledger>;

/// A lease that a test waits for.
const SHORT: Duration = Duration::from_secs(6);
/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

pub async fn one_of_two_hosts_wins(one: Shared, other: Shared) {
    for _ in 0..20 {
        let key = new_key();
        let (first, second) = tokio::join!(claim(&*one, key, LONG), claim(&*other, key, LONG));
        match (&first, &second) {
            (Claim::Fresh(_), Claim::Busy { .. }) | (Claim::Busy { .. }, Claim::Fresh(_)) => {}
            _ => panic!("one host wins, and not {first:?} and {second:?}"),
        }
    }
}

pub async fn many_claims_of_two_hosts_win_once(one: Shared, other: Shared) {
    let key = new_key();
    let mut claims = tokio::task::JoinSet::new();
    for host in [one, other].iter().cycle().take(64) {
        let host = host.clone();
        claims.spawn(async move { claim(&*host, key, LONG).await });
    }
    let answers = claims.join_all().await;
    let won = answers.iter().filter(|answer| matches!(answer, Claim::Fresh(_))).count();
    let busy = answers.iter().filter(|answer| matches!(answer, Claim::Busy { .. })).count();
    assert_eq!((won, busy), (1, 63), "{answers:?}");
}

/// No two hosts wait for each other, whatever the order in which they name the keys.
pub async fn batches_of_two_hosts_in_any_order_win_each_key_once(one: Shared, other: Shared) {
    for round in 0..10 {
        let keys: Vec<Key> = (0..10).map(|_| new_key()).collect();
        // Some are there before.
        for key in keys.iter().skip(round % 3).step_by(3) {
            fresh(&*one, *key, ENDED).await;
        }
        let mut claims: Vec<_> = keys.iter().map(|key| (*key, request("body", "message", LONG))).collect();
        let forth = claims.clone();
        claims.reverse();
        let (first, mut second) = tokio::join!(one.claim_batch(&forth), other.claim_batch(&claims));
        second.reverse();
        let mut ours = [Vec::new(), Vec::new()];
        for ((key, first), second) in keys.iter().zip(first).zip(second) {
            match (first.expect("it answers"), second.expect("it answers")) {
                (Claim::Fresh(fresh), Claim::Busy { .. }) => ours[0].push((*key, fresh.fence)),
                (Claim::Busy { .. }, Claim::Fresh(fresh)) => ours[1].push((*key, fresh.fence)),
                both => panic!("one host wins, and not {both:?}"),
            }
        }
        let ends = |claims: &[(Key, Fence)]| claims.iter().map(|(key, fence)| (*key, *fence, done(LONG))).collect();
        let (extended, ended) = tokio::join!(one.extend(&ours[0], LONG), other.finish_batch(ends(&ours[1])));
        assert!(extended.iter().all(|answer| matches!(answer, Ok(true))), "{extended:?}");
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    }
}

pub async fn a_lease_ends_for_the_other_host_too(one: Shared, other: Shared) {
    let key = new_key();
    let begun = wasq_core::clock::now();
    let first = fresh(&*one, key, SHORT).await;
    let Claim::Busy { remaining } = claim(&*other, key, LONG).await else { panic!("the key is held") };
    assert!(remaining <= SHORT, "{remaining:?}");
    let taken = tokio::time::timeout(SOON, async {
        loop {
            match claim(&*other, key, LONG).await {
                Claim::Fresh(taken) => break taken,
                Claim::Busy { .. } => tokio::time::sleep(LOOK).await,
                answer => panic!("the lease is held or has ended, and not {answer:?}"),
            }
        }
    });
    let taken = taken.await.expect("the lease ends");
    // The server's clock may go a little faster than this machine's.
    assert!(begun.elapsed() > SHORT.mul_f32(0.9), "{:?}", begun.elapsed());
    assert_eq!((taken.attempt, taken.crashes), (2, 1));
    assert!(taken.fence > first.fence);
    assert_stale(one.finish(key, first.fence, done(LONG)).await);
    assert_stale(one.put_step(key, first.fence, "step", b"late").await);
    assert_stale(one.get_step(key, first.fence, "step").await);
    assert_eq!(extend(&*one, &[(key, first.fence)], LONG).await, [false]);
    finish(&*other, key, taken.fence, done(LONG)).await;
}

pub async fn an_extension_holds_for_the_other_host_too(one: Shared, other: Shared) {
    let key = new_key();
    let fence = fresh(&*one, key, ENDED).await.fence;
    assert_eq!(extend(&*one, &[(key, fence)], LONG).await, [true]);
    assert!(matches!(claim(&*other, key, LONG).await, Claim::Busy { .. }));
}

pub async fn what_one_host_has_done_is_done_for_the_other(one: Shared, other: Shared) {
    let key = new_key();
    let fence = fresh(&*one, key, LONG).await.fence;
    one.put_step(key, fence, "charge", b"receipt").await.expect("ours");
    assert_eq!(other.get_step(key, fence, "charge").await.expect("ours").as_deref(), Some(&b"receipt"[..]));
    finish(&*one, key, fence, done(LONG)).await;
    assert_eq!(claim(&*other, key, LONG).await, Claim::Done { same_message: true });
    let letter = new_key().to_hex();
    one.put_envelope(&letter, b"{}", LONG).await.expect("the store answers");
    assert_eq!(other.get_envelope(&letter).await.expect("the store answers").as_deref(), Some(&b"{}"[..]));
}

pub async fn of_racing_finishes_one_is_recorded(one: Shared, other: Shared) {
    for _ in 0..5 {
        let key = new_key();
        let fence = fresh(&*one, key, LONG).await.fence;
        let mut finishes = tokio::task::JoinSet::new();
        for (i, host) in [&one, &other].into_iter().cycle().take(16).enumerate() {
            let (host, as_done) = (host.clone(), i % 4 < 2);
            let ends = if as_done { done(LONG) } else { dead_lettered("message", LONG) };
            finishes.spawn(async move { (as_done, host.finish(key, fence, ends).await) });
        }
        let outcomes = finishes.join_all().await;
        let recorded = match claim(&*other, key, LONG).await {
            Claim::Done { .. } => true,
            Claim::DeadLettered => false,
            answer => panic!("it is done or dead-lettered, and not {answer:?}"),
        };
        for (as_done, outcome) in outcomes {
            match outcome {
                Ok(()) => assert_eq!(as_done, recorded, "what is answered with success is what is recorded"),
                Err(LedgerError::Stale) => assert_ne!(as_done, recorded, "the same may be said twice"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub async fn of_racing_completions_one_is_recorded(one: Shared, other: Shared) {
    for _ in 0..5 {
        let keys: Vec<_> = (0..10).map(|_| new_key()).collect();
        let mut completions = tokio::task::JoinSet::new();
        for (turn, host) in [&one, &other].into_iter().cycle().take(8).enumerate() {
            // In any order, so that none waits for another that waits for it.
            let (host, mut keys) = (host.clone(), keys.clone());
            keys.rotate_left(turn);
            let all = keys.into_iter().map(|key| (key, completion(LONG))).collect();
            completions.spawn(async move { host.complete_batch(all).await });
        }
        let answers: Vec<_> = completions.join_all().await.into_iter().flatten().collect();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        for key in keys {
            assert_eq!(claim(&*other, key, LONG).await, Claim::Done { same_message: true });
        }
    }
}

pub async fn of_racing_claims_each_counts(one: Shared, other: Shared) {
    const CLAIMS: u32 = 200;
    let key = new_key();
    let mut claims = tokio::task::JoinSet::new();
    for host in [one, other].iter().cycle().take(16) {
        let host = host.clone();
        claims.spawn(async move {
            let mut won = Vec::new();
            for _ in 0..CLAIMS / 16 {
                won.push(insist(&*host, key).await);
            }
            won
        });
    }
    let mut won: Vec<Fresh> = claims.join_all().await.into_iter().flatten().collect();
    won.sort_unstable_by_key(|claim| claim.attempt);
    for (n, claim) in (1..).zip(&won) {
        assert_eq!(
            (claim.attempt, claim.crashes),
            (n, n - 1),
            "each claim counts once, and the one before it as a crash"
        );
    }
    assert!(won.is_sorted_by(|a, b| a.fence < b.fence), "a later claim has a higher fence: {won:?}");
}

/// A claim that has ended at once. A store that compares and swaps may give up a race; nothing is
/// counted then.
async fn insist(ledger: &dyn Ledger, key: Key) -> Fresh {
    loop {
        match ledger.claim(key, &request("body", "message", ENDED)).await {
            Ok(Claim::Fresh(fresh)) => return fresh,
            Err(LedgerError::Unavailable(_)) => {}
            other => panic!("expected a fresh claim, got {other:?}"),
        }
    }
}

pub async fn no_step_is_written_behind_a_newer_claim(one: Shared, other: Shared) {
    for _ in 0..5 {
        let key = new_key();
        let stale = fresh(&*one, key, ENDED).await.fence;
        let mut steps = tokio::task::JoinSet::new();
        for n in 0..32_u8 {
            let one = one.clone();
            steps.spawn(async move { one.put_step(key, stale, "step", &[n]).await });
        }
        // Somewhere among them.
        tokio::task::yield_now().await;
        let ours = fresh(&*other, key, LONG).await.fence;
        let seen = other.get_step(key, ours, "step").await.expect("ours");
        let outcomes = steps.join_all().await;
        let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(written > 0, seen.is_some(), "{outcomes:?}");
        assert_eq!(other.get_step(key, ours, "step").await.expect("ours"), seen, "nothing came after the claim");
    }
}

/// The same operations on a key, of which nobody chose the order, get the same answers from this
/// store as from the local one, which decides by the functions in `entry.rs`.
pub async fn it_decides_as_the_local_store_does(one: Shared, other: Shared) {
    const SEQUENCES: u64 = 60;
    const OPERATIONS: u32 = 25;
    // A server's time is known within bounds, which an answer may move: what ends at this very
    // moment may have ended here and not there. That is seen now and then, and no other difference
    // ever.
    const UNDECIDED_MAX: u32 = 3;
    let mut undecided = 0;
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let local = wasq_ledgers::local::LocalLedger::open(dir.path()).expect("the local ledger opens");
    for seed in 0..SEQUENCES {
        let mut choose = fastrand::Rng::with_seed(seed);
        let (key, mut told, mut ends_at_once) = (new_key(), Vec::new(), false);
        // Fences in the order in which they were given out: here, and there.
        let mut fences = vec![(Fence(1), Fence(1))];
        for _ in 0..OPERATIONS {
            let shared = if choose.bool() { &one } else { &other };
            let &(theirs, ours) = &fences[fences.len() - 1 - choose.usize(..fences.len().min(2))];
            let operation = Operation::chosen(&mut choose);
            told.push(format!("{operation:?} {ours:?}"));
            let (expected, mine) = operation.on(&local, key, ours).await;
            let (answered, given) = operation.on(&**shared, key, theirs).await;
            if answered != expected && ends_at_once && undecided < UNDECIDED_MAX {
                undecided += 1;
                break;
            }
            assert_eq!(answered, expected, "seed {seed}: {told:#?}");
            ends_at_once |= operation.ends_at_once();
            fences.extend(given.zip(mine));
        }
    }
}

/// Something to do to a key.
#[derive(Clone, Debug)]
enum Operation {
    Claim(ClaimRequest),
    Extend(Duration),
    Finish(Finish),
    Complete(Completion),
    PutStep(u8),
    GetStep,
}

impl Operation {
    fn chosen(choose: &mut fastrand::Rng) -> Self {
        let span = if choose.u8(..4) == 0 { ENDED } else { LONG };
        let lease = if choose.bool() { ENDED } else { LONG };
        match choose.u8(..13) {
            0..5 => {
                let body = ["body", "body", "body", "another body"][choose.usize(..4)];
                let request = request(body, ["message", "another message"][choose.usize(..2)], lease);
                Self::Claim(ClaimRequest { is_redelivery: choose.bool(), ..request })
            }
            5 => Self::Extend(lease),
            6 => Self::Finish(Finish::Done {
                result: choose.bool().then(|| b"result".to_vec()),
                discarded: choose.bool(),
                ttl: span,
            }),
            7 => Self::Finish(Finish::Failed { at: UnixMs(choose.u64(1..1_000)) }),
            8 => Self::Finish(Finish::Released { ran: true }),
            9 => Self::Finish(dead_lettered(["message", "another message"][choose.usize(..2)], span)),
            10 => Self::Complete(Completion {
                message_id: MessageId(["message", "another message"][choose.usize(..2)].into()),
                ..completion(span)
            }),
            11 => Self::PutStep(choose.u8(..)),
            _ => Self::GetStep,
        }
    }

    /// Whether a lease or an entry is over as soon as it is there.
    fn ends_at_once(&self) -> bool {
        match self {
            Self::Claim(ClaimRequest { lease, .. }) | Self::Extend(lease) => *lease == ENDED,
            Self::Finish(Finish::Done { ttl, .. } | Finish::DeadLettered { ttl, .. })
            | Self::Complete(Completion { ttl, .. }) => *ttl == ENDED,
            Self::Finish(Finish::Failed { .. } | Finish::Released { .. }) | Self::PutStep(_) | Self::GetStep => false,
        }
    }

    /// What it answers, without what differs from store to store: the time that is left, and the
    /// fence, which stands beside.
    async fn on(&self, ledger: &dyn Ledger, key: Key, fence: Fence) -> (String, Option<Fence>) {
        let answer = match self {
            Self::Claim(request) => match ledger.claim(key, request).await {
                Ok(Claim::Fresh(fresh)) => {
                    return (format!("{:?}", Fresh { fence: Fence(0), ..fresh.clone() }), Some(fresh.fence));
                }
                Ok(Claim::Busy { .. }) => "busy".into(),
                answer => format!("{answer:?}"),
            },
            Self::Extend(lease) => format!("{:?}", ledger.extend(&[(key, fence)], *lease).await),
            Self::Finish(finish) => format!("{:?}", ledger.finish(key, fence, finish.clone()).await),
            Self::Complete(completion) => format!("{:?}", ledger.complete_batch(vec![(key, completion.clone())]).await),
            Self::PutStep(value) => format!("{:?}", ledger.put_step(key, fence, "step", &[*value]).await),
            Self::GetStep => format!("{:?}", ledger.get_step(key, fence, "step").await),
        };
        (answer, None)
    }
}
