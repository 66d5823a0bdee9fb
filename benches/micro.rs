//! What the gateway itself does for every call, without sockets: the path, the headers and the count.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateway::functions::path as parser;
use gateway::metrics::Metrics;
use gateway::proxy::headers::{self, CallIdentity};
use http::HeaderValue;
use pingora::http::{RequestHeader, ResponseHeader};

/// What a client such as curl sends.
const SENT: [(&str, &str); 5] = [
    ("Host", "gateway.example.org"),
    ("User-Agent", "curl/8.14.1"),
    ("Accept", "*/*"),
    ("Content-Type", "application/json"),
    ("Content-Length", "2"),
];

fn request() -> RequestHeader {
    let mut request = RequestHeader::build("POST", b"/function/echo", Some(8)).unwrap();
    for (name, value) in SENT {
        request.append_header(name, value).unwrap();
    }
    request
}

fn response() -> ResponseHeader {
    let mut response = ResponseHeader::build(200, Some(8)).unwrap();
    response
        .append_header("Content-Type", "text/plain")
        .unwrap();
    response.append_header("Content-Length", "128").unwrap();
    response
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for (name, path) in [
        ("name", "/function/echo"),
        ("namespace and rest", "/function/echo.openfaas-fn/a/b/c"),
        ("percent-encoded name", "/function/%65cho"),
        ("management", "/system/functions"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let path = black_box(path);
                (parser::cleaned(path), parser::parse(path))
            });
        });
    }
    group.finish();
}

fn header_work(criterion: &mut Criterion) {
    let client = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let trusted = ["127.0.0.0/8".parse().unwrap()];
    let authority = HeaderValue::from_static("127.0.0.1:9000");
    let mut group = criterion.benchmark_group("headers");
    group.bench_function("request", |bencher| {
        bencher.iter_batched_ref(
            request,
            |request| {
                let identity = CallIdentity::of(&request.headers, SystemTime::now());
                headers::edit(request, |lines| {
                    headers::identify(lines, &identity);
                    headers::forward(lines, client, &trusted, &authority);
                });
            },
            BatchSize::SmallInput,
        );
    });
    let identity = CallIdentity::of(&request().headers, SystemTime::now());
    group.bench_function("response", |bencher| {
        bencher.iter_batched_ref(
            response,
            |response| headers::finish_response(response, &identity),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn counting(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    let function = metrics.function("echo.openfaas-fn");
    let mut group = criterion.benchmark_group("count");
    for (name, status) in [("success", 200), ("failure", 502)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| function.count(black_box(status), black_box(0.0042)));
        });
    }
    group.finish();
}

criterion_group!(benches, paths, header_work, counting);
criterion_main!(benches);
