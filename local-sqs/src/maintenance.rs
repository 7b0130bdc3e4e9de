//! Keeps the log from growing without bound: messages past their retention go, and what lives in
//! its oldest segment is copied to its end, then that segment is deleted.
//!
//! Copies are handed to the log under their queue's lock, and whatever else happens to a message is
//! handed over only after it happened in memory: so a copy never follows the record of its
//! message's end.

use std::{sync::Arc, time::Duration};

use super::{
    clock::{Ms, wall_ms},
    log::{Durability, Finish, Location, LogError, Segment},
    queue::Queue,
    record::{MessageRecord, Record},
    service::Service,
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
    let queues: Vec<Arc<Queue>> = service.queues().iter().cloned().collect();
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
    let queues: Vec<Arc<Queue>> = service.queues().iter().cloned().collect();
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

/// Some messages whose contents lie in a segment, from a sequence number on, and the last that was
/// looked at.
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
mod tests;
