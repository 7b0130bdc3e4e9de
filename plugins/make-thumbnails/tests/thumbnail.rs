//! Thumbnails of real PNG and JPEG files, made in the test and read back.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use make_thumbnails::thumbnail::{MAX_SIDE, MAX_SOURCE_SIDE, Undecodable, thumbnail};

#[test]
fn the_longer_side_has_the_size_and_the_aspect_stays() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        for (size, side, expect) in [
            ((640, 480), 64, (64, 48)),
            ((480, 640), 64, (48, 64)),
            ((300, 300), 256, (256, 256)),
            ((2000, 3), 64, (64, 1)),
            ((40, 30), 64, (40, 30)),
            ((3000, 1500), 9999, (MAX_SIDE, MAX_SIDE / 2)),
            ((640, 480), 0, (1, 1)),
        ] {
            let small = decode(&thumbnail(&picture(size, format), side).expect("a thumbnail"));
            assert_eq!((small.width(), small.height()), expect, "{size:?} to {side} from {format:?}");
        }
    }
}

#[test]
fn colours_stay_and_what_is_transparent_turns_white() {
    let small = decode(&thumbnail(&picture((400, 400), ImageFormat::Png), 100).expect("a thumbnail")).to_rgb8();
    let near = |(x, y): (u32, u32), want: [u8; 3]| {
        let pixel = small.get_pixel(x, y).0;
        assert!(pixel.iter().zip(want).all(|(a, b)| a.abs_diff(b) < 12), "{pixel:?} at {x}, {y}, not {want:?}");
    };
    near((25, 25), [200, 30, 30]);
    near((75, 25), [30, 30, 200]);
    near((50, 75), [255, 255, 255]);
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let png = picture((640, 480), ImageFormat::Png);
    assert_eq!(thumbnail(&png, 64).expect("a thumbnail"), thumbnail(&png, 64).expect("a thumbnail"));
}

#[test]
fn what_is_no_image_is_refused() {
    let png = picture((64, 64), ImageFormat::Png);
    let jpeg = picture((64, 64), ImageFormat::Jpeg);
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("text", b"<html>not found</html>"),
        ("a GIF", b"GIF89a\x01\0\x01\0\0\0\0"),
        ("half a PNG", &png[..png.len() / 2]),
        ("a PNG's signature", &png[..8]),
        ("a JPEG's first bytes", &jpeg[..20]),
    ] {
        assert!(matches!(thumbnail(bytes, 64), Err(Undecodable::Broken(_))), "{what}");
    }
}

#[test]
fn a_small_file_that_unfolds_into_a_huge_image_is_refused_before_it_is_decoded() {
    for (width, height) in [(MAX_SOURCE_SIDE, MAX_SOURCE_SIDE), (u32::MAX >> 1, 1), (MAX_SOURCE_SIDE + 1, 1)] {
        assert!(
            thumbnail(&with_size(picture((8, 8), ImageFormat::Png), width, height), 64).is_err(),
            "{width}x{height}"
        );
    }
    let wide = with_size(picture((8, 8), ImageFormat::Png), 6000, 5000);
    assert!(matches!(thumbnail(&wide, 64), Err(Undecodable::TooLarge { width: 6000, height: 5000, .. })));
}

#[test]
fn a_photo_taken_sideways_comes_out_upright() {
    let mut jpeg = picture((640, 480), ImageFormat::Jpeg);
    // An APP1 segment with one EXIF tag: orientation 6, turn by a quarter clockwise.
    let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    let small = decode(&thumbnail(&jpeg, 64).expect("a thumbnail"));
    assert_eq!((small.width(), small.height()), (48, 64));
}

/// Red on the left, blue on the right, transparent below.
fn picture((width, height): (u32, u32), format: ImageFormat) -> Vec<u8> {
    let image = RgbaImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (_, false) => Rgba([0, 0, 0, 0]),
        (true, true) => Rgba([200, 30, 30, 255]),
        (false, true) => Rgba([30, 30, 200, 255]),
    });
    let image = DynamicImage::ImageRgba8(image);
    let image = if format == ImageFormat::Jpeg { DynamicImage::ImageRgb8(image.to_rgb8()) } else { image };
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

/// The PNG with another size in its header, and the header's checksum made right again.
fn with_size(mut png: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = !png[12..29].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

fn decode(jpeg: &[u8]) -> DynamicImage {
    image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg).expect("a JPEG")
}
