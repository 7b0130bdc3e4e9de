//! Leases on a clock that stands still until it is told, over a queue and a ledger that answer as
//! the test says.

mod store;

use bytes::Bytes;
use tokio::time::sleep;
use wasq_core::message::{Delivery, UnixMs};
use wasq_queues::Queue;

use self::store::{Reply, Store};
use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;
/// A tick is a second of it.
const VISIBILITY: Duration = Duration::from_secs(16);

fn key(number: u8) -> Key {
    Key([number; 32])
}

fn delivery(message: &str, receipt: &str) -> Delivery {
    Delivery {
        message_id: MessageId(message.into()),
        receipt: Receipt(receipt.into()),
        body: Bytes::new(),
        attributes: Default::default(),
        receive_count: 1,
        sent_at: UnixMs(0),
        enqueued_at: UnixMs(0),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: clock::now(),
    }
}

/// A keeper whose work is done in a task of this runtime.
struct Bench {
    keeper: Keeper,
    store: Arc<Store>,
    meters: Arc<QueueMeters>,
}

impl Bench {
    async fn new() -> Self {
        let meters = Arc::new(QueueMeters::default());
        let (keeper, renewals) = Keeper::new(VISIBILITY, meters.clone());
        let store = Arc::new(Store::new());
        tokio::spawn(renewals.run(store.clone(), store.clone()));
        // Half a second behind its ticks.
        sleep(MS(500)).await;
        Self { keeper, store, meters }
    }

    fn track(&self, message: &str) -> Lease {
        self.keeper.track(&delivery(message, message)).expect("it is not in hand")
    }

    /// A claim made now, under the fence 7.
    fn claim(&self, lease: &Lease, number: u8) {
        lease.add_claim(key(number), Fence(7), clock::now() + VISIBILITY);
    }

    fn losses(&self) -> u64 {
        self.meters.lease_losses.get()
    }
}

