//! The input of `customers import`: a file or standard input, inflated if gzip compressed it.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::CommandError;
use crate::config::customers::{FileFormat, ImportCustomers};
use crate::wire::files::customer::Format;

/// Size in bytes of the read buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// The first bytes of a file that gzip compressed.
const GZIP: &[u8] = b"\x1f\x8b";

/// An open input.
pub(super) struct Input {
    pub reader: Box<dyn BufRead + Send>,
    /// Number of bytes that will be read, if known.
    pub length: Option<u64>,
}

/// Returns true when the input is standard input.
pub(super) fn is_stdin(options: &ImportCustomers) -> bool {
    options.file.as_os_str() == "-"
}

/// Returns the format that the option names, or that the extension of the file implies.
pub(super) fn format(options: &ImportCustomers) -> Result<Format, CommandError> {
    let name = options.file.to_string_lossy().to_lowercase();
    let inflated = Path::new(name.strip_suffix(".gz").unwrap_or(&name));
    let extension = inflated.extension().map(|extension| extension.to_string_lossy().into_owned());
    let format = match (options.format, extension.as_deref()) {
        (Some(FileFormat::Csv), _) | (None, Some("csv" | "tsv")) => Format::Csv,
        (Some(FileFormat::Ndjson), _) | (None, Some("ndjson" | "jsonl")) => Format::NdJson,
        (None, _) => {
            let problem = format!("{}: name the format with --format: csv or ndjson", options.file.display());
            return Err(CommandError::invalid(problem));
        }
    };
    if format == Format::NdJson && (options.delimiter.is_some() || options.column.is_some()) {
        return Err(CommandError::invalid("--delimiter and --column go with --format csv only"));
    }
    Ok(format)
}

/// Opens the input.
pub(super) fn open(options: &ImportCustomers) -> std::io::Result<Input> {
    if is_stdin(options) {
        let reader = BufReader::with_capacity(BUFFER_BYTES, std::io::stdin());
        // A person at a terminal types lines, whose first bytes are not waited for here.
        let reader = if std::io::stdin().is_terminal() { Box::new(reader) } else { inflated(reader)?.0 };
        return Ok(Input { reader, length: None });
    }
    let file = File::open(&options.file)?;
    let length = Some(file.metadata()?).filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    let (reader, is_compressed) = inflated(BufReader::with_capacity(BUFFER_BYTES, file))?;
    Ok(Input { reader, length: length.filter(|_| !is_compressed) })
}

/// Returns the reader of the content, and true if it is compressed.
fn inflated(mut reader: impl BufRead + Send + 'static) -> std::io::Result<(Box<dyn BufRead + Send>, bool)> {
    if reader.fill_buf()?.starts_with(GZIP) {
        return Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(reader))), true));
    }
    Ok((Box::new(reader), false))
}
