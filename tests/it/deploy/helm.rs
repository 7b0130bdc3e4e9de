//! The Helm chart, linted and rendered by Helm's own engine, against Kubernetes' schemas and the
//! figures of the CloudFormation template.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{cfn, path, read, yaml};
use crate::cli::binary::{client, wasq};
use crate::support::wat;

const CHART: &str = "deploy/helm/wasq";
const VALUES: &str = "deploy/helm/wasq/ci/example-values.yaml";

/// The chart's files with these values, each with its text and its documents.
struct Rendered(serde_json::Map<String, Value>);

impl Rendered {
    async fn of(values: &str) -> Self {
        let script = path("tests/clients/helm_chart.py");
        let arguments = [script.as_str(), "render", &path(CHART), values, "shop", "workers"];
        let answer = client("python3", arguments).check(0, &[]).await.json();
        Self(answer.as_object().unwrap().clone())
    }

    fn file(&self, name: &str) -> &Value {
        let documents = self.0[name]["documents"].as_array().unwrap();
        assert_eq!(documents.len(), 1, "{name}");
        &documents[0]
    }

    fn pod(&self) -> &Value {
        &self.file("deployment.yaml")["spec"]["template"]["spec"]
    }
}

/// The example's values, changed.
async fn changed(change: impl FnOnce(&mut Value)) -> tempfile::NamedTempFile {
    let mut values = yaml(VALUES).await.remove(0);
    change(&mut values);
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    file
}

#[tokio::test]
async fn helm_finds_nothing_and_kubernetes_takes_what_it_makes() {
    let script = path("tests/clients/helm_chart.py");
    client("python3", [script.as_str(), "lint", &path(CHART), &path(VALUES)]).check(0, &[]).await;
    let rendered = Rendered::of(&path(VALUES)).await;
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, file) in rendered.0.iter().filter(|(name, _)| name.ends_with(".yaml")) {
        let to = dir.path().join(name);
        std::fs::write(&to, file["text"].as_str().unwrap()).unwrap();
        files.push(to.display().to_string());
    }
    assert_eq!(files.len(), 8, "{files:?}");
    let ran = client("kubernetes-validate", ["--strict".to_owned()].into_iter().chain(files)).check(0, &[]).await;
    // It has no schemas of the kinds of KEDA and of the Prometheus Operator; they are held below.
    let unknown: Vec<_> = ran.err.lines().chain(ran.out.lines()).filter(|line| line.contains("WARN")).collect();
    let known_by_us = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1"];
    assert!(unknown.iter().all(|line| known_by_us.iter().any(|kind| line.contains(kind))), "{unknown:?}");
    assert_eq!(unknown.len(), known_by_us.len(), "{unknown:?}");
}

#[tokio::test]
async fn its_figures_are_those_of_the_template() {
    let (rendered, template) = (Rendered::of(&path(VALUES)).await, cfn().await);
    let default = |name: &str| template["Parameters"][name]["Default"].clone();
    let scaled = &rendered.file("scaledobject.yaml")["spec"];
    assert_eq!(scaled["minReplicaCount"], default("MinTasks"));
    assert_eq!(scaled["maxReplicaCount"], default("MaxTasks"));
    let host = &template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][1];
    let pod = rendered.pod();
    assert_eq!(pod["terminationGracePeriodSeconds"], host["StopTimeout"]);
    let memory = format!("{}Gi", default("MemoryMiB").as_u64().unwrap() / 1024);
    let resources = &pod["containers"][0]["resources"];
    assert_eq!((&resources["limits"]["memory"], &resources["requests"]["memory"]), (&json!(memory), &json!(memory)));
    assert_eq!(resources["requests"]["cpu"], json!((default("Cpu").as_u64().unwrap() / 1024).to_string()));
    let variables = variables(pod);
    assert_eq!(variables["WASQ_TELEMETRY__BACKLOG_TARGET"], default("BacklogTarget"));
    let fetch = template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0].to_string();
    let drain = format!("drain_s = {}", variables["WASQ_DRAIN_S"].as_str().unwrap());
    assert!(fetch.contains(&drain), "the template has no {drain}");
    // A longer drain has a longer end.
    let values = changed(|values| values["drainSeconds"] = json!(300)).await;
    let rendered = Rendered::of(values.path().to_str().unwrap()).await;
    assert_eq!(rendered.pod()["terminationGracePeriodSeconds"], 310);
}

