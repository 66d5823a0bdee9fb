//! The rules in simulated time: recorded and made-up loads on a function that takes a while to start
//! replicas, and what became of it as pictures in `docs/images`.
//!
//! The pictures are compared with what the rules do now; other ones are drawn in `target/images`.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::{Classic, Follow};
use crate::function::{Measure, Scaling, Target};
use crate::scale::window::{LONG, Sample, Window};

/// Seconds until a new replica can be called.
const START: usize = 3;
/// Seconds one call takes.
const CALL: f64 = 0.2;
/// Calls one replica works on at once.
const AT_ONCE: f64 = 4.0;

/// One second of a simulation.
#[derive(Clone, Copy, Debug)]
struct Second {
    /// Calls that came.
    load: f64,
    /// Replicas asked for.
    replicas: u64,
    /// Calls that still waited at its end.
    waiting: f64,
}

/// A rule, as the simulation asks it.
enum Rule {
    Classic(Classic),
    Follow(Follow, Target),
}

impl Rule {
    fn follow(measure: Measure, load: f64) -> Self {
        let target = Target {
            measure,
            load,
            ..Target::default()
        };
        Self::Follow(Follow::default(), target)
    }

    fn decide(
        &mut self,
        now: Duration,
        window: &Window,
        current: u64,
        scaling: Scaling,
    ) -> Option<u64> {
        match self {
            Self::Classic(rule) => {
                let rate = window.rate(LONG, |sample| sample.successes);
                rule.decide(now, rate, current, scaling)
            }
            Self::Follow(rule, target) => {
                let load = window.load(target.measure);
                rule.decide(now, load, current, scaling, *target)
            }
        }
    }
}

/// Lets a load of calls per second pass, one second after the other.
fn simulate(loads: &[f64], mut rule: Rule, scaling: Scaling) -> Vec<Second> {
    let mut window = Window::default();
    let mut current = scaling.awake();
    // When the replicas that are on their way can be called.
    let mut starting: VecDeque<(usize, u64)> = VecDeque::new();
    let mut ready = current;
    let (mut waiting, mut begun, mut done) = (0.0_f64, 0.0_f64, 0.0_f64);
    let second = |(second, load): (usize, &f64)| {
        while starting.front().is_some_and(|(at, _)| *at <= second) {
            ready = starting.pop_front().map_or(ready, |(_, count)| count);
        }
        let room = ready.min(current) as f64 * AT_ONCE;
        let served = (waiting + load).min(room / CALL);
        waiting = waiting + load - served;
        begun += served;
        done += served;
        window.look(Sample {
            at: Duration::from_secs(second as u64),
            begun: begun as u64,
            successes: done as u64,
            in_flight: (served * CALL).ceil() as u64,
            waiting: waiting as u64,
            queued: 0,
        });
        let now = Duration::from_secs(second as u64);
        if let Some(replicas) = rule.decide(now, &window, current, scaling) {
            if replicas > current {
                starting.push_back((second + START, replicas));
            } else {
                ready = ready.min(replicas);
                starting.clear();
            }
            current = replicas;
        }
        Second {
            load: *load,
            replicas: current,
            waiting,
        }
    };
    loads.iter().enumerate().map(second).collect()
}

/// The same numbers on every machine, evenly spread from 0 to 1.
fn noise() -> impl FnMut() -> f64 {
    let mut state = 20_190_724_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as f64 / f64::from(u32::MAX >> 1)
    }
}

/// Loads in calls per second, for five minutes.
fn loads() -> Vec<(&'static str, Vec<f64>)> {
    let of = |load: &mut dyn FnMut(f64) -> f64| (0..300).map(|t| load(f64::from(t))).collect();
    let mut random = noise();
    vec![
        (
            "step",
            of(&mut |t| {
                if (60.0..180.0).contains(&t) {
                    100.0
                } else {
                    2.0
                }
            }),
        ),
        ("ramp", of(&mut |t| if t < 200.0 { t / 2.0 } else { 2.0 })),
        (
            "spike",
            of(&mut |t| {
                if (100.0..102.0).contains(&t) {
                    150.0
                } else {
                    8.0
                }
            }),
        ),
        ("noise", of(&mut |_| 40.0 + 30.0 * random())),
        (
            "on-off",
            of(&mut |t| {
                if t % 30.0 < 15.0 { 80.0 } else { 0.0 }
            }),
        ),
        ("recorded", recorded()),
    ]
}

/// Calls per second that a gateway counted in five minutes of a swelling load with rushes.
fn recorded() -> Vec<f64> {
    let counted = include_str!("recorded.txt").split_whitespace();
    counted.map(|calls| calls.parse().unwrap()).collect()
}

