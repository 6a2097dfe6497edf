//! The command line of what an operator does by hand: promotions, customers, wallets and API clients.

use std::path::PathBuf;

use chrono_tz::Tz;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::{Common, time_zone};
use crate::access::groups::AccessGroup;
use crate::earning::PromotionType;
use crate::earning::change::EarnedStatus;

/// Earned promotions that one command shows.
const MAX_SHOWN: u32 = 100_000;

/// Options of every command that shows something.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Print JSON for programs, one object a line, instead of a table for people.
    #[arg(long)]
    pub json: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command that shows times.
#[derive(Debug, Clone, Args)]
pub struct TimedOutput {
    /// IANA time zone in which times are shown.
    #[arg(long, env = "CART_PROMOTIONS_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: Tz,
    /// The rest.
    #[command(flatten)]
    pub output: Output,
}

/// Whose it is.
#[derive(Debug, Clone, Copy, Args)]
pub struct Organization {
    /// The organization.
    #[arg(id = "org", long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
}

/// What `promotions` can do.
#[derive(Debug, Subcommand)]
pub enum Promotions {
    /// Show the promotions of an organization, in the order of their ids.
    List(ListPromotions),
    /// Create a promotion.
    ///
    /// Refused with 705 when the organization has as many active ones as it may have, with 706 when it ended already, with
    /// 716 when an active one has its name.
    #[command(
        after_help = "Example:\n  cart-promotions promotions create --org 100737 --name 'Ten off' --type EARNING \\\n    \
        --start 2026-01-01T00:00:00+05:30 --end 2026-12-31T23:59:59.999+05:30 --max-earning-per-customer 3"
    )]
    Create(Box<CreatePromotion>),
    /// Let promotions run. One that does already stays so.
    ///
    /// One after the other: what comes before one that is refused (705, 706, 716) is active.
    Activate(SwitchPromotions),
    /// Switch promotions off: nothing more of them is earned. What was earned stays.
    Deactivate(SwitchPromotions),
}

/// Options of `promotions list`.
#[derive(Debug, Args)]
pub struct ListPromotions {
    /// Whose they are.
    #[command(flatten)]
    pub org: Organization,
    /// Only those that are active.
    #[arg(long)]
    pub active: bool,
    /// How to show them.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `promotions create`.
#[derive(Debug, Args)]
pub struct CreatePromotion {
    /// Whose it is.
    #[command(flatten)]
    pub org: Organization,
    /// Its name: 1 to 50 characters, unique among the active ones of the organization.
    #[arg(long)]
    pub name: String,
    /// Its kind, which cannot change. EARNING and REWARD can be earned.
    #[arg(long = "type", value_name = "TYPE", ignore_case = true, value_parser = promotion_type())]
    pub kind: PromotionType,
    /// Its first moment: ISO 8601 with an offset, or milliseconds since 1970-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub start: String,
    /// Its last millisecond, in the same forms.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub end: String,
    /// Its id: 24 hexadecimal digits. By default one is made.
    #[arg(long)]
    pub id: Option<String>,
    /// How many of it one customer can earn. By default there is no cap.
    #[arg(long, value_name = "N")]
    pub max_earning_per_customer: Option<i32>,
    /// An earned one is valid until the end of the Nth day after its event. By default, until the promotion's end.
    #[arg(long, value_name = "N")]
    pub earn_expiry_days: Option<i32>,
    /// Only the customers of its audience can earn it. The audience is empty at first.
    #[arg(long)]
    pub limited_to_audience: bool,
    /// Create it switched off.
    #[arg(long)]
    pub inactive: bool,
    /// How to show it.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// Options of `promotions activate` and `promotions deactivate`.
#[derive(Debug, Args)]
pub struct SwitchPromotions {
    /// Whose they are.
    #[command(flatten)]
    pub org: Organization,
    /// The promotions: 24 hexadecimal digits each.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// How to show them.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// What `customers` can do.
#[derive(Debug, Subcommand)]
pub enum Customers {
    /// Record customers from a file of any size: CSV or NDJSON, one customer a line.
    ///
    /// Customers that are recorded already stay so: importing a file again, from the start, is right and fast. A wrong line
    /// ends the import; what is before it is recorded, and the message says from which line to go on.
    #[command(
        after_help = "CSV has the customer in the column that the first line names customerId or customer_id, else \
        in the first; values have commas, semicolons or tabs between them.\nNDJSON has an object like {\"customerId\": 7} on each line.\n\nExamples:\n  \
        cart-promotions customers import --org 100737 customers.csv\n  \
        zcat customers.ndjson.gz | cart-promotions customers import --org 100737 --format ndjson -"
    )]
    Import(ImportCustomers),
}

/// Options of `customers import`.
#[derive(Debug, Args)]
pub struct ImportCustomers {
    /// Whose customers they are.
    #[command(flatten)]
    pub org: Organization,
    /// The file; `-` is the standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Form of the lines. By default what the name of the file ends with: .csv, .ndjson or .jsonl.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// Pass over the lines before this one: go on where an import ended. The first line is 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,
    /// How to show what was done.
    #[command(flatten)]
    pub output: Output,
}

/// Form of a file of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// Values with commas, semicolons or tabs between them.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// What `wallet` can do.
#[derive(Debug, Subcommand)]
pub enum Wallet {
    /// Show what a customer holds and held: what is valid the longest first.
    #[command(after_help = "Example:\n  cart-promotions wallet show --org 100737 566881933 --status UNLOCKED")]
    Show(ShowWallet),
}

/// Options of `wallet show`.
#[derive(Debug, Args)]
pub struct ShowWallet {
    /// The organization.
    #[command(flatten)]
    pub org: Organization,
    /// The customer.
    #[arg(value_name = "CUSTOMER", allow_negative_numbers = true)]
    pub customer: i64,
    /// Only what is so; may be repeated. By default, everything.
    #[arg(long = "status", value_name = "STATUS", ignore_case = true, value_parser = earned_status())]
    pub statuses: Vec<EarnedStatus>,
    /// Only what is of this promotion; may be repeated.
    #[arg(long = "promotion", value_name = "ID")]
    pub promotions: Vec<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHOWN)))]
    pub limit: u32,
    /// How to show it.
    #[command(flatten)]
    pub output: TimedOutput,
}

