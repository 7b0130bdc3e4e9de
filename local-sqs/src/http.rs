//! The protocol: AWS JSON 1.0 over HTTP. Reads a request, has its operation done, and writes the
//! answer; faults step in between.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    error::{Code, SqsError, SqsResult},
    faults::{Effect, Faults},
    operations::{Caller, ReceiveMessage},
    service::{Service, name_in_url},
};

/// Bytes of a request at most: 1 MiB of text in JSON's longest escapes, and some space around.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
const JSON: &str = "application/x-amz-json-1.0";
const TARGET_PREFIX: &str = "AmazonSQS.";
const DEFAULT_REGION: &str = "us-east-1";

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault closed the connection")]
pub struct Dropped;

/// Answers requests.
pub struct Http {
    pub service: Arc<Service>,
    pub faults: Arc<Faults>,
}

/// An answer: its content, or an error's names on the wire.
enum Answer {
    Content(Vec<u8>),
    Error { type_name: String, query_name: String, status: u16, message: String },
}

impl Http {
    /// Answers one request.
    ///
    /// # Errors
    /// [`Dropped`], by order of a fault.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (head, body) = request.into_parts();
        let operation = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let Some(operation) = operation.and_then(|target| target.strip_prefix(TARGET_PREFIX)).map(str::to_owned) else {
            return Ok(not_our_protocol(&head));
        };
        let caller = caller(&head);
        let body = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                let message =
                    format!("The request cannot be read, or has more than {MAX_REQUEST_BYTES} bytes: {error}");
                return Ok(SqsError::new(Code::InvalidParameterValue, message).into_answer().into_response());
            }
        };
        let effect = self.faults.meet(&operation, || queue_name(&body));
        let answer = match effect {
            None => self.run(&operation, &body, &caller, false).await,
            Some(effect) => self.run_with(effect, &operation, body, &caller).await?,
        };
        Ok(answer.into_response())
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
                    error @ Answer::Error { .. } => error,
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
            Err(error) => return SqsError::new(Code::Serialization, error.to_string()).into_answer(),
        };
        let entries = request["Entries"].as_array().cloned().unwrap_or_default();
        let (failed, kept): (Vec<_>, Vec<_>) =
            entries.into_iter().enumerate().partition(|(place, _)| places.contains(place));
        request["Entries"] = kept.into_iter().map(|(_, entry)| entry).collect();
        let content = match self.run(operation, request.to_string().as_bytes(), caller, false).await {
            Answer::Content(content) => content,
            // Nothing was left to run.
            Answer::Error { query_name, .. } if query_name == Code::EmptyBatchRequest.query_name() => b"{}".to_vec(),
            error @ Answer::Error { .. } => return error,
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
                    write(service.receive_message(request, caller).await?)
                }
                "SendMessage" => write(service.send_message(read(body)?).await?),
                "SendMessageBatch" => write(service.send_message_batch(read(body)?).await?),
                "DeleteMessage" => write(service.delete_message(read(body)?).await?),
                "DeleteMessageBatch" => write(service.delete_message_batch(read(body)?).await?),
                "ChangeMessageVisibility" => write(service.change_message_visibility(read(body)?).await?),
                "ChangeMessageVisibilityBatch" => write(service.change_message_visibility_batch(read(body)?).await?),
                "CreateQueue" => write(service.create_queue(read(body)?, caller).await?),
                "DeleteQueue" => write(service.delete_queue(read(body)?).await?),
                "PurgeQueue" => write(service.purge_queue(read(body)?).await?),
                "GetQueueUrl" => write(service.get_queue_url(read(body)?, caller).await?),
                "ListQueues" => write(service.list_queues(read(body)?, caller).await?),
                "GetQueueAttributes" => write(service.get_queue_attributes(read(body)?, caller).await?),
                "SetQueueAttributes" => write(service.set_queue_attributes(read(body)?).await?),
                "ListDeadLetterSourceQueues" => {
                    write(service.list_dead_letter_source_queues(read(body)?, caller).await?)
                }
                "StartMessageMoveTask" => write(service.start_message_move_task(read(body)?, caller).await?),
                "CancelMessageMoveTask" => write(service.cancel_message_move_task(read(body)?).await?),
                "ListMessageMoveTasks" => write(service.list_message_move_tasks(read(body)?, caller).await?),
                "TagQueue" => write(service.tag_queue(read(body)?).await?),
                "UntagQueue" => write(service.untag_queue(read(body)?).await?),
                "ListQueueTags" => write(service.list_queue_tags(read(body)?).await?),
                "AddPermission" => write(service.add_permission(read(body)?).await?),
                "RemovePermission" => write(service.remove_permission(read(body)?).await?),
                _ => Err(SqsError::new(
                    Code::InvalidAction,
                    format!("The action {operation} is not valid for this endpoint."),
                )),
            }
        };
        result.await.unwrap_or_else(SqsError::into_answer)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> SqsResult<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| SqsError::new(Code::Serialization, error.to_string()))
}

