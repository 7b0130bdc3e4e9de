//! The cases that the timers of every store pass, with two hosts.
//!
//! A case takes two handles of one store and has a service of its own, so that cases may share a
//! store. Few cases wait: a lease of no length has ended when it begins, and what was due before is
//! due now.

mod damaged;
mod dynamodb;
mod leases;
mod lists;
mod many;
mod model;
mod outage;
mod values;

use std::sync::Arc;
use std::time::Duration;

use wasq_core::message::UnixMs;
use wasq_ledgers::timers::{Cancelled, Due, NewTimer, Set, Taken, Timer, TimerId, Timers, Update, When};
use wasq_ledgers::{Fence, Ledger, LedgerError};

use super::contract::{LONG, new_key};
use super::two_hosts::TwoHosts;

pub use leases::*;
pub use lists::*;
pub use model::*;
pub use values::*;

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Two hosts' ways to one store, and what has to outlive them.
pub struct Hosts {
    one: Arc<dyn Timers>,
    other: Arc<dyn Timers>,
    /// Of another service in the same store.
    stranger: Arc<dyn Timers>,
    service: String,
    _kept: Option<tempfile::TempDir>,
}

impl Hosts {
    fn new(TwoHosts { one, other, kept }: TwoHosts) -> Self {
        let (service, another) = (new_key().to_hex(), new_key().to_hex());
        let timers = |ledger: &Arc<dyn Ledger>, service: &str| ledger.timers(service).expect("it keeps timers");
        let (one, other, stranger) = (timers(&one, &service), timers(&other, &service), timers(&one, &another));
        Self { one, other, stranger, service, _kept: kept }
    }
}

/// Makes a module with a test of each case for each store. moto looks through its whole table at
/// each query, which all tests share: what asks very often is not for it.
macro_rules! timer_contract {
    ($($case:ident)*; not_on_moto: $($long:ident)*) => {
        timer_contract! { @store contract_of_local, local; $($case)* $($long)* }
        timer_contract! { @store contract_of_redis, redis; $($case)* $($long)* }
        timer_contract! { @store contract_of_postgres, postgres; $($case)* $($long)* }
        timer_contract! { @store contract_of_dynamodb_on_moto, moto; $($case)* }
        timer_contract! { @store contract_of_dynamodb_on_dynalite, dynalite; $($case)* $($long)* }
    };
    (@store $store:ident, $open:ident; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let hosts = super::Hosts::new(super::TwoHosts::$open().await);
                    super::$case(&hosts).await;
                })
                .await;
            }
        )*}
    };
}

timer_contract! {
    what_is_due_is_taken_once_and_gone_when_it_is_done
    what_is_not_due_waits
    a_timer_that_is_set_twice_is_one
    each_timer_is_taken_by_one_of_two_hosts
    what_is_due_longest_is_taken_first
    a_lease_that_ends_gives_the_timer_back
    a_lease_holds_until_it_ends_for_the_other_host_too
    a_stale_fence_changes_nothing
    what_is_cancelled_is_not_sent
    what_is_cancelled_in_a_hosts_hand_is_not_sent_again
    a_timer_can_be_put_off_and_brought_forward
    of_two_answers_one_counts
    a_timer_in_a_hosts_hand_is_nobody_elses_to_change
    what_is_gone_is_no_error
    ids_and_queues_and_messages_of_any_kind
    what_is_too_large_is_refused_alone
    no_more_is_taken_than_was_asked_for
    messages_of_a_megabyte_are_taken_some_at_a_time
    services_do_not_touch_each_other
    a_list_has_all_timers_page_by_page
    counts_say_what_waits_and_what_is_overdue
    ;
    not_on_moto:
    it_decides_as_the_timetable_does
}

/// A moment that has passed: which of them.
fn past(n: u64) -> When {
    When::At(UnixMs(1_000_000 + n))
}

/// In many years.
const FAR: When = When::At(UnixMs(32_503_680_000_000));

fn id(text: &str) -> TimerId {
    TimerId(text.to_owned())
}

fn timer(name: &str, due: When) -> NewTimer {
    NewTimer { id: id(name), due, queue: "mail".into(), message: format!("message of {name}").into() }
}

async fn set(timers: &dyn Timers, all: Vec<NewTimer>) -> Vec<Set> {
    let answers = timers.set_batch(all).await.into_iter();
    answers.collect::<Result<_, _>>().expect("the store answers")
}

async fn take(timers: &dyn Timers, lease: Duration, max: usize) -> Due {
    let due = timers.take_due(lease, max).await.expect("the store answers");
    assert!(due.damaged.is_empty(), "{:?}", due.damaged);
    due
}

/// Takes the one timer that is due.
async fn take_one(timers: &dyn Timers, lease: Duration) -> Taken {
    let mut due = take(timers, lease, 10).await;
    assert_eq!(due.taken.len(), 1, "{due:?}");
    due.taken.remove(0)
}

async fn take_none(timers: &dyn Timers) {
    let due = take(timers, LONG, 10).await;
    assert!(due.taken.is_empty(), "{due:?}");
}

async fn done(timers: &dyn Timers, name: &TimerId, fence: Fence) -> Result<bool, LedgerError> {
    timers.done_batch(&[(name.clone(), fence)]).await.remove(0)
}

async fn update(
    timers: &dyn Timers,
    name: &str,
    fence: Fence,
    due: When,
    message: Option<&str>,
) -> Result<bool, LedgerError> {
    let message = message.map(|text| text.to_owned().into());
    timers.update_batch(vec![Update { id: id(name), fence, due, message }]).await.remove(0)
}

