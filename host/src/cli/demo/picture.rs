//! A real PNG image for the demo's uploads, made without an image library: its pixels are stored,
//! not compressed.

/// Size of every picture, in pixels.
pub const WIDTH: u32 = 480;
pub const HEIGHT: u32 = 320;

/// A PNG file of [`WIDTH`] by [`HEIGHT`] pixels: two colours that flow into each other, which
/// depend on `name`.
pub fn png(name: &str) -> Vec<u8> {
    let [r, g, b, ..] = *blake3::hash(name.as_bytes()).as_bytes();
    let mut rows = Vec::with_capacity((HEIGHT * (1 + WIDTH * 3)) as usize);
    for y in 0..HEIGHT {
        rows.push(0); // Each row begins with its filter: none.
        for x in 0..WIDTH {
            let (across, down) = ((x * 255 / WIDTH) as u8, (y * 255 / HEIGHT) as u8);
            rows.extend([r ^ across, g ^ down, b]);
        }
    }
    let mut header = Vec::new();
    header.extend(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // Eight bits a channel, RGB, no interlace.

    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &header), (b"IDAT", &zlib_stored(&rows)), (b"IEND", &Vec::new())] {
        let typed: Vec<u8> = kind.iter().chain(data).copied().collect();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&typed);
        file.extend(crc32(&typed).to_be_bytes());
    }
    file
}

/// The most that a stored block of deflate holds (RFC 1951, 3.2.4).
const MAX_BLOCK_BYTES: usize = 0xFFFF;

/// A zlib stream (RFC 1950) whose blocks are stored as they are.
fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(MAX_BLOCK_BYTES).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

/// RFC 1950, 9.
fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

/// PNG specification, annex D.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_the_standards() {
        assert_eq!(crc32(b"IEND"), 0xAE42_6082);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn the_blocks_of_the_stream_hold_all_pixels() {
        let file = png("img-1");
        assert_eq!(&file[12..24], [&b"IHDR"[..], &WIDTH.to_be_bytes(), &HEIGHT.to_be_bytes()].concat());
        let idat = file.windows(4).position(|window| window == b"IDAT").expect("pixels") + 4;
        let (mut at, mut pixels, mut last) = (idat + 2, 0, false);
        while !last {
            let length = u16::from_le_bytes([file[at + 1], file[at + 2]]);
            assert_eq!(u16::from_le_bytes([file[at + 3], file[at + 4]]), !length);
            last = file[at] == 1;
            pixels += usize::from(length);
            at += 5 + usize::from(length);
        }
        assert_eq!(pixels, (HEIGHT * (1 + WIDTH * 3)) as usize);
        assert_eq!(file.len(), at + 4 + 4 + 12, "then its checksums, and the last chunk");
        assert_ne!(png("img-1"), png("img-2"));
    }
}
