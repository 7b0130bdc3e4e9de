use super::*;
use crate::aws::AwsConfig;
use crate::aws::identity::Identities;

const THEN_S: u64 = 1_369_353_600; // 2013-05-24T00:00:00Z

fn signer(service: &str, region: Option<&str>) -> Signer {
    // On the loopback interface the SDK's chain is not asked.
    let aws = AwsConfig { endpoint_url: Some("http://127.0.0.1:1".into()), ..AwsConfig::default() };
    Signer::new(Identities::new(aws).identity(None), service, region.map(str::to_owned))
}

fn request_parts(method: &str, url: &str, headers: &[(&str, &str)]) -> request::Parts {
    let request = headers
        .iter()
        .fold(http::Request::builder().method(method).uri(url), |with, (name, value)| with.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// The signature of a request by the account of AWS's own examples, at their time.
fn signature(service: &str, mut parts: request::Parts, body: &[u8]) -> String {
    let credentials =
        Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
    let time = UNIX_EPOCH + Duration::from_secs(THEN_S);
    signer(service, None).sign_at(&mut parts, BodyHash::of(body), credentials, "us-east-1", time).unwrap();
    let authorization = parts.headers[AUTHORIZATION].to_str().unwrap();
    authorization.rsplit_once("Signature=").unwrap().1.to_owned()
}

/// The examples of "Authenticating Requests: Using the Authorization Header" in S3's API reference.
#[test]
fn requests_to_s3_are_signed_as_its_reference_has_them() {
    let get = request_parts("GET", "https://examplebucket.s3.amazonaws.com/test.txt", &[("range", "bytes=0-9")]);
    assert_eq!(signature("s3", get, b""), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    let headers = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
    let put = || request_parts("PUT", "https://examplebucket.s3.amazonaws.com/test%24file.text", &headers);
    let expect = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
    assert_eq!(signature("s3", put(), b"Welcome to Amazon S3."), expect);
    let plain = request_parts("PUT", "https://examplebucket.s3.amazonaws.com/test$file.text", &headers);
    assert_eq!(signature("s3", plain, b"Welcome to Amazon S3."), expect);
    let lifecycle = request_parts("GET", "https://examplebucket.s3.amazonaws.com/?lifecycle", &[]);
    assert_eq!(signature("s3", lifecycle, b""), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    let list = request_parts("GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", &[]);
    assert_eq!(signature("s3", list, b""), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

#[tokio::test]
async fn a_signature_takes_the_place_of_every_header_that_is_a_part_of_one() {
    let own = [
        ("authorization", "guest"),
        ("x-amz-date", "guest"),
        ("x-amz-security-token", "guest"),
        ("x-amz-content-sha256", "guest"),
        ("x-kept", "guest"),
    ];
    let check = async |service: &str, body: BodyHash, expect_hash: Option<&str>| {
        let mut parts = request_parts("POST", "https://x.eu-west-1.amazonaws.com/", &own);
        signer(service, Some("eu-west-1")).sign(&mut parts, body).await.unwrap();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap());
        let authorization = header("authorization").unwrap();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=local/"), "{authorization}");
        assert!(authorization.contains(&format!("/eu-west-1/{service}/aws4_request")), "{authorization}");
        assert!(authorization.contains("host;") && authorization.contains("x-kept"), "{authorization}");
        assert!(header("x-amz-date").unwrap().ends_with('Z'));
        assert_eq!((header("x-amz-security-token"), header("x-kept")), (None, Some("guest")));
        assert_eq!(header("x-amz-content-sha256"), expect_hash);
        assert!(!format!("{:?}", parts.headers).contains("Credential"), "a signature is not shown");
    };
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check("sqs", BodyHash::of(b""), None).await;
    check("s3", BodyHash::of(b""), Some(empty)).await;
    check("aoss", BodyHash::of(b""), Some(empty)).await;
    check("s3", BodyHash::Unsigned, Some("UNSIGNED-PAYLOAD")).await;
}

#[tokio::test]
async fn a_region_that_nobody_says_is_the_identitys() {
    let mut parts = request_parts("GET", "http://127.0.0.1:1/", &[]);
    signer("s3", None).sign(&mut parts, BodyHash::of(b"")).await.unwrap();
    assert!(parts.headers[AUTHORIZATION].to_str().unwrap().contains("/us-east-1/s3/"));
}

#[test]
fn a_url_is_sent_in_the_encoding_that_is_signed() {
    let check = |service: &str, path_and_query: &str, expect: &str| {
        let uri = format!("https://x.example{path_and_query}").parse().unwrap();
        let sent = encoded(&uri, signer(service, None).is_s3()).unwrap();
        assert_eq!(sent.path_and_query().unwrap(), expect, "{path_and_query} to {service}");
    };
    check("s3", "/", "/");
    check("s3", "/a/b-._~c", "/a/b-._~c");
    check("s3", "/dt=2026/a(1)+b@c.png", "/dt%3D2026/a%281%29%2Bb%40c.png");
    check("s3", "/a%20b%c3%a9%3f", "/a%20b%C3%A9%3F");
    check("s3", "/a%2Fb//c", "/a/b//c");
    check("s3", "/100%", "/100%25");
    check("s3", "/?acl", "/?acl");
    check("s3", "/?list-type=2&prefix=a/b+c%2Bd&&x=", "/?list-type=2&prefix=a%2Fb%20c%2Bd&x=");
    check("sqs", "/a(1)%2fb?x=a/b", "/a(1)%2fb?x=a%2Fb");
}

#[tokio::test]
async fn a_header_that_cannot_be_signed_is_named() {
    let mut parts = request_parts("GET", "https://x.eu-west-1.amazonaws.com/", &[]);
    parts.headers.insert("x-name", HeaderValue::from_bytes("Müller".as_bytes()).unwrap());
    let error = signer("sqs", Some("eu-west-1")).sign(&mut parts, BodyHash::of(b"")).await.unwrap_err().to_string();
    assert!(error.contains("`x-name`") && !error.contains("Müller"), "{error}");
}

/// Writes down every event, whatever its level.
#[derive(Clone, Default)]
struct Events(Arc<parking_lot::Mutex<String>>);

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        attributes.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            self.0.lock().push_str(&format!("{field}={value:?}\n"));
        });
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            self.0.lock().push_str(&format!("{field}={value:?}\n"));
        });
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn no_log_of_any_level_has_what_is_signed_with() {
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        tracing::trace!("the log is on");
        let credentials = Credentials::new("AKIDEXAMPLE", "hunter2", Some("session-token".into()), None, "test");
        let mut parts = request_parts("GET", "https://x.eu-west-1.amazonaws.com/", &[("x-operator", "s3cret")]);
        signer("sqs", None).sign_at(&mut parts, BodyHash::of(b""), credentials, "us-east-1", UNIX_EPOCH).unwrap();
        assert_eq!(parts.headers["x-amz-security-token"], "session-token");
    });
    let events = events.0.lock();
    assert!(events.contains("the log is on"));
    assert!(["hunter2", "session-token", "s3cret"].iter().all(|secret| !events.contains(secret)), "{events}");
}
