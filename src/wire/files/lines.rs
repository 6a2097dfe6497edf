//! The lines of a file of any size, in memory one at a time. A line ends with CR, LF or both; a byte order mark in front of
//! the first is passed over.

use std::io::{BufRead, ErrorKind};

use crate::encoding::without_mark;

/// Longest line: bytes. What is longer is no line of values.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Why a line could not be read, or is wrong.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// It is wrong.
    #[error("{0}")]
    Wrong(String),
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// Reads the lines of a file.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    number: u64,
    bytes: u64,
    /// True: the last line ended with CR, and an LF that follows belongs to it.
    after_return: bool,
    buffer: Vec<u8>,
}

impl Lines {
    /// Reads from the beginning of `input`.
    pub fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, number: 0, bytes: 0, after_return: false, buffer: Vec::new() }
    }

    /// Returns the number of the line that was read last, counted from 1; 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the line that was read last, without its end.
    pub fn text(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads the next line. Returns false when there is none.
    ///
    /// # Errors
    /// Why the line could not be read. Its number is that of the fault.
    pub fn read(&mut self) -> Result<bool, LineFault> {
        self.buffer.clear();
        let found = self.take_line();
        self.number += u64::from(!matches!(found, Ok(false)));
        let found = found?;
        if found && self.number == 1 {
            let behind = without_mark(&self.buffer).map_err(|encoding| LineFault::Wrong(encoding.to_string()))?;
            let mark = self.buffer.len() - behind.len();
            self.buffer.drain(..mark);
        }
        Ok(found)
    }

    /// Takes the next line into the buffer. Returns false when there is none.
    fn take_line(&mut self) -> Result<bool, LineFault> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                return Ok(!self.buffer.is_empty());
            }
            if std::mem::take(&mut self.after_return) && available[0] == b'\n' {
                self.input.consume(1);
                self.bytes += 1;
                continue;
            }
            let end = available.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let taken = &available[..end.unwrap_or(available.len())];
            self.buffer.extend_from_slice(taken);
            self.after_return = end.is_some_and(|end| available[end] == b'\r');
            let consumed = taken.len() + usize::from(end.is_some());
            self.input.consume(consumed);
            self.bytes += consumed as u64;
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(LineFault::Wrong(format!("is longer than {MAX_LINE_BYTES} bytes")));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}
