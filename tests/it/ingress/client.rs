//! A client of the port.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A request, to be sent.
pub struct Request {
    builder: http::request::Builder,
    body: Vec<u8>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: String,
    headers: http::HeaderMap,
}

pub fn post(addr: SocketAddr, path: &str) -> Request {
    Request::new("POST", addr, path)
}

impl Request {
    pub fn new(method: &str, addr: SocketAddr, path: &str) -> Self {
        Self { builder: http::Request::builder().method(method).uri(format!("http://{addr}{path}")), body: Vec::new() }
    }

    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        Self { builder: self.builder.header(name.as_ref(), value.as_ref()), ..self }
    }

    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..self }
    }

    pub async fn send(self) -> Answer {
        let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = self.builder.body(Full::new(self.body.into())).expect("it is a request");
        let response = client.request(request).await.expect("the port answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Answer {
            status: head.status.as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
            headers: head.headers,
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().expect("it is text").to_owned())
    }
}