/// What `clients` can do.
#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Give a program credentials of its own. Its secret is made here and printed, this once: only its hash is stored.
    #[command(after_help = "Examples:\n  cart-promotions clients add --org 100737 till --access earn:write\n  \
        secret=$(cart-promotions clients add --org 100737 till --new-secret)")]
    Add(AddClient),
    /// Show who has credentials. What is stored of secrets is never shown.
    List(ListClients),
    /// Refuse the credentials of a client: every server does within a second.
    Disable(SwitchClient),
    /// Take the credentials of a client again.
    Enable(SwitchClient),
}

/// Options of `clients add`.
#[derive(Debug, Args)]
pub struct AddClient {
    /// The organization it calls for.
    #[command(flatten)]
    pub org: Organization,
    /// Its name: 1 to 250 characters without a colon, unique among all clients.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// An access group it has; may be repeated. By default it may do everything.
    #[arg(long = "access", value_name = "GROUP", value_parser = PossibleValuesParser::new(AccessGroup::ALL.map(AccessGroup::name)))]
    pub access: Vec<String>,
    /// Requests it may send in a minute; 0: as many as it likes. By default, what the server is told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub requests_per_minute: Option<i32>,
    /// Give a client that there is a new secret; the old one is refused within a second. Its access stays unless `--access`
    /// says otherwise.
    #[arg(long)]
    pub new_secret: bool,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients list`.
#[derive(Debug, Args)]
pub struct ListClients {
    /// Only those of this organization.
    #[arg(long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: Option<i64>,
    /// How to show them.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients disable` and `clients enable`.
#[derive(Debug, Args)]
pub struct SwitchClient {
    /// Its name.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

impl Promotions {
    /// Options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::List(options) => &options.output.output.common,
            Self::Create(options) => &options.output.output.common,
            Self::Activate(options) | Self::Deactivate(options) => &options.output.output.common,
        }
    }
}

impl Customers {
    /// Options of every command.
    pub fn common(&self) -> &Common {
        let Self::Import(options) = self;
        &options.output.common
    }
}

impl Wallet {
    /// Options of every command.
    pub fn common(&self) -> &Common {
        let Self::Show(options) = self;
        &options.output.output.common
    }
}

impl Clients {
    /// Options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::Add(options) => &options.output.common,
            Self::List(options) => &options.output.common,
            Self::Disable(options) | Self::Enable(options) => &options.common,
        }
    }
}

fn promotion_type() -> impl TypedValueParser<Value = PromotionType> {
    PossibleValuesParser::new(PromotionType::ALL.map(PromotionType::name))
        .try_map(|name| PromotionType::from_name(&name.to_ascii_uppercase()).ok_or("is no type"))
}

fn earned_status() -> impl TypedValueParser<Value = EarnedStatus> {
    PossibleValuesParser::new(EarnedStatus::ALL.map(EarnedStatus::name))
        .try_map(|name| EarnedStatus::from_name(&name.to_ascii_uppercase()).ok_or("is no status"))
}
