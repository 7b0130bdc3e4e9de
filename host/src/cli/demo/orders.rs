//! What the demo's shop sends: orders, some of them twice, one that does not fit, a few images and
//! videos.

use std::collections::BTreeSet;

use anyhow::Context as _;
use fastrand::Rng;
use serde::Serialize;

/// Most orders of one demo.
pub const MAX_ORDERS: usize = 100_000;
/// One order in so many is sent twice.
pub const ONE_TWICE_IN: usize = 20;
/// A twin follows within so many messages: often while the first is still under way, sometimes
/// after.
pub const MAX_TWIN_DISTANCE: usize = 40;
/// The sizes that are wanted of each image, in pixels.
pub const THUMBNAIL_SIZES: [u32; 2] = [64, 256];

/// The qualities that the handler makes of each video, by their heights, and from one picture of it
/// to the next.
pub const RENDITIONS: [u32; 4] = [1080, 720, 480, 240];
pub const SECONDS_A_PICTURE: usize = 10;
/// How long each video is.
const VIDEO_SECONDS: u32 = 45;

/// All that the shop sends. The same arguments give the same demand.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The good orders, by their time.
    pub orders: Vec<Order>,
    /// The ids of those that are sent twice, byte by byte the same.
    pub twice: BTreeSet<String>,
    /// The order that no handler can read.
    pub poison: Poison,
    /// The uploaded images.
    pub images: Vec<Upload>,
    pub videos: Vec<Video>,
    /// All messages, in the order in which to send them.
    pub messages: Vec<Message>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type: `order_completed`, `image_uploaded` or `video_uploaded`.
    pub kind: &'static str,
    /// JSON.
    pub body: String,
    /// For the message attribute `idempotency-key`. A handler whose manifest makes no key out of
    /// the body knows twins by this one alone.
    pub idempotency_key: String,
}

/// The body of `order_completed`.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    pub order_id: String,
    pub customer: Customer,
    pub items: Vec<Item>,
    /// The sum of the items.
    pub total_cents: u64,
    /// An ISO 4217 code.
    pub currency: &'static str,
    /// RFC 3339; different for each order.
    pub placed_at: String,
}

/// Who ordered.
#[derive(Debug, Clone, Serialize)]
pub struct Customer {
    pub email: String,
    pub name: String,
}

/// One line of an order.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    pub sku: &'static str,
    pub quantity: u32,
    pub unit_price_cents: u64,
}

/// An order as an old version of the shop would send it, with `id` for `order_id` and its total as
/// text, so that each handler of orders refuses it.
#[derive(Debug, Clone)]
pub struct Poison {
    /// What is sent.
    pub body: String,
    /// The same order as it should have been, for the replay.
    pub corrected: Order,
}

/// The body of `image_uploaded`.
#[derive(Debug, Clone, Serialize)]
pub struct Upload {
    pub image_id: String,
    pub url: String,
    pub sizes: Vec<u32>,
}

/// The body of `video_uploaded`.
#[derive(Debug, Clone, Serialize)]
pub struct Video {
    pub video_id: String,
    pub url: String,
    pub seconds: u32,
}

impl Video {
    /// The seconds of which there is a picture.
    pub fn pictures(&self) -> impl Iterator<Item = u32> + use<> {
        (0..self.seconds).step_by(SECONDS_A_PICTURE)
    }
}

impl Demand {
    /// `orders` orders, `images` images and `videos` videos, which the sink at `sink_url` serves.
    ///
    /// # Errors
    ///
    /// When there are more than [`MAX_ORDERS`] orders.
    pub fn new(seed: u64, orders: usize, images: usize, videos: usize, sink_url: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(orders <= MAX_ORDERS, "{orders} orders are too many for a demo: at most {MAX_ORDERS}");
        let mut rng = Rng::with_seed(seed);
        let corrected = order(&mut rng, orders)?;
        let orders = (0..orders).map(|index| order(&mut rng, index)).collect::<anyhow::Result<Vec<_>>>()?;
        let poison = Poison { body: as_the_old_shop(&corrected)?, corrected };
        let images: Vec<Upload> = (1..=images).map(|number| upload(number, sink_url)).collect();
        let videos: Vec<Video> = (1..=videos).map(|number| video(number, sink_url)).collect();

        let mut twice = BTreeSet::new();
        // Each message and its position; a twin's position is a little later.
        let mut placed = Vec::with_capacity(orders.len() + orders.len() / ONE_TWICE_IN + images.len() + 1);
        let twins: BTreeSet<usize> =
            rng.choose_multiple(0..orders.len(), orders.len().div_ceil(ONE_TWICE_IN)).into_iter().collect();
        for (position, order) in orders.iter().enumerate() {
            let message = message_of(order)?;
            if twins.contains(&position) {
                twice.insert(order.order_id.clone());
                placed.push((position + rng.usize(1..=MAX_TWIN_DISTANCE), message.clone()));
            }
            placed.push((position, message));
        }
        let key = format!("order:{}", poison.corrected.order_id);
        let bad = Message { kind: "order_completed", body: poison.body.clone(), idempotency_key: key };
        placed.push((orders.len() / 2, bad));
        for (index, image) in images.iter().enumerate() {
            placed.push((index * orders.len() / images.len(), message_of_image(image)?));
        }
        for video in &videos {
            placed.push((0, message_of_video(video)?));
        }
        placed.sort_by_key(|(position, _)| *position);
        let messages = placed.into_iter().map(|(_, message)| message).collect();
        Ok(Demand { orders, twice, poison, images, videos, messages })
    }
}

