//! Options of `promotions`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::every_command::Common;
use super::output::{HistoryOutput, Organization, TimedOutput};
use crate::wire::promotion::field_paths;

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
    /// The type never changes, nor does the validity of a promotion that was earned. An update is refused when an active
    /// promotion has the new name.
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
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
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
