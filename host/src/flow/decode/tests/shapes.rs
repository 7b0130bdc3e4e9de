//! What services put into queues, as docs/use/aws-events.md has it.

use serde_json::{Value, json};

use super::*;

/// Decodes with `auto` and checks type, key and the attributes that are named.
fn check(body: &str, kind: &str, key: &str, attributes: &[(&str, &str)]) -> Message {
    let message =
        message(&delivery(body, &[]), &queue(Envelope::Auto)).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert_eq!((message.kind.0.as_str(), message.key.as_str()), (kind, key), "{body}");
    for (name, value) in attributes {
        let found = message.attributes.get(*name).and_then(AttributeValue::text);
        assert_eq!(found, Some(*value), "{name} of {body}: {:?}", message.attributes);
    }
    message
}

/// The same in a notification of SNS: body, type and key stay, and the topic is known too.
fn check_in_sns(inner: &str, kind: &str, key: &str, attributes: &[(&str, &str)]) {
    let message = check(inner, kind, key, attributes);
    let topic = "arn:aws:sns:eu-west-1:1:t";
    let outer = json!({ "Type": "Notification", "MessageId": "n-1", "TopicArn": topic, "Message": inner });
    let mut all = attributes.to_vec();
    all.extend([("sns-message-id", "n-1"), ("sns-topic-arn", topic)]);
    let key = if key == "id-1" { "n-1" } else { key };
    assert_eq!(check(&outer.to_string(), kind, key, &all).body, message.body);
}

fn s3(name: &str, object: &Value) -> Value {
    json!({ "eventSource": "aws:s3", "eventName": name, "eventTime": "2026-01-02T03:04:05Z", "awsRegion": "eu-west-1",
        "s3": { "bucket": { "name": "in" }, "object": object } })
}

#[test]
fn s3_says_what_happened_to_which_object() {
    let object = json!({ "key": "a+b/%C3%A9.png", "size": 7, "eTag": "e", "sequencer": "0055", "versionId": "v" });
    let one = json!({ "Records": [s3("ObjectCreated:Put", &object)] }).to_string();
    let key = "17:ObjectCreated:Put2:in14:a+b/%C3%A9.png1:v4:0055";
    let parts = [("s3-bucket", "in"), ("s3-key", "a b/é.png"), ("s3-size", "7"), ("s3-version-id", "v")];
    check_in_sns(&one, "s3:ObjectCreated:Put", key, &parts);
    // Other stores say whole what S3 shortens.
    let other = one.replace("aws:s3", "minio:s3").replace("ObjectCreated:Put", "s3:ObjectCreated:Put");
    check(&other, "s3:ObjectCreated:Put", key, &parts);
    let restored = json!({ "Records": [s3("ObjectRestore:Post", &json!({ "key": "k" }))] }).to_string();
    check(&restored, "s3:ObjectRestore:Post", "id-1", &[("s3-key", "k")]);
    let broken = json!({ "Records": [s3("ObjectCreated:Put", &json!({ "size": 1 }))] }).to_string();
    let error = message(&delivery(&broken, &[]), &queue(Envelope::Auto)).unwrap_err();
    assert!(error.contains("`/Records/0/s3/object/key` is missing"), "{error}");
}

