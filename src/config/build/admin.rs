//! `admin`: who may use the API, and where it is.

use std::net::SocketAddr;
use std::path::Path;

use super::Reader;
use super::server::{clash, same_port};
use crate::config::file::{self, Origin};
use crate::config::value::HttpUrl;
use crate::config::{Admin, BasicAuth, Server};

impl Reader<'_> {
    pub(super) fn admin(&mut self, raw: &file::Admin, state_dir: &Path, server: &Server) -> Admin {
        let listen = self.read("admin.listen", &raw.listen);
        let others = [
            (server.listen, "server.listen"),
            (server.metrics, "server.metrics"),
        ];
        for (other, name) in others {
            if let (Some(scalar), Some(address)) = (&raw.listen, listen)
                && clash(address, other)
            {
                self.refuse(scalar.origin, "admin.listen", &same_port(address, name));
            }
        }
        let auth_proxy_url = self.read("admin.auth_proxy_url", &raw.auth_proxy_url);
        let admin = Admin {
            basic_auth: self.basic_auth(raw.basic_auth.as_ref(), state_dir),
            auth_proxy_url: auth_proxy_url.map(|HttpUrl(url)| url),
            listen,
        };
        if let (None, Some(auth)) = (&admin.basic_auth, &raw.basic_auth)
            && let Some(enabled) = &auth.enabled
        {
            self.open_to_all(enabled.origin, listen.unwrap_or(server.listen));
        }
        admin
    }

    /// An address that others reach is only open where the file says so: a variable is set once and
    /// forgotten, and comes along from setups in which something else kept watch.
    fn open_to_all(&mut self, origin: Origin, address: SocketAddr) {
        if address.ip().is_loopback() {
            return;
        }
        let what = format!(
            "no password protects the API on {address}: whoever reaches it can run programs as this \
             user"
        );
        if matches!(origin, Origin::File(..)) {
            self.notes.warn(origin, what);
        } else {
            let advice = "listen on 127.0.0.1, or write `admin: { basic_auth: { enabled: false } }` \
                 into the file if that is meant";
            self.notes.refuse(origin, format!("{what}; {advice}"));
        }
    }

    fn basic_auth(&mut self, raw: Option<&file::BasicAuth>, state_dir: &Path) -> Option<BasicAuth> {
        let none = file::BasicAuth::default();
        let raw = raw.unwrap_or(&none);
        let enabled = self.read_or("admin.basic_auth.enabled", &raw.enabled, true);
        let user = self.read("admin.basic_auth.user_file", &raw.user_file);
        let password = self.read("admin.basic_auth.password_file", &raw.password_file);
        let alone = match (&raw.user_file, &raw.password_file) {
            (Some(user), None) => Some((user.origin, "user_file", "password_file")),
            (None, Some(password)) => Some((password.origin, "password_file", "user_file")),
            _ => None,
        };
        if let Some((origin, key, other)) = alone {
            let why = format!("name `{other}` beside it, or neither");
            self.refuse(origin, &format!("admin.basic_auth.{key}"), &why);
        }
        for key in ["user_file", "password_file"] {
            self.inherit(&format!("admin.basic_auth.{key}"), "provider.state_dir");
        }
        let named = user.is_some() && password.is_some();
        let made = state_dir.join("auth");
        enabled.then(|| BasicAuth {
            user_file: user.unwrap_or_else(|| made.join("basic-auth-user")),
            password_file: password.unwrap_or_else(|| made.join("basic-auth-password")),
            named,
        })
    }
}
