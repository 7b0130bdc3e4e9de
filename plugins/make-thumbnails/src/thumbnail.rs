//! Makes one thumbnail: bytes of an image in, bytes of a JPEG out.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// Widest and highest image that is decoded.
pub const MAX_SOURCE_SIDE: u32 = 10_000;
/// Most pixels of an image that is decoded.
pub const MAX_SOURCE_PIXELS: u64 = 24_000_000;
/// Most memory that decoding may take. The rest of the 128 MiB that the manifest asks for holds the
/// file itself, the code and the thumbnail.
pub const MAX_WORKING_BYTES: u64 = 110 * 1024 * 1024;
/// Longest side of a thumbnail.
pub const MAX_SIDE: u32 = 1_024;
/// JPEG quality, 1 to 100: no artefacts to be seen at these sizes, about a fifth of a byte a pixel.
pub const QUALITY: u8 = 82;

/// Why there is no thumbnail. None of these passes with time.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    #[error("the image is not a PNG or JPEG that can be read: {0}")]
    Broken(#[from] image::ImageError),
    #[error(
        "the image is too large: {width} by {height} pixels, {bytes} bytes to decode; at most {MAX_SOURCE_SIDE} a side, \
         {MAX_SOURCE_PIXELS} pixels and {MAX_WORKING_BYTES} bytes"
    )]
    TooLarge { width: u32, height: u32, bytes: u64 },
}

/// The image in `source` as a JPEG whose longer side is `side` pixels, upright, on white. A smaller
/// image keeps its size. The size is checked before any pixel is decoded.
pub fn thumbnail(source: &[u8], side: u32) -> Result<Vec<u8>, Undecodable> {
    let mut reader = ImageReader::new(Cursor::new(source)).with_guessed_format().map_err(image::ImageError::from)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SOURCE_SIDE);
    limits.max_image_height = Some(MAX_SOURCE_SIDE);
    limits.max_alloc = Some(MAX_WORKING_BYTES);
    reader.limits(limits);
    let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
    let mut decoder = reader.into_decoder()?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let mut bytes = decoder.total_bytes();
    if is_jpeg {
        // The decoder copies the file, and keeps all coefficients of a progressive image: three of
        // two bytes a pixel.
        let coefficients = if may_be_progressive(source) { pixels * 6 } else { 0 };
        bytes = bytes.saturating_add(source.len() as u64).saturating_add(coefficients);
    }
    if pixels > MAX_SOURCE_PIXELS || bytes > MAX_WORKING_BYTES {
        return Err(Undecodable::TooLarge { width, height, bytes });
    }
    // An image without a readable orientation is shown as it is stored, as browsers do.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder)?;

    let side = side.clamp(1, MAX_SIDE).min(width.max(height));
    let mut small = image.thumbnail(side, side);
    drop(image);
    small.apply_orientation(orientation);

    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&on_white(&small))?;
    Ok(jpeg)
}

/// JPEG knows no transparency: what shows through is white.
fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let source = image.to_rgba8();
    RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [r, g, b, alpha] = source.get_pixel(x, y).0;
        let over = |channel: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(alpha));
            u8::try_from((channel * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([over(r), over(g), over(b)])
    })
}

/// Whether a JPEG's frame header says that it is progressive (ITU-T T.81, table B.1); also when
/// there is no frame header to be found.
fn may_be_progressive(jpeg: &[u8]) -> bool {
    const PROGRESSIVE: [u8; 4] = [0xC2, 0xC6, 0xCA, 0xCE];
    const SEQUENTIAL: [u8; 5] = [0xC0, 0xC1, 0xC5, 0xC9, 0xCD];
    // After the two bytes of the start, each segment is a marker, its length of two bytes, and the
    // rest of that length.
    let mut at = 2;
    while let Some([0xFF, marker, high, low]) = jpeg.get(at..at + 4) {
        if SEQUENTIAL.contains(marker) {
            return false;
        }
        if PROGRESSIVE.contains(marker) {
            return true;
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_header_tells_a_progressive_image() {
        for (frame, expect) in [(0xC0, false), (0xC1, false), (0xC2, true), (0xCA, true), (0xDA, true)] {
            let app_segment_then_frame = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0xFF, 0xC0, 0xFF, frame, 0, 2];
            assert_eq!(may_be_progressive(&app_segment_then_frame), expect, "{frame:#x}");
        }
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).encode_image(&RgbImage::new(8, 8)).expect("a JPEG");
        assert!(!may_be_progressive(&jpeg) && may_be_progressive(&jpeg[..6]) && may_be_progressive(b""));
    }
}
