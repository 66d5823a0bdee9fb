//! `/async-function/*`: calls that are kept and made later, whatever keeps them.

mod accepted;
