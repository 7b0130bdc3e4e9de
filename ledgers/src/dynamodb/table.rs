//! The calls that the ledger makes on its table. Those on an item are made without the SDK where
//! that is known to work (see [`wasq_core::aws::request_template`]), and by the SDK else: the first
//! one, and each that does not come back well.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::time::Instant;
use wasq_core::aws::NoAnswer;
use wasq_core::aws::direct::{DirectAnswer, DirectCall};
use wasq_core::aws::request_template::RequestTemplates;
use wasq_core::clock;
use wasq_core::message::Key;

use super::item::{Item, ItemKey, KEY};
use super::time::{Bounds, ServerTime};
use super::update::Update;
use super::wire::{self, Answer, Attributes, Placeholders};
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
    /// What the SDK's calls fill in, for those that are made without it.
    templates: RequestTemplates,
}

/// What became of a conditional write.
pub type Written = Answer;

/// That there is no item of the new one's keys.
const NOT_THERE: &str = "attribute_not_exists(#key)";

impl Table {
    /// With `sdk_only` every call is the SDK's.
    pub fn new(shared: &SdkConfig, name: &str, sdk_only: bool) -> Self {
        let templates = RequestTemplates::new(shared);
        let timeouts =
            TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let retries = RetryConfig::standard()
            .with_max_attempts(CALL_ATTEMPTS)
            .with_initial_backoff(BACKOFF_FIRST)
            .with_max_backoff(BACKOFF_MAX);
        let mut config = aws_sdk_dynamodb::config::Builder::from(shared);
        if !sdk_only {
            config = config.identity_cache(templates.clone()).interceptor(templates.clone());
        }
        let config = config.timeout_config(timeouts.build()).retry_config(retries).build();
        Self { client: Client::from_conf(config), name: name.to_owned(), time: ServerTime::default(), templates }
    }

    /// The server's clock now.
    pub fn now(&self) -> Result<Bounds, LedgerError> {
        let unknown = || LedgerError::Unavailable("no answer of DynamoDB has said its time".into());
        self.time.now().ok_or_else(unknown)
    }

    /// The item as it is after all writes before, or those of its attributes that the expression
    /// names.
    pub async fn get(&self, item_key: &ItemKey, projected: Option<Projection>) -> Result<Option<Item>, LedgerError> {
        let (expression, names) = projected.map(|Projection { expression, names }| (expression, names)).unzip();
        let (began, key) = (clock::now(), item_key.to_item());
        let request = wire::GetItem {
            table_name: &self.name,
            key: Attributes(&key),
            consistent_read: true,
            projection_expression: expression,
            expression_attribute_names: names.as_ref(),
        };
        // Without a condition there is no refusal.
        if let Some(Answer::Done(item) | Answer::Refused(item)) = self.direct(wire::GET_ITEM, &request).await {
            return Ok(item);
        }
        let call = async move {
            let names = names.map(|names| names.into_iter().map(|(placeholder, name)| (placeholder.into(), name)));
            let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
            let call = call
                .set_projection_expression(expression.map(str::to_owned))
                .set_expression_attribute_names(names.map(Iterator::collect));
            let answer = call.customize().interceptor(self.time.watch()).send().await;
            Ok(answer.map_err(|error| self.failed("GetItem", None, &error))?.item)
        };
        self.by_sdk("GetItem", began, call.boxed()).await
    }

    /// Writes the item over whatever is there.
    pub async fn put(&self, item: Item) -> Result<(), LedgerError> {
        self.put_if(item, None).await.map(drop)
    }

    /// Writes the item if there is none of its keys.
    pub async fn put_new(&self, item: Item) -> Result<Written, LedgerError> {
        self.put_if(item, Some(NOT_THERE)).await
    }

