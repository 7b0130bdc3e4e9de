//! The Query protocol of SDKs before November 2023: parameters in the query string and the form
//! body, and the answer in XML.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Method, Response, header, request::Parts};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::{
    super::error::{Code, SqsError, SqsResult},
    call::{Answer, AnswerFormat, Call, Rejected, fault},
    parameters::Parameters,
    site, xml,
};

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";
/// Operations whose answers have a result. The others' say only that they are done.
const WITH_RESULT: [&str; 14] = [
    "CancelMessageMoveTask",
    "ChangeMessageVisibilityBatch",
    "CreateQueue",
    "DeleteMessageBatch",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "ReceiveMessage",
    "SendMessage",
    "SendMessageBatch",
    "StartMessageMoveTask",
];
/// Operations that no queue's own URL takes.
const NOT_OF_A_QUEUE: [&str; 2] = ["CreateQueue", "ListQueues"];

/// Reads a request. Only GET and POST call an operation.
///
/// # Errors
/// [`Rejected`], for one that names no operation, one that its URL does not take, one that a page
/// of another site sends, and one without its body.
pub fn read(head: &Parts, body: SqsResult<Bytes>) -> Result<Call, Rejected> {
    let format = answer_format(head);
    if !matches!(head.method, Method::GET | Method::POST) {
        return Err(no_operation(head, format));
    }
    let unnamed = |error: SqsError| Rejected { operation: String::new(), answer: error.into(), format };
    site::check(head).map_err(unnamed)?;
    let body = body.map_err(unnamed)?;
    let mut parameters = Parameters::default();
    for (name, value) in in_url(head) {
        parameters.insert(&name, value.into_owned());
    }
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(header::CONTENT_TYPE).starts_with("application/x-www-form-urlencoded") {
        for (name, value) in form_urlencoded::parse(&body) {
            parameters.insert(&name, value.into_owned());
        }
    }
    let operation = parameters.get("Action").unwrap_or_default().to_owned();
    if operation.is_empty() {
        return Err(no_operation(head, format));
    }
    let refused = |error: SqsError| Rejected { operation: operation.clone(), answer: error.into(), format };
    let mut request = parameters.to_json().map_err(refused)?;
    for protocols_own in ["Action", "Version"] {
        request.remove(protocols_own);
    }
    let is_queue = head.uri.path().split('/').any(|segment| !segment.is_empty());
    if is_queue && NOT_OF_A_QUEUE.contains(&operation.as_str()) {
        return Err(refused(SqsError::invalid_action(&operation)));
    }
    if is_queue && !request.contains_key("QueueUrl") {
        request.insert("QueueUrl".to_owned(), head.uri.path().into());
    }
    rename_fields(&operation, &mut request);
    let request = Value::from(request).to_string().into();
    Ok(Call { operation, request, format })
}

/// Renames the fields that AWS JSON calls otherwise, and drops what the Query protocol overrides.
fn rename_fields(operation: &str, request: &mut Map<String, Value>) {
    match operation {
        "CreateQueue" => {
            if let Some(tags) = request.remove("Tags") {
                request.insert("tags".to_owned(), tags);
            }
        }
        // Whoever names attributes the older way gets no others.
        "ReceiveMessage" if request.contains_key("AttributeNames") => {
            request.remove("MessageSystemAttributeNames");
        }
        _ => {}
    }
}

/// The scope of a signature that stands in the query string.
pub fn scope(head: &Parts) -> Option<Cow<'_, str>> {
    in_url(head).find(|(name, _)| name == "X-Amz-Credential").map(|(_, scope)| scope)
}

fn in_url(head: &Parts) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
}

fn answer_format(head: &Parts) -> AnswerFormat {
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.starts_with("application/json") { AnswerFormat::QueryJson } else { AnswerFormat::Xml }
}

