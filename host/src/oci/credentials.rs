//! Who the host is to a registry: what `docker login` has left in `config.json`, by the rules of
//! docker itself. Without an entry there it is nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::error::OciError;

/// What Docker Hub is called in `config.json`.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB: &str = "docker.io";
/// What helpers are called.
const HELPER_PREFIX: &str = "docker-credential-";
/// What a helper says where it has nothing for a registry.
const NOT_FOUND: &str = "credentials not found";
/// The user's name with which helpers return a token.
const TOKEN_USER: &str = "<token>";
const HELPER_MAX: Duration = Duration::from_secs(30);

/// Who asks. It is shown without its secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Anonymous,
    Basic {
        user: String,
        password: String,
    },
    /// A token with which the registry's token server makes others.
    Identity(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.account())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// base64 of `USER:PASSWORD`.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Credentials {
    /// What errors call who asks.
    pub fn account(&self) -> String {
        match self {
            Self::Anonymous => "nobody in particular".to_owned(),
            Self::Basic { user, .. } => format!("`{user}`"),
            Self::Identity(_) => "the owner of the token".to_owned(),
        }
    }

    /// For a registry, by docker's config.
    ///
    /// # Errors
    /// A config that cannot be read, a helper that does not work.
    pub async fn of(registry: &str) -> Result<Self, OciError> {
        match config_path(|name| std::env::var_os(name).map(PathBuf::from)) {
            Some(path) => Self::in_config(&path, registry).await,
            None => Ok(Self::Anonymous),
        }
    }

    async fn in_config(path: &Path, registry: &str) -> Result<Self, OciError> {
        let bad = |reason: String| OciError::Config { path: path.to_owned(), reason };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::Anonymous),
            Err(error) => return Err(bad(error.to_string())),
        };
        // Its own words may have a secret in them.
        let config: DockerConfig = serde_json::from_slice(&text)
            .map_err(|error| bad(format!("it is not docker's config (line {})", error.line())))?;
        let key = if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
        let helper = config.cred_helpers.get(key).or(config.creds_store.as_ref());
        if let Some(helper) = helper
            && let Some(found) = from_helper(helper, key).await?
        {
            return Ok(found);
        }
        let auth = config.auths.get(key).or_else(|| {
            let named = config.auths.iter().find(|(name, _)| host_of(name) == registry);
            named.map(|(_, auth)| auth)
        });
        match auth {
            Some(auth) => auth
                .credentials()
                .ok_or_else(|| bad(format!("the entry for {registry} is not base64 of USER:PASSWORD"))),
            None => Ok(Self::Anonymous),
        }
    }
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials::Identity(self.identitytoken.clone()));
        }
        if !self.username.is_empty() {
            return Some(Credentials::Basic { user: self.username.clone(), password: self.password.clone() });
        }
        if self.auth.is_empty() {
            return Some(Credentials::Anonymous);
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        // Docker pads its passwords.
        let password = password.trim_end_matches('\0');
        Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
    }
}

/// `$DOCKER_CONFIG/config.json`, else that in `~/.docker`.
fn config_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let dir = variable("DOCKER_CONFIG").filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.or_else(|| Some(variable("HOME").filter(|home| !home.as_os_str().is_empty())?.join(".docker")));
    Some(dir?.join("config.json"))
}

/// An entry may be a URL.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or_default()
}

/// Asks a helper. None where it has nothing for the registry.
async fn from_helper(helper: &str, key: &str) -> Result<Option<Credentials>, OciError> {
    let program = format!("{HELPER_PREFIX}{helper}");
    let failed = |reason: String| OciError::Helper { registry: key.to_owned(), program: program.clone(), reason };
    // It is looked for in PATH, and nowhere else.
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
        return Err(failed("its name has other characters than letters, digits, `.`, `_` and `-`".into()));
    }
    let ask = async {
        let mut child = tokio::process::Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(key.as_bytes()).await {
                // One that reads nothing may have answered all the same.
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_MAX, ask).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(failed("it is not in PATH".into()));
        }
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("no answer within {HELPER_MAX:?}"))),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
        if said.contains(NOT_FOUND) {
            return Ok(None);
        }
        let line = said.lines().next().unwrap_or_default().chars().take(200).collect::<String>();
        return Err(failed(format!("{}: {}", output.status, line.escape_debug())));
    }
    let helped: Helped = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("what it prints has no Username and Secret".into()))?;
    Ok(Some(match helped.username.as_str() {
        TOKEN_USER => Credentials::Identity(helped.secret),
        user => Credentials::Basic { user: user.to_owned(), password: helped.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    async fn read(config: &str, registry: &str) -> Result<Credentials, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        Credentials::in_config(&path, registry).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_entry_is_found_by_its_host_however_it_is_written() {
        let ada = BASE64_STANDARD.encode("ada:p:w");
        let config = format!(
            r#"{{"auths": {{"r.example:5000": {{"auth": "{ada}"}}, "https://s.example/v2/": {{"identitytoken": "t"}},
                "https://index.docker.io/v1/": {{"username": "u", "password": "p"}}, "e.example": {{}}}}}}"#
        );
        for (registry, expect) in [
            ("r.example:5000", basic("ada", "p:w")),
            ("r.example", Credentials::Anonymous),
            ("s.example", Credentials::Identity("t".into())),
            ("docker.io", basic("u", "p")),
            ("e.example", Credentials::Anonymous),
        ] {
            assert_eq!(read(&config, registry).await.unwrap(), expect, "{registry}");
        }
        assert_eq!(read("{}", "r.example").await.unwrap(), Credentials::Anonymous);
    }

    #[tokio::test]
    async fn a_config_that_cannot_be_used_is_said_without_what_is_in_it() {
        for (config, reason) in [
            ("{\"auths\": {\"r.example\": {\"auth\": \"s3cret\"}}}", "is not base64 of USER:PASSWORD"),
            ("{\"auths\": {\"r.example\": \"s3cret\"}}", "not docker's config (line 1)"),
            ("{\"credsStore\": \"../s3cret\"}", "its name has other characters"),
            ("{\"credsStore\": \"wasq-no-such-helper\"}", "it is not in PATH"),
        ] {
            let error = read(config, "r.example").await.unwrap_err();
            let shown = config.contains("auths") && error.contains("s3cret");
            assert!(error.contains(reason) && !shown, "{error}");
        }
        assert_eq!(format!("{:?}", basic("ada", "s3cret")), "`ada`");
    }

    #[test]
    fn dockers_variable_goes_before_the_home() {
        let path = |config: &str, home: &str| {
            config_path(|name| Some(PathBuf::from(if name == "HOME" { home } else { config })))
        };
        assert_eq!(path("/c", "/h").unwrap(), Path::new("/c/config.json"));
        assert_eq!(path("", "/h").unwrap(), Path::new("/h/.docker/config.json"));
        assert_eq!(path("", ""), None);
    }
}
