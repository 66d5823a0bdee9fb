//! The dashboards of `conf/grafana`: what holds of their files, and what a real Prometheus that scrapes
//! real gateways under load answers to every expression in them (users.md section 8).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Gateway, Metrics, PATIENCE, Prometheus, Provider, Upstream, eventually, served, shipped,
    under_load,
};

const DASHBOARDS: &str = "conf/grafana/dashboards";
/// How long all panels may take until each has something to show: rates need two scrapes, the gateway
/// looks at processes every five seconds, and all of it happens on a machine that is under load.
const LONG: Duration = PATIENCE.saturating_mul(12);

/// Variables that Grafana fills in itself, and what they are here.
const GIVEN: [(&str, &str); 2] = [("$__rate_interval", "5s"), ("$__range", "1m")];
/// What the variables of dashboards are when the expressions are tried. All of the first two is the list
/// of what there is, as Grafana writes it.
const CHOSEN: [(&str, &str); 4] = [
    ("$job", "(gateway|standby)"),
    ("$instance", r"(127\\.0\\.0\\.1:[0-9]+|standby:8082)"),
    ("$namespace", ".*"),
    ("$function", "busy.openfaas-fn"),
];

/// PromQL that others wrote for the OpenFaaS gateway and its later editions (users.md section 8.2).
const IN_CIRCULATION: [&str; 27] = [
    "rate(gateway_function_invocation_total[20s])",
    "sum(rate(gateway_function_invocation_total[1m])) by (function_name)",
    "rate(gateway_function_invocation_total{code=\"200\"}[20s])",
    "rate(gateway_function_invocation_total{code!=\"200\"}[20s])",
    "sum(gateway_function_invocation_total{code=\"200\"})",
    "sum(gateway_function_invocation_total{function_name=~\".*.openfaas-fn\"}) by (function_name)",
    "sum(gateway_function_invocation_total{function_name=~\".*\", code=~\".*\"}) by (function_name, code)",
    "sum(gateway_function_invocation_total{function_name=\"busy.openfaas-fn\"})",
    "gateway_service_count",
    "avg_over_time(gateway_service_count[1m])",
    "rate(gateway_functions_seconds_sum[20s]) / rate(gateway_functions_seconds_count[20s])",
    "histogram_quantile(0.95, sum by (le, function_name) (rate(gateway_functions_seconds_bucket[5m])))",
    "sum(rate(gateway_function_invocation_total{code=\"200\"}[10s])) BY (function_name)",
    "sum by (function_name) (gateway_function_invocation_started) - sum by (function_name) (gateway_function_invocation_total)",
    "rate(gateway_invocation_function_started[1m])",
    "gateway_function_invocation_inflight",
    "gateway_invocation_function_invocation_inflight",
    "gateway_service_ready_count",
    "gateway_service_min",
    "gateway_service_target_load{scaling_type=\"rps\"}",
    "sum by (function_name) (rate(gateway_function_invocation_started[1m])) / on (function_name) gateway_service_target_load",
    "sum by (path) (rate(http_requests_total{status=\"200\", method=\"GET\"}[1m]))",
    "rate(http_request_duration_seconds_sum[1m]) / rate(http_request_duration_seconds_count[1m])",
    "sum by (queue_name) (queue_worker_pending_messages)",
    "rate(queue_worker_messages_processed_total[1m]) / rate(queue_worker_messages_submitted_total[1m])",
    "sum by (function_name, namespace) (rate(pod_cpu_usage_seconds_total[1m])) + sum by (function_name, namespace) (pod_memory_working_set_bytes)",
    "sum by (method, path, code) (rate(provider_http_requests_total[1m])) / sum by (method, path, code) (rate(provider_http_request_duration_seconds_count[1m]))",
];

/// A dashboard as its file has it.
struct Dashboard {
    file: String,
    json: Value,
}

impl Dashboard {
    /// Every panel, those within rows too.
    fn panels(&self) -> Vec<&Value> {
        let mut panels = Vec::new();
        for panel in list(&self.json["panels"]) {
            panels.push(panel);
            panels.extend(list(&panel["panels"]));
        }
        panels
    }

    /// Those that show something.
    fn shown(&self) -> Vec<&Value> {
        let mut panels = self.panels();
        panels.retain(|panel| panel["type"] != "row");
        panels
    }

    fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// Where a panel stands, for messages.
    fn place(&self, panel: &Value) -> String {
        format!("{}, {}", self.file, panel["title"])
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Every object of this name, however deep.
fn named<'a>(json: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                if key == name {
                    found.push(value);
                }
                named(value, name, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, name, found)),
        _ => {}
    }
}

