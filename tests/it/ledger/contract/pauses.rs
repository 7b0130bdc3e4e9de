//! Pauses of a service.

use super::*;

/// Pauses by their targets.
async fn pauses(ledger: &dyn Ledger, service: &str) -> Vec<Pause> {
    let mut all = ledger.pauses(service).await.expect("the store answers");
    all.sort_by(|a, b| a.target.cmp(&b.target));
    all
}

pub async fn pauses_are_kept_until_they_are_removed(ledger: Shared) {
    let (service, other) = (new_key().to_hex(), new_key().to_hex());
    assert_eq!(pauses(&*ledger, &service).await, []);
    let pause = |target: &str, until| {
        Pause::new(target.parse().expect("a target"), "ada", UnixMs(1_000), until).expect("a pause")
    };
    // What has passed is told too: whoever asks knows the time.
    let (kind, queue) = (pause("type:a 'b' \u{1f9fe}:#/\0", Some(UnixMs(1_001))), pause("queue:jobs.fifo", None));
    for pause in [&kind, &queue] {
        ledger.put_pause(&service, pause).await.expect("the store answers");
    }
    ledger.put_pause(&other, &queue).await.expect("the store answers");
    assert_eq!(pauses(&*ledger, &service).await, [kind.clone(), queue.clone()]);

    let longer = Pause { by: "grace".into(), until: Some(UnixMs(9_000)), ..kind.clone() };
    ledger.put_pause(&service, &longer).await.expect("the store answers");
    assert_eq!(pauses(&*ledger, &service).await, [longer, queue.clone()], "a later one takes its place");

    for _ in 0..2 {
        ledger.remove_pause(&service, &kind.target).await.expect("what is gone may be removed");
    }
    assert_eq!(pauses(&*ledger, &service).await, std::slice::from_ref(&queue));
    ledger.remove_pause(&service, &queue.target).await.expect("the store answers");
    assert_eq!(pauses(&*ledger, &service).await, []);
    assert_eq!(pauses(&*ledger, &other).await, [queue], "a service's pauses are its own");
}

pub async fn pauses_made_at_once_all_stand(ledger: Shared) {
    let service = new_key().to_hex();
    let mut made = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (ledger, service) = (ledger.clone(), service.clone());
        made.spawn(async move {
            let target = format!("type:{n}").parse().expect("a target");
            let pause = Pause::new(target, "ada", UnixMs(1), None).expect("a pause");
            ledger.put_pause(&service, &pause).await.expect("the store answers");
        });
    }
    made.join_all().await;
    assert_eq!(pauses(&*ledger, &service).await.len(), 20);
}