fn is_lost(lease: &Lease) -> bool {
    lease.lost().is_cancelled()
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_at_half_its_visibility_in_the_queue_and_in_the_ledger() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    bench.claim(&lease, 1);
    sleep(S(8)).await;
    assert_eq!((lease.remaining(), lease.is_over()), (S(8), false));
    sleep(S(100)).await;
    // At 0.5 s it began; the first tick at which half of it or less is left is at 9 s.
    let expect: Vec<_> = (1..=13).map(|turn| 1_000 + turn * 8_000).collect();
    assert_eq!(bench.store.times("a"), expect);
    assert_eq!(bench.store.times("claim 1 under 7"), expect);
    assert_eq!((bench.meters.lease_renewals.get(), bench.losses(), lease.is_over()), (13, 0, false));
    assert_eq!(lease.remaining(), S(12) + MS(500));
    drop(lease);
    sleep(S(100)).await;
    assert_eq!((bench.store.times("a").len(), bench.keeper.in_progress()), (13, 0), "it is kept as long as it is held");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_the_queue_knows_no_more_is_lost_at_once_and_counted_once() {
    let bench = Bench::new().await;
    let (lost, other) = (bench.track("a"), bench.track("b"));
    bench.store.answers("a", Reply::Lost);
    sleep(S(8)).await;
    assert!(!is_lost(&lost));
    sleep(S(1)).await;
    assert!(is_lost(&lost) && lost.is_over() && !is_lost(&other));
    sleep(S(100)).await;
    assert_eq!((bench.store.times("a").len(), bench.losses()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_renewals_fail_is_lost_when_it_ends_and_not_before() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    bench.store.answers("a", Reply::Fails);
    sleep(VISIBILITY).await;
    assert!(lease.is_over() && !is_lost(&lease), "it is over before the keeper sees it");
    sleep(S(1)).await;
    assert!(is_lost(&lease));
    let expect: Vec<_> = (9..=16).map(|second| second * 1_000).collect();
    assert_eq!((bench.store.times("a"), bench.losses()), (expect, 1), "it is tried at each tick");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_lost_or_ends_takes_its_lease_with_it() {
    let bench = Bench::new().await;
    let (lost, ended, fine) = (bench.track("a"), bench.track("b"), bench.track("c"));
    [&lost, &ended, &fine].into_iter().zip(1..).for_each(|(lease, number)| bench.claim(lease, number));
    bench.store.answers("claim 1 under 7", Reply::Lost);
    sleep(S(9)).await;
    assert!(is_lost(&lost) && !is_lost(&ended) && !is_lost(&fine));
    bench.store.answers("claim 2 under 7", Reply::Fails);
    fine.remove_claim(key(3));
    let before = clock::now();
    ended.lost().cancelled().await;
    // Its claim was extended at 9 s last.
    assert_eq!(clock::now() - before, S(15) + MS(500));
    sleep(S(100)).await;
    assert!(!is_lost(&fine) && !fine.is_over());
    assert_eq!(bench.store.times("claim 3 under 7"), [9_000], "a claim that is removed is not extended");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_being_finished_is_extended_and_its_loss_stops_nobody_else() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    (1..=2).for_each(|number| bench.claim(&lease, number));
    lease.finish_claim(key(1));
    sleep(S(9)).await;
    assert_eq!(bench.store.times("claim 1 under 7"), [9_000]);
    // The ledger has recorded its end; the answer is still on its way, for longer than the claim
    // held.
    bench.store.answers("claim 1 under 7", Reply::Lost);
    sleep(S(60)).await;
    assert!(!is_lost(&lease) && !lease.is_over());
    assert_eq!(bench.losses(), 0);
    // The other one is still what its guest runs under.
    bench.store.answers("claim 2 under 7", Reply::Lost);
    sleep(S(9)).await;
    assert!(is_lost(&lease));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_being_deleted_and_is_gone_is_no_loss() {
    let bench = Bench::new().await;
    let (deleted, kept) = (bench.track("a"), bench.track("b"));
    [&deleted, &kept].into_iter().for_each(Lease::begin_delete);
    bench.store.answers("a", Reply::Lost);
    sleep(S(100)).await;
    assert_eq!((is_lost(&deleted), is_lost(&kept), bench.losses()), (false, false, 0));
    assert_eq!(bench.store.times("a"), [9_000], "there is nothing to renew");
    assert_eq!(bench.store.times("b").len(), 12, "until its delete is confirmed it is kept");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_no_more_after_the_time_to_which_it_is_kept() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    lease.keep_until(clock::now() + S(16));
    sleep(S(26)).await;
    assert!(is_lost(&lease));
    assert_eq!(bench.store.times("a"), [9_000], "at 17 s it was kept no more");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_past_the_twelve_hours_that_sqs_allows() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    assert_eq!(lease.room(), VISIBILITY_MAX);
    sleep(VISIBILITY_MAX - S(10)).await;
    assert!(!is_lost(&lease));
    assert_eq!(lease.room(), S(10));
    sleep(S(10)).await;
    assert!(is_lost(&lease));
    let last = *bench.store.times("a").last().expect("it was renewed");
    assert!(MS(last) + VISIBILITY <= VISIBILITY_MAX + MS(500), "{last}");
    assert_eq!(lease.room(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_holds_back_no_other_and_is_given_up_in_time_for_another() {
    let bench = Bench::new().await;
    let hung = bench.track("hung");
    bench.store.answers("hung", Reply::Hangs);
    sleep(S(1)).await;
    let (other, claimed) = (bench.track("other"), bench.track("claimed"));
    bench.claim(&claimed, 1);
    bench.store.answers("claim 1 under 7", Reply::Hangs);
    sleep(S(1)).await;
    let late = bench.track("late");
    sleep(S(10)).await;
    assert_eq!(bench.store.times("other"), [10_000]);
    assert_eq!(bench.store.times("late"), [11_000]);
    bench.store.answers("hung", Reply::Ours);
    bench.store.answers("claim 1 under 7", Reply::Ours);
    sleep(S(20)).await;
    assert_eq!(bench.store.times("hung")[..2], [9_000, 13_000], "one call at a time, a quarter of it long");
    assert_eq!(bench.store.times("claim 1 under 7")[..2], [10_000, 14_000]);
    assert!([&hung, &other, &claimed, &late].into_iter().all(|lease| !is_lost(lease)));
}

#[tokio::test(start_paused = true)]
async fn more_leases_than_a_call_takes_are_renewed_in_several() {
    let bench = Bench::new().await;
    let leases: Vec<_> = (0..25).map(|number| bench.track(&format!("m{number:02}"))).collect();
    // In the batch of the first ten.
    bench.store.answers("m03", Reply::Hangs);
    sleep(S(9)).await;
    let renewed = leases.iter().filter(|lease| lease.remaining() > S(8)).count();
    assert_eq!((renewed, bench.keeper.in_progress()), (15, 25));
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_is_not_renewed_and_a_settlement_waits_for_a_renewal_under_way() {
    let bench = Bench::new().await;
    let (early, late) = (bench.track("a"), bench.track("b"));
    early.settle().await;
    bench.store.answers("b", Reply::Hangs);
    sleep(S(9)).await;
    let before = clock::now();
    late.settle().await;
    assert_eq!(clock::now() - before, S(3) + MS(500), "the call is given up at 13 s");
    sleep(S(100)).await;
    assert_eq!((bench.store.times("a").len(), bench.store.times("b").len()), (0, 1));
    assert_eq!((is_lost(&early), is_lost(&late), bench.losses()), (false, false, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_in_hand_that_comes_again_goes_on_with_the_newest_handle() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    assert_eq!(lease.receipt(), Receipt("a".into()));
    bench.store.answers("a", Reply::LostWhenTold);
    sleep(S(9)).await;
    // While its renewal is under way.
    assert!(bench.keeper.track(&delivery("a", "newer")).is_none());
    bench.store.told.notify_one();
    assert_eq!((lease.receipt(), lease.remaining()), (Receipt("newer".into()), VISIBILITY));
    sleep(S(10)).await;
    assert!(!is_lost(&lease), "the older handle is not what it is held by");
    assert_eq!(bench.store.times("newer").len(), 1);
    assert_eq!(bench.keeper.in_progress(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_visibility_has_ended_goes_on_when_it_comes_again_before_the_keeper_looks() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    bench.store.answers("a", Reply::Fails);
    sleep(VISIBILITY).await;
    assert!(bench.keeper.track(&delivery("a", "newer")).is_none());
    sleep(S(60)).await;
    assert!(!is_lost(&lease));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_has_a_lease_of_its_own_when_the_first_is_lost_or_settled() {
    let bench = Bench::new().await;
    let (lost, settled) = (bench.track("a"), bench.track("b"));
    bench.store.answers("a", Reply::Lost);
    sleep(S(9)).await;
    settled.settle().await;
    let again = bench.keeper.track(&delivery("a", "a2")).expect("nobody works on it any more");
    let next = bench.keeper.track(&delivery("b", "b2")).expect("it was put back");
    drop((lost, settled));
    assert_eq!(bench.keeper.in_progress(), 2, "what is over takes nothing with it");
    sleep(S(60)).await;
    assert_eq!((is_lost(&again), is_lost(&next), bench.losses()), (false, false, 1));
    assert_eq!((bench.store.times("a2").is_empty(), bench.store.times("b2").is_empty()), (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_stops_the_run_whose_claim_has_ended() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    lease.add_claim(key(1), Fence(7), clock::now());
    assert!(lease.is_over() && !is_lost(&lease), "the keeper has not looked yet");
    let again = bench.keeper.track(&delivery("a", "a2")).expect("its run is over");
    assert!(is_lost(&lease) && !is_lost(&again));
    assert_eq!(bench.losses(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_stops_no_run_whose_claim_holds() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    bench.claim(&lease, 1);
    assert!(bench.keeper.track(&delivery("a", "newer")).is_none());
    assert!(!is_lost(&lease) && bench.losses() == 0);
}

#[tokio::test(start_paused = true)]
async fn the_start_of_the_first_handler_is_remembered() {
    let bench = Bench::new().await;
    let lease = bench.track("a");
    assert_eq!(lease.started_at(), None);
    let first = clock::now();
    lease.start();
    sleep(S(1)).await;
    lease.start();
    assert_eq!(lease.started_at(), Some(first));
}

#[tokio::test]
async fn a_keeper_that_is_stopped_or_dropped_ends_its_thread() {
    for stops in [true, false] {
        let store = Arc::new(Store::new());
        let queue: Arc<dyn Queue> = store.clone();
        let keeper = Keeper::start(|| async { queue }, VISIBILITY, store.clone(), Arc::default());
        let lease = keeper.track(&delivery("a", "a"));
        if stops {
            keeper.stop().await;
            assert_eq!(keeper.in_progress(), 1, "what is held stays so");
        } else {
            drop(keeper);
        }
        drop(lease);
        assert_eq!(Arc::strong_count(&store), 1, "stopped: {stops}");
    }
}
