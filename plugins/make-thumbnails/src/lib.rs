//! Makes JPEG thumbnails of an image that was uploaded, or put into S3. An upload becomes one
//! message for each size, so that each thumbnail is retried, counted and done by itself.

mod job;
mod s3;
pub mod thumbnail;

use job::{Upload, Wanted};
use wasq_sdk::{Context, Failure, handler, tracing};

/// Fans an upload out, or makes the one thumbnail that is wanted.
#[handler]
pub fn make_thumbnails(cx: &Context) -> Result<(), Failure> {
    match cx.message().kind() {
        "image_uploaded" => fan_out(cx, cx.message().json::<Upload>()?.wanted().map_err(Failure::reject)?),
        kind if kind.starts_with("s3:ObjectCreated:") => fan_out(cx, wanted_of_objects(cx)?),
        "thumbnail_wanted" => make_one(cx),
        other => Err(Failure::reject(format!("the type {other} is not one of this plugin's"))),
    }
}

/// One message for each thumbnail, to the queue that the upload came from.
fn fan_out(cx: &Context, all: Vec<Wanted>) -> Result<(), Failure> {
    for wanted in all {
        cx.outbox("", "thumbnail_wanted").send(&wanted)?;
    }
    Ok(())
}

/// The thumbnails of the objects that an event of S3 is about. There are none of a thumbnail: where
/// they are stored in the bucket that the events are about, there would be no end.
fn wanted_of_objects(cx: &Context) -> Result<Vec<Wanted>, Failure> {
    let event = cx.message().json::<s3::Event>()?;
    let (s3_url, sizes, storage_url) = (cx.variable("s3_url")?, cx.variable("sizes")?, cx.variable("storage_url")?);
    // The operator can put a variable right, and then the event is as good as before.
    let wrong = |what| Failure::retry(format!("the variables s3_url and sizes: {what}"));
    let sizes = sizes.split(',').map(|size| size.trim().parse());
    let sizes: Vec<u32> = sizes.collect::<Result<_, _>>().map_err(|error| wrong(format!("{error}")))?;
    let thumbnails = format!("{}/", storage_url.trim_end_matches('/'));
    let mut all = Vec::new();
    for object in event.objects() {
        let url = object.url(&s3_url);
        let image_id = object.image_id();
        if url.starts_with(&thumbnails) {
            tracing::info!(image_id, "this is a thumbnail itself");
            continue;
        }
        let upload = Upload { image_id, url, sizes: sizes.clone() };
        all.extend(upload.wanted().map_err(wrong)?);
    }
    Ok(all)
}

fn make_one(cx: &Context) -> Result<(), Failure> {
    let wanted = cx.message().json::<Wanted>()?;
    wanted.check().map_err(Failure::reject)?;
    let source = cx.http().get(&wanted.url).send()?;
    // What is not there, or not for us, will not be there in the next attempt.
    if matches!(source.status(), 400..=407 | 410..=424 | 426..=428 | 430..=499) {
        // Of an object that is not there, S3 says 403 to those who may not list the bucket.
        let hint = if source.status() == 403 { ": it is not there, or may not be read" } else { "" };
        let said = format!("image {} was not given: status {}{hint}", wanted.image_id, source.status());
        return Err(Failure::reject(said));
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
