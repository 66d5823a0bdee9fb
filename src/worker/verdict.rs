//! What comes after a try: pure, by what came back and what the settings say.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::call::CallError;
use super::callback::{PostError, Posted};
use super::retry_after::retry_after;
use crate::config::Retry;
use crate::queue::retry::again;
use crate::queue::{CallbackState, CallbackThen, Millis, Outcome, Record, State, Then, now};

/// Time after its submission for which a call waits for a function that has no place for it, and its
/// tries do not count; in milliseconds.
const BUSY: Millis = 24 * 3600 * 1000;

/// What comes after a try of a function.
pub struct Verdict {
    /// What is next.
    pub then: Then,
    /// What is kept of what came back.
    pub outcome: Option<Outcome>,
}

/// What comes after a try of a function.
pub fn after_call(record: &Record, retry: &Retry, result: Result<Outcome, CallError>) -> Verdict {
    let tries = record.attempts + 1;
    match result {
        Ok(outcome) if retry.codes.contains(outcome.status.as_u16()) => {
            let after = retry_after(&outcome.headers, SystemTime::now());
            match next(retry, tries, after) {
                Some(at) => Verdict {
                    then: Then::Again(at),
                    outcome: None,
                },
                None => Verdict {
                    then: Then::End(State::Dead),
                    outcome: Some(outcome),
                },
            }
        }
        Ok(outcome) => Verdict {
            then: Then::End(if is_error(outcome.status) {
                State::Failed
            } else {
                State::Succeeded
            }),
            outcome: Some(outcome),
        },
        Err(error) if error.is_busy() && now() < record.submitted.saturating_add(BUSY) => {
            let patient = Retry {
                attempts: u32::MAX,
                ..*retry
            };
            // Both are at most 20.
            let tries = record.tries.len() as u32 + 1;
            let at = next(&patient, tries, None);
            Verdict {
                then: Then::Wait(at.unwrap_or_else(now)),
                outcome: None,
            }
        }
        // It may not have been called at all.
        Err(_) => match next(retry, tries, None) {
            Some(at) => Verdict {
                then: Then::Again(at),
                outcome: None,
            },
            None => Verdict {
                then: Then::End(State::Dead),
                outcome: Some(Outcome::unreached()),
            },
        },
    }
}

/// What comes after a try of a callback, and its word for metrics.
pub fn after_post(
    record: &Record,
    retry: &Retry,
    result: &Result<Posted, PostError>,
) -> (CallbackThen, &'static str) {
    let tries = record
        .callback
        .as_ref()
        .map_or(0, |callback| callback.attempts)
        + 1;
    let at = match result {
        Ok(posted) if posted.status.is_success() => {
            return (CallbackThen::End(CallbackState::Delivered), "delivered");
        }
        Ok(posted) if retry.codes.contains(posted.status.as_u16()) => {
            next(retry, tries, posted.retry_after)
        }
        Err(error) if !error.is_final() => next(retry, tries, None),
        _ => None,
    };
    match at {
        Some(at) => (CallbackThen::Again(at), "retried"),
        None => (CallbackThen::End(CallbackState::Failed), "failed"),
    }
}

fn next(retry: &Retry, tries: u32, after: Option<Duration>) -> Option<u64> {
    again(retry, tries, after, now(), chance())
}