#[tokio::test]
async fn a_pod_is_held_as_tight_as_that_of_the_plain_manifests() {
    let rendered = Rendered::of(&path(VALUES)).await;
    let plain = yaml("deploy/kubernetes/deployment.yaml").await.remove(0);
    let (ours, theirs) = (rendered.pod(), &plain["spec"]["template"]["spec"]);
    for key in ["securityContext", "automountServiceAccountToken"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let (ours, theirs) = (&ours["containers"][0], &theirs["containers"][0]);
    for key in ["securityContext", "ports", "startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    assert_eq!(rendered.file("poddisruptionbudget.yaml")["spec"]["maxUnavailable"], 1);
    let scaled = rendered.file("scaledobject.yaml");
    assert!(rendered.file("deployment.yaml")["spec"].get("replicas").is_none(), "KEDA says how many");
    let service = rendered.file("service.yaml");
    let url = format!("http://{}.workers.svc.cluster.local:9325/scale", service["metadata"]["name"].as_str().unwrap());
    let asks = json!({ "url": url, "valueLocation": "hosts_wanted", "targetValue": "1" });
    assert_eq!(scaled["spec"]["triggers"], json!([{ "type": "metrics-api", "metadata": asks }]));
    assert_eq!(scaled["spec"]["scaleTargetRef"]["name"], rendered.file("deployment.yaml")["metadata"]["name"]);
    let account = rendered.file("serviceaccount.yaml");
    let role = json!({ "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/shop-worker" });
    assert_eq!(account["metadata"]["annotations"], role);
    assert_eq!(rendered.pod()["serviceAccountName"], account["metadata"]["name"]);
    // Without KEDA the deployment says it.
    let values = changed(|values| values["autoscaling"] = json!({ "enabled": false, "minReplicas": 3 })).await;
    let fixed = Rendered::of(values.path().to_str().unwrap()).await;
    assert_eq!(fixed.file("deployment.yaml")["spec"]["replicas"], 3);
    assert!(!fixed.0.contains_key("scaledobject.yaml") || fixed.0["scaledobject.yaml"]["documents"] == json!([]));
}

/// The container's variables that have a value of their own.
fn variables(pod: &Value) -> BTreeMap<String, Value> {
    let all = pod["containers"][0]["env"].as_array().unwrap().iter();
    all.map(|one| (one["name"].as_str().unwrap().to_owned(), one["value"].clone())).collect()
}

#[tokio::test]
async fn the_host_takes_the_config_with_the_variables_that_the_chart_sets() {
    let values = changed(|values| values["plugins"]["oci"] = json!([])).await;
    let rendered = Rendered::of(values.path().to_str().unwrap()).await;
    let dir = tempfile::tempdir().unwrap();
    let config = rendered.file("configmap.yaml")["data"]["wasq.toml"].as_str().unwrap().to_owned();
    std::fs::write(dir.path().join("wasq.toml"), config).unwrap();
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    let manifest = "name = 'send-receipt'\ntypes = ['x']\nallowed_outbound_hosts = ['https://api.mail.example:443']\n";
    std::fs::write(plugins.join("x.wasm"), wasq::plugins::pack(&wat::done(), manifest).unwrap()).unwrap();
    let mut check = wasq(["check"]).dir(&dir);
    for (name, value) in variables(rendered.pod()) {
        let value = match name.as_str() {
            "WASQ_CONFIG" => json!("wasq.toml"),
            "WASQ_PLUGINS_DIR" => json!(plugins),
            "WASQ_COMPILE_CACHE" => json!(dir.path().join("compiled")),
            _ => value,
        };
        // A secret's value is the cluster's.
        check = check.env(&name, value.as_str().unwrap_or("secret"));
    }
    check.check(0, &["ok       wasq.toml", "send-receipt handles x"]).await;
    let secret =
        rendered.pod()["containers"][0]["env"].as_array().unwrap().iter().find(|one| one["name"] == "MAIL_TOKEN");
    assert_eq!(secret.unwrap()["valueFrom"]["secretKeyRef"], json!({ "name": "mail", "key": "token" }));
    let text = rendered.0.values().map(|file| file["text"].as_str().unwrap()).collect::<String>();
    assert!(!text.contains("kind: Secret\n"), "the chart makes no secret");
}

#[tokio::test]
async fn plugins_of_a_registry_come_with_their_credentials_and_a_place() {
    let rendered = Rendered::of(&path(VALUES)).await;
    let (pod, variables) = (rendered.pod(), variables(rendered.pod()));
    let listed: Vec<String> = serde_json::from_str(variables["WASQ_OCI__PLUGINS"].as_str().unwrap()).unwrap();
    assert_eq!(listed, ["oci://registry.example/acme/send-receipt:1.2.0"]);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let at = |name: &str| mounts.iter().find(|mount| mount["name"] == name).unwrap();
    assert_eq!(at("registries")["mountPath"], variables["DOCKER_CONFIG"]);
    let place = |name: &str| variables[name].as_str().unwrap().starts_with(at("state")["mountPath"].as_str().unwrap());
    assert!(place("WASQ_OCI__CACHE") && place("WASQ_COMPILE_CACHE"));
    let volumes = pod["volumes"].as_array().unwrap();
    let secret = &volumes.iter().find(|volume| volume["name"] == "registries").unwrap()["secret"];
    let expect =
        json!({ "secretName": "registry-login", "items": [{ "key": ".dockerconfigjson", "path": "config.json" }] });
    assert_eq!(*secret, expect);
}

#[tokio::test]
async fn its_alarms_are_those_of_prometheus() {
    let rules = "deploy/prometheus/rules.yml";
    assert_eq!(read(&format!("{CHART}/files/rules.yml")), read(rules), "copy {rules} into the chart");
    let rendered = Rendered::of(&path(VALUES)).await;
    let rule = rendered.file("prometheusrule.yaml");
    assert_eq!(rule["spec"], yaml(rules).await[0]);
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
}

#[tokio::test]
async fn values_that_cannot_be_are_refused_by_the_schema() {
    let script = path("tests/clients/helm_chart.py");
    let check = async |change: fn(&mut Value), expect: &str| {
        let values = changed(change).await;
        let arguments = [&script, "render", &path(CHART), values.path().to_str().unwrap()];
        client("python3", arguments).check(1, &[expect]).await;
    };
    check(|values| values["image"]["repository"] = json!(""), "/image/repository").await;
    check(|values| values["image"]["tag"] = json!(""), "/image/tag").await;
    check(|values| values["conifg"] = json!("x"), "conifg").await;
    check(|values| values["drainSeconds"] = json!("20s"), "/drainSeconds").await;
    check(|values| values["plugins"]["oci"] = json!(["registry.example/a:1"]), "/plugins/oci/0").await;
    check(|values| values["autoscaling"] = json!({ "backlogTarget": "2 minutes" }), "/autoscaling/backlogTarget").await;
}

#[test]
fn its_version_is_the_packages() {
    let chart = read(&format!("{CHART}/Chart.yaml"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")), "{chart}");
}
