use futures::FutureExt;

use super::*;

fn auto(min: usize, max: usize) -> QueueLimit {
    QueueLimit::new(Concurrency::Auto { min, max }, None)
}

async fn pass(limit: &QueueLimit, took: std::time::Duration, exit: &Exit) {
    for _ in 0..32 {
        let run = limit.start("a").expect("it goes by what runs take");
        tokio::time::advance(took).await;
        run.ended(exit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_looks_at_no_run() {
    let limit = QueueLimit::new(Concurrency::Fixed(3), None);
    assert!(limit.start("a").is_none());
    assert_eq!((limit.limit(), limit.permits().available_permits()), (3, 3));
    assert!(limit.status("jobs", 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn permits_in_use_go_when_they_come_free_and_no_poller_takes_them_before() {
    let limit = auto(2, 16);
    let mut held = limit.permits().clone().acquire_many_owned(16).await.expect("they are there");
    let poller = limit.permits().clone().acquire_owned();
    let unavailable = Exit::Unavailable { dependency: "db".into(), reason: "busy".into(), after: None };
    pass(&limit, std::time::Duration::from_millis(50), &unavailable).await;
    let lower = limit.limit();
    assert!(lower < 16, "{lower}");
    // What takes the permits away has its place in the line now.
    tokio::task::yield_now().await;
    let mut poller = Box::pin(poller);
    assert!((&mut poller).now_or_never().is_none());
    drop(held.split(16 - lower));
    tokio::task::yield_now().await;
    assert!((&mut poller).now_or_never().is_none(), "those are gone");
    drop(held.split(1));
    tokio::task::yield_now().await;
    assert!(poller.now_or_never().is_some());
    drop(held);
    tokio::task::yield_now().await;
    assert_eq!(limit.permits().available_permits(), lower);
}

#[tokio::test(start_paused = true)]
async fn more_permits_are_there_at_once() {
    let limit = auto(2, 64);
    let held = limit.permits().clone().acquire_many_owned(16).await.expect("they are there");
    pass(&limit, std::time::Duration::from_millis(50), &Exit::Done { result: None }).await;
    assert_eq!((limit.limit(), limit.permits().available_permits()), (20, 4));
    drop(held);
    let status = limit.status("jobs", 7).expect("it changes");
    assert_eq!((status.limit, status.min, status.max, status.in_hand), (20, 2, 64, 7));
}
