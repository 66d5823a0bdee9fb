//! The Prometheus text format, version 0.0.4, read strictly enough to find mistakes.

use std::collections::BTreeMap;

/// One series.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Metric name, with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Value now.
    pub value: f64,
}

/// Everything of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Series in the order of the scrape.
    pub samples: Vec<Sample>,
    /// `TYPE` by metric name.
    pub types: BTreeMap<String, String>,
    /// `HELP` by metric name.
    pub helps: BTreeMap<String, String>,
}

impl Metrics {
    /// Asserts that a metric is of this type and has a text that explains it.
    #[track_caller]
    pub fn assert_described(&self, name: &str, kind: &str) {
        let found = self.types.get(name).map(String::as_str);
        assert_eq!(found, Some(kind), "{name}");
        let help = self.helps.get(name);
        assert!(
            help.is_some_and(|help| !help.is_empty()),
            "{name} has no help"
        );
    }

    /// Reads a scrape.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                metrics.types.insert(name.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                metrics.helps.insert(name.to_owned(), help.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                metrics
                    .samples
                    .push(sample(line).unwrap_or_else(|| panic!("not a sample: {line}")));
            }
        }
        metrics
    }

    /// The series of this name that carry these labels.
    pub fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        })
    }

    /// The sum of those; `None` without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.all(name, labels)
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().ok()?,
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Label values of the tests contain no quotes, so splitting at `",` is enough.
fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    text.trim_end_matches(',')
        .split_inclusive("\",")
        .map(|pair| {
            let (name, value) = pair.trim_end_matches(',').split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}
