//! The calls that timers and documents make beside those of entries.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::types::{
    DeleteRequest, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, Select, WriteRequest,
};
use futures::{StreamExt, TryStreamExt};
use wasq_core::message::Key;

use crate::dynamodb::item::{FENCE, ITEM, Item, ItemKey, KEY, bytes, number, text};
use crate::dynamodb::table::{Table, Written, is_refusal};
use crate::ledger::{CALLS_AT_ONCE, Fence, LedgerError};

/// Writes in one call (BatchWriteItem takes 25).
const BATCH_WRITES: usize = 25;
/// How often writes are made again that a call has left out, and the first wait before that; it
/// doubles.
const BATCH_TRIES: u32 = 6;
const BATCH_WAIT: Duration = Duration::from_millis(50);

/// A part of a partition, in the order of its sort keys.
pub struct Range<'a> {
    pub key: Key,
    /// The least sort key; none is the first one.
    pub from: Option<&'a str>,
    /// The greatest.
    pub to: Option<&'a str>,
    pub limit: usize,
    /// Whether all writes before are seen.
    pub is_consistent: bool,
}

impl Table {
    /// The items of a range; at most so many as it says, and a page of DynamoDB's, which is 1 MB.
    pub async fn query(&self, range: Range<'_>) -> Result<Vec<Item>, LedgerError> {
        Ok(self.query_page(range, Select::AllAttributes).await?.items.unwrap_or_default())
    }

    /// How many items there are in a range, and whether there are more.
    pub async fn count(&self, range: Range<'_>) -> Result<(u64, bool), LedgerError> {
        let answer = self.query_page(range, Select::Count).await?;
        Ok((u64::try_from(answer.count).unwrap_or(0), answer.last_evaluated_key.is_some()))
    }

    async fn query_page(&self, range: Range<'_>, select: Select) -> Result<QueryOutput, LedgerError> {
        let mut condition = "#key = :key".to_owned();
        let mut call = self
            .client
            .query()
            .table_name(&self.name)
            .select(select)
            .consistent_read(range.is_consistent)
            .limit(i32::try_from(range.limit).unwrap_or(i32::MAX).max(1))
            .expression_attribute_names("#key", KEY)
            .expression_attribute_values(":key", bytes(&range.key.0));
        let bounds = [(range.from, ":from"), (range.to, ":to")];
        for (bound, placeholder) in bounds {
            if let Some(bound) = bound {
                call = call.expression_attribute_values(placeholder, text(bound));
            }
        }
        condition.push_str(match (range.from, range.to) {
            (Some(_), Some(_)) => " AND #item BETWEEN :from AND :to",
            (Some(_), None) => " AND #item >= :from",
            (None, Some(_)) => " AND #item <= :to",
            (None, None) => "",
        });
        if range.from.or(range.to).is_some() {
            call = call.expression_attribute_names("#item", ITEM);
        }
        let answer = call.key_condition_expression(condition).customize().interceptor(self.time.watch()).send().await;
        answer.map_err(|error| self.failed("Query", None, &error))
    }

    /// Removes an item, with a fence only the one that has it. `Done` holds the item as it was, if
    /// there was one.
    pub async fn delete(&self, item_key: &ItemKey, fence: Option<Fence>) -> Result<Written, LedgerError> {
        let mut call = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(item_key.to_item()))
            .return_values(ReturnValue::AllOld);
        if let Some(fence) = fence {
            call = call
                .condition_expression("#fence = :fence")
                .expression_attribute_names("#fence", FENCE)
                .expression_attribute_values(":fence", number(fence.0))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        }
        match call.customize().interceptor(self.time.watch()).send().await {
            Ok(answer) => Ok(Written::Done(answer.attributes)),
            Err(SdkError::ServiceError(error)) if is_refusal(error.err()) => match error.into_err() {
                DeleteItemError::ConditionalCheckFailedException(refusal) => Ok(Written::Refused(refusal.item)),
                _ => Ok(Written::Refused(None)),
            },
            Err(error) => Err(self.failed("DeleteItem", None, &error)),
        }
    }

    /// Puts items and removes others, without conditions. All of them are made when it is answered
    /// well.
    pub async fn write_batch(&self, puts: Vec<Item>, mut deletes: Vec<ItemKey>) -> Result<(), LedgerError> {
        // DynamoDB takes no call that names an item twice.
        let mut named = HashSet::new();
        deletes.retain(|item_key| named.insert((item_key.key, item_key.item.clone())));
        let put = |item| {
            let request = PutRequest::builder().set_item(Some(item)).build().expect("the item is set");
            WriteRequest::builder().put_request(request).build()
        };
        let delete = |item_key: ItemKey| {
            let request = DeleteRequest::builder().set_key(Some(item_key.to_item())).build().expect("the key is set");
            WriteRequest::builder().delete_request(request).build()
        };
        let writes: Vec<_> = puts.into_iter().map(put).chain(deletes.into_iter().map(delete)).collect();
        let calls: Vec<_> = writes.chunks(BATCH_WRITES).map(|writes| self.write_some(writes.to_vec())).collect();
        futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).try_collect().await
    }

    async fn write_some(&self, mut writes: Vec<WriteRequest>) -> Result<(), LedgerError> {
        for tried in 0..BATCH_TRIES {
            if tried > 0 {
                tokio::time::sleep((BATCH_WAIT * (1 << (tried - 1))).mul_f64(fastrand::f64())).await;
            }
            let call =
                self.client.batch_write_item().set_request_items(Some(HashMap::from([(self.name.clone(), writes)])));
            let answer = call.customize().interceptor(self.time.watch()).send().await;
            let answer = answer.map_err(|error| self.failed("BatchWriteItem", None, &error))?;
            writes = answer.unprocessed_items.unwrap_or_default().remove(&self.name).unwrap_or_default();
            if writes.is_empty() {
                return Ok(());
            }
        }
        let left = writes.len();
        Err(LedgerError::Unavailable(format!(
            "BatchWriteItem on the table `{}`: {left} of its writes were left out {BATCH_TRIES} times",
            self.name
        )))
    }
}
