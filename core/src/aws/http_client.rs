//! How bytes travel to AWS: over HTTPS with rustls on ring, through the proxy of the environment,
//! trusting the system's roots and those in `AWS_CA_BUNDLE`. Every client of AWS uses it, the
//! chain of credentials too.

use std::path::Path;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::proxy::{BadProxy, Proxies, Proxy};

/// The variable that names a file of roots to trust beside the system's.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// What keeps every call from being made.
#[derive(Clone, Debug, thiserror::Error)]
enum BadNetwork {
    #[error("{0}")]
    Proxy(#[from] BadProxy),
    #[error("{CA_BUNDLE} {path}: {reason}")]
    CaBundle { path: String, reason: String },
}

/// For the SDK's clients, as the environment says, which `lookup` reads. What is wrong with it is
/// what every call says.
pub fn http_client(lookup: impl Fn(&str) -> Option<String>) -> SharedHttpClient {
    match Chooser::new(lookup, client) {
        Ok(Chooser { direct, https: None, http: None, .. }) => direct,
        Ok(chooser) => SharedHttpClient::new(chooser),
        Err(error) => SharedHttpClient::new(Refusing(error)),
    }
}

/// For requests that no client of the SDK makes, in the same way.
pub fn http_connector(lookup: impl Fn(&str) -> Option<String>) -> SharedHttpConnector {
    let own = |trust, proxy: Option<&Proxy>| SharedHttpConnector::new(connector(&tls(trust), proxy_config(proxy)));
    match Chooser::new(lookup, own) {
        Ok(chooser) => SharedHttpConnector::new(chooser),
        Err(error) => SharedHttpConnector::new(Refusing(error)),
    }
}

fn trusted(lookup: impl Fn(&str) -> Option<String>) -> Result<TrustStore, BadNetwork> {
    let roots = TrustStore::default();
    let Some(path) = lookup(CA_BUNDLE).filter(|path| !path.is_empty()) else { return Ok(roots) };
    let bad = |reason: &str| BadNetwork::CaBundle { path: path.clone(), reason: reason.to_owned() };
    let pem = std::fs::read(Path::new(&path)).map_err(|error| bad(&error.to_string()))?;
    // The TLS library panics over what it cannot read.
    let certificates = rustls_pki_types::pem::PemObject::pem_slice_iter(&pem)
        .collect::<Result<Vec<rustls_pki_types::CertificateDer<'_>>, _>>()
        .map_err(|error| bad(&error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it; it has to be PEM"));
    }
    Ok(roots.with_pem_certificate(pem))
}

fn tls(trust: TrustStore) -> TlsContext {
    TlsContext::builder().with_trust_store(trust).build().expect("roots alone make a context")
}

fn proxy_config(proxy: Option<&Proxy>) -> Option<ProxyConfig> {
    proxy.map(|proxy| ProxyConfig::all(proxy.url()).expect("a proxy's URL is one of HTTP"))
}

fn client(trust: TrustStore, proxy: Option<&Proxy>) -> SharedHttpClient {
    let (tls, proxy) = (tls(trust), proxy_config(proxy));
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder();
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.set_proxy_config(proxy.clone());
        build(builder, &tls)
    })
}

/// Without timeouts: whoever calls has one of its own.
fn connector(tls: &TlsContext, proxy: Option<ProxyConfig>) -> Connector {
    let mut builder = Connector::builder();
    builder.set_proxy_config(proxy);
    build(builder, tls)
}

fn build(builder: ConnectorBuilder, tls: &TlsContext) -> Connector {
    builder
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .tls_context(tls.clone())
        .build_with_resolver(Resolver)
}

/// The system's resolver, whose errors name the host.
#[derive(Clone, Debug)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let addresses = crate::resolve::resolve(name, 0).await.map_err(ResolveDnsError::new)?;
            Ok(addresses.into_iter().map(|address| address.ip()).collect())
        })
    }
}

/// Sends each request by the client of its way.
#[derive(Debug)]
struct Chooser<T> {
    direct: T,
    https: Option<T>,
    http: Option<T>,
    proxies: Proxies,
}

impl<T> Chooser<T> {
    fn new(
        lookup: impl Fn(&str) -> Option<String>,
        make: impl Fn(TrustStore, Option<&Proxy>) -> T,
    ) -> Result<Self, BadNetwork> {
        let (proxies, trust) = (Proxies::from_env(&lookup)?, trusted(&lookup)?);
        let through = |proxy: Option<&Proxy>| proxy.map(|proxy| make(trust.clone(), Some(proxy)));
        let (https, http) = (through(proxies.https()), through(proxies.http()));
        Ok(Self { direct: make(trust.clone(), None), https, http, proxies })
    }
}

impl HttpClient for Chooser<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = |client: &SharedHttpClient| client.http_connector(settings, components);
        SharedHttpConnector::new(Chooser {
            direct: connector(&self.direct),
            https: self.https.as_ref().map(connector),
            http: self.http.as_ref().map(connector),
            proxies: self.proxies.clone(),
        })
    }
}

impl HttpConnector for Chooser<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let through = url::Url::parse(request.uri()).ok().and_then(|url| {
            let (host, port) = (url.host_str()?, url.port_or_known_default()?);
            self.proxies.to(url.scheme(), host.trim_matches(['[', ']']), port)?;
            if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
        });
        through.unwrap_or(&self.direct).call(request)
    }
}

/// Makes no call, and says why.
#[derive(Clone, Debug)]
struct Refusing(BadNetwork);

impl HttpClient for Refusing {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Refusing {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::user(self.0.clone().into())))
    }
}