type MakeRule = fn() -> Rule;

fn rules() -> [(&'static str, MakeRule); 4] {
    [
        ("classic", || Rule::Classic(Classic::default())),
        ("rps", || Rule::follow(Measure::Rps, 10.0)),
        ("capacity", || Rule::follow(Measure::Capacity, 2.0)),
        ("queue", || Rule::follow(Measure::Queue, 10.0)),
    ]
}

/// Changes of direction: up after down, or down after up.
fn turns(trace: &[Second]) -> usize {
    let steps: Vec<_> = trace
        .windows(2)
        .filter(|pair| pair[0].replicas != pair[1].replicas)
        .map(|pair| pair[1].replicas > pair[0].replicas)
        .collect();
    steps.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn trace(load: &str, rule: MakeRule) -> Vec<Second> {
    let loads = loads();
    let (_, load) = loads.iter().find(|(name, _)| *name == load).unwrap();
    simulate(load, rule(), Scaling::default())
}

fn rps() -> Rule {
    Rule::follow(Measure::Rps, 10.0)
}

fn capacity() -> Rule {
    Rule::follow(Measure::Capacity, 2.0)
}

#[test]
fn a_step_is_followed_within_seconds_and_given_back_after_the_window() {
    for rule in [rps, capacity] {
        let trace = trace("step", rule);
        // 100 calls per second, 10 of them or 2 in flight for each replica, 90 % of it aimed at;
        // some more may be asked for to work off what came before they were there.
        let most = trace[75].replicas;
        assert!((12..=14).contains(&most), "{:?}", trace[75]);
        assert!(
            trace[60..75]
                .windows(2)
                .all(|pair| pair[0].replicas <= pair[1].replicas)
        );
        assert_eq!(trace[179].waiting, 0.0);
        assert_eq!(trace[235].replicas, most);
        assert_eq!(trace[255].replicas, 1);
        assert_eq!(turns(&trace), 1);
    }
}

#[test]
fn a_ramp_is_followed_without_a_step_back() {
    for rule in [rps, capacity] {
        let trace = trace("ramp", rule);
        assert!(
            trace[..200]
                .windows(2)
                .all(|pair| pair[0].replicas <= pair[1].replicas)
        );
        // Never a second behind what comes: the headroom covers the start of new replicas.
        assert!(trace.iter().all(|second| second.waiting < 1.0));
        assert_eq!(turns(&trace), 1);
    }
}

#[test]
fn a_spike_is_answered_once_and_not_overdone() {
    let trace = trace("spike", rps);
    let most = trace.iter().map(|second| second.replicas).max();
    // 2 s of 150 are 60 per second over the five that count, and what waits counts as well.
    assert!(
        most.is_some_and(|most| (5..=17).contains(&most)),
        "{most:?}"
    );
    assert_eq!(turns(&trace), 1);
}

#[test]
fn noise_makes_no_replicas_come_and_go() {
    for rule in [rps, capacity] {
        let trace = trace("noise", rule);
        // The first seconds find one replica for all of it.
        let trace = &trace[90..];
        assert!(turns(trace) <= 2, "{}", turns(trace));
        let counts = trace.iter().map(|second| second.replicas);
        let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
        assert!(most - least <= 1, "{least} to {most}");
    }
}

#[test]
fn a_load_that_comes_and_goes_within_the_window_keeps_its_replicas() {
    for rule in [rps, capacity] {
        // The first rush finds one replica, and a few more are asked for than the later ones need.
        let trace = &trace("on-off", rule)[90..];
        let steady = trace
            .windows(2)
            .all(|pair| pair[0].replicas == pair[1].replicas);
        assert!(steady, "{trace:?}");
    }
}

#[test]
fn a_recorded_load_is_followed_and_nobody_waits_for_long() {
    for rule in [rps, capacity] {
        let trace = trace("recorded", rule);
        // Each rush comes within a second, and is over once the new replicas have started.
        let late = trace.iter().filter(|second| second.waiting > 0.0).count();
        assert!(late <= 15, "{late}");
        assert!(turns(&trace) <= 5, "{}", turns(&trace));
    }
}

#[test]
fn no_rule_ever_leaves_its_bounds() {
    for (load_name, load) in loads() {
        for (rule_name, rule) in rules() {
            let trace = simulate(&load, rule(), Scaling::default());
            let within = |second: &Second| (1..=20).contains(&second.replicas);
            assert!(trace.iter().all(within), "{rule_name} {load_name}");
        }
    }
}

#[test]
fn the_pictures_show_what_the_rules_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (docs, drawn) = (root.join("docs/images"), root.join("target/images"));
    let mut different = Vec::new();
    for (rule_name, rule) in rules() {
        let traces: Vec<_> = loads()
            .into_iter()
            .map(|(name, load)| (name, simulate(&load, rule(), Scaling::default())))
            .collect();
        let picture = draw(rule_name, &traces);
        let name = format!("scaling-{rule_name}.svg");
        let kept = std::fs::read_to_string(docs.join(&name)).unwrap_or_default();
        if kept != picture {
            std::fs::create_dir_all(&drawn).unwrap();
            std::fs::write(drawn.join(&name), &picture).unwrap();
            different.push(name);
        }
    }
    let hint = "if they are as they should be: cp target/images/scaling-*.svg docs/images/";
    assert!(
        different.is_empty(),
        "{different:?} are other ones now; {hint}"
    );
}

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 120.0;
const MARGIN: f64 = 40.0;

/// A panel for each load: calls per second as an area, replicas as steps, waiting calls as a line.
fn draw(rule: &str, traces: &[(&str, Vec<Second>)]) -> String {
    let (across, down) = (2, traces.len().div_ceil(2));
    let width = (WIDTH + MARGIN * 2.0) * across as f64;
    let height = (HEIGHT + MARGIN * 2.0) * down as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Replicas over time by the rule {rule}\">\n<style>\n\
         text {{ font: 11px system-ui, sans-serif; fill: #6b7280 }}\n\
         .title {{ font-weight: 600; fill: #4b5563 }}\n\
         .load {{ fill: #93c5fd; fill-opacity: 0.5 }}\n\
         .replicas {{ fill: none; stroke: #16a34a; stroke-width: 2 }}\n\
         .waiting {{ fill: none; stroke: #dc2626; stroke-width: 1 }}\n\
         .axis {{ stroke: #9ca3af; stroke-width: 0.5 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #9ca3af }} .title {{ fill: #d1d5db }} }}\n\
         </style>\n"
    );
    for (index, (name, trace)) in traces.iter().enumerate() {
        let x = MARGIN + (index % across) as f64 * (WIDTH + MARGIN * 2.0);
        let y = MARGIN + (index / across) as f64 * (HEIGHT + MARGIN * 2.0);
        panel(&mut svg, &format!("{rule}: {name}"), trace, (x, y));
    }
    let legend = height - 12.0;
    let _ = write!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{legend}\">blue: calls per second (left) · green: replicas (right) \
         · red: calls that wait (left) · 300 s; a replica starts in {START} s, takes {AT_ONCE} calls at \
         once, a call takes {CALL} s</text>\n</svg>\n"
    );
    svg
}

