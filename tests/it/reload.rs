//! Editing the configuration while the gateway runs: takes effect by itself, fails no call, and a
//! broken file changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::{Connection, Gateway, Signal, Upstream, Valve, eventually};

#[test]
fn a_function_added_to_the_file_can_be_called() {
    let (fig, date) = (Upstream::saying("fig"), Upstream::saying("date"));
    let gateway = Gateway::start(&fig.declared("fig"));
    gateway.get("/function/date").assert_status(404);
    gateway.edit(&format!(
        "{}  date: {{ upstream: [\"{}\"] }}\n",
        fig.declared("fig"),
        date.url()
    ));
    eventually("date is there", || {
        gateway.get("/function/date").status == 200
    });
    assert_eq!(gateway.get("/function/fig").text(), "fig");
    gateway.edit(&date.declared("date"));
    eventually("fig is gone", || gateway.get("/function/fig").status == 404);
}

#[test]
fn a_changed_timeout_holds_for_the_next_call() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let with_limit = |limit: &str| {
        format!(
            "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ upstream: {limit} }} }}\n",
            upstream.url()
        )
    };
    let gateway = Gateway::start(&with_limit("250ms"));
    assert_eq!(
        gateway
            .get("/function/fig")
            .assert_error(504, "upstream_timeout")["limit"],
        "250ms"
    );
    gateway.edit_and_wait(&with_limit("350ms"));
    assert_eq!(
        gateway
            .get("/function/fig")
            .assert_error(504, "upstream_timeout")["limit"],
        "350ms"
    );
}

#[test]
fn a_call_keeps_the_configuration_it_began_with() {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        wait.wait();
        exchange.reply(200, &[], "old");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    eventually("the call is in flight", || valve.waiting() == 1);
    gateway.edit_and_wait("");
    gateway.get("/function/fig").assert_status(404);
    valve.open_once();
    assert_eq!(connection.response("GET").assert_status(200).text(), "old");
}

#[test]
fn a_file_that_is_emptied_before_it_is_written_changes_nothing() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let file = gateway.dir().join("gateway.yaml");
    for empty in ["", "\n \n"] {
        std::fs::write(&file, empty).unwrap();
        eventually("the empty file was noticed", || {
            let shown = gateway.admin("GET", "/system/config", "").json();
            let error = shown["last_error"].as_str().unwrap_or_default();
            error.contains("gateway.yaml: the file is empty")
        });
        gateway.get("/function/fig").assert_status(200);
        gateway.edit(&upstream.declared("fig"));
        eventually("the whole file is in force", || {
            gateway.metric("gateway_config_last_reload_successful", &[]) == Some(1.0)
        });
    }
}

#[test]
fn a_broken_file_changes_nothing_and_is_reported() {
    let upstream = Upstream::echo();
    let good = upstream.declared("fig");
    let gateway = Gateway::start(&good);
    let generation = gateway.generation();
    for broken in [
        "functions: [\n",
        "functions:\n  fig: { upstreem: [\"http://127.0.0.1:1\"] }\n",
        "version: 99\n",
        "",
    ] {
        let broken = if broken.is_empty() {
            format!("{good}timeouts: {{ upstream: soon }}\n")
        } else {
            broken.to_owned()
        };
        gateway.edit(&broken);
        eventually("the broken file was noticed", || {
            gateway.metric("gateway_config_last_reload_successful", &[]) == Some(0.0)
        });
        gateway.get("/function/fig").assert_status(200);
        let shown = gateway
            .admin("GET", "/system/config", "")
            .assert_status(200)
            .json();
        let error = shown["last_error"]
            .as_str()
            .unwrap_or_else(|| panic!("last_error in {shown}"));
        assert!(error.contains("gateway.yaml:"), "{error}");
        assert_eq!(gateway.generation(), generation);

        gateway.edit(&good);
        eventually("the mended file is in force", || {
            gateway.metric("gateway_config_last_reload_successful", &[]) == Some(1.0)
        });
    }
    let lines = gateway.stderr();
    assert!(
        lines.contains("gateway.yaml:"),
        "a broken file is logged with its place: {lines}"
    );
}

#[test]
fn an_editor_that_renames_is_noticed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start("");
    let config = gateway.dir().join("gateway.yaml");
    let text = fs::read_to_string(&config).unwrap();
    for round in ["one", "two"] {
        let new = gateway.dir().join("gateway.yaml.swp");
        fs::write(&new, format!("{text}{}", upstream.declared(round))).unwrap();
        fs::rename(&new, &config).unwrap();
        eventually(round, || {
            gateway.get(&format!("/function/{round}")).status == 200
        });
    }
}

#[test]
fn a_file_that_goes_and_comes_back_is_noticed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let config = gateway.dir().join("gateway.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    gateway.get("/function/fig").assert_status(200);
    fs::write(&config, text.replace("fig", "date")).unwrap();
    eventually("the new file is in force", || {
        gateway.get("/function/date").status == 200
    });
}

