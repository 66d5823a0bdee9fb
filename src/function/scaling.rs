//! What labels say of a function's scaling (wire.md section 5.1).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::labels::Labels;

/// Replicas of one function at most, whatever its labels say: each may be a process.
pub const MAX_REPLICAS: u64 = 1000;

/// Longest [`Target::window`].
pub const MAX_WINDOW: Duration = Duration::from_secs(300);

/// Time without calls after which a function is put to sleep that may be.
pub const ZERO_AFTER: Duration = Duration::from_secs(15 * 60);

/// Labels of scaling, read. What cannot be read counts as not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Replicas at least: `com.openfaas.scale.min`.
    pub min: u64,
    /// Replicas at most: `com.openfaas.scale.max`.
    pub max: u64,
    /// How much the classic rule adds at once, in hundredths of `max`: `com.openfaas.scale.factor`.
    /// Zero adds nothing.
    pub factor: u64,
    /// Load that each replica shall have; `None`: the classic rule decides.
    pub target: Option<Target>,
    /// Time without calls after which it is put to sleep; `None`: never. From
    /// `com.openfaas.scale.zero` and `com.openfaas.scale.zero-duration`.
    pub zero: Option<Duration>,
    /// Calls one replica may have in flight, more wait in line: `com.openfaas.concurrency`.
    pub concurrency: Option<NonZeroUsize>,
}

/// A load that each replica shall have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// What is measured: `com.openfaas.scale.type`.
    pub measure: Measure,
    /// How much of it one replica takes: `com.openfaas.scale.target`.
    pub load: f64,
    /// The part of `load` that is aimed at, above 0 and up to 1:
    /// `com.openfaas.scale.target-proportion`.
    pub proportion: f64,
    /// Replicas are taken away only when none was needed for so long:
    /// `com.openfaas.scale.down.window`.
    pub window: Duration,
}

/// What load is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Calls begun per second.
    Rps,
    /// Calls that would be in flight if none had to wait in line.
    Capacity,
    /// Calls in line, and asynchronous ones that are queued.
    Queue,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min: 1,
            max: 20,
            factor: 20,
            target: None,
            zero: None,
            concurrency: None,
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self {
            measure: Measure::Rps,
            load: 50.0,
            proportion: 0.9,
            window: Duration::from_secs(60),
        }
    }
}

impl Scaling {
    /// Reads the labels of a function.
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        let labels = Labels(labels);
        let default = Self::default();
        let replicas = |name| labels.number(name).filter(|number| *number <= MAX_REPLICAS);
        let zero = labels.read("scale.zero").unwrap_or(false);
        let after = labels.duration("scale.zero-duration").unwrap_or(ZERO_AFTER);
        Self {
            min: replicas("scale.min").unwrap_or(default.min),
            max: replicas("scale.max").unwrap_or(default.max),
            factor: labels
                .number("scale.factor")
                .filter(|factor| *factor <= 100)
                .unwrap_or(default.factor),
            target: labels
                .text("scale.type")
                .and_then(Measure::of)
                .map(|measure| labels.target(measure)),
            zero: zero.then_some(after),
            concurrency: labels.read("concurrency"),
        }
    }

    /// Replicas of a function that is deployed: as many as it had, within its bounds.
    pub fn settle(self, current: Option<u64>) -> u64 {
        // Who may sleep and does sleeps on.
        if self.zero.is_some() && current == Some(0) {
            return 0;
        }
        current.map_or(self.min, |current| current.clamp(self.min, self.most()))
    }

    /// Replicas of a function that is woken.
    pub fn awake(self) -> u64 {
        self.min.max(1)
    }

    /// Replicas at most; a minimum above the maximum counts more.
    pub fn most(self) -> u64 {
        self.max.max(self.min)
    }
}

impl Measure {
    /// All of them, with the words that labels, the file and metrics have for them.
    pub const WORDS: [(&str, Self); 3] = [
        (Self::Rps.as_str(), Self::Rps),
        (Self::Capacity.as_str(), Self::Capacity),
        (Self::Queue.as_str(), Self::Queue),
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rps => "rps",
            Self::Capacity => "capacity",
            Self::Queue => "queue",
        }
    }

    fn of(text: &str) -> Option<Self> {
        let known = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        known.map(|(_, measure)| measure)
    }
}

