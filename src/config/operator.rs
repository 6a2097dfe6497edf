//! Options of the operator's commands for promotions, customers, wallets and API clients.

use std::path::PathBuf;

use chrono_tz::Tz;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use strum::VariantNames as _;

use super::{Common, time_zone};
use crate::access::groups::AccessGroup;
use crate::earning::PromotionType;
use crate::earning::change::EarnedStatus;

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
    #[command(
        after_help = "Example:\n  cart-promotions promotions create --org 100737 --name 'Ten off' --type EARNING \\\n    \
        --start 2026-01-01T00:00:00+05:30 --end 2026-12-31T23:59:59.999+05:30 --max-earning-per-customer 3"
    )]
    Create(Box<CreatePromotion>),
    /// Shows a promotion.
    Show(ShowPromotion),
    /// Changes a promotion; what no option names stays as it is.
    ///
    /// Its type cannot change, nor its validity once it was earned. Refused when an active promotion has the new
    /// name.
    #[command(
        after_help = "Example:\n  cart-promotions promotions update --org 100737 6912ced9d39e256f754a83f8 \\\n    \
        --end 2027-12-31T23:59:59.999+05:30 --max-earning-per-customer 5"
    )]
    Update(Box<UpdatePromotion>),
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
    /// Name, unique among the active promotions of the organization.
    #[arg(long)]
    pub name: String,
    /// Type, which cannot change. EARNING and REWARD can be earned.
    #[arg(long = "type", value_name = "TYPE", ignore_case = true, value_parser = promotion_type())]
    pub kind: PromotionType,
    /// First moment: ISO 8601 with an offset, or milliseconds since 1970-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub start: String,
    /// Last millisecond, in the same formats.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub end: String,
    /// Id: 24 hexadecimal digits. By default one is generated.
    #[arg(long)]
    pub id: Option<String>,
    /// Maximum number that one customer can earn. By default there is no cap.
    #[arg(long, value_name = "N")]
    pub max_earning_per_customer: Option<i32>,
    /// Days of validity: an earned promotion is valid until the end of the Nth day after its event. By default, until
    /// the promotion's end.
    #[arg(long, value_name = "N")]
    pub earn_expiry_days: Option<i32>,
    /// Limits earning to the customers of the promotion's audience, which is empty at first.
    #[arg(long)]
    pub limited_to_audience: bool,
    /// Creates the promotion inactive.
    #[arg(long)]
    pub inactive: bool,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
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
#[command(group = clap::ArgGroup::new("changes").required(true).multiple(true).args([
    "name", "start", "end", "max_earning_per_customer", "unlimited_earning", "earn_expiry_days", "earn_expiry_with_promotion",
    "limited_to_audience",
]))]
pub struct UpdatePromotion {
    /// Organization of the promotion.
    #[command(flatten)]
    pub org: Organization,
    /// Id of the promotion: 24 hexadecimal digits.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Name, unique among the active promotions of the organization.
    #[arg(long)]
    pub name: Option<String>,
    /// First moment: ISO 8601 with an offset, or milliseconds since 1970-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub start: Option<String>,
    /// Last millisecond, in the same formats.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub end: Option<String>,
    /// Maximum number that one customer can earn.
    #[arg(long, value_name = "N")]
    pub max_earning_per_customer: Option<i32>,
    /// Removes the cap.
    #[arg(long, conflicts_with = "max_earning_per_customer")]
    pub unlimited_earning: bool,
    /// Days of validity: an earned promotion is valid until the end of the Nth day after its event.
    #[arg(long, value_name = "N")]
    pub earn_expiry_days: Option<i32>,
    /// Lets earned promotions be valid until the promotion's end.
    #[arg(long, conflicts_with = "earn_expiry_days")]
    pub earn_expiry_with_promotion: bool,
    /// True limits earning to the customers of the promotion's audience.
    #[arg(long, value_name = "BOOL")]
    pub limited_to_audience: Option<bool>,
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

fn promotion_type() -> impl TypedValueParser<Value = PromotionType> {
    PossibleValuesParser::new(PromotionType::VARIANTS)
        .try_map(|name| name.to_ascii_uppercase().parse::<PromotionType>())
}

fn earned_status() -> impl TypedValueParser<Value = EarnedStatus> {
    PossibleValuesParser::new(EarnedStatus::VARIANTS).try_map(|name| name.to_ascii_uppercase().parse::<EarnedStatus>())
}
