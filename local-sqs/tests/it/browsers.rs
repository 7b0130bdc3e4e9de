//! Web pages of other sites, which can have a browser send forms here.

use serde_json::json;

use super::support::Server;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing() {
    let server = Server::start().await;
    let own = server.sqs.endpoint_url();
    for headers in [
        &[("Sec-Fetch-Site", "cross-site")][..],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "https://example.com")],
        &[("Origin", "http://127.0.0.1:1")],
        &[("Origin", "null")],
        &[("Origin", ""), ("Sec-Fetch-Site", "same-origin")],
        &[("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")],
    ] {
        let mut headers = headers.to_vec();
        headers.push(FORM);
        for (method, target, body) in
            [("POST", "/", "Action=CreateQueue&QueueName=q"), ("GET", "/?Action=CreateQueue&QueueName=q", "")]
        {
            let answer = server.http(method, target, &headers, body).await;
            assert_eq!(answer.status, 403, "{method} {headers:?}: {}", answer.body);
            assert!(answer.body.contains("<Code>AccessDenied</Code>"), "{}", answer.body);
        }
    }
    assert_eq!(server.ok("ListQueues", json!({})).await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_this_host_and_a_person_may_call() {
    let server = Server::start().await;
    let own = server.sqs.endpoint_url();
    for headers in [
        &[][..],
        &[("Sec-Fetch-Site", "none")],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())],
        &[("Origin", own.as_str())],
    ] {
        let answer = server.http("GET", "/?Action=ListQueues", headers, "").await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_get_and_post_call_an_operation() {
    let server = Server::start().await;
    for method in ["HEAD", "OPTIONS", "PUT", "DELETE"] {
        let answer = server.http(method, "/?Action=CreateQueue&QueueName=q", &[], "").await;
        assert_eq!(answer.status, 404, "{method}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    assert_eq!(server.ok("ListQueues", json!({})).await, json!({}));
}
