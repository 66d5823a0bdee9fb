//! `GET /system/routes/match`: where a URL leads, by the very rules that calls go by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::api::Operation;
use crate::error::{Cause, Refusal};
use crate::function::FunctionName;
use crate::functions::path::{self, Destination};
use crate::functions::{Function, PathRule, Snapshot};
use crate::gateway::Gateway;
use crate::provider::Request;

/// Where a URL leads.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Match {
    /// What takes the request.
    kind: Kind,
    /// The same in a sentence.
    says: String,
    /// The own host and path rule that fits.
    route: Option<Rule>,
    /// The function that is called, `name.namespace`.
    function: Option<String>,
    /// Whether that function is known here.
    exists: bool,
    /// What the function sees as path, with the query.
    path: Option<String>,
    /// Where a redirect leads.
    location: Option<String>,
}

/// What takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A function, by an own host and path rule.
    Route,
    /// A function, by its name in the path.
    Function,
    /// The queue, for a function.
    AsyncFunction,
    /// The management API.
    Api,
    /// The portal.
    Portal,
    /// The health check.
    Health,
    /// The redirect to the portal.
    Root,
    /// A redirect to the clean form of the path.
    Redirect,
    /// Nobody.
    Nothing,
}

/// An own host and path rule.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Rule {
    /// Its place in `routes`, from 1.
    number: usize,
    /// The host that it is for; `null`: every one.
    host: Option<String>,
    /// The path that it fits; `/*` at its end stands for everything below.
    path: String,
}

/// The operations of `/system/routes/match`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        find,
        "matchRoute",
        "Functions",
        "Tell where a URL leads",
    )
    .about("By the rules that calls go by; nothing is called.")
    .needs(
        "url",
        json!({ "type": "string" }),
        "A URL, or its path alone: then no rule with a host fits",
    )
    .json::<Match>(StatusCode::OK, "Where it leads")
    .refuses(&[Cause::BadRequest])]
}

