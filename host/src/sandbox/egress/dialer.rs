//! What makes each plugin's way out, from the config and the grants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wasq_core::aws::identity::Identities;
use wasq_core::proxy::Proxies;

use super::checked::CheckedConnector;
use super::client::{Egress, HttpClient};
use super::connect::Connector;
use super::destination::{Destination, DestinationError};
use super::errors::DialError;
use super::headers::{HeaderError, Headers};
use super::proxied::{self, ProxyConnector, ProxyError};
use super::resolve::{self, Addresses, Resolver};
use super::secrets::{SecretError, Secrets};
use super::sign::{BodyRoom, SignRuleError, Signing};
use crate::config::{self, Config, Limits, SignFault};

/// An HTTP/2 connection with requests on it is asked for a sign of life as often, and is given up
/// after the second time.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What makes connections for every plugin: TLS settings, read once, the operator's open hosts,
/// headers and signatures.
#[derive(Clone)]
pub struct Dialer {
    tls: rustls::ClientConfig,
    addresses: Addresses,
    proxies: Arc<Proxies>,
    headers: Arc<BTreeMap<String, Headers>>,
    none: Headers,
    signing: Arc<BTreeMap<String, Signing>>,
    secrets: Arc<Secrets>,
    config: config::Egress,
    limits: Limits,
}

/// What is wrong with the config of outbound HTTP.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("egress.open_hosts: {0}")]
    OpenHosts(#[from] DestinationError),
    #[error("egress.ca_file {}: {reason}; name a PEM file of certificates", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("egress.proxy: {0}")]
    Proxy(#[from] ProxyError),
    #[error("{0}; see [secrets] in the config")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Sign(#[from] SignFault),
    #[error("{0}")]
    SignRule(#[from] SignRuleError),
}

impl Dialer {
    /// Reads the system's trusted roots and the operator's, and every secret.
    pub fn new(config: &Config) -> Result<Self, EgressError> {
        Self::with_resolver(config, resolve::system())
    }

    /// As [`Dialer::new`], with this look-up of names in the system's place.
    pub(super) fn with_resolver(config: &Config, resolver: Resolver) -> Result<Self, EgressError> {
        let secrets = Arc::new(Secrets::load(&config.secrets)?);
        let headers = config
            .plugins
            .iter()
            .map(|(plugin, operator)| Ok((plugin.clone(), Headers::new(plugin, &operator.headers, secrets.clone())?)));
        let headers = headers.collect::<Result<_, HeaderError>>()?;
        // As of secrets: `wasq dev` has its queues on this machine, and not what handlers call.
        let identities = Identities::new(config.secrets_aws.as_ref().unwrap_or(&config.aws).clone());
        let room = BodyRoom::new(config.limits.signed_total_bytes);
        let signing = config.plugins.keys().map(|plugin| {
            let signing = Signing::new(plugin, config.sign_rules(plugin)?, &identities, &room)?;
            Ok((plugin.clone(), signing))
        });
        let signing = signing.collect::<Result<_, EgressError>>()?;
        Ok(Self {
            tls: tls(&config.egress)?,
            addresses: Addresses::new(&config.egress.open_hosts, resolver)?,
            proxies: Arc::new(proxied::proxies(&config.egress, |name| std::env::var(name).ok())?),
            headers: Arc::new(headers),
            none: Headers::new("", &BTreeMap::new(), secrets.clone())?,
            signing: Arc::new(signing),
            secrets,
            config: config.egress.clone(),
            limits: config.limits.clone(),
        })
    }

    /// Every secret of the config.
    pub fn secrets(&self) -> Arc<Secrets> {
        self.secrets.clone()
    }

    /// The way out of a plugin that may reach these destinations.
    pub fn egress(&self, plugin: &str, allowed: &[String]) -> Result<Egress, DestinationError> {
        let allowed: Vec<_> = allowed.iter().map(|text| Destination::parse(text)).collect::<Result<_, _>>()?;
        let headers = self.headers.get(plugin).unwrap_or(&self.none).clone();
        let signing = self.signing.get(plugin).cloned().unwrap_or_default();
        Ok(Egress::new(allowed, headers, signing, self.client()))
    }

    /// Each destination for which nothing can be signed now, with the reason.
    pub async fn missing_identities(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for signing in self.signing.values() {
            missing.extend(signing.missing().await);
        }
        missing
    }

    /// The destinations of a way out that egress is closed to, each with the reason. No name is
    /// looked up.
    pub fn closed(&self, egress: &Egress) -> Vec<(Destination, DialError)> {
        let closed = egress.allowed().iter().map(|to| (to.clone(), self.addresses.closed(to.host(), to.port())));
        closed.filter_map(|(destination, error)| Some((destination, error?))).collect()
    }

    fn client(&self) -> HttpClient {
        let checked = CheckedConnector::new(self.addresses.clone(), self.config.connect_timeout);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(ProxyConnector::new(checked, self.proxies.clone()));
        let connector = Connector::new(https, self.config.connect_timeout);
        // Heads of twice their limit still get an error that says the number; longer ones end in
        // the parser.
        let head_bytes = (2 * self.limits.header_bytes).max(HEAD_BYTES_MIN);
        Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.config.idle_timeout)
            .pool_max_idle_per_host(self.config.idle_connections)
            .http1_max_headers(2 * self.limits.headers)
            .http1_max_buf_size(head_bytes)
            .http2_max_header_list_size(u32::try_from(HTTP2_ROOM * head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .build(connector)
    }
}

/// HTTP/2 has no error of its own for a head that is too long, so its parser leaves more of them to
/// the check.
const HTTP2_ROOM: usize = 8;

/// The smallest buffer for a head and for what is read of a body at once.
const HEAD_BYTES_MIN: usize = 64 * 1024;

fn tls(config: &config::Egress) -> Result<rustls::ClientConfig, EgressError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca_file {
        let refuse = |reason: String| EgressError::CaFile { path: path.clone(), reason };
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(error.to_string()))? {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(refuse("it has no certificate".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth())
}
