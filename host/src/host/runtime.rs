//! What settles an open queue's deliveries, started: the lease keeper and the settler.

use std::sync::Arc;

use wasq_core::aws::s3::S3;
use wasq_core::aws::sns::Sns;
use wasq_ledgers::Ledger;
use wasq_queues::{Broker, Brokers, QueueAddress};

use super::outlet::sent_to;
use super::queues::OpenQueue;
use crate::config::AwsConfig;
use crate::flow::QueueRuntime;
use crate::flow::settle::Settler;
use crate::lease::Keeper;
use crate::telemetry::metrics::QueueMeters;

/// Begins the keeper and the settler of a queue. Nothing is received yet.
pub fn start(open: OpenQueue, aws: &AwsConfig, ledger: &Arc<dyn Ledger>) -> QueueRuntime {
    let OpenQueue { name, config, queue, retention, max_bytes, dlq, dlq_max_bytes, .. } = open;
    let aws = AwsConfig { region: queue.region(), ..aws.clone() };
    let check = config.claim_check();
    let s3 = check.as_ref().map(|_| S3::new(&aws, queue.region()));
    let sns = config.confirm_subscriptions.then(|| Sns::new(&aws));
    // The keeper's connections must not wait for the serving threads, so they are made on its own.
    let opened = queue.clone();
    let connect = move || async move {
        match opened.broker() {
            Broker::Sqs => {
                let address = QueueAddress::Sqs(opened.url().to_owned());
                Brokers::new(&aws).queue(&address).await.expect("a URL is taken as it is")
            }
            // A renewal asks nobody: what is held is held by the channel, or by the host itself.
            Broker::RabbitMq | Broker::Kafka => opened,
            Broker::Redis => opened.with_own_connection().await.unwrap_or(opened),
        }
    };
    let queue = sent_to(&queue, s3.clone(), check.as_ref());
    let meters = Arc::new(QueueMeters::default());
    QueueRuntime {
        name,
        keeper: Keeper::start(connect, config.visibility, ledger.clone(), meters.clone()),
        settler: Settler::start(queue.clone(), meters.clone()),
        meters,
        retention,
        max_bytes,
        dlq,
        dlq_max_bytes,
        queue,
        s3,
        sns,
        config,
    }
}
