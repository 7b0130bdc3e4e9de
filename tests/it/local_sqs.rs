//! The local queue over HTTP, through the AWS SDK for Rust: durability, order, redrive, limits,
//! faults.

mod durability;
mod faults;
mod messages;
mod queues;

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    types::{Message, QueueAttributeName},
};
use wasq_local_sqs::{LocalSqs, Options};

/// An SDK client of an endpoint, which tries everything once.
fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "tests"))
        .retry_config(RetryConfig::disabled())
        .http_client(wasq_core::aws::http_client())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// A local queue and a client of it. The directory outlives restarts.
struct Local {
    dir: tempfile::TempDir,
    sqs: LocalSqs,
    client: Client,
}

impl Local {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(dir: tempfile::TempDir) -> Self {
        let sqs = LocalSqs::start(Options::new(dir.path()).port(0)).await.unwrap();
        let client = client(&sqs.endpoint_url());
        Self { dir, sqs, client }
    }

    async fn restart(self) -> Self {
        self.sqs.shutdown().await;
        Self::start_in(self.dir).await
    }

    /// Makes a queue and gives its URL.
    async fn create(&self, name: &str, attributes: &[(&str, &str)]) -> String {
        let mut request = self.client.create_queue().queue_name(name);
        if name.ends_with(".fifo") {
            request = request.attributes(QueueAttributeName::FifoQueue, "true");
        }
        for (name, value) in attributes {
            request = request.attributes(QueueAttributeName::from(*name), *value);
        }
        request.send().await.unwrap().queue_url.unwrap()
    }

    /// The URL of a queue, for the endpoint as it is now.
    async fn url(&self, name: &str) -> String {
        self.client.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
    }

    async fn send(&self, url: &str, body: &str) -> String {
        self.client.send_message().queue_url(url).message_body(body).send().await.unwrap().message_id.unwrap()
    }

    async fn send_to_group(&self, url: &str, group: &str, id: &str) -> String {
        let request = self.client.send_message().queue_url(url).message_body(id);
        let request = request.message_group_id(group).message_deduplication_id(id);
        request.send().await.unwrap().sequence_number.unwrap()
    }

    /// Receives up to ten messages without waiting, hidden for so many seconds.
    async fn receive(&self, url: &str, visibility_s: i32) -> Vec<Message> {
        let request = self.client.receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.visibility_timeout(visibility_s).message_system_attribute_names("All".into());
        request.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default()
    }

    async fn delete(&self, url: &str, message: &Message) {
        let handle = message.receipt_handle().unwrap();
        self.client.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
    }

    async fn attribute(&self, url: &str, name: &str) -> String {
        let request = self.client.get_queue_attributes().queue_url(url).attribute_names(name.into());
        let answer = request.send().await.unwrap();
        answer.attributes.unwrap_or_default().remove(&QueueAttributeName::from(name)).unwrap_or_default()
    }

    /// A dead-letter queue and a queue that sends there what was received once.
    async fn create_with_dead_letters(&self, name: &str, dead: &str) -> (String, String) {
        let dead_url = self.create(dead, &[]).await;
        let arn = self.attribute(&dead_url, "QueueArn").await;
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
        (self.create(name, &[("RedrivePolicy", &policy)]).await, dead_url)
    }
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap()).collect()
}

/// The error code that a call failed with.
#[track_caller]
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> String {
    result.unwrap_err().code().unwrap_or_default().to_owned()
}