/// Whether a number can be a [`Target::load`].
pub fn is_load(load: f64) -> bool {
    load.is_finite() && load > 0.0
}

/// Whether a number can be a [`Target::proportion`].
pub fn is_proportion(proportion: f64) -> bool {
    proportion > 0.0 && proportion <= 1.0
}

impl Labels<'_> {
    fn target(&self, measure: Measure) -> Target {
        let default = Target::default();
        let load = self.read("scale.target").filter(|load| is_load(*load));
        let proportion = self.read("scale.target-proportion");
        let proportion = proportion.filter(|proportion| is_proportion(*proportion));
        let window = self.duration("scale.down.window");
        Target {
            measure,
            load: load.unwrap_or(default.load),
            proportion: proportion.unwrap_or(default.proportion),
            window: window
                .filter(|window| *window <= MAX_WINDOW)
                .unwrap_or(default.window),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)]) -> Scaling {
        let label =
            |(name, value): &(&str, &str)| (format!("com.openfaas.{name}"), (*value).to_owned());
        Scaling::of(&labels.iter().map(label).collect())
    }

    #[test]
    fn what_cannot_be_read_is_the_default() {
        assert_eq!(of(&[]), Scaling::default());
        let odd = [
            ("scale.min", "-3"),
            ("scale.max", "many"),
            ("scale.factor", "101"),
            ("scale.type", "cpu"),
            ("scale.zero", "perhaps"),
            ("concurrency", "0"),
        ];
        assert_eq!(of(&odd), Scaling::default());
        assert_eq!(of(&[("scale.min", "99999999999")]), Scaling::default());
        let read = of(&[
            ("scale.min", "0"),
            ("scale.max", "5"),
            ("scale.factor", "0"),
        ]);
        assert_eq!((read.min, read.max, read.factor), (0, 5, 0));
    }

    #[test]
    fn a_type_sets_a_target_with_defaults() {
        assert_eq!(of(&[("scale.type", "rps")]).target, Some(Target::default()));
        let target = of(&[
            ("scale.type", "capacity"),
            ("scale.target", "2.5"),
            ("scale.target-proportion", "0.5"),
            ("scale.down.window", "1m30s"),
        ]);
        let expected = Target {
            measure: Measure::Capacity,
            load: 2.5,
            proportion: 0.5,
            window: Duration::from_secs(90),
        };
        assert_eq!(target.target, Some(expected));
        let odd = of(&[
            ("scale.type", "rps"),
            ("scale.target", "-1"),
            ("scale.target-proportion", "1.1"),
            ("scale.down.window", "6m"),
        ]);
        assert_eq!(odd.target, Some(Target::default()));
    }

    #[test]
    fn it_sleeps_only_where_it_says_so() {
        assert_eq!(of(&[("scale.zero-duration", "1m")]).zero, None);
        assert_eq!(of(&[("scale.zero", "true")]).zero, Some(ZERO_AFTER));
        let minute = of(&[("scale.zero", "true"), ("scale.zero-duration", "1m")]);
        assert_eq!(minute.zero, Some(Duration::from_secs(60)));
    }

    #[test]
    fn replicas_settle_within_the_bounds() {
        assert_eq!(of(&[]).settle(None), 1);
        assert_eq!(of(&[("scale.min", "2")]).settle(None), 2);
        assert_eq!(of(&[("scale.min", "0")]).settle(None), 0);
        assert_eq!(of(&[("scale.min", "2")]).settle(Some(5)), 5);
        assert_eq!(of(&[("scale.max", "3")]).settle(Some(5)), 3);
        assert_eq!(of(&[("scale.min", "2")]).settle(Some(0)), 2);
        assert_eq!(
            of(&[("scale.min", "8"), ("scale.max", "3")]).settle(Some(1)),
            8
        );
        assert_eq!(of(&[("scale.zero", "true")]).settle(Some(0)), 0);
    }

    #[test]
    fn a_function_is_woken_to_its_least_but_not_to_nothing() {
        assert_eq!(of(&[("scale.min", "0")]).awake(), 1);
        assert_eq!(of(&[("scale.min", "3")]).awake(), 3);
    }
}
