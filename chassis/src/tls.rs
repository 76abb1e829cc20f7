//! mTLS, TLS 1.3 only, with identities that rotate while connections live.
