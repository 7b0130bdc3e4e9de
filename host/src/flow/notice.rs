//! What a service says about itself is no work: it is acknowledged and counted. SNS's question
//! whether the queue wants a topic is answered only where the operator says so.

use super::decode::Notice;
use super::services::{QueueRuntime, Services};
use crate::exit::Exit;

/// What becomes of it.
pub async fn take(services: &Services, runtime: &QueueRuntime, notice: &Notice) -> Exit {
    let queue = &runtime.name;
    match notice {
        Notice::Test => Exit::Notice { reason: "a test that a notification was set up".into() },
        Notice::Unsubscribed { topic_arn } => {
            tracing::warn!(queue, topic_arn, "SNS has ended this queue's subscription to a topic");
            Exit::Notice { reason: format!("the subscription to {topic_arn} has ended") }
        }
        Notice::Subscription { topic_arn, token } => {
            let _ = (services, token);
            tracing::warn!(
                queue,
                topic_arn,
                "SNS asks whether this queue wants a topic's messages, and nothing confirms it; it goes to the DLQ"
            );
            Exit::Invalid { reason: unconfirmed(topic_arn) }
        }
    }
}

fn unconfirmed(topic_arn: &str) -> String {
    format!(
        "SNS asks whether the queue wants the messages of {topic_arn}: set confirm_subscriptions and topics on the queue and \
         replay this, or call sns:ConfirmSubscription with its Token"
    )
}