/// What to say to a request that names no operation, in the form that its sender can read.
fn no_operation(head: &Parts, format: AnswerFormat) -> Rejected {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (answer, format) = if content_type.is_some_and(|content_type| content_type.contains("json")) {
        let hint = "This endpoint speaks SQS's protocols: AWS JSON 1.0, a POST with the header X-Amz-Target: \
                    AmazonSQS.OPERATION, and the older Query protocol, with the parameter Action=OPERATION.";
        (SqsError::new(Code::InvalidAction, hint).into(), AnswerFormat::Json)
    } else if head.method == Method::POST {
        let message = "The request must contain the parameter Action.";
        (SqsError::new(Code::MissingAction, message).into(), format)
    } else {
        (Answer::NotFound, AnswerFormat::Xml)
    };
    Rejected { operation: String::new(), answer, format }
}

/// Writes an answer.
pub fn write(answer: Answer, operation: &str, request_id: &str, format: AnswerFormat) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Answer::Content(content) => match serde_json::from_slice::<Map<String, Value>>(&content) {
            Ok(result) if format == AnswerFormat::Xml => (200, done_xml(operation, &result, request_id)),
            Ok(result) => (200, done_json(operation, result, request_id)),
            // Only a fault makes such an answer; it goes out as torn as it is.
            Err(_) => (200, String::from_utf8_lossy(&content).into_owned()),
        },
        Answer::NotFound => (404, "<UnknownOperationException/>".to_owned()),
        Answer::Error { query_name, status, message, .. } => {
            let message = match query_name == Code::QueueDoesNotExist.query_name() {
                true => "The specified queue does not exist for this wsdl version.",
                false => &message,
            };
            let error = match format {
                AnswerFormat::Xml => error_xml(&query_name, status, message, request_id),
                AnswerFormat::Json | AnswerFormat::QueryJson => json!({
                    "Error": { "Code": query_name, "Message": message, "Type": fault(status) },
                    "RequestId": request_id,
                })
                .to_string(),
            };
            (status, error)
        }
    };
    let content_type = if format == AnswerFormat::Xml { "text/xml" } else { "application/json" };
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    let response = response.header("x-amzn-requestid", request_id).body(Full::from(body));
    response.expect("the headers are plain ASCII, and a fault's status is a test's own")
}

fn done_xml(operation: &str, result: &Map<String, Value>, request_id: &str) -> String {
    let mut body = String::new();
    xml::fields(&mut body, operation, result);
    let result = match (WITH_RESULT.contains(&operation), body.is_empty()) {
        (false, _) => String::new(),
        (true, true) => format!("<{operation}Result/>"),
        (true, false) => format!("<{operation}Result>{body}</{operation}Result>"),
    };
    format!(
        "<?xml version=\"1.0\"?><{operation}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata><RequestId>\
         {request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )
}

fn error_xml(code: &str, status: u16, message: &str, request_id: &str) -> String {
    let mut error = String::new();
    for (name, text) in [("Type", fault(status)), ("Code", code), ("Message", message)] {
        xml::text(&mut error, name, text);
    }
    format!(
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{error}<Detail/></Error><RequestId>\
         {request_id}</RequestId></ErrorResponse>"
    )
}

/// The answer for those who ask for JSON: attributes are a list of pairs, and some names begin
/// with a small letter.
fn done_json(operation: &str, result: Map<String, Value>, request_id: &str) -> String {
    let renamed = result.into_iter().map(|(name, value)| match (name.as_str(), value) {
        ("Messages", value) => ("messages".to_owned(), value),
        ("QueueUrls", value) => ("queueUrls".to_owned(), value),
        ("Attributes", Value::Object(attributes)) => {
            let pairs = attributes.into_iter().map(|(name, value)| json!({ "Name": name, "Value": value }));
            ("Attributes".to_owned(), pairs.collect())
        }
        (_, value) => (name, value),
    });
    let mut answer = Map::new();
    if WITH_RESULT.contains(&operation) {
        answer.insert(format!("{operation}Result"), renamed.collect::<Map<_, _>>().into());
    }
    answer.insert("ResponseMetadata".to_owned(), json!({ "RequestId": request_id }));
    let mut response = Map::new();
    response.insert(format!("{operation}Response"), answer.into());
    Value::from(response).to_string()
}
