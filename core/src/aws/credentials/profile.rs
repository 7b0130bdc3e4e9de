//! The profile that the chain of credentials uses: which one, and how it comes to its credentials.

use aws_config::profile::{Profile, ProfileSet, load};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

/// The most profiles that may stand behind one another as `source_profile`.
const SOURCES_MAX: usize = 10;

/// The profile in use, whether it is there or not.
pub struct SelectedProfile {
    pub name: String,
    /// Whether AWS_PROFILE names it.
    is_named: bool,
    /// None where the files cannot be read; the chain says why.
    set: Option<ProfileSet>,
    /// How the last of those that stand behind it as `source_profile` comes to its credentials.
    pub base: Option<Base>,
}

/// How a profile comes to its first credentials.
#[derive(Debug, PartialEq, Eq)]
pub enum Base {
    Sso,
    Process,
    WebIdentity {
        token_file: String,
    },
    Keys,
    /// `credential_source`: the environment, a container, an instance.
    Elsewhere,
}

impl SelectedProfile {
    pub async fn read(env: &Env, fs: &Fs) -> Self {
        let named = env.get("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let set = load(fs, env, &EnvConfigFiles::default(), None).await.ok();
        let name = named.clone().unwrap_or_else(|| "default".into());
        let base = set.as_ref().and_then(|set| base(set, &name));
        Self { is_named: named.is_some(), base, name, set }
    }

    pub fn is_there(&self) -> bool {
        self.profile().is_some()
    }

    /// The role that it assumes.
    pub fn role(&self) -> Option<String> {
        self.profile()?.get("role_arn").map(str::to_owned)
    }

    /// What is wrong with it, where somebody has named it and it has brought no credentials.
    pub fn fault(&self) -> Option<String> {
        let set = self.set.as_ref().filter(|_| self.is_named)?;
        let Some(profile) = self.profile() else {
            let mut names: Vec<_> = set.profiles().collect();
            names.sort_unstable();
            let known = if names.is_empty() { "no profile".to_owned() } else { format!("only {}", names.join(", ")) };
            return Some(format!(
                "it is not there; ~/.aws/config and ~/.aws/credentials (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE) have \
                 {known}"
            ));
        };
        (self.base.is_none() && profile.get("role_arn").is_none()).then(|| {
            "it has no credentials: neither keys, nor sso_session, credential_process, role_arn or web_identity_token_file"
                .to_owned()
        })
    }

    fn profile(&self) -> Option<&Profile> {
        self.set.as_ref()?.get_profile(&self.name)
    }
}

fn base(set: &ProfileSet, name: &str) -> Option<Base> {
    let mut profile = set.get_profile(name)?;
    for _ in 0..SOURCES_MAX {
        // One that is its own source has its keys itself.
        let source = profile.get("source_profile").filter(|source| *source != profile.name());
        match source.filter(|_| profile.get("role_arn").is_some()) {
            Some(source) => profile = set.get_profile(source)?,
            None => break,
        }
    }
    let has = |key: &str| profile.get(key).is_some();
    if let Some(token_file) = profile.get("web_identity_token_file") {
        return Some(Base::WebIdentity { token_file: token_file.to_owned() });
    }
    if has("sso_session") || has("sso_start_url") {
        return Some(Base::Sso);
    }
    if has("credential_process") {
        return Some(Base::Process);
    }
    if has("aws_access_key_id") {
        return Some(Base::Keys);
    }
    has("credential_source").then_some(Base::Elsewhere)
}
