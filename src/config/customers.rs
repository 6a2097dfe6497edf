//! Options of `customers`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::every_command::Common;
use super::output::{Organization, Output};

/// The commands of `customers`.
#[derive(Debug, Subcommand)]
pub enum Customers {
    /// Records customers from a file of any size: CSV or NDJSON, one customer a line.
    ///
    /// Recorded customers stay recorded: importing a file again from the start is safe and fast. Without --rejects a
    /// malformed line ends the import; the lines before it are recorded, and the message names the line to continue from.
    #[command(
        after_help = "CSV has the customer in the column that the first line names customerId or customer_id, else \
        in the first; values have commas, semicolons, tabs or bars between them.\nNDJSON has an object like {\"customerId\": 7} on each line.\n\nExamples:\n  \
        cart-promotions customers import --org 100737 customers.csv\n  \
        cart-promotions customers import --org 100737 customers.csv.gz --rejects rejects.csv"
    )]
    Import(ImportCustomers),
    /// Shows the number of customers of an organization.
    Count(CountCustomers),
}

/// Options of `customers count`.
#[derive(Debug, Args)]
pub struct CountCustomers {
    /// Organization of the customers.
    #[command(flatten)]
    pub org: Organization,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `customers import`.
#[derive(Debug, Args)]
pub struct ImportCustomers {
    /// Organization of the customers.
    #[command(flatten)]
    pub org: Organization,
    /// File to import; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Format of the lines. By default it follows from the extension of the file: .csv, .ndjson or .jsonl, also before
    /// .gz. A file that gzip compressed is inflated, whatever its name.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// Number of the first line to import, to continue an import that ended early. The first line of the file is 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,
    /// New file for the malformed lines, each after a line that says why. The import goes on, and the file can be put right
    /// and imported.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Records nothing, and says how many customers are new, and which lines are malformed.
    #[arg(long)]
    pub dry_run: bool,
    /// Separator of the values of a CSV file, one character or `tab`. By default it is found.
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub delimiter: Option<char>,
    /// Column of the customers in a CSV file: its name in the first line, or its number, counted from 1. By default the one
    /// named `customerId` or `customer_id`, else the first.
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// The format of a file of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// CSV: values separated by commas, semicolons or tabs.
    Csv,
    /// NDJSON: one JSON object a line.
    Ndjson,
}

impl Customers {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::Import(options) => &options.output.common,
            Self::Count(options) => &options.output.common,
        }
    }
}

fn separator(text: &str) -> Result<char, &'static str> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(character), None) if !character.is_alphanumeric() && !"\"\r\n".contains(character) => Ok(character),
        _ => Err("not one character such as ; or the word tab"),
    }
}
