//! Makes JPEG thumbnails of an uploaded image. An upload becomes one message for each size, so that
//! each thumbnail is retried, counted and done by itself.

mod job;
pub mod thumbnail;

use job::{Upload, Wanted};
use wasq_sdk::{Context, Failure, handler};

/// Fans an upload out, or makes the one thumbnail that is wanted.
#[handler]
pub fn make_thumbnails(cx: &Context) -> Result<(), Failure> {
    match cx.message().kind() {
        "image_uploaded" => fan_out(cx),
        "thumbnail_wanted" => make_one(cx),
        other => Err(Failure::reject(format!("the type {other} is not one of this plugin's"))),
    }
}

/// One message for each size, to the queue that the upload came from.
fn fan_out(cx: &Context) -> Result<(), Failure> {
    let upload = cx.message().json::<Upload>()?;
    for wanted in upload.wanted().map_err(Failure::reject)? {
        cx.outbox("", "thumbnail_wanted").send(&wanted)?;
    }
    Ok(())
}

fn make_one(cx: &Context) -> Result<(), Failure> {
    let wanted = cx.message().json::<Wanted>()?;
    wanted.check().map_err(Failure::reject)?;
    let source = cx.http().get(&wanted.url).send()?;
    // What is not there, or not for us, will not be there in the next attempt.
    if matches!(source.status(), 400..=407 | 410..=424 | 426..=428 | 430..=499) {
        return Err(Failure::reject(format!("image {} was not given: status {}", wanted.image_id, source.status())));
    }
    let source = source.error_for_status()?;
    let jpeg = thumbnail::thumbnail(source.bytes(), wanted.size)
        .map_err(|error| Failure::reject(format!("image {}: {error}", wanted.image_id)))?;
    cx.http()
        .put(format!("{}/{}/{}.jpg", cx.variable("storage_url")?, wanted.image_id, wanted.size))
        .header("Content-Type", "image/jpeg")
        .idempotency_key()
        .body(jpeg)
        .send()?
        .error_for_status()?;
    Ok(())
}
