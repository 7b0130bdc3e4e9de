//! Publishes a video: makes four qualities of it and a picture every ten seconds, has a service
//! look at it, and when all is there, writes the record.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_sdk::{Context, Failure, Outcome, Waiting, handler};

mod stand_in;

#[derive(Clone, Deserialize, Serialize)]
struct Video {
    video_id: String,
    url: String,
    seconds: u32,
}

/// One quality by its height, or one picture by its second.
#[derive(Deserialize, Serialize)]
struct Part {
    video: Video,
    at: u32,
}

/// Does one part of the work; each part is a message of its own.
#[handler]
pub fn publish_video(cx: &Context) -> Result<Outcome, Failure> {
    match cx.message().kind() {
        "video_uploaded" => fan_out(&cx.message().json()?, cx),
        "rendition_wanted" => make("renditions", stand_in::transcode, cx),
        "picture_wanted" => make("pictures", stand_in::picture, cx),
        "moderation_wanted" => moderate(&cx.message().json()?, cx),
        "video_ready" => publish(&cx.message().json()?, cx),
        other => Err(Failure::reject(format!("the type {other} is not one of this plugin's"))),
    }
}

fn fan_out(video: &Video, cx: &Context) -> Result<Outcome, Failure> {
    let group = cx.group(&video.video_id);
    let part = |at| Part { video: video.clone(), at };
    for height in [1080, 720, 480, 240] {
        group.send("self", "rendition_wanted", &part(height))?;
    }
    for second in (0..video.seconds).step_by(10) {
        group.send("self", "picture_wanted", &part(second))?;
    }
    group.send("self", "moderation_wanted", video)?;
    group.then("self", "video_ready", video)?;
    Ok(Outcome::done())
}

fn make(shelf: &str, work: fn(&[u8], u32) -> Vec<u8>, cx: &Context) -> Result<Outcome, Failure> {
    let Part { video, at } = cx.message().json()?;
    let clip = cx.http().get(&video.url).send()?.error_for_status()?;
    let url = format!("{}/{}/{shelf}/{at}", cx.variable("storage_url")?, video.video_id);
    cx.http().put(&url).idempotency_key().body(work(clip.bytes(), at)).send()?.error_for_status()?;
    Outcome::json(&url)
}

fn moderate(video: &Video, cx: &Context) -> Result<Outcome, Failure> {
    match cx.wait_for("moderation", Duration::from_secs(24 * 60 * 60))? {
        Waiting::Pending(pending) => {
            let question = serde_json::json!({ "video_id": video.video_id, "token": pending.token() });
            let ask = || {
                Ok(cx
                    .http()
                    .post(cx.variable("moderation_api")?)
                    .idempotency_key()
                    .json(&question)
                    .send()?
                    .error_for_status()?
                    .status())
            };
            cx.once("asked", ask)?;
            Ok(pending.outcome())
        }
        Waiting::Answered(verdict) => Ok(Outcome::result(verdict)),
        Waiting::TimedOut => Err(Failure::reject("nobody has looked at it within a day")),
    }
}

fn publish(video: &Video, cx: &Context) -> Result<Outcome, Failure> {
    let group = cx.ended_group().ok_or_else(|| Failure::reject("it follows no group"))?;
    if !group.succeeded() {
        return Ok(Outcome::discard(format!("{} of its parts are dead letters", group.summary().dead_lettered)));
    }
    let record = serde_json::json!({
        "video_id": video.video_id,
        "renditions": group.results::<String>("rendition_wanted")?,
        "pictures": group.results::<String>("picture_wanted")?,
        "moderation": group.results::<serde_json::Value>("moderation_wanted")?,
    });
    cx.http().post(cx.variable("catalogue_api")?).idempotency_key().json(&record).send()?.error_for_status()?;
    Ok(Outcome::done())
}
