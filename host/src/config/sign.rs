//! What the operator says about signing: which of a plugin's requests the host signs for AWS, for
//! which service and region, and as whom.
//!
//! Read with the config, so that an error names the file; the sandbox's egress does the signing.

mod pattern;

use schemars::JsonSchema;
use serde::Deserialize;
use url::{Host, Url};
use wasq_core::aws::endpoint::Endpoint;
use wasq_core::aws::is_loopback;

pub use pattern::RequestPattern;

use super::Config;

/// How requests to one destination are signed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignConfig {
    /// As signatures name it. Default: what the host name tells.
    pub service: Option<String>,
    /// Default: what the host name tells, else the host's own.
    pub region: Option<String>,
    /// A role that is assumed for this plugin. Default: the host's own identity.
    pub role: Option<String>,
    /// `METHOD /path` of what is signed. Default: every request.
    pub requests: Option<Vec<String>>,
    /// Values of `X-Amz-Target` that are signed. Default: any, or none.
    pub targets: Option<Vec<String>>,
}

/// The same, understood.
#[derive(Clone, Debug)]
pub struct SignRule {
    pub service: String,
    /// None where it is the host's own.
    pub region: Option<String>,
    pub role: Option<String>,
    pub requests: Option<Vec<RequestPattern>>,
    pub targets: Option<Vec<String>>,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}: {rule}")]
pub struct SignFault {
    pub key: String,
    pub value: String,
    pub rule: String,
}

const DESTINATION: &str = "write scheme://host[:port], such as https://s3.eu-central-1.amazonaws.com";
const NOT_AWS: &str = "this is no endpoint of AWS (*.amazonaws.com, *.amazonaws.com.cn, *.api.aws, *.on.aws); for a host \
                       of your own, such as an emulator, add its host:port to egress.open_hosts";
const PLAIN_HTTP: &str = "use https: what is signed for AWS is not sent unencrypted";
const WILDCARD: &str = "a wildcard stands for the buckets of S3 alone, as in https://*.s3.eu-central-1.amazonaws.com; name \
                        one host";
const NO_SERVICE: &str = "the host name does not tell it; set it as signatures name it, such as `s3` or `execute-api`";
const ROLE: &str = "write a role's ARN, such as arn:aws:iam::123456789012:role/thumbnails";
const EMPTY: &str = "nothing would be signed; name at least one, or leave the list out to sign every request";

impl Config {
    /// How requests of a plugin are signed, by destination.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn sign_rules(&self, plugin: &str) -> Result<Vec<(String, SignRule)>, SignFault> {
        let Some(operator) = self.plugins.get(plugin) else { return Ok(Vec::new()) };
        let mut seen = Vec::new();
        let rules = operator.sign.iter().map(|(destination, sign)| {
            let fault = |field: &str, value: String, rule: &str| SignFault {
                key: format!("plugins.{plugin}.sign.{destination:?}{field}"),
                value,
                rule: rule.to_owned(),
            };
            let target = Target::parse(destination).ok_or_else(|| fault("", "no destination".into(), DESTINATION))?;
            let same = (target.wildcard, target.url.scheme().to_owned(), host_and_port(&target.url));
            if seen.contains(&same) {
                return Err(fault("", "there twice".into(), "another key names the same destination; make them one"));
            }
            seen.push(same);
            Ok((destination.clone(), sign.rule(&target, self, fault)?))
        });
        rules.collect()
    }

    /// The first rule of any plugin that is wrong.
    pub(super) fn sign_fault(&self) -> Option<SignFault> {
        self.plugins.keys().find_map(|plugin| self.sign_rules(plugin).err())
    }

    /// Whether the operator has named this host as one of their own: it is on this machine, opened,
    /// or where AWS is said to be.
    fn is_own_host(&self, url: &Url) -> bool {
        let Some(endpoint) = host_and_port(url) else { return false };
        let is_local = is_loopback(url.as_str()) || endpoint.0.ends_with(".localhost");
        let opened = self.egress.open_hosts.iter().filter_map(|open| Url::parse(&format!("http://{open}")).ok());
        let aws = [Some(&self.aws), self.secrets_aws.as_ref()].into_iter().flatten();
        let aws = aws.filter_map(|aws| Url::parse(aws.endpoint_url.as_deref()?).ok());
        is_local || opened.chain(aws).any(|own| host_and_port(&own).as_ref() == Some(&endpoint))
    }
}