fn panel(svg: &mut String, title: &str, trace: &[Second], (x, y): (f64, f64)) {
    let top = trace
        .iter()
        .map(|second| second.load.max(second.waiting))
        .fold(10.0, f64::max);
    let most = 20.0;
    let bottom = y + HEIGHT;
    let across = |second: usize| x + second as f64 / trace.len() as f64 * WIDTH;
    let up = |value: f64, top: f64| bottom - value / top * HEIGHT;
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{x}\" y=\"{}\">{title}</text>",
        y - 8.0
    );
    let steps_of = |value: &dyn Fn(&Second) -> f64, top: f64| {
        let mut path = String::new();
        let mut before = None;
        for (second, state) in trace.iter().enumerate() {
            let height = format!("{:.1}", up(value(state), top));
            if before.as_ref() != Some(&height) {
                let at = across(second);
                let _ = match &before {
                    None => write!(path, "M{at:.1} {height}"),
                    Some(_) => write!(path, "H{at:.1}V{height}"),
                };
                before = Some(height);
            }
        }
        let _ = write!(path, "H{:.1}", across(trace.len()));
        path
    };
    let area = steps_of(&|second| second.load, top);
    let line = steps_of(&|second| second.waiting, top);
    let steps = steps_of(&|second| second.replicas as f64, most);
    let end = x + WIDTH;
    let _ = writeln!(
        svg,
        "<path class=\"load\" d=\"{area}V{bottom}H{x}Z\"/>\n\
         <path class=\"waiting\" d=\"{line}\"/>\n<path class=\"replicas\" d=\"{steps}\"/>\n\
         <line class=\"axis\" x1=\"{x}\" y1=\"{bottom}\" x2=\"{end}\" y2=\"{bottom}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{top:.0}</text>\n\
         <text x=\"{}\" y=\"{}\">{most:.0}</text>",
        x - 4.0,
        y + 8.0,
        end + 4.0,
        y + 8.0,
    );
}
