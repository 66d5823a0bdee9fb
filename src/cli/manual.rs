//! The manual page: made of the definition of the command line, and of what that does not know.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::EXAMPLES;
use crate::release;

/// A way in, with what it means.
type Entry = (&'static str, &'static str);

const SIGNALS: [Entry; 3] = [
    (
        "HUP",
        "Read the configuration again. A file with a mistake changes nothing.",
    ),
    (
        "TERM, INT",
        "Drain: readiness goes off, calls in flight finish, functions are stopped. A second one ends at once.",
    ),
    (
        "KILL",
        "Functions are ended by a companion process. Calls that were queued are kept.",
    ),
];

const EXIT_STATUS: [Entry; 3] = [
    (
        "0",
        "It did what it was asked for, or ended after a signal.",
    ),
    (
        "1",
        "The configuration is not good, or it could not start; one line says why.",
    ),
    ("2", "The command line was not understood."),
];

const ENVIRONMENT: [Entry; 4] = [
    (
        "functions_provider_url",
        "The faas-provider whose functions are served. It and the other variables of the OpenFaaS gateway \
         (read_timeout, basic_auth, secret_mount_path, ...) are laid over the file; `gateway check` names \
         those that have no effect.",
    ),
    (
        "RUST_LOG",
        "What goes to the log on standard error, such as debug or gateway=debug,warn.",
    ),
    (
        "SSL_CERT_FILE",
        "Root certificates for the gateway's own requests, in place of the system's.",
    ),
    (
        "NAME",
        "Whatever the configuration file asks for with ${NAME}.",
    ),
];

const FILES: [Entry; 3] = [
    (
        "conf/gateway.yaml",
        "The configuration, if it is there and --config names no other file.",
    ),
    (
        "data/",
        "Everything durable: functions, secrets, queued calls, counts.",
    ),
    (
        "data/auth/basic-auth-password",
        "The password of API and portal, generated at the first start; the user is admin.",
    ),
];

/// The page, in troff.
pub(super) fn page(command: Command) -> io::Result<Vec<u8>> {
    let command = command.subcommand_value_name("COMMAND");
    // A space for no date: an empty word would be left out, and what follows would take its place.
    let date = Some(release::DATE).filter(|date| !date.is_empty());
    let man = Man::new(command.clone())
        .title("GATEWAY")
        .date(date.unwrap_or(" "));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    commands(&command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    for (heading, entries) in [
        ("SIGNALS", &SIGNALS[..]),
        ("EXIT STATUS", &EXIT_STATUS),
        ("ENVIRONMENT", &ENVIRONMENT),
        ("FILES", &FILES),
    ] {
        section(heading, entries).to_writer(&mut page)?;
    }
    examples().to_writer(&mut page)?;
    Ok(page)
}

fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for command in command.get_subcommands() {
        let own = command.get_arguments();
        let own: Vec<_> = own.filter(|arg| !arg.is_global_set()).collect();
        let mut head = vec![bold(command.get_name())];
        for arg in &own {
            head.extend([roman(" "), italic(usage(arg))]);
        }
        roff.control("TP", []).text(head);
        let about = command.get_long_about().or_else(|| command.get_about());
        prose(
            &mut roff,
            &about.map(ToString::to_string).unwrap_or_default(),
        );
        for arg in own {
            roff.control("RS", []).control("TP", []);
            roff.text([bold(name(arg))]).text([roman(meaning(arg))]);
            roff.control("RE", []);
        }
    }
    roff
}

/// `[--json]`, or `SHELL`.
fn usage(arg: &Arg) -> String {
    if arg.is_required_set() {
        name(arg)
    } else {
        format!("[{}]", name(arg))
    }
}

fn name(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => arg.get_id().as_str().to_uppercase(),
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values = arg.get_possible_values();
    let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
    // A flag has the values `true` and `false`, which nobody writes.
    if arg.get_long().is_some() || names.is_empty() {
        help
    } else {
        format!("{help}: {}", names.join(", "))
    }
}

/// Lines that begin with spaces are not joined.
fn prose(roff: &mut Roff, text: &str) {
    let mut filled = true;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if filled == line.starts_with(' ') {
            roff.control(if filled { "nf" } else { "fi" }, []);
            filled = !filled;
        }
        roff.text([roman(line)]);
    }
    if !filled {
        roff.control("fi", []);
    }
}

fn section(heading: &str, entries: &[Entry]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, meaning) in entries {
        roff.control("TP", []).text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
    roff
}

fn examples() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in EXAMPLES.lines().skip(1) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    roff
}
