//! Where an HTTP/2 connection stands, by the heads of the frames it sends: whether something is to come whole that is
//! not here yet, and how many frames come that carry no call. `stream` feeds it. What is in the frames is h2's.

use std::time::Instant;

/// How an HTTP/2 connection begins.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frames in a second that carry no call (settings, pings, priorities and unknown ones). Stock clients send a few.
const MAX_CONTROL_FRAMES_PER_SECOND: u32 = 1_000;

const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What some bytes mean for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything that began is complete, but for bodies.
    Between,
    /// A frame, or a list of headers, is not complete. `anew` when another was completed by these bytes.
    Within {
        /// See above.
        anew: bool,
    },
    /// More frames came that carry no call than may in a second.
    Flooded,
}

/// Walks from frame to frame.
#[derive(Debug)]
pub struct Frames {
    head: [u8; HEAD_BYTES],
    filled: usize,
    /// Of the payload: bytes.
    left: usize,
    /// A list of headers goes on in the next frame.
    open_headers: bool,
    control: u32,
    second: Instant,
}

impl Frames {
    /// At the first frame.
    pub fn new() -> Self {
        Self { head: [0; HEAD_BYTES], filled: 0, left: 0, open_headers: false, control: 0, second: Instant::now() }
    }

    /// Goes on by these bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Standing {
        let mut anew = false;
        while !bytes.is_empty() {
            if self.filled < HEAD_BYTES {
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.filled));
                self.head[self.filled..self.filled + head.len()].copy_from_slice(head);
                self.filled += head.len();
                bytes = rest;
                if self.filled < HEAD_BYTES {
                    break;
                }
                self.left =
                    usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
                if self.floods() {
                    return Standing::Flooded;
                }
            }
            let payload = bytes.len().min(self.left);
            self.left -= payload;
            bytes = &bytes[payload..];
            if self.left == 0 {
                self.end_of_frame();
                anew |= !self.open_headers;
            }
        }
        let whole = self.filled == 0 || (self.filled == HEAD_BYTES && self.head[3] == DATA);
        if whole && !self.open_headers { Standing::Between } else { Standing::Within { anew } }
    }

    fn end_of_frame(&mut self) {
        self.filled = 0;
        if matches!(self.head[3], HEADERS | CONTINUATION) {
            self.open_headers = self.head[4] & END_HEADERS == 0;
        }
    }

    /// Counts the frame whose head is here.
    fn floods(&mut self) -> bool {
        if matches!(self.head[3], DATA | HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION) {
            return false;
        }
        if self.second.elapsed().as_secs() > 0 {
            (self.second, self.control) = (Instant::now(), 0);
        }
        self.control += 1;
        self.control > MAX_CONTROL_FRAMES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + payload, 7);
        frame
    }

    #[test]
    fn headers_are_whole_when_their_last_frame_says_so() {
        let mut frames = Frames::new();
        assert_eq!(frames.feed(&frame(HEADERS, 0, 20)), Standing::Within { anew: false });
        assert_eq!(frames.feed(&frame(CONTINUATION, 0, 300)), Standing::Within { anew: false });
        assert_eq!(frames.feed(&frame(CONTINUATION, END_HEADERS, 0)), Standing::Between);
        assert_eq!(frames.feed(&frame(HEADERS, END_HEADERS, 5)[..7]), Standing::Within { anew: false });
    }

    #[test]
    fn a_body_may_stand_in_the_middle_of_a_frame() {
        let mut frames = Frames::new();
        assert_eq!(frames.feed(&frame(DATA, 0, 70_000)[..40_000]), Standing::Between);
    }

    #[test]
    fn what_carries_no_call_is_counted_within_a_second() {
        let mut frames = Frames::new();
        let pings = frame(6, 0, 8).repeat(MAX_CONTROL_FRAMES_PER_SECOND as usize);
        assert_eq!(frames.feed(&pings), Standing::Between);
        assert_eq!(frames.feed(&frame(DATA, 0, 8).repeat(5_000)), Standing::Between);
        assert_eq!(frames.feed(&frame(6, 0, 8)), Standing::Flooded);
    }

    proptest! {
        #[test]
        fn however_frames_are_cut_they_end_where_they_end(
            kinds in proptest::collection::vec((0_u8..10, any::<u8>(), 0_usize..400), 1..20),
            cuts in proptest::collection::vec(1_usize..600, 1..40),
        ) {
            let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
            let mut whole = Frames::new();
            let expected = whole.feed(&bytes);
            let (mut parts, mut rest, mut cuts) = (Frames::new(), &bytes[..], cuts.iter().cycle());
            let mut last = Standing::Between;
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                last = parts.feed(part);
                rest = after;
            }
            prop_assert_eq!(last == Standing::Between, expected == Standing::Between);
            prop_assert_eq!((parts.filled, parts.left, parts.open_headers), (0, 0, whole.open_headers));
        }
    }
}
