//! Options of the operator's commands for promotions, customers, wallets and API clients.

use std::path::PathBuf;

use chrono_tz::Tz;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use strum::VariantNames as _;

use super::{Common, time_zone};
use crate::access::groups::AccessGroup;
use crate::earning::change::EarnedStatus;
use crate::wire::promotion::field_paths;

/// Maximum number of earned promotions, or of changes, that one command shows.
const MAX_SHOWN: u32 = 100_000;

/// Options of every command that prints a result.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Prints JSON for programs, one object a line, instead of a table for people.
    #[arg(long)]
    pub json: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command that prints times.
#[derive(Debug, Clone, Args)]
pub struct TimedOutput {
    /// IANA time zone of the times in the output.
    #[arg(long, env = "CART_PROMOTIONS_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: Tz,
    /// Other output options.
    #[command(flatten)]
    pub output: Output,
}

/// The organization of a command.
#[derive(Debug, Clone, Copy, Args)]
pub struct Organization {
    /// Organization.
    #[arg(id = "org", long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
}

/// The commands of `promotions`.
#[derive(Debug, Subcommand)]
pub enum Promotions {
    /// Shows the promotions of an organization, ordered by id.
    List(ListPromotions),
    /// Creates a promotion.
    ///
    /// Refused when the organization has its maximum of active promotions, when the promotion has ended already, and
    /// when an active promotion has its name.
    #[command(after_help = with_fields(
        "create --org 100737 name='Ten off' type=EARNING \\\n    \
        startDateISO=2026-01-01T00:00:00+05:30 endDateISO=2026-12-31T23:59:59.999+05:30"
    ))]
    Create(CreatePromotion),
    /// Shows a promotion.
    Show(ShowPromotion),
    /// Changes a promotion; the fields that are not named stay as they are.
    ///
    /// Its type cannot change, nor its validity once it was earned. Refused when an active promotion has the new
    /// name.
    #[command(after_help = with_fields(
        "update --org 100737 6912ced9d39e256f754a83f8 \\\n    endDateISO=2027-12-31T23:59:59.999+05:30"
    ))]
    Update(UpdatePromotion),
    /// Activates promotions. Active ones stay active.
    ///
    /// They are activated one by one: those before a refused one are active.
    Activate(SwitchPromotions),
    /// Deactivates promotions: they can no longer be earned. Earned promotions stay.
    Deactivate(SwitchPromotions),
    /// Shows the recorded changes of a promotion and its audience, the latest first: when, who, and what changed.
    #[command(after_help = "Example:\n  cart-promotions promotions history --org 100737 6912ced9d39e256f754a83f8")]
    History(PromotionHistory),
}

/// Options of `promotions history`.
#[derive(Debug, Args)]
pub struct PromotionHistory {
    /// Organization of the promotion.
    #[command(flatten)]
    pub org: Organization,
    /// Id of the promotion: 24 hexadecimal digits.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Output options.
    #[command(flatten)]
    pub output: HistoryOutput,
}

