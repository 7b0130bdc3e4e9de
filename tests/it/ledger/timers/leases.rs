//! The cases of leases and fences: who may change a timer, and until when.

use std::time::Duration;

use wasq_core::clock;
use wasq_ledgers::Fence;
use wasq_ledgers::timers::{Cancelled, When};

use super::{
    FAR, Hosts, assert_stale, cancel, done, get, id, past, set, soon, take, take_none, take_one, timer, update,
};
use crate::ledger::contract::{ENDED, LONG};

/// A lease that a test waits for.
const SHORT: Duration = Duration::from_secs(2);

pub async fn a_lease_that_ends_gives_the_timer_back(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    let mut last = Fence(0);
    for host in [one, other, one] {
        let taken = take_one(&**host, ENDED).await;
        assert!(taken.fence > last, "a fence grows");
        last = taken.fence;
    }
    assert_eq!(get(&**other, "a").await.and_then(|timer| timer.fence), Some(last), "it waits again");
    assert!(
        done(&**one, &id("a"), last).await.expect("nobody else has taken it"),
        "its lease has ended, and it is done"
    );
    take_none(&**other).await;
}

pub async fn a_lease_holds_until_it_ends_for_the_other_host_too(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    let begun = clock::now();
    let first = take_one(&**one, SHORT).await;
    let taken = soon("the lease ends", async || take(&**other, LONG, 10).await.taken.pop()).await;
    let lasted = begun.elapsed();
    assert!(lasted > SHORT.mul_f32(0.9), "{lasted:?}");
    assert_stale(done(&**one, &id("a"), first.fence).await);
    assert!(done(&**other, &id("a"), taken.fence).await.expect("it is ours"));
}

pub async fn a_stale_fence_changes_nothing(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    let stale = take_one(&**one, ENDED).await.fence;
    let fence = take_one(&**other, LONG).await.fence;
    assert_stale(done(&**one, &id("a"), stale).await);
    assert_stale(update(&**one, "a", stale, When::NOW, Some("late")).await);
    take_none(&**one).await;
    assert!(update(&**other, "a", fence, past(2), None).await.expect("it is ours"));
    assert_stale(update(&**other, "a", fence, FAR, None).await);
    let taken = take_one(&**one, LONG).await;
    assert_eq!(&taken.message[..], b"message of a");
    // An id that is free again has no fence of before.
    assert!(done(&**one, &id("a"), taken.fence).await.expect("it is ours"));
    set(&**one, vec![timer("a", FAR)]).await;
    for before in [stale, fence, taken.fence] {
        assert_stale(done(&**one, &id("a"), before).await);
    }
}

pub async fn what_is_cancelled_is_not_sent(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("due", past(1)), timer("later", FAR), timer("stays", past(2))]).await;
    assert_eq!(cancel(&**other, "due").await, Cancelled::Waiting);
    assert_eq!(cancel(&**other, "later").await, Cancelled::Waiting);
    assert_eq!(cancel(&**one, "due").await, Cancelled::Gone);
    assert_eq!(take_one(&**one, LONG).await.id, id("stays"));
}

pub async fn what_is_cancelled_in_a_hosts_hand_is_not_sent_again(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1)), timer("b", past(2))]).await;
    let taken = take(&**one, LONG, 10).await.taken;
    assert_eq!(cancel(&**other, "a").await, Cancelled::Taken);
    assert!(!done(&**one, &id("a"), taken[0].fence).await.expect("it is gone"));
    assert!(!update(&**one, "a", taken[0].fence, When::NOW, None).await.expect("it is gone"));
    assert!(update(&**one, "b", taken[1].fence, FAR, None).await.expect("it is ours"));
    assert_eq!(cancel(&**other, "b").await, Cancelled::Waiting, "it was given back");
    take_none(&**other).await;
}

pub async fn a_timer_can_be_put_off_and_brought_forward(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    let taken = take_one(&**one, LONG).await;
    assert!(update(&**one, "a", taken.fence, FAR, None).await.expect("it is ours"), "put off");
    take_none(&**other).await;
    let waits = get(&**other, "a").await.expect("it is there");
    assert_eq!((When::At(waits.due), &waits.message[..]), (FAR, &b"message of a"[..]));
    let fence = waits.fence.expect("it waits");
    assert!(update(&**other, "a", fence, When::NOW, Some("an answer")).await.expect("it waits"), "brought forward");
    // DynamoDB's time is known to the second.
    let taken = soon("it is due", async || take(&**one, LONG, 10).await.taken.pop()).await;
    assert_eq!((&taken.message[..], taken.queue.as_str()), (&b"an answer"[..], "mail"));
    assert!(done(&**one, &id("a"), taken.fence).await.expect("it is ours"));
}

pub async fn of_two_answers_one_counts(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    for round in 0..5 {
        let name = format!("{round}");
        set(&**one, vec![timer(&name, FAR)]).await;
        let fence = get(&**one, &name).await.and_then(|timer| timer.fence).expect("it waits");
        let (first, second) = tokio::join!(
            update(&**one, &name, fence, past(1), Some("first")),
            update(&**other, &name, fence, past(1), Some("second")),
        );
        let expect = match (first, second) {
            (Ok(true), second) => {
                assert_stale(second);
                "first"
            }
            (first, Ok(true)) => {
                assert_stale(first);
                "second"
            }
            both => panic!("one counts, and not {both:?}"),
        };
        let taken = take_one(&**other, LONG).await;
        assert_eq!(&taken.message[..], expect.as_bytes());
        assert!(done(&**other, &taken.id, taken.fence).await.expect("it is ours"));
    }
}

pub async fn a_timer_in_a_hosts_hand_is_nobody_elses_to_change(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    let before = get(&**other, "a").await.and_then(|timer| timer.fence).expect("it waits");
    let taken = take_one(&**one, LONG).await;
    let seen = get(&**other, "a").await.expect("it is there");
    assert_eq!((seen.fence, &seen.message[..]), (None, &b"message of a"[..]));
    assert_stale(update(&**other, "a", before, When::NOW, Some("too late")).await);
    assert!(done(&**one, &id("a"), taken.fence).await.expect("it is ours"));
}
