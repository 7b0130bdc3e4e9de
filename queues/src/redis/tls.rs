//! TLS to Redis: by ring, trusting the system's roots and the certificates of a file.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The line length of PEM (RFC 7468).
const LINE: usize = 64;

/// All certificates to trust as one PEM text, as the client takes them. It trusts those alone.
///
/// # Errors
/// A file that has no certificates, or whose certificates cannot be read.
pub fn trusted(ca_file: &Path) -> Result<Vec<u8>, String> {
    let own = read(ca_file)
        .map_err(|fault| format!("`ca_file` {}: {fault}; name a PEM file of certificates", ca_file.display()))?;
    // The client refuses all of them over one of the system's that it cannot use.
    let system = rustls_native_certs::load_native_certs().certs.into_iter().filter(is_usable);
    Ok(own.into_iter().chain(system).flat_map(|certificate| pem(&certificate).into_bytes()).collect())
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it has no certificate".into());
    }
    let mut roots = RootCertStore::empty();
    certificates.iter().try_for_each(|own| roots.add(own.clone())).map_err(|error| error.to_string())?;
    Ok(certificates)
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        for (file, expect) in [("/nowhere/ca.pem", "No such file"), ("/dev/null", "no certificate")] {
            let fault = trusted(Path::new(file)).unwrap_err();
            assert!(fault.contains(file) && fault.contains(expect) && fault.contains("PEM file"), "{fault}");
        }
    }

    #[test]
    fn a_certificate_is_written_as_it_is_read() {
        let certificate = CertificateDer::from(vec![7; 100]);
        let read = CertificateDer::pem_slice_iter(pem(&certificate).as_bytes()).next().unwrap().unwrap();
        assert_eq!(read, certificate);
    }
}
