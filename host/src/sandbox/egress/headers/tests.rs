use super::*;
use crate::config::SecretSource;

fn headers(destination: &str, name: &str, template: &str) -> Result<Headers, HeaderError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret").unwrap();
    let source = SecretSource { file: Some(file.path().to_owned()), ..SecretSource::default() };
    let secrets = Arc::new(Secrets::load(&[("TOKEN".to_owned(), source)].into()).unwrap());
    let templates = [(name.to_owned(), Secret(template.to_owned()))].into();
    Headers::new("mail", &[(destination.to_owned(), templates)].into(), secrets)
}

#[tokio::test]
async fn a_secret_goes_to_its_destination_alone() {
    let headers = headers("https://api.example", "Authorization", "Bearer {secret:TOKEN}!").unwrap();
    let check = async |scheme: &str, host: &str, port: u16, expect: &str| {
        let mut sent = HeaderMap::new();
        sent.append("authorization", HeaderValue::from_static("guest 1"));
        sent.append("authorization", HeaderValue::from_static("guest 2"));
        headers.set(scheme, host, port, &mut sent).await.unwrap();
        let values: Vec<_> = sent.get_all("authorization").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values.join(", "), expect, "{scheme}://{host}:{port}");
        assert!(!format!("{sent:?}").contains("s3cret"));
    };
    check("https", "api.example", 443, "Bearer s3cret!").await;
    check("https", "api.example", 8443, "guest 1, guest 2").await;
    check("http", "api.example", 443, "guest 1, guest 2").await;
    check("https", "sub.api.example", 443, "guest 1, guest 2").await;
    check("https", "example", 443, "guest 1, guest 2").await;
}

#[test]
fn a_template_that_cannot_be_sent_is_refused_without_its_value() {
    let check = |destination: &str, name: &str, template: &str, expect: &str| {
        let error = headers(destination, name, template).err().expect(expect).to_string();
        assert!(error.contains(expect) && error.starts_with("plugins.mail.headers."), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    check("https://*.example", "a", "hunter2", "wildcard");
    check("https://a.example/path", "a", "hunter2", "path");
    check("https://a.example", "a b", "hunter2", "no header's name");
    check("https://a.example", "Host", "hunter2", "HTTP's own");
    check("https://a.example", "a", "hunter2\n", "line end");
    check("https://a.example", "a", "hunter2 {secret:TOKEN", "no `}`");
    check("https://a.example", "a", "hunter2 {secret:OTHER}", "no secret is named `OTHER`");
}
