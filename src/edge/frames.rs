//! State of an HTTP/2 connection, derived from the headers of its frames: tells whether something that must arrive
//! whole is incomplete, and counts frames that carry no call. `stream` feeds it; h2 reads the contents of the frames.

use std::time::Instant;

use super::windows::Windows;

/// Preface with which an HTTP/2 connection begins.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Limits frames per second beyond those that calls and answers need. Stock clients send a few.
const MAX_CONTROL_FRAMES_PER_SECOND: u32 = 1_000;
/// Frames that a peer may need for a call: small pieces of its body, trailers, a reset, pings.
const FRAMES_OF_A_CALL: u32 = 10;
/// Frames that a peer may need for a frame of an answer: updates of its windows, and a ping that measures throughput.
const FRAMES_OF_AN_ANSWER: u32 = 3;
/// Bytes of an answer for which a peer may need one more frame, because some peers read in small pieces.
const ANSWER_BYTES_A_FRAME: u32 = 256;
/// Limits the unused credit: frames. The updates of a peer that received a long answer fit within it.
const MAX_CREDIT: u32 = 65_536;
/// Length below which a body frame counts as small: bytes.
const SMALL_DATA_BYTES: usize = 256;

const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// Identifier of the setting of the stream window.
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// Length of a setting: bytes.
const SETTING_BYTES: usize = 6;

/// Result of feeding bytes of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameStanding {
    /// Everything that began is complete, except bodies.
    Between,
    /// A frame, or a list of headers, is incomplete.
    Within {
        /// Set if another one was completed by these bytes.
        is_next: bool,
    },
    /// The peer sent more frames than it may need.
    Flooded,
}

/// Position in the frames of one direction.
#[derive(Debug, Default)]
struct FrameWalk {
    head: [u8; HEAD_BYTES],
    filled: usize,
    /// Bytes of the payload that have not arrived.
    left: usize,
}

impl FrameWalk {
    /// Consumes the bytes of the frame header from `bytes`. Returns true if they complete it.
    fn head(&mut self, bytes: &mut &[u8]) -> bool {
        if self.filled == HEAD_BYTES {
            return false;
        }
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.filled));
        self.head[self.filled..self.filled + head.len()].copy_from_slice(head);
        self.filled += head.len();
        *bytes = rest;
        if self.filled < HEAD_BYTES {
            return false;
        }
        self.left = usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
        true
    }

    /// Consumes the bytes of the payload from `bytes`.
    fn payload<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(bytes.len().min(self.left));
        self.left -= payload.len();
        *bytes = rest;
        payload
    }

    /// Returns true if a frame has just ended, and begins the next one.
    fn ends(&mut self) -> bool {
        let ends = self.filled == HEAD_BYTES && self.left == 0;
        if ends {
            self.filled = 0;
        }
        ends
    }

    fn stream(&self) -> u32 {
        u32::from_be_bytes([self.head[5] & 0x7f, self.head[6], self.head[7], self.head[8]])
    }
}

/// State of both directions of one connection.
#[derive(Debug)]
pub struct Frames {
    received: FrameWalk,
    sent: FrameWalk,
    /// Set if a list of headers continues in the next frame.
    open_headers: bool,
    /// The part of a setting, or of a window update, that has arrived.
    entry: [u8; SETTING_BYTES],
    entry_bytes: usize,
    /// Stream of the last call.
    last_stream: u32,
    /// Frames that may arrive without being counted.
    credit: u32,
    control: u32,
    second: Instant,
}

impl Frames {
    /// Returns the state before the first frame.
    pub fn new() -> Self {
        Self {
            received: FrameWalk::default(),
            sent: FrameWalk::default(),
            open_headers: false,
            entry: [0; SETTING_BYTES],
            entry_bytes: 0,
            last_stream: 0,
            credit: 0,
            control: 0,
            second: Instant::now(),
        }
    }

    /// Advances by these bytes from the peer.
    pub fn feed(&mut self, mut bytes: &[u8], windows: &Windows) -> FrameStanding {
        let mut is_next = false;
        while !bytes.is_empty() {
            if self.received.head(&mut bytes) {
                self.entry_bytes = 0;
                if self.floods() {
                    return FrameStanding::Flooded;
                }
            }
            let payload = self.received.payload(&mut bytes);
            self.note_windows(payload, windows);
            if self.received.ends() {
                self.end_of_frame();
                is_next |= !self.open_headers;
            }
        }
        let whole = match self.received.filled {
            0 => true,
            filled => filled == HEAD_BYTES && self.received.head[3] == DATA,
        };
        if whole && !self.open_headers { FrameStanding::Between } else { FrameStanding::Within { is_next } }
    }

