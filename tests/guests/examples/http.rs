//! A component that knows nothing of wasq: it answers requests, as their bodies order.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::StreamError;

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let order: serde_json::Value = serde_json::from_slice(&body(&request)).unwrap_or_default();
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap_or_default();
        let headers = request.headers().entries().into_iter().map(|(name, value)| (name, text(value).into()));
        let echo = serde_json::json!({
            "path": request.path_with_query(), "headers": headers.collect::<serde_json::Map<_, _>>(), "body": order,
        });
        let status = order["status"].as_u64().unwrap_or(200) as u16;
        if status == 0 {
            return;
        }
        let fields = Fields::new();
        for (name, value) in order["headers"].as_object().into_iter().flatten() {
            fields.append(name, value.as_str().unwrap_or_default().as_bytes()).expect("a header");
        }
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("a status");
        let out = response.body().expect("the first body");
        ResponseOutparam::set(outparam, Ok(response));
        let size = order["bytes"].as_u64();
        let answer = size.map_or_else(|| echo.to_string().into_bytes(), |size| vec![b'x'; size as usize]);
        let stream = out.write().expect("the first stream");
        for chunk in answer.chunks(4096) {
            stream.blocking_write_and_flush(chunk).expect("somebody reads");
        }
        drop(stream);
        OutgoingBody::finish(out, None).expect("a whole body");
    }
}

fn body(request: &IncomingRequest) -> Vec<u8> {
    let incoming = request.consume().expect("the first reader");
    let stream = incoming.stream().expect("the first stream");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(65_536) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}
