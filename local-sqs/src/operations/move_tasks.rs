//! Message move tasks: a dead-letter queue's messages go back where they came from, or elsewhere.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{
        address::parse_arn,
        backlog::{Ask, Delivery},
        clock::wall_ms,
        error::{Code, SqsError, SqsResult},
        log::{Durability, Location},
        queue::{Queue, arn_of_reference},
        record::{MoveStatus, MoveTask, Record},
        service::Service,
    },
    Caller, in_range,
    messages::{Incoming, Receives},
    or_default,
};

/// Messages a second that a task moves at most (StartMessageMoveTask in the API reference).
const MAX_PER_SECOND: u64 = 500;
/// Tasks of a queue that are remembered, and listed at most (ListMessageMoveTasks in the API
/// reference).
const MAX_TASKS: usize = 10;
/// How long a message that moves stays hidden if it does not arrive.
const MOVE_MS: u64 = 30_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartMessageMoveTask {
    #[serde(default, deserialize_with = "or_default")]
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskStarted {
    task_handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CancelMessageMoveTask {
    #[serde(default, deserialize_with = "or_default")]
    task_handle: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskCancelled {
    approximate_number_of_messages_moved: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListMessageMoveTasks {
    #[serde(default, deserialize_with = "or_default")]
    source_arn: String,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tasks {
    results: Vec<TaskEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaskEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: MoveStatus,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    started_timestamp: u64,
}

impl Service {
    pub async fn start_message_move_task(
        self: &Arc<Self>,
        request: StartMessageMoveTask,
        caller: &Caller,
    ) -> SqsResult<TaskStarted> {
        let source = self.at_arn("SourceArn", &request.source_arn)?;
        if self.sources_of(&source).is_empty() {
            let message = "Source queue must be configured as a Dead Letter Queue.";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        let destination = match &request.destination_arn {
            Some(arn) => Some(self.at_arn("DestinationArn", arn)?),
            None => None,
        };
        if destination.as_ref().is_some_and(|destination| destination.fifo != source.fifo) {
            let message = "Source and destination must be of the same type.";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        let parameter = "MaxNumberOfMessagesPerSecond";
        let max_per_second = in_range(parameter, request.max_number_of_messages_per_second, 1, MAX_PER_SECOND)?;
        let task = MoveTask {
            id: Uuid::new_v4(),
            destination: destination.map(|queue| queue.reference()),
            max_per_second: max_per_second.map(|number| number as u32),
            status: MoveStatus::Running,
            moved: 0,
            to_move: source.state().backlog.counts(self.clock.now()).visible as u64,
            started_ms: wall_ms(),
            failure: None,
            source: source.reference(),
        };
        {
            let mut tasks = self.moves();
            let running = |other: &&MoveTask| other.source == task.source && other.status == MoveStatus::Running;
            if tasks.values().find(running).is_some() {
                let message = "There is already a task running. Only one active task is allowed for a source queue arn \
                               at a given time.";
                return Err(SqsError::new(Code::InvalidParameterValue, message));
            }
            tasks.insert(task.id, task.clone());
            forget_old(&mut tasks, &task.source);
        }
        let task_handle = handle(task.id, &source.arn(&caller.region));
        // On its own, so that the task is run or forgotten although the client went away.
        let began = tokio::spawn(self.clone().begin(task)).await;
        began.unwrap_or_else(|error| Err(SqsError::new(Code::InternalFailure, error.to_string())))?;
        Ok(TaskStarted { task_handle })
    }

    /// Stores a task that is new in the list, and begins to run it; if it cannot be stored, there
    /// is no such task.
    async fn begin(self: Arc<Self>, task: MoveTask) -> SqsResult<()> {
        let saved = self.save(&task).await;
        match saved {
            Ok(()) => self.resume(task.id),
            Err(_) => drop(self.moves().remove(&task.id)),
        }
        saved
    }

    pub async fn cancel_message_move_task(&self, request: CancelMessageMoveTask) -> SqsResult<TaskCancelled> {
        if request.task_handle.is_empty() {
            return Err(SqsError::missing("TaskHandle"));
        }
        let handle = read_handle(&request.task_handle)
            .ok_or_else(|| SqsError::new(Code::InvalidParameterValue, "Value for parameter TaskHandle is invalid."))?;
        self.at_arn("SourceArn", &handle.source_arn)?;
        let unknown = || SqsError::new(Code::ResourceNotFound, "Task does not exist.");
        let id = handle.task_id.parse().map_err(|_| unknown())?;
        let task = {
            let mut tasks = self.moves();
            let task = tasks.get_mut(&id).ok_or_else(unknown)?;
            if task.status != MoveStatus::Running {
                return Err(SqsError::new(Code::UnsupportedOperation, "Only active tasks can be cancelled."));
            }
            task.status = MoveStatus::Cancelled;
            task.clone()
        };
        self.save(&task).await?;
        Ok(TaskCancelled { approximate_number_of_messages_moved: task.moved })
    }

    pub async fn list_message_move_tasks(&self, request: ListMessageMoveTasks, caller: &Caller) -> SqsResult<Tasks> {
        let source = self.at_arn("SourceArn", &request.source_arn)?;
        let limit = in_range("MaxResults", request.max_results, 1, MAX_TASKS as u64)?.unwrap_or(1) as usize;
        let tasks = self.moves();
        let mut of_source: Vec<&MoveTask> = tasks.values().filter(|task| self.is_of(task, &source)).collect();
        of_source.sort_by_key(|task| std::cmp::Reverse(task.started_ms));
        let results = of_source.into_iter().take(limit).map(|task| entry(task, &caller.region)).collect();
        Ok(Tasks { results })
    }

    /// Goes on with the tasks that a restart interrupted.
    pub fn resume_moves(self: &Arc<Self>) {
        let running: Vec<Uuid> = {
            let tasks = self.moves();
            tasks.values().filter(|task| task.status == MoveStatus::Running).map(|task| task.id).collect()
        };
        for id in running {
            self.clone().resume(id);
        }
    }

    /// Runs a task to its end in the background, as long as the service is open.
    fn resume(self: Arc<Self>, id: Uuid) {
        tokio::spawn(async move {
            let closed = self.polls_ended.clone();
            let ended = tokio::select! {
                () = closed.cancelled() => return,
                ended = self.run(id) => ended,
            };
            let task = {
                let mut tasks = self.moves();
                let Some(task) = tasks.get_mut(&id).filter(|task| task.status == MoveStatus::Running) else { return };
                task.status = if ended.is_ok() { MoveStatus::Completed } else { MoveStatus::Failed };
                task.failure = ended.err().map(|error| error.code.query_name().to_owned());
                task.clone()
            };
            if let Err(error) = self.save(&task).await {
                tracing::warn!(task = %task.id, %error, "cannot record the end of a message move task");
            }
        });
    }

    /// Moves messages one by one until there are none, or as many as there were, or the task is
    /// cancelled.
    async fn run(&self, id: Uuid) -> SqsResult<()> {
        loop {
            let task = self.moves().get(&id).filter(|task| task.status == MoveStatus::Running).cloned();
            let Some(task) = task.filter(|task| task.moved < task.to_move) else { return Ok(()) };
            let source = self.referred(&task.source).ok_or_else(SqsError::no_queue)?;
            let Some(delivery) = self.take_to_move(&source)? else { return Ok(()) };
            self.move_back(&source, delivery, task.destination.as_deref()).await?;
            if let Some(task) = self.moves().get_mut(&id) {
                task.moved += 1;
            }
            if let Some(per_second) = task.max_per_second {
                tokio::time::sleep(Duration::from_secs(1) / per_second).await;
            }
        }
    }

    fn take_to_move(&self, source: &Queue) -> SqsResult<Option<Delivery<Location>>> {
        let mut state = source.living_state()?;
        let wall_ms = wall_ms();
        let expired_before_ms = wall_ms.saturating_sub(state.settings.retention_s * 1_000);
        let mut taken = state.backlog.take(Ask {
            max: 1,
            visibility_ms: MOVE_MS,
            now: self.clock.now(),
            wall_ms,
            expired_before_ms,
            max_receives: None,
        });
        Ok(taken.deliveries.pop())
    }

    /// Moves one message. It becomes a new one, with an id and a time of its own.
    async fn move_back(
        &self,
        source: &Arc<Queue>,
        delivery: Delivery<Location>,
        destination: Option<&str>,
    ) -> SqsResult<()> {
        let seq = delivery.seq;
        let group = delivery.entry.group.as_deref().map(str::to_owned);
        let result = async {
            let mut content = self.contents(&[delivery]).await?.remove(0);
            let origin = content.head.dead_letter_source.take();
            let reference = destination.map(str::to_owned).or(origin);
            let to = reference.and_then(|reference| self.referred(&reference)).ok_or_else(SqsError::no_queue)?;
            let message = Incoming { content, group, dedup_id: None, delay_ms: 0, kept: Receives::default() };
            self.move_message(source, seq, &to, message).await
        };
        let result = result.await;
        if result.is_err() {
            let mut state = source.state();
            state.backlog.show(seq);
            source.wake(&state);
        }
        result
    }

    async fn save(&self, task: &MoveTask) -> SqsResult<()> {
        let slot = self.log.slot().await?;
        slot.commit_and_tell(vec![Record::Move(task.clone())], Vec::new(), Durability::Disk).await?;
        Ok(())
    }

    fn at_arn(&self, parameter: &str, arn: &str) -> SqsResult<Arc<Queue>> {
        if arn.is_empty() {
            return Err(SqsError::missing(parameter));
        }
        if parse_arn(arn).is_none() {
            let message = format!(
                "You must use this format to specify the {parameter}: \
                 arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
            );
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        let unknown = || {
            let message = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
            SqsError::new(Code::ResourceNotFound, message)
        };
        self.queues().at_arn(arn).cloned().ok_or_else(unknown)
    }

    /// Whether a task moves messages out of a queue.
    fn is_of(&self, task: &MoveTask, source: &Queue) -> bool {
        self.referred(&task.source).is_some_and(|queue| queue.number == source.number)
    }
}

/// Forgets all tasks of a source but the latest.
fn forget_old(tasks: &mut BTreeMap<Uuid, MoveTask>, source: &str) {
    let mut of_source: Vec<(u64, Uuid)> =
        tasks.values().filter(|task| task.source == source).map(|task| (task.started_ms, task.id)).collect();
    of_source.sort_unstable();
    for (_, id) in of_source.iter().rev().skip(MAX_TASKS) {
        tasks.remove(id);
    }
}

fn handle(id: Uuid, source_arn: &str) -> String {
    BASE64.encode(serde_json::json!({ "taskId": id.to_string(), "sourceArn": source_arn }).to_string())
}

/// What a task's handle says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskHandle {
    task_id: String,
    source_arn: String,
}

fn read_handle(handle: &str) -> Option<TaskHandle> {
    serde_json::from_slice(&BASE64.decode(handle).ok()?).ok()
}

fn entry(task: &MoveTask, region: &str) -> TaskEntry {
    let source_arn = arn_of_reference(&task.source, region);
    TaskEntry {
        task_handle: (task.status == MoveStatus::Running).then(|| handle(task.id, &source_arn)),
        status: task.status,
        destination_arn: task.destination.as_ref().map(|queue| arn_of_reference(queue, region)),
        max_number_of_messages_per_second: task.max_per_second,
        approximate_number_of_messages_moved: task.moved,
        approximate_number_of_messages_to_move: task.to_move,
        failure_reason: task.failure.clone(),
        started_timestamp: task.started_ms,
        source_arn,
    }
}

#[cfg(test)]
mod tests;