/// The message that says that this order was completed.
///
/// # Errors
///
/// When the order has no JSON, which no order of this module lacks.
pub fn message_of(order: &Order) -> anyhow::Result<Message> {
    let body = serde_json::to_string(order).with_context(|| format!("write order {}", order.order_id))?;
    Ok(Message { kind: "order_completed", body, idempotency_key: format!("order:{}", order.order_id) })
}

/// The first order id in a text, such as `A-1001` in the subject of a mail.
pub fn order_id_in(text: &str) -> Option<&str> {
    text.match_indices(ID_PREFIX).find_map(|(at, prefix)| {
        let digits = text[at + prefix.len()..].bytes().take_while(u8::is_ascii_digit).count();
        let begins = !text[..at].ends_with(|before: char| before.is_alphanumeric());
        (begins && digits >= 4).then(|| &text[at..at + prefix.len() + digits])
    })
}

const ID_PREFIX: &str = "A-";
const FIRST_NUMBER: usize = 1001;
/// 2026-01-02T03:04:05Z, in seconds since 1970.
const FIRST_PLACED_AT_S: i64 = 1_767_323_045;
const SECONDS_BETWEEN: i64 = 37;
const MAX_LINES: usize = 6;
const CURRENCY: &str = "EUR";

const GIVEN_NAMES: [&str; 12] =
    ["Zoë", "Łukasz", "Søren", "Amélie", "Jürgen", "Nadia", "Tom", "Ñusta", "Grace", "Mehmet", "Aoife", "Ivan"];
const FAMILY_NAMES: [&str; 10] =
    ["Müller", "O'Brien", "García", "Świątek", "Lindqvist", "Dubois", "Rossi", "van Dijk", "Nováková", "Smith"];
/// Articles and their prices in cents.
const ARTICLES: [(&str, u64); 12] = [
    ("mug-blue", 1299),
    ("mug-white", 1199),
    ("teapot-1l", 3450),
    ("tea-assam-250g", 890),
    ("tea-sencha-100g", 1275),
    ("espresso-beans-1kg", 2190),
    ("grinder-hand", 5900),
    ("filter-paper-100", 449),
    ("kettle-gooseneck", 7995),
    ("scale-01g", 3999),
    ("honey-500g", 995),
    ("gift-card-25", 2500),
];

fn order(rng: &mut Rng, index: usize) -> anyhow::Result<Order> {
    let order_id = format!("{ID_PREFIX}{}", FIRST_NUMBER + index);
    let name =
        format!("{} {}", GIVEN_NAMES[rng.usize(..GIVEN_NAMES.len())], FAMILY_NAMES[rng.usize(..FAMILY_NAMES.len())]);
    let email = format!("customer-{}@example.com", FIRST_NUMBER + index);
    let lines = rng.usize(1..=MAX_LINES);
    let items: Vec<Item> = rng
        .choose_multiple(ARTICLES, lines)
        .into_iter()
        .map(|(sku, unit_price_cents)| Item { sku, quantity: rng.u32(1..=4), unit_price_cents })
        .collect();
    let total_cents = items.iter().map(|item| u64::from(item.quantity) * item.unit_price_cents).sum();
    // At most 100,000 orders, so the index fits and the time stays within two months.
    let placed_at_s = FIRST_PLACED_AT_S + SECONDS_BETWEEN * i64::try_from(index)?;
    let placed_at = jiff::Timestamp::from_second(placed_at_s).context("the time of an order")?.to_string();
    Ok(Order { order_id, customer: Customer { email, name }, items, total_cents, currency: CURRENCY, placed_at })
}

fn as_the_old_shop(order: &Order) -> anyhow::Result<String> {
    let mut body = serde_json::to_value(order).context("write the order that does not fit")?;
    let fields = body.as_object_mut().context("an order is an object")?;
    fields.remove("order_id");
    fields.insert("id".to_owned(), order.order_id.as_str().into());
    let total = format!("{}.{:02}", order.total_cents / 100, order.total_cents % 100);
    fields.insert("total_cents".to_owned(), total.into());
    Ok(body.to_string())
}

fn upload(number: usize, sink_url: &str) -> Upload {
    let image_id = format!("img-{number}");
    let url = format!("{sink_url}/images/{image_id}.png");
    Upload { image_id, url, sizes: THUMBNAIL_SIZES.to_vec() }
}

fn video(number: usize, sink_url: &str) -> Video {
    let video_id = format!("video-{number}");
    let url = format!("{sink_url}/clips/{video_id}.bin");
    Video { video_id, url, seconds: VIDEO_SECONDS }
}

fn message_of_video(video: &Video) -> anyhow::Result<Message> {
    let body = serde_json::to_string(video).with_context(|| format!("write video {}", video.video_id))?;
    Ok(Message { kind: "video_uploaded", body, idempotency_key: format!("video:{}", video.video_id) })
}

fn message_of_image(image: &Upload) -> anyhow::Result<Message> {
    let body = serde_json::to_string(image).with_context(|| format!("write image {}", image.image_id))?;
    Ok(Message { kind: "image_uploaded", body, idempotency_key: format!("image:{}", image.image_id) })
}

#[cfg(test)]
mod tests;