fn write(answer: impl Serialize) -> SqsResult<Answer> {
    let written = serde_json::to_vec(&answer).map(Answer::Content);
    written.map_err(|error| SqsError::new(Code::InternalFailure, error.to_string()))
}

impl SqsError {
    fn into_answer(self) -> Answer {
        Answer::Error {
            type_name: self.code.type_name().to_owned(),
            query_name: self.code.query_name().to_owned(),
            status: self.code.status(),
            message: self.message,
        }
    }
}

fn ordered_error(code: String, status: u16) -> Answer {
    let short = code.rsplit('.').next().unwrap_or(&code);
    let type_name = format!("com.amazonaws.sqs#{short}");
    Answer::Error { type_name, query_name: code, status, message: "ordered by a test".to_owned() }
}

impl Answer {
    fn into_response(self) -> Response<Full<Bytes>> {
        let request_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid().to_string();
        let response = Response::builder().header(header::CONTENT_TYPE, JSON).header("x-amzn-requestid", request_id);
        let response = match self {
            Self::Content(content) => response.body(Full::from(content)),
            Self::Error { type_name, query_name, status, message } => {
                let fault = if status < 500 { "Sender" } else { "Receiver" };
                let body = serde_json::json!({ "__type": type_name, "message": message }).to_string();
                let response = response.status(status).header("x-amzn-query-error", format!("{query_name};{fault}"));
                response.body(Full::from(body))
            }
        };
        response.expect("the headers are plain ASCII, and a fault's status and code are a test's own")
    }
}

/// What to tell a client that does not speak the JSON protocol, in the form that it can read.
fn not_our_protocol(head: &http::request::Parts) -> Response<Full<Bytes>> {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let hint = "This endpoint speaks SQS's AWS JSON 1.0 protocol: POST with the header X-Amz-Target: AmazonSQS.OPERATION. \
                Any AWS SDK or aws cli since November 2023 does.";
    if head.method == Method::POST && content_type.starts_with("application/x-www-form-urlencoded") {
        let body = format!(
            "<?xml version=\"1.0\"?><ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>{hint} \
             Update the client: it uses the older Query protocol.</Message></Error></ErrorResponse>"
        );
        let response = Response::builder().status(StatusCode::BAD_REQUEST).header(header::CONTENT_TYPE, "text/xml");
        return response.body(Full::from(body)).expect("the headers are plain ASCII");
    }
    SqsError::new(Code::InvalidAction, hint).into_answer().into_response()
}

fn caller(head: &http::request::Parts) -> Caller {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or("localhost");
    // Credential=KEY/DATE/REGION/sqs/aws4_request
    let credential = text(header::AUTHORIZATION).and_then(|value| value.split_once("Credential="));
    let region = credential.and_then(|(_, scope)| scope.split('/').nth(2)).filter(|region| !region.is_empty());
    Caller { base_url: format!("http://{host}"), region: region.unwrap_or(DEFAULT_REGION).to_owned() }
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
    if named.queue_name.is_empty() { name_in_url(&named.queue_url).to_owned() } else { named.queue_name }
}
