//! Questions to a running host's admin port.

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Where the host's admin port is.
#[derive(Args, Clone, Debug)]
pub struct Admin {
    /// The running host's admin address.
    #[arg(long, env = "WASQ_ADMIN", default_value = "127.0.0.1:9325", value_name = "HOST:PORT")]
    pub admin: String,
}

impl Admin {
    /// What the host answers at `path`; none for 404.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let uri = format!("http://{}{path}", self.admin);
        let uri = uri.parse().with_context(|| format!("--admin {} is no host:port", self.admin))?;
        let response = client
            .get(uri)
            .await
            .with_context(|| format!("no host answers at {}; is one running? (--admin says where)", self.admin))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
        let bytes =
            body.collect().await.map_err(anyhow::Error::from_boxed).context("the host's answer cannot be read")?;
        match status.as_u16() {
            200 | 503 => Ok(Some(serde_json::from_slice(&bytes.to_bytes()).context("the host's answer is no JSON")?)),
            404 => Ok(None),
            code => bail!("the host at {} answered {code}", self.admin),
        }
    }
}
