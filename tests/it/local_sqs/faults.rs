//! Faults on order.

use std::time::Duration;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use tokio::time::timeout;
use wasq_local_sqs::{Effect, Fault};

use super::{Local, code};

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_before_and_after_their_effect() {
    let local = Local::start().await;
    let url = local.create("q", &[]).await;
    let send = || local.client.send_message().queue_url(&url).message_body("b").send();
    let count = || local.attribute(&url, "ApproximateNumberOfMessages");

    let effect = Effect::FailBefore { code: "ServiceUnavailable".into(), status: 503 };
    local.sqs.faults().add(Fault::on("SendMessage", effect).times(1));
    assert_eq!((code(send().await), count().await), ("ServiceUnavailable".to_owned(), "0".to_owned()));

    let effect = Effect::FailAfter { code: "InternalError".into(), status: 500 };
    local.sqs.faults().add(Fault::on("SendMessage", effect).queue("q").times(1));
    assert_eq!((code(send().await), count().await), ("InternalError".to_owned(), "1".to_owned()));

    for effect in [Effect::DropConnection, Effect::Garble] {
        local.sqs.faults().add(Fault::on("SendMessage", effect).times(1));
        assert!(send().await.is_err());
    }
    assert_eq!(count().await, "2", "the garbled one took effect, the dropped one did not");
    send().await.unwrap();
    assert_eq!(local.sqs.faults().calls("SendMessage"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_late_or_never() {
    let local = Local::start().await;
    let url = local.create("q", &[]).await;
    let send = || local.client.send_message().queue_url(&url).message_body("b").send();
    local.sqs.faults().add(Fault::on("SendMessage", Effect::Delay(Duration::from_millis(300))).times(1));
    let began = wasq_core::clock::now();
    send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    local.sqs.faults().add(Fault::on("SendMessage", Effect::Hang));
    assert!(timeout(Duration::from_millis(100), send()).await.is_err());
    local.sqs.faults().clear();
    send().await.unwrap();
    timeout(Duration::from_secs(10), local.sqs.shutdown()).await.expect("a call that hangs does not hold up shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_entries_of_a_batch_fail() {
    let local = Local::start().await;
    let url = local.create("q", &[]).await;
    for body in ["0", "1", "2"] {
        local.send(&url, body).await;
    }
    let entry = |(index, handle): (usize, Option<String>)| {
        DeleteMessageBatchRequestEntry::builder().id(index.to_string()).set_receipt_handle(handle).build().unwrap()
    };
    let messages = local.receive(&url, 60).await;
    let entries: Vec<_> = messages.into_iter().map(|message| message.receipt_handle).enumerate().map(entry).collect();
    let delete = || local.client.delete_message_batch().queue_url(&url).set_entries(Some(entries.clone())).send();
    let effect = |places: &[usize]| Effect::FailEntries { places: places.to_vec(), code: "InternalError".into() };
    local.sqs.faults().add(Fault::on("DeleteMessageBatch", effect(&[1])).times(1));
    let answer = delete().await.unwrap();
    assert_eq!(
        (answer.successful().len(), answer.failed()[0].id(), answer.failed()[0].sender_fault()),
        (2, "1", false)
    );
    assert_eq!(local.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "1");
    local.sqs.faults().add(Fault::on("DeleteMessageBatch", effect(&[0, 1, 2])).times(1));
    assert_eq!(delete().await.unwrap().failed().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_doubled() {
    let local = Local::start().await;
    let url = local.create("q", &[]).await;
    let id = local.send(&url, "b").await;
    local.sqs.faults().add(Fault::on("ReceiveMessage", Effect::Duplicate).times(1));
    for _ in 0..2 {
        let messages = local.receive(&url, 60).await;
        assert_eq!(messages[0].message_id(), Some(id.as_str()));
    }
    assert!(local.receive(&url, 60).await.is_empty());
}
