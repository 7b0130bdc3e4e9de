//! The Query protocol: parameters in the form body and the query string, answers in XML.

use serde_json::{Value, json};
use wasq_local_sqs::{Effect, Fault};

use super::support::{Answer, Server};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const NAMESPACE: &str = "xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"";

async fn post(server: &Server, path: &str, parameters: &str) -> Answer {
    server.http("POST", path, &[FORM], parameters).await
}

/// What stands between an answer's namespace and its metadata.
#[track_caller]
fn result(answer: &Answer, operation: &str) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/xml"), "{}", answer.body);
    let id = answer.header("x-amzn-requestid");
    let before = format!("<?xml version=\"1.0\"?><{operation}Response {NAMESPACE}>");
    let after = format!("<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>");
    let inner = answer.body.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after));
    inner.unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

/// An element's text.
#[track_caller]
fn text<'a>(xml: &'a str, element: &str) -> &'a str {
    let rest = xml.split_once(&format!("<{element}>")).unwrap_or_else(|| panic!("no {element} in {xml}")).1;
    rest.split_once(&format!("</{element}>")).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_makes_its_way() {
    let server = Server::start().await;
    let create = "Action=CreateQueue&Version=2012-11-05&QueueName=q&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=77\
                  &Tag.1.Key=team&Tag.1.Value=blue";
    let created = post(&server, "/", create).await;
    let url = server.url("q");
    assert_eq!(
        result(&created, "CreateQueue"),
        format!("<CreateQueueResult><QueueUrl>{url}</QueueUrl></CreateQueueResult>")
    );

    let send = "Action=SendMessage&MessageBody=%3Ca%3E%26+%22b%22%0D%0A%C3%BC&MessageAttribute.1.Name=t\
                &MessageAttribute.1.Value.DataType=Number&MessageAttribute.1.Value.StringValue=1\
                &MessageAttribute.2.Name=b&MessageAttribute.2.Value.DataType=Binary&MessageAttribute.2.Value.BinaryValue=AP8%3D\
                &MessageSystemAttribute.1.Name=AWSTraceHeader&MessageSystemAttribute.1.Value.DataType=String\
                &MessageSystemAttribute.1.Value.StringValue=Root%3D1";
    let sent = post(&server, "/000000000000/q", send).await;
    let sent = result(&sent, "SendMessage");
    // The same message by AWS JSON has the same checksums.
    let attributes = json!({
        "t": { "DataType": "Number", "StringValue": "1" },
        "b": { "DataType": "Binary", "BinaryValue": "AP8=" },
    });
    let trace = json!({ "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1" } });
    let twin = json!({
        "QueueUrl": url, "MessageBody": "<a>& \"b\"\r\nü", "MessageAttributes": attributes, "MessageSystemAttributes": trace,
    });
    let twin = server.ok("SendMessage", twin).await;
    for md5 in ["MD5OfMessageBody", "MD5OfMessageAttributes", "MD5OfMessageSystemAttributes"] {
        assert_eq!(text(&sent, md5), twin[md5], "{md5}");
    }

    let receive = "Action=ReceiveMessage&AttributeName.1=AWSTraceHeader&MessageAttributeName.1=All&VisibilityTimeout=0";
    let received = result(&post(&server, "/000000000000/q", receive).await, "ReceiveMessage");
    assert_eq!(text(&received, "Body"), "&lt;a&gt;&amp; &quot;b&quot;&#xD;\nü");
    assert_eq!(text(&received, "MessageId"), text(&sent, "MessageId"));
    for part in [
        "<Attribute><Name>AWSTraceHeader</Name><Value>Root=1</Value></Attribute>",
        "<MessageAttribute><Name>b</Name><Value><BinaryValue>AP8=</BinaryValue><DataType>Binary</DataType></Value>\
         </MessageAttribute>",
    ] {
        assert!(received.contains(part), "{part} in {received}");
    }
    let delete = format!("Action=DeleteMessage&QueueUrl={url}&ReceiptHandle={}", text(&received, "ReceiptHandle"));
    assert_eq!(result(&post(&server, "/", &delete).await, "DeleteMessage"), "");
    assert_eq!(server.attributes(&url).await["ApproximateNumberOfMessages"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_and_map_is_read_and_written() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    for (request, operation, expect) in [
        ("Action=ListQueues&QueueNamePrefix=q", "ListQueues", format!("<ListQueuesResult><QueueUrl>{url}</QueueUrl></ListQueuesResult>")),
        ("Action=ListQueues&QueueNamePrefix=z", "ListQueues", "<ListQueuesResult/>".to_owned()),
        ("Action=ReceiveMessage&QueueUrl=q", "ReceiveMessage", "<ReceiveMessageResult/>".to_owned()),
        ("Action=SetQueueAttributes&QueueUrl=q&Attribute.Name=DelaySeconds&Attribute.Value=0&Attribute.1.Name=DelaySeconds&Attribute.1.Value=7", "SetQueueAttributes", String::new()),
        (
            "Action=GetQueueAttributes&QueueUrl=q&AttributeName.1=DelaySeconds",
            "GetQueueAttributes",
            "<GetQueueAttributesResult><Attribute><Name>DelaySeconds</Name><Value>7</Value></Attribute></GetQueueAttributesResult>".to_owned(),
        ),
        ("Action=TagQueue&QueueUrl=q&Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=b&Tag.2.Value=", "TagQueue", String::new()),
        ("Action=UntagQueue&QueueUrl=q&TagKey.1=a", "UntagQueue", String::new()),
        (
            "Action=ListQueueTags&QueueUrl=q",
            "ListQueueTags",
            "<ListQueueTagsResult><Tag><Key>b</Key><Value></Value></Tag></ListQueueTagsResult>".to_owned(),
        ),
        (
            "Action=AddPermission&QueueUrl=q&Label=l&AWSAccountId.1=111111111111&ActionName.1=SendMessage",
            "AddPermission",
            String::new(),
        ),
        ("Action=RemovePermission&QueueUrl=q&Label=l", "RemovePermission", String::new()),
        ("Action=ListDeadLetterSourceQueues&QueueUrl=q", "ListDeadLetterSourceQueues", "<ListDeadLetterSourceQueuesResult/>".to_owned()),
        ("Action=PurgeQueue&QueueUrl=q", "PurgeQueue", String::new()),
        (
            "Action=GetQueueUrl&QueueName=q",
            "GetQueueUrl",
            format!("<GetQueueUrlResult><QueueUrl>{url}</QueueUrl></GetQueueUrlResult>"),
        ),
        ("Action=DeleteQueue&QueueUrl=q", "DeleteQueue", String::new()),
    ] {
        assert_eq!(result(&post(&server, "/", request).await, operation), expect, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_read_and_written() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let entry = |number: u32, fields: &str, operation: &str| {
        fields.split('&').map(|field| format!("&{operation}RequestEntry.{number}.{field}")).collect::<String>()
    };
    let send = "SendMessageBatch";
    let entries = entry(1, "Id=a&MessageBody=x&DelaySeconds=0", send) + &entry(2, "Id=b&MessageBody=%01", send);
    let sent = result(&post(&server, "/000000000000/q", &format!("Action={send}{entries}")).await, send);
    let good = text(&sent, "SendMessageBatchResultEntry");
    assert_eq!((text(good, "Id"), text(good, "MD5OfMessageBody")), ("a", "9dd4e461268c8034f5c8564e155c67a6"));
    let bad = text(&sent, "BatchResultErrorEntry");
    assert_eq!((text(bad, "Id"), text(bad, "Code"), text(bad, "SenderFault")), ("b", "InvalidMessageContents", "true"));

    let handle = server.receive(&url, 1, 600).await.remove(0)["ReceiptHandle"].as_str().unwrap().to_owned();
    for (operation, fields) in [
        ("ChangeMessageVisibilityBatch", format!("Id=a&ReceiptHandle={handle}&VisibilityTimeout=60")),
        ("DeleteMessageBatch", format!("Id=a&ReceiptHandle={handle}")),
    ] {
        let request = format!("Action={operation}{}", entry(1, &fields, operation));
        let answer = result(&post(&server, "/000000000000/q", &request).await, operation);
        let expect = format!(
            "<{operation}Result><{operation}ResultEntry><Id>a</Id></{operation}ResultEntry></{operation}Result>"
        );
        assert_eq!(answer, expect);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_codes_of_this_protocol() {
    let server = Server::start().await;
    server.create("q", json!({})).await;
    let missing = "The specified queue does not exist for this wsdl version.";
    for (method, target, body, status, code, message) in [
        ("POST", "/", "Action=GetQueueUrl&QueueName=z", 400, "AWS.SimpleQueueService.NonExistentQueue", missing),
        ("GET", "/000000000000/z?Action=PurgeQueue", "", 400, "AWS.SimpleQueueService.NonExistentQueue", missing),
        ("GET", "/?Action=FooBar", "", 400, "InvalidAction", "The action FooBar is not valid for this endpoint."),
        (
            "GET",
            "/000000000000/q?Action=CreateQueue&QueueName=a",
            "",
            400,
            "InvalidAction",
            "The action CreateQueue is not valid for this endpoint.",
        ),
        (
            "GET",
            "/000000000000/q?Action=ListQueues",
            "",
            400,
            "InvalidAction",
            "The action ListQueues is not valid for this endpoint.",
        ),
        (
            "GET",
            "/000000000000/q?Action=SendMessage",
            "",
            400,
            "MissingParameter",
            "The request must contain the parameter MessageBody.",
        ),
        (
            "POST",
            "/000000000000/q",
            "Action=SendMessage&MessageBody=b&DelaySeconds=soon",
            400,
            "InvalidParameterValue",
            "Value soon for parameter DelaySeconds is invalid. Reason: Must be an integer.",
        ),
        (
            "POST",
            "/000000000000/q",
            "Action=SendMessageBatch",
            400,
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
        ),
        ("POST", "/", "QueueName=q", 400, "MissingAction", "The request must contain the parameter Action."),
    ] {
        let answer = server.http(method, target, &[FORM], body).await;
        let id = answer.header("x-amzn-requestid");
        let expect = format!(
            "<?xml version=\"1.0\"?><ErrorResponse {NAMESPACE}><Error><Type>Sender</Type><Code>{code}</Code><Message>\
             {message}</Message><Detail/></Error><RequestId>{id}</RequestId></ErrorResponse>"
        );
        assert_eq!((answer.status, answer.body.as_str()), (status, expect.as_str()), "{method} {target} {body}");
    }
    for headers in [&[][..], &[("Accept", "application/json")]] {
        let answer = server.http("GET", "/000000000000/q", headers, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "<UnknownOperationException/>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_may_stand_in_the_url_and_a_queue_named_there_counts_less_than_one_named_in_them() {
    let server = Server::start().await;
    server.create("one", json!({})).await;
    server.create("two", json!({})).await;
    // As older tools do: a POST without a body.
    let sent = post(&server, "/000000000000/one?Action=SendMessage&MessageBody=b", "").await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    let receive = server.http("GET", "/000000000000/one?Action=ReceiveMessage&VisibilityTimeout=0", &[], "").await;
    assert_eq!(text(&result(&receive, "ReceiveMessage"), "Body"), "b");
    let target =
        "/000000000000/one?Action=GetQueueAttributes&QueueUrl=http://h/000000000000/two&AttributeName.1=QueueArn";
    let answer = server.http("GET", target, &[], "").await;
    assert!(result(&answer, "GetQueueAttributes").contains(":two</Value>"), "{}", answer.body);
    // A presigned URL says its region and account.
    let target =
        "/?Action=CreateQueue&QueueName=q&X-Amz-Credential=123456789012%2F20261129%2Feu-west-1%2Fsqs%2Faws4_request";
    let created = server.http("GET", target, &[], "").await;
    assert!(text(&created.body, "QueueUrl").ends_with("/123456789012/q"), "{}", created.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_json_gets_json() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    server.send(&url, "b").await;
    let get = async |target: &str| -> Value {
        let answer = server.http("GET", target, &[("Accept", "application/json")], "").await;
        assert_eq!(answer.header("content-type"), "application/json");
        answer.json()
    };
    let listed = get("/?Action=ListQueues").await;
    assert_eq!(listed["ListQueuesResponse"]["ListQueuesResult"]["queueUrls"], json!([url]));
    let received = get("/000000000000/q?Action=ReceiveMessage").await;
    assert_eq!(received["ReceiveMessageResponse"]["ReceiveMessageResult"]["messages"][0]["Body"], "b");
    let attributes = get("/000000000000/q?Action=GetQueueAttributes&AttributeName.1=DelaySeconds").await;
    let attributes = &attributes["GetQueueAttributesResponse"]["GetQueueAttributesResult"]["Attributes"];
    assert_eq!(*attributes, json!([{ "Name": "DelaySeconds", "Value": "0" }]));
    assert_eq!(get("/000000000000/q?Action=ListQueues").await["Error"]["Code"], "InvalidAction");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_named_the_older_way_count_alone() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    server.send(&url, "b").await;
    let receive = "Action=ReceiveMessage&VisibilityTimeout=0&MessageSystemAttributeName.1=All";
    let all = post(&server, "/000000000000/q", receive).await.body;
    assert!(all.contains("<Name>SenderId</Name>") && all.contains("<Name>SentTimestamp</Name>"), "{all}");
    let one = post(&server, "/000000000000/q", &format!("{receive}&AttributeName.1=SenderId")).await.body;
    assert!(one.contains("<Name>SenderId</Name>") && !one.contains("<Name>SentTimestamp</Name>"), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_json_may_come_to_a_queues_own_url() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let headers = [("X-Amz-Target", "AmazonSQS.ReceiveMessage"), ("Content-Type", "application/x-amz-json-1.0")];
    let answer = server.http("POST", "/000000000000/q", &headers, &json!({ "QueueUrl": url }).to_string()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-amz-json-1.0"));
    assert_eq!(answer.json(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_or_breaks_off_is_answered_so() {
    let server = Server::start().await;
    let large = format!("Action=SendMessage&MessageBody={}", "x".repeat(8 * 1024 * 1024));
    let headers = [("X-Amz-Target", "AmazonSQS.SendMessage")];
    let by_query = post(&server, "/", &large).await.body;
    let by_json = server.http("POST", "/", &headers, &large).await.error().1;
    for answer in [by_query, by_json] {
        assert!(answer.contains("The request has more than 8388608 bytes"), "{answer}");
    }
    let chunked = ("Transfer-Encoding", "chunked");
    let torn = "5\r\nActio\r\nno length\r\n";
    let by_query = server.http_of("POST", "/", &[FORM, chunked], torn).await.body;
    let by_json = server.http_of("POST", "/", &[headers[0], chunked], torn).await.error().1;
    for answer in [by_query, by_json] {
        assert!(answer.contains("The request breaks off before its end"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_no_operation_are_neither_counted_nor_met_by_faults() {
    let server = Server::start().await;
    server.sqs.faults().add(Fault::on("Invented", Effect::DropConnection));
    let by_query = post(&server, "/", "Action=Invented").await;
    assert_eq!(text(&by_query.body, "Code"), "InvalidAction");
    let by_json = server.json("Invented", json!({})).await;
    assert_eq!((by_json.status, by_json.error().0.as_str()), (400, "InvalidAction"));
    server.ok("ListQueues", json!({})).await;
    assert_eq!(server.sqs.faults().all_calls(), [("ListQueues".to_owned(), 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_meet_calls_of_this_protocol_too() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let effect = Effect::FailEntries { places: vec![0], code: "InternalError".into() };
    server.sqs.faults().add(Fault::on("SendMessageBatch", effect).queue("q").times(1));
    let entry = "SendMessageBatchRequestEntry";
    let send = format!(
        "Action=SendMessageBatch&{entry}.1.Id=a&{entry}.1.MessageBody=x&{entry}.2.Id=b&{entry}.2.MessageBody=y"
    );
    let sent = result(&post(&server, "/000000000000/q", &send).await, "SendMessageBatch");
    assert_eq!(text(text(&sent, "BatchResultErrorEntry"), "Id"), "a");
    assert_eq!(text(text(&sent, "SendMessageBatchResultEntry"), "Id"), "b");
    assert_eq!(super::support::bodies(&server.receive(&url, 10, 0).await), ["y"]);
    let effect = Effect::FailBefore { code: "ServiceUnavailable".into(), status: 503 };
    server.sqs.faults().add(Fault::on("PurgeQueue", effect).times(1));
    let refused = post(&server, "/000000000000/q", "Action=PurgeQueue").await;
    assert_eq!((refused.status, text(&refused.body, "Code")), (503, "ServiceUnavailable"));
    assert_eq!(text(&refused.body, "Type"), "Receiver");
}
