use super::*;

fn read(endpoint: Option<&str>, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let config = Telemetry { otlp_endpoint: endpoint.map(str::to_owned), ..Telemetry::default() };
    Settings::new(&config, |name| env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
}

fn urls(endpoint: Option<&str>, env: &[(&str, &str)]) -> String {
    let settings = read(endpoint, env).unwrap();
    let shown = |url: Option<String>| url.unwrap_or_else(|| "-".into());
    format!("{} {}", shown(settings.metrics_url), shown(settings.traces_url))
}

#[test]
fn the_environment_goes_before_the_config() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:4318");
    assert_eq!(urls(None, &[]), "- -");
    assert_eq!(urls(Some("http://a:4318/"), &[]), "http://a:4318/v1/metrics http://a:4318/v1/traces");
    assert_eq!(urls(Some("http://a:4318"), &[base]), "http://b:4318/v1/metrics http://b:4318/v1/traces");
    assert_eq!(urls(None, &[base, ("OTEL_TRACES_EXPORTER", "none")]), "http://b:4318/v1/metrics -");
    assert_eq!(urls(None, &[base, ("OTEL_SDK_DISABLED", "true")]), "- -");
    assert_eq!(urls(None, &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x")]), "- https://t/x");
    assert_eq!(
        urls(Some("http://a"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]),
        "http://a/v1/metrics http://a/v1/traces"
    );
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:4318");
    let check = |env: &[(&str, &str)], expect: &str| {
        let error = read(None, env).expect_err(expect).to_string();
        assert!(error.contains(expect) && !error.contains("hunter2"), "{error}");
    };
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")], "http://localhost:4318");
    check(&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "http/protobuf");
    check(&[base, ("OTEL_METRIC_EXPORT_INTERVAL", "soon")], "OTEL_METRIC_EXPORT_INTERVAL");
    check(&[base, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")], "name=value");
    assert!(read(None, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_ok(), "nothing is sent");
    let read =
        read(None, &[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b+c, x=1"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]);
    let settings = read.unwrap();
    assert_eq!((settings.headers[0].1.as_bytes(), settings.headers[1].0.as_str()), (&b"a b+c"[..], "x"));
    assert_eq!(settings.timeout, Duration::from_millis(250));
}
