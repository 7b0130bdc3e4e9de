//! Finds the table and checks it, or makes it.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};

use super::item::{EXPIRES_AT, ITEM, KEY};
use super::table::{Table, code, explain};

/// How long a table may take to become usable, and how often that is looked at.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_LOOK: Duration = Duration::from_millis(200);

/// Why the ledger in DynamoDB could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "there is no table `{table}` in DynamoDB{endpoint}. Make it:\n\n{commands}\n\nor, for development, set `create = true` in [ledger]"
    )]
    NoTable { table: String, endpoint: String, commands: String },
    #[error(
        "the table `{table}` is not a ledger: its keys are {found}, and a ledger has the partition key `{KEY}` (B) and the sort key `{ITEM}` (S). Name another table in [ledger]"
    )]
    OtherKeys { table: String, found: String },
    #[error("the table `{table}` cannot be used: it is still {status} after {READY_TIMEOUT:?}")]
    NotReady { table: String, status: String },
    #[error("the ledger cannot be opened: {0}")]
    Call(String),
    #[error(
        "the answers of DynamoDB{0} say no time: they need the header `Date`, which something on the way may take away"
    )]
    NoTime(String),
}

/// Where the table is looked for; for the words of errors.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
}

/// Waits until the table can be used, and checks its keys. With `create`, one that is missing is
/// made.
pub async fn prepare(table: &Table, create: bool, endpoint: &Endpoint) -> Result<(), OpenError> {
    if describe(table).await?.is_none() {
        if !create {
            return Err(OpenError::NoTable {
                table: table.name.clone(),
                endpoint: endpoint.shown(),
                commands: endpoint.commands(&table.name),
            });
        }
        make(table).await?;
    }
    let description = ready(table).await?;
    check_keys(&table.name, &description)?;
    if table.time.now().is_none() {
        return Err(OpenError::NoTime(endpoint.shown()));
    }
    check_ttl(table, create).await;
    Ok(())
}

impl Endpoint {
    fn shown(&self) -> String {
        match (&self.endpoint_url, &self.region) {
            (Some(url), _) => format!(" at {url}"),
            (None, Some(region)) => format!(" of {region}"),
            (None, None) => String::new(),
        }
    }

    /// What makes the table, for a shell.
    fn commands(&self, table: &str) -> String {
        let mut options = format!("--table-name {table}");
        if let Some(region) = &self.region {
            options.push_str(&format!(" --region {region}"));
        }
        if let Some(url) = &self.endpoint_url {
            options.push_str(&format!(" --endpoint-url {url}"));
        }
        format!(
            "aws dynamodb create-table {options} --billing-mode PAY_PER_REQUEST \
             --attribute-definitions AttributeName={KEY},AttributeType=B AttributeName={ITEM},AttributeType=S \
             --key-schema AttributeName={KEY},KeyType=HASH AttributeName={ITEM},KeyType=RANGE\n\
             aws dynamodb wait table-exists {options}\n\
             aws dynamodb update-time-to-live {options} \
             --time-to-live-specification Enabled=true,AttributeName={EXPIRES_AT}"
        )
    }
}

async fn describe(table: &Table) -> Result<Option<TableDescription>, OpenError> {
    let call = table.client.describe_table().table_name(&table.name);
    match call.customize().interceptor(table.time.watch()).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error) if code(&error) == Some("ResourceNotFoundException") => Ok(None),
        Err(error) => Err(OpenError::Call(explain(&table.name, "DescribeTable", &error))),
    }
}

async fn make(table: &Table) -> Result<(), OpenError> {
    let attribute = |name: &str, of_type| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(of_type).build().expect("both are set")
    };
    let key = |name: &str, of_type| {
        KeySchemaElement::builder().attribute_name(name).key_type(of_type).build().expect("both are set")
    };
    let call = table
        .client
        .create_table()
        .table_name(&table.name)
        .attribute_definitions(attribute(KEY, ScalarAttributeType::B))
        .attribute_definitions(attribute(ITEM, ScalarAttributeType::S))
        .key_schema(key(KEY, KeyType::Hash))
        .key_schema(key(ITEM, KeyType::Range))
        .billing_mode(BillingMode::PayPerRequest);
    match call.send().await {
        Ok(_) => tracing::info!(table = table.name, "made the ledger's table"),
        // Another host was faster.
        Err(error) if code(&error) == Some("ResourceInUseException") => {}
        Err(error) => return Err(OpenError::Call(explain(&table.name, "CreateTable", &error))),
    }
    Ok(())
}

async fn ready(table: &Table) -> Result<TableDescription, OpenError> {
    let mut status = "not there".to_owned();
    for _ in 0..READY_TIMEOUT.as_millis() / READY_LOOK.as_millis() {
        if let Some(description) = describe(table).await? {
            match &description.table_status {
                Some(TableStatus::Active | TableStatus::Updating) => return Ok(description),
                other => status = other.as_ref().map_or("in no state", TableStatus::as_str).to_owned(),
            }
        }
        tokio::time::sleep(READY_LOOK).await;
    }
    Err(OpenError::NotReady { table: table.name.clone(), status })
}

fn check_keys(table: &str, description: &TableDescription) -> Result<(), OpenError> {
    let types = description.attribute_definitions();
    let mut found: Vec<_> = description
        .key_schema()
        .iter()
        .map(|key| {
            let name = key.attribute_name();
            let of_type = types.iter().find(|attribute| attribute.attribute_name() == name);
            (key.key_type() != &KeyType::Hash, name, of_type.map_or("?", |it| it.attribute_type().as_str()))
        })
        .collect();
    found.sort_unstable();
    if found == [(false, KEY, "B"), (true, ITEM, "S")] {
        return Ok(());
    }
    let words: Vec<_> = found.iter().map(|(_, name, of_type)| format!("`{name}` ({of_type})")).collect();
    Err(OpenError::OtherKeys { table: table.to_owned(), found: words.join(" and ") })
}

/// Turns the removal of old items on, if it may and has to. A ledger works without; it only grows.
async fn check_ttl(table: &Table, turn_on: bool) {
    let name = table.name.as_str();
    let answer = table.client.describe_time_to_live().table_name(name).send().await;
    let description = match answer {
        Ok(answer) => answer.time_to_live_description,
        Err(error) => {
            tracing::debug!(reason = explain(name, "DescribeTimeToLive", &error), "it is not known whether TTL is on");
            return;
        }
    };
    let is_on = description.is_some_and(|ttl| {
        ttl.attribute_name.as_deref() == Some(EXPIRES_AT)
            && matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });
    if is_on {
        return;
    }
    if !turn_on {
        tracing::warn!(table = name, "the table has no TTL on `{EXPIRES_AT}`: nothing is ever removed from it");
        return;
    }
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT).build();
    let call = table.client.update_time_to_live().table_name(name);
    if let Err(error) = call.time_to_live_specification(ttl.expect("both are set")).send().await {
        let reason = explain(name, "UpdateTimeToLive", &error);
        tracing::warn!(reason, "cannot turn TTL on `{EXPIRES_AT}` on: nothing is ever removed from the table");
    }
}
