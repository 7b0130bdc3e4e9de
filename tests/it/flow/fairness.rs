//! Who goes first: priority between queues, and keys of one queue that take turns. The sink says in
//! which order the handlers ran.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::binary::wasq;
use crate::support::{Plugin, Rig, Setup};

fn order(rig: &Rig, name: &str, tenant: &str) -> Value {
    json!({ "do": "ask", "url": rig.sink.url(name), "tenant": tenant })
}

async fn send(rig: &Rig, queue: &str, name: &str, count: usize) {
    let sends = (0..count).map(|_| rig.message(order(rig, name, name)).queue(queue).kind("work").send());
    futures::future::join_all(sends).await;
}

fn setup() -> Setup {
    Setup::new().plugin(Plugin::probe("work").types(&["work"]).manifest("priority = 'high'"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_higher_priority_gets_the_permits_first_and_the_rest_keeps_its_share() {
    let queue = |priority: u32| move |queue: &mut wasq::config::QueueConfig| queue.priority = priority;
    let setup = setup().queue("jobs", queue(0)).queue("payments", queue(10)).config(|config| {
        config.limits.max_instances = 4;
        config.limits.permit_wait = Duration::from_secs(60);
    });
    let rig = setup.start().await;
    let hold = [rig.sink.hold("analytics"), rig.sink.hold("payments")];
    send(&rig, "jobs", "analytics", 12).await;
    rig.until_called("analytics", 3).await;
    // One permit is kept for payments. The rest is taken.
    send(&rig, "payments", "payments", 6).await;
    rig.until_called("payments", 1).await;
    let waits = || async {
        let shares = rig.admin("/limits").await["queues"].clone();
        shares[1]["waiting"] == 5 && shares[0]["waiting"] == 9
    };
    crate::support::until("both wait for permits", waits).await;
    let shares = rig.admin("/limits").await["queues"].clone();
    assert_eq!(
        shares[1],
        json!({ "queue": "payments", "priority": 10, "kept": 1, "running": 1, "waiting": 5 }),
        "{shares}"
    );
    let addr = rig.host().admin_addr().to_string();
    wasq(["limits", "--admin", &addr]).check(0, &["payments", "10", "priority", "kept"]).await;
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.most_open("analytics"), rig.sink.count("payments")), (3, 6));
    assert!(rig.sink.most_open("payments") <= 3, "one permit is kept for analytics");
    // Payments have gone before those of analytics that waited.
    let order = rig.sink.order(&["analytics", "payments"]);
    let last = order.iter().rposition(|name| name == "payments").expect("they ran");
    assert!(last <= 4 + 6 + 3, "{order:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_s_backlog_does_not_hold_up_the_others() {
    let setup = setup().queue("jobs", |queue| {
        queue.concurrency = 4.into();
        queue.fair_by = Some("{/tenant}".to_owned().try_into().expect("it is a template"));
    });
    let rig = setup.config(|config| config.limits.rate_waiting = 8).start().await;
    let hold = rig.sink.hold("noisy");
    send(&rig, "jobs", "noisy", 40).await;
    rig.until_called("noisy", 3).await;
    // The room is full, and the rest of the backlog is hidden.
    rig.until_exits("yielded", 25).await;
    send(&rig, "jobs", "quiet", 10).await;
    rig.until_called("quiet", 10).await;
    assert_eq!(rig.sink.count("noisy"), 3, "one turn of four is kept for others");
    let fair = rig.admin("/limits").await["fair"][0].clone();
    assert_eq!((&fair["queue"], &fair["limit"], &fair["top"][0]["key"]), (&json!("jobs"), &json!(4), &json!("noisy")));
    assert!(fair["hidden_total"].as_u64().expect("it is a number") >= 25, "{fair}");
    let addr = rig.host().admin_addr().to_string();
    wasq(["limits", "--admin", &addr]).check(0, &["fair queue", "jobs", "noisy (3 running"]).await;
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.count("noisy"), rig.sink.most_open("noisy")), (40, 3));
    assert_eq!(rig.exits("done"), 50, "each ran once, and no attempt was counted for waiting");
    rig.end().await;
}
