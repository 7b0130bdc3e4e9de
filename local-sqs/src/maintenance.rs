//! Keeps the log from growing without bound: messages past their retention go, and what lives in its oldest segment is copied to its end, then that segment
//! is deleted.
//!
//! Copies are handed to the log under their queue's lock, and whatever else happens to a message is handed over only
//! after it happened in memory: so a copy never follows the record of its message's end.

use std::{sync::Arc, time::Duration};

use super::{
    clock::{Ms, wall_ms},
    log::{Durability, Finish, Location, LogError, Segment},
    record::{MessageRecord, Record},
    service::{Queue, Service},
};

/// How often to look whether a segment can go.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of contents that are copied in one commit, or one message.
const COPY_BYTES: usize = 1024 * 1024;

/// Runs until the service is closed.
pub async fn maintain(service: Arc<Service>) {
    let closed = service.polls_ended.clone();
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = expire(&service).await {
            tracing::warn!(%error, "cannot expire messages of the local queue");
        }
        make_room(&service).await;
    }
}

/// Drops messages past their retention from queues that nobody receives from.
async fn expire(service: &Service) -> Result<(), LogError> {
    let queues: Vec<Arc<Queue>> = service.queues().values().cloned().collect();
    for queue in queues {
        let slot = service.log.slot().await?;
        let stored = {
            let Ok(mut state) = queue.living_state() else { continue };
            let retention_ms = state.settings.retention_s * 1_000;
            let expired = state.backlog.sweep(wall_ms().saturating_sub(retention_ms));
            if expired.is_empty() {
                continue;
            }
            slot.commit_and_tell(vec![Record::Delete(queue.number, expired)], Vec::new(), Durability::System)
        };
        stored.await?;
    }
    Ok(())
}

