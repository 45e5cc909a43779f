//! Settings of `query`, and the rules that their types do not express.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    checks::no_data::WhenNoData,
    model::{
        failure::Invalid,
        limit::{Limit, Max, Min, Range},
        units::{Period, Quantity, Unit, ValueUnit, common_unit},
        verdict::Verdict,
    },
    probes::postgres::facts::query::MAX_ROWS,
};

/// A query and the requirements on its result.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresQuery {
    /// SQL text of one `SELECT`, `WITH`, `VALUES` or `TABLE` statement. It is executed as a subquery in a read-only
    /// transaction with the time limit of the probe.
    pub(super) sql: String,
    /// Minimum of the value, as a number or with a unit (`30s`, `10MiB`, `5%`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<Min<Quantity>>,
    /// Maximum of the value, as a number or with a unit (`30s`, `10MiB`, `5%`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<Max<Quantity>>,
    /// Required number. Not allowed together with another limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) equals: Option<Quantity>,
    /// Required value of any type: a text, a number, `true` or `false`. The value is compared with the JSON form of the
    /// column. Not allowed together with a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expect: Option<Value>,
    /// Limits on the number of rows. The values of the rows are not judged then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<RowLimits>,
    /// Column whose value is judged. Default: the only column, apart from `row_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// Column that names the rows. Each row is judged, and the worst one determines the verdict. Default: the query must
    /// return one row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) row_name: Option<String>,
    /// Names of the rows that must exist. Requires `row_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) required_rows: Vec<String>,
    /// Verdict on a missing row, and on the value NULL.
    #[serde(default = "unknown_when_empty")]
    pub(super) when_empty: WhenNoData,
    /// Unit of the value. It selects the metric family and the notation in findings. Default: the unit of the limits,
    /// or none if the limits have no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<ValueUnit>,
    /// Minimum time between two executions, for expensive queries. Until the next execution the last result counts, and
    /// the finding states its age. Default: the query is executed in each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<Period>,
}

fn unknown_when_empty() -> WhenNoData {
    WhenNoData::Unknown
}

/// Limits on the number of rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowLimits {
    /// Minimum number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<Min<u32>>,
    /// Maximum number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<Max<u32>>,
}

impl RowLimits {
    pub(super) fn range(&self) -> Range<u32> {
        Range { min: self.min, max: self.max }
    }

    fn validate(&self) -> Result<(), &'static str> {
        let range = self.range();
        if range.is_unbounded() {
            return Err("`rows` needs `min` or `max`");
        }
        if range.is_crossed() {
            return Err("no number of rows is above `min` and below `max`: they are the wrong way round");
        }
        let written = self.min.iter().flat_map(Limit::steps_as_written);
        let written = written.chain(self.max.iter().flat_map(Limit::steps_as_written));
        if written.max().is_some_and(|most| usize::try_from(most).is_ok_and(|most| most > MAX_ROWS)) {
            return Err("at most 1000 rows are counted: count them in the query (`select count(*) ..`)");
        }
        Ok(())
    }
}

impl PostgresQuery {
    /// Verdict on a result without a value.
    pub(super) fn empty_verdict(&self, text: &str) -> Verdict {
        let hint = if self.when_empty == WhenNoData::Unknown { "; `when_empty` sets another verdict" } else { "" };
        self.when_empty.verdict(format!("{text}{hint}"))
    }

    pub(super) fn range(&self) -> Range<Quantity> {
        Range { min: self.min, max: self.max }
    }

    /// The unit of the value.
    pub(super) fn unit(&self) -> Unit {
        common_unit(self.unit, self.written_limits()).ok().flatten().map_or(Unit::Number, Unit::from)
    }

    fn written_limits(&self) -> impl Iterator<Item = Quantity> {
        let min = self.min.iter().flat_map(Limit::steps_as_written);
        let max = self.max.iter().flat_map(Limit::steps_as_written);
        min.chain(max).chain(self.equals)
    }

    pub(super) fn validate_settings(&self) -> Result<(), Invalid> {
        if self.sql.trim_matches(|c: char| c.is_whitespace() || c == ';').is_empty() {
            return Err(Invalid::at("sql", "which query? Write a SELECT statement"));
        }
        if self.sql.contains('\0') {
            return Err(Invalid::at("sql", "an SQL text can't contain the character NUL"));
        }
        let has_range = !self.range().is_unbounded();
        let kinds = [has_range, self.equals.is_some(), self.expect.is_some(), self.rows.is_some()];
        match kinds.iter().filter(|is_set| **is_set).count() {
            0 => {
                let message = "`query` needs a limit: `min`, `max`, `equals`, `expect` or `rows`".to_owned();
                return Err(Invalid { key: None, message });
            }
            1 => {}
            _ => {
                let key = if self.rows.is_some() {
                    "rows"
                } else if self.expect.is_some() {
                    "expect"
                } else {
                    "equals"
                };
                return Err(Invalid::at(key, "no other limit is allowed with it: write a check for each requirement"));
            }
        }
        if self.range().is_crossed() {
            return Err(Invalid::at("min", "no value is above `min` and below `max`: they are the wrong way round"));
        }
        if let Some(rows) = &self.rows {
            rows.validate().map_err(|message| Invalid::at("rows", message))?;
            for (key, is_set) in [("value", self.value.is_some()), ("row_name", self.row_name.is_some())] {
                if is_set {
                    return Err(Invalid::at(key, "`rows` judges the number of rows and no value: remove one of them"));
                }
            }
        }
        if matches!(self.expect, Some(Value::Null | Value::Array(_) | Value::Object(_))) {
            return Err(Invalid::at("expect", "write a text, a number, `true` or `false`"));
        }
        if !self.required_rows.is_empty() && self.row_name.is_none() {
            return Err(Invalid::at("required_rows", "name the column with the names of the rows: add `row_name`"));
        }
        common_unit(self.unit, self.written_limits())
            .map_err(|message| Invalid::at(if self.max.is_some() { "max" } else { "min" }, message))?;
        Ok(())
    }
}
