//! Host names and their addresses, by the system's resolver. Its own errors name no host.

use std::net::SocketAddr;

/// A host name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {host}: {reason}")]
pub struct Unresolved {
    host: String,
    reason: String,
}

/// The addresses of a host.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    let unresolved = |reason: String| Unresolved { host: host.to_owned(), reason };
    let found: Vec<_> =
        tokio::net::lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?.collect();
    if found.is_empty() { Err(unresolved("it has no address".into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_the_host() {
        let error = resolve("sqs.eu-wst-1.invalid", 443).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot resolve sqs.eu-wst-1.invalid: "), "{error}");
    }
}
