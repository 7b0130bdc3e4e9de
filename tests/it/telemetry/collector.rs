//! A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, and keeps what came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Attributes by name, their values as text.
pub type Attributes = BTreeMap<String, String>;

pub struct Collector {
    url: String,
    taken: Arc<Taken>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Taken {
    spans: Mutex<Vec<Span>>,
    /// Of the last export, by name.
    metrics: Mutex<BTreeMap<String, Metric>>,
    resource: Mutex<Attributes>,
    /// Answers to give before the good ones.
    refusals: Mutex<Vec<StatusCode>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::new(Taken::default());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(taken.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, taken, server }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The next export of spans is answered so, once.
    pub fn refuse_once(&self, status: u16) {
        self.taken.refusals.lock().unwrap().push(StatusCode::from_u16(status).unwrap());
    }

    pub fn spans(&self) -> Vec<Span> {
        self.taken.spans.lock().unwrap().clone()
    }

    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        self.taken.metrics.lock().unwrap().clone()
    }

    /// Who sent the last metrics.
    pub fn resource(&self) -> Attributes {
        self.taken.resource.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn attributes(list: &[KeyValue]) -> Attributes {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => panic!("no text and no number: {other:?}"),
    };
    list.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    headers["content-type"] == "application/x-protobuf"
}

async fn traces(State(taken): State<Arc<Taken>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert!(is_protobuf(&headers), "{headers:?}");
    if let Some(refusal) = taken.refusals.lock().unwrap().pop() {
        return refusal;
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    taken.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    StatusCode::OK
}

async fn metrics(State(taken): State<Arc<Taken>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert!(is_protobuf(&headers), "{headers:?}");
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    for resource in request.resource_metrics {
        *taken.resource.lock().unwrap() = attributes(&resource.resource.unwrap().attributes);
        let all = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
        *taken.metrics.lock().unwrap() = all.map(|metric| (metric.name.clone(), metric)).collect();
    }
    StatusCode::OK
}
