//! The authority: its key, certificates, tokens, revocation.
