//! `admin`: who may use the API, and where it is.

use std::net::SocketAddr;
use std::path::Path;

use super::Reader;
use super::server::{clash, same_port};
use crate::config::file::{self, Origin};
use crate::config::value::HttpUrl;
use crate::config::{Admin, BasicAuth, Server, is_loopback};

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
        let enabled = raw
            .basic_auth
            .as_ref()
            .and_then(|auth| auth.enabled.as_ref());
        if let (None, Some(enabled)) = (&admin.basic_auth, enabled) {
            self.open_to_everybody(enabled.origin, listen.unwrap_or(server.listen));
            if let Some(url) = &raw.auth_proxy_url {
                let why = "`admin.auth_proxy_url` has no effect: `admin.basic_auth` is off";
                self.notes.warn(url.origin, why);
            }
        }
        admin
    }

    /// A variable may be left over from an installation that was shielded in another way: only the
    /// file can open an address that others reach.
    fn open_to_everybody(&mut self, origin: Origin, address: SocketAddr) {
        if is_loopback(address) {
            return;
        }
        let open = format!(
            "no password protects the API on {address}: whoever reaches it can run programs as \
             this user"
        );
        match origin {
            Origin::File(..) => self.notes.warn(origin, open),
            Origin::Variable(_) | Origin::Flag(_) => self.notes.refuse(
                origin,
                format!(
                    "{open}; if that is what you want, write `admin: {{ basic_auth: {{ enabled: \
                     false }} }}` into the configuration file, too, otherwise leave the password \
                     on, or listen on 127.0.0.1"
                ),
            ),
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
