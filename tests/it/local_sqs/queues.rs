//! Queues: creation, attributes, redrive policies, move tasks, deletion.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use wasq_local_sqs::{LocalSqs, Options, StartError};

use super::{Local, bodies, code};

#[tokio::test(flavor = "multi_thread")]
async fn creating_twice_is_once_unless_the_attributes_differ() {
    let local = Local::start().await;
    let url = local.create("twice", &[("DelaySeconds", "3")]).await;
    assert_eq!(local.create("twice", &[("DelaySeconds", "3")]).await, url);
    assert_eq!(local.create("twice", &[]).await, url);
    let create = |name: &str, value: &str| {
        local.client.create_queue().queue_name(name).attributes(Attribute::DelaySeconds, value).send()
    };
    assert_eq!(code(create("twice", "4").await), "QueueAlreadyExists");
    assert_eq!(code(create("new", "901").await), "InvalidAttributeValue");
    assert_eq!(code(create("a.b", "1").await), "InvalidParameterValue");
    assert_eq!(code(create("new.fifo", "1").await), "InvalidParameterValue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_policy_needs_a_queue_that_exists_and_allows_it() {
    let local = Local::start().await;
    local.create("dead", &[("RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#)]).await;
    local.create("dead.fifo", &[]).await;
    let url = local.create("work", &[]).await;
    for target in ["nowhere", "dead", "dead.fifo"] {
        let policy =
            format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:{target}","maxReceiveCount":3}}"#);
        let set = local.client.set_queue_attributes().queue_url(&url).attributes(Attribute::RedrivePolicy, policy);
        assert_eq!(code(set.send().await), "InvalidParameterValue", "{target}");
    }
    assert_eq!(local.attribute(&url, "RedrivePolicy").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_take_effect_when_set() {
    let local = Local::start().await;
    let url = local.create("set", &[]).await;
    let set = |name, value| local.client.set_queue_attributes().queue_url(&url).attributes(name, value).send();
    set(Attribute::DelaySeconds, "900").await.unwrap();
    local.send(&url, "later").await;
    assert_eq!(local.attribute(&url, "ApproximateNumberOfMessagesDelayed").await, "1");
    set(Attribute::DelaySeconds, "0").await.unwrap();
    local.send(&url, "now").await;
    assert_eq!(bodies(&local.receive(&url, 30).await), ["now"]);
    assert_eq!(code(set(Attribute::from("Nonsense"), "1").await), "InvalidAttributeName");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_task_brings_dead_letters_home() {
    let local = Local::start().await;
    let (url, dead_url) = local.create_with_dead_letters("home", "away").await;
    for index in 0..25 {
        local.send(&url, &index.to_string()).await;
    }
    while !local.receive(&url, 0).await.is_empty() {}
    assert_eq!(local.attribute(&dead_url, "ApproximateNumberOfMessages").await, "25");
    let arn = local.attribute(&dead_url, "QueueArn").await;
    local.client.start_message_move_task().source_arn(&arn).send().await.unwrap();
    let mut home = Vec::new();
    while home.len() < 25 {
        let request = local.client.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(20);
        let answer =
            tokio::time::timeout(Duration::from_secs(10), request.send()).await.expect("messages come").unwrap();
        home.extend(answer.messages().iter().map(|message| message.body().unwrap().parse::<u32>().unwrap()));
    }
    home.sort_unstable();
    assert_eq!(home, (0..25).collect::<Vec<_>>());
    assert_eq!(local.attribute(&dead_url, "ApproximateNumberOfMessages").await, "0");
    let source_arn = local.attribute(&url, "QueueArn").await;
    let refused = local.client.start_message_move_task().source_arn(source_arn).send().await;
    assert_eq!(code(refused), "InvalidParameterValue", "no queue's dead letters go there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_move_task_can_be_cancelled() {
    let local = Local::start().await;
    let (url, dead_url) = local.create_with_dead_letters("slow", "slow-dead").await;
    for body in 1..=30 {
        local.send(&url, &body.to_string()).await;
    }
    while !local.receive(&url, 0).await.is_empty() {}
    let arn = local.attribute(&dead_url, "QueueArn").await;
    let start = || local.client.start_message_move_task().source_arn(&arn).max_number_of_messages_per_second(1).send();
    let task = start().await.unwrap();
    assert_eq!(code(start().await), "InvalidParameterValue", "one task at a time");
    let cancel = || local.client.cancel_message_move_task().set_task_handle(task.task_handle.clone()).send();
    cancel().await.unwrap();
    assert_eq!(code(cancel().await), "AWS.SimpleQueueService.UnsupportedOperation");
    let tasks = local.client.list_message_move_tasks().source_arn(&arn).send().await.unwrap();
    assert_eq!(tasks.results()[0].status(), Some("CANCELLED"));
    assert_eq!(tasks.results()[0].approximate_number_of_messages_to_move(), Some(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_gone_for_those_who_wait_on_it() {
    let local = Local::start().await;
    let url = local.create("doomed", &[]).await;
    let polling = tokio::spawn(local.client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    local.sqs.faults().calls_reach("ReceiveMessage", 1).await;
    local.send(&local.create("other", &[]).await, "b").await;
    local.client.delete_queue().queue_url(&url).send().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), polling).await.expect("the poll ends").unwrap();
    assert_eq!(code(ended), "AWS.SimpleQueueService.NonExistentQueue");
    let url = local.create("doomed", &[]).await;
    assert!(local.receive(&url, 30).await.is_empty(), "a new queue of the same name is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_or_directory_in_use_is_named() {
    let local = Local::start().await;
    let other = tempfile::tempdir().unwrap();
    let taken = LocalSqs::start(Options::new(other.path()).port(local.sqs.addr().port())).await;
    let Err(error) = taken else { panic!("the port was taken") };
    assert!(matches!(error, StartError::PortTaken { .. }));
    assert!(error.to_string().contains(&local.sqs.addr().port().to_string()), "{error}");
    let Err(error) = LocalSqs::start(Options::new(local.dir.path()).port(0)).await else { panic!("it was in use") };
    assert!(error.to_string().contains(&local.dir.path().display().to_string()), "{error}");
}
