//! Signatures for AWS, by what arrives and what does not.

use super::server::Server;
use super::*;
use crate::config::SignConfig;

const ROLE: &str = "arn:aws:iam::123456789012:role/thumbnails";

/// The plugin `mail`, whose requests to `api.test` are signed so. STS is at `endpoint`; on the
/// loopback interface the host itself is `local`.
fn signed(server: &Server, endpoint: &str, sign: SignConfig, change: impl FnOnce(&mut Config)) -> Hooks {
    let port = server.port();
    let config = config("", |config| {
        config.egress.open_hosts = ["api.test", "other.test"].map(|host| format!("{host}:{port}")).to_vec();
        config.aws.endpoint_url = Some(endpoint.to_owned());
        let sign = [(format!("http://api.test:{port}"), sign)];
        config.plugins.entry("mail".into()).or_default().sign.extend(sign);
        change(config);
    });
    let allowed = ["api.test", "other.test"].map(|host| format!("http://{host}:{port}"));
    hooks(&config, &allowed, at("127.0.0.1"))
}

fn service(name: &str) -> SignConfig {
    SignConfig { service: Some(name.into()), region: Some("eu-west-1".into()), ..SignConfig::default() }
}

const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_request_to_a_signed_destination_arrives_with_the_hosts_signature() {
    let server = Server::start().await;
    let port = server.port();
    let mut hooks = signed(&server, NOWHERE, service("s3"), |config| {
        let headers = [("x-operator".to_owned(), crate::config::Secret("set".into()))];
        let own = config.plugins.entry("mail".into()).or_default();
        own.headers.insert(format!("http://api.test:{port}"), headers.into());
    });
    let own = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    for host in ["api.test", "other.test"] {
        let mut sent = request("PUT", &format!("http://{host}:{port}/acme/a(1).txt?x=a+b"), Bytes::from("body"));
        for name in own {
            sent.headers_mut().insert(name, "guest".parse().unwrap());
        }
        assert_eq!(send(&mut hooks, sent).await.unwrap().body(), "body");
        let arrived = server.last();
        if host == "other.test" {
            assert!(own.iter().all(|name| arrived.headers[*name] == "guest"), "{arrived:?}");
            continue;
        }
        let authorization = arrived.headers["authorization"].to_str().unwrap();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=local/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/s3/aws4_request, "), "{authorization}");
        // What the operator and the host set is signed too.
        for name in ["host;", "x-operator", "traceparent;", "x-amz-content-sha256;"] {
            assert!(authorization.contains(name), "{authorization} has no {name}");
        }
        // SHA-256 of `body`.
        let hash = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
        assert_eq!(arrived.headers["x-amz-content-sha256"], hash);
        assert_eq!(arrived.headers["content-length"], "4");
        assert_eq!(arrived.uri, "/acme/a%281%29.txt?x=a%20b");
        assert!(!arrived.headers.contains_key("x-amz-security-token"));
    }
}

