//! The HTTP client of the demo's inline checkout.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Calls one server, over connections that it keeps.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Self {
        Client { base: base.to_owned(), pool: Pool::builder(TokioExecutor::new()).build_http() }
    }

    /// Posts JSON with this `Idempotency-Key`. Gives the status, whichever it is, and the body.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn post(&self, path: &str, key: &str, json: String) -> anyhow::Result<(u16, Bytes)> {
        self.send("POST", path, "application/json", key, json.into()).await
    }

    /// Gets `path`. As [`Client::post`].
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, Bytes)> {
        self.send("GET", path, "application/json", "", Bytes::new()).await
    }

    /// Sends any request. As [`Client::post`].
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        key: &str,
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, content_type)
            .header("idempotency-key", key)
            .body(Full::new(body))
            .with_context(|| format!("make the request {method} {path}"))?;
        let response = self.pool.request(request).await.with_context(|| format!("send {method} {path}"))?;
        let status = response.status().as_u16();
        let body =
            response.into_body().collect().await.with_context(|| format!("read the answer to {method} {path}"))?;
        Ok((status, body.to_bytes()))
    }
}
