//! The lines of a file of any size, with one line in memory at a time. A line ends with CR, LF or both. A byte order
//! mark before the first line is ignored.

use std::io::{BufRead, ErrorKind};

use crate::encoding::without_mark;

/// Limits a line: bytes. A longer one is not a line of values.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Error of a line.
#[derive(Debug, thiserror::Error)]
pub enum LineViolation {
    /// The file as a whole is wrong: its encoding, or its header. No line of it can be read.
    #[error("{0}")]
    File(String),
    /// The content of the line is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The line could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// Reader of the lines of a file.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    number: u64,
    bytes: u64,
    /// Set if the last line ended with CR, so that a following LF belongs to it.
    after_return: bool,
    /// Set after a line that is too long, whose rest is passed over.
    is_overlong: bool,
    buffer: Vec<u8>,
}

impl Lines {
    /// Returns a reader at the beginning of `input`.
    pub fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, number: 0, bytes: 0, after_return: false, is_overlong: false, buffer: Vec::new() }
    }

    /// Returns the number of the line that was read last, counted from 1, or 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the number of bytes read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the line that was read last, without its line ending.
    pub fn text(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads the next line. Returns false at the end of the file.
    ///
    /// # Errors
    /// Returns the error of a line that could not be read; [`Self::number`] is then the number of that line.
    pub fn read(&mut self) -> Result<bool, LineViolation> {
        self.buffer.clear();
        let found = self.take_line();
        self.number += u64::from(!matches!(found, Ok(false)));
        let found = found?;
        if found && self.number == 1 {
            let behind = without_mark(&self.buffer).map_err(|encoding| LineViolation::File(encoding.to_string()))?;
            let mark = self.buffer.len() - behind.len();
            self.buffer.drain(..mark);
        }
        Ok(found)
    }

    /// Moves the next line into the buffer. Returns false at the end of the file.
    fn take_line(&mut self) -> Result<bool, LineViolation> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                return Ok(!self.buffer.is_empty());
            }
            if self.is_overlong {
                let end = available.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                self.after_return = end.is_some_and(|end| available[end] == b'\r');
                self.is_overlong = end.is_none();
                let consumed = end.map_or(available.len(), |end| end + 1);
                self.input.consume(consumed);
                self.bytes += consumed as u64;
                continue;
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
                self.is_overlong = end.is_none();
                return Err(LineViolation::Wrong(format!("is longer than {MAX_LINE_BYTES} bytes")));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}
