//! Topics that are made.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode;

use super::client::{Listener, common};
use super::config::{KafkaConfig, TopicTopology, topic_rule};
use super::error::{CallTarget, configuration, failed, refused};
use super::queries::Asker;
use super::server::checked;
use crate::queue::QueueError;

/// What leaves a number to the cluster (KIP-464).
const CLUSTERS_OWN: i32 = -1;

/// Makes a topic. One that is there with as many partitions stays as it is.
///
/// # Errors
/// Kafka's word, or in what the topic that is there differs.
pub async fn make(config: &KafkaConfig, topic: &TopicTopology) -> Result<(), QueueError> {
    if let Some(rule) = topic_rule(&topic.name) {
        return Err(configuration(format!("Kafka: the topic {:?}: {rule}", topic.name)));
    }
    let address = checked(config)?;
    let target = CallTarget::server(&address.url());
    let client = common(config, &address);
    let asker = Asker::new(&client, target.clone(), config.connect_timeout)?;
    match asker.partitions(&topic.name).await {
        Ok(there) => return same(&target, topic, there),
        Err(error) if error.says_missing() => {}
        Err(error) => return Err(error),
    }
    let listener = Listener::default();
    let admin =
        AdminClient::from_config_and_context(&client, listener).map_err(|error| failed(&target, &error, None))?;
    let partitions = topic.partitions.map_or(CLUSTERS_OWN, |number| i32::try_from(number).unwrap_or(i32::MAX));
    let replication = topic.replication_factor.map_or(CLUSTERS_OWN, i32::from);
    let wanted = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(replication));
    let options = AdminOptions::new()
        .request_timeout(Some(config.connect_timeout))
        .operation_timeout(Some(config.connect_timeout));
    let target = target.topic(&topic.name);
    let answers = admin.create_topics([&wanted], &options).await.map_err(|error| failed(&target, &error, None))?;
    match answers.into_iter().next() {
        // Somebody else has made it meanwhile.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
            same(&target, topic, asker.partitions(&topic.name).await?)
        }
        Some(Err((_, code))) => Err(refused(&target, code, None)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Whether a topic that is there is as it is to be.
fn same(target: &CallTarget, topic: &TopicTopology, there: usize) -> Result<(), QueueError> {
    let Some(wanted) = topic.partitions.filter(|wanted| *wanted as usize != there) else { return Ok(()) };
    let message = format!(
        "{}: it has {there} partitions, and `partitions` is {wanted}: more of them would move keys to others, so it stays as it \
         is; set `partitions = {there}`, or make a topic of another name",
        target.topic(&topic.name)
    );
    Err(QueueError::Permanent { code: "TopicDiffers".into(), message })
}
