//! A queue's access policy, as AddPermission and RemovePermission write it. It is kept and
//! answered, and not enforced.

use serde_json::{Value, json};
use wasq_sqs_rules::is_plain_name;

use super::{
    address::Account,
    attributes::MAX_POLICY_BYTES,
    error::{Code, SqsError, SqsResult},
    record::Definition,
};

/// Statements of a policy at most (AddPermission in the API reference).
const MAX_STATEMENTS: usize = 20;
/// Actions of a statement at most (AddPermission in the API reference).
const MAX_ACTIONS: usize = 7;
/// Principals of a statement at most (SQS quotas, "Policies").
const MAX_PRINCIPALS: usize = 50;
/// The attribute that holds it.
const POLICY: &str = "Policy";
/// The version that AddPermission gives a policy that it begins.
const VERSION: &str = "2008-10-17";

/// What others may be let do.
const GRANTABLE: [&str; 9] = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// What only the queue's owner may do.
const OWNER_ONLY: [&str; 13] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "ListQueuesByTag",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// Who may do what, under which name.
pub struct Grant<'a> {
    pub label: &'a str,
    pub accounts: &'a [String],
    pub actions: &'a [String],
}

impl Grant<'_> {
    /// # Errors
    /// SQS's own: `MissingParameter`, `InvalidParameterValue`, `OverLimit`.
    pub fn check(&self) -> SqsResult<()> {
        if self.actions.is_empty() {
            return Err(SqsError::missing("Actions"));
        }
        if self.accounts.is_empty() {
            return Err(SqsError::invalid_value("PrincipalId", "[]", "Unable to verify."));
        }
        if self.actions.len() > MAX_ACTIONS {
            let message = format!("{} Actions were found, maximum allowed is {MAX_ACTIONS}.", self.actions.len());
            return Err(SqsError::new(Code::OverLimit, message));
        }
        if self.accounts.len() > MAX_PRINCIPALS {
            let message =
                format!("{} AWSAccountIds were found, maximum allowed is {MAX_PRINCIPALS}.", self.accounts.len());
            return Err(SqsError::new(Code::OverLimit, message));
        }
        if let Some(action) = self.actions.iter().map(String::as_str).find(|action| !GRANTABLE.contains(action)) {
            let reason = match OWNER_ONLY.contains(&action) {
                true => "Only the queue owner is allowed to invoke this action.",
                false => "Please refer to the appropriate WSDL for a list of valid actions.",
            };
            return Err(SqsError::invalid_value("ActionName", format!("SQS:{action}"), reason));
        }
        if let Some(account) = self.accounts.iter().find(|account| Account::parse(account).is_none()) {
            return Err(SqsError::invalid_value("PrincipalId", format!("[{account}]"), "Unable to verify."));
        }
        if self.label.is_empty() {
            return Err(SqsError::missing("Label"));
        }
        if !is_plain_name(self.label) {
            let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(SqsError::invalid_value("Label", self.label, reason));
        }
        Ok(())
    }
}

/// The policy that a queue has.
pub fn policy_of(definition: &Definition) -> Option<&str> {
    definition.attributes.get(POLICY).map(String::as_str)
}

/// Gives a queue a policy; none if it is empty.
pub fn set_policy(definition: &mut Definition, policy: String) {
    match policy.is_empty() {
        true => definition.attributes.remove(POLICY),
        false => definition.attributes.insert(POLICY.to_owned(), policy),
    };
}

/// The policy of the queue with this ARN, with one more statement.
///
/// # Errors
/// `InvalidParameterValue` for a label that is there already, and for a policy that is no JSON
/// object; `OverLimit`.
pub fn add(policy: Option<&str>, arn: &str, grant: &Grant<'_>) -> SqsResult<String> {
    let mut policy = match policy.map(serde_json::from_str::<Value>) {
        None => json!({ "Version": VERSION, "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": [] }),
        Some(Ok(policy)) if policy.is_object() => policy,
        Some(Ok(_) | Err(_)) => {
            let message = "The queue's attribute Policy is no JSON object: set it anew, or to nothing, first.";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
    };
    let mut statements = statements(&policy);
    if statements.iter().any(|statement| statement["Sid"] == grant.label) {
        return Err(SqsError::invalid_value("Label", grant.label, "Already exists."));
    }
    if statements.len() >= MAX_STATEMENTS {
        let message = format!("{MAX_STATEMENTS} permissions are the limit of a queue.");
        return Err(SqsError::new(Code::OverLimit, message));
    }
    let principals = grant.accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
    let actions = grant.actions.iter().map(|action| format!("SQS:{action}")).collect();
    statements.push(json!({
        "Sid": grant.label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(principals) },
        "Action": one_or_many(actions),
        "Resource": arn,
    }));
    policy["Statement"] = statements.into();
    let policy = policy.to_string();
    if policy.len() > MAX_POLICY_BYTES {
        let message = format!("The policy would have {} bytes, maximum allowed is {MAX_POLICY_BYTES}.", policy.len());
        return Err(SqsError::new(Code::OverLimit, message));
    }
    Ok(policy)
}

/// A policy without the statement of this label; empty if no other is left.
///
/// # Errors
/// `InvalidParameterValue` if there is none.
pub fn remove(policy: Option<&str>, label: &str) -> SqsResult<String> {
    let mut policy = policy.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let before = statements(&policy);
    let kept: Vec<Value> = before.iter().filter(|statement| statement["Sid"] != label).cloned().collect();
    if kept.len() == before.len() {
        return Err(SqsError::invalid_value("Label", label, "can't find label."));
    }
    if kept.is_empty() {
        return Ok(String::new());
    }
    policy["Statement"] = kept.into();
    Ok(policy.to_string())
}

/// Moves what logs of before kept apart into the policy. What cannot be moved stays apart, and is
/// tried again at the next start.
pub fn move_permissions_into_policy(definition: &mut Definition, arn: &str) {
    for (label, permission) in std::mem::take(&mut definition.permissions) {
        let grant = Grant { label: &label, accounts: &permission.accounts, actions: &permission.actions };
        match add(policy_of(definition), arn, &grant) {
            Ok(policy) => set_policy(definition, policy),
            Err(error) => {
                tracing::warn!(queue = %definition.name, label, %error,
                    "an old permission of a local queue is not in its Policy; RemovePermission removes it");
                definition.permissions.insert(label, permission);
            }
        }
    }
}

fn statements(policy: &Value) -> Vec<Value> {
    match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        statement @ Value::Object(_) => vec![statement.clone()],
        _ => Vec::new(),
    }
}

fn one_or_many(mut all: Vec<String>) -> Value {
    match all.len() {
        1 => all.remove(0).into(),
        _ => all.into(),
    }
}

#[cfg(test)]
mod tests;