    /// Advances by these bytes sent to the peer.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.sent.head(&mut bytes) {
                match self.sent.head[3] {
                    DATA => {
                        let bytes = u32::try_from(self.sent.left).unwrap_or(u32::MAX);
                        self.earn(FRAMES_OF_AN_ANSWER + bytes / ANSWER_BYTES_A_FRAME);
                    }
                    // The library resets calls that exceed a limit or come too late, so resets sent by it count against
                    // the peer.
                    RST_STREAM => self.control += 1,
                    _ => {}
                }
            }
            self.sent.payload(&mut bytes);
            self.sent.ends();
        }
    }

    fn earn(&mut self, frames: u32) {
        self.credit = (self.credit + frames).min(MAX_CREDIT);
    }

    fn end_of_frame(&mut self) {
        if matches!(self.received.head[3], HEADERS | CONTINUATION) {
            self.open_headers = self.received.head[4] & END_HEADERS == 0;
        }
    }

    /// Records the windows that the peer announces.
    fn note_windows(&mut self, payload: &[u8], windows: &Windows) {
        let (kind, flags) = (self.received.head[3], self.received.head[4]);
        let size = match kind {
            SETTINGS if flags & ACK == 0 => SETTING_BYTES,
            WINDOW_UPDATE if self.received.stream() == 0 => 4,
            _ => return,
        };
        for byte in payload {
            self.entry[self.entry_bytes] = *byte;
            self.entry_bytes += 1;
            if self.entry_bytes < size {
                continue;
            }
            self.entry_bytes = 0;
            let number =
                |from: usize| self.entry[from..from + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            if kind == WINDOW_UPDATE {
                windows.widen(number(0) & 0x7fff_ffff);
            } else if self.entry[..2] == INITIAL_WINDOW_SIZE {
                windows.set_stream(number(2));
            }
        }
    }

    /// Counts the frame whose header is complete. Returns true if the peer sent too many.
    fn floods(&mut self) -> bool {
        let stream = self.received.stream();
        match self.received.head[3] {
            HEADERS if stream > self.last_stream => {
                self.last_stream = stream;
                self.earn(FRAMES_OF_A_CALL);
            }
            // The library limits these itself.
            CONTINUATION => {}
            DATA if self.received.left >= SMALL_DATA_BYTES => {}
            _ if self.credit > 0 => self.credit -= 1,
            _ => self.control += 1,
        }
        if self.control > MAX_CONTROL_FRAMES_PER_SECOND && self.second.elapsed().as_secs() > 0 {
            (self.second, self.control) = (Instant::now(), 0);
        }
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

    fn feed(frames: &mut Frames, bytes: &[u8]) -> FrameStanding {
        frames.feed(bytes, &Windows::default())
    }

    #[test]
    fn headers_are_whole_when_their_last_frame_says_so() {
        let mut frames = Frames::new();
        assert_eq!(feed(&mut frames, &frame(HEADERS, 0, 20)), FrameStanding::Within { is_next: false });
        assert_eq!(feed(&mut frames, &frame(CONTINUATION, 0, 300)), FrameStanding::Within { is_next: false });
        assert_eq!(feed(&mut frames, &frame(CONTINUATION, END_HEADERS, 0)), FrameStanding::Between);
        assert_eq!(feed(&mut frames, &frame(HEADERS, END_HEADERS, 5)[..7]), FrameStanding::Within { is_next: false });
    }

    #[test]
    fn a_body_may_stand_in_the_middle_of_a_frame() {
        let mut frames = Frames::new();
        assert_eq!(feed(&mut frames, &frame(DATA, 0, 70_000)[..40_000]), FrameStanding::Between);
    }

    /// Returns a frame of every counted kind, on the stream that these tests use.
    fn counted() -> impl Iterator<Item = Vec<u8>> {
        (0..=255).filter(|kind| *kind != CONTINUATION).map(|kind| frame(kind, END_HEADERS, 8))
    }

    #[test]
    fn frames_beyond_those_that_calls_and_answers_need_are_counted_within_a_second() {
        for counted in counted() {
            let mut frames = Frames::new();
            assert_eq!(feed(&mut frames, &frame(HEADERS, END_HEADERS, 5)), FrameStanding::Between);
            let most = MAX_CONTROL_FRAMES_PER_SECOND + FRAMES_OF_A_CALL;
            assert_eq!(feed(&mut frames, &counted.repeat(most as usize)), FrameStanding::Between, "{counted:?}");
            assert_eq!(feed(&mut frames, &frame(DATA, 0, SMALL_DATA_BYTES).repeat(5_000)), FrameStanding::Between);
            assert_eq!(feed(&mut frames, &counted), FrameStanding::Flooded, "{counted:?}");
        }
    }

    #[test]
    fn whoever_takes_a_long_answer_may_say_so_in_small_steps() {
        for counted in counted() {
            let mut frames = Frames::new();
            let answer = frame(DATA, 0, 10 * ANSWER_BYTES_A_FRAME as usize);
            for _ in 0..2_000 {
                // The answer is sent in pieces.
                frames.sent(&answer[..5]);
                frames.sent(&answer[5..]);
                let steps = counted.repeat(10 + FRAMES_OF_AN_ANSWER as usize);
                assert_eq!(feed(&mut frames, &steps), FrameStanding::Between, "{counted:?}");
            }
        }
    }

    #[test]
    fn what_is_left_over_has_a_limit() {
        let mut frames = Frames::new();
        frames.sent(&frame(DATA, 0, 16_384).repeat(5_000));
        let most = MAX_CREDIT + MAX_CONTROL_FRAMES_PER_SECOND;
        let reset = frame(RST_STREAM, 0, 4);
        assert_eq!(feed(&mut frames, &reset.repeat(most as usize)), FrameStanding::Between);
        assert_eq!(feed(&mut frames, &reset), FrameStanding::Flooded);
    }

    #[test]
    fn calls_that_the_library_refuses_are_counted() {
        let mut frames = Frames::new();
        frames.sent(&frame(RST_STREAM, 0, 4).repeat(MAX_CONTROL_FRAMES_PER_SECOND as usize + 1));
        assert_eq!(feed(&mut frames, &frame(HEADERS, END_HEADERS, 5)), FrameStanding::Flooded);
    }

    #[test]
    fn windows_are_read_however_their_frames_are_cut() {
        let setting = |id: u8, value: u32| [&[0, id][..], &value.to_be_bytes()].concat();
        let mut settings = frame(SETTINGS, 0, 18);
        settings.truncate(HEAD_BYTES);
        settings.extend([setting(3, 9), setting(4, 70_000), setting(5, 20_000)].concat());
        let mut widens = frame(WINDOW_UPDATE, 0, 4);
        widens[8] = 0;
        widens[9..].copy_from_slice(&1_000_u32.to_be_bytes());
        // The update of a stream leaves the connection window as it is.
        let other = frame(WINDOW_UPDATE, 0, 4);
        let bytes = [settings, widens, other].concat();
        for piece in [1, 4, 7, 100] {
            let (mut frames, windows) = (Frames::new(), Windows::default());
            for part in bytes.chunks(piece) {
                frames.feed(part, &windows);
            }
            assert!(windows.fit(66_535, 70_000), "{piece}");
            assert!(!windows.fit(1, 1), "{piece}");
            windows.widen(10);
            assert!(!windows.fit(1, 70_001), "{piece}");
        }
    }

    proptest! {
        #[test]
        fn however_frames_are_cut_they_end_where_they_end(
            kinds in proptest::collection::vec((0_u8..10, any::<u8>(), 0_usize..400), 1..20),
            cuts in proptest::collection::vec(1_usize..600, 1..40),
        ) {
            let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
            let mut whole = Frames::new();
            let expected = feed(&mut whole, &bytes);
            let (mut parts, mut rest, mut cuts) = (Frames::new(), &bytes[..], cuts.iter().cycle());
            let mut last = FrameStanding::Between;
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                last = feed(&mut parts, part);
                rest = after;
            }
            prop_assert_eq!(last == FrameStanding::Between, expected == FrameStanding::Between);
            prop_assert_eq!((parts.received.filled, parts.received.left, parts.open_headers), (0, 0, whole.open_headers));
        }
    }
}