async fn find(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Json<Match>, Refusal> {
    let url = request.parameter("url").unwrap_or_default();
    let url = read(url.trim()).ok_or_else(|| {
        Refusal::bad_request(format!(
            "url: `{url}` cannot be read, give one like https://api.example.org/v1/users, or a \
             path that begins with `/`"
        ))
    })?;
    Ok(Json(Asked::new(&gateway.registry.current(), &url).answer()))
}

fn read(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    let web = matches!(url.scheme_str(), None | Some("http" | "https"));
    let whole = url.scheme().is_some() == url.authority().is_some();
    (web && whole && url.path().starts_with('/')).then_some(url)
}

/// A URL and all that it is looked up in.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn new(snapshot: &'a Snapshot, url: &'a Uri) -> Self {
        Self {
            snapshot,
            host: url.host().unwrap_or_default(),
            path: url.path(),
            query: url.query(),
        }
    }

    /// In the order in which the proxy looks.
    fn answer(&self) -> Match {
        let Some((index, rule)) = self.snapshot.rule(self.host, self.path) else {
            return self.unruled();
        };
        let shown = Rule {
            number: index + 1,
            host: rule.host.clone(),
            path: rule.path.to_string(),
        };
        if let Some(function) = &rule.function {
            return self.ruled(shown, function);
        }
        let missing = self.snapshot.config.routes.get(index);
        let missing = missing.map(|rule| rule.function.to_string());
        let other = self.unruled();
        let says = format!(
            "rule {} fits, but its function {} is not there; what goes on without it: {}",
            shown.number,
            missing.as_deref().unwrap_or_default(),
            other.says
        );
        let (kind, function) = match other.kind {
            Kind::Nothing => (Kind::Route, missing),
            kind => (kind, other.function),
        };
        Match {
            kind,
            says,
            function,
            route: Some(shown),
            ..other
        }
    }

    fn ruled(&self, rule: Rule, function: &Function) -> Match {
        let id = function.name.to_string();
        let exists = self.snapshot.function(&id).is_some();
        let asked = if exists {
            ""
        } else {
            ", which is not listed; the provider is asked for it all the same"
        };
        Match {
            says: format!("rule {} calls function {id}{asked}", rule.number),
            route: Some(rule),
            exists,
            path: Some(self.seen(function, 0)),
            function: Some(id),
            ..Match::of(Kind::Route)
        }
    }

    fn unruled(&self) -> Match {
        if let Some(clean) = path::cleaned(self.path) {
            let location = self.with_query(&clean);
            return Match {
                says: format!("a redirect to the clean form of the path, {location}"),
                location: Some(location),
                ..Match::of(Kind::Redirect)
            };
        }
        match path::parse(self.path) {
            Destination::Function { name, rest } => self.named(Kind::Function, &name, rest),
            Destination::AsyncFunction { name, rest } => {
                self.named(Kind::AsyncFunction, &name, rest)
            }
            Destination::System => self.administered(Kind::Api, "the management API"),
            Destination::Ui if self.snapshot.config.ui.enabled => {
                self.administered(Kind::Portal, "the portal")
            }
            Destination::Ui => Match {
                says: "nothing: the portal is switched off (ui.enabled)".to_owned(),
                ..Match::of(Kind::Nothing)
            },
            Destination::Health => self.administered(Kind::Health, "the health check"),
            Destination::Root => Match {
                location: Some(super::PORTAL.to_owned()),
                ..self.administered(Kind::Root, "a redirect to the portal")
            },
            Destination::Nowhere => Match {
                says: "nothing: no rule of `routes` fits, and it is no path of the gateway's own"
                    .to_owned(),
                ..Match::of(Kind::Nothing)
            },
        }
    }

    /// A function by its name in the path.
    fn named(&self, kind: Kind, name: &str, rest: usize) -> Match {
        let known = self.snapshot.function(name);
        let function = known.or(self.snapshot.fallback.as_ref());
        let id = match known {
            Some(function) => Some(function.name.to_string()),
            None => FunctionName::parse(name, self.snapshot.config.default_namespace())
                .ok()
                .map(|name| name.to_string()),
        };
        let shown = id.as_deref().unwrap_or(name);
        let done = match kind {
            Kind::AsyncFunction => "POST queues a call of",
            _ => "calls",
        };
        let says = match (known, function) {
            (Some(_), _) => format!("{done} function {shown}"),
            (None, Some(_)) => format!(
                "{done} function {shown}, which is not listed; the provider is asked for it all \
                 the same"
            ),
            (None, None) => format!("there is no function {shown}: 404"),
        };
        Match {
            says,
            exists: known.is_some(),
            path: function.map(|function| self.seen(function, rest)),
            function: id,
            ..Match::of(kind)
        }
    }

    /// What the gateway answers itself, at this address or at another one.
    fn administered(&self, kind: Kind, what: &str) -> Match {
        let says = match self.snapshot.config.admin.listen {
            None => what.to_owned(),
            Some(address) => format!("{what}, at {address} only (admin.listen)"),
        };
        Match {
            says,
            ..Match::of(kind)
        }
    }

    /// The path from `rest` on as the function sees it, below the base of a static address. What a
    /// provider is sent in front of it, it takes off.
    fn seen(&self, function: &Function, rest: usize) -> String {
        let replica = function.replicas.first();
        let base = match function.path {
            PathRule::Trimmed => replica.map_or("", |replica| replica.base_path()),
            PathRule::Whole => "",
        };
        let seen = format!("{base}{}", self.path.get(rest..).unwrap_or_default());
        self.with_query(if seen.is_empty() { "/" } else { &seen })
    }

    fn with_query(&self, path: &str) -> String {
        match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

impl Match {
    /// No more than a kind.
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            says: String::new(),
            route: None,
            function: None,
            exists: false,
            path: None,
            location: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_web_and_paths_are_read() {
        for (url, readable) in [
            ("/a?b=c#d", true),
            ("https://a.b/c", true),
            ("http://a.b", true),
            ("", false),
            ("*", false),
            ("a.b", false),
            ("a.b/c", false),
            ("a.b:80", false),
            ("ftp://a.b/c", false),
            ("/a b", false),
        ] {
            assert_eq!(read(url).is_some(), readable, "{url}");
        }
    }
}
