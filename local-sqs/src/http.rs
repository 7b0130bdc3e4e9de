//! Requests and their answers: reads a call by its protocol, has its operation done, and writes
//! the answer; faults step in between.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    address::{Account, DEFAULT_REGION, parse_url},
    error::{Code, SqsError, SqsResult},
    faults::{Effect, Faults},
    message::MAX_TRACE_BYTES,
    operations::{self, Caller, ReceiveMessage},
    protocol::{self, Answer, Call, Scope},
    service::Service,
};

/// Bytes of a request at most: 1 MiB of text in JSON's longest escapes, and some space around.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// Where X-Ray puts a request's trace. One that no message could have is passed over.
const TRACE_HEADER: &str = "x-amzn-trace-id";

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault closed the connection")]
pub struct Dropped;

/// Answers requests.
pub struct Http {
    pub service: Arc<Service>,
    pub faults: Arc<Faults>,
}

impl Http {
    /// Answers one request.
    ///
    /// # Errors
    /// [`Dropped`], by order of a fault.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST_BYTES).collect().await;
        let body = body.map(Collected::to_bytes).map_err(|error| unread(&*error));
        let Call { operation, request, format } = match protocol::read(&head, body) {
            Ok(call) => call,
            Err(rejected) => return Ok(protocol::write(rejected.answer, &rejected.operation, rejected.format)),
        };
        let Some(known) = operations::find(&operation) else {
            return Ok(protocol::write(SqsError::invalid_action(&operation).into(), &operation, format));
        };
        let caller = caller(&head);
        let effect = self.faults.meet(known, || queue_name(&request));
        let answer = match effect {
            None => self.run(&operation, &request, &caller, false).await,
            Some(effect) => self.run_with(effect, &operation, request, &caller).await?,
        };
        Ok(protocol::write(answer, &operation, format))
    }

    async fn run_with(&self, effect: Effect, operation: &str, body: Bytes, caller: &Caller) -> Result<Answer, Dropped> {
        match effect {
            Effect::Delay(delay) => tokio::time::sleep(delay).await,
            Effect::Hang => {
                self.service.polls_ended.cancelled().await;
                return Err(Dropped);
            }
            Effect::FailBefore { code, status } => return Ok(ordered_error(code, status)),
            Effect::FailAfter { code, status } => {
                self.run(operation, &body, caller, false).await;
                return Ok(ordered_error(code, status));
            }
            Effect::FailEntries { places, code } => {
                return Ok(self.run_in_part(operation, &body, caller, places, code).await);
            }
            Effect::Duplicate => return Ok(self.run(operation, &body, caller, true).await),
            Effect::DropConnection => return Err(Dropped),
            Effect::Garble => {
                return Ok(match self.run(operation, &body, caller, false).await {
                    Answer::Content(mut content) => {
                        content.truncate(content.len() / 2);
                        Answer::Content(content)
                    }
                    other @ (Answer::Error { .. } | Answer::NotFound) => other,
                });
            }
        }
        Ok(self.run(operation, &body, caller, false).await)
    }

    /// Runs a batch without the entries at some places, which the answer calls failed.
    async fn run_in_part(
        &self,
        operation: &str,
        body: &[u8],
        caller: &Caller,
        places: Vec<usize>,
        code: String,
    ) -> Answer {
        let mut request: Value = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => return SqsError::new(Code::Serialization, error.to_string()).into(),
        };
        let entries = request["Entries"].as_array().cloned().unwrap_or_default();
        let (failed, kept): (Vec<_>, Vec<_>) =
            entries.into_iter().enumerate().partition(|(place, _)| places.contains(place));
        request["Entries"] = kept.into_iter().map(|(_, entry)| entry).collect();
        let content = match self.run(operation, request.to_string().as_bytes(), caller, false).await {
            Answer::Content(content) => content,
            // Nothing was left to run.
            Answer::Error { query_name, .. } if query_name == Code::EmptyBatchRequest.query_name() => b"{}".to_vec(),
            other @ (Answer::Error { .. } | Answer::NotFound) => return other,
        };
        let mut answer: Value = serde_json::from_slice(&content).expect("our own answer is JSON");
        if answer["Successful"].is_null() {
            answer["Successful"] = Value::Array(Vec::new());
        }
        let mut all = answer["Failed"].as_array().cloned().unwrap_or_default();
        all.extend(failed.into_iter().map(|(_, entry)| {
            serde_json::json!({ "Id": entry["Id"], "Code": code, "SenderFault": false, "Message": "ordered by a test" })
        }));
        answer["Failed"] = Value::Array(all);
        Answer::Content(answer.to_string().into_bytes())
    }

    /// Has an operation done.
    async fn run(&self, operation: &str, body: &[u8], caller: &Caller, duplicate: bool) -> Answer {
        let service = &self.service;
        let result = async {
            match operation {
                "ReceiveMessage" => {
                    let mut request: ReceiveMessage = read(body)?;
                    request.duplicate = duplicate;
                    Answer::of(service.receive_message(request, caller).await?)
                }
                "SendMessage" => Answer::of(service.send_message(read(body)?, caller).await?),
                "SendMessageBatch" => Answer::of(service.send_message_batch(read(body)?, caller).await?),
                "DeleteMessage" => Answer::of(service.delete_message(read(body)?, caller).await?),
                "DeleteMessageBatch" => Answer::of(service.delete_message_batch(read(body)?, caller).await?),
                "ChangeMessageVisibility" => Answer::of(service.change_message_visibility(read(body)?, caller).await?),
                "ChangeMessageVisibilityBatch" => {
                    Answer::of(service.change_message_visibility_batch(read(body)?, caller).await?)
                }
                "CreateQueue" => Answer::of(service.create_queue(read(body)?, caller).await?),
                "DeleteQueue" => Answer::of(service.delete_queue(read(body)?, caller).await?),
                "PurgeQueue" => Answer::of(service.purge_queue(read(body)?, caller).await?),
                "GetQueueUrl" => Answer::of(service.get_queue_url(read(body)?, caller).await?),
                "ListQueues" => Answer::of(service.list_queues(read(body)?, caller).await?),
                "GetQueueAttributes" => Answer::of(service.get_queue_attributes(read(body)?, caller).await?),
                "SetQueueAttributes" => Answer::of(service.set_queue_attributes(read(body)?, caller).await?),
                "ListDeadLetterSourceQueues" => {
                    Answer::of(service.list_dead_letter_source_queues(read(body)?, caller).await?)
                }
                "StartMessageMoveTask" => Answer::of(service.start_message_move_task(read(body)?, caller).await?),
                "CancelMessageMoveTask" => Answer::of(service.cancel_message_move_task(read(body)?).await?),
                "ListMessageMoveTasks" => Answer::of(service.list_message_move_tasks(read(body)?, caller).await?),
                "TagQueue" => Answer::of(service.tag_queue(read(body)?, caller).await?),
                "UntagQueue" => Answer::of(service.untag_queue(read(body)?, caller).await?),
                "ListQueueTags" => Answer::of(service.list_queue_tags(read(body)?, caller).await?),
                "AddPermission" => Answer::of(service.add_permission(read(body)?, caller).await?),
                "RemovePermission" => Answer::of(service.remove_permission(read(body)?, caller).await?),
                _ => Err(SqsError::invalid_action(operation)),
            }
        };
        result.await.unwrap_or_else(Answer::from)
    }
}

