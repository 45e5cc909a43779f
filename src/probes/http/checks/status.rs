//! Sets of status codes in the notation of the configuration: `200`, `200-299`, `2xx`.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Status codes: one entry or a list of them, each a number, a range or a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Box<[(u16, u16)]>);

impl Statuses {
    /// Whether the set contains a status code.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl Statuses {
    /// The range of the codes, if they are one range.
    #[must_use]
    pub fn single_range(&self) -> Option<RangeInclusive<u16>> {
        match &*self.0 {
            [(low, high)] => Some(*low..=*high),
            _ => None,
        }
    }
}

impl Default for Statuses {
    /// Success: 200 to 299.
    fn default() -> Self {
        Self(Box::new([(200, 299)]))
    }
}

fn parse(text: &str) -> Option<(u16, u16)> {
    let code = |text: &str| text.parse().ok().filter(|code| (100..=599).contains(code));
    if let Some(class) = text.strip_suffix("xx") {
        let low = code(&format!("{class}00"))?;
        return Some((low, low + 99));
    }
    match text.split_once('-') {
        Some((low, high)) => {
            let (low, high) = (code(low.trim())?, code(high.trim())?);
            (low <= high).then_some((low, high))
        }
        None => code(text).map(|code| (code, code)),
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (low, high)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match (low, high) {
                (low, high) if low == high => write!(f, "{low}")?,
                (low, high) if low % 100 == 0 && *high == low + 99 => write!(f, "{}xx", low / 100)?,
                (low, high) => write!(f, "{low}-{high}")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Codes;
        impl<'de> de::Visitor<'de> for Codes {
            type Value = Statuses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("status codes such as 200, 200-299 or 2xx, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                let range = parse(text.trim()).ok_or_else(|| {
                    E::custom(format!("`{text}` is not a status: write a code such as 200, a range 200-299 or 2xx"))
                })?;
                Ok(Statuses(Box::new([range])))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Statuses, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Statuses, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
                let mut all = Vec::new();
                while let Some(Statuses(some)) = list.next_element()? {
                    all.extend(some);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("an empty list of statuses can never be met"));
                }
                Ok(Statuses(all.into()))
            }
        }
        from.deserialize_any(Codes)
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({"anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^\\s*([1-5]xx|[1-5][0-9]{2}(\\s*-\\s*[1-5][0-9]{2})?)\\s*$"}
        ]});
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn codes_ranges_and_classes_are_read_and_written_back() {
        let statuses: Statuses = from_value(json!([200, "300-302", "4xx"])).unwrap();
        for (status, within) in [(200, true), (201, false), (299, false), (301, true), (499, true), (500, false)] {
            assert_eq!(statuses.contains(status), within, "{status}");
        }
        assert_eq!(statuses.to_string(), "200, 300-302, 4xx");
        assert_eq!(from_value::<Statuses>(json!("2xx")).unwrap(), Statuses::default());
        for bad in [json!([]), json!(42), json!("6xx"), json!("xx"), json!("300-200"), json!("ok"), json!(-200)] {
            assert!(from_value::<Statuses>(bad.clone()).is_err(), "{bad}");
        }
    }
}
