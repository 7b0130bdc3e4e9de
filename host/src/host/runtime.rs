//! What settles an open queue's deliveries, started: the lease keeper and the settler.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasq_core::aws::s3::S3;
use wasq_core::aws::sns::Sns;
use wasq_queues::{Broker, Brokers, QueueAddress};

use super::outlet::sent_to;
use super::queues::OpenQueue;
use crate::admission::fair_queue::FairQueue;
use crate::admission::queue_limit::QueueLimit;
use crate::config::{AwsConfig, Config};
use crate::flow::settle::Settler;
use crate::flow::{QueueRuntime, Services};
use crate::lease::Keeper;
use crate::telemetry::metrics::QueueMeters;

/// Begins the keeper and the settler of a queue. Nothing is received yet.
pub fn start(open: OpenQueue, whole: &Config, services: &Services) -> QueueRuntime {
    let Services { ledger, hidden, .. } = services;
    let OpenQueue { name, config, queue, retention, max_bytes, dlq, dlq_max_bytes, .. } = open;
    let aws = AwsConfig { region: queue.region(), ..whole.aws.clone() };
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
    let fair = FairQueue::of(&config, &whole.limits);
    QueueRuntime {
        limit: QueueLimit::new(config.concurrency, fair.as_ref().map(|fair| fair.turns().clone())),
        fair,
        waiting_room: Arc::new(Semaphore::new(whole.limits.rate_waiting)),
        number: whole.queues.keys().position(|known| *known == name).unwrap_or_default(),
        name,
        keeper: Keeper::start(connect, config.visibility, ledger.clone(), meters.clone()),
        settler: Settler::start(queue.clone(), meters.clone(), hidden.clone(), config.concurrency.max()),
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
