use super::*;

fn back(value: &AMQPValue) -> AMQPValue {
    header(&attribute(value.clone()))
}

fn text(value: &AMQPValue) -> String {
    attribute(value.clone()).text().unwrap().to_owned()
}

#[test]
fn each_type_of_amqp_goes_back_as_the_same() {
    for (value, data_type, text) in [
        (AMQPValue::LongString("täxt".into()), "String", "täxt"),
        (AMQPValue::LongString("".into()), "String", ""),
        (AMQPValue::Boolean(true), "String.bool", "true"),
        (AMQPValue::Void, "String.void", ""),
        (AMQPValue::ShortShortInt(-128), "Number.i8", "-128"),
        (AMQPValue::ShortShortUInt(255), "Number.u8", "255"),
        (AMQPValue::ShortInt(-32_768), "Number.i16", "-32768"),
        (AMQPValue::ShortUInt(65_535), "Number.u16", "65535"),
        (AMQPValue::LongInt(i32::MIN), "Number.i32", "-2147483648"),
        (AMQPValue::LongUInt(u32::MAX), "Number.u32", "4294967295"),
        (AMQPValue::LongLongInt(i64::MIN), "Number.i64", "-9223372036854775808"),
        (AMQPValue::Float(0.1), "Number.f32", "0.1"),
        (AMQPValue::Double(1e300), "Number.f64", &1e300_f64.to_string()),
        (AMQPValue::Double(f64::INFINITY), "Number.f64", "inf"),
        (AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1_250 }), "Number.decimal", "12.50"),
        (AMQPValue::DecimalValue(DecimalValue { scale: 3, value: 5 }), "Number.decimal", "0.005"),
        (AMQPValue::DecimalValue(DecimalValue { scale: 0, value: 5 }), "Number.decimal", "5"),
        (AMQPValue::Timestamp(1_700_000_000), "Number.timestamp", "1700000000"),
    ] {
        let read = attribute(value.clone());
        assert_eq!((read.data_type.as_str(), read.text()), (data_type, Some(text)), "{value:?}");
        assert_eq!(back(&value), value);
    }
    for (value, data_type) in [
        (AMQPValue::LongString(vec![0xff, 0xfe].into()), "Binary.string"),
        (AMQPValue::ByteArray(vec![0, 1, 2].into()), "Binary"),
    ] {
        let read = attribute(value.clone());
        assert_eq!((read.data_type.as_str(), read.text()), (data_type, None), "{value:?}");
        assert_eq!(back(&value), value);
    }
}

#[test]
fn tables_and_arrays_are_json_and_go_back_as_such() {
    let inner = FieldArray::from(vec![AMQPValue::LongLongInt(1), AMQPValue::LongString("x".into()), AMQPValue::Void]);
    let mut table = FieldTable::default();
    table.insert("ok".into(), AMQPValue::Boolean(true)).insert("list".into(), AMQPValue::FieldArray(inner));
    let table = AMQPValue::FieldTable(table);
    assert_eq!(text(&table), r#"{"list":[1,"x",null],"ok":true}"#);
    assert_eq!(back(&table), table);

    // What JSON has no type for is told by what is nearest.
    let mixed = FieldArray::from(vec![
        AMQPValue::LongInt(7),
        AMQPValue::Timestamp(9),
        AMQPValue::ByteArray(vec![0xff].into()),
        AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 15 }),
        AMQPValue::Double(0.5),
        AMQPValue::Double(f64::NAN),
    ]);
    assert_eq!(text(&AMQPValue::FieldArray(mixed)), r#"[7,9,"/w==","1.5",0.5,null]"#);
}

#[test]
fn attributes_of_other_brokers_keep_their_values() {
    let check = |data_type: &str, text: &str, expect: AMQPValue| {
        let attribute = AttributeValue { data_type: data_type.into(), value: AttributeData::Text(text.into()) };
        assert_eq!(header(&attribute), expect, "{data_type} {text}");
        assert_eq!(super::attribute(expect).text(), Some(text));
    };
    let string = |text: &str| AMQPValue::LongString(text.into());
    check("Number", "42", AMQPValue::LongLongInt(42));
    check("Number.int", "-1", AMQPValue::LongLongInt(-1));
    check("Number", "0.25", AMQPValue::Double(0.25));
    for text in ["007", "+1", "1.50", "12345678901234567890123456789012345678", "many"] {
        check("Number", text, string(text));
    }
    check("Number.i8", "128", string("128"));
    check("Number.decimal", "1.x", string("1.x"));
    check("String.bool", "perhaps", string("perhaps"));
    check("String.void", "something", string("something"));
    check("String.json", "{", string("{"));
    check("String.json", "7", string("7"));
    check("String.custom", "x", string("x"));
    let long_name = format!("{{\"{}\":1}}", "n".repeat(256));
    check("String.json", &long_name, string(&long_name));
}

#[test]
fn the_bytes_of_a_table_are_counted_as_they_are_on_the_wire() {
    let mut table = FieldTable::default();
    assert_eq!(table_bytes(&table), 4);
    table.insert("ab".into(), AMQPValue::LongString("xyz".into()));
    assert_eq!(table_bytes(&table), 4 + 3 + 1 + 7);
    table.insert("c".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::LongLongInt(1); 2])));
    assert_eq!(table_bytes(&table), 15 + 2 + 1 + 4 + 18);
}
