//! Notices that the configuration file has changed.