async fn cancel(timers: &dyn Timers, name: &str) -> Cancelled {
    timers.cancel_batch(&[id(name)]).await.remove(0).expect("the store answers")
}

async fn get(timers: &dyn Timers, name: &str) -> Option<Timer> {
    timers.get(&id(name)).await.expect("the store answers")
}

fn assert_stale(answer: Result<bool, LedgerError>) {
    assert!(matches!(answer, Err(LedgerError::Stale)), "expected a refusal of the fence, got {answer:?}");
}

pub async fn what_is_due_is_taken_once_and_gone_when_it_is_done(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    assert_eq!(set(&**one, vec![timer("a", past(1))]).await, [Set::New]);
    let taken = take_one(&**other, LONG).await;
    let Taken { id: name, due, queue, message, .. } = &taken;
    assert_eq!((name, due, queue.as_str(), &message[..]), (&id("a"), &UnixMs(1_000_001), "mail", &b"message of a"[..]));
    take_none(&**one).await;
    take_none(&**other).await;
    assert!(done(&**other, name, taken.fence).await.expect("it is ours"));
    assert!(!done(&**other, name, taken.fence).await.expect("it is gone"), "it was said before");
    take_none(&**one).await;
    assert_eq!(get(&**one, "a").await, None);
    assert_eq!(set(&**one, vec![timer("a", past(1))]).await, [Set::New], "its id is free");
}

pub async fn what_is_not_due_waits(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    assert_eq!(take(&**one, LONG, 10).await.next_in, None, "nothing waits");
    let hour = Duration::from_secs(3_600);
    set(
        &**one,
        vec![timer("in years", FAR), timer("in an hour", When::In(hour)), timer("never", When::In(Duration::MAX))],
    )
    .await;
    let due = take(&**other, LONG, 10).await;
    assert!(due.taken.is_empty(), "{due:?}");
    let next_in = due.next_in.expect("something waits");
    assert!(next_in <= hour + Duration::from_secs(3) && next_in > hour / 2, "{next_in:?}");
    let in_an_hour = get(&**one, "in an hour").await.expect("it waits").due;
    let remaining = Duration::from_millis(in_an_hour.0 - due.now.0);
    assert!(remaining.abs_diff(next_in) < Duration::from_secs(3), "{remaining:?} and {next_in:?}");
    assert_eq!(get(&**other, "in years").await.map(|timer| When::At(timer.due)), Some(FAR));
}

pub async fn a_timer_that_is_set_twice_is_one(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    let again = || NewTimer { message: "another message".into(), ..timer("a", FAR) };
    assert_eq!(
        set(&**one, vec![timer("a", past(1)), again(), timer("b", FAR)]).await,
        [Set::New, Set::Exists, Set::New]
    );
    assert_eq!(set(&**other, vec![again(), timer("c", FAR)]).await, [Set::Exists, Set::New]);
    let taken = take_one(&**other, LONG).await;
    assert_eq!(&taken.message[..], b"message of a", "the first one stays");
    assert_eq!(set(&**one, vec![again()]).await, [Set::Exists], "in a host's hand, too");
}

pub async fn each_timer_is_taken_by_one_of_two_hosts(hosts: &Hosts) {
    const TIMERS: u64 = 60;
    let Hosts { one, other, .. } = hosts;
    set(&**one, (0..TIMERS).map(|n| timer(&n.to_string(), past(n))).collect()).await;
    let take_all = async |timers: &dyn Timers| {
        let mut taken = Vec::new();
        let mut idle = 0;
        while idle < 3 {
            let some = take(timers, LONG, 7).await.taken;
            idle = if some.is_empty() { idle + 1 } else { 0 };
            taken.extend(some);
        }
        taken
    };
    let (mut all, others) = tokio::join!(take_all(&**one), take_all(&**other));
    all.extend(others);
    let mut ids: Vec<_> = all.iter().map(|taken| taken.id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all.len(), ids.len()), (TIMERS as usize, TIMERS as usize));
    let ends: Vec<_> = all.into_iter().map(|taken| (taken.id, taken.fence)).collect();
    for answer in one.done_batch(&ends).await {
        assert!(answer.expect("whoever has the fence may say it"));
    }
}

pub async fn what_is_due_longest_is_taken_first(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(
        &**one,
        vec![timer("third", past(3)), timer("first", past(1)), timer("not yet", FAR), timer("second", past(2))],
    )
    .await;
    let names: Vec<_> = take(&**other, LONG, 10).await.taken.into_iter().map(|taken| taken.id.0).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

pub async fn what_is_gone_is_no_error(hosts: &Hosts) {
    let Hosts { one, .. } = hosts;
    assert!(!done(&**one, &id("never set"), Fence(1)).await.expect("the store answers"));
    assert!(!update(&**one, "never set", Fence(1), FAR, None).await.expect("the store answers"));
    assert_eq!(cancel(&**one, "never set").await, Cancelled::Gone);
    assert_eq!(get(&**one, "never set").await, None);
    assert!(one.set_batch(Vec::new()).await.is_empty());
    assert!(one.done_batch(&[]).await.is_empty());
    assert!(one.update_batch(Vec::new()).await.is_empty());
    assert!(one.cancel_batch(&[]).await.is_empty());
}

/// Waits for what has to come.
async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let comes = async {
        loop {
            match look().await {
                Some(found) => break found,
                None => tokio::time::sleep(LOOK).await,
            }
        }
    };
    tokio::time::timeout(SOON, comes).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}
