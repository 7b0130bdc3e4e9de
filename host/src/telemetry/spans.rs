//! Spans of a delivery's way, by OpenTelemetry's messaging conventions. Without a tracer every span
//! is none, and costs nothing.
//!
//! A message's spans are in its producer's trace: `receive`, one `process` a plugin, `settle`; what
//! a handler calls and logs is inside its `process`. Where no producer said which trace, `receive`
//! begins one.

mod producer;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use wasq_core::clock;
use wasq_core::message::{Delivery, Message, UnixMs};

/// Makes spans, if anyone asked for them.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<SdkTracer>);

/// One delivery's spans; from here all others hang.
#[derive(Default)]
pub struct DeliveryTrace(Option<Open>);

struct Open {
    tracer: SdkTracer,
    /// The producer's span; `receive` where there is none.
    parent: Context,
    receive: SpanContext,
    queue: String,
    system: &'static str,
    message_id: String,
}

/// A span, or none. It ends when the last that holds it lets it go.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Recording>);

#[derive(Clone, Debug)]
struct Recording {
    tracer: SdkTracer,
    context: Context,
}

/// HTTP methods that may be a span's name; any other is a guest's invention.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

impl Tracing {
    pub fn by(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// The way of a delivery from `queue`, which is on the messaging system `system`; `message` is
    /// none when it cannot be read. Its `receive` span began when the message could be received,
    /// and ends here, where its work begins.
    pub fn delivery(
        &self,
        queue: &str,
        system: &'static str,
        delivery: &Delivery,
        message: Option<&Message>,
    ) -> DeliveryTrace {
        let Some(tracer) = &self.0 else { return DeliveryTrace(None) };
        let producer = producer::context(delivery, message);
        let parent =
            producer.clone().map_or_else(Context::new, |producer| Context::new().with_remote_span_context(producer));
        let attributes = common(queue, system, &delivery.message_id.0, "receive", "receive");
        let builder = SpanBuilder::from_name(format!("receive {queue}"))
            .with_kind(SpanKind::Consumer)
            .with_start_time(began(delivery))
            .with_attributes(attributes);
        let receive = parent.with_span(tracer.build_with_context(builder, &parent));
        DeliveryTrace(Some(Open {
            tracer: tracer.clone(),
            receive: receive.span().span_context().clone(),
            parent: if producer.is_some() { parent } else { receive },
            queue: queue.to_owned(),
            system,
            message_id: delivery.message_id.0.clone(),
        }))
    }
}

/// A receive waits for messages to come: it counts from when this one was there.
fn began(delivery: &Delivery) -> SystemTime {
    let asked_ms = clock::unix_ms().0.saturating_sub((clock::now() - delivery.received_at).as_millis() as u64);
    let UnixMs(sent_ms) = delivery.sent_at;
    SystemTime::UNIX_EPOCH + Duration::from_millis(asked_ms.max(sent_ms).min(clock::unix_ms().0))
}

fn common(
    queue: &str,
    system: &'static str,
    message_id: &str,
    name: &'static str,
    kind: &'static str,
) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.destination.name", queue.to_owned()),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.message.id", message_id.to_owned()),
    ]
}

impl DeliveryTrace {
    /// One plugin's share of the work, from its claim to its record.
    pub fn process(&self, kind: &str, plugin: &str) -> Span {
        self.span("process", SpanKind::Consumer, |open, attributes| {
            attributes.push(KeyValue::new("wasq.type", kind.to_owned()));
            attributes.push(KeyValue::new("wasq.plugin", plugin.to_owned()));
            vec![Link::with_context(open.receive.clone())]
        })
    }

    /// From the decision to the queue's confirmation.
    pub fn settle(&self) -> Span {
        self.span("settle", SpanKind::Client, |_, _| Vec::new())
    }

    fn span(
        &self,
        name: &'static str,
        kind: SpanKind,
        more: impl FnOnce(&Open, &mut Vec<KeyValue>) -> Vec<Link>,
    ) -> Span {
        let Some(open) = &self.0 else { return Span(None) };
        let mut attributes = common(&open.queue, open.system, &open.message_id, name, name);
        let links = more(open, &mut attributes);
        let builder = SpanBuilder::from_name(format!("{name} {}", open.queue)).with_kind(kind);
        let builder = builder.with_attributes(attributes).with_links(links);
        Span::begin(&open.tracer, builder, &open.parent)
    }
}

impl Span {
    /// No span.
    pub const NONE: Self = Self(None);

    fn begin(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, parent);
        Self(Some(Recording { tracer: tracer.clone(), context: parent.with_span(span) }))
    }

    /// A request that the work makes. Its path and query are left out: they may say what nobody
    /// should read.
    pub fn call(&self, method: &http::Method, uri: &http::Uri) -> Self {
        let Some(Recording { tracer, context }) = &self.0 else { return Self(None) };
        let method = METHODS.iter().find(|known| **known == method.as_str()).unwrap_or(&"_OTHER");
        let mut attributes = vec![
            KeyValue::new("http.request.method", *method),
            KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()),
            KeyValue::new("url.scheme", uri.scheme_str().unwrap_or_default().to_owned()),
        ];
        if let Some(port) = uri.port_u16() {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        let builder = SpanBuilder::from_name(*method).with_kind(SpanKind::Client).with_attributes(attributes);
        Self::begin(tracer, builder, context)
    }

    /// Whether it is one, and sampled.
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|recording| recording.context.span().is_recording())
    }

    pub fn set(&self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(Recording { context, .. }) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// It did not go well; `class` says in which way.
    pub fn failed(&self, class: &str) {
        if let Some(Recording { context, .. }) = &self.0 {
            context.span().set_attribute(KeyValue::new("error.type", class.to_owned()));
            context.span().set_status(Status::Error { description: Cow::Borrowed("") });
        }
    }

    /// How one attempt of a plugin ended; the attempt is 0 where there was no claim.
    pub fn ended(&self, attempt: u32, exit: &'static str, settlement: &'static str) {
        self.set("wasq.attempt", i64::from(attempt));
        self.set("wasq.exit", exit);
        self.set("wasq.settlement", settlement);
        if settlement != "delete" {
            self.failed(exit);
        }
    }

    /// What a guest logged.
    pub fn logged(&self, severity: &'static str, target: &str, text: &str) {
        if let Some(Recording { context, .. }) = &self.0 {
            let attributes = vec![
                KeyValue::new("log.severity", severity),
                KeyValue::new("log.target", target.to_owned()),
                KeyValue::new("log.message", text.to_owned()),
            ];
            context.span().add_event("log", attributes);
        }
    }

    /// The header by which what follows finds this span; none when there is none.
    pub fn traceparent(&self) -> Option<String> {
        let Recording { context, .. } = self.0.as_ref()?;
        Some(producer::traceparent(context.span().span_context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tracer_there_is_no_span_and_no_header() {
        let span = DeliveryTrace::default().process("order", "ship");
        assert!(span.call(&http::Method::GET, &"http://a.example/".parse().unwrap()).traceparent().is_none());
        assert!(DeliveryTrace::default().settle().0.is_none());
    }
}