/// Why a body is not read to its end.
fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> SqsError {
    let message = match error.is::<LengthLimitError>() {
        true => format!("The request has more than {MAX_REQUEST_BYTES} bytes: send less in one request."),
        false => format!("The request breaks off before its end: {error}. Send it again."),
    };
    SqsError::new(Code::InvalidParameterValue, message)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> SqsResult<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| SqsError::new(Code::Serialization, error.to_string()))
}

fn ordered_error(code: String, status: u16) -> Answer {
    let short = code.rsplit('.').next().unwrap_or(&code);
    let type_name = format!("com.amazonaws.sqs#{short}");
    Answer::Error { type_name, query_name: code, status, message: "ordered by a test".to_owned() }
}

fn caller(head: &Parts) -> Caller {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).unwrap_or("localhost");
    let scope = Scope::of(head);
    Caller {
        base_url: format!("http://{host}"),
        region: scope.region().unwrap_or(DEFAULT_REGION).to_owned(),
        account: Account::parse(scope.key_id()).unwrap_or(Account::DEFAULT),
        trace: text(TRACE_HEADER).filter(|trace| (1..=MAX_TRACE_BYTES).contains(&trace.len())).map(str::to_owned),
    }
}

/// The name of the queue that a request is about.
fn queue_name(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Named {
        queue_url: String,
        queue_name: String,
    }
    let named: Named = serde_json::from_slice(body).unwrap_or_default();
    if named.queue_name.is_empty() { parse_url(&named.queue_url).1.to_owned() } else { named.queue_name }
}
