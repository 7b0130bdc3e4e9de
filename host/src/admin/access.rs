//! Who may look at the dashboard, and who may change anything through it.
//!
//! On loopback it is whoever is on this machine; elsewhere it is whoever knows the token. A browser
//! is let in for a session; what it asks for must come from a page of this very host: its `Host` is
//! checked against DNS rebinding, its `Origin` and `Sec-Fetch-Site` against other sites, and a form
//! carries a token that no other site can read.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use wasq_core::message::UnixMs;

use crate::config;

/// Where the token is looked for before the file that the config names.
pub const TOKEN_VARIABLE: &str = "WASQ_ADMIN_TOKEN";
/// A token must not be guessed.
const TOKEN_MIN_CHARS: usize = 16;
/// How long a browser is let in for.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);
const COOKIE: &str = "wasq_session";

/// The rules of one admin port.
pub struct Access {
    is_loopback: bool,
    token: Option<blake3::Hash>,
    actions: bool,
    /// Signs sessions and forms. It is this process's own: a restart ends them.
    key: [u8; 32],
}

/// Somebody who may look.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub peer: SocketAddr,
    /// What the forms that it is shown are bound to.
    session: String,
}

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the system has no random bytes for the key of sessions: {0}")]
    Random(getrandom::Error),
    #[error("admin.token_file {path}: {source}")]
    Read { path: std::path::PathBuf, source: std::io::Error },
    #[error(
        "the admin token has less than {TOKEN_MIN_CHARS} characters; make a longer one, as with `openssl rand -hex 32`"
    )]
    Short,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name by which it was asked is not this machine's.
    Host,
    /// The port is open to others, and no token is set.
    NoToken,
    /// It has to log in.
    Login,
    /// Actions are off.
    ReadOnly,
    /// The request comes from another site, or its form does not come from this host.
    CrossSite,
    /// Another site led to a page that has an effect.
    LedHere,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Login => StatusCode::UNAUTHORIZED,
            Self::NoToken | Self::ReadOnly | Self::CrossSite | Self::LedHere => StatusCode::FORBIDDEN,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Host => {
                "This port is for this machine alone and was asked by another name. Use http://127.0.0.1 or http://localhost."
            }
            Self::NoToken => {
                "This port is open to other machines, and no token is set. Set WASQ_ADMIN_TOKEN, or admin.token_file in the config."
            }
            Self::Login => "Log in with the admin token; a script sends it as `Authorization: Bearer TOKEN`.",
            Self::ReadOnly => "Actions are off here. Set admin.actions = true in the config to allow them.",
            Self::CrossSite => "This did not come from a page of this host, or the page is too old. Load it again.",
            Self::LedHere => {
                "Another site led here, and a look at letters hides them from others for a moment. Come from the overview, or type the address."
            }
        }
    }
}

