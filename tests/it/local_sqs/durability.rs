//! What a restart and a kill leave.

use std::{
    collections::HashSet,
    process::Stdio,
    sync::{Arc, Mutex},
};

use aws_sdk_sqs::types::{MessageSystemAttributeName as System, SendMessageBatchRequestEntry};
use tokio::io::{AsyncBufReadExt, BufReader};
use wasq_local_sqs::{LocalSqs, Options};

use super::{Local, bodies, client};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing() {
    let local = Local::start().await;
    let url = local.create("plain", &[("VisibilityTimeout", "77")]).await;
    local.client.tag_queue().queue_url(&url).tags("team", "blue").send().await.unwrap();
    let ids = [local.send(&url, "flying").await, local.send(&url, "waiting").await, local.send(&url, "deleted").await];
    let delayed = local.client.send_message().queue_url(&url).message_body("delayed").delay_seconds(900);
    delayed.send().await.unwrap();
    let messages = local.receive(&url, 0).await;
    local.delete(&url, &messages[2]).await;
    let flying = local.client.receive_message().queue_url(&url).visibility_timeout(600).send().await.unwrap();
    assert_eq!(bodies(flying.messages()), ["flying"]);
    let fifo = local.create("line.fifo", &[]).await;
    let mut numbers = Vec::new();
    for id in ["1", "2", "3"] {
        numbers.push(local.send_to_group(&fifo, "g", id).await);
    }

    let local = local.restart().await;
    let (url, fifo) = (local.url("plain").await, local.url("line.fifo").await);
    assert_eq!(local.attribute(&url, "VisibilityTimeout").await, "77");
    let tags = local.client.list_queue_tags().queue_url(&url).send().await.unwrap();
    assert_eq!(tags.tags().unwrap()["team"], "blue");
    for (count, expect) in [("", "1"), ("NotVisible", "1"), ("Delayed", "1")] {
        let name = format!("ApproximateNumberOfMessages{count}");
        assert_eq!(local.attribute(&url, &name).await, expect, "{name}");
    }
    let waiting = local.receive(&url, 30).await;
    assert_eq!((bodies(&waiting), waiting[0].message_id()), (vec!["waiting"], Some(ids[1].as_str())));
    assert_eq!(waiting[0].attributes().unwrap()[&System::ApproximateReceiveCount], "2");
    // A receipt of before is good after.
    local.delete(&url, &flying.messages()[0]).await;
    assert_eq!(local.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "1");
    assert_eq!(local.send_to_group(&fifo, "g", "2").await, numbers[1], "its deduplication window is open");
    assert!(local.send_to_group(&fifo, "g", "4").await > numbers[2]);
    assert_eq!(bodies(&local.receive(&fifo, 30).await), ["1", "2", "3", "4"]);
}

/// Not a test of its own: `a_killed_process_loses_nothing` runs it as the process to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn serve_until_killed() {
    let Some(dir) = std::env::var_os("WASQ_TEST_SERVE") else { return };
    let sqs = LocalSqs::start(Options::new(dir).port(0)).await.unwrap();
    println!("endpoint {}", sqs.endpoint_url());
    std::future::pending::<()>().await;
}

struct Child {
    process: tokio::process::Child,
    endpoint: String,
}

impl Child {
    async fn start(dir: &std::path::Path) -> Self {
        let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["serve_until_killed", "--nocapture"])
            .env("WASQ_TEST_SERVE", dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("the child tells its endpoint");
            // The test harness may have begun the line.
            if let Some((_, endpoint)) = line.split_once("endpoint ") {
                return Self { process, endpoint: endpoint.to_owned() };
            }
        }
    }
}

/// Senders and receivers work while the process is killed, five times over. What a sender was told
/// is there, and what was deleted stays deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing() {
    const KILLS: usize = 5;
    const SENT_BEFORE_KILL: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let (sent, deleted) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(Mutex::new(HashSet::new())));
    for round in 0..KILLS {
        let mut child = Child::start(dir.path()).await;
        let client = client(&child.endpoint);
        let url = client.create_queue().queue_name("q").send().await.unwrap().queue_url.unwrap();
        let (progress, mut reached) = tokio::sync::watch::channel(0);
        let mut tasks = tokio::task::JoinSet::new();
        for sender in 0..3 {
            let (client, url, sent, progress) = (client.clone(), url.clone(), sent.clone(), progress.clone());
            tasks.spawn(async move {
                for batch in 0.. {
                    let body = |index| format!("{round}-{sender}-{batch}-{index}");
                    let entry = |index: usize| {
                        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body(index)).build()
                    };
                    let entries = (0..10).map(|index| entry(index).unwrap()).collect();
                    let answer = client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await;
                    let Ok(answer) = answer else { return };
                    assert!(answer.failed().is_empty());
                    sent.lock().unwrap().extend((0..10).map(body));
                    progress.send_modify(|count| *count += 10);
                }
            });
        }
        let (receiver, of_url, gone) = (client.clone(), url.clone(), deleted.clone());
        tasks.spawn(async move {
            loop {
                let request = receiver.receive_message().queue_url(&of_url).visibility_timeout(0);
                let Ok(answer) = request.send().await else { return };
                for message in answer.messages() {
                    let handle = message.receipt_handle().unwrap();
                    let delete = receiver.delete_message().queue_url(&of_url).receipt_handle(handle).send();
                    if delete.await.is_err() {
                        return;
                    }
                    gone.lock().unwrap().insert(message.body().unwrap().to_owned());
                }
            }
        });
        reached.wait_for(|count| *count >= SENT_BEFORE_KILL).await.unwrap();
        child.process.kill().await.unwrap();
        tasks.join_all().await;
    }

    let local = Local::start_in(dir).await;
    let url = local.url("q").await;
    let mut left = HashSet::new();
    loop {
        let messages = local.receive(&url, 600).await;
        if messages.is_empty() {
            break;
        }
        left.extend(messages.into_iter().map(|message| message.body.unwrap()));
    }
    let (sent, deleted) = (sent.lock().unwrap(), deleted.lock().unwrap());
    let lost: Vec<_> = sent.iter().filter(|body| !left.contains(*body) && !deleted.contains(*body)).collect();
    // The one delete that was on its way at each kill may have been done without an answer.
    assert!(lost.len() <= KILLS, "{} of {} are lost: {lost:?}", lost.len(), sent.len());
    assert!(deleted.is_disjoint(&left), "deleted ones came back");
}
