//! Connections to registries: TLS that trusts the system's roots, through the proxy that the
//! environment names.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use wasq_core::proxy::{BadProxy, Proxies, Proxy};

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Dials a registry, or the proxy on the way to it.
#[derive(Clone)]
pub struct Dial {
    proxies: Arc<Proxies>,
}

/// # Errors
/// A variable that names a proxy, and is no URL.
pub fn connector() -> Result<HttpsConnector<Dial>, BadProxy> {
    let proxies = Proxies::from_env(|name| std::env::var(name).ok())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let dial = Dial { proxies: Arc::new(proxies) };
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(builder.enable_all_versions().wrap_connector(dial))
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 })
}

fn host_of(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

async fn direct(uri: &Uri) -> io::Result<TokioIo<TcpStream>> {
    let dial = async {
        let addresses = wasq_core::resolve::resolve(host_of(uri), port_of(uri)).await.map_err(io::Error::other)?;
        TcpStream::connect(&addresses[..]).await
    };
    let stream = tokio::time::timeout(CONNECT_MAX, dial).await;
    let stream = stream.map_err(|_| io::Error::other(format!("no connection within {CONNECT_MAX:?}")))??;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

async fn tunnel(proxy: &Proxy, uri: &Uri) -> io::Result<TokioIo<TcpStream>> {
    let failed = |reason: String| io::Error::other(format!("the proxy {proxy}: {reason}"));
    // It reads user and password out of the URL.
    let intercepted = Matcher::builder().all(proxy.url()).build().intercept(uri);
    let intercepted = intercepted.ok_or_else(|| failed("its URL cannot be used".into()))?;
    let mut tunnel = Tunnel::new(intercepted.uri().clone(), ToProxy);
    if let Some(auth) = intercepted.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    // CONNECT names the port, whatever the scheme's own is.
    let authority = format!("{}:{}", uri.host().unwrap_or_default(), port_of(uri));
    let named = Uri::builder().scheme(uri.scheme_str().unwrap_or("https")).authority(authority).path_and_query("/");
    let named = named.build().map_err(|error| failed(error.to_string()))?;
    tunnel.call(named).await.map_err(|error| failed(wasq_core::causes::causes(&error)))
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let proxies = self.proxies.clone();
        Box::pin(async move {
            match proxies.to(uri.scheme_str().unwrap_or_default(), host_of(&uri), port_of(&uri)) {
                Some(proxy) => tunnel(proxy, &uri).await,
                None => direct(&uri).await,
            }
        })
    }
}

#[derive(Clone)]
struct ToProxy;

impl Service<Uri> for ToProxy {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        Box::pin(async move { direct(&proxy).await })
    }
}
