//! Who may send what.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;

const TOKENS: &str = "anonymous = false
[ingress.tokens.shop]
secret = 'shop'
types = ['pro*']
rate = '2/m'
[ingress.tokens.other]
secret = 'other'
types = ['another']
[ingress.types.another]
[secrets.shop]
file = 'SHOP'
[secrets.other]
file = 'OTHER'
";

/// The secrets in files of a directory.
fn with_secrets(text: &str, dir: &std::path::Path, secrets: &[(&str, &str)]) -> String {
    secrets.iter().fold(text.to_owned(), |text, (name, value)| {
        let path = dir.join(name);
        std::fs::write(&path, value).unwrap();
        text.replace(&format!("'{name}'"), &format!("'{}'", path.display()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sends_its_types_at_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let rig =
        rig(&with_secrets(TOKENS, dir.path(), &[("SHOP", "token-of-the-shop"), ("OTHER", "token-of-another")])).await;
    let send = async |authorization: Option<&str>, kind: &str| {
        let request =
            post(rig.host().ingress_addr().unwrap(), &format!("/v1/messages/{kind}")).body("{\"do\": \"done\"}");
        match authorization {
            Some(authorization) => request.header("authorization", authorization).send().await,
            None => request.send().await,
        }
    };
    for authorization in [None, Some("Bearer wrong"), Some("Basic token-of-the-shop"), Some("Bearer "), Some("Bearer")]
    {
        let answer = send(authorization, "probe").await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate").as_deref()),
            (401, Some("Bearer")),
            "{authorization:?}"
        );
        assert!(!answer.body.contains("token-of"), "{}", answer.body);
        assert_eq!(send(authorization, "unheard-of").await.status, 401, "who may not send hears nothing of types");
    }
    assert_eq!(send(Some("Bearer token-of-another"), "probe").await.status, 403);
    assert_eq!(send(Some("Bearer token-of-another"), "another").await.status, 202);
    assert_eq!(send(Some("Bearer token-of-the-shop"), "probe").await.status, 202);
    let over = send(Some("Bearer token-of-the-shop"), "probe").await;
    assert_eq!((over.status, over.header("retry-after").as_deref()), (429, Some("30")), "{}", over.body);
    rig.end().await;
}

const SIGNED: &str = "[ingress.types.probe.signature]
secret = 'hook'
header = 'x-signature'
timestamp_header = 'x-time'
tolerance = '1m'
[secrets.hook]
file = 'HOOK'
";

fn signature(key: &str, signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhooks_signature_stands_for_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(&with_secrets(SIGNED, dir.path(), &[("HOOK", "the key")])).await;
    let body = "{\"do\": \"done\"}";
    let now = wasq_core::clock::unix_ms().0 / 1_000;
    let send = async |key: &str, time: u64, signed_body: &str| {
        let signature = signature(key, &format!("{time}.{signed_body}"));
        let request = messages(&rig, "").header("x-signature", signature).header("x-time", time.to_string());
        request.body(body).send().await.status
    };
    assert_eq!(send("the key", now, body).await, 202);
    assert_eq!(send("another key", now, body).await, 401);
    assert_eq!(send("the key", now, "{}").await, 401, "of another body");
    assert_eq!(send("the key", now - 120, body).await, 401, "too old");
    assert_eq!(send("the key", now + 120, body).await, 401, "of a time to come");
    let unsigned = messages(&rig, "").header("x-time", now.to_string()).body(body).send().await;
    assert!(unsigned.status == 401 && unsigned.body.contains("x-signature"), "{}", unsigned.body);
    let timeless = messages(&rig, "").header("x-signature", signature("the key", body)).body(body).send().await;
    assert!(timeless.status == 401 && timeless.body.contains("x-time"), "{}", timeless.body);
    rig.end().await;
}
