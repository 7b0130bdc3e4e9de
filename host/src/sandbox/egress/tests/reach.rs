//! What a guest may reach, by what arrives and what does not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::Server;
use super::*;

fn open(host: &str, port: u16) -> Config {
    config("", |config| config.egress.open_hosts = vec![format!("{host}:{port}")])
}

/// Two servers on one port, each on an address of its own.
async fn twins() -> (Server, Server) {
    for _ in 0..100 {
        let first = Server::start().await;
        if let Ok(second) = Server::on(SocketAddr::from(([127, 0, 0, 2], first.port()))).await {
            return (first, second);
        }
    }
    panic!("no port is free on 127.0.0.1 and 127.0.0.2");
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_address_that_is_dialled() {
    let (first, second) = twins().await;
    let port = first.port();
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = lookups.clone();
    // The second answer is another address, and each one after it.
    let resolver: Resolver = Arc::new(move |_, port| {
        let last = if counted.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], port))]) })
    });
    let config = config("", |config| {
        config.egress.open_hosts = vec![format!("rebind.test:{port}")];
        config.egress.idle_timeout = Duration::from_secs(600);
    });
    let allowed = [format!("http://rebind.test:{port}")];
    let url = format!("http://rebind.test:{port}/");
    let mut hooks_of_one = hooks(&config, &allowed, resolver.clone());
    for requests in 1..=3 {
        send(&mut hooks_of_one, get(&url)).await.unwrap();
        assert_eq!((first.count(), second.count()), (requests, 0));
        assert_eq!(lookups.load(Ordering::SeqCst), 1, "one look-up for one connection");
        assert_eq!(first.connections(), 1, "the connection is kept");
    }
    // Another plugin's pool is another one.
    send(&mut hooks(&config, &allowed, resolver), get(&url)).await.unwrap();
    assert_eq!((first.count(), second.count(), lookups.load(Ordering::SeqCst)), (3, 1, 2));
}

#[tokio::test]
async fn a_name_that_resolves_to_a_blocked_address_is_denied_whatever_is_granted() {
    let server = Server::start().await;
    let port = server.port();
    let allowed = [format!("http://*.test:{port}"), format!("http://127.0.0.1:{port}")];
    let url = format!("http://api.test:{port}/");
    let check = async |config: &Config, address: &'static str, url: &str, expect: &str| {
        refused(send(&mut hooks(config, &allowed, at(address)), get(url)).await, expect);
    };
    let closed = config("", |_| ());
    check(&closed, "127.0.0.1", &url, "prohibited").await;
    check(&closed, "::ffff:127.0.0.1", &url, "prohibited").await;
    check(&closed, "8.8.8.8", &format!("http://2130706433:{port}/"), "prohibited").await;
    check(&open("api.test", port), "169.254.169.254", &url, "prohibited").await;
    check(&open("api.test", port), "fd00:ec2::254", &url, "prohibited").await;
    check(&open("other.test", port), "127.0.0.1", &url, "prohibited").await;
    assert_eq!(server.connections(), 0);
    send(&mut hooks(&open("api.test", port), &allowed, at("127.0.0.1")), get(&url)).await.unwrap();
}

#[tokio::test]
async fn what_was_not_granted_is_denied_before_it_is_looked_up() {
    let server = Server::start().await;
    let port = server.port();
    let never: Resolver = Arc::new(|host, _| panic!("{host} was looked up"));
    let mut hooks = hooks(&open("api.test", port), &[format!("http://api.test:{port}")], never);
    let urls = [
        format!("http://other.test:{port}/"),
        format!("http://api.test.evil.test:{port}/"),
        format!("http://sub.api.test:{port}/"),
        format!("https://api.test:{port}/"),
        "http://api.test/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ];
    for url in &urls {
        refused(send(&mut hooks, get(url)).await, "denied");
    }
    refused(send(&mut hooks, get(&format!("http://user@api.test:{port}/"))).await, "URI");
    for method in ["CONNECT", "TRACE"] {
        let refusal = send(&mut hooks, request(method, &format!("http://api.test:{port}/"), Bytes::new())).await;
        refused(refusal, "method");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_request_arrives_at_the_host_that_was_matched() {
    let server = Server::start().await;
    let port = server.port();
    let mut hooks = hooks(&open("api.test", port), &[format!("http://api.test:{port}")], at("127.0.0.1"));
    let mut sent = get(&format!("http://API.Test.:{port}/a/../b?c"));
    sent.headers_mut().insert("host", "internal.test".parse().unwrap());
    send(&mut hooks, sent).await.unwrap();
    let arrived = server.last();
    assert_eq!(arrived.headers["host"], format!("api.test:{port}"));
    assert_eq!(arrived.uri, "/b?c");
    assert_eq!(arrived.headers["traceparent"], TRACEPARENT);

    let mut sent = get(&format!("http://api.test:{port}/"));
    sent.headers_mut().insert("traceparent", "the guest's own".parse().unwrap());
    send(&mut hooks, sent).await.unwrap();
    assert_eq!(server.last().headers["traceparent"], "the guest's own");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let server = Server::start().await;
    let port = server.port();
    let mut hooks = hooks(&open("api.test", port), &[format!("http://api.test:{port}")], at("127.0.0.1"));
    let got = send(&mut hooks, get(&format!("http://api.test:{port}/to//other"))).await.unwrap();
    assert_eq!((got.status().as_u16(), got.headers()["location"].to_str().unwrap()), (302, "/other"));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_unavailable_host_is_noted_with_its_retry_after() {
    let server = Server::start().await;
    let port = server.port();
    let mut hooks = hooks(&open("api.test", port), &[format!("http://api.test:{port}")], at("127.0.0.1"));
    for (path, expect) in [("/status/503", Some(7)), ("/status/500", None), ("/status/429", Some(7)), ("/", None)] {
        send(&mut hooks, get(&format!("http://api.test:{port}{path}"))).await.unwrap();
        let expect = expect.map(|after_s| ("api.test".to_owned(), Some(Duration::from_secs(after_s))));
        assert_eq!(hooks.unavailable(), expect, "{path}");
    }
}

#[tokio::test]
async fn connections_are_kept_as_many_and_as_long_as_the_config_says() {
    let server = Server::start().await;
    let port = server.port();
    let url = format!("http://api.test:{port}/");
    let with = |idle_connections: usize, idle_timeout: Duration| {
        let mut config = open("api.test", port);
        config.egress.idle_connections = idle_connections;
        config.egress.idle_timeout = idle_timeout;
        hooks(&config, &[format!("http://api.test:{port}")], at("127.0.0.1"))
    };
    let mut none_kept = with(0, Duration::from_secs(600));
    for _ in 0..2 {
        send(&mut none_kept, get(&url)).await.unwrap();
        server.until_closed().await;
    }
    assert_eq!(server.connections(), 2);
    let mut soon_closed = with(1, Duration::from_millis(50));
    send(&mut soon_closed, get(&url)).await.unwrap();
    // Nobody asks again: the pool itself closes it.
    server.until_closed().await;
}
