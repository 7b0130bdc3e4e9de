//! The metrics as OTLP has them: from the same definitions as Prometheus's text.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use wasq_core::message::UnixMs;
use wasq_queues::Broker;

use crate::telemetry::export::{Family, Series, Value};
use crate::telemetry::metrics::{self, Kind, Unit};

/// The instrumentation scope of all that the host says of itself.
pub const SCOPE: &str = "wasq";

/// Which messaging system has a queue, by its name in the config.
pub type Systems = BTreeMap<String, &'static str>;

/// The metrics in one request. A family without series is left out.
pub fn metrics(
    families: &[Family],
    systems: &Systems,
    resource: &opentelemetry_sdk::Resource,
    started_at: UnixMs,
    now: UnixMs,
) -> ExportMetricsServiceRequest {
    let context = Context { start: nanos(started_at), now: nanos(now), systems };
    let metrics =
        families.iter().filter(|family| !family.series.is_empty()).map(|family| metric(family, context)).collect();
    let scope =
        InstrumentationScope { name: SCOPE.into(), version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
    let attributes = resource.iter().map(|(name, value)| attribute(name.as_str(), &value.to_string())).collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }],
            ..Default::default()
        }],
    }
}

/// What all data points have in common.
#[derive(Clone, Copy)]
struct Context<'a> {
    start: u64,
    now: u64,
    systems: &'a Systems,
}

fn nanos(at: UnixMs) -> u64 {
    at.0.saturating_mul(1_000_000)
}

fn metric(family: &Family, context: Context<'_>) -> Metric {
    let definition = family.metric;
    let numbers = || family.series.iter().filter_map(|series| number(definition, series, context)).collect();
    let data = match definition.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Histogram(_) => Data::Histogram(Histogram {
            data_points: family.series.iter().filter_map(|series| histogram(definition, series, context)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
    };
    let unit = match definition.unit {
        Unit::Seconds => "s",
        Unit::Bytes => "By",
        Unit::One => "1",
    };
    Metric {
        name: definition.otel_name(),
        description: definition.help.into(),
        unit: unit.into(),
        data: Some(data),
        ..Default::default()
    }
}

fn number(definition: &metrics::Metric, series: &Series, context: Context<'_>) -> Option<NumberDataPoint> {
    let Value::Number(value) = series.value else { return None };
    // A gauge is what it is; it has no beginning.
    let start_time_unix_nano = if definition.kind == Kind::Counter { context.start } else { 0 };
    Some(NumberDataPoint {
        attributes: attributes(definition, series, context.systems),
        start_time_unix_nano,
        time_unix_nano: context.now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    })
}

fn histogram(definition: &metrics::Metric, series: &Series, context: Context<'_>) -> Option<HistogramDataPoint> {
    let Value::Histogram(read) = &series.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(definition, series, context.systems),
        start_time_unix_nano: context.start,
        time_unix_nano: context.now,
        count: read.count(),
        sum: Some(read.sum),
        bucket_counts: read.counts.clone(),
        explicit_bounds: read.bounds.to_vec(),
        ..Default::default()
    })
}

/// The labels; and where the metric is one of the conventions', what they ask for beside.
fn attributes(definition: &metrics::Metric, series: &Series, systems: &Systems) -> Vec<KeyValue> {
    let labels = definition.labels.iter().zip(&series.labels);
    let Some((_, operation)) = definition.convention else {
        return labels.map(|(name, value)| attribute(name, value)).collect();
    };
    let name = |label: &'static str| if label == "queue" { "messaging.destination.name" } else { label };
    let mut attributes: Vec<_> = labels.map(|(label, value)| attribute(name(label), value)).collect();
    let queue = definition.labels.iter().position(|label| *label == "queue").and_then(|at| series.labels.get(at));
    let system = queue.and_then(|queue| systems.get(queue)).copied().unwrap_or(Broker::Sqs.messaging_system());
    attributes.push(attribute("messaging.system", system));
    attributes.push(attribute("messaging.operation.name", operation));
    attributes
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..Default::default() }
}
