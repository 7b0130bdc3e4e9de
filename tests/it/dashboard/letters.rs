//! Looks at letters: they have an effect, so no other site makes one, and one is made at a time.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Client;
use crate::support::{Setup, until};

#[tokio::test]
async fn what_another_site_makes_a_browser_load_hides_no_letter_and_counts_no_receive() {
    // The sampler's looks would count too.
    let rig = Setup::probe().config(|config| config.telemetry.peek_dlq = false).start().await;
    let client = Client::of(&rig);
    rig.send(json!({ "do": "reject", "reason": "no" })).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    let group = client.get("/dashboard/letters/jobs").await.link("/group?");
    let letter = client.get(&group).await.link("/letter?");
    let receives =
        async || rig.queue("jobs-dlq").await.receive(1, Duration::ZERO, Duration::ZERO).await.unwrap()[0].receive_count;
    let before = receives().await;
    let sites = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ];
    for (header, value) in sites {
        let elsewhere = client.with(header, value);
        for path in
            ["/dashboard/letters", "/dashboard/letters/jobs", &group, &letter, "/dashboard/live", "/envelopes/0"]
        {
            let answer = elsewhere.get(path).await;
            assert!(
                answer.status == 403 && answer.body.contains("Another site"),
                "{header} {value} {path}: {}",
                answer.body
            );
        }
        assert_eq!(elsewhere.post("/dashboard/logout", &[]).await.status, 403);
        assert_eq!(elsewhere.get("/dashboard").await.status, 200, "it may lead to what has no effect");
    }
    assert_eq!(receives().await, before + 1, "no letter was received meanwhile");
    for site in ["same-origin", "none"] {
        assert_eq!(client.with("sec-fetch-site", site).get(&letter).await.status, 200, "{site}");
    }
    rig.end().await;
}

#[tokio::test]
async fn who_looks_while_somebody_else_does_is_told_so_and_no_letter_stays_hidden() {
    // Two queues with one DLQ.
    let setup = Setup::probe().queue("jobs", |_| {}).queue("twin", |queue| queue.dlq = Some("jobs-dlq".into()));
    let rig = setup.start().await;
    let client = Client::of(&rig);
    for _ in 0..3 {
        rig.send(json!({ "do": "reject", "reason": "no" })).await;
    }
    until("the letters are there", || async { rig.counts("jobs-dlq").await.0 == 3 }).await;
    // Requests that their browser gives up on at once.
    for _ in 0..40 {
        let mut stream = TcpStream::connect(client.addr).await.unwrap();
        let request = format!("GET /dashboard/letters/jobs HTTP/1.1\r\nhost: {}\r\n\r\n", client.addr);
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    until("the page is shown", || async {
        let answer = client.get("/dashboard/letters/twin").await;
        assert!([200, 409].contains(&answer.status), "{} {}", answer.status, answer.body);
        answer.status == 200 && answer.body.contains("3 letters in 1 groups")
    })
    .await;
    assert_eq!(rig.counts("jobs-dlq").await, (3, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn an_edited_body_that_is_no_json_any_more_is_not_sent() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    rig.send(json!({ "do": "reject", "reason": "no" })).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    let group = client.get(&client.get("/dashboard/letters/jobs").await.link("/group?")).await;
    let letter = client.get(&group.link("/letter?")).await;
    let (token, id) = (letter.value_of("form_token"), letter.value_of("id"));
    let edit = |body: &'static str| [("form_token", token.clone()), ("id", id.clone()), ("body", body.to_owned())];
    let post = async |form: &[(&str, String)]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.post("/dashboard/letters/jobs/replay", &form).await
    };
    let answer = post(&edit("{")).await;
    assert!(answer.status == 400 && answer.body.contains("not valid JSON"), "{}", answer.body);
    assert_eq!(rig.counts("jobs-dlq").await, (1, 0, 0));
    assert_eq!(post(&edit("{\r\n\"do\":\"done\"}")).await.status, 303);
    rig.until_exits("done", 1).await;
    assert_eq!(post(&edit("{}")).await.status, 404, "it is gone");
    rig.end().await;
}
