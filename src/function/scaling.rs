//! What labels say of a function's scaling (wire.md section 5.1).

use std::collections::BTreeMap;

/// Replicas of one function at most, whatever its labels say: each may be a process.
pub const MAX_REPLICAS: u64 = 1000;

/// Labels of scaling, read. What cannot be read counts as not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Replicas at least: `com.openfaas.scale.min`.
    pub min: u64,
    /// Replicas at most: `com.openfaas.scale.max`.
    pub max: u64,
    /// How much is added at once, in hundredths of `max`: `com.openfaas.scale.factor`. Zero adds
    /// nothing.
    pub factor: u64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min: 1,
            max: 20,
            factor: 20,
        }
    }
}

impl Scaling {
    /// Reads the labels of a function.
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        let read = |name: &str, most: u64| {
            let text = labels.get(&format!("com.openfaas.scale.{name}"))?;
            text.trim().parse().ok().filter(|number| *number <= most)
        };
        let default = Self::default();
        Self {
            min: read("min", MAX_REPLICAS).unwrap_or(default.min),
            max: read("max", MAX_REPLICAS).unwrap_or(default.max),
            factor: read("factor", 100).unwrap_or(default.factor),
        }
    }

    /// Replicas of a function that is deployed: as many as it had, within its bounds.
    pub fn settle(self, current: Option<u64>) -> u64 {
        let max = self.max.max(self.min);
        current.map_or(self.min, |current| current.clamp(self.min, max))
    }

    /// Replicas of a function that is woken.
    pub fn awake(self) -> u64 {
        self.min.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)]) -> Scaling {
        let label = |(name, value): &(&str, &str)| {
            (format!("com.openfaas.scale.{name}"), (*value).to_owned())
        };
        Scaling::of(&labels.iter().map(label).collect())
    }

    #[test]
    fn what_cannot_be_read_is_the_default() {
        assert_eq!(of(&[]), Scaling::default());
        let odd = [("min", "-3"), ("max", "many"), ("factor", "101")];
        assert_eq!(of(&odd), Scaling::default());
        assert_eq!(of(&[("min", "99999999999")]), Scaling::default());
        let read = of(&[("min", "0"), ("max", "5"), ("factor", "0")]);
        assert_eq!((read.min, read.max, read.factor), (0, 5, 0));
    }

    #[test]
    fn replicas_settle_within_the_bounds() {
        assert_eq!(of(&[]).settle(None), 1);
        assert_eq!(of(&[("min", "2")]).settle(None), 2);
        assert_eq!(of(&[("min", "0")]).settle(None), 0);
        assert_eq!(of(&[("min", "2")]).settle(Some(5)), 5);
        assert_eq!(of(&[("max", "3")]).settle(Some(5)), 3);
        assert_eq!(of(&[("min", "2")]).settle(Some(0)), 2);
        assert_eq!(of(&[("min", "8"), ("max", "3")]).settle(Some(1)), 8);
    }

    #[test]
    fn a_function_is_woken_to_its_least_but_not_to_nothing() {
        assert_eq!(of(&[("min", "0")]).awake(), 1);
        assert_eq!(of(&[("min", "3")]).awake(), 3);
    }
}
