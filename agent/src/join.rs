//! `holdfast-agent join`: makes a key, enrols with a one-time token.
