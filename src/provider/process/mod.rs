//! Functions as processes of this machine.