fn dashboards() -> Vec<Dashboard> {
    let files = fs::read_dir(shipped(DASHBOARDS)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Dashboard { file, json }
    };
    files.into_iter().map(read).collect()
}

#[test]
fn each_has_a_name_of_its_own() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 5);
    let of = |key: &str| {
        let values = dashboards
            .iter()
            .map(|dashboard| text(&dashboard.json[key]));
        values
            .filter(|value| !value.is_empty())
            .collect::<BTreeSet<_>>()
    };
    for key in ["uid", "title", "description"] {
        assert_eq!(of(key).len(), dashboards.len(), "{key}");
    }
    for dashboard in &dashboards {
        let schema = number(&dashboard.json["schemaVersion"]);
        // That of Grafana 10.0 to 10.4; newer ones bring it up to date when they load it.
        assert!((38..=39).contains(&schema), "{}", dashboard.file);
        assert!(
            dashboard.json["id"].is_null(),
            "Grafana numbers them itself"
        );
    }
}

#[test]
fn their_files_are_written_in_one_way() {
    for dashboard in dashboards() {
        let text = fs::read_to_string(shipped(DASHBOARDS).join(&dashboard.file)).unwrap();
        assert!(
            text.ends_with("}\n") && text.is_ascii(),
            "{}",
            dashboard.file
        );
        for (number, line) in (1..).zip(text.lines()) {
            let indent = line.len() - line.trim_start_matches(' ').len();
            let tidy = indent % 2 == 0 && line.trim_end() == line && !line.contains('\t');
            // One value to a line, as `python3 -m json.tool --indent 2` writes it.
            let single = line.matches("\": ").count() <= 1 || line.contains("\\\"") || {
                let value = line.split_once("\": ").map_or("", |(_, value)| value);
                value.starts_with('"')
            };
            assert!(tidy && single, "{}:{number}: {line}", dashboard.file);
        }
    }
}

#[test]
fn panels_do_not_overlap_and_have_numbers_of_their_own() {
    for dashboard in dashboards() {
        let mut taken = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            assert!(ids.insert(number(&panel["id"])), "{place}: its id is taken");
            let side = |name: &str| number(&panel["gridPos"][name]);
            let (x, y, width, height) = (side("x"), side("y"), side("w"), side("h"));
            assert!(width > 0 && height > 0 && x + width <= 24, "{place}");
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                let before = taken.insert(cell, text(&panel["title"]));
                assert_eq!(before, None, "{place} lies on another one");
            }
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_what_a_good_value_is() {
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            assert!(!text(&panel["title"]).is_empty(), "{panel}");
        }
        for panel in dashboard.shown() {
            let place = dashboard.place(panel);
            let says = text(&panel["description"]);
            assert!(says.contains(" Good: "), "{place}: {says}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!text(&defaults["unit"]).is_empty(), "{place} has no unit");
            let steps = list(&defaults["thresholds"]["steps"]);
            let heats = panel["type"] == "heatmap";
            assert!(heats || !steps.is_empty(), "{place} has no thresholds");
            assert!(steps.first().is_none_or(|step| step["value"].is_null()));
            let rising =
                steps[steps.len().min(1)..].is_sorted_by_key(|step| step["value"].as_f64());
            assert!(rising, "{place}: thresholds rise");
            let mut letters = BTreeSet::new();
            for target in list(&panel["targets"]) {
                assert!(letters.insert(text(&target["refId"])), "{place}");
                let lines = panel["type"] == "timeseries";
                let legend = text(&target["legendFormat"]);
                assert!(
                    !lines || !matches!(legend, "" | "__auto"),
                    "{place} has no legend"
                );
            }
            assert!(!letters.is_empty(), "{place} asks for nothing");
        }
    }
}

#[test]
fn nobody_is_asked_but_the_chosen_data_source() {
    for dashboard in dashboards() {
        let first = &dashboard.variables()[0];
        assert_eq!(text(&first["type"]), "datasource", "{}", dashboard.file);
        assert_eq!(text(&first["query"]), "prometheus", "{}", dashboard.file);
        assert!(dashboard.json["__inputs"].is_null(), "{}", dashboard.file);
        let mut sources = Vec::new();
        named(&dashboard.json, "datasource", &mut sources);
        let targets: usize = dashboard
            .shown()
            .iter()
            .map(|panel| list(&panel["targets"]).len())
            .sum();
        assert!(sources.len() > targets, "{}", dashboard.file);
        for source in sources {
            let own = source["type"] == "grafana" && source["uid"] == "-- Grafana --";
            let chosen = source["type"] == "prometheus" && source["uid"] == "${datasource}";
            assert!(own || chosen, "{}: {source}", dashboard.file);
        }
    }
}