/// Output options of the commands that show recorded changes.
#[derive(Debug, Args)]
pub struct HistoryOutput {
    /// Maximum number of changes to show.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHOWN)))]
    pub limit: u32,
    /// Other output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `orgs history`.
#[derive(Debug, Args)]
pub struct OrgHistory {
    /// Organization.
    #[arg(value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
    /// Output options.
    #[command(flatten)]
    pub output: HistoryOutput,
}

/// Options of `promotions list`.
#[derive(Debug, Args)]
pub struct ListPromotions {
    /// Organization of the promotions.
    #[command(flatten)]
    pub org: Organization,
    /// Shows only active promotions.
    #[arg(long)]
    pub active: bool,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `promotions create`.
#[derive(Debug, Args)]
pub struct CreatePromotion {
    /// Organization of the promotion.
    #[command(flatten)]
    pub org: Organization,
    /// Fields of the promotion.
    #[arg(value_name = "FIELD=VALUE", required = true, value_parser = field_value)]
    pub fields: Vec<FieldValue>,
    /// Id: 24 hexadecimal digits. By default one is generated.
    #[arg(long)]
    pub id: Option<String>,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// A field of a promotion with its value, as texts.
#[derive(Debug, Clone)]
pub struct FieldValue {
    /// Path of the field in messages.
    pub path: String,
    /// Value, as a query of the API gives it.
    pub value: String,
}

/// Options of `promotions show`.
#[derive(Debug, Args)]
pub struct ShowPromotion {
    /// Organization of the promotion.
    #[command(flatten)]
    pub org: Organization,
    /// Id of the promotion: 24 hexadecimal digits.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `promotions update`.
#[derive(Debug, Args)]
pub struct UpdatePromotion {
    /// Organization of the promotion.
    #[command(flatten)]
    pub org: Organization,
    /// Id of the promotion: 24 hexadecimal digits.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Fields to change.
    #[arg(value_name = "FIELD=VALUE", required = true, value_parser = field_value)]
    pub fields: Vec<FieldValue>,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `promotions activate` and `promotions deactivate`.
#[derive(Debug, Args)]
pub struct SwitchPromotions {
    /// Organization of the promotions.
    #[command(flatten)]
    pub org: Organization,
    /// Ids of the promotions: 24 hexadecimal digits each.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

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

/// The commands of `wallet`.
#[derive(Debug, Subcommand)]
pub enum Wallet {
    /// Shows the present and former earned promotions of a customer, ordered by end of validity, the latest first.
    #[command(after_help = "Example:\n  cart-promotions wallet show --org 100737 566881933 --status UNLOCKED")]
    Show(ShowWallet),
}

/// Options of `wallet show`.
#[derive(Debug, Args)]
pub struct ShowWallet {
    /// Organization of the customer.
    #[command(flatten)]
    pub org: Organization,
    /// Customer.
    #[arg(value_name = "CUSTOMER", allow_negative_numbers = true)]
    pub customer: i64,
    /// Status to show; may be repeated. By default, all.
    #[arg(long = "status", value_name = "STATUS", ignore_case = true, value_parser = earned_status())]
    pub statuses: Vec<EarnedStatus>,
    /// Id of a promotion to show; may be repeated. By default, all.
    #[arg(long = "promotion", value_name = "ID")]
    pub promotions: Vec<String>,
    /// Maximum number of earned promotions to show.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHOWN)))]
    pub limit: u32,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// The commands of `clients`.
#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Creates an API client. Its secret is generated and printed once: only its hash is stored.
    #[command(after_help = "Examples:\n  cart-promotions clients add --org 100737 till --access earn:write\n  \
        secret=$(cart-promotions clients add --org 100737 till --new-secret)")]
    Add(AddClient),
    /// Shows the API clients. Stored secrets are never shown.
    List(ListClients),
    /// Shows an API client.
    Show(ShowClient),
    /// Removes an API client: every server refuses its credentials within a second. Its earned promotions stay.
    Remove(SwitchClient),
    /// Disables an API client: every server refuses its credentials within a second.
    Disable(SwitchClient),
    /// Enables an API client again.
    Enable(SwitchClient),
}

/// Options of `clients add`.
#[derive(Debug, Args)]
pub struct AddClient {
    /// Organization that the client calls for.
    #[command(flatten)]
    pub org: Organization,
    /// Username without a colon, unique among all clients.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Access group of the client; may be repeated. By default the client may do everything.
    #[arg(long = "access", value_name = "GROUP", value_parser = PossibleValuesParser::new(AccessGroup::VARIANTS))]
    pub access: Vec<String>,
    /// Number of requests that it may send in a minute; 0 means no limit. By default, the limit of the server.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub requests_per_minute: Option<i32>,
    /// Replaces the secret of an existing client; the old one is refused within a second. Its access stays unless
    /// `--access` is given.
    #[arg(long)]
    pub new_secret: bool,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients list`.
#[derive(Debug, Args)]
pub struct ListClients {
    /// Organization whose clients are shown. By default, all.
    #[arg(long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: Option<i64>,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients show`.
#[derive(Debug, Args)]
pub struct ShowClient {
    /// Username of the client.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients disable`, `clients enable` and `clients remove`.
#[derive(Debug, Args)]
pub struct SwitchClient {
    /// Username of the client.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

impl Promotions {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::List(options) => &options.output.output.common,
            Self::Create(options) => &options.output.output.common,
            Self::Show(options) => &options.output.output.common,
            Self::Update(options) => &options.output.output.common,
            Self::Activate(options) | Self::Deactivate(options) => &options.output.output.common,
            Self::History(options) => &options.output.output.output.common,
        }
    }
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

impl Wallet {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        let Self::Show(options) = self;
        &options.output.output.common
    }
}

impl Clients {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::Add(options) => &options.output.common,
            Self::List(options) => &options.output.common,
            Self::Show(options) => &options.output.common,
            Self::Disable(options) | Self::Enable(options) | Self::Remove(options) => &options.common,
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

/// Parses a field of a promotion and its value.
fn field_value(text: &str) -> Result<FieldValue, String> {
    let Some((path, value)) = text.split_once('=') else { return Err("must be FIELD=VALUE".to_owned()) };
    let paths = field_paths();
    if paths.iter().all(|known| known != path) {
        return Err(format!("there is no such field: the fields are {}", paths.join(", ")));
    }
    Ok(FieldValue { path: path.to_owned(), value: value.to_owned() })
}

/// Returns the help on the fields of a promotion, with an example of the command.
fn with_fields(example: &str) -> String {
    format!(
        "The fields are {}: those of the API, which its reference (/docs) describes.\n\n\
        Example:\n  cart-promotions promotions {example}",
        field_paths().join(", ")
    )
}

fn earned_status() -> impl TypedValueParser<Value = EarnedStatus> {
    PossibleValuesParser::new(EarnedStatus::VARIANTS).try_map(|name| name.to_ascii_uppercase().parse::<EarnedStatus>())
}
