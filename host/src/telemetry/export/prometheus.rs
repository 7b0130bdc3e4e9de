//! The text format of Prometheus, version 0.0.4, as its documentation has it under "exposition
//! formats".

use std::fmt::Write;

use super::{Family, Value};
use crate::telemetry::metrics::{Kind, Snapshot};

/// What `/metrics` answers as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics as text.
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { metric, series } in families {
        let name = metric.name;
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        text += &format!("# HELP {name} {}\n# TYPE {name} {kind}\n", escaped(metric.help, false));
        for series in series {
            let labels: Vec<_> = metric.labels.iter().copied().zip(series.labels.iter().map(String::as_str)).collect();
            match &series.value {
                Value::Number(value) => line(&mut text, name, &labels, *value),
                Value::Histogram(read) => histogram(&mut text, name, labels, read),
            }
        }
    }
    text
}

fn histogram(text: &mut String, name: &str, labels: Vec<(&str, &str)>, read: &Snapshot) {
    let mut under = 0;
    let bounds = read.bounds.iter().map(|bound| number(*bound)).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(&read.counts) {
        under += count;
        let mut labels = labels.clone();
        labels.push(("le", &bound));
        line(text, &format!("{name}_bucket"), &labels, under as f64);
    }
    line(text, &format!("{name}_sum"), &labels, read.sum);
    line(text, &format!("{name}_count"), &labels, read.count() as f64);
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    text.push_str(name);
    for (index, (label, value)) in labels.iter().enumerate() {
        let before = if index == 0 { '{' } else { ',' };
        write!(text, "{before}{label}=\"{}\"", escaped(value, true)).expect("a string takes all that is written");
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text.push(' ');
    text.push_str(&number(value));
    text.push('\n');
}

/// A label's value, between quotes; or a help text, where a quote is a quote.
fn escaped(value: &str, is_quoted: bool) -> String {
    let text = value.replace('\\', r"\\").replace('\n', r"\n");
    if is_quoted { text.replace('"', "\\\"") } else { text }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".into() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::export::Series;
    use crate::telemetry::metrics::{BREAKER_STATE, READY, RETRY_DELAY};

    #[test]
    fn labels_are_escaped_and_a_histogram_adds_up() {
        let series =
            |labels: &[&str], value| Series { labels: labels.iter().map(|l| (*l).to_owned()).collect(), value };
        let delays = RETRY_DELAY.histogram();
        delays.observe(std::time::Duration::from_millis(700));
        delays.observe(std::time::Duration::from_secs(100_000));
        let written = text(&[
            Family { metric: &READY, series: vec![series(&[], Value::Number(1.0))] },
            Family { metric: &BREAKER_STATE, series: vec![series(&["p", "a\\b\"c\nd"], Value::Number(0.0))] },
            Family { metric: &RETRY_DELAY, series: vec![series(&["t", "p"], Value::Histogram(delays.read()))] },
        ]);
        for line in [
            "# TYPE wasq_ready gauge",
            "wasq_ready 1",
            r#"wasq_breaker_state{plugin="p",dependency="a\\b\"c\nd"} 0"#,
            "# TYPE wasq_retry_delay_seconds histogram",
            r#"wasq_retry_delay_seconds_bucket{type="t",plugin="p",le="0.5"} 0"#,
            r#"wasq_retry_delay_seconds_bucket{type="t",plugin="p",le="1"} 1"#,
            r#"wasq_retry_delay_seconds_bucket{type="t",plugin="p",le="43200"} 1"#,
            r#"wasq_retry_delay_seconds_bucket{type="t",plugin="p",le="+Inf"} 2"#,
            r#"wasq_retry_delay_seconds_sum{type="t",plugin="p"} 100000.7"#,
            r#"wasq_retry_delay_seconds_count{type="t",plugin="p"} 2"#,
        ] {
            assert!(written.lines().any(|written| written == line), "no line {line} in:\n{written}");
        }
        assert!(written.ends_with('\n') && !written.contains("\n\n"));
    }
}