#[test]
fn windows_follow_the_scrapes_and_variables_are_declared() {
    for dashboard in dashboards() {
        let mut declared: Vec<_> = dashboard
            .variables()
            .iter()
            .map(|variable| format!("${}", text(&variable["name"])))
            .collect();
        declared.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for (place, expression) in expressions(&dashboard) {
            let mut rest = expression.clone();
            for given in ["$__rate_interval", "$__range"] {
                rest = rest.replace(&format!("[{given}]"), "");
            }
            assert!(
                !rest.replace("[^.]+[.]?", "").contains('['),
                "{place}: a fixed window in {expression}"
            );
            for name in &declared {
                rest = rest.replace(name, "");
            }
            assert!(
                !rest.contains('$'),
                "{place}: an unknown variable in {expression}"
            );
        }
    }
}

#[test]
fn all_gateways_are_those_that_there_are_and_not_every_target() {
    for dashboard in dashboards() {
        for name in ["job", "instance"] {
            let mut variables = dashboard.variables().iter();
            let variable = variables.find(|variable| variable["name"] == name).unwrap();
            let place = format!("{}, {name}", dashboard.file);
            assert_eq!(variable["includeAll"], true, "{place}");
            assert!(variable["allValue"].is_null(), "{place}: All is the list");
            let query = text(&variable["definition"]);
            assert!(
                query.starts_with("label_values(gateway_build_info"),
                "{place}"
            );
        }
    }
}

#[test]
fn links_lead_to_dashboards_that_are_there() {
    let dashboards = dashboards();
    let uids: BTreeSet<_> = dashboards.iter().map(|d| text(&d.json["uid"])).collect();
    let mut followed = BTreeSet::new();
    for dashboard in &dashboards {
        let (links, tags) = (&dashboard.json["links"], list(&dashboard.json["tags"]));
        assert!(tags.contains(&"gateway".into()), "{}", dashboard.file);
        assert_eq!(text(&links[0]["type"]), "dashboards", "{}", dashboard.file);
        assert_eq!(text(&links[0]["tags"][0]), "gateway", "{}", dashboard.file);
        let mut urls = Vec::new();
        named(&dashboard.json, "url", &mut urls);
        for url in urls.into_iter().map(text).filter(|url| !url.is_empty()) {
            let uid = url
                .strip_prefix("/d/")
                .and_then(|rest| rest.split('/').next());
            assert!(
                uid.is_some_and(|uid| uids.contains(uid)),
                "{}: {url}",
                dashboard.file
            );
            assert!(
                url.contains("${datasource:queryparam}"),
                "{}: {url}",
                dashboard.file
            );
            followed.insert((dashboard.file.as_str(), uid.unwrap()));
        }
    }
    assert!(followed.contains(&("overview.json", "gateway-function")));
}

#[test]
fn grafana_finds_them_where_they_are_mounted() {
    let read = |path: &str| {
        let path = shipped("conf/grafana/provisioning").join(path);
        let text = fs::read_to_string(&path).unwrap();
        serde_saphyr::from_str::<Value>(&text).unwrap()
    };
    let source = &read("datasources/prometheus.yml")["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["url"], "http://prometheus:9090");
    assert_eq!(source["isDefault"], true);
    let provider = &read("dashboards/gateway.yml")["providers"][0];
    assert_eq!(provider["type"], "file");
    assert_eq!(provider["options"]["path"], "/var/lib/grafana/dashboards");
}

/// Every expression of the panels, and where it stands.
fn expressions(dashboard: &Dashboard) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in dashboard.shown() {
        for target in list(&panel["targets"]) {
            let expression = text(&target["expr"]).to_owned();
            found.push((dashboard.place(panel), expression));
        }
    }
    found
}

