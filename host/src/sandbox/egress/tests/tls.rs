//! TLS for the name, HTTP/2 over it, and the operator's headers.

use std::path::PathBuf;
use std::process::Command;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::server::Server;
use super::*;

/// An authority of the test's own, and a certificate of `api.test` by it.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        authority.openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
        authority.openssl(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=api.test"));
        std::fs::write(authority.path("leaf.ext"), "subjectAltName = DNS:api.test\nbasicConstraints = CA:FALSE\n")
            .unwrap();
        let signed =
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem";
        authority.openssl(signed);
        authority
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("the command `openssl` is missing, install it: {error}"));
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn server(&self, protocols: &[&str]) -> Server {
        let certificates = vec![CertificateDer::from_pem_file(self.path("leaf.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("leaf.key")).unwrap();
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(certificates, key)
                .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Server::tls(TlsAcceptor::from(Arc::new(config))).await
    }

    /// Where this server is `api.test` and `other.test`, and the authority is trusted.
    fn config(&self, lines: &str, port: u16) -> Config {
        config(lines, |config| {
            config.egress.open_hosts = vec![format!("api.test:{port}"), format!("other.test:{port}")];
            config.egress.ca_file = Some(self.path("ca.pem"));
        })
    }
}

fn allowed(port: u16) -> [String; 1] {
    [format!("https://*.test:{port}")]
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_wants_it_over_one_connection() {
    let authority = Authority::new();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let server = authority.server(protocols).await;
        let port = server.port();
        let url = format!("https://api.test:{port}/");
        let mut hooks = hooks(&authority.config("", port), &allowed(port), at("127.0.0.1"));
        for body in ["", "one", "two"] {
            let got = send(&mut hooks, request("POST", &url, body.into())).await.unwrap();
            assert_eq!(got.body(), body);
            assert_eq!(server.last().version, version, "{protocols:?}");
        }
        assert_eq!(server.connections(), 1, "{protocols:?}");
        let name = match version {
            http::Version::HTTP_2 => server.last().uri.authority().unwrap().to_string(),
            _ => server.last().headers["host"].to_str().unwrap().to_owned(),
        };
        assert_eq!(name, format!("api.test:{port}"));
    }
}

#[tokio::test]
async fn limits_hold_over_http_2_too() {
    let authority = Authority::new();
    let server = authority.server(&["h2"]).await;
    let port = server.port();
    let mut config = authority.config("", port);
    (config.limits.request_bytes, config.limits.response_bytes) = (2_000, 1_000);
    let mut hooks = hooks(&config, &allowed(port), at("127.0.0.1"));
    let post = |bytes: usize| request("POST", &format!("https://api.test:{port}/"), vec![b'x'; bytes].into());
    refused(send(&mut hooks, post(1_001)).await, "limits.response_bytes");
    refused(send(&mut hooks, post(2_001)).await, "limits.request_bytes");
    let headers = |count: u32| get(&format!("https://api.test:{port}/headers/{count}"));
    refused(send(&mut hooks, headers(101)).await, "limits.headers");
    refused(send(&mut hooks, headers(5_000)).await, "limits.header");
    refused(send(&mut hooks, headers(20_000)).await, "no answer: stream error");
    assert_eq!(send(&mut hooks, post(1_000)).await.unwrap().body().len(), 1_000);
}

#[tokio::test]
async fn a_certificate_is_verified_for_the_name_by_a_trusted_authority() {
    let authority = Authority::new();
    let server = authority.server(&["h2", "http/1.1"]).await;
    let port = server.port();
    let check = async |config: &Config, host: &str, expect: &str| {
        let got =
            send(&mut hooks(config, &allowed(port), at("127.0.0.1")), get(&format!("https://{host}:{port}/"))).await;
        refused(got, expect);
    };
    let trusting = authority.config("", port);
    check(&trusting, "other.test", "no TLS connection: invalid peer certificate").await;
    let mut another = authority.config("", port);
    let other = Authority::new();
    another.egress.ca_file = Some(other.path("ca.pem"));
    check(&another, "api.test", "no TLS connection: invalid peer certificate").await;
    another.egress.ca_file = None;
    check(&another, "api.test", "UnknownIssuer").await;
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let server = Server::says("", false).await;
    let config = config("", |config| {
        config.egress.open_hosts = vec![server.addr.to_string()];
        config.egress.connect_timeout = Duration::from_millis(50);
    });
    let origin = format!("https://{}", server.addr);
    let got = send(&mut hooks(&config, std::slice::from_ref(&origin), at("127.0.0.1")), get(&origin)).await;
    refused(got, "connection timeout");
    server.until_closed().await;
}

/// Everything that is logged on this thread while the guard lives.
fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log: Arc<Mutex<Vec<u8>>> = Arc::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Log(written.clone()))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authorities.pem");
    let check = |expect: &str| {
        let config = config("", |config| config.egress.ca_file = Some(path.clone()));
        let error = Dialer::new(&config).err().unwrap().to_string();
        assert!(error.contains("authorities.pem") && error.contains(expect), "{error}");
    };
    check("No such file");
    std::fs::write(&path, "nothing").unwrap();
    check("it has no certificate");
}

