//! The Terraform module, held to the AWS provider's schema and to the CloudFormation template: what
//! both make has the same rights, figures and alarms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{cfn, cloudwatch_alarms, path, read};
use crate::cli::binary::client;

const MODULE: &str = "deploy/terraform";

/// The module's blocks, once they fit the schema.
async fn module() -> Value {
    let script = path("tests/clients/terraform_schema.py");
    client("python3", [script, path(MODULE)]).check(0, &[]).await.json()
}

/// The blocks of a kind and a type by their names.
fn blocks<'a>(module: &'a Value, kind: &str, of: &str) -> BTreeMap<&'a str, &'a Value> {
    let all = module[kind].as_array().unwrap().iter().filter_map(|block| block.get(of)?.as_object());
    all.flatten().map(|(name, body)| (name.as_str(), body)).collect()
}

/// All that `locals` say.
fn locals(module: &Value) -> BTreeMap<&str, &Value> {
    let all = module["locals"].as_array().unwrap().iter().filter_map(Value::as_object);
    all.flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

/// `MemoryMiB` as `memory_mib`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut before = '_';
    for c in name.replace("MiB", "Mib").chars() {
        if c.is_uppercase() && before != '_' {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
        before = c;
    }
    text
}

#[tokio::test]
async fn its_blocks_fit_the_providers_schema_and_one_that_does_not_is_named() {
    let module = module().await;
    assert_eq!(blocks(&module, "resource", "aws_sqs_queue").len(), 2);
    let dir = tempfile::tempdir().unwrap();
    let text = read(&format!("{MODULE}/hosts.tf"));
    let broken = text.replace("rollback = true", "rollbak  = true").replace("launch_type ", "launch_typ ");
    assert_ne!(broken, text);
    std::fs::write(dir.path().join("hosts.tf"), broken).unwrap();
    let script = path("tests/clients/terraform_schema.py");
    let expect = ["rollback is required", "there is no rollbak", "there is no launch_typ"];
    client("python3", [script.as_ref(), dir.path().as_os_str()]).check(1, &expect).await;
}

#[tokio::test]
async fn its_variables_have_the_templates_defaults() {
    let (module, template) = (module().await, cfn().await);
    let variables: BTreeMap<_, _> =
        module["variable"].as_array().unwrap().iter().filter_map(Value::as_object).flatten().collect();
    let renamed = BTreeMap::from([("Vpc", "vpc_id"), ("Subnets", "subnet_ids"), ("AlarmTopic", "alarm_topic_arn")]);
    let mut known = BTreeSet::new();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        let ours = renamed.get(name.as_str()).map_or_else(|| snake(name), |name| (*name).to_owned());
        let variable = variables.get(&ours).unwrap_or_else(|| panic!("the module has no variable {ours}"));
        let default = if name == "Subnets" { json!([]) } else { parameter["Default"].clone() };
        assert_eq!(variable["default"], default, "{ours}");
        known.insert(ours);
    }
    let own: BTreeSet<_> = variables.keys().filter(|name| !known.contains(**name)).map(|name| name.as_str()).collect();
    assert_eq!(
        own,
        ["oidc_provider_arn", "plugin_repository_arns", "plugins", "secrets", "service_account"].into(),
        "what Terraform has beyond it"
    );
}

