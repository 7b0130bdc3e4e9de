//! TLS to RabbitMQ: by ring, trusting the system's roots and the certificates of a file.

use std::path::Path;
use std::sync::Arc;

use lapin::tcp::RustlsConnector;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// # Errors
/// A file that has no certificates, or whose certificates cannot be read.
pub fn connector(ca_file: Option<&Path>) -> Result<RustlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add(&mut roots, path)
            .map_err(|fault| format!("`ca_file` {}: {fault}; name a PEM file of certificates", path.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(RustlsConnector::from(config))
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let mut found = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found += 1;
    }
    if found == 0 { Err("it has no certificate".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        assert!(connector(None).is_ok());
        for (file, expect) in [("/nowhere/ca.pem", "No such file"), ("/dev/null", "no certificate")] {
            let fault = connector(Some(Path::new(file))).unwrap_err();
            assert!(fault.contains(file) && fault.contains(expect) && fault.contains("PEM file"), "{fault}");
        }
    }
}
