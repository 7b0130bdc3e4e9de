//! TLS to Redis.

use std::os::unix::fs::PermissionsExt;

use wasq_core::secret::Secret;
use wasq_queues::redis::{Redis, RedisConfig};
use wasq_tests::servers::{PASSWORD, Server, free_port};

use super::{make, new_name, receive_one, send};
use crate::cli::binary::program;
use crate::support::servers::started;

#[tokio::test]
async fn a_server_is_trusted_by_the_configs_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    // The server runs as another user.
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("certificate.pem"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let files = ["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
    let constraint = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let make_it = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let arguments = make_it.into_iter().chain(subject).chain(constraint).chain(files);
    program("openssl", arguments).check(0, &[]).await;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();

    let port = free_port().unwrap();
    let file = |path: &std::path::Path| path.display().to_string();
    let server = started(Server::redis_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file(&certificate),
        "--tls-key-file",
        &file(&key),
        "--tls-ca-cert-file",
        &file(&certificate),
        "--tls-auth-clients",
        "no",
    ]));
    let url = format!("rediss://:{PASSWORD}@localhost:{port}/0");
    let trusting = RedisConfig { ca_file: Some(certificate), ..RedisConfig::new(&url) };
    let queue = make(&Redis::connect(&trusting).await.unwrap(), &trusting, &new_name()).await;
    send(&queue, &["by TLS"]).await;
    assert_eq!(receive_one(&queue).await.body, "by TLS");

    let plain = format!("rediss://:{PASSWORD}@localhost:{}/0", server.port());
    let other_name = url.replace("localhost", "127.0.0.1");
    for (config, expect) in [
        (RedisConfig::new(&url), "certificate"),
        (RedisConfig { url: Secret(other_name), ..trusting.clone() }, "certificate"),
        (RedisConfig { url: Secret(plain), ..trusting }, ""),
    ] {
        let Err(error) = Redis::connect(&config).await else { panic!("it must not connect") };
        let text = error.to_string();
        assert!(text.contains(expect) && !text.contains(PASSWORD), "{text}");
    }
}
