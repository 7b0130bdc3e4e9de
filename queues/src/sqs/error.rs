//! What SQS and its SDK call an error, and which of ours it is.

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use wasq_core::aws::NoAnswer;

use crate::queue::QueueError;

/// From an SDK's error to ours.
pub fn classify<E, R>(error: &SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let Some(code) = service.err().code() else { return unreadable(&NoAnswer::of(error).to_string()) };
            refused(code, service.err().message().unwrap_or_default().to_owned())
        }
        SdkError::ConstructionFailure(_) => {
            QueueError::Permanent { code: "Configuration".into(), message: DisplayErrorContext(error).to_string() }
        }
        SdkError::TimeoutError(_) => no_answer_in_time(),
        other => match NoAnswer::of(other) {
            NoAnswer::Credentials(fault) if fault.may_pass() => QueueError::Transient {
                code: "NoCredentials".into(),
                message: NoAnswer::Credentials(fault).to_string(),
            },
            why @ NoAnswer::Credentials(_) => {
                QueueError::Permanent { code: "NoCredentials".into(), message: why.to_string() }
            }
            why @ NoAnswer::Region => QueueError::Permanent { code: "NoRegion".into(), message: why.to_string() },
            why @ NoAnswer::Other(_) => no_answer(why.to_string()),
        },
    }
}

/// SQS says no.
pub fn refused(code: &str, message: String) -> QueueError {
    by_code(code, message, !is_server_fault(code))
}

pub fn unreadable(why: &str) -> QueueError {
    QueueError::Transient { code: "Unknown".into(), message: format!("the answer cannot be read: {why}") }
}

/// From the way there, or what is at its end.
pub fn no_answer(message: String) -> QueueError {
    QueueError::Transient { code: "NoAnswer".into(), message }
}

pub fn no_answer_in_time() -> QueueError {
    QueueError::Transient { code: "Timeout".into(), message: "no answer in time".into() }
}

fn is_server_fault(code: &str) -> bool {
    let code = short_code(code);
    code.starts_with("Internal") || code == "ServiceUnavailable" || is_throttling(code)
}

fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "RequestThrottled"
            | "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "SlowDown"
            | "KmsThrottled"
            | "KMS.ThrottlingException"
            | "OverLimit"
            | "RequestLimitExceeded"
    )
}

/// The last part of a code: `AWS.SimpleQueueService.NonExistentQueue` and
/// `com.amazonaws.sqs#QueueDoesNotExist` are read alike.
fn short_code(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

pub fn by_code(code: &str, message: String, sender_fault: bool) -> QueueError {
    match short_code(code) {
        "ReceiptHandleIsInvalid" | "InvalidReceiptHandle" | "MessageNotInflight" => QueueError::LeaseLost { message },
        // SQS says so of a handle whose message has gone:
        // `Value … for parameter ReceiptHandle is invalid`.
        "InvalidParameterValue" if message.contains("ReceiptHandle") => QueueError::LeaseLost { message },
        short if !sender_fault || is_throttling(short) => QueueError::Transient { code: short.into(), message },
        short => QueueError::Permanent { code: short.into(), message },
    }
}
