use std::task::{Context, Waker};

use super::{
    super::tests::{caller, definition, service, service_on_full_disk},
    *,
};

/// A queue of which one message may be received once, with its dead-letter queue, `dead`.
fn add_queues(service: &Service) -> StartMessageMoveTask {
    let dead = definition(1, "dead", None);
    let mut work = definition(2, "work", None);
    let arn = "arn:aws:sqs:us-east-1:000000000000:dead";
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
    work.attributes.insert("RedrivePolicy".to_owned(), policy);
    for queue in [dead, work] {
        service.queues_mut().insert(Arc::new(Queue::new(queue)));
    }
    StartMessageMoveTask { source_arn: arn.to_owned(), destination_arn: None, max_number_of_messages_per_second: None }
}

#[tokio::test]
async fn a_task_that_cannot_be_stored_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let service = Arc::new(service_on_full_disk(dir.path()));
    for _ in 0..2 {
        let error = service.start_message_move_task(add_queues(&service), &caller()).await.err().unwrap();
        assert_eq!(error.code, Code::InternalFailure, "{error}");
        assert!(service.moves().is_empty());
    }
}

#[tokio::test]
async fn a_task_is_run_although_its_client_went_away() {
    let dir = tempfile::tempdir().unwrap();
    let service = Arc::new(service(dir.path()));
    let request = add_queues(&service);
    {
        let caller = caller();
        let mut call = std::pin::pin!(service.start_message_move_task(request, &caller));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let is_completed = || service.moves().values().all(|task| task.status == MoveStatus::Completed);
    tokio::time::timeout(Duration::from_secs(20), async {
        while !is_completed() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("somebody runs the task");
    assert_eq!(service.moves().len(), 1);
}
