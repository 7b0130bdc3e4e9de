//! Messages: order, visibility, batches, long polls, limits.

use std::time::Duration;

use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName as System,
    SendMessageBatchRequestEntry,
};

use super::{Local, bodies, code};

/// Longer than anything here takes, shorter than a long poll.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_group_waits_for_its_message_in_flight_and_others_do_not() {
    let local = Local::start().await;
    let url = local.create("orders.fifo", &[]).await;
    for (group, id) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        local.send_to_group(&url, group, id).await;
    }
    let one = |url: String| {
        let client = local.client.clone();
        async move { client.receive_message().queue_url(url).send().await.unwrap().messages.unwrap_or_default() }
    };
    let first = one(url.clone()).await;
    assert_eq!(bodies(&first), ["a1"]);
    assert_eq!(bodies(&local.receive(&url, 30).await), ["b1"]);
    assert!(local.receive(&url, 30).await.is_empty());
    local.delete(&url, &first[0]).await;
    assert_eq!(bodies(&local.receive(&url, 30).await), ["a2", "a3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_within_the_window_are_one_message() {
    let local = Local::start().await;
    let url = local.create("twins.fifo", &[]).await;
    let first = local.send_to_group(&url, "g", "same").await;
    let [message] = &local.receive(&url, 30).await[..] else { panic!("one message") };
    local.delete(&url, message).await;
    assert_eq!(local.send_to_group(&url, "h", "same").await, first, "deleted, and deduplicated still");
    assert!(local.receive(&url, 30).await.is_empty());
    let per_group = [("DeduplicationScope", "messageGroup")];
    let url = local.create("grouped.fifo", &per_group).await;
    local.send_to_group(&url, "g", "same").await;
    local.send_to_group(&url, "h", "same").await;
    assert_eq!(local.receive(&url, 30).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_receipt_of_a_fifo_queue_is_refused() {
    let local = Local::start().await;
    let url = local.create("late.fifo", &[]).await;
    local.send_to_group(&url, "g", "1").await;
    let [message] = &local.receive(&url, 0).await[..] else { panic!("one message") };
    let handle = message.receipt_handle().unwrap();
    let request = local.client.delete_message().queue_url(&url).receipt_handle(handle);
    assert_eq!(code(request.send().await), "InvalidParameterValue");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_receipts_delete_nothing_and_hide_what_is_there() {
    let local = Local::start().await;
    let url = local.create("stale", &[]).await;
    local.send(&url, "b").await;
    let stale = local.receive(&url, 0).await.remove(0);
    let hide = |handle: Option<String>, visibility_s| {
        let request = local.client.change_message_visibility().queue_url(&url).set_receipt_handle(handle);
        request.visibility_timeout(visibility_s).send()
    };
    hide(stale.receipt_handle.clone(), 60).await.unwrap();
    assert!(local.receive(&url, 60).await.is_empty(), "it is hidden, although the receipt's time was over");
    hide(stale.receipt_handle.clone(), 0).await.unwrap();
    let newest = local.receive(&url, 60).await.remove(0);
    local.delete(&url, &stale).await;
    assert_eq!(local.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "1");
    // It was received a moment ago, so 12 hours from now are more than 12 hours from then.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(code(hide(newest.receipt_handle.clone(), 43_200).await), "InvalidParameterValue");
    hide(newest.receipt_handle.clone(), 43_140).await.unwrap();
    local.delete(&url, &newest).await;
    local.delete(&url, &newest).await;
    assert_eq!(code(hide(newest.receipt_handle.clone(), 5).await), "InvalidParameterValue");
    assert_eq!(code(hide(Some("garbage".into()), 5).await), "ReceiptHandleIsInvalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_when_a_message_comes() {
    let local = Local::start().await;
    let url = local.create("poll", &[("ReceiveMessageWaitTimeSeconds", "20")]).await;
    let poll = || tokio::spawn(local.client.receive_message().queue_url(&url).visibility_timeout(1).send());

    let polling = poll();
    local.sqs.faults().calls_reach("ReceiveMessage", 1).await;
    local.send(&url, "sent").await;
    let answer = tokio::time::timeout(SOON, polling).await.expect("the poll ends").unwrap().unwrap();
    assert_eq!(bodies(answer.messages()), ["sent"]);

    // It becomes visible again a second later, which another poll waits for.
    let answer = tokio::time::timeout(SOON, poll()).await.expect("the poll ends").unwrap().unwrap();
    assert_eq!(bodies(answer.messages()), ["sent"]);
    local.delete(&url, &answer.messages()[0]).await;

    // Released by another receiver.
    let handle = {
        local.send(&url, "released").await;
        let answer = local.client.receive_message().queue_url(&url).visibility_timeout(600).send().await.unwrap();
        answer.messages()[0].receipt_handle.clone()
    };
    let polling = poll();
    local.sqs.faults().calls_reach("ReceiveMessage", 4).await;
    let release = local.client.change_message_visibility().queue_url(&url).set_receipt_handle(handle);
    release.visibility_timeout(0).send().await.unwrap();
    let answer = tokio::time::timeout(SOON, polling).await.expect("the poll ends").unwrap().unwrap();
    assert_eq!(bodies(answer.messages()), ["released"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_waiting_poll_gets_a_message() {
    const POLLS: u64 = 8;
    let local = Local::start().await;
    let url = local.create("many", &[]).await;
    let poll = || tokio::spawn(local.client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    let polls: Vec<_> = (0..POLLS).map(|_| poll()).collect();
    local.sqs.faults().calls_reach("ReceiveMessage", POLLS).await;
    let entry = |id: u64| SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body("b").build().unwrap();
    let batch = local.client.send_message_batch().queue_url(&url).set_entries(Some((0..POLLS).map(entry).collect()));
    batch.send().await.unwrap();
    for poll in polls {
        let answer = tokio::time::timeout(SOON, poll).await.expect("the poll ends").unwrap().unwrap();
        assert_eq!(answer.messages().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_long_polls_with_nothing() {
    let local = Local::start().await;
    let url = local.create("ending", &[]).await;
    let poll = || local.client.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let polling = tokio::spawn(poll());
    local.sqs.faults().calls_reach("ReceiveMessage", 1).await;
    local.sqs.end_long_polls();
    let answer = tokio::time::timeout(SOON, polling).await.expect("the poll ends").unwrap().unwrap();
    assert!(answer.messages().is_empty());
    let later = tokio::time::timeout(SOON, poll()).await.expect("a later poll does not wait").unwrap();
    assert!(later.messages().is_empty());
    tokio::time::timeout(SOON, local.sqs.shutdown()).await.expect("shutdown ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_keep_body_attributes_and_id() {
    let local = Local::start().await;
    for (name, dead) in [("work", "work-dead"), ("work.fifo", "work-dead.fifo")] {
        let (url, dead_url) = local.create_with_dead_letters(name, dead).await;
        let value = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
        let mut request = local.client.send_message().queue_url(&url).message_body("b").message_attributes("a", value);
        if name.ends_with(".fifo") {
            request = request.message_group_id("g").message_deduplication_id("d");
        }
        let sent = request.send().await.unwrap();
        assert_eq!(local.receive(&url, 0).await.len(), 1);
        assert!(local.receive(&url, 0).await.is_empty(), "it was received once, which is the limit");
        let dead = local.receive(&dead_url, 30).await;
        assert_eq!((bodies(&dead), dead[0].message_id()), (vec!["b"], sent.message_id()));
        assert_eq!(dead[0].message_attributes().unwrap()["a"].string_value(), Some("v"));
        let system = dead[0].attributes().unwrap();
        assert_eq!(system[&System::ApproximateReceiveCount], "2");
        assert!(system[&System::DeadLetterQueueSourceArn].ends_with(&format!(":{name}")));
        let counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        for count in counts {
            assert_eq!(local.attribute(&url, count).await, "0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_fail_in_part_and_as_a_whole() {
    let local = Local::start().await;
    let url = local.create("batch", &[("MaximumMessageSize", "1024")]).await;
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
    let send = |entries: Vec<_>| local.client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send();
    let long = "x".repeat(1_025);
    let answer = send(vec![entry("a", "good"), entry("b", &long), entry("c", "bad \u{1}")]).await.unwrap();
    assert_eq!(answer.successful()[0].id(), "a");
    let failed: Vec<_> = answer.failed().iter().map(|failed| (failed.id(), failed.code())).collect();
    assert_eq!(failed, [("b", "InvalidParameterValue"), ("c", "InvalidMessageContents")]);

    let huge = "x".repeat(600_000);
    for (entries, expect) in [
        (vec![], "EmptyBatchRequest"),
        (vec![entry("a", "1"), entry("a", "2")], "BatchEntryIdsNotDistinct"),
        (vec![entry("a b", "1")], "InvalidBatchEntryId"),
        ((0..11).map(|id| entry(&id.to_string(), "b")).collect(), "TooManyEntriesInBatchRequest"),
        (vec![entry("a", &huge), entry("b", &huge)], "BatchRequestTooLong"),
    ] {
        assert_eq!(code(send(entries).await), format!("AWS.SimpleQueueService.{expect}"));
    }

    let message = local.receive(&url, 30).await.remove(0);
    let entry =
        |id: &str, handle: &str| DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build();
    let entries = vec![entry("a", message.receipt_handle().unwrap()).unwrap(), entry("b", "garbage").unwrap()];
    let answer = local.client.delete_message_batch().queue_url(&url).set_entries(Some(entries)).send().await.unwrap();
    assert_eq!((answer.successful()[0].id(), answer.failed()[0].id()), ("a", "b"));
    assert_eq!(answer.failed()[0].code(), "ReceiptHandleIsInvalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_up_to_one_mebibyte_and_ten_attributes() {
    let local = Local::start().await;
    let url = local.create("limits", &[]).await;
    let most = "x".repeat(1_048_576);
    local.send(&url, &most).await;
    assert_eq!(local.receive(&url, 30).await[0].body().unwrap(), most);
    let send = |body: String, attributes: usize| {
        let value = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
        let mut request = local.client.send_message().queue_url(&url).message_body(body);
        for index in 0..attributes {
            request = request.message_attributes(format!("a{index}"), value.clone());
        }
        request.send()
    };
    assert_eq!(code(send(most.clone(), 1).await), "InvalidParameterValue");
    send("b".into(), 10).await.unwrap();
    assert_eq!(code(send("b".into(), 11).await), "InvalidParameterValue");
    assert_eq!(code(send("\u{b}".into(), 0).await), "InvalidMessageContents");
    let delayed = local.client.send_message().queue_url(&url).message_body("b").delay_seconds(901).send().await;
    assert_eq!(code(delayed), "InvalidParameterValue");
}
