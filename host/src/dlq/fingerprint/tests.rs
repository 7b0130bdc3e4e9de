use super::*;

/// Each line is one cause: reasons that say the same of different values. Reasons of different
/// lines differ.
const CAUSES: &[&[&str]] = &[
    // serde_json, and the SDK with the field's path.
    &["missing field `customer` at line 1 column 42", "missing field `customer` at line 7 column 1"],
    &["missing field `items` at line 1 column 42"],
    &["missing field `currency` at line 1 column 42"],
    &["missing field `address1`"],
    &["missing field `address2`"],
    &["unknown field `totl`, expected one of `total`, `tax`"],
    &["unknown field `tx`, expected one of `total`, `tax`"],
    &["unknown variant `shipped`, expected `open` or `paid`", "unknown variant `lost`, expected `open` or `paid`"],
    &[r#"invalid type: string "abc", expected u64"#, r#"invalid type: string "xyz \" 1", expected u64"#],
    &[r#"invalid type: string "abc", expected u32"#],
    &["invalid type: integer `7`, expected a string", "invalid type: integer `812`, expected a string"],
    &["invalid type: boolean `true`, expected a string", "invalid type: boolean `false`, expected a string"],
    &["invalid value: integer `300`, expected u8", "invalid value: integer `-1`, expected u8"],
    &[
        "body: field `items[0].sku`: invalid type: null, expected a string",
        "body: field `items[12].sku`: invalid type: null, expected a string",
    ],
    &["body: field `items[0].price`: invalid type: null, expected a string"],
    &["expected value at line 1 column 1", "expected value at line 3 column 17"],
    &["EOF while parsing a string at line 1 column 120"],
    // reqwest, hyper, DNS, sockets.
    &[
        "error sending request for url (https://api.mail.example/messages/17?to=ada): operation timed out after 30s",
        "error sending request for url (https://api.mail.example/messages/4711?to=bob): operation timed out after 1m30s",
    ],
    &["error sending request for url (https://api.pay.example/charges/17): operation timed out after 30s"],
    &["timeout after 10 s at 'https://a.example/1'", "timeout after 250 ms at 'https://a.example/2'"],
    &["timeout after 10 s at 'https://b.example/1'"],
    &["tcp connect error: Connection refused (os error 111)"],
    &["tcp connect error: No route to host (os error 113)"],
    &["connect ECONNREFUSED 10.0.0.7:5432", "connect ECONNREFUSED 10.0.3.9:5432"],
    &["connect ECONNREFUSED 10.0.0.7:6379", "connect ECONNREFUSED [::1]:6379"],
    &["getaddrinfo ENOTFOUND db1.shop.internal"],
    &["getaddrinfo ENOTFOUND db2.shop.internal"],
    &[
        "read tcp 10.0.0.1:51234->10.0.0.7:443: connection reset by peer",
        "read tcp 10.0.0.2:40001->10.0.0.9:443: connection reset by peer",
    ],
    // HTTP statuses.
    &["api.mail.example answered 503", "api.mail.example answered 503"],
    &["api.mail.example answered 429"],
    &["HTTP 404: order 17 is gone", "HTTP 404: order 18 is gone"],
    &["HTTP 410: order 17 is gone"],
    &[
        "status 500 Internal Server Error, request 6f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f",
        "status 500 Internal Server Error, request 00000000-4a5b-6c7d-8e9f-0a1b2c3d4e5f",
    ],
    &["502 Bad Gateway"],
    &["504 Gateway Timeout"],
    &[
        "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://shop.example/o/1",
        "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://shop.example/o/99",
    ],
    &["requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://shop.example/o/1"],
    &[
        r#"422: {"code":"invalid_email","message":"no such address","id":17}"#,
        r#"422: {"code":"invalid_email","message":"what is that","id":18}"#,
    ],
    &[r#"422: {"code":"card_declined","message":"no such address","id":17}"#],
    // Databases.
    &[
        r#"duplicate key value violates unique constraint "orders_pkey" DETAIL: Key (id)=(42) already exists."#,
        r#"duplicate key value violates unique constraint "orders_pkey" DETAIL: Key (id)=(9001) already exists."#,
    ],
    &[r#"duplicate key value violates unique constraint "customers_email_key" DETAIL: Key (id)=(42) already exists."#],
    &[r#"null value in column "customer" of relation "orders" violates not-null constraint"#],
    &[r#"null value in column "total" of relation "orders" violates not-null constraint"#],
    &[r#"invalid input syntax for type integer: "abc""#, r#"invalid input syntax for type integer: "12x""#],
    &[r#"invalid input syntax for type uuid: "abc""#],
    &[r#"ERROR: relation "orders" does not exist (SQLSTATE 42P01)"#],
    &[r#"ERROR: permission denied for table "orders" (SQLSTATE 42501)"#],
    &[
        "ERROR 1062 (23000): Duplicate entry '42-ada' for key 'orders.PRIMARY'",
        "ERROR 1062 (23000): Duplicate entry '17-bob' for key 'orders.PRIMARY'",
    ],
    &["ORA-00942: table or view does not exist"],
    &[
        "E11000 duplicate key error collection: shop.orders index: _id_ dup key: { _id: 17 }",
        "E11000 duplicate key error collection: shop.orders index: _id_ dup key: { _id: 18 }",
    ],
    &["could not serialize access due to concurrent update"],
    &[
        "deadlock detected: Process 17 waits for ShareLock on transaction 4711",
        "deadlock detected: Process 18 waits for ShareLock on transaction 99",
    ],
    // Python.
    &["KeyError: 'customer'"],
    &["KeyError: 'items'"],
    &[
        "ValueError: invalid literal for int() with base 10: 'abc'",
        "ValueError: invalid literal for int() with base 10: 'x1'",
    ],
    &["ValueError: could not convert string to float: 'abc'", "ValueError: could not convert string to float: ''"],
    &["AttributeError: 'NoneType' object has no attribute 'total'"],
    &["AttributeError: 'NoneType' object has no attribute 'id'"],
    &["AttributeError: 'dict' object has no attribute 'id'"],
    &["TypeError: unsupported operand type(s) for +: 'int' and 'str'"],
    &["TypeError: unsupported operand type(s) for +: 'int' and 'NoneType'"],
    &["ModuleNotFoundError: No module named 'requests'"],
    &["ModuleNotFoundError: No module named 'boto3'"],
    &["NameError: name 'total' is not defined"],
    &[
        "botocore.errorfactory.S3UploadFailedError: failed to upload /tmp/17.pdf",
        "botocore.errorfactory.S3UploadFailedError: failed to upload /tmp/18.pdf",
    ],
    &[
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 17",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xfe in position 3",
    ],
    &["jsonschema.exceptions.ValidationError: 'customer' is a required property"],
    &["jsonschema.exceptions.ValidationError: 'items' is a required property"],
    &[
        "jsonschema.exceptions.ValidationError: 'abc' is not of type 'integer'",
        "jsonschema.exceptions.ValidationError: 'x y' is not of type 'integer'",
    ],
    &["jsonschema.exceptions.ValidationError: 17 is not of type 'string'"],
    // JavaScript.
    &["TypeError: Cannot read properties of undefined (reading 'total')"],
    &["TypeError: Cannot read properties of undefined (reading 'items')"],
    &["TypeError: Cannot read properties of null (reading 'items')"],
    &["TypeError: order.items.map is not a function"],
    &["ReferenceError: customer is not defined"],
    &["RangeError: Invalid time value"],
    &[
        r#"SyntaxError: Unexpected token 'a', "abc" is not valid JSON"#,
        r#"SyntaxError: Unexpected token 'x', "xyz" is not valid JSON"#,
    ],
    &[r#"ValidationError: "customer" is required"#],
    &[r#"ValidationError: "total" must be a number"#],
    &["must have required property 'currency'"],
    // Go.
    &["json: cannot unmarshal string into Go struct field Order.total of type int64"],
    &["json: cannot unmarshal string into Go struct field Order.tax of type int64"],
    &["json: cannot unmarshal string into Go struct field Order.tax of type int32"],
    // Rust.
    &[
        "panicked at src/lib.rs:42:5: index out of bounds: the len is 3 but the index is 7",
        "panicked at src/lib.rs:42:5: index out of bounds: the len is 1 but the index is 1",
    ],
    &["called `Option::unwrap()` on a `None` value"],
    &["called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }"],
    &["called `Result::unwrap()` on an `Err` value: ParseIntError { kind: PosOverflow }"],
    // People's.
    &["order 17 was not found", "order 4,711 was not found"],
    &["order 17 is locked by 'ada'", "order 18 is locked by 'bob'"],
    &["no mail to ada@shop.example", "no mail to bob.b+tag@other.example"],
    &["amount -12.50 EUR is below $5", "amount 1,024.99 EUR is below $10.00"],
    &[
        "expired at 2026-11-28T13:50:47.123Z",
        "expired at 2026-11-27 03:00:00+01:00",
        "expired at Sat, 28 Nov 2026 13:50:47 GMT",
    ],
    &["charge ch_3MqLiJ2eZvKYlo2C0XnBgZ1a failed", "charge ch_1AbCdE2fGhIjKl3M4nOpQr5s failed"],
    &["commit 9fceb02d0ae5 is gone", "commit 0xFF is gone"],
    &["ids [1, 2, 3] are unknown", "ids [17] are unknown"],
    &[
        r#"body {"id":17,"name":"Ada","tags":["a","b"]} is refused"#,
        r#"body {"id":18,"name":"Bob","tags":["c"]} is refused"#,
    ],
    // The host's own.
    &["did not return within its timeout of 30s", "did not return within its timeout of 1.5s"],
    &["called exit(1); a handler returns instead"],
    &["called exit(3); a handler returns instead"],
    &["no plugin handles the type `order_completd`"],
    &["no plugin handles the type `order.paid`"],
    &["the idempotency key has 2048 bytes; the limit is 1024", "the idempotency key has 4096 bytes; the limit is 1024"],
    &["its host died or lost its lease during 3 attempts"],
    &["received too often for its queue's redrive policy"],
];

#[test]
fn reasons_with_one_cause_are_one_group_and_causes_are_told_apart() {
    let mut seen: Vec<(String, &str)> = Vec::new();
    let mut faults = Vec::new();
    for reasons in CAUSES {
        let text = normalised(reasons[0]);
        for other in &reasons[1..] {
            if normalised(other) != text {
                faults.push(format!("apart:\n  {text}\n  {}", normalised(other)));
            }
        }
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == text) {
            faults.push(format!("together: {text}\n  {first}\n  {}", reasons[0]));
        }
        seen.push((text, reasons[0]));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(CAUSES.iter().map(|reasons| reasons.len()).sum::<usize>() >= 100);
}

#[test]
fn values_are_taken_out_of_a_reason_and_names_stay() {
    let check = |reason: &str, expect: &str| assert_eq!(normalised(reason), expect, "{reason}");
    check("order17: 3 of 12.5 kg, 1,024 left", "order<n>: <n> of <n> kg, <n> left");
    check("10.0.0.7:8080 refused", "<ip>:8080 refused");
    check("http://10.0.0.7:8080/x refused", "http://10.0.0.7:8080/x refused");
    check("https://ada:secret@api.example/orders/17?k=v#x: no", "https://api.example/orders/<n>?<text>: no");
    check("no user 6f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f here", "no user <uuid> here");
    check("commit 9fceb02d0ae5 and 0x and facade", "commit <hex> and <n>x and facade");
    check("no field \"total\" in 'order' of `shop`", "no field \"total\" in <text> of `shop`");
    check(r#"said "a \"b\" c" and stopped"#, "said <text> and stopped");
    check("can't read the customer's card", "can't read the customer's card");
    check("it said 'don't' 3 times", "it said <text> <n> times");
    check("an open \" quote 5", "an open \" quote <n>");
    check("missing fields `a`, `b_2` and `c[3]`", "missing fields `a`, `b_2` and `c[<n>]`");
    check("unknown variant `a`, `order17` is `x y`", "unknown variant <text> is <text>");
    check("“a” and «b» at 5xx", "<text> at 5xx");
    check("v1.2.3-rc.4 of x86_64 with sha256 in us-east-1", "v<n>-rc.<n> of x86_<n> with sha256 in us-east-<n>");
    check("  much\t\n white   space ", "much white space");
    check("", "");
    check("é1 Zahl 5 für Größe 12", "é<n> Zahl <n> für Größe <n>");
}

#[test]
fn any_text_can_be_normalised() {
    let pieces = [
        "\"", "'", "`", "é", "17", "://", "@", ".", "-", ":", "[", "{", " ", "\\", "x", "ä7", "GMT", "Nov", "0x", "“",
        "T",
    ];
    for n in 0..20_000_usize {
        let text: String =
            (0..8).map(|index| pieces[(n * 31 + index * (n / 7 + 3) + n / 400) % pieces.len()]).collect();
        let _ = normalised(&text);
    }
}

#[test]
fn a_fingerprint_is_the_same_for_all_time() {
    let one = fingerprint("order 17 was not found");
    assert!(one.len() == 8 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    // Operators write it down.
    assert_eq!(one, blake3::hash(b"order <n> was not found").to_hex()[..8]);
}
