//! The span that a message was sent from, as its producer wrote it: W3C's `traceparent`, or AWS
//! X-Ray's header.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use wasq_core::message::{Delivery, Message};

/// The producer's span. An attribute of the message goes before what SQS carries.
pub fn context(delivery: &Delivery, message: Option<&Message>) -> Option<SpanContext> {
    let traceparent = message.and_then(|message| message.traceparent.as_deref());
    traceparent.and_then(w3c).or_else(|| delivery.trace_header.as_deref().and_then(xray))
}

/// `00-<trace, 32 digits>-<span, 16>-<flags, 2>`; a later version may have more behind it.
fn w3c(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let more = parts.next().is_some();
    if version.len() != 2 || version == "ff" || (version == "00" && more) || flags.len() != 2 {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    of(trace, span, flags & 1 == 1)
}

/// `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`, in any order.
fn xray(text: &str) -> Option<SpanContext> {
    let field = |name: &str| text.split(';').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let mut root = field("Root")?.split('-');
    let ("1", Some(time), Some(unique), None) = (root.next()?, root.next(), root.next(), root.next()) else {
        return None;
    };
    of(&format!("{time}{unique}"), field("Parent")?, field("Sampled") == Some("1"))
}

fn of(trace: &str, span: &str, is_sampled: bool) -> Option<SpanContext> {
    let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex(trace, 32) || !is_hex(span, 16) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::default().with_sampled(is_sampled);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)).filter(SpanContext::is_valid)
}

/// As W3C writes it.
pub fn traceparent(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8() & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn shown(context: Option<SpanContext>) -> String {
        context.map_or_else(String::new, |context| traceparent(&context))
    }

    #[test]
    fn both_headers_name_the_same_span() {
        let check = |text: &str, expect: &str| {
            let read = if text.contains('=') { xray(text) } else { w3c(text) };
            assert_eq!(shown(read), expect, "{text}");
        };
        let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
        let not = format!("00-{TRACE}-b7ad6b7169203331-00");
        check(&sampled, &sampled);
        check(&not, &not);
        check(&format!("01-{TRACE}-b7ad6b7169203331-03-more"), &sampled);
        check("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1", &sampled);
        check("Sampled=0; Parent=b7ad6b7169203331; Root=1-0af76519-16cd43dd8448eb211c80319c;Lineage=a:1", &not);
        for text in [
            "",
            "00",
            &format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}-+7ad6b7169203331-01"),
            "Root=1-0af76519-16cd43dd8448eb211c80319c;Sampled=1",
            "Root=2-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331",
        ] {
            check(text, "");
        }
    }
}