/// A number from 0 up to 1.
fn chance() -> f64 {
    // The upper half of a random id is not wholly random, the lower one is but for two bits.
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    (low & 0xffff_ffff) as f64 / f64::from(u32::MAX)
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::function::Codes;
    use crate::queue::{CallId, Invocation};

    fn record(attempts: u32) -> Record {
        let invocation = Invocation {
            function: "f.n".parse().unwrap(),
            path: String::new(),
            query: String::new(),
            host: String::new(),
            headers: HeaderMap::new(),
            callback: Some(http::Uri::from_static("http://h/")),
            body: Bytes::new(),
        };
        let mut record = Record::of(CallId::new(), None, &invocation, 0);
        record.attempts = attempts;
        record.callback.as_mut().unwrap().attempts = attempts;
        record
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn retry() -> Retry {
        Retry {
            attempts: 3,
            min_wait: SECOND,
            max_wait: SECOND * 10,
            codes: Codes::of(&[429, 503]).unwrap(),
        }
    }

    fn answer(status: u16) -> Result<Outcome, CallError> {
        Ok(Outcome {
            status: StatusCode::from_u16(status).unwrap(),
            ..Outcome::unreached()
        })
    }

    #[test]
    fn a_function_without_a_place_is_waited_for_and_no_try_is_spent() {
        let refused = |busy| {
            let why = "no place".to_owned();
            Err(CallError::Refused { busy, why })
        };
        let then = |record: &Record, busy| after_call(record, &retry(), refused(busy)).then;
        let mut fresh = record(2);
        fresh.submitted = now();
        assert!(matches!(then(&fresh, true), Then::Wait(_)));
        assert_eq!(then(&fresh, false), Then::End(State::Dead));
        let mut old = record(2);
        old.submitted = now() - BUSY - 1;
        assert_eq!(then(&old, true), Then::End(State::Dead));
        let tried = crate::queue::Try {
            at: 0,
            took: 0,
            status: None,
            error: None,
        };
        fresh.tried(tried, now(), Then::Wait(5));
        assert_eq!(
            (fresh.attempts, fresh.next, fresh.state),
            (2, Some(5), State::Retrying)
        );
    }

    fn state(attempts: u32, result: Result<Outcome, CallError>) -> Option<State> {
        match after_call(&record(attempts), &retry(), result).then {
            Then::Again(_) | Then::Wait(_) => None,
            Then::End(state) => Some(state),
        }
    }

    #[test]
    fn a_status_says_what_is_next() {
        let late = || Err(CallError::TimedOut(SECOND));
        for (attempts, result, expected) in [
            (0, answer(200), Some(State::Succeeded)),
            (0, answer(302), Some(State::Succeeded)),
            (0, answer(400), Some(State::Failed)),
            (0, answer(500), Some(State::Failed)),
            (0, answer(503), None),
            (1, answer(429), None),
            (2, answer(503), Some(State::Dead)),
            (1, late(), None),
            (2, late(), Some(State::Dead)),
        ] {
            let shown = format!("{attempts} {result:?}");
            assert_eq!(state(attempts, result), expected, "{shown}");
        }
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let mut outcome = answer(503).unwrap();
        let wait = HeaderValue::from_static("30");
        outcome.headers.insert(header::RETRY_AFTER, wait);
        let before = now();
        let verdict = after_call(&record(0), &retry(), Ok(outcome));
        let within = |at: &u64| (before + 30_000..=now() + 30_000).contains(at);
        assert!(matches!(verdict.then, Then::Again(at) if within(&at)));
        assert!(verdict.outcome.is_none());
    }

    #[test]
    fn a_dead_letter_keeps_the_last_answer_or_a_503() {
        let kept = |result| after_call(&record(2), &retry(), result).outcome.unwrap();
        assert_eq!(kept(answer(429)).status, 429);
        assert_eq!(kept(Err(CallError::TimedOut(SECOND))).status, 503);
    }

    #[test]
    fn callbacks_are_tried_again_like_calls() {
        let posted = |status| {
            Ok(Posted {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: None,
            })
        };
        for (attempts, result, expected) in [
            (0, posted(204), "delivered"),
            (0, posted(302), "failed"),
            (0, posted(404), "failed"),
            (0, posted(503), "retried"),
            (2, posted(503), "failed"),
            (0, Err(PostError::Host), "failed"),
        ] {
            let (_, word) = after_post(&record(attempts), &retry(), &result);
            assert_eq!(word, expected, "{attempts} {result:?}");
        }
    }

    #[test]
    fn chance_is_between_nothing_and_everything() {
        let chances: Vec<f64> = (0..1000).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        let mean = chances.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
