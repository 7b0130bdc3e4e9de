//! What a service says about itself is no work: it is acknowledged and counted. SNS's question
//! whether the queue wants a topic is answered only where the operator says so.

use wasq_core::aws::sns::Unconfirmed;

use super::decode::Notice;
use super::services::QueueRuntime;
use crate::exit::Exit;

/// What becomes of it.
pub async fn take(runtime: &QueueRuntime, notice: &Notice) -> Exit {
    let queue = &runtime.name;
    match notice {
        Notice::Test => Exit::Notice { reason: "a test that a notification was set up".into() },
        Notice::Unsubscribed { topic_arn } => {
            tracing::warn!(queue, topic_arn, "SNS has ended this queue's subscription to a topic");
            Exit::Notice { reason: format!("the subscription to {topic_arn} has ended") }
        }
        Notice::Subscription { topic_arn, token } => subscription(runtime, topic_arn, token).await,
    }
}

async fn subscription(runtime: &QueueRuntime, topic_arn: &str, token: &str) -> Exit {
    let (queue, config) = (&runtime.name, &runtime.config);
    let Some(sns) = runtime.sns.as_ref().filter(|_| config.wants_topic(topic_arn)) else {
        tracing::warn!(
            queue,
            topic_arn,
            "SNS asks whether this queue wants a topic's messages, and nobody has said so; the question goes to the DLQ"
        );
        return Exit::Invalid { reason: unconfirmed(topic_arn) };
    };
    match sns.confirm_subscription(topic_arn, token).await {
        Ok(()) => {
            tracing::warn!(queue, topic_arn, "this queue's subscription to a topic is confirmed");
            Exit::Notice { reason: format!("the subscription to {topic_arn} is confirmed") }
        }
        Err(Unconfirmed { reason, may_pass: true }) => {
            Exit::Unavailable { dependency: "sns".into(), reason, after: None }
        }
        Err(Unconfirmed { reason, may_pass: false }) => {
            Exit::Invalid { reason: format!("the subscription to {topic_arn} is not confirmed: {reason}") }
        }
    }
}

fn unconfirmed(topic_arn: &str) -> String {
    format!(
        "SNS asks whether the queue wants the messages of {topic_arn}: set confirm_subscriptions and topics on the queue and \
         replay this, or call sns:ConfirmSubscription with its Token"
    )
}
