//! How a deployment is run on this machine: which command, in which mode, how many copies.
//!
//! The command is the deployment's `envProcess`, else the variable `fprocess`, else that of the first
//! entry in the table `provider.images` whose pattern fits the image. Folder and mode come from that
//! entry in any case. The watchdog's settings are variables of the deployment, as they are for the
//! watchdogs of containers (users.md section 5.3).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use crate::config::{Image, Limits, Mode, Process, Secrets, Watchdog};
use crate::duration::parse_duration;
use crate::error::Refusal;
use crate::function::{Deployment, Resources};
use crate::quantity::{parse_cpu, parse_memory};

/// The process that a deployment stands for, without its number of copies.
pub(super) fn process(deployment: &Deployment, images: &[Image]) -> Result<Process, Refusal> {
    let image = images
        .iter()
        .find(|image| fits(&image.pattern, &deployment.image));
    let variables = Variables(&deployment.env_vars);
    check_texts(deployment)?;
    Ok(Process {
        command: command(deployment, image)?,
        mode: mode(&variables, image)?,
        dir: image.and_then(|image| image.dir.clone()),
        environment: deployment.env_vars.clone(),
        replicas: 1,
        secrets: secrets(deployment),
        limits: limits(deployment)?,
        watchdog: watchdog(&variables)?,
    })
}

/// A process that cannot start, for want of a command.
pub(super) fn nothing() -> Process {
    Process {
        command: Vec::new(),
        mode: Mode::Classic,
        dir: None,
        environment: BTreeMap::new(),
        replicas: 1,
        secrets: Secrets::default(),
        limits: Limits::default(),
        watchdog: defaults(),
    }
}

/// What no process can be started with, or no log line should hold.
fn check_texts(deployment: &Deployment) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::bad_request(what));
    if deployment.env_process.contains('\0') || deployment.image.contains(char::is_control) {
        return refuse("image and envProcess cannot hold control characters".to_owned());
    }
    for (name, value) in &deployment.env_vars {
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse(format!("`{name}` cannot be the name of a variable"));
        }
        if value.contains('\0') {
            return refuse(format!("variable {name} cannot hold a zero byte"));
        }
    }
    Ok(())
}

fn command(deployment: &Deployment, image: Option<&Image>) -> Result<Vec<String>, Refusal> {
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let variable = |name| deployment.env_vars.get(name).map(String::as_str);
    let given = [
        Some(deployment.env_process.as_str()),
        variable("fprocess"),
        variable("function_process"),
        image.and_then(|image| image.command.as_deref()),
    ];
    let command = given
        .into_iter()
        .flatten()
        .map(words)
        .find(|words| !words.is_empty());
    command.ok_or_else(|| {
        let image = &deployment.image;
        Refusal::bad_request(format!(
            "nothing says which command image `{image}` stands for on this machine: deploy with \
             envProcess (faas-cli: --fprocess), or map the image in the gateway's configuration, \
             like `provider: {{ images: {{ \"{image}\": {{ command: \"...\", dir: ... }} }} }}`"
        ))
    })
}

fn mode(variables: &Variables<'_>, image: Option<&Image>) -> Result<Mode, Refusal> {
    let mode = match variables.text("mode") {
        None => image.map_or(Mode::Classic, |image| image.mode),
        Some("http") => Mode::Http,
        Some("streaming") => Mode::Streaming,
        Some("classic" | "serializing") => Mode::Classic,
        Some(other) => {
            let known = "classic, streaming, serializing and http";
            let message = format!("mode `{other}` is none of those known here: {known}");
            return Err(Refusal::bad_request(message));
        }
    };
    Ok(mode)
}

/// Each of them once: naming one twice is no mistake for clients of the API.
fn secrets(deployment: &Deployment) -> Secrets {
    let names: BTreeSet<_> = deployment.secrets.iter().cloned().collect();
    Secrets {
        names: names.into_iter().collect(),
        version: 0,
    }
}

/// What limits and requests say has to make sense; requests are kept and have no effect.
fn limits(deployment: &Deployment) -> Result<Limits, Refusal> {
    let read = |which: &str, resources: &Option<Resources>| {
        let Some(Resources { memory, cpu, .. }) = resources else {
            return Ok(Limits::default());
        };
        let refused = |name: &str, text: &str, why: String| {
            Refusal::bad_request(format!("{which}.{name}: `{text}` {why}"))
        };
        let (memory_set, cpu_set) = (!memory.is_empty(), !cpu.is_empty());
        let bytes = memory_set.then(|| parse_memory(memory)).transpose();
        let millis = cpu_set.then(|| parse_cpu(cpu)).transpose();
        Ok(Limits {
            memory: bytes.map_err(|why| refused("memory", memory, why))?,
            cpu: millis.map_err(|why| refused("cpu", cpu, why))?,
        })
    };
    read("requests", &deployment.requests)?;
    read("limits", &deployment.limits)
}

