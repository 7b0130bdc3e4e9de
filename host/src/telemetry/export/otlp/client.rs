//! The HTTP behind OTLP, as its specification has it: a POST of protobuf, tried again where the
//! collector says so.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasq_core::backoff::Backoff;

/// How often a batch is sent that the collector cannot take now; the wait doubles from the first.
const TRIES: u32 = 3;
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

type HttpClient = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends batches.
pub struct Client {
    http: HttpClient,
    headers: HeaderMap,
    /// For one try.
    timeout: Duration,
}

impl Client {
    pub fn new(headers: Vec<(HeaderName, HeaderValue)>, timeout: Duration) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { http, headers: headers.into_iter().collect(), timeout }
    }

    /// Sends a batch. The error says why it was not taken.
    pub async fn post(&self, url: &str, bytes: Vec<u8>) -> Result<(), String> {
        let bytes = Bytes::from(bytes);
        let mut tries = 1;
        loop {
            let (error, may_pass) = match self.try_once(url, bytes.clone()).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => (format!("the collector answered {status}"), is_passing(status)),
                Err(error) => (error, true),
            };
            if !may_pass || tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(TRY_AGAIN.jittered(tries)).await;
            tries += 1;
        }
    }

    async fn try_once(&self, url: &str, bytes: Bytes) -> Result<StatusCode, String> {
        let mut request = Request::post(url).body(Full::new(bytes)).map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        match tokio::time::timeout(self.timeout, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response.status()),
            Ok(Err(error)) => Err(format!("no answer: {error}")),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }
}

/// The answers after which OTLP's specification has a client try again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}
