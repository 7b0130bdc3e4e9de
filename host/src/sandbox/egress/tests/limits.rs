//! Each limit, met: an error that names it, and no hang.

use super::server::Server;
use super::*;

/// A server and a message's way to it.
struct Rig {
    server: Server,
    hooks: Hooks,
}

impl Rig {
    fn new(server: Server, change: impl FnOnce(&mut Limits)) -> Self {
        let config = config("", |config| {
            config.egress.open_hosts = vec![server.addr.to_string()];
            change(&mut config.limits);
        });
        let hooks = hooks(&config, &[format!("http://{}", server.addr)], at("127.0.0.1"));
        Self { server, hooks }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.server.addr)
    }

    async fn get(&mut self) -> Got {
        let url = self.url();
        send(&mut self.hooks, get(&url)).await
    }

    async fn post(&mut self, bytes: usize) -> Got {
        let url = self.url();
        send(&mut self.hooks, request("POST", &url, vec![b'x'; bytes].into())).await
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn requests_of_one_message() {
    let mut rig = Rig::new(Server::start().await, |limits| limits.requests = 2);
    rig.get().await.unwrap();
    rig.get().await.unwrap();
    refused(rig.get().await, "has made 2 requests, the most it may (limits.requests)");
    assert_eq!(rig.server.count(), 2);
}

#[tokio::test]
async fn requests_of_one_message_at_once() {
    let mut rig = Rig::new(Server::start().await, |limits| limits.requests_at_once = 2);
    let url = rig.url();
    let first = begin(&mut rig.hooks, get(&url)).await.unwrap();
    let second = rig.hooks.send_request(get(&url), None, Box::new(async { Ok(()) }));
    refused(rig.get().await, "has 2 requests open, the most at once (limits.requests_at_once)");
    drop(second);
    rig.get().await.unwrap();
    drop(first);
    let (_, _) = (begin(&mut rig.hooks, get(&url)).await.unwrap(), begin(&mut rig.hooks, get(&url)).await.unwrap());
}

#[tokio::test]
async fn bytes_of_a_request() {
    let mut rig = Rig::new(Server::start().await, |limits| limits.request_bytes = 1_000);
    assert_eq!(rig.post(1_000).await.unwrap().body().len(), 1_000);
    refused(rig.post(1_001).await, "the request's body is over 1000 bytes (limits.request_bytes)");
}

#[tokio::test]
async fn bytes_of_an_answer() {
    let mut rig = Rig::new(Server::start().await, |limits| limits.response_bytes = 1_000);
    assert_eq!(rig.post(1_000).await.unwrap().body().len(), 1_000);
    refused(rig.post(1_001).await, "the answer's body is over 1000 bytes (limits.response_bytes)");

    // One that does not say how long it will be, and one that never ends.
    let endless = Server::says(CHUNKED, true).await;
    let mut rig = Rig::new(endless, |limits| limits.response_bytes = 10);
    refused(rig.get().await, "the answer's body is over 10 bytes (limits.response_bytes)");
}

#[tokio::test]
async fn time_to_the_first_byte() {
    let mut rig = Rig::new(Server::says("", false).await, |limits| limits.first_byte = ms(100));
    refused(rig.get().await, "no answer began within 100ms (limits.first_byte)");
    let own = |first_byte_timeout| RequestOptions { first_byte_timeout, ..RequestOptions::default() };
    let url = rig.url();
    let got = send_within(&mut rig.hooks, get(&url), Some(own(Some(ms(50))))).await;
    refused(got, "no answer began within 50ms (the handler's own timeout)");
    let got = send_within(&mut rig.hooks, get(&url), Some(own(Some(Duration::MAX)))).await;
    refused(got, "no answer began within 100ms (limits.first_byte)");
    refused(send_within(&mut rig.hooks, get(&url), Some(own(Some(Duration::ZERO)))).await, "within 0ns");
}

#[tokio::test]
async fn time_between_bytes() {
    let mut rig = Rig::new(Server::says(CHUNKED, false).await, |limits| limits.between_bytes = ms(100));
    refused(rig.get().await, "the answer paused for 100ms (limits.between_bytes)");
    let own = |between_bytes_timeout| RequestOptions { between_bytes_timeout, ..RequestOptions::default() };
    let url = rig.url();
    let got = send_within(&mut rig.hooks, get(&url), Some(own(Some(ms(50))))).await;
    refused(got, "the answer paused for 50ms (the handler's own timeout)");
    let got = send_within(&mut rig.hooks, get(&url), Some(own(Some(Duration::MAX)))).await;
    refused(got, "the answer paused for 100ms (limits.between_bytes)");
}

#[tokio::test]
async fn time_of_the_whole_request() {
    let mut rig = Rig::new(Server::says(CHUNKED, true).await, |limits| limits.request_time = ms(200));
    refused(rig.get().await, "no whole answer within 200ms (limits.request_time)");
    let mut rig = Rig::new(Server::says("", false).await, |limits| limits.request_time = ms(100));
    refused(rig.get().await, "no whole answer within 100ms (limits.request_time)");
}

#[tokio::test]
async fn headers_of_a_request() {
    let mut rig = Rig::new(Server::start().await, |limits| (limits.headers, limits.header_bytes) = (10, 2_000));
    let url = rig.url();
    let with = |count: usize, value: &str| {
        let mut request = get(&url);
        for nth in 0..count {
            request
                .headers_mut()
                .insert(http::HeaderName::try_from(format!("h-{nth}")).unwrap(), value.parse().unwrap());
        }
        request
    };
    send(&mut rig.hooks, with(10, "x")).await.unwrap();
    refused(send(&mut rig.hooks, with(11, "x")).await, "the request has more than 10 headers (limits.headers)");
    let long = send(&mut rig.hooks, with(1, &"x".repeat(2_000))).await;
    refused(long, "the request's headers are over 2000 bytes (limits.header_bytes)");
}

#[tokio::test]
async fn headers_of_an_answer() {
    let check = async |count: usize, value: &str, expect: Option<&str>| {
        let headers: String = (0..count).map(|nth| format!("h-{nth}: {value}\r\n")).collect();
        let server = Server::says(format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n"), false).await;
        let mut rig = Rig::new(server, |limits| (limits.headers, limits.header_bytes) = (10, 2_000));
        match expect {
            Some(expect) => refused(rig.get().await, expect),
            None => drop(rig.get().await.unwrap()),
        }
    };
    check(9, "x", None).await;
    check(10, "x", Some("the answer has more than 10 headers (limits.headers)")).await;
    check(1, &"x".repeat(2_000), Some("the answer's headers are over 2000 bytes (limits.header_bytes)")).await;
    check(30, "x", Some("far over 10 headers or 2000 bytes (limits.headers, limits.header_bytes)")).await;
    check(1, &"x".repeat(500_000), Some("far over 10 headers or 2000 bytes")).await;
}

#[tokio::test]
async fn bytes_of_a_url() {
    let mut rig = Rig::new(Server::start().await, |limits| limits.url_bytes = 100);
    let url = format!("{}{}", rig.url(), "x".repeat(100));
    refused(send(&mut rig.hooks, get(&url)).await, "the URL is over 100 bytes (limits.url_bytes)");
}

#[tokio::test]
async fn time_to_connect() {
    let never: Resolver = Arc::new(|_, _| Box::pin(std::future::pending()));
    let config = config("", |config| config.egress.connect_timeout = ms(50));
    let mut hooks = hooks(&config, &["http://api.test".into()], never);
    refused(send(&mut hooks, get("http://api.test/")).await, "connection timeout");
}
