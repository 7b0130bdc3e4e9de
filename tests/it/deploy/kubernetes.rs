//! The Kubernetes manifests, against Kubernetes' own schemas and against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::Config;
use wasq::telemetry::export::Scale;

use super::{path, read, yaml};
use crate::cli::binary::client;

const DIR: &str = "deploy/kubernetes";

#[tokio::test]
async fn they_are_what_kubernetes_takes() {
    let files = files().into_iter().map(|name| path(&format!("{DIR}/{name}")));
    let ran = client("kubernetes-validate", ["--strict".to_owned()].into_iter().chain(files)).check(0, &[]).await;
    // It has no schemas of KEDA's own kinds; they are held below.
    let unknown: Vec<_> = ran.err.lines().chain(ran.out.lines()).filter(|line| line.contains("WARN")).collect();
    assert!(unknown.iter().all(|line| line.contains("keda.sh/v1alpha1")), "{unknown:?}");
    assert_eq!(unknown.len(), 1);
}

#[tokio::test]
async fn kustomize_is_told_of_each() {
    let told = yaml(&format!("{DIR}/kustomization.yaml")).await[0]["resources"].take();
    let told: BTreeSet<String> = serde_json::from_value(told).unwrap();
    assert_eq!(told, files());
}

#[tokio::test]
async fn a_pod_has_the_images_user_a_config_that_is_one_and_time_to_drain() {
    let text = manifest("configmap.yaml").await["data"]["wasq.toml"].take();
    let config = Config::parse(text.as_str().unwrap(), Path::new("configmap.yaml")).unwrap();
    let pod = manifest("deployment.yaml").await["spec"]["template"]["spec"].take();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= config.drain_s + 5);
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
    assert!(read("deploy/Dockerfile").contains(&format!("\nUSER {user}:{user}\n")));

    let host = &pod["containers"][0];
    let expect = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
    assert_eq!(host["securityContext"], expect);
    assert_eq!(host["ports"], json!([{ "name": "admin", "containerPort": config.admin.listen.port() }]));
    for (probe, asks) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(host[probe]["httpGet"], json!({ "path": asks, "port": "admin" }));
    }
    let written: Vec<_> =
        host["volumeMounts"].as_array().unwrap().iter().filter(|mount| mount["readOnly"] != true).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(config.compile_cache.starts_with(written[0]["mountPath"].as_str().unwrap()));
}

#[tokio::test]
async fn keda_scales_the_deployment_by_what_the_hosts_say_they_need() {
    let scaled = manifest("scaledobject.yaml").await;
    let (deployment, service) = (manifest("deployment.yaml").await, manifest("service.yaml").await);
    assert_eq!(scaled["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    assert!(deployment["spec"].get("replicas").is_none(), "KEDA and the deployment would both say how many");
    let trigger = &scaled["spec"]["triggers"][0];
    assert_eq!(trigger["type"], "metrics-api");
    let metadata = trigger["metadata"].as_object().unwrap();
    assert!(metadata.values().all(Value::is_string), "KEDA takes texts alone: {metadata:?}");
    assert_eq!((&metadata["valueLocation"], &metadata["targetValue"]), (&json!("hosts_wanted"), &json!("1")));
    // The host's own answer has it, and the Service leads to the port on which it is.
    assert!(
        serde_json::to_value(Scale::of(&[], &BTreeMap::new(), Duration::from_secs(60))).unwrap()["hosts_wanted"] == 1
    );
    let [name, namespace] = ["name", "namespace"].map(|key| service["metadata"][key].as_str().unwrap().to_owned());
    let port = &service["spec"]["ports"][0];
    let url = format!("http://{name}.{namespace}.svc.cluster.local:{}/scale", port["port"]);
    assert_eq!(metadata["url"], url);
    let pod = &deployment["spec"]["template"];
    assert_eq!(port["targetPort"], pod["spec"]["containers"][0]["ports"][0]["name"]);
    for (key, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&pod["metadata"]["labels"][key], value);
    }
    let policy = manifest("networkpolicy.yaml").await;
    let from = policy["spec"]["ingress"][0]["from"].to_string();
    assert!(from.contains("\"keda\""), "{from}");
}

async fn manifest(name: &str) -> Value {
    yaml(&format!("{DIR}/{name}")).await.remove(0)
}

/// All but the list of them.
fn files() -> BTreeSet<String> {
    let entries = std::fs::read_dir(path(DIR)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "kustomization.yaml").collect()
}