#[tokio::test]
async fn its_roles_may_do_what_the_templates_may() {
    let (module, template) = (module().await, cfn().await);
    let documents = blocks(&module, "data", "aws_iam_policy_document");
    let list = |value: &Value| -> BTreeSet<String> {
        let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    for (ours, theirs) in [("worker", "WorkerRole"), ("replayer", "ReplayerRole")] {
        let statements = documents[ours]["statement"].as_array().unwrap().iter();
        let ours: BTreeMap<_, _> =
            statements.map(|one| (one["sid"].as_str().unwrap(), list(&one["actions"]))).collect();
        let policy = &template["Resources"][theirs]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
        let theirs: BTreeMap<_, _> =
            policy.as_array().unwrap().iter().map(|one| (one["Sid"].as_str().unwrap(), list(&one["Action"]))).collect();
        assert_eq!(ours, theirs);
    }
    for statement in documents["worker"]["statement"].as_array().unwrap() {
        let resource = statement["resources"][0].as_str().unwrap();
        let expect = match statement["sid"].as_str().unwrap() {
            "Jobs" => "${aws_sqs_queue.jobs.arn}",
            "DeadLetters" => "${aws_sqs_queue.dead_letters.arn}",
            _ => "${aws_dynamodb_table.ledger.arn}",
        };
        assert_eq!(resource, expect);
    }
    // Only one service account takes the role.
    let conditions = documents["assume_worker"]["dynamic"][0]["statement"]["content"][0]["condition"].to_string();
    assert!(conditions.contains("system:serviceaccount:${var.service_account}"), "{conditions}");
    assert!(conditions.contains("sts.amazonaws.com"), "{conditions}");
}

#[tokio::test]
async fn its_alarms_are_the_templates() {
    let (module, template) = (module().await, cfn().await);
    let locals = locals(&module);
    let mut names = BTreeSet::new();
    for (name, alarm) in locals["alarms"].as_object().unwrap() {
        let theirs = &template["Resources"][name]["Properties"];
        let threshold = match &alarm["threshold"] {
            Value::String(variable) if variable == "${var.lag_objective_seconds}" => {
                json!({ "Ref": "LagObjectiveSeconds" })
            }
            number => number.clone(),
        };
        let dimensions = theirs["Dimensions"].as_array().unwrap().len();
        let expect = if dimensions == 2 { "${local.of_queue}" } else { "${local.of_service}" };
        assert_eq!(alarm["dimensions"], expect, "{name}");
        let ours = [&alarm["metric"], &alarm["statistic"], &alarm["periods"], &threshold, &alarm["missing"]];
        let keys = ["MetricName", "Statistic", "EvaluationPeriods", "Threshold", "TreatMissingData"];
        assert_eq!(ours, keys.map(|key| &theirs[key]), "{name}");
        assert_eq!((&theirs["Period"], &theirs["Namespace"]), (&json!(60), &json!("wasq")), "{name}");
        names.insert(name.clone());
    }
    for (name, alarm) in locals["dlq_alarms"].as_object().unwrap() {
        let theirs = &template["Resources"][name]["Properties"];
        let figure = &theirs["Metrics"][0]["MetricStat"];
        assert_eq!(alarm["metric"], figure["Metric"]["MetricName"], "{name}");
        assert_eq!((&figure["Stat"], &figure["Period"]), (&json!("Maximum"), &json!(300)), "{name}");
        assert_eq!(alarm["threshold"], theirs["Threshold"], "{name}");
        let id = theirs["Metrics"][0]["Id"].as_str().unwrap();
        let expression = &theirs["Metrics"][1]["Expression"];
        let expression = expression.as_str().or(expression["Fn::Sub"].as_str()).unwrap().replace(id, "figure");
        let ours = alarm["expression"].as_str().unwrap().replace("var.dlq_retention_seconds", "DlqRetentionSeconds");
        assert_eq!(ours, expression, "{name}");
        names.insert(name.clone());
    }
    assert_eq!(names, cloudwatch_alarms().into_iter().collect());
    let host = blocks(&module, "resource", "aws_cloudwatch_metric_alarm")["host"];
    let fixed = ["namespace", "period", "comparison_operator"].map(|key| &host[key]);
    assert_eq!(fixed, [&json!("wasq"), &json!(60), &json!("GreaterThanThreshold")]);
}

#[tokio::test]
async fn its_queue_its_scaling_and_its_end_are_the_templates() {
    let (module, template) = (module().await, cfn().await);
    let theirs = |name: &str| &template["Resources"][name]["Properties"];
    let ours = |of: &str, name: &str| blocks(&module, "resource", of)[name].clone();
    let jobs = ours("aws_sqs_queue", "jobs");
    assert_eq!(jobs["visibility_timeout_seconds"], theirs("Jobs")["VisibilityTimeout"]);
    assert_eq!(jobs["receive_wait_time_seconds"], theirs("Jobs")["ReceiveMessageWaitTimeSeconds"]);
    let receives = &theirs("Jobs")["RedrivePolicy"]["maxReceiveCount"];
    assert!(jobs["redrive_policy"].as_str().unwrap().contains(&format!("maxReceiveCount = {receives}")));
    let table = ours("aws_dynamodb_table", "ledger");
    for (index, attribute) in theirs("Ledger")["AttributeDefinitions"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            table["attribute"][index],
            json!({ "name": attribute["AttributeName"], "type": attribute["AttributeType"] })
        );
    }
    assert_eq!(table["ttl"][0]["attribute_name"], theirs("Ledger")["TimeToLiveSpecification"]["AttributeName"]);
    let policy = ours("aws_appautoscaling_policy", "hosts_wanted");
    let (ours_, theirs_) = (
        &policy["target_tracking_scaling_policy_configuration"][0],
        &theirs("BacklogScaling")["TargetTrackingScalingPolicyConfiguration"],
    );
    for (one, other) in [
        ("target_value", "TargetValue"),
        ("scale_out_cooldown", "ScaleOutCooldown"),
        ("scale_in_cooldown", "ScaleInCooldown"),
    ] {
        assert_eq!(ours_[one], theirs_[other], "{one}");
    }
    let metric = &ours_["customized_metric_specification"][0]["metric_name"];
    assert_eq!(*metric, theirs_["CustomizedMetricSpecification"]["MetricName"]);

    let locals = locals(&module);
    let containers = &theirs("Task")["ContainerDefinitions"];
    assert_eq!(*locals["stop_seconds"], containers[1]["StopTimeout"]);
    assert!(containers[0].to_string().contains(&format!("drain_s = {}", locals["drain_seconds"])));
    let task = read(&format!("{MODULE}/hosts.tf"));
    for held in ["readonlyRootFilesystem = true", "drop = [\"ALL\"]", "\"65532:65532\"", "local.stop_seconds"] {
        assert!(task.contains(held), "the task has no {held}");
    }
    // The template's queue stays when it is deleted; so does Terraform's.
    for (of, name) in [("aws_sqs_queue", "jobs"), ("aws_sqs_queue", "dead_letters"), ("aws_dynamodb_table", "ledger")] {
        assert_eq!(ours(of, name)["lifecycle"][0]["prevent_destroy"], true, "{name}");
    }
}