/// Retires segments as long as it is worth it.
async fn make_room(service: &Arc<Service>) {
    while let Some(oldest) = service.log.retirable(service.clock.now()) {
        if let Err(error) = retire(service, &oldest).await {
            tracing::warn!(path = %oldest.path.display(), %error, "cannot make room in the local queue's log");
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MaintenanceError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn retire(service: &Arc<Service>, oldest: &Arc<Segment>) -> Result<(), MaintenanceError> {
    // Whatever was written to the segment is in memory once a later commit has finished.
    barrier(service).await?;
    let queues: Vec<Arc<Queue>> = service.queues().values().cloned().collect();
    for queue in &queues {
        redefine(service, queue).await?;
        let mut from = 0;
        while let Some((last, places)) = survivors(queue, oldest, from) {
            let read = tokio::task::spawn_blocking(move || {
                places.into_iter().map(|(seq, place)| Ok((seq, place.read()?))).collect::<std::io::Result<Vec<_>>>()
            });
            let contents = read.await.map_err(std::io::Error::other)??;
            copy(service, queue, oldest, contents).await?;
            from = last + 1;
        }
    }
    let tasks = service.moves().values().cloned().map(Record::Move).collect();
    service.log.slot().await?.commit_and_tell(tasks, Vec::new(), Durability::System).await?;
    barrier(service).await?;
    service.log.retire(oldest)?;
    Ok(())
}

/// Ends when all that was handed over before is on disk.
async fn barrier(service: &Service) -> Result<(), LogError> {
    service.log.slot().await?.commit_and_tell(Vec::new(), Vec::new(), Durability::Disk).await
}

async fn redefine(service: &Service, queue: &Queue) -> Result<(), LogError> {
    let slot = service.log.slot().await?;
    let stored = {
        let Ok(state) = queue.living_state() else { return Ok(()) };
        let record = Record::Queue(state.definition.clone());
        slot.commit_and_tell(vec![record], Vec::new(), Durability::System)
    };
    stored.await
}

/// Some messages whose contents lie in a segment, from a sequence number on, and the last that was looked at.
fn survivors(queue: &Queue, segment: &Segment, from: u64) -> Option<(u64, Vec<(u64, Location)>)> {
    let state = queue.living_state().ok()?;
    let (mut found, mut bytes, mut last) = (Vec::new(), 0, None);
    for (seq, entry) in state.backlog.iter_from(from) {
        last = Some(seq);
        if entry.place.is_in(segment) {
            bytes += entry.place.bytes() as usize;
            found.push((seq, entry.place.clone()));
        }
        if bytes >= COPY_BYTES {
            break;
        }
    }
    Some((last?, found))
}

/// Copies messages, those that are still there, to the log's end.
async fn copy(
    service: &Service,
    queue: &Arc<Queue>,
    oldest: &Segment,
    messages: Vec<(u64, Vec<u8>)>,
) -> Result<(), LogError> {
    let slot = service.log.slot().await?;
    let (done, told) = tokio::sync::oneshot::channel();
    {
        let Ok(state) = queue.living_state() else { return Ok(()) };
        let (mut seqs, mut records, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for (seq, content) in messages {
            let Some(entry) = state.backlog.get(seq).filter(|entry| entry.place.is_in(oldest)) else { continue };
            seqs.push(seq);
            records.push(Record::Put(MessageRecord {
                queue: queue.number,
                seq,
                id: entry.id,
                sent_ms: entry.sent_ms,
                group: entry.group.as_deref().map(str::to_owned),
                // Its window is over: the segment was kept until then.
                dedup: None::<(String, Ms)>,
                state: entry.state,
                bytes: content.len() as u32,
            }));
            contents.push(content);
        }
        let queue = queue.clone();
        let finish: Finish = Box::new(move |result| {
            let result = result.map(|locations| {
                let mut state = queue.state();
                for (seq, location) in seqs.into_iter().zip(locations) {
                    if let Some(place) = state.backlog.place_mut(seq) {
                        *place = location;
                    }
                }
            });
            // The one who asked waits for this, unless the runtime is gone.
            let _ = done.send(result);
        });
        slot.commit(records, contents, Durability::System, finish);
    }
    told.await.unwrap_or(Err(LogError::Closed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{log::Log, operations::Caller},
        *,
    };

    struct Bench {
        dir: tempfile::TempDir,
        service: Arc<Service>,
    }

    impl Bench {
        fn open(dir: tempfile::TempDir) -> Self {
            let (log, replayed) = Log::open(dir.path()).unwrap();
            Self { dir, service: Arc::new(Service::new(log, replayed)) }
        }

        async fn reopen(self) -> Self {
            let service = self.service;
            tokio::task::spawn_blocking(move || service.log.close()).await.unwrap();
            Self::open(self.dir)
        }

        async fn send(&self, queue: &str, body: &str) {
            let request = json!({ "QueueUrl": queue, "MessageBody": body });
            self.service.send_message(serde_json::from_value(request).unwrap()).await.unwrap();
        }

        /// Receives up to ten messages' bodies and handles, hidden for so long.
        async fn receive(&self, queue: &str, visibility_s: u32) -> Vec<(String, String)> {
            let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": visibility_s });
            let caller = Caller { base_url: String::new(), region: "us-east-1".into() };
            let answer = self.service.receive_message(serde_json::from_value(request).unwrap(), &caller).await.unwrap();
            let answer = serde_json::to_value(answer).unwrap();
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            messages.iter().map(|message| (text(&message["Body"]), text(&message["ReceiptHandle"]))).collect()
        }

        async fn delete(&self, queue: &str, handle: &str) {
            let request = json!({ "QueueUrl": queue, "ReceiptHandle": handle });
            self.service.delete_message(serde_json::from_value(request).unwrap()).await.unwrap();
        }

        fn segments(&self) -> usize {
            std::fs::read_dir(self.dir.path()).unwrap().count() - 1
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn old_segments_go_and_what_lived_in_them_stays() {
        let bench = Bench::open(tempfile::tempdir().unwrap());
        let caller = Caller { base_url: String::new(), region: "us-east-1".into() };
        for name in ["kept", "busy"] {
            let request = json!({ "QueueName": name, "tags": { "name": name } });
            bench.service.create_queue(serde_json::from_value(request).unwrap(), &caller).await.unwrap();
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
        assert!(bench.service.queues().values().all(|queue| !queue.name.is_empty()));

        let bench = bench.reopen().await;
        assert_eq!(bench.service.named("kept").unwrap().state().definition.tags["name"], "kept");
        let state_of =
            |seq| bench.service.named("kept").unwrap().state().backlog.get(seq).map(|entry| entry.state.count);
        assert_eq!([state_of(1), state_of(2), state_of(3)], [Some(2), None, Some(0)]);
        let bodies: Vec<String> = bench.receive("kept", 0).await.into_iter().map(|(body, _)| body).collect();
        assert_eq!(bodies, ["third"], "the first is in flight for a thousand seconds");
        assert!(bench.receive("busy", 0).await.is_empty());
    }
}
