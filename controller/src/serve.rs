//! Puts the controller together and runs it: what is started first is stopped last.
