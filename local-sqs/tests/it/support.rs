//! A server of its own for each test, and a client that is no SDK.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wasq_local_sqs::{LocalSqs, Options};

/// A running endpoint. The directory outlives restarts.
pub struct Server {
    pub dir: tempfile::TempDir,
    pub sqs: LocalSqs,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        let is = |line: &&str| line.split_once(": ").is_some_and(|(header, _)| header.eq_ignore_ascii_case(name));
        self.head.lines().find(is).map_or("", |line| line.split_once(": ").unwrap().1)
    }

    /// The code that SDKs read, and the words. Panics unless it is an error.
    #[track_caller]
    pub fn error(&self) -> (String, String) {
        assert!(self.status >= 400, "no error: {}", self.body);
        let code = self.header("x-amzn-query-error").split(';').next().unwrap().to_owned();
        (code, self.json()["message"].as_str().unwrap().to_owned())
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub async fn start_in(dir: tempfile::TempDir) -> Self {
        Self::with(dir, |options| options).await
    }

    pub async fn with(dir: tempfile::TempDir, change: impl FnOnce(Options) -> Options) -> Self {
        let sqs = LocalSqs::start(change(Options::new(dir.path()).port(0))).await.unwrap();
        Self { dir, sqs }
    }

    pub async fn restart(self) -> Self {
        self.sqs.shutdown().await;
        Self::start_in(self.dir).await
    }

    /// A queue's URL here.
    pub fn url(&self, name: &str) -> String {
        format!("{}/000000000000/{name}", self.sqs.endpoint_url())
    }

    /// Sends a request as it is written here.
    pub async fn http(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut headers = headers.to_vec();
        let length = body.len().to_string();
        headers.push(("Content-Length", &length));
        self.http_of(method, target, &headers, body).await
    }

    /// As [`Self::http`], with headers that also say where the body ends.
    pub async fn http_of(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.sqs.addr());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("\r\n{body}");
        let mut stream = TcpStream::connect(self.sqs.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Calls an operation in AWS JSON, by whom and from where the signature's scope says.
    pub async fn json_as(&self, key_id: &str, region: &str, operation: &str, request: Value) -> Answer {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key_id}/20261129/{region}/sqs/aws4_request, SignedHeaders=host, Signature=0"
        );
        let target = format!("AmazonSQS.{operation}");
        let headers = [
            ("X-Amz-Target", target.as_str()),
            ("Content-Type", "application/x-amz-json-1.0"),
            ("Authorization", &authorization),
        ];
        self.http("POST", "/", &headers, &request.to_string()).await
    }

    /// Calls an operation in AWS JSON.
    pub async fn json(&self, operation: &str, request: Value) -> Answer {
        self.json_as("any", "us-east-1", operation, request).await
    }

    /// Calls an operation that has to succeed.
    #[track_caller]
    pub fn ok(&self, operation: &str, request: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.json(operation, request).await;
            assert_eq!(answer.status, 200, "{operation} at {caller}: {}", answer.body);
            answer.json()
        }
    }

    /// Makes a queue and gives its URL.
    pub async fn create(&self, name: &str, attributes: Value) -> String {
        let mut attributes = attributes;
        if name.ends_with(".fifo") && attributes["FifoQueue"].is_null() {
            attributes["FifoQueue"] = "true".into();
        }
        let made = self.ok("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        made["QueueUrl"].as_str().unwrap().to_owned()
    }

    pub async fn send(&self, url: &str, body: &str) -> Value {
        self.ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": body })).await
    }

    pub async fn send_to_group(&self, url: &str, group: &str, body: &str) -> Value {
        let ids =
            json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body });
        self.ok("SendMessage", ids).await
    }

    /// Receives up to so many messages, hidden for so many seconds.
    pub async fn receive(&self, url: &str, max: u32, visibility_s: u32) -> Vec<Value> {
        let request = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": max,
            "VisibilityTimeout": visibility_s,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let answer = self.ok("ReceiveMessage", request).await;
        answer["Messages"].as_array().cloned().unwrap_or_default()
    }

    /// All attributes of a queue.
    pub async fn attributes(&self, url: &str) -> Value {
        self.ok("GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] })).await["Attributes"].clone()
    }

    pub async fn arn(&self, url: &str) -> String {
        self.attributes(url).await["QueueArn"].as_str().unwrap().to_owned()
    }

    /// Calls an operation, which has to fail with this code and these words.
    #[track_caller]
    pub fn refused<'a>(
        &'a self,
        operation: &'a str,
        request: Value,
        code: &'a str,
        message: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.json(operation, request).await;
            assert!(answer.status >= 400, "{operation} at {caller}: {}", answer.body);
            assert_eq!(answer.error(), (code.to_owned(), message.to_owned()), "{operation} at {caller}");
        }
    }
}

pub fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().unwrap()).collect()
}
