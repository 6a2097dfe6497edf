//! Frames of HTTP/2, written by hand where a library would not send them.

pub use crate::frame::frame;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const WINDOW_UPDATE: u8 = 8;
/// Flags of headers that are complete, and of a request that has no body.
pub const END_HEADERS: u8 = 4;
pub const END_STREAM: u8 = 1;

/// Returns the headers of a request, each as a literal that goes into no table. `ends`: it has no body.
pub fn headers(stream: u32, ends: bool, list: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "the length of {text} is no single byte");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    frame(HEADERS, if ends { END_HEADERS | END_STREAM } else { END_HEADERS }, stream, &block)
}
