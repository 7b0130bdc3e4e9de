//! Metrics and traces by OTLP: protobuf over HTTP, to the collector that the environment or the
//! config names.

mod client;
mod encode;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prost::Message as _;
use tokio::runtime::Handle;
use wasq_core::clock;
use wasq_core::message::UnixMs;

pub use settings::{Settings, SettingsError};

use client::Client;

use super::Source;
use crate::flow::QueueRuntime;
use crate::telemetry::spans::Tracing;

/// The last export, and the last spans, have this long when the host ends.
const FLUSH: Duration = Duration::from_secs(2);
/// What sends; nothing where nobody asked.
#[derive(Default)]
pub struct Otlp {
    metrics: Option<Metrics>,
    traces: Option<SdkTracerProvider>,
}

/// The metrics' way out.
#[derive(Clone)]
struct Metrics {
    client: Arc<Client>,
    url: String,
    interval: Duration,
    resource: Resource,
    started_at: UnixMs,
}

impl Otlp {
    /// `service` is the service's name where the environment gives none.
    pub fn new(settings: Settings, service: &str) -> Self {
        let resource = resource(service);
        let client = Arc::new(Client::new(settings.headers, settings.timeout));
        let metrics = settings.metrics_url.map(|url| Metrics {
            client: client.clone(),
            url,
            interval: settings.export_interval,
            resource: resource.clone(),
            started_at: clock::unix_ms(),
        });
        let traces = settings.traces_url.map(|url| {
            let exporter = Exporter { client, url, runtime: Handle::current(), resource: (&resource).into() };
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
        });
        Self { metrics, traces }
    }

    /// What makes the spans.
    pub fn tracing(&self) -> Tracing {
        self.traces.as_ref().map_or_else(Tracing::default, |provider| Tracing::by(provider.tracer(encode::SCOPE)))
    }

    /// Sends the metrics, again and again; returns at once where nobody asked for them.
    pub fn export(&self, source: Source) -> impl Future<Output = ()> + Send + 'static {
        let metrics = self.metrics.clone();
        async move {
            let Some(metrics) = metrics else { return };
            let mut ticks = tokio::time::interval_at(clock::now() + metrics.interval, metrics.interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                metrics.send(metrics.request(&source)).await;
            }
        }
    }

    /// The metrics as they are at the end, for [`Otlp::flush`].
    pub fn last(&self, source: &Source) -> Option<Vec<u8>> {
        self.metrics.as_ref().map(|metrics| metrics.request(source))
    }

    /// Sends what is left: the last metrics, and the spans that wait.
    pub async fn flush(self, last: Option<Vec<u8>>) {
        let metrics = async {
            if let (Some(metrics), Some(last)) = (self.metrics, last)
                && tokio::time::timeout(FLUSH, metrics.send(last)).await.is_err()
            {
                tracing::warn!(url = metrics.url, "the last metrics were not sent in time");
            }
        };
        let traces = async {
            let Some(traces) = self.traces else { return };
            // It waits for the exporter's thread, which waits for this runtime.
            match tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(FLUSH)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
                Err(error) => tracing::error!(%error, "the last spans were not sent"),
            }
        };
        futures::future::join(metrics, traces).await;
    }
}

impl Metrics {
    fn request(&self, source: &Source) -> Vec<u8> {
        let (families, runtimes) = (super::gather(source), source.runtimes());
        let system = |runtime: &Arc<QueueRuntime>| (runtime.name.clone(), runtime.queue.broker().messaging_system());
        let systems = runtimes.iter().map(system).collect();
        encode::metrics(&families, &systems, &self.resource, self.started_at, clock::unix_ms()).encode_to_vec()
    }

    async fn send(&self, request: Vec<u8>) {
        if let Err(error) = self.client.post(&self.url, request).await {
            tracing::warn!(url = self.url, error, "the metrics were not taken; the next export has them too");
        }
    }
}

/// Who sends: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and the host's version.
fn resource(service: &str) -> Resource {
    let found = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string()).unwrap_or_default();
    // What the SDK says when the environment says nothing.
    if !name.starts_with("unknown_service") {
        return found;
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_attribute(version).with_service_name(service.to_owned()).build()
}

/// The spans' way out. The SDK gathers them and calls it from a thread of its own.
struct Exporter {
    client: Arc<Client>,
    url: String,
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("url", &self.url).finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let (client, url) = (self.client.clone(), self.url.clone());
        let posted = self.runtime.spawn(async move { client.post(&url, bytes).await }).await;
        posted.unwrap_or_else(|error| Err(error.to_string())).map_err(|error| {
            tracing::warn!(url = self.url, error, spans = count, "spans were not taken, and are lost");
            OTelSdkError::InternalFailure(error)
        })
    }
}
