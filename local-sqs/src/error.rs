//! SQS's errors: each code with its names on the wire and its HTTP status.

/// What went wrong with a request, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct SqsError {
    /// Which of SQS's errors it is.
    pub code: Code,
    /// What is wrong, for a human.
    pub message: String,
}

/// The result of an operation.
pub type SqsResult<T> = Result<T, SqsError>;

impl SqsError {
    /// An error with its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `Value … for parameter … is invalid. Reason: …`, SQS's usual wording.
    pub fn invalid_value(parameter: &str, value: impl std::fmt::Display, reason: &str) -> Self {
        let message = format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
        Self::new(Code::InvalidParameterValue, message)
    }

    /// A required parameter is absent.
    pub fn missing(parameter: &str) -> Self {
        Self::new(Code::MissingParameter, format!("The request must contain the parameter {parameter}."))
    }

    /// There is no such operation, or not here.
    pub fn invalid_action(operation: &str) -> Self {
        Self::new(Code::InvalidAction, format!("The action {operation} is not valid for this endpoint."))
    }

    /// No queue has that name.
    pub fn no_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
    }
}

/// SQS's error codes. Names and statuses: the "Errors" sections of the SQS API reference; the older
/// `AWS.…` names that SDKs still read from `x-amzn-query-error` are the `awsQueryError` traits of
/// the service's public model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    AccessDenied,
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InternalFailure,
    InvalidAction,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    MissingParameter,
    MissingAction,
    OverLimit,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    ResourceNotFound,
    Serialization,
    TooManyEntriesInBatchRequest,
    UnsupportedOperation,
}

impl Code {
    /// The shape's name for `__type`, with its namespace.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::AccessDenied => "com.amazon.coral.service#AccessDeniedException",
            Self::BatchEntryIdsNotDistinct => "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "com.amazonaws.sqs#BatchRequestTooLong",
            Self::EmptyBatchRequest => "com.amazonaws.sqs#EmptyBatchRequest",
            Self::InternalFailure => "com.amazon.coral.service#InternalFailure",
            Self::InvalidAction => "com.amazon.coral.service#UnknownOperationException",
            Self::InvalidAttributeName => "com.amazonaws.sqs#InvalidAttributeName",
            Self::InvalidAttributeValue => "com.amazonaws.sqs#InvalidAttributeValue",
            Self::InvalidBatchEntryId => "com.amazonaws.sqs#InvalidBatchEntryId",
            Self::InvalidMessageContents => "com.amazonaws.sqs#InvalidMessageContents",
            Self::InvalidParameterValue => "com.amazon.coral.service#InvalidParameterValueException",
            Self::MissingParameter => "com.amazon.coral.service#MissingRequiredParameterException",
            Self::MissingAction => "com.amazon.coral.service#MissingActionException",
            Self::OverLimit => "com.amazonaws.sqs#OverLimit",
            Self::PurgeQueueInProgress => "com.amazonaws.sqs#PurgeQueueInProgress",
            Self::QueueDeletedRecently => "com.amazonaws.sqs#QueueDeletedRecently",
            Self::QueueDoesNotExist => "com.amazonaws.sqs#QueueDoesNotExist",
            Self::QueueNameExists => "com.amazonaws.sqs#QueueNameExists",
            Self::ReceiptHandleIsInvalid => "com.amazonaws.sqs#ReceiptHandleIsInvalid",
            Self::ResourceNotFound => "com.amazonaws.sqs#ResourceNotFoundException",
            Self::Serialization => "com.amazon.coral.service#SerializationException",
            Self::TooManyEntriesInBatchRequest => "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            Self::UnsupportedOperation => "com.amazonaws.sqs#UnsupportedOperation",
        }
    }

    /// The code of the older Query protocol: what SDKs report as the error's code.
    pub fn query_name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::BatchEntryIdsNotDistinct => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::InternalFailure => "InternalFailure",
            Self::InvalidAction => "InvalidAction",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidAttributeValue => "InvalidAttributeValue",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MissingParameter => "MissingParameter",
            Self::MissingAction => "MissingAction",
            Self::OverLimit => "OverLimit",
            Self::PurgeQueueInProgress => "AWS.SimpleQueueService.PurgeQueueInProgress",
            Self::QueueDeletedRecently => "AWS.SimpleQueueService.QueueDeletedRecently",
            Self::QueueDoesNotExist => "AWS.SimpleQueueService.NonExistentQueue",
            Self::QueueNameExists => "QueueAlreadyExists",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::TooManyEntriesInBatchRequest => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            Self::UnsupportedOperation => "AWS.SimpleQueueService.UnsupportedOperation",
        }
    }

    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::InternalFailure => 500,
            Self::AccessDenied | Self::OverLimit | Self::PurgeQueueInProgress => 403,
            Self::ReceiptHandleIsInvalid | Self::ResourceNotFound => 404,
            _ => 400,
        }
    }

    /// Whether the caller is at fault, rather than the service.
    pub fn is_sender_fault(self) -> bool {
        self != Self::InternalFailure
    }
}
