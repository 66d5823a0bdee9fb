//! Who may open the API to everybody: the file anywhere, a variable only on this machine.

use super::{Flags, config_with, read, refusal};

/// The addresses of a file, and the one its API is reachable at; `None`: only from this machine.
const ADDRESSES: &[(&str, Option<&str>)] = &[
    ("", Some("0.0.0.0:8080")),
    ("server: { listen: \"10.0.0.1:1\" }\n", Some("10.0.0.1:1")),
    ("server: { listen: \"[::]:1\" }\n", Some("[::]:1")),
    (
        "server: { listen: \"127.0.0.1:1\" }\nadmin: { listen: \"10.0.0.1:2\" }\n",
        Some("10.0.0.1:2"),
    ),
    ("server: { listen: \"127.0.0.2:1\" }\n", None),
    ("server: { listen: \"[::1]:1\" }\n", None),
    ("server: { listen: \"[::ffff:127.0.0.1]:1\" }\n", None),
    ("admin: { listen: \"127.0.0.1:2\" }\n", None),
];

const OFF: &[(&str, &str)] = &[("basic_auth", "false")];

fn warnings(text: &str, variables: &[(&str, &str)]) -> String {
    match read(text, variables, &Flags::default()) {
        Ok(loaded) => loaded.warnings.join("\n").replace("g.yaml:", ""),
        Err(error) => panic!("{error}\nin:\n{text}"),
    }
}

/// The same text with the password switched off in it.
fn open(text: &str) -> String {
    let off = "basic_auth: { enabled: false }";
    match text.strip_suffix(" }\n") {
        Some(start) if text.contains("admin:") => format!("{start}, {off} }}\n"),
        _ => format!("{text}admin: {{ {off} }}\n"),
    }
}

#[test]
fn a_variable_alone_opens_no_public_address() {
    for (text, public) in ADDRESSES {
        let expected = match public {
            Some(address) => format!(
                "environment variable `basic_auth`: no password protects the API on {address}: \
                 whoever reaches it can run programs as this user; if that is what you want, write \
                 `admin: {{ basic_auth: {{ enabled: false }} }}` into the configuration file, too, \
                 otherwise leave the password on, or listen on 127.0.0.1"
            ),
            None => "accepted".to_owned(),
        };
        assert_eq!(refusal(text, OFF, &Flags::default()), expected, "{text}");
    }
}

#[test]
fn the_file_opens_any_address_with_a_warning() {
    for (text, public) in ADDRESSES {
        for variables in [&[][..], OFF] {
            let text = open(text);
            let warning = warnings(&text, variables);
            assert_eq!(warning.is_empty(), public.is_none(), "{text}{warning}");
            if let Some(address) = public {
                let words = format!("no password protects the API on {address}: ");
                assert!(warning.contains(&words), "{text}{warning}");
                assert!(!warning.contains("environment"), "{text}{warning}");
            }
        }
    }
}

#[test]
fn a_flag_moves_the_address_that_counts() {
    let flags = |listen: &str| Flags {
        listen: Some(listen.to_owned()),
        ..Flags::default()
    };
    let local = "server: { listen: \"127.0.0.1:1\" }";
    assert!(refusal(local, OFF, &flags("0.0.0.0:1")).contains("on 0.0.0.0:1"));
    assert_eq!(refusal("", OFF, &flags("127.0.0.1:1")), "accepted");
}

#[test]
fn a_variable_switches_on_what_the_file_switches_off_and_the_other_way_round() {
    let local = "server: { listen: \"127.0.0.1:1\" }\n";
    let on = |text: &str, variables| config_with(text, variables).admin.basic_auth.is_some();
    assert!(on(&open(local), &[("basic_auth", "true")]));
    let enabled = format!("{local}admin: {{ basic_auth: {{ enabled: true }} }}\n");
    assert!(!on(&enabled, OFF));
    let public = "admin: { basic_auth: { enabled: true } }\n";
    assert!(refusal(public, OFF, &Flags::default()).contains("`basic_auth`"));
}

#[test]
fn an_external_check_without_basic_auth_is_told_to_do_nothing() {
    let url = "server: { listen: \"127.0.0.1:1\" }\nadmin: { auth_proxy_url: \"http://a/\" }\n";
    assert_eq!(warnings(url, &[]), "");
    assert_eq!(
        warnings(&open(url), &[]),
        "2:26: `admin.auth_proxy_url` has no effect: `admin.basic_auth` is off"
    );
}
