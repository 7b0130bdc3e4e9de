use serde_json::json;

use super::{
    super::{
        address::{Account, DEFAULT_REGION},
        log::Log,
        operations::Caller,
    },
    *,
};

fn caller() -> Caller {
    Caller { base_url: String::new(), region: DEFAULT_REGION.to_owned(), account: Account::DEFAULT, trace: None }
}

struct Bench {
    dir: tempfile::TempDir,
    service: Arc<Service>,
}

impl Bench {
    fn open(dir: tempfile::TempDir) -> Self {
        let (log, replayed) = Log::open(dir.path()).unwrap();
        Self { dir, service: Arc::new(Service::new(log, replayed, false)) }
    }

    async fn reopen(self) -> Self {
        let service = self.service;
        tokio::task::spawn_blocking(move || service.log.close()).await.unwrap();
        Self::open(self.dir)
    }

    async fn send(&self, queue: &str, body: &str) {
        let request = json!({ "QueueUrl": queue, "MessageBody": body });
        self.service.send_message(serde_json::from_value(request).unwrap(), &caller()).await.unwrap();
    }

    /// Receives up to ten messages' bodies and handles, hidden for so long.
    async fn receive(&self, queue: &str, visibility_s: u32) -> Vec<(String, String)> {
        let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": visibility_s });
        let answer = self.service.receive_message(serde_json::from_value(request).unwrap(), &caller()).await.unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        messages.iter().map(|message| (text(&message["Body"]), text(&message["ReceiptHandle"]))).collect()
    }

    async fn delete(&self, queue: &str, handle: &str) {
        let request = json!({ "QueueUrl": queue, "ReceiptHandle": handle });
        self.service.delete_message(serde_json::from_value(request).unwrap(), &caller()).await.unwrap();
    }

    fn segments(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count() - 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_go_and_what_lived_in_them_stays() {
    let bench = Bench::open(tempfile::tempdir().unwrap());
    for name in ["kept", "busy"] {
        let request = json!({ "QueueName": name, "tags": { "name": name } });
        bench.service.create_queue(serde_json::from_value(request).unwrap(), &caller()).await.unwrap();
    }
    bench.send("kept", "waiting").await;
    bench.send("kept", "flying").await;
    assert_eq!(bench.receive("kept", 0).await.len(), 2);
    let flying = bench.receive("kept", 1_000).await.pop().unwrap();
    bench.delete("kept", &flying.1).await;
    bench.send("kept", "third").await;

    let body = "x".repeat(10_000);
    for _ in 0..60 {
        bench.send("busy", &body).await;
        let (_, handle) = bench.receive("busy", 30).await.pop().unwrap();
        bench.delete("busy", &handle).await;
    }
    let before = bench.segments();
    make_room(&bench.service).await;
    assert!(bench.segments() < before, "{before} segments, and none was retired");
    assert!(bench.service.queues().iter().all(|queue| !queue.name.is_empty()));

    let bench = bench.reopen().await;
    let kept = bench.service.queues().named(DEFAULT_REGION, Account::DEFAULT, "kept").cloned().unwrap();
    assert_eq!(kept.state().definition.tags["name"], "kept");
    let state_of = |seq| kept.state().backlog.get(seq).map(|entry| entry.state.count);
    assert_eq!([state_of(1), state_of(2), state_of(3)], [Some(2), None, Some(0)]);
    let bodies: Vec<String> = bench.receive("kept", 0).await.into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, ["third"], "the first is in flight for a thousand seconds");
    assert!(bench.receive("busy", 0).await.is_empty());
}
