//! The calls that the ledger makes on its table.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use wasq_core::aws::NoAnswer;
use wasq_core::message::Key;

use super::item::{Item, ItemKey, KEY};
use super::time::{Bounds, ServerTime};
use super::update::Update;
use crate::ledger::LedgerError;

/// How long a call may take with all its attempts, and one of these.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts of a call within the SDK: after throttling, a server's error, or none of its answers.
const CALL_ATTEMPTS: u32 = 3;
/// Bounds on the SDK's jittered wait before another attempt.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// A table, and the clock of its server.
#[derive(Clone)]
pub struct Table {
    pub client: Client,
    pub name: String,
    pub time: ServerTime,
}

/// What became of a conditional write.
#[derive(Debug)]
pub enum Written {
    /// It was made. The item as it is now, if that was asked for.
    Done(Option<Item>),
    /// The condition does not hold. The item as it stands, if the server says it; not all do.
    Refused(Option<Item>),
}

impl Table {
    pub fn new(shared: &SdkConfig, name: &str) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let retries = RetryConfig::standard()
            .with_max_attempts(CALL_ATTEMPTS)
            .with_initial_backoff(BACKOFF_FIRST)
            .with_max_backoff(BACKOFF_MAX);
        let config = aws_sdk_dynamodb::config::Builder::from(shared)
            .timeout_config(timeouts.build())
            .retry_config(retries)
            .build();
        Self { client: Client::from_conf(config), name: name.to_owned(), time: ServerTime::default() }
    }

    /// The server's clock now.
    pub fn now(&self) -> Result<Bounds, LedgerError> {
        let unknown = || LedgerError::Unavailable("no answer of DynamoDB has said its time".into());
        self.time.now().ok_or_else(unknown)
    }

    /// The item as it is after all writes before, or those of its attributes that the expression
    /// names.
    pub async fn get(&self, item_key: &ItemKey, projected: Option<Projection>) -> Result<Option<Item>, LedgerError> {
        let mut call =
            self.client.get_item().table_name(&self.name).set_key(Some(item_key.to_item())).consistent_read(true);
        if let Some(Projection { expression, names }) = projected {
            call = call.projection_expression(expression);
            for (placeholder, name) in names {
                call = call.expression_attribute_names(placeholder, name);
            }
        }
        let answer = call.customize().interceptor(self.time.watch()).send().await;
        Ok(answer.map_err(|error| self.failed("GetItem", None, &error))?.item)
    }

    /// Writes the item over whatever is there.
    pub async fn put(&self, item: Item) -> Result<(), LedgerError> {
        let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let answer = call.customize().interceptor(self.time.watch()).send().await;
        answer.map(drop).map_err(|error| self.failed("PutItem", None, &error))
    }

    /// Writes the item if there is none of its keys.
    pub async fn put_new(&self, item: Item) -> Result<Written, LedgerError> {
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.customize().interceptor(self.time.watch()).send().await {
            Ok(_) => Ok(Written::Done(None)),
            Err(SdkError::ServiceError(error)) if is_refusal(error.err()) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(refusal) => Ok(Written::Refused(refusal.item)),
                _ => Ok(Written::Refused(None)),
            },
            Err(error) => Err(self.failed("PutItem", None, &error)),
        }
    }

    /// Changes an item. `returned` is what the answer of a change that was made holds.
    pub async fn update(
        &self,
        item_key: &ItemKey,
        update: Update,
        returned: ReturnValue,
    ) -> Result<Written, LedgerError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(item_key.to_item()))
            .update_expression(update.expression())
            .set_condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values((!update.values.is_empty()).then_some(update.values))
            .return_values(returned)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.customize().interceptor(self.time.watch()).send().await {
            Ok(answer) => Ok(Written::Done(answer.attributes)),
            Err(SdkError::ServiceError(error)) if is_refusal(error.err()) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => Ok(Written::Refused(refusal.item)),
                _ => Ok(Written::Refused(None)),
            },
            Err(error) => Err(self.failed("UpdateItem", Some(item_key.key), &error)),
        }
    }

    /// What an error means to a caller. `key` is the one whose item was to be changed.
    fn failed<E, R>(&self, action: &str, key: Option<Key>, error: &SdkError<E, R>) -> LedgerError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let said = error.as_service_error().filter(|error| error.code() == Some("ValidationException"));
        let said = said.and_then(ProvideErrorMetadata::message).unwrap_or_default();
        let what = explain(&self.name, action, error);
        match key {
            _ if said.contains(ITEM_TOO_LARGE) => LedgerError::TooLarge(what),
            Some(key) if UNFIT_ITEM.iter().any(|part| said.contains(part)) => {
                LedgerError::Damaged(format!("{}: {what}", key.to_hex()))
            }
            Some(_) | None => LedgerError::Unavailable(what),
        }
    }
}

/// How DynamoDB says that an item would grow over its limit.
const ITEM_TOO_LARGE: &str = "maximum allowed size";
/// How it says that an attribute which an update builds on is missing or of another type.
const UNFIT_ITEM: [&str; 3] = ["document path provided", "incorrect data type", "does not exist in the item"];

/// Some of an item's attributes.
#[derive(Debug)]
pub struct Projection {
    pub expression: &'static str,
    pub names: Vec<(&'static str, String)>,
}

/// The error's code.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// What went wrong with an action on a table, and the way out where there is one.
pub fn explain<E, R>(table: &str, action: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let message = service.err().message().unwrap_or("no reason given");
            match service.err().code().unwrap_or("Unknown") {
                "ResourceNotFoundException" => {
                    format!(
                        "{action}: there is no table `{table}` in DynamoDB; start the host anew to see how to make it"
                    )
                }
                "AccessDeniedException" => {
                    format!(
                        "dynamodb:{action} is not allowed on the table `{table}`: grant it to the host's role ({message})"
                    )
                }
                "ValidationException" if message.contains(ITEM_TOO_LARGE) => {
                    format!("{action} on the table `{table}`: the item would be larger than DynamoDB's 400 KB")
                }
                code => format!("{action} on the table `{table}`: {code}: {message}"),
            }
        }
        SdkError::TimeoutError(_) => format!("{action} on the table `{table}`: no answer in time"),
        other => format!("{action} on the table `{table}`: {}", NoAnswer::of(other)),
    }
}

/// Whether it says that a write's condition does not hold.
fn is_refusal(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}
