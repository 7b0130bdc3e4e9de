//! One request to a registry and its answer, each with a limit on time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;
use wasq_core::causes::causes;

use super::connect::{Dial, connector};
use super::error::OciError;

/// How long a registry may take to answer, and between two parts of a body.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Answers that send elsewhere, one after the other.
const REDIRECTS_MAX: usize = 5;

type Client = hyper_util::client::legacy::Client<HttpsConnector<Dial>, Full<Bytes>>;

/// Sends requests.
pub struct Http {
    client: Client,
}

/// A request that can be sent again.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub url: Url,
    pub accept: Option<&'static str>,
    pub content_type: Option<&'static str>,
    pub authorization: Option<HeaderValue>,
    pub body: Bytes,
}

impl Call {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, accept: None, content_type: None, authorization: None, body: Bytes::new() }
    }
}

impl Http {
    /// # Errors
    /// A variable that names a proxy, and is no URL.
    pub fn new() -> Result<Self, OciError> {
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector()?);
        Ok(Self { client })
    }

    /// Sends a request and follows where it is sent. Another server gets no authorization.
    ///
    /// # Errors
    /// No answer, or one that sends from https to http.
    pub async fn send(&self, registry: &str, mut call: Call) -> Result<Response<Incoming>, OciError> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send_once(registry, &call).await?;
            let follows = matches!(call.method, Method::GET | Method::HEAD) && response.status().is_redirection();
            let Some(location) = response.headers().get(header::LOCATION).filter(|_| follows) else {
                return Ok(response);
            };
            let wrong = |reason: &str| OciError::Protocol { registry: registry.to_owned(), reason: reason.into() };
            let location = location.to_str().map_err(|_| wrong("a location that is no text"))?;
            let next = call.url.join(location).map_err(|_| wrong("a location that is no URL"))?;
            if call.url.scheme() == "https" && next.scheme() != "https" {
                return Err(OciError::Insecure { registry: registry.to_owned(), url: without_query(&next) });
            }
            if next.origin() != call.url.origin() {
                call.authorization = None;
            }
            call.url = next;
        }
        let reason = format!("over {REDIRECTS_MAX} answers that send elsewhere");
        Err(OciError::Protocol { registry: registry.to_owned(), reason })
    }

    async fn send_once(&self, registry: &str, call: &Call) -> Result<Response<Incoming>, OciError> {
        let unreachable = |reason: String| OciError::Unreachable { registry: registry.to_owned(), reason };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.url.as_str())
            .header(header::USER_AGENT, concat!("wasq/", env!("CARGO_PKG_VERSION")));
        if let Some(accept) = call.accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(content_type) = call.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        if let Some(authorization) = &call.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(call.body.clone())).map_err(|error| unreachable(error.to_string()))?;
        match tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(causes(&error))),
            Err(_) => Err(unreachable(format!("no answer within {ANSWER_MAX:?}"))),
        }
    }
}

/// A body of at most `limit` bytes. None if it has more.
///
/// # Errors
/// The connection ends, or nothing comes for too long.
pub async fn body(registry: &str, mut response: Response<Incoming>, limit: usize) -> Result<Option<Bytes>, OciError> {
    let unreachable = |reason: String| OciError::Unreachable { registry: registry.to_owned(), reason };
    let mut bytes = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(ANSWER_MAX, response.frame()).await;
        let frame = frame.map_err(|_| unreachable(format!("nothing more within {ANSWER_MAX:?}")))?;
        let Some(frame) = frame else { return Ok(Some(bytes.freeze())) };
        let frame = frame.map_err(|error| unreachable(causes(&error)))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&data);
        }
    }
}

/// A query may have a signature in it.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}
