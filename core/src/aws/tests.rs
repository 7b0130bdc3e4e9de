use super::*;

#[test]
fn on_this_machine_what_the_environment_names_is_used() {
    let check = |variables: &[&str], region: Option<&str>, credentials: bool, needs_region: bool| {
        let aws = AwsConfig { region: region.map(str::to_owned), ..AwsConfig::default() };
        let needs = Needs::of(&aws, |name| variables.contains(&name).then(|| "set".to_owned()));
        assert_eq!(needs, Needs { credentials, region: needs_region }, "{variables:?} {region:?}");
    };
    check(&[], None, true, true);
    check(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], None, false, true);
    check(&["AWS_ACCESS_KEY_ID"], None, true, true);
    check(&["AWS_REGION"], None, true, false);
    check(&["AWS_DEFAULT_REGION"], None, true, false);
    check(&[], Some("eu-west-1"), true, false);
}

#[test]
fn an_endpoint_is_on_this_machine_by_its_host() {
    for url in ["http://127.0.0.1:9324", "http://localhost:4566", "http://[::1]:1"] {
        assert!(is_loopback(url), "{url}");
    }
    for url in ["http://10.0.0.1:9324", "https://sqs.eu-west-1.amazonaws.com", "localhost"] {
        assert!(!is_loopback(url), "{url}");
    }
}
