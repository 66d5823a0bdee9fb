//! How a call stands in its table: what is needed to put it in its place in memory comes first, and
//! can be read without the rest.

use crate::queue::codec::Corrupt;
use crate::queue::record::{Record, State};
use crate::queue::{Lane, Millis};

/// A call and its number.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub number: u64,
    /// The call.
    pub record: Record,
}

/// The first part of a row.
#[derive(Debug)]
pub struct Head<'a> {
    /// Its state.
    pub state: State,
    /// When it was accepted.
    pub submitted: Millis,
    /// When its next step is due.
    pub due: Millis,
    /// Its function.
    pub function: &'a str,
}

/// First byte of a row: the version of what follows.
const VERSION: u8 = 1;

impl Row {
    /// A call under a number.
    pub fn new(number: u64, record: Record) -> Self {
        Self { number, record }
    }

    /// Where its next step waits.
    pub fn lane(&self) -> Lane {
        self.record.lane()
    }

    /// What is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = &self.record;
        let function = record.function.to_string();
        let mut bytes = Vec::with_capacity(320);
        bytes.push(VERSION);
        bytes.push(record.state as u8);
        bytes.extend_from_slice(&record.submitted.to_be_bytes());
        bytes.extend_from_slice(&record.due().to_be_bytes());
        // A name and a namespace are 63 bytes each at most, with a dot between them.
        bytes.push(function.len() as u8);
        bytes.extend_from_slice(function.as_bytes());
        // Writing to a Vec cannot fail, and a record holds nothing that JSON could not.
        let _ = serde_json::to_writer(&mut bytes, record);
        bytes
    }

    /// Reads what [`Row::to_bytes`] wrote.
    pub fn from_bytes(number: u64, bytes: &[u8]) -> Result<Self, Corrupt> {
        let (_, json) = Head::of(bytes)?;
        let record = serde_json::from_slice(json).map_err(|_| Corrupt)?;
        Ok(Self { number, record })
    }
}

impl<'a> Head<'a> {
    /// Reads the first part; the rest is the record in JSON.
    pub fn of(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Corrupt> {
        let (&[VERSION, state], rest) = bytes.split_first_chunk().ok_or(Corrupt)? else {
            return Err(Corrupt);
        };
        let (submitted, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (due, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (&length, rest) = rest.split_first().ok_or(Corrupt)?;
        let (function, json) = rest.split_at_checked(length.into()).ok_or(Corrupt)?;
        let states = State::WORDS.map(|(_, state)| state);
        let head = Self {
            state: *states.get(usize::from(state)).ok_or(Corrupt)?,
            submitted: Millis::from_be_bytes(*submitted),
            due: Millis::from_be_bytes(*due),
            function: std::str::from_utf8(function).map_err(|_| Corrupt)?,
        };
        Ok((head, json))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::queue::invocation::tests::invocation;
    use crate::queue::{CallId, Try};

    #[test]
    fn what_is_stored_is_read_again_in_every_state() {
        for (_, state) in State::WORDS {
            let mut record = Record::of(CallId::new(), Some("x y".into()), &invocation(), 5);
            record.state = state;
            record.next = Some(9);
            record.tries.push(Try {
                at: 1,
                took: 2,
                status: Some(500),
                error: None,
            });
            let row = Row::new(7, record.clone());
            let bytes = row.to_bytes();
            assert_eq!(Row::from_bytes(7, &bytes).unwrap().record, record);
            let (head, _) = Head::of(&bytes).unwrap();
            assert_eq!((head.state, head.submitted, head.due), (state, 5, 9));
            assert_eq!(head.function, "echo.fn");
        }
    }

    #[test]
    fn half_of_it_is_an_error_and_no_panic() {
        let record = Record::of(CallId::new(), None, &invocation(), 5);
        let bytes = Row::new(1, record).to_bytes();
        for end in 0..bytes.len() {
            assert!(Row::from_bytes(1, &bytes[..end]).is_err(), "{end}");
        }
    }
}