    async fn put_if(&self, item: Item, condition: Option<&'static str>) -> Result<Written, LedgerError> {
        let began = clock::now();
        let names = condition.map(|_| [("#key".to_owned(), KEY.to_owned())]);
        let on_refusal = condition.map(|_| ReturnValuesOnConditionCheckFailure::AllOld);
        let request = wire::PutItem {
            table_name: &self.name,
            item: Attributes(&item),
            condition_expression: condition,
            expression_attribute_names: names.as_ref().map(|names| Placeholders(names)),
            return_values_on_condition_check_failure: on_refusal.as_ref().map(|values| values.as_str()),
        };
        if let Some(answer) = self.direct(wire::PUT_ITEM, &request).await {
            return Ok(answer);
        }
        let call = async move {
            let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
            let call = call
                .set_condition_expression(condition.map(str::to_owned))
                .set_expression_attribute_names(names.map(HashMap::from))
                .set_return_values_on_condition_check_failure(on_refusal);
            match call.customize().interceptor(self.time.watch()).send().await {
                Ok(_) => Ok(Written::Done(None)),
                Err(SdkError::ServiceError(error)) if is_refusal(error.err()) => match error.into_err() {
                    PutItemError::ConditionalCheckFailedException(refusal) => Ok(Written::Refused(refusal.item)),
                    _ => Ok(Written::Refused(None)),
                },
                Err(error) => Err(self.failed("PutItem", None, &error)),
            }
        };
        self.by_sdk("PutItem", began, call.boxed()).await
    }

    /// Changes an item. `returned` is what the answer of a change that was made holds.
    pub async fn update(
        &self,
        item_key: &ItemKey,
        update: Update,
        returned: ReturnValue,
    ) -> Result<Written, LedgerError> {
        let (began, key) = (clock::now(), item_key.to_item());
        let expression = update.expression();
        let on_refusal = ReturnValuesOnConditionCheckFailure::AllOld;
        let request = wire::UpdateItem {
            table_name: &self.name,
            key: Attributes(&key),
            update_expression: &expression,
            condition_expression: update.condition(),
            expression_attribute_names: Placeholders(&update.names),
            expression_attribute_values: Placeholders(&update.values),
            return_values: returned.as_str(),
            return_values_on_condition_check_failure: on_refusal.as_str(),
        };
        if let Some(answer) = self.direct(wire::UPDATE_ITEM, &request).await {
            return Ok(answer);
        }
        let call = async move {
            let condition = update.condition().map(str::to_owned);
            let values = (!update.values.is_empty()).then(|| update.values.into_iter().collect());
            let call = self.client.update_item().table_name(&self.name).set_key(Some(key));
            let call = call
                .update_expression(expression)
                .set_condition_expression(condition)
                .set_expression_attribute_names(Some(update.names.into_iter().collect()))
                .set_expression_attribute_values(values)
                .return_values(returned)
                .return_values_on_condition_check_failure(on_refusal);
            match call.customize().interceptor(self.time.watch()).send().await {
                Ok(answer) => Ok(Written::Done(answer.attributes)),
                Err(SdkError::ServiceError(error)) if is_refusal(error.err()) => match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(refusal) => Ok(Written::Refused(refusal.item)),
                    _ => Ok(Written::Refused(None)),
                },
                Err(error) => Err(self.failed("UpdateItem", Some(item_key.key), &error)),
            }
        };
        self.by_sdk("UpdateItem", began, call.boxed()).await
    }

    /// A call without the SDK. None where the SDK is to make it, or to make it again: a write that
    /// was made may be repeated, as by the SDK's own retries.
    async fn direct(&self, operation: &'static str, request: &impl Serialize) -> Option<Answer> {
        let body = serde_json::to_vec(request).ok()?;
        let call = DirectCall { operation, headers: &[], body, within: ATTEMPT_TIMEOUT };
        let sent = clock::now();
        let read = |answer: DirectAnswer| {
            self.time.learn_from(sent, answer.status >= 500, answer.headers.get("date"));
            wire::read(&answer)
        };
        self.templates.call(call, read).await.ok()
    }

    /// A call of the SDK's, within what is left of the time since `began`.
    async fn by_sdk<T>(
        &self,
        action: &str,
        began: Instant,
        call: BoxFuture<'_, Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let left = CALL_TIMEOUT.saturating_sub(began.elapsed());
        let late = |_| Err(LedgerError::Unavailable(no_answer_in_time(&self.name, action)));
        tokio::time::timeout(left, call).await.unwrap_or_else(late)
    }

    /// What an error means to a caller. `key` is the one whose item was to be changed.
    pub fn failed<E, R>(&self, action: &str, key: Option<Key>, error: &SdkError<E, R>) -> LedgerError
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
    pub names: HashMap<&'static str, String>,
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
        SdkError::TimeoutError(_) => no_answer_in_time(table, action),
        other => format!("{action} on the table `{table}`: {}", NoAnswer::of(other)),
    }
}

fn no_answer_in_time(table: &str, action: &str) -> String {
    format!("{action} on the table `{table}`: no answer in time")
}

/// Whether it says that a write's condition does not hold.
pub fn is_refusal(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}
