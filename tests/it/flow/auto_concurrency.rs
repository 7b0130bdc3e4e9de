//! `concurrency = "auto"`: how many messages a host has in hand goes by how long runs take. How it
//! goes is tested beside the code; here a host goes by it.

use serde_json::json;
use wasq::config::Concurrency;

use crate::cli::binary::wasq;
use crate::support::{Plugin, Setup, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_in_hand_what_it_has_found_within_the_bounds() {
    for fair_by in [None, Some("{/tenant}")] {
        let setup = Setup::new().plugin(Plugin::probe("work").types(&["work"])).queue("jobs", move |queue| {
            queue.concurrency = Concurrency::Auto { min: 2, max: 5 };
            queue.fair_by = fair_by.map(|key| key.to_owned().try_into().expect("it is a template"));
        });
        let rig = setup.start().await;
        let hold = rig.sink.hold("work");
        for _ in 0..12 {
            rig.message(json!({ "do": "ask", "url": rig.sink.url("work") })).kind("work").send().await;
        }
        // One of so few turns is kept for other keys.
        let at_once = if fair_by.is_some() { 4 } else { 5 };
        rig.until_called("work", at_once).await;
        let status = rig.admin("/limits").await["concurrency"][0].clone();
        let fields = ["queue", "limit", "min", "max"].map(|field| status[field].clone());
        assert_eq!(fields, [json!("jobs"), json!(5), json!(2), json!(5)], "{status}");
        let addr = rig.host().admin_addr().to_string();
        wasq(["limits", "--admin", &addr]).check(0, &["auto queue", "jobs", "1.0 × their usual time"]).await;
        let (_, page) = get(rig.host().admin_addr(), "/dashboard/control").await;
        assert!(page.contains("Concurrency that is found"), "{page}");
        drop(hold);
        rig.emptied().await;
        assert_eq!((rig.sink.count("work"), rig.sink.most_open("work")), (12, at_once));
        assert_eq!(rig.admin("/status").await["queues"][0]["concurrency"], 5, "as many as it had");
        rig.end().await;
    }
}
