use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_polled_fails_liveness_and_one_that_waits_does_not() {
    let health = Health::default();
    health.begun("busy");
    health.begun("stuck");
    for _ in 0..13 {
        assert!(health.live().ok);
        tokio::time::advance(Duration::from_secs(10)).await;
        health.waiting("busy");
    }
    let verdict = health.live();
    assert_eq!((verdict.ok, verdict.reasons), (false, vec!["queue stuck was not polled for 120s".to_owned()]));
    assert!(health.ready().ok, "liveness is not readiness");
    health.poll_failed("stuck", "AccessDenied: no");
    assert!(health.live().ok, "it polls, if in vain");
}

#[tokio::test]
async fn readiness_names_the_queue_and_the_dlq_whose_letters_cannot_be_sent() {
    let health = Health::default();
    health.letters_failing("orders", "orders-dlq", "AccessDenied: no sqs:SendMessage");
    health.letters_failing("jobs", "jobs-dlq", "QueueDoesNotExist: gone");
    health.letters_failing("orders", "orders-dlq", "KmsThrottled: later");
    let expect = [
        "dead letters of queue jobs cannot be sent to jobs-dlq: QueueDoesNotExist: gone",
        "dead letters of queue orders cannot be sent to orders-dlq: KmsThrottled: later",
    ];
    assert_eq!((health.ready().ok, health.ready().reasons), (false, expect.map(str::to_owned).to_vec()));
    assert!(health.live().ok, "a restart would not help");
    health.letters_sent("jobs");
    assert!(!health.ready().ok, "another queue's letters still fail");
    health.letters_sent("orders");
    health.letters_sent("never failed");
    assert!(health.ready().ok);
}

#[tokio::test]
async fn readiness_says_each_reason_until_it_has_passed() {
    let health = Health::default();
    health.plugins(Some("no plugin is loaded from plugins".into()));
    health.ledger_failed("no answer");
    health.poll_failed("jobs", "AccessDenied: no");
    health.draining();
    let reasons =
        ["no plugin is loaded from plugins", "ledger: no answer", "queue jobs: AccessDenied: no", "shutting down"];
    assert_eq!(health.ready().reasons, reasons);
    health.plugins(None);
    health.ledger_answered();
    health.polled("jobs");
    assert_eq!(health.ready().reasons, ["shutting down"]);
}