impl Access {
    /// `variable` is what the environment has for [`TOKEN_VARIABLE`].
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong with the token.
    pub fn new(config: &config::Admin, variable: Option<String>) -> Result<Self, TokenError> {
        let token = match (variable.filter(|token| !token.is_empty()), &config.token_file) {
            (Some(token), _) => Some(token),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path);
                Some(read.map_err(|source| TokenError::Read { path: path.clone(), source })?.trim().to_owned())
            }
            (None, None) => None,
        };
        if token.as_ref().is_some_and(|token| token.chars().count() < TOKEN_MIN_CHARS) {
            return Err(TokenError::Short);
        }
        let is_loopback = config.listen.ip().is_loopback();
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(TokenError::Random)?;
        Ok(Self {
            is_loopback,
            token: token.map(|token| blake3::hash(token.as_bytes())),
            actions: config.actions.unwrap_or(is_loopback),
            key,
        })
    }

    /// Whether there is a token to log in with.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub fn allows_actions(&self) -> bool {
        self.actions
    }

    /// Lets somebody look, or says why not.
    pub fn visitor(&self, headers: &HeaderMap, peer: SocketAddr, now: UnixMs) -> Result<Visitor, Refusal> {
        self.check_host(headers)?;
        if self.token.is_none() {
            let visitor = Visitor { peer, session: String::new() };
            return if self.is_loopback { Ok(visitor) } else { Err(Refusal::NoToken) };
        }
        if let Some(token) = text(headers, header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer ")) {
            let visitor = Visitor { peer, session: String::new() };
            return if self.is_token(token) { Ok(visitor) } else { Err(Refusal::Login) };
        }
        let session = cookie(headers).filter(|session| self.is_session(session, now)).ok_or(Refusal::Login)?;
        Ok(Visitor { peer, session: session.to_owned() })
    }

    /// Whether a page may be shown that has an effect: it was asked for by a page of this host or
    /// by a person, by a bookmark for instance, and not by whatever another site makes a browser
    /// load.
    pub fn may_look(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if is_of(headers, &["same-origin", "none"]) { Ok(()) } else { Err(Refusal::LedHere) }
    }

    /// Whether what somebody asks for may be done at all.
    pub fn may_act(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        Self::check_site(headers)?;
        if self.actions { Ok(()) } else { Err(Refusal::ReadOnly) }
    }

    /// The session's cookie for whoever knows the token.
    pub fn login(&self, headers: &HeaderMap, token: &str, now: UnixMs) -> Result<String, Refusal> {
        self.check_host(headers)?;
        Self::check_site(headers)?;
        if !self.is_token(token) {
            return Err(Refusal::Login);
        }
        let until = now.0 + SESSION.as_millis() as u64;
        let session = format!("{until}.{}", self.sign("session", &until.to_string()));
        let forwarded = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let secure = if forwarded { "; Secure" } else { "" };
        Ok(format!("{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}", SESSION.as_secs()))
    }

    /// What ends a session in the browser.
    pub fn logout() -> String {
        format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
    }

    /// What a form carries, so that none but a page that this visitor was shown can have sent it.
    pub fn form_token(&self, visitor: &Visitor) -> String {
        self.sign("form", &visitor.session).to_hex().to_string()
    }

    pub fn check_form(&self, visitor: &Visitor, given: &str) -> Result<(), Refusal> {
        // Comparing two hashes takes the same time whatever they are.
        let is_it = blake3::Hash::from_hex(given).is_ok_and(|given| given == self.sign("form", &visitor.session));
        if is_it { Ok(()) } else { Err(Refusal::CrossSite) }
    }

    /// A name that leads here from the outside, such as one whose address was changed after a page
    /// was loaded, is refused.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.is_loopback {
            return Ok(());
        }
        let host = text(headers, header::HOST).unwrap_or_default();
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let is_ours = name.eq_ignore_ascii_case("localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_ours { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Whether a request was made by a page of this host.
    pub fn check_site(headers: &HeaderMap) -> Result<(), Refusal> {
        if is_of(headers, &["same-origin"]) { Ok(()) } else { Err(Refusal::CrossSite) }
    }

    fn is_token(&self, given: &str) -> bool {
        self.token == Some(blake3::hash(given.as_bytes()))
    }

    fn is_session(&self, session: &str, now: UnixMs) -> bool {
        let Some((until, signature)) = session.split_once('.') else { return false };
        let signed = blake3::Hash::from_hex(signature).is_ok_and(|given| given == self.sign("session", until));
        signed && until.parse().is_ok_and(|until: u64| now.0 < until)
    }

    fn sign(&self, purpose: &str, text: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.key, format!("{purpose} {text}").as_bytes())
    }
}

/// Whether a request comes from one of these sites, by its `Sec-Fetch-Site`, and from no other
/// origin. Browsers say so to this machine and over TLS; over plain HTTP from elsewhere they do
/// not, and there the session's cookie is kept from other sites. What says nothing is no browser,
/// and has no session by accident.
fn is_of(headers: &HeaderMap, sites: &[&str]) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    let is_site = headers.get("sec-fetch-site").is_none_or(|site| sites.iter().any(|known| site == known));
    let is_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    is_site && is_origin
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests;
