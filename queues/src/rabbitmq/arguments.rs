//! What a queue was declared with, as far as AMQP lets one ask.
//!
//! There is no question for it. But RabbitMQ refuses a declaration that differs from the queue, and
//! names the first argument that does, with the value that the queue has. So a declaration that must
//! be refused is made to look like the queue, argument by argument, until it differs in the one that
//! is asked for. It makes no queue where there is none: the value that it has for that argument is
//! of a type that RabbitMQ refuses.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::link::{Live, call};
use crate::queue::{DeliveryLimit, QueueError};

/// Refusals that are read at most: RabbitMQ knows fewer arguments.
const REFUSALS_MAX: usize = 32;
const QUEUE_TYPE: &str = "x-queue-type";
const DELIVERY_LIMIT: &str = "x-delivery-limit";

/// How often a message of a queue is delivered before RabbitMQ drops it: once more than it may come
/// back. `None` for a classic queue, `Default` for a quorum queue that does not say so.
///
/// # Errors
/// RabbitMQ's word where it may not be asked, or the queue has gone.
pub async fn delivery_limit(live: &Live, name: &ShortString) -> Result<DeliveryLimit, QueueError> {
    let target = live.target().queue(name.as_str());
    let mut table = FieldTable::default();
    table.insert(QUEUE_TYPE.into(), text("quorum"));
    table.insert(DELIVERY_LIMIT.into(), text("asked for"));
    for _ in 0..REFUSALS_MAX {
        // RabbitMQ ends the channel of a declaration that it refuses.
        let channel = live.channel(&target).await?;
        let declared = channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), table.clone());
        let refusal = match call(&target, declared).await {
            Err(QueueError::Permanent { code, message }) if code == "PreconditionFailed" => message,
            Err(error) => return Err(error),
            // The queue's type does not know the argument.
            Ok(_) => return Ok(DeliveryLimit::None),
        };
        match Difference::read(&refusal) {
            Some(Difference { argument: DELIVERY_LIMIT, current }) => {
                return Ok(match current.map(|(value, _)| value.parse::<i64>()) {
                    None => DeliveryLimit::Default,
                    // RabbitMQ 4 has a negative one for no limit.
                    Some(Ok(limit)) => u32::try_from(limit)
                        .map_or(DeliveryLimit::None, |limit| DeliveryLimit::Deliveries(limit.saturating_add(1))),
                    Some(Err(_)) => DeliveryLimit::None,
                });
            }
            Some(Difference { argument, current }) if argument != QUEUE_TYPE => {
                let Some((value, kind)) = current else { return Ok(DeliveryLimit::None) };
                table.insert(argument.into(), typed(value, kind));
            }
            Some(_) | None => return Ok(DeliveryLimit::None),
        }
    }
    Ok(DeliveryLimit::None)
}

/// The first argument in which a queue differs from its declaration, and its value and type in the
/// queue.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'t> {
    argument: &'t str,
    current: Option<(&'t str, &'t str)>,
}

impl<'t> Difference<'t> {
    /// Out of RabbitMQ's words: `inequivalent arg 'x-expires' for queue 'q' in vhost '/': received
    /// none but current is the value '60000' of type 'long'`.
    fn read(refusal: &'t str) -> Option<Self> {
        let (_, rest) = refusal.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, current) = rest.rsplit_once(" but current is ")?;
        let current = match current.strip_prefix("the value '") {
            Some(typed) => {
                let (value, kind) = typed.rsplit_once("' of type '")?;
                Some((value, kind.split('\'').next().unwrap_or(kind)))
            }
            // Of the type that was received, or none at all.
            None => current.strip_prefix('\'').and_then(|value| Some((value.rsplit_once('\'')?.0, ""))),
        };
        Some(Self { argument, current })
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// A value as RabbitMQ writes it, and the name that it has for its type. Of numbers only the value
/// counts.
fn typed(value: &str, kind: &str) -> AMQPValue {
    match (kind, value.parse()) {
        ("bool", _) => AMQPValue::Boolean(value == "true"),
        ("longstr", _) | (_, Err(_)) => text(value),
        (_, Ok(number)) => AMQPValue::LongLongInt(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_queue_has() {
        let check = |words: &str, expect: Option<(&str, Option<(&str, &str)>)>| {
            let refusal = format!("PRECONDITION_FAILED - inequivalent arg {words}");
            let read = Difference::read(&refusal).map(|read| (read.argument, read.current));
            assert_eq!(read, expect, "{refusal}");
        };
        check(
            "'x-delivery-limit' for queue 'q' in vhost '/': received the value 'asked for' of type 'longstr' but current is the \
             value '20' of type 'signedint'",
            Some(("x-delivery-limit", Some(("20", "signedint")))),
        );
        check(
            "'x-dead-letter-exchange' for queue 'it's but current is 1' in vhost '/': received none but current is the value '' \
             of type 'longstr'",
            Some(("x-dead-letter-exchange", Some(("", "longstr")))),
        );
        check(
            "'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
            Some(("x-queue-type", None)),
        );
        check(
            "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'; and a hint",
            Some(("x-queue-type", Some(("classic", "")))),
        );
        assert_eq!(Difference::read("PRECONDITION_FAILED - something else"), None);
    }

    #[test]
    fn a_value_goes_back_as_it_came() {
        assert_eq!(typed("20", "signedint"), AMQPValue::LongLongInt(20));
        assert_eq!(typed("20", "longstr"), text("20"));
        assert_eq!(typed("true", "bool"), AMQPValue::Boolean(true));
        assert_eq!(typed("reject-publish", "longstr"), text("reject-publish"));
    }
}
