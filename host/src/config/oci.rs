//! Plugins that are in a registry, as OCI artifacts.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::Time;

const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
/// What a reference begins with.
const SCHEME: &str = "oci://";
const DIGEST_PREFIX: &str = "sha256:";
/// The longest tag and the longest repository that registries take.
const TAG_MAX: usize = 128;
const REPOSITORY_MAX: usize = 255;

/// `[oci]`: plugins from registries, beside those of `plugins_dir`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OciConfig {
    /// The plugins. One with a tag is looked up again and again, one with a digest is pinned.
    pub plugins: Vec<OciReference>,
    /// How often a registry is asked what a tag stands for: 1 s to 1 day. Default 60 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub poll_interval: Duration,
    /// Where what was pulled is kept from one start to the next. Only this user may write there.
    pub cache: PathBuf,
    /// Registries that are asked by HTTP without TLS, as `HOST:PORT`. One on this machine always
    /// is.
    pub plain_http: Vec<String>,
}

impl Default for OciConfig {
    fn default() -> Self {
        Self {
            plugins: Vec::new(),
            poll_interval: Duration::from_secs(60),
            cache: ".wasq/oci".into(),
            plain_http: Vec::new(),
        }
    }
}

/// `oci://REGISTRY/REPOSITORY:TAG`, or with `@sha256:DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^oci://"))]
pub struct OciReference {
    /// The registry's host, with its port if it has one.
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:` and 64 hexadecimal digits in lower case.
    pub digest: Option<String>,
}

/// A text that is no reference.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is no reference to a plugin in a registry: {reason}; write oci://REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST"
)]
pub struct BadReference {
    text: String,
    reason: &'static str,
}

impl OciConfig {
    pub(super) fn rebase(&mut self, base: &Path) {
        self.cache = base.join(&self.cache);
    }

    pub(super) fn fault(&self) -> Option<(String, String, &'static str)> {
        if !POLL_INTERVAL.contains(&self.poll_interval) {
            let value = format!("{:?}", self.poll_interval);
            return Some(("oci.poll_interval".into(), value, "use 1 s to 1 day"));
        }
        let twice = self.plugins.iter().enumerate().find(|(index, one)| self.plugins[..*index].contains(one));
        if let Some((_, one)) = twice {
            return Some(("oci.plugins".into(), format!("{one} twice"), "name each plugin once"));
        }
        let with_scheme = self.plain_http.iter().find(|name| !is_registry(name));
        with_scheme.map(|name| ("oci.plain_http".into(), format!("{name:?}"), "name a registry as HOST or HOST:PORT"))
    }
}

impl OciReference {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let bad = |reason| BadReference { text: text.to_owned(), reason };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("it does not begin with oci://"))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad("its digest is not sha256: and 64 hexadecimal digits in lower case"));
        }
        let (registry, path) = rest.split_once('/').ok_or_else(|| bad("it names no repository"))?;
        if !is_registry(registry) {
            return Err(bad("it names no registry"));
        }
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if tag.is_none() && digest.is_none() {
            return Err(bad("it has neither a tag nor a digest"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("its tag has other characters than letters, digits, `.`, `_` and `-`, or over 128"));
        }
        if repository.len() > REPOSITORY_MAX || !repository.split('/').all(is_component) {
            return Err(bad("its repository has other characters than small letters, digits, `.`, `_`, `-` and `/`"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// What the registry's API calls the version: the digest, else the tag.
    pub fn version(&self) -> &str {
        let named = self.digest.as_ref().or(self.tag.as_ref());
        named.expect("a reference has a tag or a digest").as_str()
    }

    /// The same with this digest.
    pub fn at(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for OciReference {
    type Error = BadReference;

    fn try_from(text: String) -> Result<Self, BadReference> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for OciReference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        Self::parse(text)
    }
}

/// `sha256:` and 64 hexadecimal digits in lower case: the digest may become a file's name.
pub fn is_digest(text: &str) -> bool {
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    text.strip_prefix(DIGEST_PREFIX).is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

fn is_registry(text: &str) -> bool {
    url::Url::parse(&format!("https://{text}/")).is_ok_and(|url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        plain && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX && text.starts_with(is_word) && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

/// A part of a repository, by the distribution specification.
fn is_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_plain = text.starts_with(is_plain) && text.ends_with(is_plain);
    ends_plain && text.chars().all(|c| is_plain(c) || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_and_written_as_it_stands() {
        let hex = "0123456789abcdef".repeat(4);
        let digest = format!("oci://r.example/acme/receipt@sha256:{hex}");
        let both = format!("oci://127.0.0.1:5000/receipt:1.2@sha256:{hex}");
        for text in ["oci://r.example/acme/receipt:1.2.0", "oci://[::1]:5000/a/b-c/d_e:V1", &digest, &both] {
            assert_eq!(OciReference::parse(text).unwrap().to_string(), text);
        }
        let both = OciReference::parse(&both).unwrap();
        assert_eq!((both.registry.as_str(), both.repository.as_str()), ("127.0.0.1:5000", "receipt"));
        assert_eq!(both.version(), format!("sha256:{hex}"));
    }

    #[test]
    fn what_is_no_reference_is_refused_with_its_reason() {
        for (text, reason) in [
            ("r.example/a:1", "begin with oci://"),
            ("https://r.example/a:1", "begin with oci://"),
            ("oci://r.example", "no repository"),
            ("oci:///a:1", "no registry"),
            ("oci://user@r.example/a:1", "digest is not"),
            ("oci://r.example/a", "neither a tag nor a digest"),
            ("oci://r.example/A:1", "its repository"),
            ("oci://r.example/a//b:1", "its repository"),
            ("oci://r.example/../b:1", "its repository"),
            ("oci://r.example/a:.1", "its tag"),
            ("oci://r.example/a:1@sha256:12", "its digest"),
            ("oci://r.example/a@sha512:00", "its digest"),
        ] {
            let error = OciReference::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text) && error.contains("oci://REGISTRY/"), "{error}");
        }
    }
}