#[test]
fn what_ses_says_of_a_mail_is_told_apart() {
    let mail = json!({ "messageId": "m-1", "source": "shop@example.com", "timestamp": "2026-01-01T00:00:00Z" });
    let hash = |raw: &str| blake3::hash(raw.as_bytes()).to_hex()[..32].to_owned();
    let bounce = json!({ "notificationType": "Bounce", "bounce": { "timestamp": "t" }, "mail": mail }).to_string();
    let key = |event: &str, raw: &str| format!("{}:{event}3:m-132:{}", event.len(), hash(raw));
    let parts = [("ses-event-type", "Bounce"), ("ses-message-id", "m-1"), ("ses-time", "t")];
    check_in_sns(&bounce, "ses:Bounce", &key("Bounce", r#"{"timestamp":"t"}"#), &parts);
    let opened = |time: &str| json!({ "eventType": "Open", "open": { "timestamp": time }, "mail": mail }).to_string();
    check_in_sns(&opened("1"), "ses:Open", &key("Open", r#"{"timestamp":"1"}"#), &[]);
    check(&opened("2"), "ses:Open", &key("Open", r#"{"timestamp":"2"}"#), &[]);
    let failed =
        json!({ "eventType": "Rendering Failure", "failure": { "templateName": "n" }, "mail": mail }).to_string();
    check(&failed, "ses:Rendering Failure", &key("Rendering Failure", r#"{"templateName":"n"}"#), &[]);
}

#[test]
fn events_of_eventbridge_keep_their_detail_byte_for_byte() {
    let detail = r#"{"zz":1,"id":12345678901234567890123,"price":100.10,"e":1E5,"neg":-0,"dup":1,"dup":2}"#;
    let event = |detail: &str| {
        format!(
            r#"{{"version":"0","id":"e-1","detail-type":"order_placed","source":"shop","account":"1","time":"2026-01-01T00:00:00Z","region":"eu-west-1","resources":["arn:a"],"detail":{detail}}}"#
        )
    };
    let parts = [
        ("eventbridge-id", "e-1"),
        ("eventbridge-source", "shop"),
        ("eventbridge-account", "1"),
        ("eventbridge-time", "2026-01-01T00:00:00Z"),
        ("eventbridge-region", "eu-west-1"),
        ("eventbridge-resources", r#"["arn:a"]"#),
    ];
    check_in_sns(&event(detail), "order_placed", "e-1", &parts);
    assert_eq!(check(&event(detail), "order_placed", "e-1", &[]).body, detail.as_bytes());
    // The Scheduler writes a string.
    assert_eq!(check(&event(r#""{\"a\":1}""#), "order_placed", "e-1", &[]).body, r#"{"a":1}"#);
    // An event about a mail is the event.
    let mail = r#"{"eventType":"Bounce","bounce":{},"mail":{"messageId":"m"}}"#;
    check(&event(mail), "order_placed", "e-1", &[]);
    let developer_tools = r#"{"detailType":"CodePipeline Pipeline Execution State Change","source":"aws.codepipeline","notificationRuleArn":"arn:r","detail":{"pipeline":"p"}}"#;
    check_in_sns(
        developer_tools,
        "CodePipeline Pipeline Execution State Change",
        "id-1",
        &[("eventbridge-source", "aws.codepipeline"), ("eventbridge-rule-arn", "arn:r")],
    );
}

#[test]
fn cloudevents_are_read_in_each_mode() {
    let event = |rest: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"c-1","source":"/shop","type":"placed","subject":"o-1","tenant":7,{rest}}}"#
        )
    };
    let check_data = |rest: &str, body: &str, media_type: &str| {
        let parts = [("ce-subject", "o-1"), ("ce-tenant", "7"), ("ce-source", "/shop")];
        let message = check(&event(rest), "placed", "5:/shop3:c-1", &parts);
        assert_eq!((message.body.as_ref(), message.content_type.as_str()), (body.as_bytes(), media_type), "{rest}");
    };
    check_data(r#""data":{"n":1.50}"#, r#"{"n":1.50}"#, "application/json");
    check_data(r#""datacontenttype":"text/xml","data":"<o/>""#, "<o/>", "text/xml");
    check_data(
        r#""datacontenttype":"application/vnd.x+json; a=b","data":"s""#,
        r#""s""#,
        "application/vnd.x+json; a=b",
    );
    check_data(r#""datacontenttype":"image/png","data_base64":"aGk=""#, "hi", "image/png");
    check_data(r#""data":"text""#, "text", "application/json");
    check_data(r#""data_base64":"aGk=""#, "hi", "application/octet-stream");
    check_data(r#""datacontenttype":"text/plain""#, "", "text/plain");
    let old = event(r#""datacontentencoding":"base64","data":"aGk=""#).replace("\"1.0\"", "\"0.3\"");
    assert_eq!(check(&old, "placed", "5:/shop3:c-1", &[]).body, "hi");

    let attributes = [("ce-specversion", "1.0"), ("ce-type", "placed"), ("ce-id", "c-1"), ("ce-source", "/shop")];
    for envelope in [Envelope::Auto, Envelope::Cloudevents] {
        let message = message(&delivery("<o/>", &attributes), &queue(envelope)).unwrap();
        assert_eq!((message.kind.0.as_str(), message.key.as_str()), ("placed", "5:/shop3:c-1"));
        assert_eq!(message.body, "<o/>");
        // The body is the event's data, whatever it looks like.
        let records = json!({ "Records": [s3("ObjectCreated:Put", &json!({ "key": "k" }))] }).to_string();
        let message = super::message(&delivery(&records, &attributes), &queue(Envelope::Auto)).unwrap();
        assert_eq!((message.kind.0.as_str(), message.body.as_ref()), ("placed", records.as_bytes()));
    }
    for (rest, place) in
        [(r#""data_base64":"?""#, "`/data_base64` is no base64"), (r#""data_base64":7"#, "is no string")]
    {
        let error = message(&delivery(&event(rest), &[]), &queue(Envelope::Auto)).unwrap_err();
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn other_services_are_known_by_their_fields() {
    let alarm = json!({ "AlarmName": "deep", "AlarmArn": "arn:x", "NewStateValue": "ALARM", "OldStateValue": "OK",
        "StateChangeTime": "t", "Region": "EU (Ireland)", "AWSAccountId": "1" });
    check_in_sns(&alarm.to_string(), "cloudwatch:ALARM", "5:arn:x1:t5:ALARM", &[("cloudwatch-alarm-name", "deep")]);
    let approval = json!({ "region": "r", "approval": { "pipelineName": "p", "stageName": "s", "actionName": "a", "token": "k" } });
    check_in_sns(&approval.to_string(), "codepipeline:approval", "1:p1:k", &[("codepipeline-stage", "s")]);
    let stream = |source: &str, name: &str| {
        json!({ "eventID": "1", "eventName": name, "eventSource": source, "awsRegion": "r", "eventSourceARN": "arn:s",
            "dynamodb": { "SequenceNumber": "111" }, "partitionKey": "pk", "sequenceNumber": "49" })
        .to_string()
    };
    check(&stream("aws:dynamodb", "INSERT"), "dynamodb:INSERT", "5:arn:s1:1", &[("dynamodb-event-id", "1")]);
    check(
        &stream("aws:kinesis", "aws:kinesis:record"),
        "kinesis:record",
        "5:arn:s1:1",
        &[("kinesis-partition-key", "pk")],
    );
    check(&stream("aws:rmq", "x"), "rmq:x", "5:arn:s1:1", &[("rmq-event-source-arn", "arn:s")]);
    let connected =
        json!({ "clientId": "c", "timestamp": 1573002230757u64, "eventType": "connected", "sessionIdentifier": "s" });
    check(&connected.to_string(), "iot:connected", "1:c1:s9:connected13:1573002230757", &[("iot-client-id", "c")]);
    let job = json!({ "eventType": "JOB", "eventId": "j", "timestamp": 1, "operation": "completed" });
    check_in_sns(&job.to_string(), "iot:JOB", "j", &[("iot-operation", "completed")]);
    let destination = json!({ "version": "1.0", "timestamp": "t", "requestPayload": {}, "responsePayload": {},
        "requestContext": { "requestId": "r", "functionArn": "arn:f", "condition": "RetriesExhausted", "approximateInvokeCount": 3 } });
    let parts = [("lambda-function-arn", "arn:f"), ("lambda-approximate-invoke-count", "3")];
    check(&destination.to_string(), "lambda:RetriesExhausted", "1:r16:RetriesExhausted", &parts);
    let launch = json!({ "Service": "AWS Auto Scaling", "Event": "autoscaling:EC2_INSTANCE_LAUNCH", "RequestId": "q",
        "AutoScalingGroupName": "g" });
    let key = "1:q31:autoscaling:EC2_INSTANCE_LAUNCH";
    check_in_sns(&launch.to_string(), "autoscaling:EC2_INSTANCE_LAUNCH", key, &[("autoscaling-group", "g")]);
    let token_key = blake3::hash(b"T").to_hex();
    check(r#"{"TaskToken":"T","input":1}"#, "states:task", &token_key, &[("states-task-token", "T")]);
    check(r#"{"taskToken":"T","type":"resize"}"#, "resize", &token_key, &[("states-task-token", "T")]);
    let masstransit =
        r#"{"messageId":"m","messageType":["urn:message:Shop:OrderSubmitted"],"message":{"n":1.0},"sentTime":"t"}"#;
    let message = check(masstransit, "Shop:OrderSubmitted", "m", &[("masstransit-sent-time", "t")]);
    assert_eq!(message.body, r#"{"n":1.0}"#);
}

#[test]
fn what_only_looks_like_one_of_these_is_a_plain_message() {
    for body in [
        r#"{"Type":"Notification","text":"x","type":"t"}"#,
        r#"{"Records":[1],"type":"t"}"#,
        r#"{"Records":[],"type":"t"}"#,
        r#"{"eventSource":"shop","type":"t"}"#,
        r#"{"eventType":"OrderPlaced","eventId":"1","timestamp":1,"type":"t"}"#,
        r#"{"notificationType":"Bounce","type":"t"}"#,
        r#"{"eventType":"sent","mail":{"to":"ada"},"type":"t"}"#,
        r#"{"Event":"s3:TestEvent","type":"t"}"#,
        r#"{"approval":true,"type":"t"}"#,
        r#"{"messageType":"order","message":{},"type":"t"}"#,
        r#"{"AlarmName":"a","type":"t"}"#,
        r#"{"detail-type":"x","type":"t"}"#,
        r#"{"requestContext":{"requestId":"r"},"type":"t"}"#,
    ] {
        let message = message(&delivery(body, &[]), &queue(Envelope::Auto)).unwrap();
        assert_eq!((message.kind.0.as_str(), message.body.as_ref()), ("t", body.as_bytes()));
    }
}

#[test]
fn sns_hands_on_its_attributes_with_their_types() {
    let notification = json!({ "Type": "Notification", "MessageId": "n", "TopicArn": "arn:t", "Message": "text", "Subject": "hello",
        "MessageAttributes": {
            "type": { "Type": "String", "Value": "t" }, "n": { "Type": "Number", "Value": "3" },
            "blob": { "Type": "Binary", "Value": "AAEC/w==" }, "tags": { "Type": "String.Array", "Value": "[\"a\"]" } } });
    let message =
        check(&notification.to_string(), "t", "n", &[("sns-subject", "hello"), ("tags", "[\"a\"]"), ("n", "3")]);
    assert_eq!(message.attributes["blob"].value, AttributeData::Binary(vec![0, 1, 2, 255].into()));
    assert_eq!(message.attributes["n"].data_type, "Number");
    assert_eq!(message.body, "text");
    let broken = notification.to_string().replace("AAEC/w==", "?");
    let error = super::message(&delivery(&broken, &[]), &queue(Envelope::Auto)).unwrap_err();
    assert!(error.contains("`/MessageAttributes/blob/Value` is no base64"), "{error}");
    let body = r#"{"Type":"Notification","TopicArn":"a","Message":"{}","MessageAttributes":[]}"#;
    let error = super::message(&delivery(body, &[]), &queue(Envelope::Auto)).unwrap_err();
    assert!(error.contains("`/MessageAttributes` is no object"), "{error}");
    for broken in [r#""Message":7"#, r#""Subject":"no message""#] {
        let body = format!(r#"{{"Type":"Notification","TopicArn":"a",{broken}}}"#);
        let error = super::message(&delivery(&body, &[]), &queue(Envelope::Auto)).unwrap_err();
        assert!(error.contains("`/Message`"), "{error}");
    }
}

#[test]
fn envelopes_are_opened_four_deep_and_no_deeper() {
    let wrap = |inner: &str| json!({ "Type": "Notification", "TopicArn": "a", "Message": inner }).to_string();
    let nested = |depth: usize| (0..depth).fold(r#"{"type":"t"}"#.to_owned(), |inner, _| wrap(&inner));
    for depth in 0..=4 {
        let message = message(&delivery(&nested(depth), &[]), &queue(Envelope::Auto)).unwrap();
        assert_eq!(message.body, r#"{"type":"t"}"#, "{depth}");
    }
    let error = message(&delivery(&nested(5), &[]), &queue(Envelope::Auto)).unwrap_err();
    assert!(error.contains("more than 4 envelopes"), "{error}");
}

#[test]
fn what_a_service_says_about_itself_is_a_notice() {
    let notice = |body: &Value| match decode(&delivery(&body.to_string(), &[]), &queue(Envelope::Auto)).unwrap() {
        Decoded::Notice(notice, typed) => (notice, typed.message.kind.0),
        other => panic!("{body}: {other:?}"),
    };
    let test =
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "in", "RequestId": "r", "Time": "t" });
    assert_eq!(notice(&test), (Notice::Test, "s3:TestEvent".into()));
    let in_sns = json!({ "Type": "Notification", "TopicArn": "a", "Message": test.to_string() });
    assert_eq!(notice(&in_sns), (Notice::Test, "s3:TestEvent".into()));
    let ses = json!({ "notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have" });
    assert_eq!(notice(&ses), (Notice::Test, "ses:AmazonSnsSubscriptionSucceeded".into()));
    let subscription =
        |kind: &str| json!({ "Type": kind, "MessageId": "m", "Token": "k", "TopicArn": "arn:t", "Message": "You" });
    let (topic_arn, token) = ("arn:t".to_owned(), "k".to_owned());
    let expect = (Notice::Subscription { topic_arn: topic_arn.clone(), token }, "sns:SubscriptionConfirmation".into());
    assert_eq!(notice(&subscription("SubscriptionConfirmation")), expect);
    let expect = (Notice::Unsubscribed { topic_arn }, "sns:UnsubscribeConfirmation".into());
    assert_eq!(notice(&subscription("UnsubscribeConfirmation")), expect);
}

#[test]
fn a_batch_is_one_message_or_one_for_each_record() {
    let records = ["a", "b"].map(|key| s3("ObjectCreated:Put", &json!({ "key": key, "sequencer": "1" })));
    let batch = json!({ "Records": records }).to_string();
    let whole = message(&delivery(&batch, &[]), &queue(Envelope::Auto)).unwrap();
    assert_eq!((whole.kind.0.as_str(), whole.body.as_ref()), ("s3:ObjectCreated:Put", batch.as_bytes()));
    assert_eq!(whole.key_source, KeySource::Envelope);

    let splitting = QueueConfig { split: true, ..queue(Envelope::Auto) };
    let parts = |body: &str, attributes: &[(&str, &str)]| match decode(&delivery(body, attributes), &splitting).unwrap()
    {
        Decoded::Batch(parts) => parts,
        other => panic!("{other:?}"),
    };
    let notification = json!({ "Type": "Notification", "MessageId": "n", "TopicArn": "arn:t", "Message": batch,
        "MessageAttributes": { "from": { "Type": "String", "Value": "\u{e9}\"" } } });
    for body in [batch.clone(), notification.to_string()] {
        let parts = parts(&body, &[]);
        let keys: Vec<_> = parts.iter().map(|part| part.typed.message.attributes["s3-key"].text().unwrap()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_ne!(parts[0].typed.message.key, parts[1].typed.message.key);
        for (part, record) in parts.iter().zip(&records) {
            assert_eq!(part.typed.message.body, json!({ "Records": [record] }).to_string());
            // The part reads as a message of its own, with the same key: so its letter is replayed.
            let again = message(&part.delivery, &splitting).unwrap();
            assert_eq!(
                (again.key, again.attributes),
                (part.typed.message.key.clone(), part.typed.message.attributes.clone())
            );
        }
    }
    // What a producer says of the whole is no record's own key.
    let keyed = parts(&batch, &[("idempotency-key", "k")]);
    assert_eq!(keyed.iter().map(|part| part.typed.message.key.as_str()).collect::<Vec<_>>(), ["k#0", "k#1"]);
    assert_eq!(message(&keyed[1].delivery, &splitting).unwrap().key, "k#1");

    let event = |id: &str, kind: &str| json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "data": { "n": 1 } });
    let events = json!([event("1", "placed"), event("2", "paid")]).to_string();
    let parts = parts(&events, &[]);
    let found: Vec<_> =
        parts.iter().map(|part| (part.typed.message.kind.0.as_str(), part.typed.message.key.as_str())).collect();
    assert_eq!(found, [("placed", "2:/s1:1"), ("paid", "2:/s1:2")]);
    let error = message(&delivery(&events, &[]), &queue(Envelope::Auto)).unwrap_err();
    assert!(error.contains("several types") && error.contains("split = true"), "{error}");
    // Without ids of their own, records are told apart by their place, in an envelope too.
    let restored = [1, 2].map(|n| s3("ObjectRestore:Post", &json!({ "key": "k", "size": n })));
    let restored = json!({ "Records": restored }).to_string();
    let notified =
        json!({ "Type": "Notification", "MessageId": "n-1", "TopicArn": "a", "Message": restored }).to_string();
    for (body, keys) in [(restored, ["id-1#0", "id-1#1"]), (notified, ["n-1#0", "n-1#1"])] {
        let Ok(Decoded::Batch(parts)) = decode(&delivery(&body, &[]), &splitting) else { panic!("{body}") };
        assert_eq!(parts.iter().map(|part| part.typed.message.key.as_str()).collect::<Vec<_>>(), keys);
        for (part, key) in parts.iter().zip(keys) {
            assert_eq!(message(&part.delivery, &splitting).unwrap().key, key);
        }
    }
    let few = QueueConfig { split_max: 1, ..splitting.clone() };
    let error = decode(&delivery(&batch, &[]), &few).unwrap_err();
    assert!(error.contains("2 records") && error.contains("split_max"), "{error}");
}

#[test]
fn types_are_looked_for_where_the_queue_says_and_called_what_it_says() {
    let with = |type_from: &[&str], attributes: &[(&str, &str)], body: &str| {
        let sources = type_from.iter().map(|text| TypeSource::try_from((*text).to_owned()).unwrap()).collect();
        let queue = QueueConfig { type_from: crate::config::TypeFrom(sources), ..queue(Envelope::Auto) };
        message(&delivery(body, attributes), &queue).map(|message| message.kind.0)
    };
    let record = r#"{"eventName":"created","kind":"k","n":1,"list":[{"t":"x"}]}"#;
    assert_eq!(with(&["/list/0/t", "/kind"], &[], record).unwrap(), "x");
    assert_eq!(with(&["/n", "/gone", "/kind"], &[], record).unwrap(), "k");
    assert_eq!(
        with(&["attribute:JavaType", "/kind"], &[("JavaType", "com.shop.Order")], record).unwrap(),
        "com.shop.Order"
    );
    // Into the message first, then into what is around it.
    let event = r#"{"detail-type":"placed","source":"shop","id":"1","detail":{"kind":"inner"}}"#;
    assert_eq!(with(&["/source"], &[], event).unwrap(), "shop");
    assert_eq!(with(&["/kind"], &[], event).unwrap(), "inner");
    assert_eq!(with(&["envelope", "/kind"], &[], event).unwrap(), "placed");
    assert_eq!(with(&["envelope"], &[], r#"{"TaskToken":"T"}"#).unwrap(), "states:task");
    assert!(with(&["/kind"], &[], r#"{"TaskToken":"T"}"#).is_err());
    let error = with(&["attribute:x", "/y"], &[], record).unwrap_err();
    assert!(error.contains("none in attribute:x, /y (type_from)"), "{error}");

    let named = |kind: &str| {
        let type_map = [("Scheduled Event".to_owned(), "nightly".to_owned())].into();
        let queue =
            QueueConfig { type_map, type_prefix: Some("shop:".into()), ..with_default(Envelope::Auto, "other") };
        message(&delivery("{}", &[("type", kind)]), &queue).unwrap().kind.0
    };
    assert_eq!(named("Scheduled Event"), "nightly");
    assert_eq!(named("order"), "shop:order");
    assert_eq!(named(""), "other");
}