/// An expression or a query as Grafana sends it.
fn filled(expression: &str) -> String {
    let all = GIVEN.iter().chain(&CHOSEN);
    all.fold(expression.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// The same without what is shown when there is nothing.
fn without_fallback(expression: &str) -> &str {
    let ends = [" or vector(0)", " or on() label_replace("];
    let end = ends.iter().filter_map(|end| expression.rfind(end)).min();
    &expression[..end.unwrap_or(expression.len())]
}

/// Two gateways, one with functions of its own and one with a provider's, what they call, and what
/// watches them.
struct Scene {
    gateway: Gateway,
    remote: Gateway,
    receiver: Upstream,
    prometheus: Prometheus,
    _provider: Provider,
}

impl Scene {
    fn set() -> Self {
        let program = served();
        let yaml = format!(
            "scale: {{ wait: {{ line: 1, timeout: 400ms }} }}\n\
             queue:\n  max_calls: 3\n  retry: {{ attempts: 2, min_wait: 5ms, max_wait: 20ms }}\n  \
             callbacks: {{ allow: [127.0.0.0/8], timeout: 5s }}\n\
             functions:\n  \
             busy: {{ process: {program:?}, mode: http, concurrency: 1, \
             scale: {{ type: rps, target: 20, max: 2 }} }}\n  \
             full: {{ process: {program:?}, mode: http, concurrency: 1, \
             scale: {{ type: capacity, min: 2, max: 2 }} }}\n  \
             broken: {{ process: @DIR@/nothing, mode: http }}\n"
        );
        let gateway = Gateway::start(&yaml);
        let provider = Provider::with(&["fig"]);
        let remote = provider.gateway("");
        let addresses = [gateway.metrics_address(), remote.metrics_address()];
        let scene = Self {
            prometheus: Prometheus::scraping(&addresses),
            receiver: Upstream::start(|exchange| exchange.reply(204, &[], "")),
            gateway,
            remote,
            _provider: provider,
        };
        eventually("both are scraped", || {
            scene.prometheus.values("up == 1").map(|up| up.len()) == Ok(2)
        });
        let edited = yaml.replace("timeout: 400ms", "timeout: 300ms");
        scene.gateway.edit_and_wait(&edited);
        scene
    }

    /// A bit of everything that can happen, over and over. What comes of each call is not looked at.
    fn call(&self, caller: usize) {
        let gateway = &self.gateway;
        match caller {
            0 => {
                for path in ["", "/status/404", "/status/500", "/slow"] {
                    gateway.post(&format!("/function/busy{path}"), "hi");
                }
                gateway.get("/function/nobody");
                gateway.get("/function/broken");
            }
            1 => {
                let url = format!("{}/", self.receiver.url());
                let back = [("X-Callback-Url", url.as_str())];
                gateway.try_submit("busy/status/500", &back, "");
                gateway.try_submit("busy/slow", &[], "");
                thread::sleep(Duration::from_millis(50));
            }
            2 => {
                gateway.scale("busy", 0);
                gateway.admin("GET", "/system/functions", "");
                self.remote.get("/function/fig");
                self.remote.admin("GET", "/system/function/fig", "");
                thread::sleep(Duration::from_millis(800));
            }
            _ => {
                gateway.get("/function/full/slow");
                // Most are told at once that the line is full.
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Names of everything that the gateways measure, with type and labels.
    fn measured(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let mut measured: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        for gateway in [&self.gateway, &self.remote] {
            let Metrics { samples, types, .. } = gateway.metrics();
            for (name, kind) in types {
                let entry = measured.entry(name.clone()).or_default();
                entry.0.clone_from(&kind);
                let own = samples.iter().filter(|sample| {
                    let ends = match kind.as_str() {
                        "histogram" => &["_bucket", "_sum", "_count"][..],
                        _ => &[""],
                    };
                    let rest = sample.name.strip_prefix(&name);
                    rest.is_some_and(|rest| ends.contains(&rest))
                });
                let labels = own.flat_map(|sample| sample.labels.keys().cloned());
                entry.1.extend(labels.filter(|label| label != "le"));
            }
        }
        measured
    }
}

#[test]
fn what_has_never_happened_is_zero_and_not_missing() {
    let gateway = Gateway::start("functions:\n  busy: { process: cat }\n");
    let prometheus = Prometheus::scraping(&[gateway.metrics_address()]);
    let mut asked: Vec<_> = dashboards().iter().flat_map(expressions).collect();
    // How long calls take cannot be said without calls.
    asked.retain(|(_, expression)| !expression.contains("_bucket{"));
    assert!(asked.len() > 100, "{}", asked.len());
    until_all(asked, |(place, expression)| {
        let values = prometheus.values(&filled(expression));
        let values = values.unwrap_or_else(|error| panic!("{place}: {error} in {expression}"));
        values.iter().any(|value| value.is_finite())
    });
}

#[test]
fn no_panel_stays_empty_beside_a_gateway_under_load() {
    let scene = Scene::set();
    let dashboards = dashboards();
    let panels: usize = dashboards.iter().map(|board| board.shown().len()).sum();
    let mut asked: Vec<(String, String)> = dashboards.iter().flat_map(expressions).collect();
    println!(
        "{} expressions of {panels} panels, and {} in circulation",
        asked.len(),
        IN_CIRCULATION.len()
    );
    let mut known = names(&rules());
    let all = asked.iter().map(|(_, expression)| names(expression));
    known.extend(all.flatten());
    asked.extend(IN_CIRCULATION.map(|query| ("in circulation".to_owned(), query.to_owned())));
    under_load(
        8,
        |caller| scene.call(caller),
        || {
            scene.answer(asked);
            scene.mark(&dashboards);
            scene.fill_lists(&dashboards);
            scene.know(&known);
            scene.are_described();
        },
    );
}

/// Asks again and again, until every expression has what it should have.
#[track_caller]
fn until_all(mut asked: Vec<(String, String)>, has: impl Fn(&(String, String)) -> bool) {
    let deadline = Instant::now() + LONG;
    while !asked.is_empty() {
        asked.retain(|one| !has(one));
        assert!(Instant::now() < deadline, "these stay empty: {asked:#?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// The expressions of the rules for people.
fn rules() -> String {
    let rules = fs::read_to_string(shipped("conf/prometheus/gateway.rules.yml")).unwrap();
    let says = ["#", "summary:", "description:"];
    let lines = rules.lines().filter(|line| {
        let line = line.trim_start();
        !says.iter().any(|word| line.starts_with(word))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Names of metrics in these.
fn names(expressions: &str) -> BTreeSet<String> {
    // What is recorded has colons in its name.
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
    let begins = [
        "gateway_",
        "process_",
        "http_",
        "queue_worker_",
        "pod_",
        "provider_",
        "scrape_",
    ];
    let words = expressions.split(ends);
    words
        .filter(|word| begins.iter().any(|begin| word.starts_with(begin)))
        .map(str::to_owned)
        .collect()
}

impl Scene {
    /// Every expression has a value, without what stands in for one that has none.
    #[track_caller]
    fn answer(&self, asked: Vec<(String, String)>) {
        let has_value = |(place, expression): &(String, String)| {
            let query = filled(without_fallback(expression));
            let values = self.prometheus.values(&query);
            let values = values.unwrap_or_else(|error| panic!("{place}: {error} in {query}"));
            // As it stands it has one, too. A series may come between the two questions, so both are
            // asked again.
            let shown = self.prometheus.values(&filled(expression));
            let shown = shown.unwrap_or_else(|error| panic!("{place}: {error} in {expression}"));
            shown.len() >= values.len() && values.iter().any(|value| value.is_finite())
        };
        until_all(asked, has_value);
    }

    /// The queries of annotations are none that Prometheus does not understand. What they mark is rare.
    #[track_caller]
    fn mark(&self, dashboards: &[Dashboard]) {
        for dashboard in dashboards {
            let annotations = list(&dashboard.json["annotations"]["list"]);
            let own = annotations.iter().filter(|one| one["expr"].is_string());
            for query in own.map(|one| filled(text(&one["expr"]))) {
                self.prometheus.values(&query).unwrap();
                assert!(
                    !self
                        .prometheus
                        .values(query.trim_end_matches(" > 0"))
                        .unwrap()
                        .is_empty()
                );
            }
        }
    }

    /// Variables have something to choose from.
    #[track_caller]
    fn fill_lists(&self, dashboards: &[Dashboard]) {
        for dashboard in dashboards {
            for variable in &dashboard.variables()[1..] {
                assert_eq!(variable["definition"], variable["query"]["query"]);
                let query = filled(text(&variable["definition"]));
                let inner = query
                    .strip_prefix("label_values(")
                    .and_then(|rest| rest.strip_suffix(')'));
                let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
                let values = self.prometheus.labels(label, selector);
                assert!(!values.is_empty(), "{}: {query}", dashboard.file);
            }
        }
    }

    /// These are names of series that Prometheus has.
    #[track_caller]
    fn know(&self, names: &BTreeSet<String>) {
        assert!(names.len() > 40, "{names:?}");
        let known = self.prometheus.labels("__name__", "{job=\"gateway\"}");
        let unknown: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    /// `docs/observing.md` has exactly the metrics that there are, with their types and labels.
    #[track_caller]
    fn are_described(&self) {
        let page = fs::read_to_string(shipped("docs/observing.md")).unwrap();
        let rows = page.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.trim_end_matches('`').to_owned();
            let kind = cells.next()?.to_owned();
            let kinds = ["counter", "gauge", "histogram"];
            let labels = cells
                .next()?
                .split(", ")
                .map(|label| label.trim_matches('`').to_owned());
            kinds.contains(&kind.as_str()).then(|| {
                (
                    name,
                    (kind, labels.filter(|label| !label.is_empty()).collect()),
                )
            })
        });
        let described: BTreeMap<String, (String, BTreeSet<String>)> = rows.collect();
        assert_eq!(described, self.measured());
    }
}
