//! One message's way as a collector sees it.

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::json;
use wasq::telemetry::metrics::ALL;

use super::collector::{Collector, attributes};
use crate::support::{Answer, Rig, Setup, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER: &str = "b7ad6b7169203331";

async fn rig(collector: &Collector) -> Rig {
    let url = collector.url();
    Setup::probe().config(|config| config.telemetry.otlp_endpoint = Some(url)).start().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of this name, in the order of their beginning.
fn named(spans: &[Span], name: &str) -> Vec<Span> {
    let mut found: Vec<_> = spans.iter().filter(|span| span.name == name).cloned().collect();
    found.sort_by_key(|span| span.start_time_unix_nano);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_producer_to_the_handlers_outbound_call_and_on() {
    let collector = Collector::start().await;
    // It cannot take them the first time.
    collector.refuse_once(503);
    let mut rig = rig(&collector).await;
    let note = json!({ "do": "outbox", "queue": "", "kind": "probe", "body": { "do": "done" }, "count": 1, "then": { "do": "log", "text": "told", "count": 1 } });
    rig.sink.answers("x", [note]);
    let id = rig.message(rig.sink.ask("x")).attribute("traceparent", &format!("00-{TRACE}-{PRODUCER}-01")).send().await;
    rig.until_exits("done", 2).await;
    rig.emptied().await;
    let outbound = rig.sink.calls("x")[0].headers["traceparent"].to_str().unwrap().to_owned();
    rig.stop_host().await;

    let spans = collector.spans();
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:#?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
    }
    assert_eq!(spans.len(), 7, "receive, process and settle, twice, and a call: {spans:#?}");
    let (receives, processes, mut settles) =
        (named(&spans, "receive jobs"), named(&spans, "process jobs"), named(&spans, "settle jobs"));
    // The outbox's message may be settled first.
    settles.sort_by_key(|span| attributes(&span.attributes)["messaging.message.id"] != id);
    for (span, operation, kind) in [
        (&receives[0], "receive", SpanKind::Consumer),
        (&processes[0], "process", SpanKind::Consumer),
        (&settles[0], "settle", SpanKind::Client),
    ] {
        assert_eq!(hex(&span.parent_span_id), PRODUCER, "{span:#?}");
        assert_eq!(span.kind, kind as i32);
        let has = attributes(&span.attributes);
        assert_eq!(has["messaging.system"], "aws_sqs");
        assert_eq!(has["messaging.destination.name"], "jobs");
        assert_eq!(has["messaging.operation.name"], operation);
        assert_eq!(has["messaging.operation.type"], operation);
        assert_eq!(has["messaging.message.id"], id);
    }
    let process = &processes[0];
    assert_eq!(hex(&process.links[0].span_id), hex(&receives[0].span_id), "the process is linked to its receive");
    let has = attributes(&process.attributes);
    let of = |name: &str| has[name].as_str();
    assert_eq!(
        [of("wasq.type"), of("wasq.plugin"), of("wasq.attempt"), of("wasq.exit")],
        ["probe", "probe", "1", "done"]
    );
    let logs: Vec<_> =
        process.events.iter().map(|event| attributes(&event.attributes)["log.message"].clone()).collect();
    assert_eq!(logs, ["told", "told"], "by the log, and by stdout");

    let call = &named(&spans, "POST")[0];
    assert_eq!(hex(&call.parent_span_id), hex(&process.span_id));
    assert_eq!(outbound, format!("00-{TRACE}-{}-01", hex(&call.span_id)), "the sink is told of the call's own span");
    assert_eq!(attributes(&call.attributes)["http.response.status_code"], "200");
    assert_eq!(attributes(&call.attributes)["server.address"], "127.0.0.1");
    for span in [&receives[1], &processes[1], &settles[1]] {
        assert_eq!(hex(&span.parent_span_id), hex(&process.span_id), "the outbox's message goes on from its handler");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x_rays_header_names_the_producer_too() {
    let collector = Collector::start().await;
    let mut rig = rig(&collector).await;
    let url = rig.client.get_queue_url().queue_name("jobs").send().await.unwrap().queue_url;
    let header = format!("Root=1-{}-{};Parent={PRODUCER};Sampled=1", &TRACE[..8], &TRACE[8..]);
    let header = MessageSystemAttributeValue::builder().data_type("String").string_value(header).build().unwrap();
    let kind = MessageAttributeValue::builder().data_type("String").string_value("probe").build().unwrap();
    let message = rig.client.send_message().set_queue_url(url).message_body(r#"{"do":"done"}"#);
    let message = message.message_attributes("type", kind);
    message.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, header).send().await.unwrap();
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    rig.stop_host().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    for span in spans {
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), PRODUCER.into()), "{}", span.name);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_in_its_span_and_a_message_without_a_trace_begins_one() {
    let collector = Collector::start().await;
    let mut rig = rig(&collector).await;
    rig.sink.answers("x", [Answer::status(500)]);
    rig.send(rig.sink.ask("x")).await;
    rig.send(json!({ "do": "reject", "reason": "never" })).await;
    // Whoever sampled this one out has decided for us too.
    let unsampled = format!("00-{TRACE}-{PRODUCER}-00");
    rig.message(json!({ "do": "done" })).attribute("traceparent", &unsampled).send().await;
    rig.until_exits("done", 2).await;
    rig.until_exits("reject", 1).await;
    rig.emptied().await;
    rig.stop_host().await;

    let spans = collector.spans();
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE), "{spans:#?}");
    let calls = named(&spans, "POST");
    assert_eq!(attributes(&calls[0].attributes)["error.type"], "500");
    let error = |span: &Span| span.status.as_ref().map(|status| status.code()) == Some(StatusCode::Error);
    let exits: Vec<_> = named(&spans, "process jobs")
        .iter()
        .map(|span| (attributes(&span.attributes)["wasq.exit"].clone(), error(span)))
        .collect();
    for expect in [("retry", true), ("reject", true), ("done", false)] {
        assert!(exits.contains(&(expect.0.to_owned(), expect.1)), "{expect:?} in {exits:?}");
    }
    for receive in named(&spans, "receive jobs") {
        assert!(receive.parent_span_id.is_empty());
        let inside = spans.iter().filter(|span| span.parent_span_id == receive.span_id).count();
        assert_eq!(inside, 2, "its process and its settle");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_gets_the_metrics_that_a_scrape_shows() {
    let collector = Collector::start().await;
    let mut rig = rig(&collector).await;
    for _ in 0..3 {
        rig.send(json!({ "do": "done" })).await;
    }
    rig.until_exits("done", 3).await;
    rig.emptied().await;
    // A delete is counted when it is confirmed, and a sample ends a moment later too.
    until("all series are there", || async {
        let (_, text) = crate::support::get(rig.host().admin_addr(), "/metrics").await;
        let settled = "wasq_settle_duration_seconds_count{queue=\"jobs\"} 3\n";
        let sampled =
            ["wasq_dlq_oldest_age_seconds{", "state=\"delayed\"}", "\nwasq_ledger_entries", "\nwasq_ledger_overdue"];
        sampled.iter().chain([&settled]).all(|line| text.contains(line))
    })
    .await;
    let (_, scrape) = crate::support::get(rig.host().admin_addr(), "/metrics").await;
    rig.stop_host().await;

    let metrics = collector.metrics();
    for metric in ALL {
        let has_series = scrape.lines().any(|line| {
            line.starts_with(&format!("{}{{", metric.name))
                || line.starts_with(&format!("{} ", metric.name))
                || line.starts_with(&format!("{}_count", metric.name))
        });
        assert_eq!(metrics.contains_key(&metric.otel_name()), has_series, "{} as {}", metric.name, metric.otel_name());
    }
    let Some(Data::Sum(exits)) = &metrics["wasq.exits"].data else { panic!("{:?}", metrics["wasq.exits"]) };
    assert!(exits.is_monotonic && exits.aggregation_temporality == 2, "{exits:?}");
    let point = &exits.data_points[0];
    assert_eq!(point.value, Some(number_data_point::Value::AsDouble(3.0)));
    assert_eq!(attributes(&point.attributes)["settlement"], "delete");
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano < point.time_unix_nano);

    let Some(Data::Histogram(runs)) = &metrics["messaging.process.duration"].data else { panic!("{metrics:?}") };
    let point = &runs.data_points[0];
    assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (3, 3));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(attributes(&point.attributes)["messaging.system"], "aws_sqs");
    let resource = collector.resource();
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.version"].as_str()),
        ("wasq", env!("CARGO_PKG_VERSION"))
    );
    rig.end().await;
}
