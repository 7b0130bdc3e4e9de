//! Between the SDK's types and the host's.

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use bytes::Bytes;
use tokio::time::Instant;
use wasq_core::message::{AttributeData, AttributeValue, Delivery, MessageId, Receipt, UnixMs};

use super::error::by_code;
use crate::queue::{Outgoing, QueueError};

/// A message as an entry of a batch that is sent.
///
/// # Errors
/// A body that is not UTF-8, which SQS does not take.
pub fn send_entry(index: usize, message: &Outgoing) -> Result<SendMessageBatchRequestEntry, QueueError> {
    let body = std::str::from_utf8(&message.body).map_err(|error| QueueError::Permanent {
        code: "InvalidMessageContents".into(),
        message: format!("the body is not UTF-8: {error}"),
    })?;
    let attributes = message.attributes.iter().map(|(name, value)| (name.clone(), to_sdk(value)));
    let delay_s = (message.delay_s > 0).then_some(message.delay_s as i32);
    Ok(SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(body)
        .set_message_attributes(Some(attributes.collect()))
        .set_delay_seconds(delay_s)
        .set_message_group_id(message.group.clone())
        .set_message_deduplication_id(message.deduplication_id.clone())
        .build()
        .expect("id and body are set"))
}

/// Sorts a batch's answer back into the order of its entries. An entry that the answer does not
/// name was not done.
pub fn by_index<'a, T>(
    len: usize,
    successful: impl Iterator<Item = (&'a str, T)>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Result<T, QueueError>> {
    let missing =
        || QueueError::Transient { code: "NoAnswer".into(), message: "the batch's answer leaves it out".into() };
    let mut answers: Vec<Result<T, QueueError>> = (0..len).map(|_| Err(missing())).collect();
    for (id, value) in successful {
        if let Some(answer) = id.parse::<usize>().ok().and_then(|index| answers.get_mut(index)) {
            *answer = Ok(value);
        }
    }
    for entry in failed {
        if let Some(answer) = entry.id.parse::<usize>().ok().and_then(|index| answers.get_mut(index)) {
            let message = entry.message.clone().unwrap_or_default();
            *answer = Err(by_code(&entry.code, message, entry.sender_fault));
        }
    }
    answers
}

/// A message that the SDK has received.
pub fn delivery(message: aws_sdk_sqs::types::Message, received_at: Instant) -> Delivery {
    let system = message.attributes.unwrap_or_default();
    let text = |name: MessageSystemAttributeName| system.get(&name).cloned();
    let number = |name| text(name).and_then(|value| value.parse::<u64>().ok());
    let attributes =
        message.message_attributes.unwrap_or_default().into_iter().map(|(name, value)| (name, from_sdk(value)));
    let sent_at = UnixMs(number(MessageSystemAttributeName::SentTimestamp).unwrap_or(0));
    Delivery {
        message_id: MessageId(message.message_id.unwrap_or_default()),
        receipt: Receipt(message.receipt_handle.unwrap_or_default()),
        body: Bytes::from(message.body.unwrap_or_default()),
        attributes: attributes.collect(),
        receive_count: number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1) as u32,
        sent_at,
        enqueued_at: sent_at,
        group: text(MessageSystemAttributeName::MessageGroupId),
        deduplication_id: text(MessageSystemAttributeName::MessageDeduplicationId),
        trace_header: text(MessageSystemAttributeName::AwsTraceHeader),
        received_at,
    }
}

fn from_sdk(value: MessageAttributeValue) -> AttributeValue {
    let data = match value.binary_value {
        Some(blob) => AttributeData::Binary(Bytes::from(blob.into_inner())),
        None => AttributeData::Text(value.string_value.unwrap_or_default()),
    };
    AttributeValue { data_type: value.data_type, value: data }
}

fn to_sdk(value: &AttributeValue) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder().data_type(&value.data_type);
    match &value.value {
        AttributeData::Text(text) => builder.string_value(text),
        AttributeData::Binary(bytes) => builder.binary_value(Blob::new(bytes.as_ref())),
    }
    .build()
    .expect("the data type is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_the_answer_leaves_out_was_not_done() {
        let failed =
            BatchResultErrorEntry::builder().id("1").code("InternalError").sender_fault(false).build().unwrap();
        let answers = by_index(3, [("0", ())].into_iter(), &[failed]);
        assert!(answers[0].is_ok());
        assert!(matches!(&answers[1], Err(QueueError::Transient { code, .. }) if code == "InternalError"));
        assert!(matches!(&answers[2], Err(QueueError::Transient { code, .. }) if code == "NoAnswer"));
    }
}