#[tokio::test]
async fn a_secret_is_set_for_its_destination_and_shown_nowhere() {
    const SECRET: &str = "hunter2-hunter2";
    let (log, _logging) = logged();
    let authority = Authority::new();
    let file = authority.path("mail_token");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let server = authority.server(&["h2"]).await;
    let port = server.port();
    let lines = format!(
        "[secrets]\nMAIL_TOKEN = {{ file = '{}' }}\n[plugins.mail.headers.'https://API.test.:{port}']\n\
         authorization = 'Bearer {{secret:MAIL_TOKEN}}'\nx-account = 'shop'\n",
        file.display()
    );
    let config = authority.config(&lines, port);
    let mut mail = hooks(&config, &allowed(port), at("127.0.0.1"));
    let mut sent = get(&format!("https://api.test:{port}/"));
    sent.headers_mut().append("authorization", "guest 1".parse().unwrap());
    sent.headers_mut().append("authorization", "guest 2".parse().unwrap());
    let got = send(&mut mail, sent).await.unwrap();
    let arrived = server.last();
    let values: Vec<_> = arrived.headers.get_all("authorization").iter().collect();
    assert_eq!(values, [format!("Bearer {SECRET}").as_str()]);
    assert_eq!(arrived.headers["x-account"], "shop");
    assert!(!format!("{got:?}").contains(SECRET));
    assert!(!format!("{config:?} {:?}", mail.egress).contains(SECRET));

    // Another host, of the same server; and another plugin.
    let plain = Server::start().await;
    let port = plain.port();
    let config = self::config(&lines, |config| config.egress.open_hosts = vec![format!("api.test:{port}")]);
    let mut mail = hooks(&config, &[format!("http://api.test:{port}")], at("127.0.0.1"));
    send(&mut mail, get(&format!("http://api.test:{port}/"))).await.unwrap();
    assert!(!plain.last().headers.contains_key("authorization"));

    refused(send(&mut mail, get("http://other.test/")).await, "denied");
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(log.contains("other.test"), "the log was looked at: {log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[test]
fn a_missing_secret_is_named_at_the_start() {
    let lines = "[secrets]\nMAIL_TOKEN = { env = 'WASQ_TEST_NO_SUCH_TOKEN' }";
    let error = Dialer::new(&config(lines, |_| ())).err().unwrap().to_string();
    assert!(
        error.contains("secret `MAIL_TOKEN`: the environment's variable WASQ_TEST_NO_SUCH_TOKEN is not set"),
        "{error}"
    );
    let lines = "[plugins.mail.headers.'https://api.test']\nauthorization = '{secret:MAIL_TOKEN}'";
    let error = Dialer::new(&config(lines, |_| ())).err().unwrap().to_string();
    assert!(
        error.contains("plugins.mail.headers.\"https://api.test\".authorization: no secret is named `MAIL_TOKEN`"),
        "{error}"
    );
}
