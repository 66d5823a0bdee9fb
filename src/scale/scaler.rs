//! The one hand that changes numbers of replicas: every decision goes through it, is written down
//! with its reason, and counted.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::journal::{Decision, Journal, Numbers, Reason};
use super::rules::alerted;
use crate::error::Refusal;
use crate::function::{FunctionName, Scaling};
use crate::functions::{Function, Registry};
use crate::metrics::Metrics;
use crate::provider::{Provider, ProviderError, Request};

/// How long after an alert the classic rule leaves a function to alerts: both are the same rule, and
/// two hands would take two steps.
const ALERTS_RULE: Duration = Duration::from_secs(600);

/// Longest wait until the snapshot shows what the provider's view shows.
pub(super) const SHOWN: Duration = Duration::from_secs(2);
/// Bounds of the time until the autoscaler tries again what failed, doubled each time.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// See the module.
pub struct Scaler {
    provider: Arc<dyn Provider>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    journal: Journal,
    // When alerts came. Held for a moment at an alert and a look, never by a call.
    alerts: Mutex<HashMap<FunctionName, Instant>>,
    // What could not be scaled: when it may be tried again, and the wait for the time after. Held for
    // a moment, never by a call.
    failed: Mutex<HashMap<FunctionName, (Instant, Duration)>>,
}

impl Scaler {
    /// A scaler of the provider's functions.
    pub fn new(
        provider: Arc<dyn Provider>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            provider,
            registry,
            metrics,
            journal: Journal::default(),
            alerts: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    /// What was decided, and what functions do.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The live functions.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Who owns them.
    pub(super) fn provider(&self) -> &dyn Provider {
        &*self.provider
    }

    /// Has the snapshot show how a function is now, where its provider does not show changes by
    /// itself.
    pub async fn look(&self, function: &FunctionName) -> Result<(), ProviderError> {
        if !self.provider.shows_changes() {
            self.provider.observe(function).await?;
            self.registry.caught_up_with(function, SHOWN).await;
        }
        Ok(())
    }

    /// Asks for another number of replicas.
    ///
    /// # Errors
    ///
    /// The provider's, after it was written down and logged.
    pub async fn resize(
        &self,
        function: &FunctionName,
        from: u64,
        to: u64,
        reason: Reason,
        inputs: Numbers,
    ) -> Result<(), ProviderError> {
        let done = self.provider.resize(function, to).await;
        self.note_outcome(function, done.is_ok());
        let mut decision = Decision::now(from, to, reason, inputs);
        let why = reason.as_str();
        match &done {
            Ok(()) => tracing::info!(%function, from, to, reason = why, "scaled"),
            Err(error) => {
                decision.error = Some(error.to_string());
                tracing::warn!(%function, from, to, reason = why, %error, "cannot be scaled");
            }
        }
        self.note(function, decision);
        done
    }

    /// Writes down what somebody else asked for.
    pub fn asked(&self, function: &Function, to: u64) {
        if let Some(from) = function.desired.filter(|from| *from != to) {
            let inputs = self.numbers(function);
            let decision = Decision::now(from, to, Reason::Asked, inputs);
            self.note(&function.name, decision);
        }
    }

    /// Does what an alert asks for (wire.md section 5.2).
    ///
    /// # Errors
    ///
    /// There is no such function, or the provider cannot be asked.
    pub async fn alert(&self, name: &str, firing: bool) -> Result<(), ProviderError> {
        let snapshot = self.registry.current();
        let default_namespace = snapshot.config.default_namespace();
        let function = FunctionName::parse(name, default_namespace)
            .map_err(|error| Refusal::not_found(format!("there is no function {name}: {error}")))?;
        // The view may be some seconds old, and the step is taken from the number of now.
        let request = Request::about(&function);
        let status = self.provider.status(function.name(), request).await?;
        let labels = status.labels.as_ref();
        let scaling = match snapshot.function(&function.to_string()) {
            Some(live) if live.desired.is_some() => live.scaling,
            _ => labels.map(Scaling::of).unwrap_or_default(),
        };
        self.note_alert(&function);
        let current = status.replicas;
        let reason = match firing {
            true => Reason::AlertFiring,
            false => Reason::AlertResolved,
        };
        let wanted = alerted(firing, current, scaling);
        // Who sleeps because nobody calls is not woken by the end of an alert.
        let sleeps = current == 0 && scaling.zero.is_some() && !firing;
        if wanted == current || sleeps {
            return Ok(());
        }
        let inputs = self.journal.numbers(&function);
        self.resize(&function, current, wanted, reason, inputs)
            .await
    }

    fn note_alert(&self, function: &FunctionName) {
        let mut alerts = self.alerts();
        alerts.retain(|_, at| at.elapsed() < ALERTS_RULE);
        alerts.insert(function.clone(), Instant::now());
    }

    /// Whether the autoscaler may ask for another number: after a failure it waits, longer each time.
    pub(super) fn may_try(&self, function: &FunctionName) -> bool {
        let failed = self.failed();
        let again = failed.get(function).map(|(again, _)| *again);
        again.is_none_or(|again| Instant::now() >= again)
    }

    fn note_outcome(&self, function: &FunctionName, good: bool) {
        let mut failed = self.failed();
        if good {
            failed.remove(function);
            return;
        }
        let wait = failed.get(function).map_or(RETRY.0, |(_, wait)| *wait);
        let next = (wait * 2).min(RETRY.1);
        failed.insert(function.clone(), (Instant::now() + wait, next));
    }

    /// Whether alerts scale a function, and the classic rule had better not.
    pub(super) fn alerts_rule(&self, function: &FunctionName) -> bool {
        let alerts = self.alerts();
        let at = alerts.get(function);
        at.is_some_and(|at| at.elapsed() < ALERTS_RULE)
    }

    /// What a function does now; rates are those of the last look.
    pub fn numbers(&self, function: &Function) -> Numbers {
        Numbers {
            replicas: function.replicas_wanted(),
            available: function.available,
            in_flight: function.live.metrics.in_flight(),
            waiting: function.live.gate.waiting() as u64,
            queued: function.live.queued.load(Ordering::Relaxed),
            ..self.journal.numbers(&function.name)
        }
    }

    /// Forgets the functions that are gone.
    pub(super) fn keep(&self, there: impl Fn(&FunctionName) -> bool) {
        self.failed().retain(|name, _| there(name));
        self.journal.keep(there);
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<FunctionName, (Instant, Duration)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alerts(&self) -> MutexGuard<'_, HashMap<FunctionName, Instant>> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, function: &FunctionName, decision: Decision) {
        if decision.error.is_none() {
            let (direction, reason) = (decision.direction, decision.reason.as_str());
            self.metrics
                .scale_decision(&function.to_string(), direction, reason);
        }
        self.journal.note(function, decision);
    }
}