#[tokio::test]
async fn a_request_that_is_not_granted_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let port = server.port();
    let requests = Some(vec!["GET /acme-in/*".to_owned()]);
    let mut hooks = signed(&server, NOWHERE, SignConfig { requests, ..service("s3") }, |_| ());
    for (method, path) in
        [("PUT", "/acme-in/x"), ("GET", "/secret"), ("GET", "/acme-in/x?acl"), ("GET", "/acme-in/../x")]
    {
        let sent = request(method, &format!("http://api.test:{port}{path}"), Bytes::new());
        let words = format!("{method} api.test:{port}{}: ", path.split('?').next().unwrap());
        let got = send(&mut hooks, sent).await;
        let key = format!("plugins.mail.sign.\"http://api.test:{port}\".requests");
        refused(got.clone(), &words);
        refused(got, &key);
    }
    assert_eq!((server.connections(), hooks.unavailable()), (0, None));
    send(&mut hooks, get(&format!("http://api.test:{port}/acme-in/x"))).await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_body_is_signed_up_to_the_limit_that_is_named() {
    let server = Server::start().await;
    let url = format!("http://api.test:{}/", server.port());
    let check = async |signed_bytes: usize, request_bytes: usize, bytes: usize, expect: Option<&str>| {
        let mut hooks = signed(&server, NOWHERE, service("sqs"), |config| {
            (config.limits.signed_bytes, config.limits.request_bytes) = (signed_bytes, request_bytes);
        });
        let got = send(&mut hooks, request("POST", &url, vec![b'x'; bytes].into())).await;
        match expect {
            Some(expect) => refused(got, expect),
            None => assert_eq!(got.unwrap().body().len(), bytes),
        }
    };
    check(100, 1_000, 100, None).await;
    check(100, 1_000, 101, Some("over 100 bytes, the most that is signed (limits.signed_bytes)")).await;
    check(1_000, 100, 101, Some("over 100 bytes (limits.request_bytes)")).await;
    check(1_000_000, 1_000_000, 300_000, None).await;
    check(0, 1_000, 0, None).await;
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_body_without_end_is_over_in_its_time() {
    let server = Server::start().await;
    let mut hooks = signed(&server, NOWHERE, service("sqs"), |config| {
        config.limits.first_byte = Duration::from_millis(50);
    });
    let body = http_body_util::StreamBody::new(futures::stream::pending());
    let sent = http::Request::builder().method("POST").uri(format!("http://api.test:{}/", server.port()));
    let sent = sent.body(BodyExt::boxed_unsync(body)).unwrap();
    refused(send(&mut hooks, sent).await, "limits.first_byte");
    assert_eq!(server.connections(), 0);
}

/// What STS says in XML, as an answer whose end is known.
fn answer(status: &str, xml: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{xml}", xml.len())
}

#[tokio::test]
async fn a_role_is_assumed_for_the_requests_of_its_plugin() {
    let server = Server::start().await;
    let xml = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
               <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>token</SessionToken>\
               <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let sts = Server::says(answer("200 OK", xml), false).await;
    let endpoint = format!("http://{}", sts.addr);
    let mut hooks = signed(&server, &endpoint, SignConfig { role: Some(ROLE.into()), ..service("sqs") }, |_| ());
    for _ in 0..3 {
        send(&mut hooks, get(&format!("http://api.test:{}/", server.port()))).await.unwrap();
        let arrived = server.last();
        let authorization = arrived.headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("Credential=ASIAROLE/"), "{authorization}");
        assert_eq!(arrived.headers["x-amz-security-token"], "token");
    }
    assert_eq!(sts.connections(), 1, "its credentials are kept");
}

#[tokio::test]
async fn a_role_that_sts_refuses_is_an_unavailable_dependency_and_nothing_is_sent() {
    let server = Server::start().await;
    let xml = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
               <Code>AccessDenied</Code><Message>it is not yours</Message></Error></ErrorResponse>";
    let sts = Server::says(answer("403 Forbidden", xml), false).await;
    let endpoint = format!("http://{}", sts.addr);
    let mut hooks = signed(&server, &endpoint, SignConfig { role: Some(ROLE.into()), ..service("sqs") }, |_| ());
    let got = send(&mut hooks, get(&format!("http://api.test:{}/", server.port()))).await;
    // What STS says is for the host's log, not for the guest.
    let words = got.unwrap_err();
    assert!(words.contains(&format!("cannot sign this request without role {ROLE}; its log")), "{words}");
    assert!(!words.contains("AccessDenied"), "{words}");
    assert_eq!(hooks.unavailable(), Some((format!("role {ROLE}"), None)));
    assert_eq!(server.connections(), 0);
    // Another request that goes well says that nothing is missing.
    send(&mut hooks, get(&format!("http://other.test:{}/", server.port()))).await.unwrap();
    assert_eq!(hooks.unavailable(), None);
}