fn watchdog(variables: &Variables<'_>) -> Result<Watchdog, Refusal> {
    let ready_path = variables.text("ready_path").map(str::to_owned);
    if ready_path
        .as_ref()
        .is_some_and(|path| !path.starts_with('/'))
    {
        return Err(Refusal::bad_request("ready_path must begin with `/`"));
    }
    let defaults = defaults();
    let max_inflight = variables.read::<usize>("max_inflight", "a number")?;
    let switch = |name, default| variables.switch(name).map(|given| given.unwrap_or(default));
    Ok(Watchdog {
        exec_timeout: variables.duration("exec_timeout")?.unwrap_or_default(),
        // Zero is no limit, as for the watchdogs of containers.
        max_inflight: max_inflight.and_then(|calls| calls.try_into().ok()),
        content_type: variables.text("content_type").map(str::to_owned),
        cgi_headers: switch("cgi_headers", defaults.cgi_headers)?,
        combine_output: switch("combine_output", defaults.combine_output)?,
        read_debug: switch("read_debug", defaults.read_debug)?,
        write_debug: switch("write_debug", defaults.write_debug)?,
        ready_path,
        ..defaults
    })
}

/// What the watchdog does where no variable says otherwise.
fn defaults() -> Watchdog {
    Watchdog {
        exec_timeout: Duration::ZERO,
        max_inflight: None,
        content_type: None,
        cgi_headers: true,
        combine_output: true,
        read_debug: false,
        write_debug: false,
        ready_path: None,
        start_timeout: Duration::from_secs(30),
        stop_timeout: Duration::from_secs(10),
    }
}

/// The variables of a deployment that say something to the watchdog; empty ones say nothing.
struct Variables<'a>(&'a BTreeMap<String, String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    }

    fn read<T: FromStr>(&self, name: &str, kind: &str) -> Result<Option<T>, Refusal> {
        self.with(name, kind, |text| text.parse().ok())
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        self.with(name, "a duration such as 10s", parse_duration)
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.with(name, "true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    fn with<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let refusal = || Refusal::bad_request(format!("variable {name}: `{text}` is not {kind}"));
        read(text).map(Some).ok_or_else(refusal)
    }
}

/// Whether a name fits a pattern, in which `*` stands for any text, even none.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // What follows the last star has to end the name; each part before it is taken where it first is.
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else {
            return false;
        };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn deployment(image: &str, env_process: &str, variables: &[(&str, &str)]) -> Deployment {
        Deployment {
            service: "f".to_owned(),
            image: image.to_owned(),
            env_process: env_process.to_owned(),
            env_vars: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Deployment::default()
        }
    }

    fn image(pattern: &str, command: Option<&str>, mode: Mode) -> Image {
        Image {
            pattern: pattern.to_owned(),
            dir: Some("/srv".into()),
            mode,
            command: command.map(str::to_owned),
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a/b:1", "a/b:1", true),
            ("a/b:1", "a/b:12", false),
            ("*", "", true),
            ("a/*:1", "a/b/c:1", true),
            ("a/*:1", "a/b:2", false),
            (
                "*functions/alpine:*",
                "docker.io/functions/alpine:latest",
                true,
            ),
            ("*functions/alpine:*", "docker.io/functions/alpine", false),
            ("a*a", "a", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_deployments_own_command_comes_first_then_the_variables_then_the_table() {
        let images = [image("i", Some("from table"), Mode::Http)];
        let command = |env_process, variables: &[(&str, &str)]| {
            process(&deployment("i", env_process, variables), &images)
                .unwrap()
                .command
                .join(" ")
        };
        assert_eq!(command("own  one", &[("fprocess", "variable")]), "own one");
        assert_eq!(command(" ", &[("fprocess", "variable")]), "variable");
        assert_eq!(command("", &[]), "from table");
    }

    #[test]
    fn folder_and_mode_are_the_tables_and_the_first_that_fits_counts() {
        let images = [
            image("i:*", None, Mode::Http),
            image("*", None, Mode::Streaming),
        ];
        let first = process(&deployment("i:1", "./handler", &[]), &images).unwrap();
        assert_eq!((first.mode, first.dir), (Mode::Http, Some("/srv".into())));
        let second = process(&deployment("j", "cat", &[]), &images).unwrap();
        assert_eq!(second.mode, Mode::Streaming);
        let own = process(&deployment("j", "cat", &[("mode", "http")]), &images).unwrap();
        assert_eq!(own.mode, Mode::Http);
    }

    #[test]
    fn an_image_without_a_command_is_refused_with_what_to_do() {
        let error = process(&deployment("ghcr.io/acme/report:1", "", &[]), &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("ghcr.io/acme/report:1") && text.contains("images"),
            "{text}"
        );
    }

    #[test]
    fn the_watchdogs_variables_are_read_and_wrong_ones_refused() {
        let variables = [
            ("exec_timeout", "5s"),
            ("max_inflight", "3"),
            ("combine_output", "false"),
        ];
        let plan = process(&deployment("i", "cat", &variables), &[]).unwrap();
        assert_eq!(plan.watchdog.exec_timeout, Duration::from_secs(5));
        assert_eq!(plan.watchdog.max_inflight.unwrap().get(), 3);
        assert!(!plan.watchdog.combine_output && plan.watchdog.cgi_headers);
        for (name, value) in [
            ("exec_timeout", "soon"),
            ("max_inflight", "-1"),
            ("cgi_headers", "maybe"),
            ("mode", "lambda"),
            ("ready_path", "healthy"),
        ] {
            let error = process(&deployment("i", "cat", &[(name, value)]), &[]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