/// A name with a dot at its end is the one without.
fn host_and_port(url: &Url) -> Option<(String, u16)> {
    let host = url.host_str()?;
    Some((host.strip_suffix('.').unwrap_or(host).to_owned(), url.port_or_known_default()?))
}

/// A destination, its wildcard taken off.
struct Target {
    url: Url,
    wildcard: bool,
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (wildcard, plain) = match text.split_once("://*.") {
            Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
            None => (false, text.to_owned()),
        };
        let url = Url::parse(&plain).ok()?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_named = match url.host()? {
            Host::Domain(name) => !name.contains('*'),
            Host::Ipv4(_) | Host::Ipv6(_) => !wildcard,
        };
        let is_http = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        (is_bare && is_named && is_http).then_some(Self { url, wildcard })
    }
}

impl SignConfig {
    fn rule(
        &self,
        target: &Target,
        config: &Config,
        fault: impl Fn(&str, String, &str) -> SignFault,
    ) -> Result<SignRule, SignFault> {
        let host = host_and_port(&target.url).map(|(host, _)| host).unwrap_or_default();
        let (aws, is_own) = (Endpoint::of(&host), config.is_own_host(&target.url));
        if aws.is_none() && !is_own {
            return Err(fault("", format!("{host:?}"), NOT_AWS));
        }
        if target.url.scheme() == "http" && !is_own {
            return Err(fault("", "http".into(), PLAIN_HTTP));
        }
        let by_name = aws.unwrap_or_default();
        for (field, value) in [(".service", &self.service), (".region", &self.region)] {
            if let Some(value) = value.as_ref().filter(|value| !is_name(value)) {
                return Err(fault(field, format!("{value:?}"), "use a-z, 0-9 and `-`"));
            }
        }
        let service = self.service.as_ref().or(by_name.service.as_ref());
        let Some(service) = service.cloned() else { return Err(fault(".service", "not said".into(), NO_SERVICE)) };
        let is_s3_name = is_own || by_name.service.as_deref() == Some("s3");
        if target.wildcard && (service != "s3" || !is_s3_name) {
            return Err(fault("", "a wildcard".into(), WILDCARD));
        }
        if let Some(role) = self.role.as_ref().filter(|role| !is_role(role)) {
            return Err(fault(".role", format!("{role:?}"), ROLE));
        }
        for (field, list) in [(".requests", &self.requests), (".targets", &self.targets)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                return Err(fault(field, "empty".into(), EMPTY));
            }
        }
        let requests = self.requests.as_ref().map(|all| {
            let parse = |text: &String| {
                RequestPattern::parse(text).map_err(|rule| fault(".requests", format!("{text:?}"), rule))
            };
            all.iter().map(parse).collect::<Result<_, _>>()
        });
        if let Some(target) = self.targets.iter().flatten().find(|target| !is_target(target)) {
            let rule = "write a whole X-Amz-Target, such as DynamoDB_20120810.GetItem";
            return Err(fault(".targets", format!("{target:?}"), rule));
        }
        if self.targets.is_some() && service == "s3" {
            return Err(fault(".targets", "set for S3".into(), "S3's requests have none; use `requests`"));
        }
        Ok(SignRule {
            service,
            region: self.region.clone().or(by_name.region),
            role: self.role.clone(),
            requests: requests.transpose()?,
            targets: self.targets.clone(),
        })
    }
}

/// The longest name of a service or a region; AWS's own have less than half.
const NAME_BYTES: usize = 64;

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`
fn is_role(text: &str) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, iam, region, account, resource] = parts[..] else { return false };
    let name = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (arn, iam, region) == ("arn", "iam", "")
        && partition.starts_with("aws")
        && is_name(partition)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.is_some_and(|name| !name.is_empty() && name.chars().all(fits))
}

/// `Service_Version.Operation`
fn is_target(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.rsplit_once('.').is_some_and(|(service, operation)| {
        let is_part = |part: &str| !part.is_empty() && part.chars().all(fits);
        service.split('.').all(is_part) && is_part(operation)
    })
}

#[cfg(test)]
mod tests;
