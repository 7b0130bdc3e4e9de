//! The cases of what people see, and of services side by side.

use std::collections::BTreeSet;

use wasq_ledgers::timers::{Cancelled, Counts, LIST_MAX, Set, TimerId};

use super::{FAR, Hosts, cancel, done, get, id, past, set, take, take_none, take_one, timer};
use crate::ledger::contract::LONG;

pub async fn services_do_not_touch_each_other(hosts: &Hosts) {
    let Hosts { one, other, stranger, .. } = hosts;
    set(&**one, vec![timer("a", past(1))]).await;
    take_none(&**stranger).await;
    assert_eq!(get(&**stranger, "a").await, None);
    assert_eq!(cancel(&**stranger, "a").await, Cancelled::Gone);
    assert_eq!(set(&**stranger, vec![timer("a", past(2))]).await, [Set::New]);
    let (theirs, ours) = (take_one(&**stranger, LONG).await, take_one(&**other, LONG).await);
    assert!(done(&**stranger, &id("a"), theirs.fence).await.expect("it is theirs"));
    assert!(get(&**one, "a").await.is_some());
    assert!(done(&**one, &id("a"), ours.fence).await.expect("it is ours"));
}

pub async fn a_list_has_all_timers_page_by_page(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    assert_eq!(one.list(10, None).await.expect("the store answers"), Default::default());
    // Many of one moment, and some of others.
    let names: Vec<_> = (0..23).map(|n| format!("{n} \u{e4}{}", n % 3)).collect();
    let timers =
        names.iter().enumerate().map(|(n, name)| timer(name, if n % 2 == 0 { past(7) } else { past(n as u64) }));
    set(&**one, timers.collect()).await;
    set(&**one, vec![timer("last", FAR)]).await;
    let (mut seen, mut place, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = other.list(5, place.as_ref()).await.expect("the store answers");
        assert!(page.timers.len() <= 5);
        seen.extend(page.timers);
        pages += 1;
        match page.next {
            // It goes out to a caller, and comes back.
            Some(next) => place = Some(next.to_string().parse().expect("it is a place")),
            None => break,
        }
    }
    assert_eq!((pages, seen.len()), (5, 24));
    assert!(seen.is_sorted_by_key(|timer| timer.due), "{seen:?}");
    assert_eq!(seen.last().map(|timer| &timer.id), Some(&id("last")));
    let ids: BTreeSet<TimerId> = seen.iter().map(|timer| timer.id.clone()).collect();
    assert_eq!(ids.len(), 24);
    let first = &seen[0];
    assert_eq!(
        (first.queue.as_str(), first.bytes, first.is_taken),
        ("mail", format!("message of {}", first.id).len(), false)
    );

    let taken: BTreeSet<_> = take(&**one, LONG, 4).await.taken.into_iter().map(|taken| taken.id).collect();
    let all = other.list(LIST_MAX + 1, None).await.expect("the store answers");
    assert_eq!((all.timers.len(), all.next), (24, None));
    let shown: BTreeSet<_> = all.timers.into_iter().filter(|timer| timer.is_taken).map(|timer| timer.id).collect();
    assert_eq!((shown.len(), shown), (4, taken));
}

pub async fn counts_say_what_waits_and_what_is_overdue(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    let check = async |all, overdue| {
        let counts = other.counts().await.expect("the store answers");
        assert_eq!(counts, Counts { all, overdue, is_at_least: false });
    };
    check(0, 0).await;
    set(&**one, (0..5).map(|n| timer(&n.to_string(), past(n))).chain([timer("later", FAR)]).collect()).await;
    check(6, 5).await;
    let taken = take(&**one, LONG, 2).await.taken;
    check(6, 3).await;
    assert!(done(&**one, &taken[0].id, taken[0].fence).await.expect("it is ours"));
    check(5, 3).await;
    cancel(&**one, "later").await;
    check(4, 3).await;
}
