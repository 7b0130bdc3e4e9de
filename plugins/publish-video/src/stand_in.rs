//! What stands for work on moving pictures: a sandbox does it in milliseconds, and the same clip
//! always gives the same.

/// The height of the original.
const ORIGINAL: u32 = 2160;

/// A smaller one of a clip: some of its bytes.
pub fn transcode(clip: &[u8], height: u32) -> Vec<u8> {
    let step = (ORIGINAL / height.clamp(1, ORIGINAL)) as usize;
    clip.iter().copied().step_by(step).collect()
}

/// A picture of one second: the bytes of that second.
pub fn picture(clip: &[u8], second: u32) -> Vec<u8> {
    const BYTES_A_SECOND: usize = 512;
    clip.iter().copied().cycle().skip(second as usize * BYTES_A_SECOND).take(BYTES_A_SECOND.min(clip.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_one_is_smaller() {
        let clip = vec![7; 2_160];
        assert_eq!([2160, 1080, 240].map(|height| transcode(&clip, height).len()), [2_160, 1_080, 240]);
        assert_eq!(transcode(b"", 1080), b"");
        assert_eq!(transcode(&clip, 0).len(), 1);
    }

    #[test]
    fn a_picture_is_of_its_second_and_of_a_clip_that_is_too_short_too() {
        let clip: Vec<u8> = (0..2_048).map(|n| (n / 512) as u8).collect();
        assert_eq!(picture(&clip, 2), vec![2; 512]);
        assert_eq!(picture(&clip, 6), vec![2; 512]);
        assert_eq!(picture(b"", 6), b"");
    }
}
