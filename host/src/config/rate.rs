//! How often something may happen.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// So many in a time, as `100/s`, `30/m` or `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r"^\s*\d+\s*/\s*[smh]\s*$", "examples" = ["100/s", "30/m", "1000/h"]))]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

impl Rate {
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no rate; write a number and its time, as 100/s, 30/m or 1000/h");
        let (count, unit) = text.split_once('/').ok_or_else(fault)?;
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(fault()),
        };
        let count = count.trim().parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or_else(fault)?;
        Ok(Self { count, per: Duration::from_secs(per) })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Display for Rate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(formatter, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_its_time() {
        let rate = |count, s| Ok(Rate { count, per: Duration::from_secs(s) });
        assert_eq!("100/s".parse(), rate(100, 1));
        assert_eq!(" 30 / m".parse(), rate(30, 60));
        assert_eq!("1000/h".parse(), rate(1_000, 3_600));
        for text in ["100/s", "30/m", "1000/h"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "100", "0/s", "-1/s", "100/d", "1.5/s", "9999999/s"] {
            assert!(text.parse::<Rate>().is_err_and(|error| error.contains("100/s")), "{text}");
        }
    }
}
