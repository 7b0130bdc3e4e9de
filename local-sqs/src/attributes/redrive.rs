//! Redrive policies: where messages go that were received too often, and who may send them here.

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    address::parse_arn,
    error::{SqsError, SqsResult},
};

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue's ARN.
    pub target: String,
    pub max_receives: u32,
}

impl Redrive {
    /// Reads the attribute's value.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no such policy.
    pub fn parse(policy: &str) -> SqsResult<Self> {
        const MAX_RECEIVES: std::ops::RangeInclusive<u32> = 1..=1_000;

        let invalid = |reason: &str| SqsError::invalid_value("RedrivePolicy", policy, reason);
        let parsed: Value = serde_json::from_str(policy).unwrap_or_default();
        let parsed = parsed.as_object().ok_or_else(|| invalid("Redrive policy is not a valid JSON map."))?;
        let field = |name: &str| {
            let missing = || invalid(&format!("Redrive policy does not contain mandatory attribute: {name}."));
            parsed.get(name).ok_or_else(missing)
        };
        let (target, max_receives) = (field("deadLetterTargetArn")?, field("maxReceiveCount")?);
        // Clients write it as a number or as text.
        let number = match max_receives {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        let number = number.filter(|number| MAX_RECEIVES.contains(number)).ok_or_else(|| {
            let value = max_receives.as_str().map_or_else(|| max_receives.to_string(), str::to_owned);
            let range = "valid values are from 1 to 1000 both inclusive.";
            invalid(&format!("Invalid value for maxReceiveCount: {value}, {range}"))
        })?;
        let target = target.as_str().filter(|arn| parse_arn(arn).is_some());
        let target = target.ok_or_else(|| invalid("Invalid value for deadLetterTargetArn."))?.to_owned();
        Ok(Self { target, max_receives: number })
    }

    /// Checks a policy, and gives it as SQS writes it: with the count as a number.
    ///
    /// # Errors
    /// See [`Redrive::parse`].
    pub fn checked(policy: String) -> SqsResult<String> {
        let parsed = Self::parse(&policy)?;
        let mut json: Value = serde_json::from_str(&policy).unwrap_or_default();
        if json["maxReceiveCount"].is_string() {
            json["maxReceiveCount"] = parsed.max_receives.into();
            return Ok(json.to_string());
        }
        Ok(policy)
    }
}

/// Which queues may use a queue as their dead-letter queue.
#[derive(Debug, PartialEq, Eq)]
pub enum RedriveAllow {
    All,
    None,
    /// Those with these ARNs.
    Only(Vec<String>),
}

impl RedriveAllow {
    /// Reads the attribute's value; empty means all.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no such policy.
    pub fn parse(policy: &str) -> SqsResult<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            redrive_permission: String,
            #[serde(default)]
            source_queue_arns: Vec<String>,
        }
        const MAX_SOURCES: usize = 10;

        if policy.is_empty() {
            return Ok(Self::All);
        }
        let invalid = |reason: &str| SqsError::invalid_value("RedriveAllowPolicy", policy, reason);
        let parsed: Policy = serde_json::from_str(policy).map_err(|error| invalid(&error.to_string()))?;
        match parsed.redrive_permission.as_str() {
            "allowAll" => Ok(Self::All),
            "denyAll" => Ok(Self::None),
            "byQueue" if !(1..=MAX_SOURCES).contains(&parsed.source_queue_arns.len()) => {
                Err(invalid("byQueue needs 1 to 10 sourceQueueArns."))
            }
            "byQueue" if parsed.source_queue_arns.iter().any(|arn| parse_arn(arn).is_none()) => {
                Err(invalid("sourceQueueArns holds something that is no queue's ARN."))
            }
            "byQueue" => Ok(Self::Only(parsed.source_queue_arns)),
            _ => Err(invalid("redrivePermission must be allowAll, denyAll or byQueue.")),
        }
    }

    /// Whether a queue may; it says which ARNs are its own.
    pub fn allows(&self, is_own: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(arns) => arns.iter().any(|arn| is_own(arn)),
        }
    }
}