#[test]
fn a_config_map_is_followed_through_swaps_and_a_bad_one_changes_nothing() {
    let upstreams = ["fig", "date", "lime", "plum"].map(|name| (name, Upstream::saying(name)));
    let setup = Gateway::with("");
    let volume = setup.dir().join("volume");
    let volume = ConfigMap::new(&volume);
    let head = format!(
        "version: 1\nserver: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }}\n\
         provider: {{ state_dir: {} }}\n",
        setup.dir().join("state").display()
    );
    let text = |name: &str| {
        let (_, upstream) = upstreams.iter().find(|(own, _)| *own == name).unwrap();
        format!("{head}{}", upstream.declared(name))
    };
    volume.publish(&text("fig"));
    let gateway = Gateway::bare()
        .arg("--config")
        .arg(volume.file().display().to_string())
        .start();
    let in_force = |name: &str| gateway.get(&format!("/function/{name}")).status == 200;
    assert!(in_force("fig"));
    let mut before = "fig";
    for name in ["date", "lime", "date", "plum"] {
        volume.publish(&text(name));
        eventually(name, || in_force(name));
        gateway
            .get(&format!("/function/{before}"))
            .assert_status(404);

        let generation = gateway.generation();
        volume.publish(&format!("{}timeouts: {{ upstream: soon }}\n", text("fig")));
        eventually("the bad one was noticed", || {
            gateway.metric("gateway_config_last_reload_successful", &[]) == Some(0.0)
        });
        assert!(in_force(name), "{name} stays");
        assert_eq!(gateway.generation(), generation);
        before = name;
    }
    // What was in force before the bad one is good again, though nothing changes by it.
    volume.publish(&text("plum"));
    eventually("all is well", || {
        gateway.metric("gateway_config_last_reload_successful", &[]) == Some(1.0)
    });
    assert!(in_force("plum"));
    drop(setup);
}

/// A volume as the kubelet lays it out and changes it: the file is a link into `..data`, which is a link
/// to a dated folder, and is replaced in one step; the old folder goes at once.
struct ConfigMap<'a> {
    dir: &'a Path,
    published: AtomicUsize,
}

impl<'a> ConfigMap<'a> {
    fn new(dir: &'a Path) -> Self {
        fs::create_dir(dir).unwrap();
        symlink("..data/gateway.yaml", dir.join("gateway.yaml")).unwrap();
        Self {
            dir,
            published: AtomicUsize::new(0),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("gateway.yaml")
    }

    fn publish(&self, text: &str) {
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        let dated = format!("..2026_01_31_12_00_{number:02}.123456789");
        let data = self.dir.join("..data");
        let old = fs::read_link(&data).ok();
        fs::create_dir(self.dir.join(&dated)).unwrap();
        fs::write(self.dir.join(&dated).join("gateway.yaml"), text).unwrap();
        symlink(dated, self.dir.join("..data_tmp")).unwrap();
        fs::rename(self.dir.join("..data_tmp"), data).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(self.dir.join(old)).unwrap();
        }
    }
}

#[test]
fn a_hangup_reloads() {
    let gateway = Gateway::start("");
    gateway.edit("timeouts: { upstream: 77s }\n");
    gateway.signal(Signal::HUP);
    eventually("the new file is in force", || {
        let shown = gateway
            .admin("GET", "/system/config", "")
            .assert_status(200)
            .json();
        shown["config"]["timeouts"]["upstream"] == "1m17s"
    });
    // It survives any number of them.
    for _ in 0..5 {
        gateway.signal(Signal::HUP);
    }
    gateway.get("/healthz").assert_status(200);
}

#[test]
fn editing_under_load_fails_no_call() {
    let (fig, date) = (Upstream::echo(), Upstream::echo());
    let base = format!("{}  echo: {{ process: \"cat\" }}\n", fig.declared("fig"));
    let edits = [
        format!("{base}  date: {{ upstream: [\"{}\"] }}\n", date.url()),
        format!("timeouts: {{ upstream: 20s }}\n{base}"),
        format!("{base}  broken: [\n"),
        base.clone(),
    ];
    let gateway = Gateway::start(&base);
    let (stop, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let hammer = |path: &'static str| {
            let (address, stop, calls) = (gateway.address(), &stop, &calls);
            move || {
                let mut connection = Connection::open(address);
                while !stop.load(Ordering::Relaxed) {
                    connection.send_head("POST", path, &[("Content-Length", "2")]);
                    connection.send("hi");
                    let response = connection.response("POST").assert_status(200);
                    assert_eq!(response.text(), "hi");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let workers: Vec<_> = [
            "/function/fig",
            "/function/fig/a",
            "/function/fig.openfaas-fn",
            "/function/echo",
        ]
        .map(|path| scope.spawn(hammer(path)))
        .into();
        for round in 0..20 {
            let edit = &edits[round % edits.len()];
            let outcome = if edit.contains("broken") { 0.0 } else { 1.0 };
            let (generation, before) = (gateway.generation(), calls.load(Ordering::Relaxed));
            gateway.edit(edit);
            eventually("the edit was taken up", || {
                let metrics = gateway.metrics();
                metrics.sum("gateway_config_last_reload_successful", &[]) == Some(outcome)
                    && (outcome == 0.0
                        || round % edits.len() == 3
                        || metrics.sum("gateway_config_generation", &[]) > Some(generation))
            });
            eventually("calls go on", || {
                calls.load(Ordering::Relaxed) > before + 10
                    || workers.iter().any(|worker| worker.is_finished())
            });
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert!(calls.load(Ordering::Relaxed) > 200);
}
