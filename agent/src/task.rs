//! The verbs of an agent, one a file, and the table of running ones.
