//! Questions to a running host's admin port.

use anyhow::{Context, bail};
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin::TOKEN_VARIABLE;

/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Where the host's admin port is.
#[derive(Args, Clone, Debug)]
pub struct Admin {
    /// The running host's admin address. It is not read from a config's `admin.listen`.
    #[arg(long, env = "WASQ_ADMIN", default_value = "127.0.0.1:9325", value_name = "HOST:PORT")]
    pub admin: String,
}

/// Where the host's port wants a token, that is the one in the environment.
fn with_token(request: http::request::Builder) -> http::request::Builder {
    match std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

impl Admin {
    /// What the host answers at `path`, as JSON; none for 404. A host that is not ready answers
    /// too.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let answer = self.get_if(path, |status| matches!(status.as_u16(), 200 | 503)).await?;
        answer.map(|bytes| serde_json::from_slice(&bytes).context("the host's answer is no JSON")).transpose()
    }

    /// What the host answers at `path`, as JSON; none for 404. Where it cannot answer, its reason
    /// is the error.
    pub async fn get_if_ok<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let answer = self.get_bytes(path).await?;
        answer.map(|bytes| serde_json::from_slice(&bytes).context("the host's answer is no JSON")).transpose()
    }

    /// What the host answers at `path`, as it is; none for 404.
    pub async fn get_bytes(&self, path: &str) -> anyhow::Result<Option<bytes::Bytes>> {
        self.get_if(path, |status| status == StatusCode::OK).await
    }

    async fn get_if(&self, path: &str, is_answer: impl Fn(StatusCode) -> bool) -> anyhow::Result<Option<bytes::Bytes>> {
        let (status, bytes) = self.ask(with_token(Request::get(self.uri(path))), bytes::Bytes::new()).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if is_answer(status) => Ok(Some(bytes)),
            status => bail!(self.refused(status, &bytes)),
        }
    }

    /// Has the host do something, and gives its answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, asked: &impl Serialize) -> anyhow::Result<T> {
        let request = with_token(Request::post(self.uri(path)).header(header::CONTENT_TYPE, "application/json"));
        let (status, bytes) = self.ask(request, serde_json::to_vec(asked)?.into()).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&bytes).context("the host's answer is no JSON");
        }
        bail!(self.refused(status, &bytes))
    }

    fn refused(&self, status: StatusCode, answer: &[u8]) -> String {
        let why =
            serde_json::from_slice::<Value>(answer).ok().and_then(|json| Some(json["error"].as_str()?.to_owned()));
        let hint = if status == StatusCode::UNAUTHORIZED { format!(" Here: {TOKEN_VARIABLE}.") } else { String::new() };
        format!(
            "the host at {} answered {status}: {}{hint}",
            self.admin,
            why.unwrap_or_else(|| "no reason given".into())
        )
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    async fn ask(
        &self,
        request: http::request::Builder,
        body: bytes::Bytes,
    ) -> anyhow::Result<(StatusCode, bytes::Bytes)> {
        let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request =
            request.body(Full::new(body)).with_context(|| format!("--admin {} is no host:port", self.admin))?;
        let response = client
            .request(request)
            .await
            .with_context(|| format!("no host answers at {}; is one running? (--admin says where)", self.admin))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
        let bytes =
            body.collect().await.map_err(anyhow::Error::from_boxed).context("the host's answer cannot be read")?;
        Ok((status, bytes.to_bytes()))
    }
}
