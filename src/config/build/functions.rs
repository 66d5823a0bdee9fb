//! `functions`: what the file declares.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reader;
use crate::config::file::{self, Entries, OneOrMany, Origin, Scalar};
use crate::config::value::{Cpu, Load, Memory, Proportion};
use crate::config::{
    Function, Limits, Mode, Place, Process, Provider, Secrets, Timeouts, Watchdog, function_key,
};
use crate::function::{
    FunctionName, MAX_REPLICAS, MAX_WINDOW, RetryLabels, Scaling, Target, ZERO_AFTER,
    check_secret_name,
};

/// The provider, and where its kind was written.
pub(super) struct Owner<'a> {
    pub(super) provider: &'a Provider,
    pub(super) kind: Origin,
}

impl Reader<'_> {
    pub(super) fn functions(
        &mut self,
        raw: &Option<Entries<file::Function>>,
        owner: &Owner<'_>,
        timeouts: Timeouts,
    ) -> BTreeMap<FunctionName, Function> {
        let mut functions = BTreeMap::new();
        let mut spellings: BTreeMap<FunctionName, &str> = BTreeMap::new();
        for (name, raw) in raw.as_ref().map_or(&[][..], |raw| &raw.0) {
            let default_namespace = owner.provider.default_namespace();
            let parsed = match FunctionName::parse(&name.text, default_namespace) {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.refuse(name.origin, "functions", &error.to_string());
                    continue;
                }
            };
            let key = format!("functions.{}", function_key(&parsed, default_namespace));
            if let Some(first) = spellings.insert(parsed.clone(), &name.text) {
                let why = format!("is `{first}` once more, keep one of them");
                self.refuse(name.origin, &format!("functions.{}", name.text), &why);
            }
            self.check_namespace(name, &parsed, owner);
            if let Some(function) = self.function(&key, name.origin, raw, owner, timeouts) {
                functions.insert(parsed, function);
            }
        }
        functions
    }

    /// A namespace nobody listed is a slip more often than not.
    fn check_namespace(&mut self, name: &Scalar<String>, parsed: &FunctionName, owner: &Owner<'_>) {
        if let Provider::Process(process) = owner.provider
            && !process
                .namespaces
                .iter()
                .any(|known| known == parsed.namespace())
        {
            let why = format!(
                "namespace `{}` is not known, add it to `provider.namespaces`",
                parsed.namespace()
            );
            self.refuse(name.origin, &format!("functions.{}", name.text), &why);
        }
    }

    fn function(
        &mut self,
        key: &str,
        origin: Origin,
        raw: &file::Function,
        owner: &Owner<'_>,
        timeouts: Timeouts,
    ) -> Option<Function> {
        let labels = self.read_entries(&format!("{key}.labels"), &raw.labels);
        let annotations = self.read_entries(&format!("{key}.annotations"), &raw.annotations);
        let scaling = self.scaling(key, raw, Scaling::of(&labels));
        let none = file::Retry::default();
        let retry = raw.retry.as_ref().unwrap_or(&none);
        let said = RetryLabels::of(&labels, &annotations);
        let retry = self.retry_of(&format!("{key}.retry"), retry, said);
        let place = match (&raw.process, &raw.upstream) {
            (Some(command), None) => self
                .process(key, command, raw, owner, scaling)
                .map(|process| Place::Process(Box::new(process))),
            (None, Some(upstream)) => {
                self.only_for_processes(key, raw);
                Some(Place::Upstream(
                    self.one_or_many(&format!("{key}.upstream"), upstream),
                ))
            }
            (Some(command), Some(_)) => {
                let why = "`process` and `upstream` exclude each other, keep one";
                self.refuse(command.origin(), key, why);
                None
            }
            (None, None) => {
                self.refuse(
                    origin,
                    key,
                    "needs `process: COMMAND` or `upstream: http://host:port`",
                );
                None
            }
        };
        Some(Function {
            timeouts: self.function_timeouts(key, raw, timeouts),
            scaling,
            retry,
            labels,
            annotations,
            place: place?,
        })
    }

    fn process(
        &mut self,
        key: &str,
        command: &OneOrMany<String>,
        raw: &file::Function,
        owner: &Owner<'_>,
        scaling: Scaling,
    ) -> Option<Process> {
        if matches!(owner.provider, Provider::Remote(_)) {
            let why = "the remote provider cannot run it, `provider.kind` must be `process`";
            self.misfit(command.origin(), owner.kind, &format!("{key}.process"), why);
        }
        let mistakes = self.notes.problems.len();
        let words = self.one_or_many(&format!("{key}.process"), command);
        let readable = self.notes.problems.len() == mistakes;
        let words: Vec<String> = match command {
            OneOrMany::One(_) => {
                let text = words.concat();
                text.split_whitespace().map(str::to_owned).collect()
            }
            OneOrMany::Many(..) => words,
        };
        if readable && words.first().is_none_or(String::is_empty) {
            self.refuse(
                command.origin(),
                &format!("{key}.process"),
                "names no program",
            );
        }
        let process = Process {
            command: words,
            mode: self.read_or(&format!("{key}.mode"), &raw.mode, Mode::Classic),
            dir: self.read(&format!("{key}.dir"), &raw.dir),
            environment: self.environment(&format!("{key}.environment"), raw),
            replicas: self.replicas(&format!("{key}.replicas"), &raw.replicas, scaling.min),
            secrets: self.secrets(&format!("{key}.secrets"), raw),
            limits: self.limits(&format!("{key}.limits"), raw),
            watchdog: self.watchdog(key, raw),
        };
        matches!(owner.provider, Provider::Process(_)).then_some(process)
    }

    fn environment(&mut self, key: &str, raw: &file::Function) -> BTreeMap<String, String> {
        for (name, value) in raw.environment.as_ref().map_or(&[][..], |raw| &raw.0) {
            if name.text.is_empty() || name.text.contains(['=', '\0']) {
                let why = format!("`{}` cannot be a variable's name", name.text);
                self.refuse(name.origin, key, &why);
            } else if name.text.contains("${") {
                let why = "`${` is filled in in values only, write the variable's name itself";
                self.refuse(name.origin, key, why);
            }
            if value.text.contains('\0') {
                self.refuse(value.origin, key, "a variable cannot hold a zero byte");
            }
        }
        self.read_entries(key, &raw.environment)
    }

    fn secrets(&mut self, key: &str, raw: &file::Function) -> Secrets {
        let mut names: Vec<String> = Vec::new();
        let list = raw.secrets.as_deref().unwrap_or_default();
        for (index, scalar) in list.iter().enumerate() {
            let Some(name) = self.read_scalar(&format!("{key}.{index}"), scalar) else {
                continue;
            };
            if let Err(error) = check_secret_name(&name) {
                self.refuse(scalar.origin, key, &error.to_string());
            } else if names.contains(&name) {
                let why = format!("names `{name}` twice, keep one of them");
                self.refuse(scalar.origin, key, &why);
            } else {
                names.push(name);
            }
        }
        Secrets { names, version: 0 }
    }

    fn limits(&mut self, key: &str, raw: &file::Function) -> Limits {
        let none = file::Limits::default();
        let raw = raw.limits.as_ref().unwrap_or(&none);
        let memory = self.read(&format!("{key}.memory"), &raw.memory);
        let cpu = self.read(&format!("{key}.cpu"), &raw.cpu);
        Limits {
            memory: memory.map(|Memory(bytes)| bytes),
            cpu: cpu.map(|Cpu(millis)| millis),
        }
    }

    /// What the file says stands above what the labels say.
    fn scaling(&mut self, key: &str, raw: &file::Function, labels: Scaling) -> Scaling {
        let none = file::FunctionScale::default();
        let scale = raw.scale.as_ref().unwrap_or(&none);
        let at = |name: &str| format!("{key}.scale.{name}");
        let concurrency = self.read(&format!("{key}.concurrency"), &raw.concurrency);
        let zero = self.read_or(&at("zero"), &scale.zero, labels.zero.is_some());
        let after = labels.zero.unwrap_or(ZERO_AFTER);
        let after = self.read_or(&at("zero_duration"), &scale.zero_duration, after);
        let scaling = Scaling {
            min: self.replicas(&at("min"), &scale.min, labels.min),
            max: self.replicas(&at("max"), &scale.max, labels.max),
            factor: self.at_most(&at("factor"), &scale.factor, 100, labels.factor),
            target: self.target(key, scale, labels.target),
            zero: zero.then_some(after),
            concurrency: concurrency.or(labels.concurrency),
        };
        if let (Some(max), true) = (&scale.max, scaling.max < scaling.min) {
            let why = format!("is less than the minimum, which is {}", scaling.min);
            self.refuse(max.origin, &at("max"), &why);
        }
        scaling
    }

    fn target(
        &mut self,
        key: &str,
        scale: &file::FunctionScale,
        labels: Option<Target>,
    ) -> Option<Target> {
        let at = |name: &str| format!("{key}.scale.{name}");
        let default = labels.unwrap_or_default();
        let measure = self.read(&at("type"), &scale.measure);
        let load = self.read_or(&at("target"), &scale.target, Load(default.load));
        let proportion = Proportion(default.proportion);
        let proportion = self.read_or(
            &at("target_proportion"),
            &scale.target_proportion,
            proportion,
        );
        let target = Target {
            measure: measure.unwrap_or(default.measure),
            load: load.0,
            proportion: proportion.0,
            window: self.read_or(&at("down_window"), &scale.down_window, default.window),
        };
        if let (Some(window), true) = (&scale.down_window, target.window > MAX_WINDOW) {
            self.refuse(window.origin, &at("down_window"), "is longer than 5m");
        }
        let alone = [
            ("target", scale.target.as_ref().map(|s| s.origin)),
            (
                "target_proportion",
                scale.target_proportion.as_ref().map(|s| s.origin),
            ),
            ("down_window", scale.down_window.as_ref().map(|s| s.origin)),
        ];
        let typed = scale.measure.is_some() || labels.is_some();
        for (name, origin) in alone {
            if let (false, Some(origin)) = (typed, origin) {
                let why = "has no effect without a `type`: rps, capacity or queue";
                self.refuse(origin, &at(name), why);
            }
        }
        typed.then_some(target)
    }

    fn replicas(&mut self, key: &str, raw: &Option<Scalar<u64>>, default: u64) -> u64 {
        self.at_most(key, raw, MAX_REPLICAS, default)
    }

    fn at_most(&mut self, key: &str, raw: &Option<Scalar<u64>>, most: u64, default: u64) -> u64 {
        let number = self.read_or(key, raw, default);
        if let (Some(scalar), true) = (raw, number > most) {
            self.refuse(scalar.origin, key, &format!("is more than {most}"));
            return default;
        }
        number
    }

    fn watchdog(&mut self, key: &str, raw: &file::Function) -> Watchdog {
        let none = file::FunctionTimeouts::default();
        let timeouts = raw.timeouts.as_ref().unwrap_or(&none);
        let seconds = Duration::from_secs;
        let at = |name: &str| format!("{key}.{name}");
        let ready_path = self.read(&at("ready_path"), &raw.ready_path);
        if let (Some(scalar), Some(path)) = (&raw.ready_path, &ready_path)
            && !path.starts_with('/')
        {
            self.refuse(scalar.origin, &at("ready_path"), "must begin with `/`");
        }
        Watchdog {
            exec_timeout: self.read_or(&at("timeouts.exec"), &timeouts.exec, Duration::ZERO),
            max_inflight: self.read(&at("max_inflight"), &raw.max_inflight),
            content_type: self.read(&at("content_type"), &raw.content_type),
            cgi_headers: self.read_or(&at("cgi_headers"), &raw.cgi_headers, true),
            combine_output: self.read_or(&at("combine_output"), &raw.combine_output, true),
            read_debug: self.read_or(&at("read_debug"), &raw.read_debug, false),
            write_debug: self.read_or(&at("write_debug"), &raw.write_debug, false),
            ready_path,
            start_timeout: self.read_or(&at("timeouts.start"), &timeouts.start, seconds(30)),
            stop_timeout: self.read_or(&at("timeouts.stop"), &timeouts.stop, seconds(10)),
        }
    }

    fn function_timeouts(&mut self, key: &str, raw: &file::Function, all: Timeouts) -> Timeouts {
        let none = file::FunctionTimeouts::default();
        let raw = raw.timeouts.as_ref().unwrap_or(&none);
        let at = |name: &str| format!("{key}.timeouts.{name}");
        for name in ["read", "write", "upstream", "idle"] {
            self.inherit(&at(name), &format!("timeouts.{name}"));
        }
        Timeouts {
            read: self.read_or(&at("read"), &raw.read, all.read),
            write: self.read_or(&at("write"), &raw.write, all.write),
            upstream: self.read_or(&at("upstream"), &raw.upstream, all.upstream),
            idle: self.read_or(&at("idle"), &raw.idle, all.idle),
        }
    }

    /// Whoever sets one of these for a static upstream believes that it does something.
    fn only_for_processes(&mut self, key: &str, raw: &file::Function) {
        let timeouts = raw.timeouts.as_ref();
        let set = [
            ("mode", raw.mode.as_ref().map(|s| s.origin)),
            ("dir", raw.dir.as_ref().map(|s| s.origin)),
            (
                "environment",
                raw.environment
                    .as_ref()
                    .and_then(|e| Some(e.0.first()?.0.origin)),
            ),
            ("replicas", raw.replicas.as_ref().map(|s| s.origin)),
            ("scale", raw.scale.as_ref().and_then(scale_origin)),
            (
                "secrets",
                raw.secrets.iter().flatten().next().map(|s| s.origin),
            ),
            (
                "limits.memory",
                raw.limits
                    .as_ref()
                    .and_then(|l| Some(l.memory.as_ref()?.origin)),
            ),
            (
                "limits.cpu",
                raw.limits
                    .as_ref()
                    .and_then(|l| Some(l.cpu.as_ref()?.origin)),
            ),
            ("max_inflight", raw.max_inflight.as_ref().map(|s| s.origin)),
            ("content_type", raw.content_type.as_ref().map(|s| s.origin)),
            ("cgi_headers", raw.cgi_headers.as_ref().map(|s| s.origin)),
            (
                "combine_output",
                raw.combine_output.as_ref().map(|s| s.origin),
            ),
            ("read_debug", raw.read_debug.as_ref().map(|s| s.origin)),
            ("write_debug", raw.write_debug.as_ref().map(|s| s.origin)),
            ("ready_path", raw.ready_path.as_ref().map(|s| s.origin)),
            (
                "timeouts.exec",
                timeouts.and_then(|t| Some(t.exec.as_ref()?.origin)),
            ),
            (
                "timeouts.start",
                timeouts.and_then(|t| Some(t.start.as_ref()?.origin)),
            ),
            (
                "timeouts.stop",
                timeouts.and_then(|t| Some(t.stop.as_ref()?.origin)),
            ),
        ];
        for (name, origin) in set {
            if let Some(origin) = origin {
                let why = "only a `process` has it, this function has an `upstream`";
                self.refuse(origin, &format!("{key}.{name}"), why);
            }
        }
    }

    fn one_or_many<T: super::Value>(&mut self, key: &str, raw: &OneOrMany<T>) -> Vec<T> {
        match raw {
            OneOrMany::One(one) => self.read_scalar(key, one).into_iter().collect(),
            OneOrMany::Many(origin, many) => {
                if many.is_empty() {
                    self.refuse(*origin, key, "the list is empty, write at least one value");
                }
                self.read_list(key, many)
            }
        }
    }
}

/// Where something of a scale is set.
fn scale_origin(scale: &file::FunctionScale) -> Option<Origin> {
    let numbers = [&scale.min, &scale.max, &scale.factor];
    let numbers = numbers.into_iter().flatten().map(|s| s.origin);
    let durations = [&scale.down_window, &scale.zero_duration];
    let durations = durations.into_iter().flatten().map(|s| s.origin);
    numbers
        .chain(durations)
        .chain(scale.measure.as_ref().map(|s| s.origin))
        .chain(scale.target.as_ref().map(|s| s.origin))
        .chain(scale.target_proportion.as_ref().map(|s| s.origin))
        .chain(scale.zero.as_ref().map(|s| s.origin))
        .next()
}
