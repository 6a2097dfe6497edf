//! A gzip bomb for tests and the bench: short bytes that inflate to many.

/// Returns about `bytes` bytes of gzip that inflate to about 158 times as many zeros. Only a reader that inflates all
/// of them reaches the wrong check sum at the end.
pub fn bomb(bytes: usize) -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut pending, mut filled) = (0_u32, 0);
    // The content is one last block with fixed codes: a zero, then "258 times the byte before" repeatedly.
    let block = [(0b011, 3), (0b0000_1100, 8)].into_iter().chain(std::iter::repeat((0b0_0000_1010_0011, 13)));
    for (code, length) in block {
        pending |= code << filled;
        filled += length;
        while filled >= 8 {
            bomb.push(u8::try_from(pending & 0xff).unwrap());
            pending >>= 8;
            filled -= 8;
        }
        if bomb.len() >= bytes {
            break;
        }
    }
    bomb.extend([0; 10]);
    bomb
}
